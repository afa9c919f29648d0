"""Figures of services from own orders: turnaround, rejections, cost of a result, and prices over time."""

from datetime import UTC, datetime, timedelta

import pytest
from order_tables import NUMBER
from sqlalchemy import delete, insert

from database import IMEIDatabase
from orders import DisputeState, ServiceInfo
from schema import disputes, orders, status_changes
from storage import dispute_queries, dispute_store, kept_sums, order_reports, service_figure_store
from storage.dispute_store import Refund
from storage.service_figure_store import ALL, RECENT, percentile, seconds_of, step_of

NOW = datetime(2026, 11, 25, 12)
UNIX = NOW.replace(tzinfo=UTC).timestamp()
CHECK = ServiceInfo("269", "Check", 0.5, "Instant")


def placed(database: IMEIDatabase, age: int, took: float, status: str, name: str = "Check") -> int:
    """Store an order of some days ago that got its result after some seconds."""
    day = NOW - timedelta(days=age)
    row = {"imei": NUMBER, "status": status, "credits": 0.5, "service_name": name, "service_id": "269"}
    with database.write() as connection:
        order = connection.execute(insert(orders).values(order_date=day, **row).returning(orders.c.id)).scalar_one()
        if status == "Pending":
            return int(order)
        change = {"order_row": order, "old": "Pending", "new": status, "changed_at": day + timedelta(seconds=took)}
        connection.execute(insert(status_changes).values(change))
        again = change | {"old": status, "new": "Completed", "changed_at": NOW}
        connection.execute(insert(status_changes).values(again))
    return int(order)


def close(value: float | None, seconds: float) -> bool:
    return value is not None and abs(value / seconds - 1) < 0.05


def test_figures_tell_apart_the_newest_days_and_all(database: IMEIDatabase) -> None:
    database.store_services([CHECK], UNIX)
    for took in (60.0, 120.0, 7200.0):
        placed(database, 1, took, "Completed")
    rejected = placed(database, 2, 60.0, "Rejected")
    placed(database, 200, 86_400.0, "Rejected")
    placed(database, 3, 9.0, "Pending")
    service_figure_store.update_figures(database, lambda: UNIX)
    recent, all_time = service_figure_store.figures(database)["269"], service_figure_store.figures(database, ALL)["269"]
    assert (recent.completed, recent.rejected, recent.timed, recent.cost) == (3, 1, 4, 2.0 / 3)
    assert (recent.rejection_rate, all_time.rejected, all_time.spent, all_time.computed_at) == (0.25, 2, 2.5, UNIX)
    assert close(recent.median, 60)
    assert close(recent.slow, 7200)
    assert close(all_time.slow, 86_400)
    dispute_store.open_orders(database, [rejected], "anna")
    dispute = dispute_queries.page(database, DisputeState.OPEN, None, None, 1)[0]
    dispute_store.record_refunds(database, [Refund(dispute.id, 0.5, NOW.date())], "anna")
    kept_sums.tend(database, 0)
    placed(database, 1, 60.0, "Completed")
    service_figure_store.update_figures(database, lambda: UNIX)
    found = service_figure_store.figures_of(database, "269")
    assert found.keys() == {RECENT, ALL}
    assert (found[RECENT].completed, found[RECENT].timed, found[RECENT].cost) == (4, 5, 0.5)


def test_the_cost_per_result_is_that_of_the_reports(database: IMEIDatabase) -> None:
    """Pending orders and IMEIs in doubt are left out; refunds of completed and rejected orders are subtracted."""
    database.store_services([CHECK], UNIX)
    given = [placed(database, 1, 60.0, status) for status in ("Completed", "Completed", "Rejected", "Pending")]
    dispute_store.open_orders(database, given[1:3], "anna")
    found = [dispute.id for dispute in dispute_queries.page(database, None, None, None, 9)]
    dispute_store.record_refunds(database, [Refund(one, 0.2, NOW.date()) for one in found], "anna")
    in_doubt = {"kind": "in_doubt", "state": "refunded", "imei": NUMBER, "service_name": "Check", "refund": 9.0}
    with database.write() as connection:
        connection.execute(insert(disputes).values(**in_doubt, ordered_at=NOW, opened_at=NOW, changed_at=NOW))
    service_figure_store.update_figures(database, lambda: UNIX)
    of_services = [service_figure_store.figures_of(database, "269")[days].cost for days in (RECENT, ALL)]
    of_reports = [row.cost_per_result for by in ("service", "month") for row in order_reports.spend(database, by)]
    assert of_services + of_reports == [pytest.approx((3 * 0.5 - 2 * 0.2) / 2)] * 4


def test_orders_of_no_service_that_is_known_have_no_figures(database: IMEIDatabase) -> None:
    placed(database, 1, 60.0, "Completed", "Another")
    service_figure_store.update_figures(database, lambda: UNIX)
    assert service_figure_store.figures(database) == {}


def test_changes_are_counted_once_and_in_parts(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_figure_store, "COUNTED_AT_ONCE", 3)
    database.store_services([CHECK], UNIX)
    for _ in range(5):
        placed(database, 1, 60.0, "Completed")
    for _ in range(3):
        service_figure_store.update_figures(database, lambda: UNIX)
    assert service_figure_store.figures(database)["269"].timed == 5


def test_a_change_with_the_id_of_a_removed_one_is_counted(file_database: IMEIDatabase) -> None:
    file_database.store_services([CHECK], UNIX)
    placed(file_database, 1, 60.0, "Completed")
    removed = placed(file_database, 1, 60.0, "Completed")
    service_figure_store.update_figures(file_database, lambda: UNIX)
    with file_database.write() as connection:
        connection.execute(delete(status_changes).where(status_changes.c.order_row == removed))
        service_figure_store.follow_removed_changes(connection)
    placed(file_database, 1, 60.0, "Completed")
    service_figure_store.update_figures(file_database, lambda: UNIX)
    assert service_figure_store.figures(file_database)["269"].timed == 3


def test_a_percentile_is_exact_to_five_percent() -> None:
    assert all(abs(seconds_of(step_of(n)) / n - 1) < 0.05 for n in (1, 2, 59, 3600, 10**6))
    assert percentile({}, 0.5) is None
    assert (step_of(-5), step_of(0)) == (0, 0)


def test_the_history_of_prices_has_a_row_for_each_change(database: IMEIDatabase) -> None:
    for at, price in ((1.0, 0.5), (2.0, 0.5), (3.0, 0.6), (4.0, 0.5)):
        database.store_services([ServiceInfo("269", "Check", price, "Instant")], at)
    database.store_services([], 5.0)
    database.store_services([CHECK], 6.0)
    found = service_figure_store.prices(database, "269")
    assert [(one.since, one.price) for one in found] == [(1.0, 0.5), (3.0, 0.6), (4.0, 0.5)]
