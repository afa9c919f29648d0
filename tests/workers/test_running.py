"""Jobs of Procrastinate: calls and duties, as many at once as there are threads, until the program ends."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from handed_over import ACCOUNT, Provider, call_jobs, handed_over, kept
from procrastinate import App
from waiting import wait_until

from database import IMEIDatabase
from orders import PlacementAnswer
from storage.background import Duty
from storage.handed_calls import at_once
from storage.job_queue import DUTY_QUEUE, JobQueue, calls_of, drop_duties
from storage.listening import server_address
from workers.jobs import calls_app, duties_app
from workers.running import run_jobs


@contextmanager
def at_work(app: App, queue: str, threads: int, stop: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=run_jobs, args=(app, [queue], threads, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def jobs(database: IMEIDatabase) -> int:
    with database.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM procrastinate_jobs").scalar_one())


def test_calls_are_made_side_by_side_and_their_jobs_deleted(database: IMEIDatabase) -> None:
    """More at once than Python's own executor would make, on a small machine."""
    attempts, provider = handed_over(database, 20), Provider()
    all_there = threading.Barrier(20)
    place = provider.place_imei_order
    provider.place_imei_order = lambda *given, **more: (all_there.wait(20), place(*given, **more))[1]  # type: ignore[method-assign]
    app = calls_app(server_address(database), call_jobs(database, provider))
    with at_work(app, calls_of(ACCOUNT), 20, threading.Event()):
        with database.write() as connection:
            JobQueue().add_calls(connection, ACCOUNT, attempts)
        wait_until(lambda: len(kept(database)) == 20, "all answers are stored")
        wait_until(lambda: not jobs(database), "no job is left")
    assert len(provider.calls) == 20


def test_a_program_that_ends_waits_for_its_calls_and_leaves_the_others(database: IMEIDatabase) -> None:
    attempts, provider = handed_over(database, 2), Provider()
    began, go_on = threading.Event(), threading.Event()
    place, stop = provider.place_imei_order, threading.Event()

    def slow(*given: Any, **more: Any) -> PlacementAnswer:
        began.set()
        go_on.wait(20)
        return place(*given, **more)

    provider.place_imei_order = slow  # type: ignore[method-assign]
    app = calls_app(server_address(database), call_jobs(database, provider, stop))
    with at_work(app, calls_of(ACCOUNT), 1, stop):
        with database.write() as connection:
            JobQueue().add_calls(connection, ACCOUNT, attempts)
        assert began.wait(20)
        stop.set()
        threading.Timer(0.3, go_on.set).start()
    assert len(kept(database)) == len(provider.calls) == 1
    assert jobs(database) == 1


def test_a_duty_has_one_turn_at_a_time_after_another_leader_died_in_it(database: IMEIDatabase) -> None:
    """Its job is still there, and would keep the lock."""
    turns, ended, stop = list[float](), threading.Event(), threading.Event()

    def turn(_: threading.Event) -> None:
        turns.append(time.monotonic())
        if len(turns) == 1:
            ended.wait(2.5)
        if len(turns) == 3:
            stop.set()

    duty = Duty("work", 1.0, turn, "Work failed")
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, status) VALUES"
            f" ('{DUTY_QUEUE}', 'duty work', 'duty work', 'doing')"
        )
    with at_once(database) as connection:
        drop_duties(connection)
    with at_work(duties_app(server_address(database), [duty], stop), DUTY_QUEUE, 3, stop):
        assert stop.wait(20)
    assert turns[1] - turns[0] > 2.4
