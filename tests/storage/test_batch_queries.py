"""Queries about batches: what a batch has spent is the sum of what its orders cost."""

from order_tables import NUMBER
from sqlalchemy import insert

from database import IMEIDatabase
from schema import order_totals as totals
from schema import orders, totals_mark
from storage import batch_queries, kept_sums, order_reports


def test_a_batch_has_spent_what_its_orders_cost_whatever_its_price_is_now(database: IMEIDatabase, batch: int) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET unit_price = 0.6, revision = revision + 1")
        connection.execute(insert(orders), [{"imei": NUMBER, "batch_id": batch, "credits": 0.6} for _ in range(3)])
        connection.execute(insert(orders).values(imei=NUMBER, credits=70.0))  # of no batch
    for upto in (0, 3, 5, 6):  # counted where they lie, some below the mark, all below it
        with database.write() as connection:
            connection.execute(totals.delete())
            connection.execute(kept_sums._roll(), {"after": 0, "upto": upto})
            connection.execute(totals_mark.update().values(upto=upto))
        found = batch_queries.progress(database, batch)
        assert found is not None
        assert (round(found.spent, 6), round(found.cost, 6), round(found.at_stake, 6)) == (2.0, 2.6, 0.6), upto
        assert [round(row.spent, 6) for row in order_reports.spend(database, "batch")] == [70.0, 2.0]
