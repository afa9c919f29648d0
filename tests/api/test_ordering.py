"""What programs say about money: it holds for the plan, and for the batch in the transaction that creates it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from simulated_provider import imeis
from web_client import CARRIER, MAIL, Provider, order_batch
from web_scenes import aged, batch_count

from api.ordering import ASK_AGAIN, OrderTerms, Paid, cost_of, plan_order
from api.problems import Problem, ProblemKind
from backend import Backend
from database import IMEIDatabase
from people import Actor, Role
from storage.batch_creation import NewBatch, create_batch
from submission import Plan
from web.access import set_actor

NUMBERS: list[tuple[str, int | None]] = [(imei, None) for imei in imeis(3)]


@pytest.fixture(name="backend", autouse=True)
def backend_fixture(app: Flask) -> Iterator[Backend]:
    """The backend of the app, in a request of an operator's token."""
    found: Backend = app.extensions["backend"]
    with app.test_request_context():
        set_actor(Actor("token sync", Role.OPERATOR))
        yield found


def terms(**more: Any) -> OrderTerms:
    return OrderTerms.from_form(Paid().load({"service_id": CARRIER.package_id, **more}))


def planned(**more: Any) -> Plan:
    return plan_order(terms(**more), NUMBERS)


def refused(**more: Any) -> Problem:
    with pytest.raises(Problem) as problem:
        planned(**more)
    return problem.value


def test_a_request_that_names_no_limit_has_none() -> None:
    found = terms(service_id=f" {CARRIER.package_id} ")
    assert (found.service_id, found.unit_price, found.max_cost) == (CARRIER.package_id, None, None)
    assert (found.again.checked, found.again.rejected) == (False, False)
    limited = terms(unit_price="0.08", max_cost=5, recheck=True, resend_rejected=True)
    assert (limited.unit_price, limited.max_cost) == (0.08, 5.0)
    assert (limited.again.checked, limited.again.rejected) == (True, True)
    assert terms(resend_rejected=True).again.checked is False


@pytest.mark.parametrize("service_id", ["9999", " ", MAIL.package_id])
def test_a_service_that_cannot_be_ordered_is_refused(service_id: str) -> None:
    problem = refused(service_id=service_id)
    assert problem.kind is ProblemKind.UNKNOWN_SERVICE
    assert problem.description


@pytest.mark.parametrize(("price", "fits"), [("0.08", True), ("0.080000", True), ("0.079", False), ("0.081", False)])
def test_a_named_price_must_be_that_of_now(price: str, fits: bool) -> None:
    """Also a lower one: the program has counted with another cost."""
    if fits:
        assert planned(unit_price=price).count == 3
    else:
        assert refused(unit_price=price).kind is ProblemKind.PRICE_CHANGED


def test_a_price_that_cannot_be_checked_is_asked_for_again_later(
    backend: Backend, provider: Provider, database: IMEIDatabase
) -> None:
    backend.catalog.current()
    aged(database, 600)
    provider.down = True
    problem = refused()
    assert (problem.kind, problem.retry_after) == (ProblemKind.PRICE_UNKNOWN, ASK_AGAIN)


def test_nothing_is_ordered_where_nothing_may_be(app: Flask, backend: Backend) -> None:
    settings = replace(backend.settings, volatile_disk=True, api_key="K", username="u")
    app.extensions["backend"] = replace(backend, settings=settings)
    assert refused().kind is ProblemKind.ORDERS_BLOCKED


def test_what_is_known_and_what_the_account_does_not_hold_are_told_apart(
    provider: Provider, database: IMEIDatabase
) -> None:
    provider.credits = 0.23
    assert refused().kind is ProblemKind.NOT_ENOUGH_MONEY
    order_batch(database, [imei for imei, _ in NUMBERS])
    assert refused().kind is ProblemKind.NOTHING_TO_SEND


@pytest.mark.parametrize(("max_cost", "fits"), [(None, True), ("0.24", True), ("0.2399", False), ("0", False)])
def test_a_batch_that_costs_more_than_allowed_is_not_created(
    database: IMEIDatabase, max_cost: str | None, fits: bool
) -> None:
    wanted = terms(**({} if max_cost is None else {"max_cost": max_cost}))
    new = NewBatch("Lot", "api", CARRIER.package_id, CARRIER.title, CARRIER.price, NUMBERS)
    costs = list[float]()
    if fits:
        create_batch(database, new, 100, lambda c, batch_id, is_new: costs.append(cost_of(c, batch_id, wanted)))
        assert costs == [pytest.approx(0.24)]
    else:
        with pytest.raises(Problem, match=r"It costs \$0.24, and \$0") as problem:
            create_batch(database, new, 100, lambda c, batch_id, is_new: costs.append(cost_of(c, batch_id, wanted)))
        assert problem.value.kind is ProblemKind.COST_EXCEEDED
    assert batch_count(database) == int(fits)


def test_the_cost_of_a_batch_is_what_is_left_of_it_to_send(database: IMEIDatabase) -> None:
    """IMEIs that are ordered already cost nothing more."""
    batch_id = order_batch(database, imeis(2))
    with database.read() as connection:
        assert cost_of(connection, batch_id, terms(max_cost="0")) == 0.0
