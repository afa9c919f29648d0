"""How long the history's queries take over five million orders.

The orders are made by SQLite itself, newest last, with the indexes in place, as they would have grown.
"""

import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from database import IMEIDatabase
from storage import order_filters, order_queries, order_reports, result_store
from storage.order_filters import OrderFilter

HISTORY_ORDERS = 5_000_000
PART = 250_000
LIMIT = "< 300 ms"

FILL = """
WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {last})
INSERT INTO orders (order_id, imei, imei2, service_name, service_id, credits, status, order_date, carrier, simlock,
                    model, fmi, result_code_display, other_imei)
SELECT 15000000 + i, printf('%015d', 350000000000000 + i * 7919 % 10000000000000),
       CASE WHEN i % 3 = 0 THEN printf('%015d', 360000000000000 + i) END,
       'Service ' || i % 40, i % 40, 0.08,
       CASE WHEN i > {total} - 20000 THEN 'Pending' WHEN i % 50 = 0 THEN 'Rejected' ELSE 'Completed' END,
       datetime('2024-01-01', (i * 12) || ' seconds') || '.000000',
       CASE WHEN i % 100000 = 7 THEN 'Rare Mobile' WHEN i % 2 THEN 'T-Mobile' ELSE 'AT&T' END,
       CASE i % 3 WHEN 0 THEN 'Locked' ELSE 'Unlocked' END, 'iPhone 12',
       CASE WHEN i % 50000 = 3 THEN 'UNKNOWN' WHEN i % 2 THEN 'ON' ELSE 'OFF' END,
       'Model: iPhone 12', CASE WHEN i % 20000 = 9 THEN '359999990000001' END
FROM n
"""


def run(total: int = HISTORY_ORDERS) -> list[tuple[str, str, str]]:
    """The table: what, measured, target."""
    with tempfile.TemporaryDirectory() as folder, IMEIDatabase(Path(folder) / "orders.db") as database:
        started = time.perf_counter()
        fill(database, total)
        filled = f"{total / (time.perf_counter() - started):,.0f} a second"
        return [(f"Filling {total:,} orders", filled, "-"), *_pages(database, total), *_sums(database)]


def fill(database: IMEIDatabase, total: int) -> None:
    """Orders as an operator of years would have them."""
    for first in range(0, total, PART):
        with database.write() as connection:
            last = min(first + PART, total)
            connection.exec_driver_sql(FILL.format(first=first, last=last, total=total))


def _pages(database: IMEIDatabase, total: int) -> list[tuple[str, str, str]]:
    some = next(iter(order_filters.page(database, OrderFilter(), total // 2, 1)))
    filters = {
        "newest": OrderFilter(),
        "pending": OrderFilter(status="Pending"),
        "rejected": OrderFilter(status="Rejected"),
        "one IMEI": OrderFilter(q=some.imei),
        "an order id": OrderFilter(q=some.order_id or ""),
        "a TAC": OrderFilter(q=some.imei[:8]),
        "a rare carrier": OrderFilter(carrier="Rare Mobile"),
        "a rare carrier and FMI": OrderFilter(carrier="Rare Mobile", fmi="ON"),
        "FMI ON": OrderFilter(fmi="ON"),
        "a service": OrderFilter(service="7"),
        "one old day": OrderFilter(since=date(2024, 2, 1), until=date(2024, 2, 1)),
        "other IMEI": OrderFilter(mismatch=True),
    }
    return [
        (f"History page: {name}", _timed(lambda chosen=chosen: order_filters.page(database, chosen)), LIMIT)  # type: ignore[misc]
        for name, chosen in filters.items()
    ]


def _mismatched(database: IMEIDatabase) -> int:
    with database.read() as connection:
        return order_filters.mismatched_count(connection)


def _sums(database: IMEIDatabase) -> list[tuple[str, str, str]]:
    return [
        ("Pending orders for the sync", _timed(lambda: result_store.pending_orders(database)), LIMIT),
        ("Results about another IMEI, counted", _timed(lambda: _mismatched(database)), LIMIT),
        ("Dashboard: results", _timed(lambda: order_queries.result_counts(database)), LIMIT),
        ("Dashboard: 14 days", _timed(lambda: order_queries.daily(database)), LIMIT),
        ("Spend by day, all orders", _timed(lambda: order_reports.spend(database, "day")), "seconds"),
    ]


def _timed(work: Callable[[], object]) -> str:
    """The second of two runs, as a page that is open all day sees it."""
    work()
    started = time.perf_counter()
    work()
    return f"{(time.perf_counter() - started) * 1000:,.1f} ms"
