"""The report of a batch: its own orders and reasons, and nothing of any other batch."""

from simulated_provider import imeis
from sqlalchemy import insert, update
from web_client import order_batch

from database import IMEIDatabase
from orders import Outcome
from schema import items, orders
from storage import batch_queries
from storage.kept_sums import FINDINGS
from web.batch_summary import BatchSummary, summary_of


def summary(database: IMEIDatabase, batch_id: int) -> BatchSummary:
    batch = batch_queries.progress(database, batch_id)
    assert batch
    return summary_of(database, batch)


def test_a_report_has_the_results_and_reasons_of_its_batch_alone(database: IMEIDatabase) -> None:
    first, other = order_batch(database, imeis(4)), order_batch(database, imeis(2, first=10))
    with database.write() as connection:
        values = {"status": "Completed", "carrier": "T-Mobile", "verdict": "pass"}
        connection.execute(update(orders).where(orders.c.batch_id == first, orders.c.id < 4).values(**values))
        connection.execute(update(orders).where(orders.c.id == 1).values(other_imei="350000000000014"))
        values |= {"carrier": "Sprint", "other_imei": "350000000000014"}
        connection.execute(update(orders).where(orders.c.batch_id == other).values(**values))
        connection.execute(insert(orders).values(imei=imeis(1, 50)[0], order_id="x", status="Completed", carrier="x"))
        refused = {"outcome": Outcome.REFUSED, "message": "Invalid IMEI"}
        connection.execute(update(items).where(items.c.batch_id == other).values(**refused))
    found = summary(database, first)
    assert found.batch.batch_id == first
    assert found.results == {"Completed": 3, "Pending": 1}
    assert (found.mismatched, found.errors) == (1, [])
    assert (found.verdicts.passed, found.verdicts.pending) == (3, 1)
    assert [name for name, _ in found.fields] == list(FINDINGS)
    assert [(row.value, row.orders) for row in dict(found.fields)["carrier"] if row.value] == [("T-Mobile", 3)]
    assert summary(database, other).errors == [(Outcome.REFUSED, "Invalid IMEI", 2)]
    assert summary(database, other).mismatched == 2
