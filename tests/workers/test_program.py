"""The program of a worker: what it does as jobs and in threads, how it counts, and when it ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from waiting import wait_until

from database import DatabaseUnavailableError, IMEIDatabase
from settings import Settings
from storage import election_store
from storage.background import Duty
from storage.job_queue import DUTY_QUEUE
from submission import OtherAccountError, account_objection, adopt_database
from workers import program
from workers.program import WorkerProgram, run_worker


@pytest.fixture(name="job")
def job_fixture(live: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of an account that no call of these tests reaches, and short looks."""
    monkeypatch.setattr(program, "LOOK", 0.02)
    return replace(live, base_url="http://127.0.0.1:9", workers=2)


@pytest.fixture(name="begin")
def begin_fixture() -> Iterator[Callable[[WorkerProgram], threading.Thread]]:
    """Let a program work in a thread; it must have ended at the end of the test."""
    begun: list[tuple[WorkerProgram, threading.Thread]] = []

    def begin(worker: WorkerProgram) -> threading.Thread:
        thread = threading.Thread(target=worker.work)
        begun.append((worker, thread))
        thread.start()
        return thread

    yield begin
    for worker, thread in begun:
        worker.stopping.set()
        thread.join(30)
        assert not thread.is_alive()


def count_workers(database: IMEIDatabase) -> int:
    with database.read() as connection:
        return election_store.count_workers(connection)


def leads(database: IMEIDatabase) -> bool:
    with database.read() as connection:
        return election_store.is_held(connection, "main")


def test_a_worker_counts_and_leads_as_long_as_it_works(
    database: IMEIDatabase, job: Settings, begin: Callable[[WorkerProgram], threading.Thread]
) -> None:
    worker = WorkerProgram(job, database)
    thread = begin(worker)
    wait_until(lambda: count_workers(database) == 1 and leads(database), "it works and leads")
    worker.stopping.set()
    thread.join(30)
    assert (count_workers(database), leads(database)) == (0, False)


def test_duties_with_short_pauses_have_threads_and_the_others_are_jobs(database: IMEIDatabase, job: Settings) -> None:
    """Turns that an earlier leader has planned are dropped first. At the end each duty ends, whoever did it."""
    names, ended = dict[str, str](), list[str]()

    def duty(name: str, seconds: float) -> Duty:
        def turn(_: threading.Event) -> None:
            names.setdefault(name, threading.current_thread().name)

        return Duty(name, seconds, turn, "failed", lambda: ended.append(name))

    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, status)"
            f" VALUES ('{DUTY_QUEUE}', 'duty long', 'duty long', 'doing')"
        )
    with WorkerProgram(job, database)._at_duties([duty("short", 0.02), duty("long", 1.0)]):
        wait_until(lambda: len(names) == 2, "both had a turn")
    assert names["short"] == "short"
    assert names["long"].startswith("job")
    assert sorted(ended) == ["long", "short"]


def test_a_duty_that_cannot_end_keeps_no_other_from_its_end(database: IMEIDatabase, job: Settings) -> None:
    ended = list[str]()

    def fail() -> None:
        raise DatabaseUnavailableError("", None, psycopg.OperationalError("gone"))

    duties = [Duty("first", 60.0, print, "", fail), Duty("second", 60.0, print, "", lambda: ended.append("second"))]
    with WorkerProgram(job, database)._at_duties(duties):
        pass
    assert ended == ["second"]


def test_a_worker_ends_with_the_reason_when_another_account_adopts_the_database(
    database: IMEIDatabase, job: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that cannot be read for a while says nothing about its account."""
    looks = 0

    def looked(*given: Any) -> str:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise DatabaseUnavailableError("", None, psycopg.OperationalError("gone"))
        if looks == 3:
            adopt_database(database, replace(job, username="somebody else"))
        return account_objection(*given)

    assert account_objection(database, job) == ""
    monkeypatch.setattr(program, "account_objection", looked)
    worker = WorkerProgram(job, database)
    assert "another user name" in worker._awaited_end()
    assert worker.stopping.is_set()
    assert looks == 3
    with pytest.raises(OtherAccountError, match="another user name"):
        run_worker(job, database)


def test_a_worker_that_is_asked_to_end_has_no_reason_to_tell(database: IMEIDatabase, job: Settings) -> None:
    worker = WorkerProgram(job, database)
    worker.stopping.set()
    assert worker._awaited_end() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_work(
    database: IMEIDatabase, job: Settings, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    handlers, before = dict[int, Callable[..., None]](), list[bool]()
    monkeypatch.setattr(program, "LOGGED", {})
    monkeypatch.setattr(signal, "signal", lambda one, handler: handlers.update({one: handler}))

    def work(worker: WorkerProgram) -> None:
        before.append(worker.stopping.is_set())
        handlers[number](number, None)
        before.append(worker.stopping.is_set())

    monkeypatch.setattr(WorkerProgram, "work", work)
    run_worker(job, database)
    assert before == [False, True]
