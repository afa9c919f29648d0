"""Pages in an order that a person chose go through everything once, by an index."""

import pytest
from order_tables import NOTHING

from database import IMEIDatabase
from schema import orders
from storage import order_counts, order_pages
from storage.order_counts import Count
from storage.order_filters import OrderFilter
from storage.order_pages import Sort


@pytest.mark.parametrize("sort", list(Sort))
def test_each_sort_pages_through_everything_once(database: IMEIDatabase, known: list[str], sort: Sort) -> None:
    with database.write() as connection:
        for place, verdict in enumerate(order_pages.WORST_FIRST):
            graded = {"verdict": verdict} if verdict != "pending" else {"status": "Pending"}
            connection.execute(orders.update().where(orders.c.id % 4 == place).values(graded))
    seen, after = [], ""
    while page := order_pages.page(database, NOTHING, sort, after, 33):
        seen += page
        after = order_pages.key(page[-1], sort)
    ids = [row.id for row in seen]
    assert sorted(ids) == list(range(1, 401))
    expected = {
        Sort.NEWEST: sorted(ids, reverse=True),
        Sort.OLDEST: sorted(ids),
        Sort.IMEI: [row.id for row in sorted(seen, key=lambda row: (row.imei, row.id))],
        Sort.WORST: sorted(ids, key=lambda row: (row % 4, -row)),
    }
    assert ids == expected[sort]


def test_a_filter_is_sorted_only_by_what_its_own_index_gives() -> None:
    assert order_pages.sorts(NOTHING) == [Sort.NEWEST, Sort.OLDEST, Sort.IMEI]
    assert order_pages.sorts(OrderFilter(status="Pending")) == [Sort.NEWEST, Sort.OLDEST]
    assert order_pages.sorts(OrderFilter(mismatch=True)) == [Sort.NEWEST]


def test_a_first_page_that_is_not_full_is_the_count(
    database: IMEIDatabase, known: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_counts, "INDEX_ONLY", 5)
    chosen = OrderFilter(q=known[0][:3])
    page, count = order_pages.counted_page(database, chosen, Sort.NEWEST, "", 401)
    assert (len(page), count) == (400, Count(400, is_all=True))
    for after, limit in (("", 400), (order_pages.key(page[9], Sort.NEWEST), 401)):
        assert order_pages.counted_page(database, chosen, Sort.NEWEST, after, limit)[1] == Count(5, is_all=False)
