"""A job makes its call once, in its turn, and gives it back where it was stopped; the answer is stored first."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from handed_over import ANSWER, Provider, call_jobs, handed_over, kept, let_calls_start, worker
from sqlalchemy import Connection, update

from database import DatabaseUnavailableError, IMEIDatabase
from engines import Direct
from gsm_fusion_client import NotSentError, OutcomeUnknownError, RateLimitedError
from orders import ChunkState, Outcome, PlacementAnswer
from schema import chunks, items
from storage import handed_calls, pace_store
from storage.handed_calls import Begun, at_once, each_by_itself
from storage.job_queue import CALL_TASK, JobQueue, calls_of
from storage.pace_store import CallPace
from submission import job_calls
from submission.job_calls import CallJobs, JobCalls, PaceTurns
from submission.raw_failures import HELD_BACK, read_failure
from submission.throttle import Throttle

UNLIMITED = CallPace(0.0, 0.0, None, 61.0, orders_wait=False)


@pytest.fixture
def database(server_database: IMEIDatabase) -> IMEIDatabase:
    let_calls_start(server_database)
    return server_database


def test_jobs_of_many_workers_make_each_call_once(database: IMEIDatabase) -> None:
    """Jobs may be repeated, and run at the same time."""
    attempts, provider = handed_over(database, 5), Provider()
    barrier = threading.Barrier(3)

    def work() -> None:
        barrier.wait()
        for attempt_id in attempts:
            worker(database, provider).make(attempt_id)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(provider.calls) == len({tuple(call) for call in provider.calls}) == 5
    assert sorted(kept(database)) == [(attempt_id, ANSWER, "") for attempt_id in sorted(attempts)]


@pytest.mark.parametrize("move", ["withdrawn", "planned", "sent again", "settled otherwise"])
def test_a_job_that_comes_too_late_does_nothing(database: IMEIDatabase, move: str) -> None:
    (attempt_id,), provider = handed_over(database), Provider()
    changes: dict[str, dict[str, Any]] = {"planned": {"state": ChunkState.PLANNED}, "sent again": {"attempt": 2}}
    with database.write() as connection:
        if move == "withdrawn":
            assert handed_calls.withdraw(connection, [attempt_id]) == {attempt_id}
        elif move == "settled otherwise":
            connection.execute(update(items).values(outcome=Outcome.CANCELLED))
        else:
            connection.execute(update(chunks).values(**changes[move]))
    worker(database, provider).make(attempt_id)
    assert (provider.calls, kept(database)) == ([], [])


def test_a_call_of_another_account_is_not_begun(database: IMEIDatabase) -> None:
    """Its job stands in the wrong queue, or a worker has other credentials for this name."""
    (attempt_id,), provider = handed_over(database), Provider()
    JobCalls(database, provider, "b", threading.Event()).make(attempt_id)
    assert (provider.calls, kept(database)) == ([], [])
    worker(database, provider).make(attempt_id)
    assert len(provider.calls) == 1


def test_a_call_that_was_begun_cannot_be_withdrawn(database: IMEIDatabase) -> None:
    (attempt_id,), provider = handed_over(database), Provider()
    worker(database, provider).make(attempt_id)
    with at_once(database) as connection:
        assert handed_calls.withdraw(connection, [attempt_id]) == set()


@pytest.mark.parametrize("failure", [NotSentError("no line"), OutcomeUnknownError("lost", status=502)])
def test_a_failure_is_stored_with_its_words(database: IMEIDatabase, failure: OutcomeUnknownError) -> None:
    (attempt_id,), provider = handed_over(database), Provider()
    provider.failure = failure
    worker(database, provider).make(attempt_id)
    ((_, content, words),) = kept(database)
    found = read_failure(words)
    assert (content, type(found), str(found), found.status) == (None, type(failure), str(failure), failure.status)


def test_a_429_holds_the_calls_of_all_machines(database: IMEIDatabase) -> None:
    (attempt_id,), provider = handed_over(database), Provider()
    provider.failure = RateLimitedError("fewer calls", retry_after=3.0)
    worker(database, provider).make(attempt_id)
    with at_once(database) as connection:
        slot = pace_store.reserve_order(connection, "main")
    assert slot is not None
    assert slot.wait > 0.5
    assert read_failure(kept(database)[0][2]).retry_after == 3.0


def test_a_process_that_was_stopped_before_its_call_gives_it_back(database: IMEIDatabase) -> None:
    """The seconds since it was begun are measured by both clocks."""
    (attempt_id,), provider = handed_over(database), Provider()
    seconds = itertools.count(step=60)
    worker(database, provider, clock=lambda: float(next(seconds))).make(attempt_id)
    assert provider.calls == []
    assert kept(database) == [(attempt_id, None, HELD_BACK)]


def test_a_machine_that_was_asleep_before_its_call_gives_it_back(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own clock stood still."""
    (attempt_id,), provider = handed_over(database), Provider()
    asleep = handed_calls.database_clock
    monkeypatch.setattr(handed_calls, "database_clock", lambda connection: asleep(connection) + 60)
    worker(database, provider).make(attempt_id)
    assert provider.calls == []
    assert kept(database) == [(attempt_id, None, HELD_BACK)]


