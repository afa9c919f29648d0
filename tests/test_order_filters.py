"""What the history asks for is found by an index, in the order of the page, and never by reading everything."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Select, select
from sqlalchemy.dialects import sqlite

import order_filters
import result_store
from database import IMEIDatabase
from order_filters import OrderFilter, page_query
from schema import metadata, orders

NUMBER = "353370080089458"


def plan(database: IMEIDatabase, query: Select[Any]) -> str:
    text = (
        query
        if isinstance(query, str)
        else str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    )
    with database.read() as connection:
        return "; ".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))


@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        (OrderFilter(status="Pending"), "idx_status"),
        (OrderFilter(service="269"), "idx_orders_service"),
        (OrderFilter(batch=41), "idx_orders_batch"),
        (OrderFilter(carrier="T-Mobile"), "idx_orders_carrier"),
        (OrderFilter(simlock="Locked"), "idx_orders_simlock"),
        (OrderFilter(fmi="ON"), "idx_orders_fmi"),
        (OrderFilter(carrier="Rare", simlock="Locked", fmi="ON", status="Completed"), "idx_orders_carrier"),
        (OrderFilter(batch=41, status="Completed", fmi="ON"), "idx_orders_batch"),
        (OrderFilter(status="Pending", service="269"), "idx_status"),
        (OrderFilter(mismatch=True), "idx_orders_other_imei"),
        (OrderFilter(since=date(2026, 1, 1), until=date(2026, 1, 2)), "idx_order_date"),
        (OrderFilter(q=NUMBER), "idx_imei"),
        (OrderFilter(q=NUMBER), "idx_orders_imei2"),
        (OrderFilter(q="35337008"), "idx_imei"),
        (OrderFilter(q="A-77"), "idx_imei"),
    ],
)
@pytest.mark.parametrize("before", [None, 5000])
def test_each_filter_is_served_by_its_index(
    database: IMEIDatabase, chosen: OrderFilter, index: str, before: int | None
) -> None:
    words = plan(database, page_query(chosen, before, 101))
    assert index in words
    assert "SCAN" not in words


@pytest.mark.parametrize("chosen", [OrderFilter(status="Pending"), OrderFilter(batch=41), OrderFilter(fmi="ON")])
def test_a_page_needs_no_sorting(database: IMEIDatabase, chosen: OrderFilter) -> None:
    assert "TEMP B-TREE" not in plan(database, page_query(chosen, 5000, 101))


def test_without_a_filter_a_page_is_the_end_of_the_table(database: IMEIDatabase) -> None:
    assert plan(database, page_query(OrderFilter(), None, 101)) == "SCAN orders"
    assert "SEARCH orders USING INTEGER PRIMARY KEY" in plan(database, page_query(OrderFilter(), 5000, 101))


def test_what_waits_for_a_result_is_found_without_reading_what_has_one(database: IMEIDatabase) -> None:
    assert "idx_orders_pending" in plan(database, select(orders.c.order_id).where(*result_store.waits()))
    assert result_store.count_pending(database) == 0


def test_every_index_of_the_schema_is_there_and_no_other(database: IMEIDatabase) -> None:
    with database.read() as connection:
        found = {
            row[0]
            for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index'")
            if not row[0].startswith("sqlite_autoindex")
        }
    assert found == {str(index.name) for table in metadata.tables.values() for index in table.indexes}


def test_the_schema_in_words_is_the_schema_on_disk(database: IMEIDatabase) -> None:
    for table in metadata.tables.values():
        with database.read() as connection:
            columns = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table.name})")}
        assert columns == set(table.c.keys()), table.name


def test_a_walk_gives_every_order_once(database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.execute(orders.insert(), [{"imei": NUMBER, "order_id": str(n)} for n in range(4500)])
    found = [row["order_id"] for row in order_filters.walk(database, OrderFilter())]
    assert found == [str(n) for n in reversed(range(4500))]
    assert order_filters.count(database, OrderFilter(q=NUMBER)) == 4500
    assert order_filters.imeis_of(database, OrderFilter(), 10) == [NUMBER]


def test_a_database_of_the_first_schema_is_migrated_and_keeps_its_orders(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with IMEIDatabase(path) as database:
        database.insert_order({"order_id": "77", "imei": NUMBER, "status": "Pending"})
        with database.write() as connection:
            _take_back_second_schema(connection)
    with IMEIDatabase(path) as database:
        order = database.get_order("77")
        assert order
        assert (order["imei"], order["other_imei"]) == (NUMBER, None)
        assert result_store.count_pending(database) == 1
        assert database.get_statistics()["by_status"] == {"Pending": 1}


def _take_back_second_schema(connection: Connection) -> None:
    names = ("service", "pending", "imei2", "other_imei", "carrier", "simlock", "fmi")
    for statement in (
        "DROP TRIGGER orders_recounted",
        "DROP TRIGGER orders_uncounted",
        "DROP TABLE order_totals",
        "DROP TABLE totals_mark",
        "DROP INDEX idx_batches_untallied",
        "DROP INDEX idx_items_message",
        "ALTER TABLE batches DROP COLUMN tally",
        "ALTER TABLE batches DROP COLUMN tally_revision",
        *(f"DROP INDEX idx_orders_{name}" for name in names),
        "ALTER TABLE orders DROP COLUMN other_imei",
        "ALTER TABLE import_history DROP COLUMN undone_at",
        "DROP TABLE import_changes",
        "DROP TABLE status_changes",
        "UPDATE alembic_version SET version_num = '0001'",
    ):
        connection.exec_driver_sql(statement)
