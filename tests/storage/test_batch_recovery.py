"""Batch ids and calls of a database that is older than the answers kept beside it."""

from handmade_calls import call, planned
from plain_sql import run
from simulated_provider import imeis

from database import IMEIDatabase
from storage import batch_recovery, batch_states
from storage.batch_recovery import PlannedCall


def test_batch_ids_that_were_given_before_are_skipped(database: IMEIDatabase) -> None:
    with database.write() as connection:
        assert batch_recovery.last_batch_id(connection) == 0
        batch_recovery.skip_batch_ids(connection, 41)
        assert batch_recovery.last_batch_id(connection) == 41
    batch_id, _ = planned(database, 1)
    assert batch_id == 42
    with database.read() as connection:
        assert batch_recovery.last_batch_id(connection) == 42


def test_the_attempts_of_planned_calls_are_set_one_by_one(database: IMEIDatabase) -> None:
    call(database, imeis(1))  # on the wire
    batch_id, [first, second] = planned(database, 4, first=10)
    with database.write() as connection:
        batch_recovery.set_attempts(connection, {second: 3})
        assert batch_recovery.planned_calls(connection, batch_id) == [PlannedCall(first, 0), PlannedCall(second, 3)]
        assert batch_recovery.planned_calls(connection, 1) == []


def test_running_and_paused_batches_are_unfinished_oldest_first(database: IMEIDatabase) -> None:
    ids = [planned(database, 1, first=first)[0] for first in range(3)]
    with database.write() as connection:
        batch_states.pause(connection, ids[0], "by a person")
        run(connection, "UPDATE batches SET state = 'finished' WHERE id = ?", ids[1])
        assert batch_recovery.unfinished_ids(connection) == [ids[0], ids[2]]
