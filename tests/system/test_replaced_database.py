"""Another file in the database's place, under the running program or before its start: it is said, nothing paid twice.

The provider never refuses a duplicate: what the older file would send again would be charged again.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

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
    wait_until,
    waits,
)
from planted_kills import CHUNK
from simulated_provider import SERVICE, Knobs, Simulator, imeis, judge, system
from web_client import SERVICES, Browser, Provider, make_app, words

from database import REPLACED, DatabaseReplacedError, IMEIDatabase
from gsm_fusion_client import GSMFusionClient, RefusalKind, RefusedError
from orders import BatchState, IMEIOrder
from production_submission_system import ProductionSubmissionSystem
from results.rebuild import plan_rebuild, rebuild_records
from settings import Settings
from storage import batch_states, call_queries, chunk_moves
from storage.batch_creation import NewBatch, create_batch
from submission import older_copy as batch_older_copy
from submission.checkpoints import Checkpoints
from submission.older_copy import SENTENCE

pytestmark = pytest.mark.usefixtures("quick_looks")

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


def restore_orders(running: ProductionSubmissionSystem, database: IMEIDatabase) -> bool:
    """What `rebuild-from-provider --yes` does. Returns whether orders are taken again."""
    assert isinstance(running.client, GSMFusionClient)
    report = rebuild_records(database, *plan_rebuild(database, running.client))
    if report.complete:
        batch_older_copy.accept_older_copy(database)
    return report.complete


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
            batch_states.resume(connection, batch_id)
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
        assert browser.confirm(preview).location == preview
        with system(simulator, database, chunk_size=CHUNK) as running:
            restore_orders(running, database)
            assert browser_on(database, settings).get("/health").get_json()["checks"]["environment"]["status"] == "ok"
            again = running.submit_batch(imeis(FEW + 3), SERVICE)
        assert (again.duplicates, again.successful) == (FEW, 3)
        assert again.batch_id == 2  # and not the one whose answers are kept
        assert judge(simulator, database) == (0, 0)
        assert len(simulator.charges()) == FEW + 3


# The provider's list is cut at a hundred orders, and every order stands in a kept answer


MANY, CUT = 10 * CHUNK, 100


class KnowsNothing(GSMFusionClient):
    """A provider that refuses every order id."""

    def get_imei_orders(self, order_ids: str | Sequence[str], nothing_else: bool = False) -> list[IMEIOrder]:
        raise RefusedError(RefusalKind.ORDER_ID, "Invalid Order ID")


def order_all_and_put_back(simulator: Simulator, settings: Settings, planned: bool) -> None:
    """A copy from before the first call stands in the database's place: with the batch planned, or from before it."""
    simulator.set(latency=0.0)
    with IMEIDatabase(settings.database_path) as database:
        copy = None if planned else database.backup(settings.data_dir / "backups")
        batch_id = new_batch(database, MANY, CHUNK)
        copy = copy or database.backup(settings.data_dir / "backups")
        with system(simulator, database, chunk_size=CHUNK) as running:
            assert running.run_batch(batch_id).successful == MANY
    put_in_place(copy, settings.database_path)
    simulator.set(listing_limit=CUT)


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


def test_a_short_list_and_kept_answers_restore_a_batch_that_the_copy_never_had(
    simulator: Simulator, settings: Settings
) -> None:
    order_all_and_put_back(simulator, settings, planned=False)
    with IMEIDatabase(settings.database_path) as database:
        browser_on(database, settings)
        assert batch_older_copy.older_copy_objection(database) == SENTENCE
        with system(simulator, database, chunk_size=CHUNK) as running:
            assert restore_orders(running, database)
            assert batch_older_copy.older_copy_objection(database) == ""
            assert running.submit_batch(imeis(MANY), SERVICE).duplicates == MANY
        assert judge(simulator, database) == (0, 0)
        assert len(simulator.charges()) == MANY


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


def test_the_guard_stays_where_neither_list_nor_ids_show_what_was_ordered(
    simulator: Simulator, settings: Settings
) -> None:
    order_all_and_put_back(simulator, settings, planned=False)
    with IMEIDatabase(settings.database_path) as database:
        browser = browser_on(database, settings)
        with system(simulator, database, client_class=KnowsNothing, chunk_size=CHUNK) as running:
            assert not restore_orders(running, database)
        assert batch_older_copy.older_copy_objection(database) == SENTENCE
        preview = browser.paste(imeis(MANY), SERVICE)
        assert SENTENCE in words(browser.get(preview))
        assert browser.confirm(preview).location == preview
        assert judge(simulator, database) == (0, 0)  # every order is restored, most without their service
        with system(simulator, database, chunk_size=CHUNK) as running:
            assert restore_orders(running, database)  # and named once the provider answers
            assert running.submit_batch(imeis(MANY), SERVICE).duplicates == MANY
        assert len(simulator.charges()) == MANY


def test_a_planned_batch_is_named_by_its_own_service_where_ids_show_nothing(
    simulator: Simulator, settings: Settings
) -> None:
    order_all_and_put_back(simulator, settings, planned=True)
    with IMEIDatabase(settings.database_path) as database:
        with system(simulator, database, client_class=KnowsNothing, chunk_size=CHUNK) as running:
            assert restore_orders(running, database)
            running.run_batch(1)
        assert_all_paid_once(simulator, database, 1)


def test_a_database_beside_its_own_answers_is_no_older_copy(simulator: Simulator, database: IMEIDatabase) -> None:
    with system(simulator, database, chunk_size=CHUNK) as running:
        batch_id = running.submit_batch(imeis(2 * CHUNK), SERVICE).batch_id
        running.run_batch(batch_id)
    assert not batch_older_copy.recognise_older_copy(database, Checkpoints(database.path.parent / "checkpoints"))
    assert batch_older_copy.older_copy_objection(database) == ""