def test_a_start_that_has_passed_is_reserved_again(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start was given to a process that slept longer than a call may be late."""
    let_calls_start(database, allowance=10)
    (attempt_id,), provider = handed_over(database), Provider()
    reserve, stale = pace_store.reserve_order, [True]

    def slow(connection: Connection, account: str) -> pace_store.Slot | None:
        slot = reserve(connection, account)
        assert slot is not None
        return pace_store.Slot(slot.start - 60, 0.0, slot.tolerance) if stale and stale.pop() else slot

    monkeypatch.setattr(pace_store, "reserve_order", slow)
    worker(database, provider).make(attempt_id)
    assert len(provider.calls) == 1


def test_a_cut_in_the_commit_that_begins_a_call_sends_nothing(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether it was begun; the call is given back when the database is there again."""
    (attempt_id,), provider = handed_over(database), Provider()
    cuts, begin = list[str](), handed_calls.begin

    @contextmanager
    def cut(found: IMEIDatabase) -> Iterator[Direct]:
        with each_by_itself(found) as connection:
            yield connection
        if cuts:
            raise DatabaseUnavailableError(cuts.pop(), None, OSError("cut"))

    def begin_and_cut(connection: Connection, *given: Any) -> Begun | None:
        cuts.append("COMMIT")
        return begin(connection, *given)

    monkeypatch.setattr(job_calls, "each_by_itself", cut)
    monkeypatch.setattr(handed_calls, "begin", begin_and_cut)
    with pytest.raises(DatabaseUnavailableError):
        worker(database, provider).make(attempt_id)
    assert provider.calls == []
    assert kept(database) == [(attempt_id, None, HELD_BACK)]
    monkeypatch.undo()
    worker(database, provider).make(attempt_id)
    assert provider.calls == []


def test_an_answer_waits_for_the_database(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    (attempt_id,), provider = handed_over(database), Provider()
    keep, away = handed_calls.keep, [True, True]

    def refused(*given: object) -> None:
        if away:
            away.pop()
            raise DatabaseUnavailableError("INSERT", None, OSError("away"))
        keep(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(job_calls, "AGAIN", 0.0)
    monkeypatch.setattr(handed_calls, "keep", refused)
    worker(database, provider).make(attempt_id)
    assert kept(database) == [(attempt_id, ANSWER, "")]


def test_a_program_that_ends_does_not_wait_for_the_database_for_ever(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    (attempt_id,), provider = handed_over(database), Provider()
    job = worker(database, provider)

    def refused(*_: object) -> None:
        job.stopping.set()
        raise DatabaseUnavailableError("INSERT", None, OSError("away"))

    monkeypatch.setattr(job_calls, "AGAIN", 0.0)
    monkeypatch.setattr(job_calls, "AT_THE_END", 0.05)
    monkeypatch.setattr(handed_calls, "keep", refused)
    job.make(attempt_id)
    assert (len(provider.calls), kept(database)) == (1, [])


def in_queue(database: IMEIDatabase, attempts: list[int]) -> int:
    """Add a job for each attempt, and let a worker take the first one. Returns the number of this worker."""
    with database.write() as connection:
        JobQueue().add_calls(connection, "main", attempts)
        register = "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id"
        number = int(connection.exec_driver_sql(register).scalar_one())
        connection.exec_driver_sql(f"SELECT procrastinate_fetch_job_v2(NULL, {number})")
    return number


def jobs_left(database: IMEIDatabase) -> list[tuple[int, str]]:
    with database.read() as connection:
        found = "SELECT (args ->> 'attempt_id')::int, status::text FROM procrastinate_jobs ORDER BY 1"
        return [(row[0], row[1]) for row in connection.exec_driver_sql(found)]


def test_a_thread_takes_its_next_job_with_the_answer(database: IMEIDatabase) -> None:
    """Its first job is the queue's, which ends it; nothing is left of the others."""
    attempts, provider = handed_over(database, 4), Provider()
    number = in_queue(database, attempts)
    call_jobs(database, provider).make(calls_of("main"), attempts[0], number)
    assert len({tuple(call) for call in provider.calls}) == len(provider.calls) == 4
    assert kept(database) == [(attempt_id, ANSWER, "") for attempt_id in attempts]
    assert jobs_left(database) == [(attempts[0], "doing")]


@pytest.mark.parametrize("since", [1, 2])
@pytest.mark.parametrize("held", ["limit", "pause", "distance"])
def test_a_job_that_was_taken_so_keeps_to_the_pace(database: IMEIDatabase, held: str, since: int) -> None:
    """Also where the pace changes after calls for which no start was reserved."""
    attempts, provider = handed_over(database, since + 2), Provider()
    paces = {
        "limit": CallPace(0.0, 0.0, 2, 0.3, orders_wait=False),
        "pause": CallPace(0.3, 0.0, None, 61.0, orders_wait=False),
        "distance": CallPace(0.0, 0.15, None, 61.0, orders_wait=False),
    }
    number, times, place = in_queue(database, attempts), list[float](), provider.place_imei_order

    def timed(*given: Any, **more: Any) -> PlacementAnswer:
        times.append(time.monotonic())
        if len(times) == since:
            with at_once(database) as connection:
                pace_store.write_pace(connection, "main", paces[held])
                if held == "limit":
                    assert pace_store.reserve_order(connection, "main")
        return place(*given, **more)

    provider.place_imei_order = timed  # type: ignore[method-assign]
    call_jobs(database, provider).make(calls_of("main"), attempts[0], number)
    assert len(times) == since + 2
    assert times[since + 1] - times[since - 1] > 0.28
    assert jobs_left(database) == [(attempts[0], "doing")]


def test_no_start_is_reserved_where_nothing_limits_calls(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the second taken job on: the statement before has seen that none is needed."""
    attempts, provider = handed_over(database, 5), Provider()
    number, reserve, reserved = in_queue(database, attempts), pace_store.reserve_unlimited, list[int]()

    def noted(connection: Connection, *given: Any) -> pace_store.Slot | None:
        reserved.append(len(provider.calls))
        return reserve(connection, *given)

    monkeypatch.setattr(pace_store, "reserve_unlimited", noted)
    call_jobs(database, provider).make(calls_of("main"), attempts[0], number)
    assert len(provider.calls) == 5
    assert reserved == [0, 1]


def test_a_call_whose_start_is_not_soon_reserves_one(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one would let calls start at half the pace."""
    attempts, provider, reserve = handed_over(database, 3), Provider(), pace_store.reserve_unlimited
    number, reserved = in_queue(database, attempts), list[pace_store.Slot]()
    with at_once(database) as connection:
        pace_store.write_pace(connection, "main", CallPace(0.0, 0.3, None, 61.0, orders_wait=False))

    def noted(*given: Any) -> pace_store.Slot | None:
        slot = reserve(*given)
        reserved.extend([slot] if slot else [])
        return slot

    monkeypatch.setattr(pace_store, "reserve_unlimited", noted)
    call_jobs(database, provider).make(calls_of("main"), attempts[0], number)
    assert len(provider.calls) == 3
    assert len(reserved) <= 4  # for a job that may follow, too


def test_a_taken_call_is_begun_a_moment_before_its_start_and_made_at_it(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement for the answer and the next call, although the starts are some distance apart."""
    attempts, provider, distance = handed_over(database, 3), Provider(), job_calls.SOON - 0.01
    number, times, begun = in_queue(database, attempts), list[float](), list[int]()
    place, begin = provider.place_imei_order, handed_calls.begin

    def timed(*given: Any, **more: Any) -> PlacementAnswer:
        times.append(time.monotonic())
        if len(times) == 1:
            with at_once(database) as connection:
                assert pace_store.reserve_unlimited(connection, "main")
                pace_store.write_pace(connection, "main", CallPace(0.0, distance, None, 61.0, orders_wait=False))
        return place(*given, **more)

    def noted(connection: Direct, attempt_id: int, *given: Any) -> Begun | None:
        begun.append(attempt_id)
        return begin(connection, attempt_id, *given)

    provider.place_imei_order = timed  # type: ignore[method-assign]
    monkeypatch.setattr(handed_calls, "begin", noted)
    call_jobs(database, provider).make(calls_of("main"), attempts[0], number)
    assert begun == attempts[:1]
    assert times[1] - times[0] >= distance
    assert times[2] - times[0] >= 2 * distance


@pytest.mark.parametrize("reason", ["the program ends", "the worker is silent"])
def test_no_job_is_taken_that_others_would_count_as_lost(database: IMEIDatabase, reason: str) -> None:
    attempts, provider, stopping = handed_over(database, 2), Provider(), threading.Event()
    number, place = in_queue(database, attempts), provider.place_imei_order
    with database.write() as connection:
        if reason == "the worker is silent":
            connection.exec_driver_sql("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'")

    def last(*given: Any, **more: Any) -> PlacementAnswer:
        if reason == "the program ends":
            stopping.set()
        return place(*given, **more)

    provider.place_imei_order = last  # type: ignore[method-assign]
    call_jobs(database, provider, stopping).make(calls_of("main"), attempts[0], number)
    assert [attempt_id for attempt_id, *_ in kept(database)] == attempts[:1]
    assert jobs_left(database)[1] == (attempts[1], "todo")


def test_a_taken_job_of_a_withdrawn_call_is_deleted(database: IMEIDatabase) -> None:
    attempts, provider = handed_over(database, 2), Provider()
    number = in_queue(database, attempts)
    with at_once(database) as connection:
        handed_calls.withdraw(connection, attempts[1:])
    call_jobs(database, provider).make(calls_of("main"), attempts[0], number)
    assert len(provider.calls) == 1
    assert jobs_left(database) == [(attempts[0], "doing")]


def test_a_cut_while_the_next_job_is_taken_loses_no_answer_and_sends_nothing(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, provider = handed_over(database, 2), Provider()
    number, take = in_queue(database, attempts), handed_calls.keep_and_take

    def cut(*given: Any) -> None:
        take(*given)
        raise DatabaseUnavailableError("COMMIT", None, OSError("cut"))

    monkeypatch.setattr(handed_calls, "keep_and_take", cut)
    call_jobs(database, provider).make(calls_of("main"), attempts[0], number)
    assert len(provider.calls) == 1
    assert kept(database) == [(attempts[0], ANSWER, ""), (attempts[1], None, HELD_BACK)]


def test_a_cut_while_a_job_is_taken_within_a_limit_leaves_it_to_the_leader(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its call is not begun with the statement that takes it, and no thread knows that it was taken."""
    attempts, provider, take = handed_over(database, 2), Provider(), handed_calls.keep_and_take
    number = in_queue(database, attempts)
    let_calls_start(database, allowance=10)

    def cut(*given: Any) -> None:
        take(*given)
        raise DatabaseUnavailableError("COMMIT", None, OSError("cut"))

    monkeypatch.setattr(handed_calls, "keep_and_take", cut)
    call_jobs(database, provider).make(calls_of("main"), attempts[0], number)
    assert kept(database) == [(attempts[0], ANSWER, "")]
    assert jobs_left(database)[1] == (attempts[1], "doing")
    with at_once(database) as connection:
        assert handed_calls.orphaned(connection, attempts, CALL_TASK, 60.0, 0.0).keys() == {attempts[1]}


def test_a_process_that_was_stopped_with_the_next_call_gives_it_back(database: IMEIDatabase) -> None:
    attempts, provider, seconds = handed_over(database, 2), Provider(), itertools.count()
    number = in_queue(database, attempts)
    account = worker(database, provider, clock=lambda: float(next(seconds)) * (60 if provider.calls else 0))
    CallJobs({calls_of("main"): account}).make(calls_of("main"), attempts[0], number)
    assert len(provider.calls) == 1
    assert kept(database) == [(attempts[0], ANSWER, ""), (attempts[1], None, HELD_BACK)]


def test_the_first_read_of_an_account_that_no_loop_has_served_keeps_to_its_limit(database: IMEIDatabase) -> None:
    """A rebuild is run before any loop: it must not wait for one. A pace that a loop writes counts from then on."""
    turns = PaceTurns(database, "new", Throttle(5, limit=2))
    turns.before_read()
    with at_once(database) as connection:
        found = pace_store.slots(connection, "new")
        assert found is not None
        assert (found.allowance, len(found.reads)) == (1, 1)
        waits = pace_store.reserve_read(connection, "new", 0.2, UNLIMITED)
        assert waits is not None and waits.wait > 50
        pace_store.write_pace(connection, "new", UNLIMITED)
        assert pace_store.reserve_read(connection, "new", 0.2, replace(UNLIMITED, allowance=1)) is not None
        found = pace_store.slots(connection, "new")
        assert found is not None and found.allowance is None


def test_a_read_of_a_loop_that_ends_does_not_wait_for_its_turn(database: IMEIDatabase) -> None:
    """What it has reserved is free again."""
    throttle = Throttle(5)
    turns = PaceTurns(database, "main", throttle)
    let_calls_start(database, allowance=1)
    with pytest.raises(NotSentError, match="ending"), throttle.open():
        turns.before_read()
        closing = threading.Timer(0.1, setattr, [throttle, "_closed", True])
        closing.start()
        turns.before_read()
    with at_once(database) as connection:
        slots = pace_store.slots(connection, "main")
    assert slots is not None
    assert len(slots.reads) == 1


def test_a_read_that_was_limited_holds_all_calls(database: IMEIDatabase) -> None:
    PaceTurns(database, "main", Throttle(5)).read_limited(60.0)
    with at_once(database) as connection:
        slot = pace_store.reserve_order(connection, "main")
    assert slot is not None
    assert slot.wait > 50
