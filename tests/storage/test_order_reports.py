"""Reports: spend by day, service and batch, and what the results of a batch say."""

import random

from order_tables import row
from sqlalchemy import insert, update

from database import IMEIDatabase
from schema import orders
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
