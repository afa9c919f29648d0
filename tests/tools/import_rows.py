"""Our orders, and the rows of the provider's export of them, for tests of imports."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from simulated_provider import SERVICE, imeis
from sqlalchemy import select
from stored_orders import all_orders

from database import IMEIDatabase
from orders import ServiceInfo
from results.importing import plan_import
from schema import orders
from spreadsheets.order_rows import ImportRow
from storage.order_queries import statistics

FIRST, SECOND, THIRD = imeis(3)
CLOCK = datetime(2026, 11, 23, 22, 10, 5)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def ours(database: IMEIDatabase, order_id: str, imei: str = FIRST, after: float = 0, **more: Any) -> None:
    """Insert an order of service 269, some hours after the first."""
    order = {"service_id": SERVICE, "service_name": "T-Mobile", "credits": 0.08, "status": "Pending"}
    database.insert_order({**order, "order_id": order_id, "imei": imei, "order_date": CLOCK + hours(after), **more})


def theirs(number: int, imei: str = FIRST, after: float = 0, model: str = "iPhone 12", **more: Any) -> ImportRow:
    """Return a row of the provider's export, some hours (by its own clock) after our first order."""
    row = {"imei": imei, "service_name": "T-Mobile", "status": "Completed", "credits": 0.08, "model": model}
    return ImportRow(number, {**row, "order_date": CLOCK + hours(after), **more})


def planned(database: IMEIDatabase, *rows: ImportRow) -> dict[int, tuple[str, str]]:
    """Return row number → (fate, order id of the row)."""
    with database.read() as connection:
        ids = {row.id: row.order_id or "" for row in connection.execute(select(orders.c.id, orders.c.order_id))}
    return {
        row.number: (str(row.fate), ids[row.order_row] if row.order_row else "")
        for row in plan_import(database, rows).rows
    }


def money(database: IMEIDatabase) -> tuple[int, float]:
    found = statistics(database)
    return found.total_orders, found.total_credits


def results(database: IMEIDatabase) -> dict[str, str | None]:
    """Order id → model."""
    return {row["order_id"]: row["model"] for row in all_orders(database)}


def fates(database: IMEIDatabase, rows: list[ImportRow]) -> list[str]:
    return [str(row.fate) for row in plan_import(database, rows).rows]


@pytest.fixture(name="ordering")
def ordering_fixture(database: IMEIDatabase) -> IMEIDatabase:
    """A database that knows the title of the one service that is ordered."""
    database.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1)], 0.0)
    return database
