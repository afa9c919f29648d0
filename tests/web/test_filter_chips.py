"""Saved filters as links: their address, whose they are, and who may change them."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from database import IMEIDatabase
from people import Actor, Role
from storage.order_pages import Sort
from storage.saved_filter_store import SavedFilter, save_filter
from web.access import set_actor
from web.filter_chips import chip_of, chips, may_change, saved_query

OWN = SavedFilter(1, "otto", "Locked", "simlock=Locked", is_shared=False)
SHARED = replace(OWN, person="anna", is_shared=True)


@pytest.fixture(autouse=True)
def context(app: Flask) -> Iterator[None]:
    with app.test_request_context():
        set_actor(Actor("otto", Role.OPERATOR))
        yield


def test_the_usual_order_is_no_part_of_a_saved_filter() -> None:
    assert saved_query({"carrier": "AT&T", "batch": 4}, Sort.NEWEST) == "carrier=AT%26T&batch=4"
    assert saved_query({}, Sort.PRICE_DOWN) == "sort=-price"
    assert saved_query({"row": (3, 1)}, Sort.NEWEST) == "row=3&row=1"


def test_a_chip_is_a_link_to_the_history_and_names_another_owner() -> None:
    own, shared = chip_of(OWN, "simlock=Locked"), chip_of(SHARED, "fmi=ON", objection="gone")
    assert (own.url, own.owner, own.is_shared, own.is_current) == ("/history?simlock=Locked", "", False, True)
    assert (shared.owner, shared.is_shared, shared.is_current, shared.objection) == ("anna", True, False, "gone")
    assert (own.filter_id, own.name, own.objection) == (1, "Locked", "")


@pytest.mark.parametrize(
    ("saved", "actor", "expected"),
    [
        (OWN, Actor("otto", Role.VIEWER), True),
        (OWN, Actor("anna", Role.ADMIN), False),
        (SHARED, Actor("anna", Role.VIEWER), True),
        (SHARED, Actor("otto", Role.OPERATOR), False),
        (SHARED, Actor("ada", Role.ADMIN), True),
    ],
)
def test_the_owner_changes_a_filter_and_an_admin_a_shared_one(saved: SavedFilter, actor: Actor, expected: bool) -> None:
    set_actor(actor)
    assert may_change(saved) is chip_of(saved).may_change is expected


def test_a_person_sees_own_and_shared_filters_by_name(database: IMEIDatabase) -> None:
    for person, name, is_shared in [("otto", "b", False), ("anna", "A", True), ("anna", "c", False)]:
        save_filter(database, person, name, f"q={name}", is_shared)
    assert [(one.name, one.owner, one.is_current) for one in chips(database, "q=b")] == [
        ("A", "anna", False),
        ("b", "", True),
    ]
