"""The tasks of the queue: which job makes which call, when it is tried again, and how often a duty is due."""

import asyncio
import threading
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from handed_over import Provider, call_jobs
from procrastinate.jobs import Job
from procrastinate.tasks import Task

from database import DatabaseUnavailableError, IMEIDatabase
from storage.background import Duty
from storage.handed_calls import JobThread
from storage.job_queue import CALL_TASK, DUTY_QUEUE
from storage.listening import server_address
from submission import CallJobs
from workers.jobs import AGAIN, TRIES, calls_app, duties_app, schedule

ADDRESS = "postgresql://nobody@127.0.0.1/none"  #: nothing connects to it


class NotedCalls:
    """The calls of one account, which are noted and not made."""

    def __init__(self) -> None:
        self.made: list[tuple[int, int]] = []

    def make(self, attempt_id: int, thread: JobThread) -> None:
        self.made.append((attempt_id, thread.worker))


def call_task(**calls: NotedCalls) -> Task[Any, Any, Any]:
    """The task that makes the calls of accounts, by the names of their queues."""
    task = calls_app(ADDRESS, CallJobs(cast(Any, calls))).tasks[CALL_TASK]
    assert isinstance(task, Task)
    return task


@pytest.mark.parametrize(("worker_id", "worker"), [(5, 5), (None, 0)])
def test_a_job_makes_the_call_of_its_attempt_for_its_queue_and_worker(worker_id: int | None, worker: int) -> None:
    main, second = NotedCalls(), NotedCalls()
    task = call_task(main=main, second=second)
    assert task.pass_context
    task.func(SimpleNamespace(job=SimpleNamespace(queue="second", worker_id=worker_id)), attempt_id=7)
    assert (main.made, second.made) == ([], [(7, worker)])


def job_after(tries: int) -> Job:
    return Job(
        id=1, status="doing", queue="calls.main", lock=None, queueing_lock=None, task_name=CALL_TASK, attempts=tries
    )


def test_only_a_job_that_found_the_database_away_is_tried_again_and_not_for_ever() -> None:
    """After any other error the call may have been sent: its job ends, and the loop finds it without an answer."""
    task, away = call_task(), DatabaseUnavailableError("", None, psycopg.OperationalError("gone"))
    again = task.get_retry_exception(away, job_after(TRIES - 1))
    assert again is not None and again.retry_decision.retry_at is not None
    seconds = (again.retry_decision.retry_at - datetime.now(UTC)).total_seconds()
    assert AGAIN - 1 < seconds <= AGAIN
    assert task.get_retry_exception(away, job_after(TRIES)) is None
    for error in (RuntimeError("a bug"), OSError("a disk"), psycopg.OperationalError("gone")):
        assert task.get_retry_exception(error, job_after(0)) is None


def test_a_duty_is_a_periodic_job_with_a_lock_of_its_own() -> None:
    turns, stop = list[threading.Event](), threading.Event()
    duties = [Duty("first", 20.0, turns.append, "failed"), Duty("second", 3600.0, turns.append, "failed")]
    app = duties_app(ADDRESS, duties, stop)
    found = {name: task for name, task in app.tasks.items() if name.startswith("duty")}
    assert sorted(found) == ["duty first", "duty second"]
    for name, task in found.items():
        assert (task.queue, task.lock, task.queueing_lock) == (DUTY_QUEUE, name, name)
    periodic = {one.task.name: one.cron for one in app.periodic_registry.periodic_tasks.values()}
    assert periodic == {"duty first": schedule(20.0), "duty second": schedule(3600.0)}
    found["duty second"].func(timestamp=0)
    assert turns == [stop]


@pytest.mark.parametrize("seconds", [0.2, 1.0, 59.4, 59.6, 90.0, 3540.0, 3599.0, 3600.0, 86_400.0])
def test_the_queue_understands_the_times_of_a_duty(seconds: float) -> None:
    """No duty is due more rarely than once an hour, and the longest pause is not longer than it wants."""
    app = duties_app(ADDRESS, [Duty("work", seconds, print, "failed")], threading.Event())
    (job,) = app.periodic_registry.periodic_tasks.values()
    moments = [job.croniter.get_next(float) for _ in range(200)]
    gaps = {later - earlier for earlier, later in pairwise(moments)}
    assert max(gaps) <= max(1.0, min(seconds + 0.5, 3600.0))


def test_the_queue_keeps_the_options_of_the_address(database: IMEIDatabase, server_url: str) -> None:
    stricter = "-c%20default_transaction_isolation%3Dserializable"
    with IMEIDatabase(f"{server_url}?options=-c%20search_path%3Dtables%2Cpublic%20{stricter}") as found:
        app = calls_app(server_address(found), call_jobs(database, Provider()))

    async def shown() -> list[object]:
        async with app.open_async():
            names = "search_path", "synchronous_commit", "transaction_isolation"
            rows = [await app.connector.execute_query_one_async(f"SHOW {name}") for name in names]
        return [value for row in rows for value in row.values()]

    assert asyncio.run(shown()) == ["tables,public", "off", "read committed"]


@pytest.mark.parametrize(
    ("seconds", "times"),
    [(1.0, "* * * * * */1"), (20.0, "* * * * * */20"), (60.0, "*/1 * * * *"), (3600.0, "0 * * * *")],
)
def test_a_duty_is_due_about_as_often_as_it_wants(seconds: float, times: str) -> None:
    assert schedule(seconds) == times
