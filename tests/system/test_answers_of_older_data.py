"""Data that is older than what was sent since: whatever the kept answers show is found before anything is sent again.

The provider never refuses a duplicate, lists nothing, and tells no balance: only the kept answers show what was paid.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from batch_checks import new_batch, outcomes
from older_copies import put_in_place, restore_orders
from simulated_provider import Knobs, Simulator, judge, system

from database import IMEIDatabase
from production_submission_system import ProductionSubmissionSystem
from settings import Settings
from storage import batch_states, call_queries, call_records
from submission.checkpoints import Checkpoints
from submission.older_copy import RESTORED, SENTENCE, older_copy_objection, recognise_older_copy, stop_restored

pytestmark = pytest.mark.usefixtures("quick_looks")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, duplicates="never")) as running:
        yield running


@contextmanager
def blind(simulator: Simulator, database: IMEIDatabase, **options: Any) -> Iterator[ProductionSubmissionSystem]:
    """A system whose provider shows nothing of what it was paid for."""
    simulator.set(listing="off", accountinfo="off")
    with system(simulator, database, in_use=False, patience=0.5, **options) as running:
        yield running


def test_a_call_on_the_wire_that_was_refused_and_then_answered_is_not_sent_a_third_time(
    simulator: Simulator, settings: Settings
) -> None:
    with IMEIDatabase(settings.database_path) as database:
        batch_id = new_batch(database, 4, 4)
        copy = database.backup(settings.data_dir / "backups")
        with IMEIDatabase(copy) as older, older.write() as connection:
            [(chunk_id, _)] = call_queries.planned_chunks(connection, batch_id, 1)
            call_records.write_intents(connection, [chunk_id])
        simulator.set(fault="maintenance", fault_when="before", fault_limit=1)
        with system(simulator, database, chunk_size=4) as running:
            assert running.run_batch(batch_id).successful == 4
    put_in_place(copy, settings.database_path)
    with IMEIDatabase(settings.database_path) as database:
        with blind(simulator, database, chunk_size=4) as running:
            running.run_batch(batch_id)
        assert outcomes(database, batch_id) == {"ordered": 4}
        assert judge(simulator, database) == (0, 0)
        assert older_copy_objection(database) == SENTENCE


def put_back_before_an_answer_that_names_fewer(simulator: Simulator, settings: Settings) -> int:
    """Run a batch, of which one answer names fewer orders than IMEIs, and put a copy from before it in its place."""
    with IMEIDatabase(settings.database_path) as database:
        batch_id = new_batch(database, 6, 3)
        copy = database.backup(settings.data_dir / "backups")
        simulator.set(fault="fewer", fault_limit=1)
        with system(simulator, database, chunk_size=3) as running:
            running.run_batch(batch_id)
    put_in_place(copy, settings.database_path)
    return batch_id


def test_after_a_rebuild_nothing_is_stopped_again_by_what_an_answer_does_not_name(
    simulator: Simulator, settings: Settings
) -> None:
    """The rest of a call whose answer restored some of its orders: its outcome is that of the answer."""
    batch_id = put_back_before_an_answer_that_names_fewer(simulator, settings)
    with IMEIDatabase(settings.database_path) as database, blind(simulator, database, chunk_size=3) as running:
        running.run_batch(batch_id)
        assert older_copy_objection(database) == SENTENCE
        simulator.set(listing="on", accountinfo="on")
        assert restore_orders(running, database)
        with database.write() as connection:
            batch_states.resume(connection, batch_id)
        result = running.run_batch(batch_id)
        assert older_copy_objection(database) == ""
        assert (result.waiting, judge(simulator, database)[0]) == (0, 0)


def test_a_batch_that_is_rebuilt_before_the_first_start_goes_on_with_it(
    simulator: Simulator, settings: Settings
) -> None:
    batch_id = put_back_before_an_answer_that_names_fewer(simulator, settings)
    with IMEIDatabase(settings.database_path) as database, system(simulator, database, chunk_size=3) as running:
        stop_restored(database, Checkpoints(settings.data_dir / "checkpoints"))
        assert restore_orders(running, database)
        running.run_batch(batch_id)
        assert older_copy_objection(database) == ""
        assert judge(simulator, database)[0] == 0


def test_new_orders_carry_no_key_of_an_order_that_was_restored(simulator: Simulator, settings: Settings) -> None:
    """The items of new batches get the ids of those that were lost; the provider answered with their orders."""
    simulator.set(order_key="honoured")
    with IMEIDatabase(settings.database_path) as database:
        database.install_id()
        copy = database.backup(settings.data_dir / "backups")
        with system(simulator, database, chunk_size=1, send_order_key=True) as running:
            assert running.run_batch(new_batch(database, 3, 1)).successful == 3
    put_in_place(copy, settings.database_path)
    with (
        IMEIDatabase(settings.database_path) as database,
        system(simulator, database, chunk_size=1, send_order_key=True) as running,
    ):
        recognise_older_copy(database, Checkpoints(settings.data_dir / "checkpoints"))
        assert restore_orders(running, database)
        assert running.run_batch(new_batch(database, 3, 1, first=50)).successful == 3
        assert (judge(simulator, database), len(simulator.charges())) == ((0, 0), 6)


@pytest.mark.parametrize("has_batch", [True, False], ids=["with its batch", "without its batch"])
def test_a_call_without_any_answer_shows_that_the_data_are_older(
    simulator: Simulator, settings: Settings, has_batch: bool
) -> None:
    """What it placed is on a list that reaches back; until then nothing is ordered, and no new batch is made."""
    with IMEIDatabase(settings.database_path) as database:
        with system(simulator, database, chunk_size=2) as running:
            assert running.run_batch(new_batch(database, 2, 2, first=20)).successful == 2
        copy = None if has_batch else database.backup(settings.data_dir / "backups")
        batch_id = new_batch(database, 4, 4)
        copy = copy or database.backup(settings.data_dir / "backups")
        simulator.set(fault="close", fault_when="after", fault_limit=1)
        with blind(simulator, database, chunk_size=4) as running:
            running.run_batch(batch_id)
    settings.database_path.write_bytes(copy.read_bytes())  # the same file
    for beside in settings.data_dir.glob(f"{settings.database_path.name}-*"):
        beside.unlink()
    with IMEIDatabase(settings.database_path) as database, system(simulator, database, chunk_size=4) as running:
        recognise_older_copy(database, Checkpoints(settings.data_dir / "checkpoints"))
        assert older_copy_objection(database) == RESTORED
        simulator.set(listing="on", accountinfo="on", listing_limit=100)
        assert restore_orders(running, database)
        if has_batch:
            with database.write() as connection:
                batch_states.resume(connection, batch_id)
        running.run_batch(batch_id if has_batch else new_batch(database, 4, 4))
        assert not recognise_older_copy(database, Checkpoints(settings.data_dir / "checkpoints"))
        assert older_copy_objection(database) == ""
        assert (len(simulator.charges()), judge(simulator, database)[0]) == (6, 0)
