"""What pages ask PostgreSQL for is found by its indexes: every statement is caught on its way and explained.

tests/storage/test_query_plans.py holds the plans of SQLite, benchmarks/bench_pages.py how long pages take on both.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from postgresql_cluster import Cluster
from sqlalchemy import event, text

from database import IMEIDatabase
from storage import (
    handed_calls,
    kept_sums,
    order_counts,
    order_filters,
    order_pages,
    order_queries,
    order_reports,
    order_searches,
    order_wordings,
)
from storage.batch_creation import NewBatch, create_batch
from storage.order_counts import Count
from storage.order_pages import Sort
from storage.order_terms import OrderFilter
from storage.tag_store import tag_batches

COUNT = 20_000
ORDERS = f"""
INSERT INTO orders (order_id, imei, service_id, batch_id, credits, status, order_date, carrier, fmi, simlock, serial,
 verdict, other_imei, result_code)
SELECT CAST(n AS TEXT), '35' || lpad(CAST(n AS TEXT), 13, '0'), CAST(n % 40 AS TEXT), 1 + n / 500, 0.08,
 CASE WHEN n % 50 = 3 THEN 'Rejected' WHEN n % 100 = 4 THEN 'Pending' ELSE 'Completed' END,
 TIMESTAMP '2026-01-01' + n * INTERVAL '1 minute', CASE n % 500 WHEN 7 THEN 'Rare' ELSE 'Carrier ' || n % 30 END,
 CASE n % 8 WHEN 0 THEN 'ON' WHEN 4 THEN 'Enabled' ELSE 'OFF' END,
 CASE n % 3 WHEN 0 THEN 'Locked' ELSE 'Unlocked' END, 'F17' || n,
 CASE n % 4 WHEN 0 THEN 'fail' ELSE 'pass' END, CASE n % 900 WHEN 0 THEN '1' END, repeat('x', 500)
