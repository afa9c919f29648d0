"""A call that was handed to a job is begun or withdrawn once, whoever comes first, and its answer is taken once."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from handed_over import ACCOUNT, ANSWER, handed_over, let_calls_start
from plain_sql import run
from sqlalchemy import Connection

from database import IMEIDatabase, write_setting
from orders import Chunk, ChunkState
from storage import call_queries, handed_calls, history_mark
from storage.handed_calls import ALIVE, ANSWERS, LOST, MOST, WITHDRAWN, Begun, JobThread, NextJob, at_once
from storage.job_queue import CALL_TASK, JobQueue, calls_of
from storage.listening import server_address

SOON = 1e12  #: a moment that does not come


@pytest.fixture
def database(emptied_database: IMEIDatabase) -> IMEIDatabase:
    return emptied_database


def do(database: IMEIDatabase, words: str, *values: Any) -> None:
    with database.write() as connection:
        run(connection, words, *values)


def read(database: IMEIDatabase, words: str) -> list[Any]:
    with database.read() as connection:
        return [tuple(row) if len(row) > 1 else row[0] for row in run(connection, words)]


def begin(database: IMEIDatabase, attempt_id: int, account: str = ACCOUNT, latest: float = SOON) -> Begun | None:
    with at_once(database) as connection:
        return handed_calls.begin(connection, attempt_id, account, "s", latest)


def begun(database: IMEIDatabase, attempt_id: int) -> Begun:
    call = begin(database, attempt_id)
    assert call is not None
    return call


def is_open(database: IMEIDatabase, attempt_id: int, account: str = ACCOUNT) -> bool:
    with at_once(database) as connection:
        return handed_calls.is_open(connection, attempt_id, account)


def withdraw(database: IMEIDatabase, *attempt_ids: int) -> set[int]:
    with at_once(database) as connection:
        return handed_calls.withdraw(connection, attempt_ids)


def keep(database: IMEIDatabase, call: Begun, content: bytes | None = ANSWER, failure: str = "", job: int = 0) -> None:
    with at_once(database) as connection:
        handed_calls.keep(connection, call, content, failure, job)


def clock(database: IMEIDatabase) -> float:
    with database.read() as connection:
        return handed_calls.database_clock(connection)


def on_the_wire(database: IMEIDatabase) -> list[Chunk]:
    with database.read() as connection:
        return call_queries.open_chunks(connection, ChunkState.SENDING)


# Begin


def test_a_call_is_begun_once_with_what_it_is_to_send(database: IMEIDatabase) -> None:
    first, second = handed_over(database, 2)
    chunk, other = on_the_wire(database)
    before = clock(database)
    call = begun(database, first)
    assert call.chunk == chunk
    assert (call.token, call.chunk.account) == (f"{first} s", ACCOUNT)
    assert before <= call.began_at <= clock(database)
    assert begin(database, first) is None
    assert not is_open(database, first)
    assert is_open(database, second)
    with at_once(database) as connection:
        assert handed_calls.begun_by(connection, "s") == call
        assert handed_calls.begun_by(connection, "another secret") is None
    do(database, "UPDATE attempts SET ended_at = now() WHERE id = ?", first)
    with at_once(database) as connection:
        assert handed_calls.begun_by(connection, "s") is None
    assert begun(database, second).chunk == other


STOPS: dict[str, str] = {
    "was withdrawn": f"UPDATE attempts SET taken_by = '{WITHDRAWN}'",
    "has ended": "UPDATE attempts SET ended_at = now()",
    "was planned again": "UPDATE chunks SET state = 'planned'",
    "is in doubt": "UPDATE chunks SET state = 'in_doubt'",
    "was sent again": "UPDATE chunks SET attempt = 2",
    "has no IMEI that waits": "UPDATE items SET outcome = 'cancelled'",
    "waits for orders to be restored": "INSERT INTO settings (key, value) VALUES ('older_copy', 'Restore them.')",
    "is of another account": "UPDATE attempts SET account = 'b'",
}


@pytest.mark.parametrize("words", STOPS.values(), ids=STOPS)
def test_a_call_is_not_begun_that(database: IMEIDatabase, words: str) -> None:
    """Nothing is written, so that it can still be withdrawn or settled."""
    (attempt_id,) = handed_over(database)
    do(database, words)
    assert not is_open(database, attempt_id)
    assert begin(database, attempt_id) is None
    assert read(database, "SELECT begun_at FROM attempts") == [None]


def test_a_call_is_not_begun_where_commits_were_lost(database: IMEIDatabase) -> None:
    (attempt_id,) = handed_over(database)
    with database.write() as connection:
        history_mark.write_mark(connection, is_synchronous=False)
    assert is_open(database, attempt_id)
    do(database, "UPDATE settings SET value = value WHERE key = 'history'")
    assert not is_open(database, attempt_id)
    assert begin(database, attempt_id) is None
    assert withdraw(database, attempt_id) == set()


def test_a_call_is_begun_up_to_the_latest_moment(database: IMEIDatabase) -> None:
    (attempt_id,) = handed_over(database)
    assert begin(database, attempt_id, latest=clock(database) - 0.001) is None
    assert is_open(database, attempt_id)
    assert begin(database, attempt_id, latest=clock(database) + 60.0) is not None


def test_a_call_sends_only_the_imeis_that_wait(database: IMEIDatabase) -> None:
    """The others were settled otherwise, and would be paid again."""
    (attempt_id,) = handed_over(database)
    first, second = on_the_wire(database)[0].items
    do(database, "UPDATE items SET outcome = 'duplicate' WHERE id = ?", first.item_id)
    assert begun(database, attempt_id).chunk.items == (second,)


def test_of_many_that_begin_and_withdraw_at_once_one_comes_first(database: IMEIDatabase) -> None:
    attempts, barrier = handed_over(database, 10), threading.Barrier(3)
    calls, taken_back = list[int](), set[int]()

    def make() -> None:
        barrier.wait()
        for attempt_id in attempts:
            calls.extend([attempt_id] if begin(database, attempt_id) else [])

    def take_back() -> None:
        barrier.wait()
        for attempt_id in reversed(attempts):
            taken_back.update(withdraw(database, attempt_id))

    threads = [threading.Thread(target=work) for work in (make, make, take_back)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted([*calls, *taken_back]) == attempts


# Withdraw, and lost commits


def test_only_what_nobody_has_begun_and_has_no_end_is_withdrawn(database: IMEIDatabase) -> None:
    made, ended, free, other = handed_over(database, 4)
    begun(database, made)
    do(database, "UPDATE attempts SET ended_at = now() WHERE id = ?", ended)
    assert withdraw(database, made, ended, free, 999) == {free}
    assert withdraw(database, free) == set()
    assert begin(database, free) is None
    assert is_open(database, other)


def test_after_lost_commits_every_call_without_an_end_counts_as_begun(database: IMEIDatabase) -> None:
    """Those that were withdrawn were certainly not sent."""
    made, ended, withdrawn, free = handed_over(database, 4)
    begun(database, made)
    withdraw(database, withdrawn)
    do(database, "UPDATE attempts SET ended_at = now() WHERE id = ?", ended)
    with database.write() as connection:
        handed_calls.count_all_as_begun(connection)
    assert read(database, "SELECT taken_by, begun_at > 0 FROM attempts ORDER BY id") == [
        (f"{made} s", True), (None, None), (WITHDRAWN, None), (f"{free} {LOST}", True)
    ]  # fmt: skip
    assert [begin(database, one) for one in (made, ended, withdrawn, free)] == [None] * 4


def test_the_intent_of_a_call_that_was_lost_is_written_again(database: IMEIDatabase) -> None:
    """No later attempt gets its number, which this database has not given yet; and it is not begun once more."""
    (given,) = handed_over(database)
    attempt_id = given + 50
    chunk = replace(on_the_wire(database)[0], attempt_id=attempt_id)
    do(database, "DELETE FROM attempts")
    do(database, "UPDATE chunks SET state = 'planned', attempt = 0")
    with database.write() as connection:
        handed_calls.restore(connection, chunk)
    assert on_the_wire(database) == [chunk]
    assert read(database, "SELECT id, number, imeis, taken_by, account FROM attempts") == [
        (attempt_id, 1, 2, f"{attempt_id} {LOST}", ACCOUNT)
    ]
    assert begin(database, attempt_id) is None
    assert handed_over(database, 1, first=10)[0] > attempt_id


@pytest.mark.parametrize(
    "words",
    [
        "UPDATE chunks SET state = 'sending'",
        "UPDATE chunks SET state = 'answered'",
        "UPDATE chunks SET attempt = 1",  # planned after this attempt
        "UPDATE chunks SET batch_id = batch_id + 1",
        "INSERT INTO attempts (id, chunk_id, number, imeis, sent_at) SELECT 1, id, 9, 2, now() FROM chunks",
    ],
)
def test_a_call_is_not_written_again_whose_chunk_or_number_is_in_use(database: IMEIDatabase, words: str) -> None:
    handed_over(database)
    (chunk,) = on_the_wire(database)
    handed_over(database, 1, first=10)  # the other batch
    do(database, "DELETE FROM attempts")
    do(database, "DELETE FROM items WHERE batch_id <> ?", chunk.batch_id)
    do(database, "DELETE FROM chunks WHERE batch_id <> ?", chunk.batch_id)
    do(database, "UPDATE chunks SET state = 'planned', attempt = 0")
    do(database, words)
    rows = "SELECT state, attempt, (SELECT count(*) FROM attempts WHERE taken_by IS NOT NULL) FROM chunks"
    before = read(database, rows)
    with database.write() as connection:
        handed_calls.restore(connection, chunk)
    assert read(database, rows) == before


def test_a_call_has_an_imei_that_waits_only_in_its_own_batch(database: IMEIDatabase) -> None:
    handed_over(database)
    (chunk,) = on_the_wire(database)
    with database.read() as connection:
        assert handed_calls.has_waiting_imei(connection, chunk)
    do(database, "UPDATE items SET outcome = 'ordered' WHERE id = ?", chunk.items[0].item_id)
    with database.read() as connection:
        assert handed_calls.has_waiting_imei(connection, chunk)
    do(database, "UPDATE items SET outcome = 'in_doubt' WHERE id = ?", chunk.items[1].item_id)
    with database.read() as connection:
        assert not handed_calls.has_waiting_imei(connection, chunk)
    handed_over(database, 1, first=10)
    do(database, "UPDATE items SET outcome = 'waiting', batch_id = (SELECT max(id) FROM batches)")
    with database.read() as connection:
        assert not handed_calls.has_waiting_imei(connection, chunk)


# Answers


def test_the_first_answer_to_a_call_is_kept_and_wakes_its_loop(database: IMEIDatabase) -> None:
    """A second one of the same process is its own repetition, and tells nothing new."""
    (attempt_id,) = handed_over(database)
    call = begun(database, attempt_id)
    with psycopg.connect(server_address(database), autocommit=True) as listener:
        listener.execute(f"LISTEN {ANSWERS}".encode())
        keep(database, call)
        keep(database, call, None, "lost")
        assert [one.payload for one in listener.notifies(timeout=0.2)] == [ACCOUNT]
    with database.read() as connection:
        rows, now = handed_calls.stored(connection, ACCOUNT)
        assert handed_calls.stored(connection, "b")[0] == set()
        [answer] = handed_calls.arrived(connection, rows)
    assert (answer.chunk, answer.content, answer.failure) == (call.chunk, ANSWER, "")
    assert answer.began_at == call.began_at <= answer.arrived_at <= now
    assert {answer.row} == rows


def test_the_oldest_answers_come_first_and_not_too_many_at_once(database: IMEIDatabase) -> None:
    (attempt_id,) = handed_over(database)
    call = begun(database, attempt_id)
    keep(database, call)
    do(
        database,
        "INSERT INTO raw_answers (account, token, call, content, failure, began_at, arrived_at)"
        f" SELECT account, '0 ' || n, call, content, failure, n, 1 FROM raw_answers, generate_series(1, {MOST}) n",
    )
    do(database, "UPDATE raw_answers SET failure = failure WHERE token LIKE '% s'")  # the server has it last now
    with database.read() as connection:
        rows, _ = handed_calls.stored(connection, ACCOUNT)
        found = handed_calls.arrived(connection, rows)
    assert len(found) == MOST
    assert [answer.row for answer in found] == sorted(rows)
    assert [answer.began_at for answer in found[:3]] == [call.began_at, 1.0, 2.0]


def test_an_answer_is_taken_once_and_tells_whether_its_call_is_known(database: IMEIDatabase) -> None:
    """A call that nobody has begun here was begun before commits were lost."""
    known, planned = handed_over(database, 2)
    call = begun(database, known)
    keep(database, call)
    for token in (f"{planned} s", "999 s"):
        keep(database, Begun(call.chunk, token, 1.0))
    with database.write() as connection:
        first, second, third = sorted(handed_calls.stored(connection, ACCOUNT)[0])
        assert handed_calls.take(connection, [first, second, 999]) == {first: True, second: False}
        assert handed_calls.take(connection, [first, third]) == {third: False}
        assert handed_calls.stored(connection, ACCOUNT)[0] == set()


# Jobs


def queued(database: IMEIDatabase, attempts: list[int], account: str = ACCOUNT) -> int:
    """Add a job for each attempt, and register a worker. Returns the number of the worker."""
    with database.write() as connection:
        JobQueue().add_calls(connection, account, attempts)
        return int(run(connection, "INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id").scalar_one())


def keep_and_take(database: IMEIDatabase, call: Begun, thread: JobThread) -> NextJob | None:
    with at_once(database) as connection:
        return handed_calls.keep_and_take(connection, call, ANSWER, "", thread)


def jobs(database: IMEIDatabase) -> list[tuple[int, str]]:
    return read(database, "SELECT id, status::text FROM procrastinate_jobs ORDER BY id")


def test_an_answer_is_kept_its_job_deleted_and_the_next_call_begun_at_once(database: IMEIDatabase) -> None:
    let_calls_start(database)
    first, second = handed_over(database, 2)
    worker = queued(database, [first, second])
    with at_once(database) as connection:
        run(connection, f"SELECT procrastinate_fetch_job_v2(NULL, {worker})")
    thread = JobThread(worker, (calls_of(ACCOUNT),), job=1, secret="next", latest=SOON)
    found = keep_and_take(database, begun(database, first), thread)
    assert found is not None and found.begun is not None
    assert (found.job, found.queue, found.attempt_id, found.is_free) == (2, calls_of(ACCOUNT), second, True)
    assert (found.begun.token, found.begun.chunk) == (f"{second} next", on_the_wire(database)[1])
    assert jobs(database) == [(2, "doing")]
    assert keep_and_take(database, found.begun, thread) is None
    with at_once(database) as connection:
        handed_calls.end_job(connection, 2)
        assert len(handed_calls.stored(connection, ACCOUNT)[0]) == 2
    assert jobs(database) == []


@pytest.mark.parametrize("reason", ["the worker is silent", "the worker is gone", "another queue", "no job"])
def test_no_job_is_taken_where(database: IMEIDatabase, reason: str) -> None:
    """The answer is kept whatever comes next."""
    first, second = handed_over(database, 2)
    worker = queued(database, [] if reason == "no job" else [second])
    if reason == "the worker is silent":
        do(database, f"UPDATE procrastinate_workers SET last_heartbeat = now() - interval '{ALIVE + 1} seconds'")
    queues = (calls_of("b" if reason == "another queue" else ACCOUNT),)
    number = worker + (reason == "the worker is gone")
    assert keep_and_take(database, begun(database, first), JobThread(number, queues, latest=SOON)) is None
    assert [status for _, status in jobs(database)] == ["todo"] * (reason != "no job")
    with database.read() as connection:
        assert len(handed_calls.stored(connection, ACCOUNT)[0]) == 1


@pytest.mark.parametrize(
    ("pace", "latest", "knows_it_is_free", "is_begun"),
    [
        ({}, 0.0, False, False),  # its start is reserved first
        ({}, 0.0, True, True),  # nothing limits calls, and the thread has seen it
        ({"spacing": 1.0}, 0.0, True, False),  # since then something does
        ({"allowance": 5}, 0.0, True, False),
        ({"hold": 60.0}, 0.0, True, False),
        ({"allowance": 5}, SOON, False, True),  # within the start that was reserved for it
    ],
)
def test_a_job_is_taken_without_its_call_where_that_has_no_start(
    database: IMEIDatabase, pace: dict[str, float], latest: float, knows_it_is_free: bool, is_begun: bool
) -> None:
    row = {"hold": 0.0, "spacing": 0.0, "allowance": None} | pace
    do(
        database,
        "INSERT INTO pace (account, hold_until, spacing, allowance)"
        " VALUES (?, extract(epoch FROM clock_timestamp()) + ?, ?, CAST(? AS integer))",
        ACCOUNT,
        *row.values(),
    )
    first, second = handed_over(database, 2)
    worker = queued(database, [second])
    thread = JobThread(worker, (calls_of(ACCOUNT),), secret="n", latest=latest, is_free=knows_it_is_free)
    found = keep_and_take(database, begun(database, first), thread)
    assert found is not None
    assert (found.attempt_id, found.begun is not None, found.is_free) == (second, is_begun, not pace)
    assert is_open(database, second) is not is_begun


def test_a_job_of_another_account_is_taken_without_its_call(database: IMEIDatabase) -> None:
    """Its answer is stored under another account, and another pace counts."""
    let_calls_start(database)
    first, second = handed_over(database, 2)
    do(database, "UPDATE attempts SET account = 'b' WHERE id = ?", second)
    worker = queued(database, [second], "b")
    thread = JobThread(worker, (calls_of(ACCOUNT), calls_of("b")), secret="n", latest=SOON)
    found = keep_and_take(database, begun(database, first), thread)
    assert found is not None
    assert (found.queue, found.attempt_id, found.begun) == (calls_of("b"), second, None)
    assert is_open(database, second, "b")


# Calls that get no answer


def orphaned(database: IMEIDatabase, *attempt_ids: int) -> dict[int, float | None]:
    with database.read() as connection:
        return handed_calls.orphaned(connection, attempt_ids, CALL_TASK, 100.0, 20.0)


#: (status of the job, seconds since the heartbeat of its worker, since the call began, since the job was taken, orphan)
FATES: tuple[tuple[str | None, int | None, int | None, int, bool], ...] = (
    (None, None, None, 0, True),  # there never was a job
    (None, None, 10, 0, False),  # begun a moment ago: its worker is about to store the answer
    (None, None, 30, 0, True),
    ("todo", None, None, 0, False),
    ("succeeded", 1, None, 0, True),
    ("failed", 1, None, 0, True),
    ("doing", 1, 30, 30, False),  # its worker lives
    ("doing", 30, 30, 30, True),  # it is gone
    ("doing", 30, None, 1, True),
    ("doing", 1, None, 10, False),  # taken a moment ago, not yet begun
    ("doing", 1, None, 30, True),  # the reply that named it was lost
    ("doing", 1, 110, 110, True),  # it takes too long, though its worker lives
    ("todo", None, 110, 0, True),
)


def test_a_call_gets_no_answer_when_its_time_or_its_worker_is_gone(database: IMEIDatabase) -> None:
    """The answer says when it was begun, which tells those that may be sent again."""
    attempts = handed_over(database, len(FATES))
    with database.write() as connection:
        for attempt_id, (job, heartbeat, began, taken, _) in zip(attempts, FATES, strict=True):
            if began is not None:
                earlier = f"extract(epoch FROM clock_timestamp()) - {began}"
                run(
                    connection,
                    f"UPDATE attempts SET taken_by = id || ' s', begun_at = {earlier} WHERE id = {attempt_id}",
                )
            if job is not None:
                add_job(connection, attempt_id, job, heartbeat, taken)
    found = orphaned(database, *attempts)
    assert found.keys() == {one for one, (*_, is_orphan) in zip(attempts, FATES, strict=True) if is_orphan}
    begun_before = {one for one, (_, _, began, *_) in zip(attempts, FATES, strict=True) if began is not None}
    assert {one for one, begun_at in found.items() if begun_at is not None} == begun_before & found.keys()


def add_job(connection: Connection, attempt_id: int, status: str, heartbeat: int | None, taken: int) -> None:
    """Add the job of an attempt in a status. The times are seconds ago; heartbeat: None where it has no worker."""
    JobQueue().add_calls(connection, ACCOUNT, [attempt_id])
    job = run(connection, "SELECT max(id) FROM procrastinate_jobs").scalar_one()
    worker = None
    if heartbeat is not None:
        register = (
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - CAST(? AS interval)) RETURNING id"
        )
        worker = run(connection, register, f"{heartbeat} seconds").scalar_one()
    change = "UPDATE procrastinate_jobs SET worker_id = ?, status = CAST(? AS procrastinate_job_status) WHERE id = ?"
    run(connection, change, worker, status, job)
    run(
        connection,
        "UPDATE procrastinate_events SET at = now() - CAST(? AS interval) WHERE job_id = ?",
        f"{taken} s",
        job,
    )


ANSWERED: dict[str, Callable[[IMEIDatabase, int], None]] = {
    "has ended": lambda database, one: do(database, "UPDATE attempts SET ended_at = now() WHERE id = ?", one),
    "has an answer": lambda database, one: keep(database, Begun(on_the_wire(database)[0], f"{one} s", 1.0)),
}


@pytest.mark.parametrize("answer", ANSWERED.values(), ids=ANSWERED)
def test_a_call_is_not_given_up_that(database: IMEIDatabase, answer: Callable[[IMEIDatabase, int], None]) -> None:
    """Nor one that was not asked about; an answer to attempt 12 is none to attempt 1."""
    first, second, _ = handed_over(database, 3)
    assert orphaned(database, first, second).keys() == {first, second}
    answer(database, first)
    assert orphaned(database, first, second).keys() == {second}
    keep(database, Begun(on_the_wire(database)[0], f"{second}2 s", 1.0))
    assert orphaned(database, first, second).keys() == {second}


def test_a_setting_that_waits_for_orders_withdraws_nothing(database: IMEIDatabase) -> None:
    (attempt_id,) = handed_over(database)
    with database.write() as connection:
        write_setting(connection, history_mark.OLDER_COPY, "Restore them.")
    assert withdraw(database, attempt_id) == set()
    with database.write() as connection:
        write_setting(connection, history_mark.OLDER_COPY, "")
    assert withdraw(database, attempt_id) == {attempt_id}
