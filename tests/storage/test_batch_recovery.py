"""Batch ids and calls of a database that is older than the answers kept beside it."""

from handmade_calls import call, planned
from plain_sql import run
from simulated_provider import imeis

from database import IMEIDatabase
from storage import batch_recovery, batch_states
from storage.batch_recovery import OpenCall


def test_batch_ids_that_were_given_before_are_skipped(database: IMEIDatabase) -> None:
    with database.write() as connection:
        assert batch_recovery.last_batch_id(connection) == 0
        batch_recovery.skip_batch_ids(connection, 41)
        assert batch_recovery.last_batch_id(connection) == 41
    batch_id, _ = planned(database, 1)
    assert batch_id == 42
    with database.read() as connection:
        assert batch_recovery.last_batch_id(connection) == 42


def test_chunk_ids_that_were_answered_before_are_skipped(database: IMEIDatabase) -> None:
    with database.write() as connection:
        assert batch_recovery.last_chunk_id(connection) == 0
        batch_recovery.skip_chunk_ids(connection, 41)
        assert batch_recovery.last_chunk_id(connection) == 41
    _, chunk_ids = planned(database, 1)
    assert chunk_ids == [42]


def test_open_calls_are_planned_again_under_their_attempts_one_by_one(database: IMEIDatabase) -> None:
    on_the_wire = call(database, imeis(1))
    batch_id, [first, second, *_] = planned(database, 6, first=10)
    with database.write() as connection:
        batch_recovery.plan_again(connection, {second: 3})
        run(connection, "UPDATE chunks SET state = 'answered' WHERE id > ?", second)
        assert batch_recovery.open_calls(connection, batch_id) == [OpenCall(first, 0), OpenCall(second, 3)]
        assert batch_recovery.open_calls(connection, on_the_wire.batch_id) == [OpenCall(on_the_wire.chunk_id, 1)]


def test_unfinished_batches_and_those_in_doubt_are_open_oldest_first(database: IMEIDatabase) -> None:
    ids = [planned(database, 1, first=first)[0] for first in range(4)]
    with database.write() as connection:
        batch_states.pause(connection, ids[0], "by a person")
        run(connection, "UPDATE batches SET state = 'finished' WHERE id IN (?, ?)", ids[1], ids[3])
        run(connection, "UPDATE chunks SET state = 'in_doubt' WHERE batch_id = ?", ids[3])
        assert batch_recovery.open_batches(connection) == [ids[0], ids[2], ids[3]]
