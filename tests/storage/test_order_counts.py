"""The count of a page is exact where that is cheap, else a least number of the newest orders."""

from typing import Any

import pytest
from order_tables import NUMBER
from sqlalchemy import event

from database import IMEIDatabase
from schema import orders
from schema.dialect import SLOWER, SLOWER_ROWS
from storage import order_counts, order_filters
from storage.order_counts import Count
from storage.order_filters import Guide
from storage.order_terms import OrderFilter


def test_the_count_of_a_page_looks_at_no_more_orders_than_it_may(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"imei": NUMBER, "carrier": "BA"[n % 4 > 0], "fmi": ("ON", "OFF")[n % 2]} for n in range(400)]
    with database.write() as connection:
        connection.execute(orders.insert(), rows)
    slower, slower_rows = SLOWER[database.dialect], SLOWER_ROWS[database.dialect]
    assert order_counts.counted(database, OrderFilter()) == Count(400, is_all=True)
    assert order_counts.counted(database, OrderFilter(carrier="A", fmi="ON")) == Count(100, is_all=True)
    monkeypatch.setattr(order_counts, "INDEX_ONLY", 250 * slower)
    assert order_counts.counted(database, OrderFilter(carrier="A")) == Count(250, is_all=False)
    monkeypatch.setattr(order_counts, "LOOKED_AT", 99 * slower_rows)
    assert order_counts.counted(database, OrderFilter(carrier="B", fmi="OFF")) == Count(0, is_all=False)
    monkeypatch.setattr(order_counts, "LOOKED_AT", 199 * slower_rows)  # each order is looked up in two indexes
    with database.read() as connection:  # as where many orders fit every term
        chosen = OrderFilter(carrier="A", fmi="ON")
        found = order_counts.guided_count(connection, chosen, Guide())
    assert found == Count(25, is_all=False)


def test_what_was_counted_to_choose_the_index_is_not_counted_again(database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.execute(orders.insert(), [{"imei": NUMBER} for _ in range(30)])
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert order_counts.counted(database, OrderFilter(q=NUMBER[:5])) == Count(30, is_all=True)
    assert sum(statement.count("count(*)") for statement in asked) == 2  # as an IMEI and as an order id


@pytest.mark.parametrize(
    ("chosen", "counts"),
    [(OrderFilter(fmi="ON"), 2), (OrderFilter(q=NUMBER[:5]), 4), (OrderFilter(fmi="ON", verdict="fail"), 3)],
)
def test_a_common_value_of_one_index_is_counted_once_for_the_page_and_its_count(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, chosen: OrderFilter, counts: int
) -> None:
    """Up to VERY_FEW, for each index, and then as far as the page counts: of a pair, the pair alone."""
    rows = [{"imei": NUMBER, "verdict": "fail", "fmi": ("On", "Lost Mode", "Enabled")[n % 3]} for n in range(90)]
    with database.write() as connection:
        connection.execute(orders.insert(), rows)
    for name, size in (("VERY_FEW", 10), ("FEW", 20)):
        monkeypatch.setattr(order_filters, name, size)
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for most, found in ((50, Count(50, is_all=False)), (90, Count(90, is_all=True))):
        asked.clear()
        monkeypatch.setattr(order_counts, "INDEX_ONLY", most * SLOWER[database.dialect])
        assert order_counts.counted(database, chosen) == found
        assert sum(statement.count("count(*)") for statement in asked) == counts


def test_the_newest_orders_are_counted_and_only_an_index_is_read(
    file_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of orders that are spread over the file, each one that is read is a page of the disk."""
    rows = [{"imei": NUMBER, "carrier": "AB"[n % 2], "service_id": "12"[n >= 300]} for n in range(400)]
    with file_database.write() as connection:
        connection.execute(orders.insert(), rows)
    chosen, asked = OrderFilter(carrier="A", service="2"), list[tuple[str, Any]]()
    event.listen(file_database.engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3])))
    monkeypatch.setattr(order_counts, "LOOKED_AT", 40)
    for name in ("VERY_FEW", "FEW"):
        monkeypatch.setattr(order_filters, name, 20)
    assert order_counts.counted(file_database, chosen) == Count(41, is_all=False)
    with file_database.read() as connection:
        lines = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[-1][0]}", asked[-1][1])]
    assert all("COVERING INDEX" in line for line in lines if "orders" in line or " o " in line)
