"""Filters and pages of the API: one that is not valid is refused by its parameter, each order is on one page."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from flask import Flask
from web_scenes import ordered

from api.filters import CURSOR, FilterForm, filter_of, page_of_orders
from api.problems import Problem, ProblemKind
from database import IMEIDatabase
from storage.order_pages import Sort
from storage.order_terms import OrderFilter
from web.filters import FIELDS


@pytest.fixture
def context(app: Flask) -> Iterator[None]:
    """A request for orders, for the address of the next page."""
    with app.test_request_context("/api/v1/orders?fmi=ON&cursor=5"):
        yield


def refused(given: dict[str, Any]) -> list[str]:
    """Return the parameters that a refusal names."""
    with pytest.raises(Problem) as problem:
        filter_of(given)
    assert problem.value.kind is ProblemKind.INVALID_REQUEST
    return [error["parameter"] for error in problem.value.errors]


def test_the_form_has_the_fields_of_the_history_and_a_whole_imei() -> None:
    assert {*FilterForm().fields} == {*FIELDS, "imei"}


@pytest.mark.parametrize(
    ("imei", "is_valid"),
    [
        ("3" * 14, True),
        ("3" * 16, True),
        ("3" * 13, False),
        ("3" * 17, False),
        ("٣" * 15, False),
    ],
)
def test_an_imei_is_given_whole(imei: str, is_valid: bool) -> None:
    assert ("imei" in FilterForm().validate({"imei": imei})) is not is_valid


@pytest.mark.usefixtures("context")
def test_a_filter_is_read_as_that_of_the_history(database: IMEIDatabase) -> None:
    ordered(database, 3)
    given = {"imei": "353370080000011", "fmi": "on", "since": "2026-01-02", "batch": "7", "mismatch": "1", "limit": 9}
    assert filter_of(given) == OrderFilter(
        q="353370080000011", fmi="on", since=date(2026, 1, 2), batch=7, mismatch=True
    )
    assert filter_of({"q": "35"}) == OrderFilter(q="35")
    assert filter_of({}) == OrderFilter()


@pytest.mark.usefixtures("context")
def test_a_filter_that_is_not_valid_names_each_parameter() -> None:
    assert refused({"fmi": "maybe", "batch": "x", "since": "2026-13-01"}) == ["fmi", "since", "batch"]
    assert refused({"imei": "353370080000011", "q": "35"}) == ["q"]
    assert refused({"person": "nobody"}) == ["person"]


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize("sort", [Sort.NEWEST, Sort.OLDEST])
def test_each_order_is_on_one_page_and_the_last_page_has_no_next_one(database: IMEIDatabase, sort: Sort) -> None:
    numbers = ordered(database, 5)
    found, links, cursor = list[str](), list[str](), ""
    for _ in range(3):
        page, headers = page_of_orders(OrderFilter(), sort, cursor, 2)
        found += [order.imei for order in page["orders"]]
        cursor = page["next_cursor"] or ""
        links.append(headers.get("Link", ""))
    assert found == (numbers if sort is Sort.OLDEST else numbers[::-1])
    assert page["next_cursor"] is None
    assert links[2] == ""
    assert links[0].startswith("<http://localhost/api/v1/orders?fmi=ON&cursor=")
    assert links[0].endswith('>; rel="next"')
    page, _ = page_of_orders(OrderFilter(), sort, "", 5)
    assert (len(page["orders"]), page["next_cursor"]) == (5, None), "a full last page is the last one"


@pytest.mark.parametrize(
    "cursor", ["x", "-1", "1 ", "9" * 19, "~1", "35337008000001~1", "PASS~1", "353370080000011~", "1~1", "１"]
)
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    assert not CURSOR.fullmatch(cursor)
    with pytest.raises(Problem) as problem:
        page_of_orders(OrderFilter(), Sort.NEWEST, cursor, 2)
    assert [error["parameter"] for error in problem.value.errors] == ["cursor"]


@pytest.mark.parametrize("cursor", ["0", "9" * 18, "353370080000011~7", "pass~7", "pending~7"])
def test_a_cursor_of_any_list_is_read(cursor: str) -> None:
    assert CURSOR.fullmatch(cursor)