FROM generate_series(1, {COUNT}) n
"""
BATCHES = """
INSERT INTO batches (label, source, service_id, service_name, unit_price, total, state)
SELECT 'stock', 'page', '1', 'Check', 0.08, 500, 'finished' FROM generate_series(1, 41)
"""
FILTERS = [
    OrderFilter(),
    OrderFilter(q="35000000000012"),
    OrderFilter(q="350000000000012"),
    OrderFilter(status="Rejected"),
    OrderFilter(status="Completed"),
    OrderFilter(verdict="pending"),
    OrderFilter(verdict="fail"),
    OrderFilter(carrier="Rare"),
    OrderFilter(carrier="Rare", status="Completed"),
    OrderFilter(fmi="ON"),
    OrderFilter(fmi="ON", batch=3),
    OrderFilter(fmi="ON", verdict="fail"),
    OrderFilter(service="7", simlock="Locked"),
    OrderFilter(serial="F1712"),
    OrderFilter(mismatch=True),
]
#: Settings that make a plan with several processes the cheapest one.
FREE_PROCESSES = (
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "min_parallel_table_scan_size",
    "min_parallel_index_scan_size",
)

Statements = dict[str, Any]


@pytest.fixture(scope="module")
def filled(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IMEIDatabase]:
    """A database of PostgreSQL that holds COUNT orders, which the tests read, search and tag, one after the other."""
    with cluster.migrated() as address, IMEIDatabase(address, tmp_path_factory.mktemp("data")) as opened:
        with opened.write() as connection:
            for statement in (BATCHES, ORDERS.replace("%", "%%")):
                connection.exec_driver_sql(statement)
        with opened.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE orders")  # as the server does by itself
        kept_sums.tend(opened, 0)
        yield opened


@pytest.fixture
def caught(filled: IMEIDatabase) -> Iterator[Statements]:
    """Every statement that this database is given, with its parameters."""
    found: Statements = {}

    def catch(*given: Any) -> None:
        found.setdefault(given[2], given[3])

    event.listen(filled.engine, "before_cursor_execute", catch)
    yield found
    event.remove(filled.engine, "before_cursor_execute", catch)


def test_pages_read_no_table_of_orders_from_one_end_to_the_other(filled: IMEIDatabase, caught: Statements) -> None:
    search = order_searches.save_search(filled, [f"35{n:013}" for n in range(1, 90)], 0)
    caught.clear()
    for chosen in FILTERS:
        for sort in Sort:
            order_pages.listed(filled, chosen, sort, "", 100)
        order_counts.counted(filled, chosen)
        order_searches.found_page(filled, search, chosen, None, 100)
    order_pages.page(filled, OrderFilter(batch=3), Sort.WORST, "", 100)
    order_searches.known_imeis(filled, search)
    for by in order_reports.BY:
        order_reports.spend(filled, by)
    with filled.read() as connection:
        order_queries.ordered_services(connection)
        order_wordings.suggestions(connection)
    assert len(caught) > 30
    assert "\n".join(walks(filled, caught)) == ""


def test_the_months_of_reports_are_found_among_the_orders_beyond_the_mark(
    filled: IMEIDatabase, caught: Statements
) -> None:
    assert len(order_reports.months(filled)) == 1
    plans = [plan for statement, plan in planned(filled, caught) if "FROM orders" in statement]
    assert plans
    assert "idx_order_date" not in str(plans)


def test_a_page_of_a_finding_in_few_wordings_reads_its_orders_only(
    filled: IMEIDatabase, caught: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VERY_FEW", "FEW"):
        monkeypatch.setattr(order_filters, name, 500)
    caught.clear()
    found = order_pages.listed(filled, OrderFilter(fmi="ON"), Sort.NEWEST, "", 51)
    assert (len(found.orders), found.count.found) == (51, COUNT // 4)
    pages = [plan for statement, plan in planned(filled, caught) if "UNION ALL" in statement]
    [plan] = [plan for plan in pages if "idx_orders_fmi" in str(plan) and "orders_pkey" in str(plan)]
    assert str(plan).count("Index Only Scan Backward using idx_orders_fmi") == 2
    assert "Filter" not in str(plan)


def test_a_page_of_old_batches_reads_the_newest_orders_of_each(filled: IMEIDatabase, caught: Statements) -> None:
    tag_batches(filled, range(1, 11), "old")
    caught.clear()
    found = order_pages.listed(filled, OrderFilter(tag="old"), Sort.NEWEST, "", 51)
    assert (len(found.orders), found.count) == (51, Count(4999, is_all=True))
    [(statement, values)] = [one for one in caught.items() if "orders.result_code" in one[0]]
    with filled.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, TIMING OFF) {statement}", values).scalars().all()
    assert "Index Only Scan Backward using idx_orders_batch" in str(plan)
    rows = [int(rows) * int(loops) for rows, loops in re.findall(r"actual rows=(\d+) loops=(\d+)", "\n".join(plan))]
    assert max(rows) <= 10 * 52


def walks(database: IMEIDatabase, statements: Statements) -> list[str]:
    """Return the statements whose plan reads the whole table of orders: more than the beginning, up to a limit.

    Also those that are shared among processes, which take longer to start than a page may take.
    """
    return [
        f"{line} ← {statement}"
        for statement, lines in planned(database, statements)
        for above, line in pairwise(lines)
        if "Gather" in line or ("Seq Scan on orders" in line and "Limit" not in above)
    ]


def planned(database: IMEIDatabase, statements: Statements) -> list[tuple[str, Sequence[str]]]:
    """Return each statement that reads, and the lines of its plan, as if more processes cost nothing."""
    reading = [one for one in statements.items() if one[0].lstrip().startswith(("SELECT", "WITH"))]
    with database.read() as connection:
        for setting in FREE_PROCESSES:
            connection.exec_driver_sql(f"SET LOCAL {setting} = 0")
        return [
            (statement, connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all())
            for statement, parameters in reading
        ]


def test_a_call_of_a_new_batch_reads_its_own_imeis_only(server_database: IMEIDatabase) -> None:
    """The server knows nothing yet of the rows of a batch that was just planned."""
    numbers = [(f"35{number:013d}", number) for number in range(1, 5_001)]
    create_batch(server_database, NewBatch("stock", "page", "1", "Check", 0.08, numbers), 100)
    given = {"attempt": 1, "account": "main", "secret": "x", "latest": 1.0}
    with server_database.read() as connection:
        plan = "\n".join(connection.execute(text(f"EXPLAIN {handed_calls.BEGIN.text}"), given).scalars())
    assert "idx_items_chunk" in plan
    assert "idx_items_one_in_flight" not in plan
