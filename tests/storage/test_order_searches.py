"""Saved searches and sorted pages: everything once, in its order, by the index of IMEIs whatever the filter is."""

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest
from order_tables import NOTHING
from simulated_provider import imeis
from sqlalchemy.dialects import sqlite

from database import IMEIDatabase
from storage import order_searches
from storage.order_terms import OrderFilter
from storage.rows import FoundOrder


def all_found(database: IMEIDatabase, search_id: int, chosen: OrderFilter, size: int) -> list[FoundOrder]:
    """Every order, a page after the other."""
    found: list[FoundOrder] = []
    after = None
    while page := order_searches.found_page(database, search_id, chosen, after, size):
        assert len(page) <= size
        found += page
        after = (page[-1].place, page[-1].order.id)
    return found


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pages_of_a_search_give_every_order_once_in_the_order_of_the_paste(
    database: IMEIDatabase, known: list[str], size: int
) -> None:
    asked = list(reversed(known[50:80]))
    search_id = order_searches.save_search(database, asked, 0)
    found = all_found(database, search_id, NOTHING, size)
    assert [row.order.imei for row in found[::2]] == asked
    assert [str(row.order.order_id)[0] for row in found] == ["1", "0"] * 30
    walked = order_searches.walk_found(database, search_id, NOTHING)
    assert [row.order.id for row in walked] == [row.order.id for row in found]


def test_a_search_counts_what_is_known_now_and_not_what_was(database: IMEIDatabase, known: list[str]) -> None:
    new = imeis(5, first=900_000)
    search_id = order_searches.save_search(database, [*known[:10], *new], 3)
    search = order_searches.find_search(database, search_id)
    assert search
    assert (search.imeis, search.rejected) == ([*known[:10], *new], 3)
    there = order_searches.known_imeis(database, search_id)
    assert there == set(known[:10])
    assert search.missing(there) == list(enumerate(new, 10))
    assert search.missing(there, 11, 2) == [(12, new[2]), (13, new[3])]
    database.insert_order({"imei": new[0], "order_id": "new"})
    assert order_searches.known_imeis(database, search_id) == {*known[:10], new[0]}


def test_the_oldest_lists_are_forgotten_when_all_together_are_too_long(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_searches, "MOST_KEPT", 5000)
    kept = [order_searches.save_search(database, imeis(100, first=100 * number), 0) for number in range(5)]
    assert [order_searches.find_search(database, search_id) is not None for search_id in kept] == [
        *(False, False, False, True, True)
    ]


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        (OrderFilter(status="Completed"), 200),
        (OrderFilter(carrier="AT&T"), 100),
        (OrderFilter(carrier="AT&T", status="Rejected"), 0),
        (OrderFilter(service="1739", carrier="T-Mobile"), 100),
        (OrderFilter(service="2"), 0),
        (OrderFilter(batch=4), 0),
        (OrderFilter(fmi="ON"), 0),
        (OrderFilter(simlock="Locked"), 0),
        (OrderFilter(mismatch=True), 0),
        (OrderFilter(since=date(2026, 5, 2)), 1),
        (OrderFilter(until=date(2026, 5, 2)), 1),
        (OrderFilter(until=date(2026, 5, 1)), 0),
    ],
)
@pytest.mark.parametrize("is_from_list", [False, True])
def test_a_search_takes_the_filters_of_the_history(
    database: IMEIDatabase,
    known: list[str],
    monkeypatch: pytest.MonkeyPatch,
    chosen: OrderFilter,
    count: int,
    is_from_list: bool,
) -> None:
    """By going through the list, and where few orders fit by looking for these in the list."""
    if is_from_list:
        monkeypatch.setattr(order_searches, "rare_guide", lambda *_: None)
    database.update_order_status("0199", "Rejected", {"order_date": datetime(2026, 5, 2, 23, 59)})
    search_id = order_searches.save_search(database, known, 0)
    assert order_searches.count_found(database, search_id, chosen) == count
    found = all_found(database, search_id, chosen, 33)
    assert len(found) == count
    assert found == list(order_searches.walk_found(database, search_id, chosen))
    assert order_searches.found_page(database, search_id, replace(chosen, q="9"), None, 999) == found


def test_a_search_goes_from_the_list_to_the_index_of_imeis(file_database: IMEIDatabase) -> None:
    with file_database.read() as connection:
        given = order_searches._terms(connection, 1, OrderFilter(carrier="Rare", status="Pending", batch=3, fmi="ON"))
    for statement in (order_searches.FOUND, order_searches.COUNT, order_searches.KNOWN):
        with file_database.read() as connection:
            asked = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", given | {"place": 0, "row": 1, "limit": 9})
            words = "; ".join(row[3] for row in plan)
        assert "INDEX idx_imei (imei=?)" in words
        assert "SCAN orders" not in words


def test_a_migrated_database_can_save_a_search_of_100_000(tmp_path: Path) -> None:
    with IMEIDatabase(tmp_path / "new.db") as database:
        numbers = [f"35{serial:013d}" for serial in range(100_000)]
        search_id = order_searches.save_search(database, numbers, 0)
        search = order_searches.find_search(database, search_id)
        assert search
        assert search.imeis == numbers
        assert order_searches.known_imeis(database, search_id) == set()
