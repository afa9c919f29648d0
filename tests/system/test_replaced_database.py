"""Another file in the database's place, under the running program or before its start: it is said, nothing paid twice.

The provider never refuses a duplicate: what the older file would send again would be charged again.
"""

import os
from collections.abc import Iterator
from contextlib import closing

import pytest
from batch_checks import (
    assert_all_paid_once,
    at_work,
    found,
    new_batch,
    outcomes,
    paid_calls,
    rows,
    told_by_page,
    waits,
)
from older_copies import MANY, TOTAL, KnowsNothing, browser_on, order_all_and_put_back, put_in_place, restore_orders
from planted_kills import CHUNK
from simulated_provider import SERVICE, Knobs, Simulator, imeis, system
from waiting import wait_until
from web_client import words

from database import DatabaseReplacedError, IMEIDatabase
from engines import REPLACED
from orders import BatchState
from settings import Settings
from sqlite_file import dbapi
from storage import batch_states, call_queries, chunk_moves
from storage.batch_creation import NewBatch, create_batch
from submission.older_copy import SENTENCE

pytestmark = pytest.mark.usefixtures("quick_looks")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.25, duplicates="never")) as running:
        yield running


def test_a_file_replaced_under_the_running_program_stops_it_loudly(
    simulator: Simulator, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with IMEIDatabase(settings.database_path) as database:
        batch_id, browser = new_batch(database, TOTAL, CHUNK), browser_on(database, settings)
        copy = database.backup(settings.data_dir / "backups")
        two_workers = system(simulator, database, workers=2, chunk_size=CHUNK)
        with two_workers as running, pytest.raises(DatabaseReplacedError), at_work(running):
            wait_until(lambda: paid_calls(simulator) >= 4 and waits(simulator) > 0, "calls are on the wire")
            put_in_place(copy, database.path)
            wait_until(lambda: waits(simulator) == 0, "their answers")
        assert REPLACED in caplog.text
        answer = browser.get(f"/batches/{batch_id}")
        assert answer.status_code == 503
        assert f"The database cannot be used now: {REPLACED}." in words(answer)
    charged = len(simulator.charges())
    assert 4 * CHUNK <= charged < TOTAL

    with IMEIDatabase(settings.database_path) as database:
        assert outcomes(database, batch_id) == {"waiting": TOTAL}  # it would send all of it again
        with system(simulator, database, chunk_size=CHUNK) as running:
            running.run_batch(batch_id)
            assert (found(database, batch_id).state, found(database, batch_id).notice) == (BatchState.PAUSED, SENTENCE)
            assert SENTENCE in told_by_page(database, settings, batch_id)
            assert len(simulator.charges()) == charged
            assert outcomes(database, batch_id) == {"ordered": charged, "waiting": TOTAL - charged}
            browser_on(database, settings).post(f"/batches/{batch_id}/resume")
            assert found(database, batch_id).state is BatchState.PAUSED  # not before the orders were restored
            restore_orders(running, database)
            browser_on(database, settings).post(f"/batches/{batch_id}/resume")
            running.run_batch(batch_id)
        assert_all_paid_once(simulator, database, batch_id)


def test_a_file_filled_with_a_copy_of_the_same_run_sends_nothing_twice(
    simulator: Simulator, settings: Settings
) -> None:
    """As by `.restore` of the sqlite3 shell: it is the same file, and the copy has the lease of this process."""
    with IMEIDatabase(settings.database_path) as database:
        batch_id = new_batch(database, TOTAL, CHUNK)
        with system(simulator, database, workers=2, chunk_size=CHUNK) as running:
            with at_work(running):
                wait_until(lambda: paid_calls(simulator) >= 2, "the first calls")
                copy = database.backup(settings.data_dir / "backups")
                wait_until(lambda: paid_calls(simulator) >= 6 and waits(simulator) > 0, "calls are on the wire")
                with closing(dbapi.connect(copy)) as older, closing(dbapi.connect(database.path)) as live:
                    older.backup(live)
                wait_until(lambda: running.was_overtaken, "the next calls")
            running.run_batch(batch_id)
            assert found(database, batch_id).notice == SENTENCE
            assert 6 * CHUNK <= len(simulator.charges()) < TOTAL
            restore_orders(running, database)
            with database.write() as connection:
                batch_states.resume(connection, batch_id)
            running.run_batch(batch_id)
        assert_all_paid_once(simulator, database, batch_id)


def test_calls_without_a_kept_answer_are_found_by_the_rebuild(simulator: Simulator, settings: Settings) -> None:
    with IMEIDatabase(settings.database_path) as database:
        batch_id = new_batch(database, TOTAL, CHUNK)
        copy = database.backup(settings.data_dir / "backups")
        with system(simulator, database, chunk_size=CHUNK) as running, at_work(running):
            wait_until(lambda: len(rows(database, "SELECT id FROM orders")) >= 4 * CHUNK, "some orders")
    charged = len(simulator.charges())
    put_in_place(copy, settings.database_path)
    log = settings.data_dir / "checkpoints" / str(batch_id) / "answers.log"
    os.truncate(log, log.stat().st_size // 2)

    with IMEIDatabase(settings.database_path) as database, system(simulator, database, chunk_size=CHUNK) as running:
        running.run_batch(batch_id)
        assert found(database, batch_id).notice == SENTENCE
        restore_orders(running, database)
        assert outcomes(database, batch_id)["ordered"] >= charged - CHUNK  # one may be in doubt, cut in the middle
        with database.write() as connection:
            batch_states.resume(connection, batch_id)
        running.run_batch(batch_id)
        assert_all_paid_once(simulator, database, batch_id)


def test_a_short_list_and_kept_answers_restore_a_planned_batch(simulator: Simulator, settings: Settings) -> None:
    """Seen: the rebuild lifted the guard, and 400 of 500 were paid twice."""
    order_all_and_put_back(simulator, settings, planned=True)
    with IMEIDatabase(settings.database_path) as database, system(simulator, database, chunk_size=CHUNK) as running:
        assert restore_orders(running, database)
        assert outcomes(database, 1) == {"ordered": MANY}
        running.run_batch(1)
        assert running.submit_batch(imeis(MANY), SERVICE).duplicates == MANY
        assert_all_paid_once(simulator, database, 1)


def test_a_short_list_and_kept_answers_restore_what_the_runner_has_begun_to_recover(
    simulator: Simulator, settings: Settings
) -> None:
    """The older copy cuts the batch into other calls, so that the answers do not fit them."""
    order_all_and_put_back(simulator, settings, planned=True)
    with IMEIDatabase(settings.database_path) as database:
        with database.write() as connection:
            [first, second, *_] = [chunk_id for chunk_id, _ in call_queries.planned_chunks(connection, 1, 9)]
            chunk_moves.split_chunk(connection, first, 5, CHUNK)
            chunk_moves.split_chunk(connection, second, 5, 10)
        with system(simulator, database, chunk_size=CHUNK, patience=0.2) as running:
            running.run_batch(1)
            assert (found(database, 1).state, found(database, 1).notice) == (BatchState.PAUSED, SENTENCE)
            assert restore_orders(running, database)
            with database.write() as connection:
                batch_states.resume(connection, 1)
            running.run_batch(1)
        assert_all_paid_once(simulator, database, 1)


def test_a_batch_that_reuses_the_number_of_a_lost_one_gives_it_no_service(
    simulator: Simulator, settings: Settings
) -> None:
    order_all_and_put_back(simulator, settings, planned=False)
    with IMEIDatabase(settings.database_path) as database:
        other = [(imei, None) for imei in imeis(MANY)]
        assert create_batch(database, NewBatch("reused", "command", "1739", "Carrier", 0.08, other), CHUNK) == 1
        with system(simulator, database, chunk_size=CHUNK) as running:
            assert restore_orders(running, database)
        assert rows(database, "SELECT DISTINCT service_id FROM orders WHERE imei < '359999'") == [(SERVICE,)]
        assert outcomes(database, 1) == {"waiting": MANY}


def test_a_planned_batch_is_named_by_its_own_service_where_ids_show_nothing(
    simulator: Simulator, settings: Settings
) -> None:
    order_all_and_put_back(simulator, settings, planned=True)
    with IMEIDatabase(settings.database_path) as database:
        with system(simulator, database, client_class=KnowsNothing, chunk_size=CHUNK) as running:
            assert restore_orders(running, database)
            running.run_batch(1)
        assert_all_paid_once(simulator, database, 1)
