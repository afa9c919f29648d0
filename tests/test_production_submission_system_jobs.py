"""The loop with calls in jobs: after a commit of which nobody heard, it finds again what that commit has sent."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from batch_checks import assert_all_paid_once, at_work, new_batch, outcomes, rows
from simulated_provider import QUICK, Knobs, Simulator, put_in_use
from sqlalchemy import text
from waiting import wait_until

from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from production_submission_system import ProductionSubmissionSystem
from settings import MAIN_ACCOUNT
from storage.handed_calls import at_once
from submission import ClusterCarrier, JobCalls, Options, Throttle

JOBS = "SELECT id, (args ->> 'attempt_id')::bigint FROM procrastinate_jobs WHERE task_name = 'make_call'"


def test_calls_of_a_commit_that_nobody_heard_of_are_looked_after(
    server_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their jobs are lost too, so that only the loop can plan them again."""
    database, write, is_cut = server_database, IMEIDatabase.write, threading.Event()

    @contextlib.contextmanager
    def cut_once(self: IMEIDatabase, is_hurried: bool = False) -> Iterator[Any]:
        with write(self, is_hurried) as connection:
            yield connection
            jobs = [row[0] for row in connection.execute(text(JOBS))]
            is_first = bool(jobs) and not is_cut.is_set()
            if is_first:
                connection.execute(text("DELETE FROM procrastinate_jobs"))
        if is_first:
            is_cut.set()
            raise DatabaseUnavailableError("COMMIT", None, OSError("cut"))

    monkeypatch.setattr(IMEIDatabase, "write", cut_once)
    with Simulator(Knobs(history=1, duplicates="never")) as simulator:
        put_in_use(simulator, database)
        batch_id = new_batch(database, 20, 10)
        with GSMFusionClient("DEMO-KEY", "demo", 5, options=ClientOptions(simulator.base_url)) as client:
            options, throttle = Options(**QUICK), Throttle(5)
            carrier = ClusterCarrier(database, MAIN_ACCOUNT, options, throttle, time.monotonic)
            running = ProductionSubmissionSystem(database, client, carrier, options, throttle)
            calls = JobCalls(database, client, MAIN_ACCOUNT, threading.Event())

            def is_ordered() -> bool:
                for job, attempt in rows(database, JOBS):
                    with at_once(database) as connection:
                        connection.execute(text(f"DELETE FROM procrastinate_jobs WHERE id = {job}"))
                    calls.make(attempt)
                return outcomes(database, batch_id) == {"ordered": 20}

            with at_work(running):
                wait_until(is_ordered, "the batch is ordered", 20.0)
        assert is_cut.is_set()
        assert_all_paid_once(simulator, database, batch_id)
