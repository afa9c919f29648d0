"""Reports: spend by day, service and batch, and what the results of a batch say."""

import random
from datetime import date, datetime
from typing import Any

import pytest
from handmade_calls import planned
from order_tables import NUMBER, row
from sqlalchemy import insert, update

from database import IMEIDatabase
from schema import batches, orders
from storage import kept_sums, order_queries, order_reports
from storage.kept_sums import tally_finished


def test_reports_and_the_chart_add_up_the_same_before_and_after_the_mark_moves(database: IMEIDatabase) -> None:
    chance = random.Random(6)
    with database.write() as connection:
        connection.execute(insert(orders), [row(chance) | {"batch_id": None} for _ in range(200)])
    before = [order_reports.spend(database, by) for by in order_reports.BY], order_queries.daily(database)
    kept_sums.tend(database, 0)
    assert before == ([order_reports.spend(database, by) for by in order_reports.BY], order_queries.daily(database))
    assert sum(one.orders for one in before[0][0]) == 200


def findings_of(database: IMEIDatabase, batch: int) -> list[order_reports.FindingCount]:
    with database.read() as connection:
        return order_reports.finding_summary(connection, batch)


def test_findings_come_from_the_tally_until_a_result_changes(database: IMEIDatabase, batch: int) -> None:
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed", carrier="A"))
    tally_finished(database)
    said = findings_of(database, batch)
    assert [(one.value, one.orders) for one in said if one.field == "carrier"] == [("A", 2)]
    with database.write() as connection:  # as by hand, without a word to the batch
        connection.exec_driver_sql("UPDATE orders SET carrier = 'B' WHERE id = (SELECT max(id) FROM orders)")
    said = findings_of(database, batch)
    assert [(one.value, one.orders) for one in said if one.field == "carrier"] == [("A", 1), ("B", 1)]


def placed(database: IMEIDatabase, day: str | None, **values: Any) -> None:
    """Store an order of a UTC day that cost half a dollar."""
    order = {"imei": NUMBER, "credits": 0.5, "order_date": day and datetime.fromisoformat(f"{day} 12:00:00")}
    with database.write() as connection:
        connection.execute(insert(orders).values(**order, **values))


def test_a_report_is_of_the_days_of_a_period_and_links_to_the_orders_of_each_row(database: IMEIDatabase) -> None:
    for day in ("2025-12-30", "2025-12-31", "2026-01-01", "2026-02-28", None):
        placed(database, day, service_name="Check", status="Completed")
    since, until = date(2025, 12, 31), date(2026, 2, 27)

    def rows(by: str, *period: date) -> list[tuple[str, int, dict[str, str]]]:
        return [(row.key, row.orders, dict(row.filters)) for row in order_reports.spend(database, by, *period)]

    assert rows("day", since, until) == [
        ("2026-01-01", 1, {"since": "2026-01-01", "until": "2026-01-01"}),
        ("2025-12-31", 1, {"since": "2025-12-31", "until": "2025-12-31"}),
    ]
    assert rows("month", since, until) == [
        ("2026-01", 1, {"since": "2026-01-01", "until": "2026-01-31"}),
        ("2025-12", 1, {"since": "2025-12-31", "until": "2025-12-31"}),
    ]
    assert rows("month")[0] == ("2026-02", 1, {"since": "2026-02-01", "until": "2026-02-28"})
    assert rows("month")[-1] == ("", 1, {})  # of an unknown day, which is in no period
    assert rows("service", since, until) == [("Check", 2, {})]
    with pytest.raises(ValueError, match="not by 'moon'"):
        rows("moon")


def test_batches_customers_and_people_are_sorted_by_what_was_spent(database: IMEIDatabase) -> None:
    first, second = (planned(database, 1, first=place)[0] for place in range(2))
    for batch_id, names, count in ((first, ("June", "ACME", "anna"), 1), (second, ("July", "Acme", "berta"), 2)):
        of_batch = update(batches).where(batches.c.id == batch_id)
        values = dict(zip(("label", "customer", "ordered_by"), names, strict=True))
        with database.write() as connection:
            connection.execute(of_batch.values(**values))
        for _ in range(count):
            placed(database, "2026-01-01", batch_id=batch_id, status="Rejected")
    placed(database, "2026-01-01")

    def rows(by: str, most: int | None = None) -> tuple[list[tuple[str, float, dict[str, str]]], int]:
        found, groups = order_reports.top(database, by, None, None, most)
        return [(row.key, row.spent, dict(row.filters)) for row in found], groups

    batch_rows, groups = rows("batch", 2)
    assert batch_rows == [(f"#{second} July", 1.0, {"batch": str(second)}), ("", 0.5, {})]
    assert groups == 3
    assert rows("person")[0] == [("berta", 1.0, {"person": "berta"}), ("", 0.5, {}), ("anna", 0.5, {"person": "anna"})]
    assert rows("customer") == ([("Acme", 1.5, {}), ("", 0.5, {})], 2)
    assert rows("customer", 1) == ([("Acme", 1.5, {})], 2)
    total = order_reports.added(order_reports.spend(database, "person"))
    assert (total.orders, total.rejected, total.spent, total.lost, total.cost_per_result) == (4, 3, 2.0, 1.5, None)


@pytest.mark.parametrize("few", [1000, 0])
def test_months_go_from_the_newest_order_to_the_oldest(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    assert order_reports.months(database) == []
    for day in ("2025-11-30", None, "2026-02-01"):
        placed(database, day)
    kept_sums.tend(database, few)
    assert order_reports.months(database) == [date(2026, 2, 1), date(2026, 1, 1), date(2025, 12, 1), date(2025, 11, 1)]
    placed(database, "2026-03-31")
    assert order_reports.months(database)[0] == date(2026, 3, 1)
    monkeypatch.setattr(order_reports, "MOST_MONTHS", 2)
    assert order_reports.months(database) == [date(2026, 3, 1), date(2026, 2, 1)]
