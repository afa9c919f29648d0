"""Another file in the database's place, under the running program or before its start: it is said, nothing paid twice.

The provider never refuses a duplicate: what the older file would send again would be charged again.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hardship_fixture import (
    assert_all_paid_once,
    at_work,
    found,
    new_batch,
    outcomes,
    paid_calls,
    rows,
    told_by_page,
    wait_until,
    waits,
)
from planted import CHUNK
from provider_fixture import SERVICE, Knobs, Simulator, imeis, judge, system
from web_fixture import SERVICES, Browser, Provider, make_app, words

import batch_older_copy
import batch_store
from audit import plan_rebuild, rebuild
from batch_older_copy import SENTENCE
from checkpoints import Checkpoints
from database import REPLACED, DatabaseReplacedError, IMEIDatabase
from gsm_fusion_client import GSMFusionClient
from orders import BatchState
from production_submission_system import ProductionSubmissionSystem
from settings import Settings

TOTAL, FEW = 12 * CHUNK, 3 * CHUNK


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.25, duplicates="never")) as running:
        yield running


def put_in_place(copy: Path | None, path: Path) -> None:
    """What a person does who restores a backup: away with the old files, and the copy in their place."""
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    if copy is not None:
        shutil.copy(copy, path)


def restore_orders(running: ProductionSubmissionSystem, database: IMEIDatabase) -> None:
    """What `rebuild-from-provider --yes` does."""
    assert isinstance(running.client, GSMFusionClient)
    rebuild(database, *plan_rebuild(database, running.client))
    batch_older_copy.settle(database)


def browser_on(database: IMEIDatabase, settings: Settings) -> Browser:
    return Browser(make_app(settings, database, Provider(list(SERVICES))))


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
            batch_store.resume(connection, batch_id)
        running.run_batch(batch_id)
        assert_all_paid_once(simulator, database, batch_id)


def test_an_empty_file_is_recognised_before_anything_is_ordered_with_it(
    simulator: Simulator, settings: Settings
) -> None:
    with IMEIDatabase(settings.database_path) as database, system(simulator, database, chunk_size=CHUNK) as running:
        assert running.submit_batch(imeis(FEW), SERVICE).successful == FEW
    put_in_place(None, settings.database_path)

    with IMEIDatabase(settings.database_path) as database:
        browser = browser_on(database, settings)
        assert SENTENCE in words(browser.get("/status"))
        preview = browser.paste(imeis(FEW), SERVICE)
        assert SENTENCE in words(browser.get(preview))
        assert browser.confirm(preview).status_code != 303
        with system(simulator, database, chunk_size=CHUNK) as running:
            restore_orders(running, database)
            assert browser_on(database, settings).get("/health").get_json()["checks"]["environment"]["status"] == "ok"
            again = running.submit_batch(imeis(FEW + 3), SERVICE)
        assert (again.duplicates, again.successful) == (FEW, 3)
        assert again.batch_id == 2  # and not the one whose answers are kept
        assert judge(simulator, database) == (0, 0)
        assert len(simulator.charges()) == FEW + 3


def test_a_database_beside_its_own_answers_is_no_older_copy(simulator: Simulator, database: IMEIDatabase) -> None:
    with system(simulator, database, chunk_size=CHUNK) as running:
        batch_id = running.submit_batch(imeis(2 * CHUNK), SERVICE).batch_id
        running.run_batch(batch_id)
    assert not batch_older_copy.recognise(database, Checkpoints(database.path.parent / "checkpoints"))
    assert batch_older_copy.objection(database) == ""
