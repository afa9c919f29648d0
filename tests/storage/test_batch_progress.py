"""A batch is shown with its counts, which are sums of what is there, and in a snapshot each is counted once."""

from order_tables import NUMBER
from plain_sql import run
from sqlalchemy import insert, select

from database import IMEIDatabase, utc_now
from grading import VerdictCounts
from orders import BatchState, ChunkState, Outcome, Progress
from schema import batches, orders, withheld_results
from storage import batch_progress
from storage.batch_creation import NewBatch, create_batch
from storage.chunk_moves import cancel_rest


def of(database: IMEIDatabase, batch_id: int) -> Progress:
    with database.read() as connection:
        return batch_progress.progress_of(connection, batch_id)


def withhold(database: IMEIDatabase, *order_ids: str) -> None:
    """Note that the provider, asked for these alone, gives no result."""
    row = {"since": utc_now(), "asked_at": utc_now(), "times": 1, "answer": "nothing", "spoils_lists": False}
    with database.write() as connection:
        connection.execute(insert(withheld_results), [row | {"order_id": order_id} for order_id in order_ids])


def test_a_batch_has_an_entry_for_each_outcome_and_each_state_of_a_call(database: IMEIDatabase) -> None:
    numbers = [f"3500000000000{n:02}" for n in range(7)]
    new = NewBatch(
        "stock", "upload", "269", "Check", 0.5, [(imei, None) for imei in numbers], customer="ACME", note="B"
    )
    batch_id = create_batch(database, new, chunk_size=3)
    other = create_batch(database, NewBatch("other", "scan", "269", "Check", 0.1, [(NUMBER, None)]))
    with database.write() as connection:
        run(connection, "UPDATE chunks SET state = 'answered' WHERE id = 1")
        for place, outcome in enumerate(("ordered", "refused", "in_doubt")):
            run(connection, "UPDATE items SET outcome = ? WHERE imei = ?", outcome, numbers[place])
        run(connection, "UPDATE chunks SET state = 'in_doubt' WHERE id = 2")
        cancel_rest(connection, batch_id)
    found = of(database, batch_id)
    assert found.outcomes == {
        Outcome.WAITING: 3, Outcome.ORDERED: 1, Outcome.DUPLICATE: 0, Outcome.REFUSED: 1, Outcome.IN_DOUBT: 1,
        Outcome.CANCELLED: 1,
    }  # fmt: skip
    assert found.chunks == dict.fromkeys(ChunkState, 0) | {
        ChunkState.ANSWERED: 1, ChunkState.IN_DOUBT: 1, ChunkState.CANCELLED: 1
    }  # fmt: skip
    assert (found.label, found.customer, found.note, found.source, found.total) == ("stock", "ACME", "B", "upload", 7)
    assert (found.service_id, found.service_name, found.unit_price) == ("269", "Check", 0.5)
    assert found.state is BatchState.FINISHED
    beside = of(database, other)
    assert (beside.batch_id, beside.label, beside.state, beside.total) == (other, "other", BatchState.RUNNING, 1)
    assert (beside.outcomes[Outcome.WAITING], beside.chunks[ChunkState.PLANNED]) == (1, 1)


def test_a_withheld_result_counts_as_one_that_does_not_come_any_more(database: IMEIDatabase, batch: int) -> None:
    """Only while the order waits for it; orders of another batch and of no batch are not among them."""
    rows = [
        {"imei": NUMBER, "order_id": f"9{n}", "batch_id": batch, "credits": 0.5, "status": status, "verdict": verdict}
        for n, (status, verdict) in enumerate(
            [("Pending", None), ("Pending", None), ("Completed", "pass"), ("Rejected", "fail"), (None, None)]
        )
    ]
    with database.write() as connection:
        connection.execute(insert(orders), rows)
        connection.execute(insert(orders).values(imei=NUMBER, order_id="77", status="Pending", batch_id=None))
    before = of(database, batch)
    assert (before.pending, before.results, before.withheld) == (5, 2, 0)
    withhold(database, "90", "92", "77", "1000")
    with database.read() as connection:
        assert batch_progress.withheld_counts(connection) == {batch: 1, 0: 1}
    found = of(database, batch)
    assert (found.pending, found.results, found.withheld) == (4, 3, 1)
    assert found.verdicts == VerdictCounts(1, 0, 1, 5)
    assert round(found.spent, 6) == round(before.spent, 6) == 2.7


def test_batches_come_in_the_order_of_their_select_and_are_counted_once_in_a_snapshot(database: IMEIDatabase) -> None:
    numbers = [f"3500000000000{n:02}" for n in range(3)]
    ids = [create_batch(database, NewBatch(f"b{n}", "command", "1", "T", 0.1, [(numbers[n], None)])) for n in range(3)]
    newest = select(batches).order_by(batches.c.id.desc())
    with database.snapshot() as connection:
        found = batch_progress.read_progresses(connection, newest)
        assert [one.batch_id for one in found] == ids[::-1]
        assert batch_progress.progress_of(connection, ids[1]) is found[1]
    with database.read() as connection:
        assert batch_progress.read_progresses(connection, newest.where(batches.c.id == 99)) == []
        assert batch_progress.progress_of(connection, ids[1]) is not batch_progress.progress_of(connection, ids[1])
