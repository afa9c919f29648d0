"""Worker processes on a database server: each IMEI is charged once, whatever happens to a worker."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from batch_checks import assert_all_paid_once, found, new_batch
from simulated_provider import imeis, put_in_use
from two_accounts import MAIN, SECOND, two_accounts
from waiting import wait_until
from web_client import SERVICES, Provider, make_app
from worker_processes import CHUNK, WorkerJob, workers

from database import IMEIDatabase
from orders import BatchState, Outcome
from settings import ProviderAccount
from simulator.knobs import Knobs
from simulator.server import Simulator
from submission import adopt_database

TOTAL = 2000
LIMIT = 20  #: calls a minute


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.15, duplicates="never")) as running:
        yield running


@pytest.fixture
def job(simulator: Simulator, server_url: str, tmp_path: Path) -> WorkerJob:
    return WorkerJob(server_url, simulator.base_url, tmp_path)


@pytest.fixture
def database(simulator: Simulator, server_database: IMEIDatabase) -> IMEIDatabase:
    put_in_use(simulator, server_database)
    return server_database


def is_settled(database: IMEIDatabase, batch_id: int) -> bool:
    now = found(database, batch_id)
    return now.state is BatchState.FINISHED and not now.outcomes[Outcome.IN_DOUBT]


def see_through(database: IMEIDatabase, batch_id: int) -> None:
    wait_until(lambda: is_settled(database, batch_id), lambda: f"all is settled: {found(database, batch_id)}")


def test_two_workers_share_the_calls(simulator: Simulator, database: IMEIDatabase, job: WorkerJob) -> None:
    batch_id = new_batch(database, TOTAL, CHUNK)
    with workers(job, 2):
        see_through(database, batch_id)
    assert_all_paid_once(simulator, database, batch_id)
    with database.read() as connection:
        for table in ("raw_answers", "procrastinate_jobs WHERE task_name = 'make_call'"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() == 0


def test_two_accounts_share_a_batch_over_two_workers(server_database: IMEIDatabase, job: WorkerJob) -> None:
    with two_accounts(server_database, latency=0.15) as accounts:
        url, second = accounts.main.base_url, accounts.second.base_url
        more = (ProviderAccount("DEMO-KEY", "second", second, 3.0, SECOND, workers=6),)
        batch_id = accounts.batch(imeis(TOTAL), CHUNK)
        with workers(replace(job, base_url=url, changes=(("more_accounts", more),)), 2):
            see_through(server_database, batch_id)
        assert accounts.mistakes() == []
        assert min(accounts.attempts()[name] for name in (MAIN, SECOND)) > 0


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_a_worker_that_dies_ends_or_stops_costs_nothing_twice(
    simulator: Simulator, database: IMEIDatabase, job: WorkerJob, way: signal.Signals
) -> None:
    """Another one finishes its work; the one that was stopped wakes up in the middle of it."""
    batch_id = new_batch(database, TOTAL, CHUNK)
    with workers(job) as (first,):
        wait_until(lambda: len(simulator.charges()) >= TOTAL // 4, "a quarter is placed")
        os.kill(first.pid or 0, way)
        with workers(job):
            if way is signal.SIGSTOP:
                wait_until(lambda: len(simulator.charges()) >= TOTAL // 2, "another one goes on")
                time.sleep(1.0)
                os.kill(first.pid or 0, signal.SIGCONT)
            see_through(database, batch_id)
    assert_all_paid_once(simulator, database, batch_id)


def test_the_limit_holds_over_two_workers(simulator: Simulator, database: IMEIDatabase, job: WorkerJob) -> None:
    """What a worker that dies had used of the minute is used for the next one too."""
    new_batch(database, TOTAL, CHUNK)
    job = replace(job, changes=(("rate_limit", LIMIT),))
    with workers(job) as (first,):
        wait_until(lambda: len(simulator.charges()) >= 2 * CHUNK, "two calls are made")
        first.kill()
        with workers(job, 2):
            wait_until(lambda: len(simulator.calls()) > 8, "the next ones go on")
            time.sleep(3.0)
    assert len(simulator.calls()) <= LIMIT  # without one, all 40 calls were made by now


def test_a_worker_ends_when_another_account_adopts_the_database(
    simulator: Simulator, database: IMEIDatabase, job: WorkerJob
) -> None:
    """The calls of the batch would be paid by its account, or by the simulator of a demo."""
    new_batch(database, TOTAL, CHUNK)
    with workers(job, 2) as processes:
        wait_until(lambda: len(simulator.charges()) >= TOTAL // 10, "some calls are made")
        adopt_database(database, replace(job.settings, username="somebody else"))
        wait_until(lambda: [process.exitcode for process in processes] == [1, 1], "the workers have ended")
    app = make_app(job.settings, database, Provider(SERVICES))
    result = app.test_cli_runner().invoke(args=["worker"])
    assert (result.exit_code, "another user name" in result.output) == (1, True)
