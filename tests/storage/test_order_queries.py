"""Queries about orders: totals, statistics and the order of the rows."""

from datetime import datetime

from order_tables import NUMBER, ORDER
from sqlalchemy import insert

from database import IMEIDatabase, utc_now
from schema import orders
from storage import batch_queries, kept_sums, order_queries, order_reports


def test_an_order_that_existed_before_our_call_costs_nothing_anywhere(database: IMEIDatabase, batch: int) -> None:
    before = batch_queries.progress(database, batch)
    assert before is not None
    values = {"imei": NUMBER, "batch_id": batch, "credits": 0, "existed": True, "order_date": utc_now()}
    with database.write() as connection:
        promised = batch_queries.spent_or_promised(connection)
        connection.execute(insert(orders).values(**values, service_name="Check", status="Completed"))
    for few in (1000, 0):
        kept_sums.tend(database, few)
        after = batch_queries.progress(database, batch)
        assert after is not None
        assert (after.spent, after.cost) == (before.spent, before.cost)
        with database.read() as connection:
            assert batch_queries.spent_or_promised(connection) == promised
            today = batch_queries.today(connection)
        assert (today.orders, round(today.spent, 6)) == (3, 0.2)
        assert order_queries.statistics(database).total_credits == 0.2
        assert round(order_queries.daily(database)[-1].spent, 6) == 0.2
        assert all(round(row.spent, 6) == 0.2 for by in order_reports.BY for row in order_reports.spend(database, by))


def test_statistics_are_sums_of_what_is_there(database: IMEIDatabase) -> None:
    database.insert_order(ORDER)
    database.insert_order({**ORDER, "order_id": "2", "status": "Completed"})
    found = order_queries.statistics(database)
    assert (found.total_orders, found.total_credits) == (2, 0.16)
    assert found.by_status == {"Pending": 1, "Completed": 1}


def test_orders_of_an_imei_are_listed_by_date_whenever_a_file_brought_them(database: IMEIDatabase) -> None:
    for order_id, day in (("new", "2026-02-01"), ("old", "2024-02-01")):
        database.insert_order({**ORDER, "order_id": order_id, "order_date": datetime.fromisoformat(day)})
    assert [order.order_id for order in order_queries.orders_of_phone(database, [ORDER["imei"]])] == ["new", "old"]
