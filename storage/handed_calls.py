"""Calls that the loop has handed to jobs: who has begun which, and the answers that came. For PostgreSQL.

An attempt is begun, or withdrawn, by one guarded UPDATE of its row: whoever comes second finds it taken. So a job that
is repeated, late or lost does no harm, and what was withdrawn was certainly not sent. These statements do not wait for
the writer of all other tables.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Row, text

from database import IMEIDatabase, Transaction, utc_now
from engines import Direct, PostgreSQLServer
from orders import Chunk, Item
from schema import attempts, last_id, skip_ids
from storage.history_mark import IS_WHOLE

#: taken_by of an attempt that no job may begin any more, and the secret of one that may have been begun.
WITHDRAWN, LOST = "withdrawn", "lost"
#: The channel that wakes the loop of the account in its payload.
ANSWERS = "hammer_answers"
NOW = "extract(epoch FROM clock_timestamp())::double precision"
SILENT_SINCE = "clock_timestamp() - make_interval(secs => :silence)"
CLOCK = text(f"SELECT {NOW}")
#: The attempt, and the secret (a random word) of the process that has begun it.
TAKEN_BY = "a.id || ' ' || :secret"
#: The IMEIs of a call that wait to be sent. Without || the planner, which has no statistics of a new batch yet, reads
#: the index of all undecided IMEIs for each call.
OF_CALL = "i.chunk_id = c.id AND i.outcome || '' = 'waiting'"
CALL = (
    "a.taken_by, a.begun_at, a.account, a.id AS attempt_id, c.id, c.batch_id, b.service_id,"
    " c.attempt AS attempt_number, c.doubt_attempt, c.cleared,"
    " (SELECT json_agg(json_build_array(i.id, i.imei) ORDER BY i.id) FROM items i"
    f"  WHERE {OF_CALL}) AS items"
)
#: A call is begun only while an IMEI of it waits: the others were settled otherwise.
WAITS = f"EXISTS (SELECT 1 FROM items i WHERE {OF_CALL})"
OPEN = (
    "a.account = :account AND a.taken_by IS NULL AND a.ended_at IS NULL AND c.id = a.chunk_id AND c.state = 'sending'"
    f" AND c.attempt = a.number AND {WAITS} AND {IS_WHOLE}"
)
MAY_BEGIN = f"b.id = c.batch_id AND {OPEN} AND {NOW} <= :latest"
#: Whether a call may start now although nobody has reserved a start for it: nothing limits the calls of its account.
IS_FREE = (
    f"EXISTS (SELECT 1 FROM pace p WHERE p.account = :account AND p.allowance IS NULL AND p.spacing <= 0"
    f" AND p.hold_until <= {NOW})"
)
#: Each call takes this one statement before it is sent, so it returns the IMEIs too.
BEGIN = text(
    f"UPDATE attempts a SET taken_by = {TAKEN_BY}, begun_at = {NOW} FROM chunks c, batches b"
    f" WHERE a.id = :attempt AND {MAY_BEGIN} RETURNING {CALL}"
)
RESTORE = text(
    "WITH planned AS (UPDATE chunks SET state = 'sending', attempt = :number, account = :account"
    "  WHERE id = :chunk AND batch_id = :batch AND state = 'planned' AND attempt < :number"
    "  AND NOT EXISTS (SELECT 1 FROM attempts WHERE id = :attempt) RETURNING id, size)"
    " INSERT INTO attempts (id, chunk_id, number, imeis, sent_at, account, after_order, taken_by, begun_at)"
    " SELECT :attempt, id, :number, size, :now, :account, (SELECT coalesce(max(id), 0) FROM orders), :taken_by,"
    f" {NOW} FROM planned"
)
WAITING = text("SELECT 1 FROM items WHERE id = ANY(:ids) AND batch_id = :batch AND outcome = 'waiting' LIMIT 1")
IS_OPEN = text(f"SELECT 1 FROM attempts a, chunks c WHERE a.id = :attempt AND {OPEN}")
#: Not where commits were lost (IS_WHOLE): there nobody knows what was begun.
WITHDRAW = text(
    "UPDATE attempts SET taken_by = :withdrawn"
    f" WHERE id = ANY(:attempts) AND taken_by IS NULL AND ended_at IS NULL AND {IS_WHOLE} RETURNING id"
)
COUNT_AS_BEGUN = text(
    f"UPDATE attempts SET taken_by = id || ' ' || :lost, begun_at = {NOW} WHERE taken_by IS NULL AND ended_at IS NULL"
)
KEPT = (
    "INSERT INTO raw_answers (account, token, call, content, failure, began_at, arrived_at)"
    f" VALUES (:account, :token, :call, :content, :failure, :began_at, {NOW}) ON CONFLICT (token) DO NOTHING"
    " RETURNING account"
)
DONE = "DELETE FROM procrastinate_jobs WHERE id = :job"
END_JOB = text(DONE)
KEEP = text(f"WITH kept AS ({KEPT}), done AS ({DONE}) SELECT pg_notify(:channel, kept.account) FROM kept")
#: Everything between two calls of a thread, in one statement with one commit: store the answer, delete the job of its
#: call, take the next job as the queue does, and begin its call. After :latest (0 where no start is reserved) only the
#: job is taken, unless the call needs no reserved start (IS_FREE). A worker without a recent heartbeat takes no job:
#: its calls would count as lost while they are made.
KEEP_AND_TAKE = text(
    f"WITH kept AS ({KEPT}), done AS ({DONE}),"
    " fetched AS (SELECT procrastinate_fetch_job_v2(:queues, w.id) AS job FROM procrastinate_workers w"
    f"  WHERE w.id = :worker AND w.last_heartbeat > {SILENT_SINCE}),"
    " taken AS (SELECT (job).id AS job, (job).queue_name AS queue, ((job).args ->> 'attempt_id')::bigint AS attempt"
    "  FROM fetched),"
    f" begun AS (UPDATE attempts a SET taken_by = {TAKEN_BY}, begun_at = {NOW} FROM chunks c, batches b"
    f"  WHERE a.id = (SELECT attempt FROM taken) AND b.id = c.batch_id AND {OPEN}"
    f"  AND ({NOW} <= :latest OR NOT :is_reserved AND {IS_FREE}) RETURNING {CALL})"
    f" SELECT taken.job, taken.queue, taken.attempt, {IS_FREE} AS is_free, begun.*,"
    "  (SELECT pg_notify(:channel, account) FROM kept)"
    " FROM (VALUES (1)) one LEFT JOIN taken ON taken.job IS NOT NULL LEFT JOIN begun ON true"
)
BEGUN_BY = text(
    f"SELECT {CALL} FROM attempts a JOIN chunks c ON c.id = a.chunk_id JOIN batches b ON b.id = c.batch_id"
    f" WHERE a.taken_by = {TAKEN_BY} AND a.ended_at IS NULL"
)
STORED = text(
    f"SELECT ARRAY(SELECT id FROM raw_answers WHERE account = :account ORDER BY id LIMIT :most) AS rows, {NOW} AS now"
)
ARRIVED = text(
    "SELECT id, account, call, content, failure, began_at, arrived_at FROM raw_answers"
    " WHERE id = ANY(:rows) ORDER BY id"
)
#: An answer to a call that nobody has begun shows that commits were lost.
TAKE = text(
    "DELETE FROM raw_answers r WHERE id = ANY(:rows) RETURNING id, EXISTS (SELECT 1 FROM attempts a"
    " WHERE a.id = CAST(split_part(r.token, ' ', 1) AS bigint) AND a.taken_by IS NOT NULL) AS is_known"
)
#: The attempts without an answer that were begun too long ago, or that have no living job: the job has ended, failed or
#: was never there, its worker is gone, or it was taken long ago and its call was never begun (the reply to the
#: statement that took it was lost, so no thread knows of it). Attempts that were begun a moment ago are not among them:
#: after an outage of the database no worker has sent a heartbeat yet, and workers are about to store their answers.
ORPHANED = text(
    "SELECT a.id, a.begun_at FROM attempts a WHERE a.id = ANY(:attempts) AND a.ended_at IS NULL"
    f" AND (a.begun_at < {NOW} - :longest OR coalesce(a.begun_at < {NOW} - :silence, true) AND NOT EXISTS ("
    "  SELECT 1 FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id"
    "  WHERE j.task_name = :task AND (j.args ->> 'attempt_id')::bigint = a.id AND (j.status = 'todo'"
    f"   OR j.status = 'doing' AND w.last_heartbeat > {SILENT_SINCE} AND (a.begun_at IS NOT NULL"
    f"    OR (SELECT max(e.at) FROM procrastinate_events e WHERE e.job_id = j.id) > {SILENT_SINCE}))))"
    " AND NOT EXISTS (SELECT 1 FROM raw_answers r WHERE r.token LIKE a.id || ' %')"
)
#: The most answers that one turn of the loop takes.
MOST = 200
#: Seconds since the last heartbeat of a worker in which it may take jobs.
ALIVE = 15.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One stored answer to a call, or how the call failed."""

    row: int
    chunk: Chunk
    content: bytes | None  #: the whole body; None where no answer came
    failure: str  #: as JSON
    began_at: float  #: Unix seconds by the clock of the database
    arrived_at: float


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that one process has begun."""

    chunk: Chunk
    token: str  #: names the process and the attempt
    began_at: float  #: Unix seconds by the clock of the database


@dataclass(frozen=True, slots=True)
class JobThread:
    """What a thread of a worker needs to take its next job."""

    worker: int  #: its number in the queue of jobs
    queues: tuple[str, ...]
    job: int = 0  #: to delete when the present call is over; 0: the queue deletes it
    secret: str = ""  #: begins the next call
    latest: float = 0.0  #: when the next call is begun at the latest, by the clock of the database; 0: not now
    is_free: bool = False  #: the next call needs no reserved start: nothing limited the calls of its account just now


@dataclass(frozen=True, slots=True)
class NextJob:
    """The next job of a thread."""

    job: int
    queue: str
    attempt_id: int
    begun: Begun | None  #: None: its call waits for its start, or may not be begun
    is_free: bool = False  #: nothing limits the calls of the account whose answer was stored
    asked: float = 0.0  #: when it was asked for, in seconds of the clock of the process
    start: float = 0.0  #: when the call in `begun` may be made, by the same clock
    seen: float | None = None  #: what the clock of the database showed after that call was begun; None: not read


@contextmanager
def at_once(database: IMEIDatabase) -> Iterator[Connection]:
    """Open a transaction that does not wait for the writer of the other tables, for guarded UPDATEs of single rows."""
    with database.engine.begin() as connection:
        yield connection


@contextmanager
def without_begin(database: IMEIDatabase) -> Iterator[Connection]:
    """Open a connection of the loop on which each statement is a transaction: no round trips for BEGIN and COMMIT.

    While threads make quick calls, the loop waits for its turn at each round trip.
    """
    with database.engines.singles.connect() as connection:
        yield connection


@contextmanager
def each_by_itself(database: IMEIDatabase) -> Iterator[Direct]:
    """Open a connection for a paid call on which each statement is a transaction: it is committed when it returns.

    Plans of statements are kept: planning takes longer than running them, because each looks up a row by its id.
    """
    with cast(PostgreSQLServer, database.engines).by_itself() as connection:
        yield connection


def database_clock(connection: Connection | Direct) -> float:
    """Return Unix seconds by the clock of the database."""
    return float(connection.execute(CLOCK).scalar_one())


def is_open(connection: Connection | Direct, attempt_id: int, account: str) -> bool:
    """Return whether an attempt of an account may still be begun."""
    return connection.execute(IS_OPEN, {"attempt": attempt_id, "account": account}).scalar() is not None


def begin(connection: Connection | Direct, attempt_id: int, account: str, secret: str, latest: float) -> Begun | None:
    """Begin an attempt of an account, up to `latest` by the clock of the database; None where it must not be sent."""
    values = {"attempt": attempt_id, "account": account, "secret": secret, "latest": latest}
    return _begun(connection.execute(BEGIN, values).first())


def begun_by(connection: Connection | Direct, secret: str) -> Begun | None:
    """Return the call that was begun with this secret, if any. For use after a commit that may have failed."""
    return _begun(connection.execute(BEGUN_BY, {"secret": secret}).first())


def withdraw(connection: Connection, attempt_ids: Collection[int]) -> set[int]:
    """Let no job begin these attempts. Return those that nobody had begun: they were certainly not sent."""
    values = {"attempts": list(attempt_ids), "withdrawn": WITHDRAWN}
    return set(connection.execute(WITHDRAW, values).scalars())


def count_all_as_begun(connection: Transaction) -> None:
    """Count all attempts that no job has begun as begun now: the commit that began one of them may be lost."""
    connection.execute(COUNT_AS_BEGUN, {"lost": LOST})


def restore(connection: Transaction, chunk: Chunk) -> None:
    """Write the intent of a call that was made, and that the database has lost: planned → sending, with its attempt.

    Does nothing if the chunk was sent since, or if another call has the number of this attempt.
    """
    values: dict[str, Any] = {
        "attempt": chunk.attempt_id,
        "chunk": chunk.chunk_id,
        "batch": chunk.batch_id,
        "number": chunk.attempt,
    }
    values |= {"account": chunk.account, "taken_by": f"{chunk.attempt_id} {LOST}", "now": utc_now()}
    if connection.execute(RESTORE, values).rowcount:
        skip_ids(connection, attempts, max(chunk.attempt_id, last_id(connection, attempts)))


def has_waiting_imei(connection: Connection, chunk: Chunk) -> bool:
    """Return whether an IMEI of a call waits to be sent."""
    values = {"ids": [item.item_id for item in chunk.items], "batch": chunk.batch_id}
    return connection.execute(WAITING, values).scalar() is not None


def keep(connection: Connection | Direct, call: Begun, content: bytes | None, failure: str = "", job: int = 0) -> None:
    """Store an answer, or how a call failed, wake the loop, and delete the job."""
    connection.execute(KEEP, _kept(call, content, failure, job))


def keep_and_take(
    connection: Connection | Direct, call: Begun, content: bytes | None, failure: str, thread: JobThread
) -> NextJob | None:
    """Do what keep() does, and take the next job, if one waits; its call is begun if it is of the same account."""
    values = {"worker": thread.worker, "queues": list(thread.queues), "secret": thread.secret, "latest": thread.latest}
    kept = _kept(call, content, failure, thread.job)
    known = {"silence": ALIVE, "is_reserved": not thread.is_free}
    row = connection.execute(KEEP_AND_TAKE, {**kept, **values, **known}).one()
    if row.job is None:
        return None
    return NextJob(row.job, row.queue, row.attempt, _begun(row) if row.id else None, row.is_free)


def end_job(connection: Connection | Direct, job: int) -> None:
    """Delete a job that has no call to make."""
    connection.execute(END_JOB, {"job": job})


def stored(connection: Connection, account: str) -> tuple[set[int], float]:
    """Return the rows of the stored answers of an account, the oldest ones where there are many, and the clock."""
    found = connection.execute(STORED, {"account": account, "most": MOST}).one()
    return set(found.rows), found.now


def arrived(connection: Connection, rows: Collection[int]) -> list[RawAnswer]:
    """Return stored answers by their rows, the oldest first."""
    return [
        RawAnswer(row.id, _decoded(row.call, row.account), row.content, row.failure, row.began_at, row.arrived_at)
        for row in connection.execute(ARRIVED, {"rows": list(rows)})
    ]


def take(connection: Transaction, rows: Sequence[int]) -> dict[int, bool]:
    """Delete stored answers, in the transaction that records them.

    Returns those that were there, and of each whether the database knows that its call was begun.
    """
    return {row.id: row.is_known for row in connection.execute(TAKE, {"rows": list(rows)})}


def orphaned(
    connection: Connection, attempt_ids: Collection[int], task: str, longest: float, silence: float
) -> dict[int, float | None]:
    """Return attempt id → when it was begun, or None, for the attempts that get no answer any more.

    longest: seconds after which a call that was begun gets none. silence: seconds without a heartbeat after which a
    worker counts as gone, and in which it begins the call of a job that it has taken.
    """
    values = {"attempts": list(attempt_ids), "task": task, "longest": longest, "silence": silence}
    return {row.id: row.begun_at for row in connection.execute(ORPHANED, values)}


def _kept(call: Begun, content: bytes | None, failure: str, job: int) -> dict[str, Any]:
    chunk = call.chunk
    known = {"account": chunk.account, "token": call.token, "call": _encoded(chunk), "began_at": call.began_at}
    return {**known, "content": content, "failure": failure, "channel": ANSWERS, "job": job}


def _encoded(chunk: Chunk) -> str:
    fields = (chunk.chunk_id, chunk.batch_id, chunk.service_id, chunk.attempt, chunk.attempt_id)
    return json.dumps([*fields, chunk.items, chunk.doubt_attempt, chunk.cleared])


def _decoded(call: str, account: str) -> Chunk:
    chunk_id, batch_id, service_id, attempt, attempt_id, listed, doubt_attempt, cleared = json.loads(call)
    call_items = tuple(Item(*item) for item in listed)
    return Chunk(chunk_id, batch_id, service_id, attempt, attempt_id, call_items, doubt_attempt, cleared, account)


def _begun(row: Row[Any] | None) -> Begun | None:
    if row is None:
        return None
    call_items = tuple(Item(*item) for item in row.items)
    key = (row.id, row.batch_id, row.service_id, row.attempt_number, row.attempt_id)
    chunk = Chunk(*key, call_items, row.doubt_attempt, row.cleared, row.account)
    return Begun(chunk, row.taken_by, row.begun_at)
