"""The carrier of several machines: answers come once, what nobody has begun comes back, what is lost is in doubt."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from handed_over import ACCOUNT, ANSWER, Provider, handed_over, let_calls_start, worker
from sqlalchemy import text, update

from database import IMEIDatabase
from gsm_fusion_client import OutcomeUnknownError
from orders import Chunk, ChunkState
from production_submission_system import ProductionSubmissionSystem
from schema.cluster_tables import pace
from storage import call_queries, handed_calls, pace_store
from storage.handed_calls import at_once
from storage.job_queue import JobQueue
from storage.pace_store import CallPace
from submission import Options, Throttle
from submission.answers import Answer
from submission.cluster_carrier import MARGIN, SEND_BY, SILENCE, Clocks, ClusterCarrier
from submission.judging import AllOrdered, Judged, NotPlaced
from submission.raw_failures import written_failure

UNLIMITED = CallPace(0.0, 0.0, None, 60.0, orders_wait=False)
OPTIONS = Options(call_timeout=2.0, pool=ThreadPoolExecutor)


@pytest.fixture
def database(server_database: IMEIDatabase) -> IMEIDatabase:
    let_calls_start(server_database)
    return server_database


@pytest.fixture
def carrier(database: IMEIDatabase) -> Iterator[ClusterCarrier]:
    found = made(database)
    with found.open():
        yield found


def made(database: IMEIDatabase, throttle: Throttle | None = None) -> ClusterCarrier:
    return ClusterCarrier(database, "main", OPTIONS, throttle or Throttle(5), time.monotonic)


def on_the_wire(database: IMEIDatabase) -> list[Chunk]:
    with database.read() as connection:
        return call_queries.open_chunks(connection, ChunkState.SENDING)


def collected(carrier: ClusterCarrier, carried: Sequence[Chunk], seconds: float = 0.0) -> list[Answer]:
    return carrier.collect(seconds, carried)


def add_jobs(database: IMEIDatabase, attempts: Sequence[int]) -> None:
    with database.write() as connection:
        JobQueue().add_calls(connection, "main", attempts)


def test_an_answer_wakes_the_loop_and_is_recorded_once(database: IMEIDatabase, carrier: ClusterCarrier) -> None:
    """A loop that was overtaken has read it too, and finds it recorded."""
    (attempt_id,) = handed_over(database)
    carried, overtaken = on_the_wire(database), made(database)
    threading.Timer(0.2, worker(database, Provider()).make, [attempt_id]).start()
    started, answers = time.monotonic(), list[Answer]()
    while not answers and time.monotonic() - started < 10:
        answers = collected(carrier, carried, 10.0)
    assert time.monotonic() - started < 5
    assert [answer.chunk.attempt_id for answer in answers] == [attempt_id]
    assert collected(carrier, carried) == []  # it is known, though not recorded yet
    also = collected(overtaken, carried)
    with database.write() as connection:
        assert carrier.take(connection, answers) == answers
    with database.write() as connection:
        assert overtaken.take(connection, also) == []


def test_a_hold_takes_back_what_nobody_has_begun(database: IMEIDatabase, carrier: ClusterCarrier) -> None:
    begun, waiting = handed_over(database, 2)
    add_jobs(database, [begun, waiting])
    carried, provider = on_the_wire(database), Provider()
    with at_once(database) as connection:
        assert handed_calls.begin(connection, begun, ACCOUNT, "a worker", 1e12)
    carrier.hold()
    (answer,) = collected(carrier, carried)
    assert answer.chunk.attempt_id == waiting
    assert answer.judgement == NotPlaced(was_sent=False)
    worker(database, provider).make(waiting)
    assert provider.calls == []


@pytest.mark.parametrize("job", ["none", "gone", "alive"])
def test_what_lost_its_job_is_sent_again_or_in_doubt(database: IMEIDatabase, carrier: ClusterCarrier, job: str) -> None:
    """Nothing of the first was sent, nobody knows about the second; both are waited for while the worker is alive."""
    waiting, begun = handed_over(database, 2)
    if job != "none":
        add_jobs(database, [waiting, begun])
        with database.write() as connection:
            seen = "now()" if job == "alive" else "now() - interval '1 hour'"
            connection.execute(text(f"INSERT INTO procrastinate_workers (last_heartbeat) VALUES ({seen})"))
            connection.execute(text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = 1"))
    with at_once(database) as connection:
        assert handed_calls.begin(connection, begun, ACCOUNT, "a worker", 1e12)
        if job != "alive":
            connection.execute(text("UPDATE attempts SET begun_at = begun_at - :passed"), {"passed": SILENCE + 1})
    answers = {answer.chunk.attempt_id: answer for answer in collected(carrier, on_the_wire(database))}
    if job == "alive":
        assert answers == {}
        return
    assert answers.keys() == {waiting, begun}
    assert answers[waiting].judgement == NotPlaced(was_sent=False)
    assert isinstance(answers[begun].judgement, Judged)
    assert answers[begun].is_unanswered
    passed = time.monotonic() - answers[begun].began
    assert passed < SILENCE + 2 - SEND_BY  # absence counts from the last moment at which it may be sent


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_call_is_no_older_where_the_clock_of_the_server_was_stepped_meanwhile(
    database: IMEIDatabase, carrier: ClusterCarrier, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """Seen from the new time it has rested long ago, while the provider still works on it."""
    (attempt_id,), started = handed_over(database), time.monotonic()
    with monkeypatch.context() as before, at_once(database) as connection:
        earlier = handed_calls.database_clock(connection) - step
        before.setattr(handed_calls, "stored", lambda *_: (set(), earlier))
        assert collected(carrier, []) == []
    with at_once(database) as connection:
        call = handed_calls.begin(connection, attempt_id, ACCOUNT, "a worker", 1e12)
        assert call is not None
        lost = written_failure(OutcomeUnknownError("the answer was cut"))
        handed_calls.keep(connection, replace(call, began_at=call.began_at - step), None, lost)
    (answer,) = collected(carrier, [])
    assert -5 < answer.began - SEND_BY - started <= 5


def test_clocks_that_drift_apart_slowly_are_not_stepped() -> None:
    """A step is forgotten when no call from before it can be on the wire."""
    clocks = Clocks(memory=100.0)
    for second in range(1000):
        clocks.note(5000.0 + second * 1.001, float(second))
    assert clocks.moment(5000.0 + 990 * 1.001, 999.0) == pytest.approx(990.0, abs=0.01)
    clocks.note(9000.0 + 1000, 1000.0)
    assert clocks.moment(9000.0 + 999, 1000.0) == 1000.0
    for second in range(1001, 1203):
        clocks.note(9000.0 + second, float(second))
    assert clocks.moment(9000.0 + 1199, 1202.0) == pytest.approx(1199.0)


def test_an_answer_that_waited_for_the_database_does_not_count_as_slow(
    database: IMEIDatabase, carrier: ClusterCarrier
) -> None:
    """What is learned of a slow provider is kept: doubt would rest as long as the outage took, ever after."""
    (attempt_id,) = handed_over(database)
    with at_once(database) as connection:
        call = handed_calls.begin(connection, attempt_id, ACCOUNT, "a worker", 1e12)
        assert call is not None
        handed_calls.keep(connection, replace(call, began_at=call.began_at - 3600), ANSWER)
    (answer,) = collected(carrier, [])
    assert answer.seconds == SEND_BY + OPTIONS.call_timeout + MARGIN


def test_what_a_living_worker_has_taken_and_does_not_begin_is_sent_again(
    database: IMEIDatabase, carrier: ClusterCarrier
) -> None:
    """The reply was lost when it took the job. While such a call counts as on the wire, no doubt can be settled."""
    lost, begun = handed_over(database, 2)
    add_jobs(database, [lost, begun])
    with at_once(database) as connection:
        assert handed_calls.begin(connection, begun, ACCOUNT, "a worker", 1e12)
        connection.execute(text("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now())"))
        connection.execute(text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = 1"))
        earlier = f"interval '{SILENCE + 1} seconds'"
        connection.execute(text(f"UPDATE procrastinate_events SET at = at - {earlier}"))
    (answer,) = collected(carrier, on_the_wire(database))
    assert (answer.chunk.attempt_id, answer.judgement) == (lost, NotPlaced(was_sent=False))


def test_a_call_begun_before_an_outage_is_waited_for(database: IMEIDatabase, carrier: ClusterCarrier) -> None:
    """No worker could show that it is alive, and the next leader is there before their answers."""
    (attempt_id,) = handed_over(database)
    add_jobs(database, [attempt_id])
    with at_once(database) as connection:
        assert handed_calls.begin(connection, attempt_id, ACCOUNT, "a worker", 1e12)
        connection.execute(
            text("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')")
        )
        connection.execute(text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = 1"))
    assert collected(carrier, on_the_wire(database)) == []


def test_a_call_that_takes_too_long_is_in_doubt_though_its_worker_lives(
    database: IMEIDatabase, carrier: ClusterCarrier
) -> None:
    (attempt_id,) = handed_over(database)
    add_jobs(database, [attempt_id])
    with at_once(database) as connection:
        assert handed_calls.begin(connection, attempt_id, ACCOUNT, "a worker", 1e12)
        longest = OPTIONS.call_timeout + MARGIN + SEND_BY
        connection.execute(text("UPDATE attempts SET begun_at = begun_at - :passed"), {"passed": longest + 1})
    (answer,) = collected(carrier, on_the_wire(database))
    assert answer.is_unanswered
    assert time.monotonic() - answer.began > longest - SEND_BY


def test_reads_of_other_machines_are_counted_within_the_limit(database: IMEIDatabase) -> None:
    throttle = Throttle(5, 12)
    carrier = made(database, throttle)
    with carrier.open():
        assert throttle.permits(time.monotonic(), 0) == 5
        with at_once(database) as connection:
            reads = [pace_store.reserve_read(connection, "main", 1.0, UNLIMITED) for _ in range(7)]
        assert None not in reads
        assert collected(carrier, []) == []
        assert throttle.permits(time.monotonic(), 0) == 10 - 7


def test_the_pace_of_a_process_that_was_overtaken_is_replaced(database: IMEIDatabase) -> None:
    """It may have written more than an admin allows by now."""
    carrier = made(database, Throttle(5, 12))
    with carrier.open():
        with at_once(database) as connection:
            pace_store.write_pace(connection, "main", UNLIMITED)
        for _ in range(2):
            collected(carrier, [])
        with database.read() as connection:
            slots = pace_store.slots(connection, "main")
    assert slots is not None and slots.allowance is not None


def test_a_clock_of_the_database_that_is_set_back_stops_no_call(database: IMEIDatabase) -> None:
    with at_once(database) as connection:
        pace_store.follow_clock(connection, ACCOUNT)
        assert pace_store.reserve_unlimited(connection, ACCOUNT)
        pace_store.hold(connection, ACCOUNT, 0.5)
    set_back(database, 3600.0)
    carrier = made(database)
    with carrier.open():
        collected(carrier, [])
    with at_once(database) as connection:
        slot, found = pace_store.reserve_unlimited(connection, ACCOUNT), pace_store.slots(connection, ACCOUNT)
    assert slot is not None and found is not None
    assert slot.wait < 5.0
    assert found.seen_at == pytest.approx(found.now, abs=5.0)


@pytest.mark.parametrize("is_followed", [False, True])
def test_the_limit_holds_when_the_clock_of_the_database_is_set_ahead(database: IMEIDatabase, is_followed: bool) -> None:
    """Before the loop has noticed it, and after it: starts are as long ago as before, and stay so."""
    let_calls_start(database, 4)
    with at_once(database) as connection:
        pace_store.follow_clock(connection, ACCOUNT)
        assert all(pace_store.reserve_order(connection, ACCOUNT) for _ in range(3))
    set_back(database, -3600.0)
    with at_once(database) as connection:
        if is_followed:
            pace_store.follow_clock(connection, ACCOUNT)
        waits = [slot.wait for _ in range(2) if (slot := pace_store.reserve_order(connection, ACCOUNT))]
        found = pace_store.slots(connection, ACCOUNT)
    assert waits[0] < 5.0
    assert waits[1] > 50.0
    assert found is not None and found.seen_at == pytest.approx(found.now, abs=5.0)


def test_a_loop_that_begins_takes_the_time_that_passed_for_no_step(database: IMEIDatabase) -> None:
    """After an hour without any loop the calls before it delay nobody."""
    let_calls_start(database, 4)
    with at_once(database) as connection:
        pace_store.follow_clock(connection, ACCOUNT)
        assert all(pace_store.reserve_order(connection, ACCOUNT) for _ in range(4))
    set_back(database, -3600.0)
    carrier = made(database, Throttle(5, 4))
    with carrier.open():
        collected(carrier, [])
    with at_once(database) as connection:
        slot = pace_store.reserve_order(connection, ACCOUNT)
    assert slot is not None and slot.wait < 5.0


def test_a_clock_of_the_database_that_goes_on_moves_no_start(database: IMEIDatabase) -> None:
    let_calls_start(database, 4)
    carrier = made(database, Throttle(5, 4))
    with carrier.open(), at_once(database) as connection:
        slot = pace_store.reserve_order(connection, ACCOUNT)
    for _ in range(2):
        with at_once(database) as connection:
            pace_store.follow_clock(connection, ACCOUNT)
    with at_once(database) as connection:
        pace_store.follow_clock(connection, "another account")
        found = pace_store.slots(connection, ACCOUNT)
    assert slot is not None and found is not None
    assert (found.newest_start, found.orders) == (slot.start, (slot.start,))


def set_back(database: IMEIDatabase, seconds: float) -> None:
    """Write all times of the pace as if the clock had been ahead by these seconds."""
    with at_once(database) as connection:
        found = pace_store.slots(connection, ACCOUNT)
        assert found is not None
        ahead = found.earlier(-seconds)
        lists = [json.dumps(ahead.orders), json.dumps(ahead.reads)]
        times = [ahead.newest_start, ahead.hold_until, ahead.seen_at, *lists]
        columns = ("newest_start", "hold_until", "seen_at", "orders", "reads")
        connection.execute(update(pace).values(dict(zip(columns, times, strict=True))))


def test_quick_calls_of_the_last_batch_let_the_next_one_be_planned_ahead(database: IMEIDatabase) -> None:
    """Before its first answer no call has shown how quick the provider is now; what is too much can be taken back."""
    quick, slow = (Answer(Chunk(1, 1, "1", 1, 1, ()), AllOrdered(()), None, seconds) for seconds in (0.05, 3.5))
    system = ProductionSubmissionSystem(database, Provider(), made(database), OPTIONS)  # type: ignore[arg-type]
    ahead = [system._ahead(answered) for answered in ([], [quick], [], [slow], [])]
    assert ahead == [0, 8 * OPTIONS.workers, 8 * OPTIONS.workers, 0, 0]
