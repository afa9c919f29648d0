"""Pages in an order that a person chose go through everything once, by an index or where few orders fit."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from order_tables import NOTHING

from database import IMEIDatabase
from schema import orders
from schema.dialect import SLOWER
from storage import order_counts, order_filters, order_pages
from storage.order_counts import Count
from storage.order_pages import BY_ROW, BY_VERDICT, Sort
from storage.order_terms import OrderFilter
from storage.rows import Order

BY_INDEX = BY_ROW | {Sort.IMEI, Sort.IMEI_DOWN}


@pytest.fixture(name="varied")
def varied_fixture(database: IMEIDatabase, known: list[str]) -> IMEIDatabase:
    """The 400 orders of `known` with a quarter of each verdict, and few different words, some of them missing."""
    chance = random.Random(7)
    with database.write() as connection:
        for place, verdict in enumerate(order_pages.WORST_FIRST):
            graded = {"verdict": verdict} if verdict != "pending" else {"status": "Pending"}
            connection.execute(orders.update().where(orders.c.id % 4 == place).values(graded))
        for row in range(1, 401):
            values: dict[str, Any] = {
                name: chance.choice(["A~1", "b", "C", None]) for name in ("model", "fmi", "serial")
            }
            values["credits"] = chance.choice([0.08, 0.1, None, 3.3333])
            connection.execute(orders.update().where(orders.c.id == row).values(values))
    return database


def turned(sort: Sort, page: Callable[[str], list[Order]]) -> Iterator[Order]:
    """Yield the orders of all pages."""
    after = ""
    while found := page(after):
        yield from found
        after = order_pages.key(found[-1], sort)


def place_of(order: Order, sort: Sort) -> tuple[Any, ...]:
    """Return what an order is compared by in a sort, from the first."""
    if sort in BY_ROW:
        return (order.id if sort is Sort.OLDEST else -order.id,)
    if sort in BY_VERDICT:
        return ((order.id % 4, (2, 1, 0, 3)[order.id % 4])[sort is Sort.BEST], -order.id)
    return (getattr(order, sort.column) or (0.0 if sort.column == "credits" else ""), order.id)


def test_each_sort_pages_through_everything_once(varied: IMEIDatabase) -> None:
    for sort in Sort:
        seen = list(turned(sort, lambda after, sort=sort: order_pages.page(varied, NOTHING, sort, after, 33)))  # type: ignore[misc]
        assert sorted(order.id for order in seen) == list(range(1, 401)), sort
        assert seen == sorted(seen, key=lambda order: place_of(order, sort), reverse=sort.is_down), sort


def test_few_orders_are_listed_in_every_sort(varied: IMEIDatabase) -> None:
    chosen = OrderFilter(model="A~1")
    for sort in Sort:
        page = lambda after, sort=sort: order_pages.listed(varied, chosen, sort, after, 33).orders  # noqa: E731
        seen = list(turned(sort, page))
        assert {order.model for order in seen} == {"A~1"}, sort
        assert len({order.id for order in seen}) == len(seen) > 66, sort
        assert seen == sorted(seen, key=lambda order: place_of(order, sort), reverse=sort.is_down), sort


def test_a_filter_is_sorted_by_an_index_or_where_few_orders_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    pending, batch, few = OrderFilter(status="Pending"), OrderFilter(batch=7), Count(3, is_all=True)
    monkeypatch.setattr(order_pages, "MOST_SORTED", 3)
    monkeypatch.setattr(order_pages, "MOST_OF_BATCH", 4)
    assert order_pages.sorts(NOTHING) == BY_INDEX
    assert order_pages.sorts(pending) == BY_ROW
    assert order_pages.sorts(OrderFilter(mismatch=True)) == {Sort.NEWEST}
    assert order_pages.sorts(pending, few) == order_pages.sorts(batch, Count(4, is_all=True)) == set(Sort)
    assert order_pages.sorts(pending, Count(4, is_all=True)) == order_pages.sorts(pending, Count(1, False)) == BY_ROW
    assert order_pages.sorts(pending, Count(6, is_all=True), after="b~1") == set(Sort), "a page that follows"


def test_a_sort_that_a_filter_has_not_is_newest_first(varied: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_pages, "MOST_SORTED", 3)
    found = order_pages.listed(varied, OrderFilter(fmi="C"), Sort.MODEL, "", 5)
    assert (found.sort, found.sorts) == (Sort.NEWEST, BY_ROW)
    assert [order.id for order in found.orders] == sorted((order.id for order in found.orders), reverse=True)


def test_a_first_page_of_orders_that_are_sorted_for_it_is_counted_with_it(
    varied: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read for the page is all that fits; a second look at it would take as long."""
    chosen = OrderFilter(model="C", serial="b")
    with varied.read() as connection:
        assert order_filters.guide(connection, chosen).sorts
    fitting = list(order_filters.walk(varied, chosen))
    monkeypatch.setattr(order_pages, "guided_count", None)  # nothing is counted a second time
    found = order_pages.listed(varied, chosen, Sort.NEWEST, "", 5)
    assert (found.orders, found.count) == (fitting[:5], Count(len(fitting), is_all=True))
    assert len(fitting) > 5
    none = order_pages.listed(varied, OrderFilter(model="C", serial="none"), Sort.NEWEST, "", 5)
    assert (none.orders, none.count) == ([], Count(0, is_all=True))


def test_a_first_page_that_is_not_full_is_the_count(
    database: IMEIDatabase, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_counts, "INDEX_ONLY", 5 * SLOWER[database.dialect])
    for name in ("VERY_FEW", "FEW"):
        monkeypatch.setattr(order_filters, name, 5)
    chosen = OrderFilter(q=known[0][:3])
    found = order_pages.listed(database, chosen, Sort.NEWEST, "", 401)
    assert (len(found.orders), found.count) == (400, Count(400, is_all=True))
    for after, limit in (("", 400), (order_pages.key(found.orders[9], Sort.NEWEST), 401)):
        assert order_pages.listed(database, chosen, Sort.NEWEST, after, limit).count == Count(5, is_all=False)
