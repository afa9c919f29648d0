"""Batches, chunks, items and attempts on disk: every move is one guarded UPDATE whose row count is read.

The functions take a connection inside a write transaction of database.py, so that the runner can put several
moves into one commit. This module knows no HTTP and decides nothing about money: it writes what it is told.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, exists, func, insert, select, text, update

from database import utc_now
from orders import FINAL_STATUSES, BatchState, Chunk, ChunkState, Item, Outcome, Verdict, until_result
from schema import OPEN_CALL, UNDECIDED, attempts, batches, chunks, items, orders, services

#: How many values go into one IN list.
IN_LIST = 500


class WrongStateError(Exception):
    """Somebody else moved the row first; what was decided on its old state must not be written."""


@dataclass(frozen=True, slots=True)
class RunningBatch:
    """A batch that has planned chunks and may send them."""

    batch_id: int
    service_id: str


# What the runner moves


def running_batches(connection: Connection) -> list[RunningBatch]:
    """Batches that may send and have something planned, oldest first."""
    planned = exists().where(chunks.c.batch_id == batches.c.id, chunks.c.state == ChunkState.PLANNED)
    query = select(batches.c.id, batches.c.service_id).where(batches.c.state == BatchState.RUNNING, planned)
    return [RunningBatch(row.id, row.service_id) for row in connection.execute(query.order_by(batches.c.id))]


def planned_chunks(connection: Connection, batch_id: int, limit: int) -> list[tuple[int, int]]:
    """The next planned chunks of a batch as (chunk id, size)."""
    query = select(chunks.c.id, chunks.c.size).where(
        chunks.c.batch_id == batch_id, chunks.c.state == ChunkState.PLANNED
    )
    return [(row.id, row.size) for row in connection.execute(query.order_by(chunks.c.id).limit(limit))]


def split_chunk(connection: Connection, chunk_id: int, first: int, rest: int) -> list[tuple[int, int]]:
    """Leave the first items in a planned chunk and put the others into new chunks of rest each.

    Returns the new chunks as (id, size). Raises WrongStateError.
    """
    row = connection.execute(select(chunks.c.batch_id, chunks.c.state).where(chunks.c.id == chunk_id)).one()
    expect(row.state == ChunkState.PLANNED, f"chunk {chunk_id} is {row.state}, not planned")
    ids = [r[0] for r in connection.execute(_items_of(chunk_id, items.c.id))]
    pieces = [ids[start : start + rest] for start in range(first, len(ids), rest)]
    connection.execute(update(chunks).where(chunks.c.id == chunk_id).values(size=min(first, len(ids))))
    return [(insert_chunk(connection, row.batch_id, piece), len(piece)) for piece in pieces]


def insert_chunk(connection: Connection, batch_id: int, item_ids: Sequence[int]) -> int:
    """A planned chunk of these items, taken out of whatever chunk they were in."""
    key = connection.execute(
        insert(chunks).values(batch_id=batch_id, size=len(item_ids), state=ChunkState.PLANNED)
    ).inserted_primary_key
    chunk_id = int(key[0]) if key else 0
    for part in parts(item_ids):
        connection.execute(update(items).where(items.c.id.in_(part)).values(chunk_id=chunk_id))
    return chunk_id


def release(connection: Connection, chunk: Chunk, message: str) -> None:
    """sending → planned: only for a call that certainly placed nothing. Raises WrongStateError.

    → cancelled where the rest of the batch was cancelled meanwhile.
    """
    _move(connection, chunk.chunk_id, ChunkState.SENDING, ChunkState.PLANNED, message=message)
    _end_attempt(connection, chunk, "not placed", message)
    touch(connection, chunk.batch_id)
    if rest_was_cancelled(connection, chunk.batch_id):
        cancel_rest(connection, chunk.batch_id)


def record(
    connection: Connection,
    chunk: Chunk,
    verdicts: Sequence[Verdict],
    message: str = "",
) -> None:
    """sending or in_doubt → answered (or in_doubt while a verdict says so), orders and outcomes with it.

    An order id that another IMEI or service has already is not believed: that item is in doubt. One that this IMEI
    has from another batch is no new order. Raises WrongStateError.
    """
    expect(len(verdicts) == len(chunk.items), f"{len(verdicts)} verdicts for {len(chunk.items)} items")
    verdicts = _insert_orders(connection, chunk, verdicts)
    doubtful = any(verdict.outcome is Outcome.IN_DOUBT for verdict in verdicts)
    _write_outcomes(connection, chunk, verdicts)
    state = ChunkState.IN_DOUBT if doubtful else ChunkState.ANSWERED
    moved = connection.execute(
        update(chunks)
        .where(chunks.c.id == chunk.chunk_id, chunks.c.state.in_([ChunkState.SENDING, ChunkState.IN_DOUBT]))
        .values(state=state, message=message)
    )
    expect(moved.rowcount == 1, f"chunk {chunk.chunk_id} is neither sending nor in doubt")
    _end_attempt(connection, chunk, "in doubt" if doubtful else "answered", message)
    touch(connection, chunk.batch_id)
    finish_if_done(connection, chunk.batch_id)


def _insert_orders(connection: Connection, chunk: Chunk, verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
    placed = [verdict for verdict in verdicts if verdict.outcome is Outcome.ORDERED]
    if not placed:
        return verdicts
    name, price = connection.execute(
        select(batches.c.service_name, batches.c.unit_price).where(batches.c.id == chunk.batch_id)
    ).one()
    now = utc_now().isoformat(" ")
    common = (name, chunk.service_id, price, now, now, now, chunk.batch_id, chunk.attempt_id, None)
    cursor = connection.exec_driver_sql(
        "INSERT INTO orders (order_id, imei, status, raw_response, service_name, service_id, credits,"
        " order_date, created_at, updated_at, batch_id, attempt_id, notes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (order_id) DO NOTHING",
        [(v.order_id, v.imei, until_result(v.status), _raw(v), *common) for v in placed],
    )
    if cursor.rowcount == len(placed):
        return verdicts
    return _compare_with_known(connection, chunk, verdicts)


def _raw(verdict: Verdict) -> str:
    return json.dumps({"id": verdict.order_id, "imei": verdict.imei, "status": verdict.status})


def _compare_with_known(connection: Connection, chunk: Chunk, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Put in doubt each verdict whose order id belongs to another; an older order of the same makes a duplicate."""
    owners: dict[str | None, Any] = {}
    columns = (orders.c.order_id, orders.c.imei, orders.c.service_id, orders.c.batch_id)
    for part in parts([verdict.order_id for verdict in verdicts if verdict.order_id]):
        owners |= {row.order_id: row for row in connection.execute(select(*columns).where(orders.c.order_id.in_(part)))}
    return [
        verdict if verdict.outcome is not Outcome.ORDERED else _compared(chunk, verdict, owners.get(verdict.order_id))
        for verdict in verdicts
    ]


def _compared(chunk: Chunk, verdict: Verdict, owner: Any) -> Verdict:
    mine = owner is not None and owner.imei == verdict.imei and owner.service_id in (chunk.service_id, None)
    if mine and owner.batch_id == chunk.batch_id:
        return verdict
    if mine:
        words = f"the provider answers with order {verdict.order_id}, which is known already"
        return Verdict(verdict.item_id, verdict.imei, Outcome.DUPLICATE, message=words)
    words = f"the provider gave order {verdict.order_id} to another IMEI or service too"
    return Verdict(verdict.item_id, verdict.imei, Outcome.IN_DOUBT, message=words)


def _write_outcomes(connection: Connection, chunk: Chunk, verdicts: Sequence[Verdict]) -> None:
    undecided = items.c.outcome.in_([Outcome.WAITING, Outcome.IN_DOUBT])
    same = {(verdict.outcome, verdict.message) for verdict in verdicts}
    if len(same) == 1 and len(verdicts) == len(chunk.items):
        outcome, message = same.pop()
        written = connection.execute(
            update(items)
            .where(items.c.chunk_id == chunk.chunk_id, undecided)
            .values(outcome=outcome, message=message or None)
        ).rowcount
    else:
        written = connection.exec_driver_sql(
            "UPDATE items SET outcome = ?, message = ? WHERE id = ? AND outcome IN ('waiting', 'in_doubt')",
            [(v.outcome.value, v.message or None, v.item_id) for v in verdicts],
        ).rowcount
    expect(
        written == len(verdicts),
        f"{written} of {len(verdicts)} items of chunk {chunk.chunk_id} were undecided",
    )


def adopt(connection: Connection, chunk: Chunk, verdicts: Sequence[Verdict]) -> None:
    """Record orders for some of the items of a chunk in doubt; it is answered when none is left in doubt."""
    verdicts = _insert_orders(connection, chunk, verdicts)
    _write_outcomes(connection, chunk, verdicts)
    _answered_if_settled(connection, chunk)
    touch(connection, chunk.batch_id)


def send_again(
    connection: Connection, chunk: Chunk, item_ids: Sequence[int], message: str, one_by_one: bool = False
) -> None:
    """in_doubt items of which it is certain that none was placed → a new planned chunk, or one for each."""
    taken = 0
    for part in parts(item_ids):
        taken += connection.execute(
            update(items)
            .where(items.c.id.in_(part), items.c.chunk_id == chunk.chunk_id, items.c.outcome == Outcome.IN_DOUBT)
            .values(outcome=Outcome.WAITING, message=message)
        ).rowcount
    expect(taken == len(item_ids), f"{taken} of {len(item_ids)} items of chunk {chunk.chunk_id} were in doubt")
    for piece in [[item_id] for item_id in item_ids] if one_by_one else [item_ids]:
        insert_chunk(connection, chunk.batch_id, piece)
    _answered_if_settled(connection, chunk)
    connection.execute(
        update(batches)
        .where(batches.c.id == chunk.batch_id, batches.c.state == BatchState.FINISHED)
        .values(state=BatchState.RUNNING, finished_at=None)
    )
    touch(connection, chunk.batch_id)


def _answered_if_settled(connection: Connection, chunk: Chunk) -> None:
    doubtful = exists().where(items.c.chunk_id == chunk.chunk_id, items.c.outcome == Outcome.IN_DOUBT)
    connection.execute(
        update(chunks)
        .where(chunks.c.id == chunk.chunk_id, chunks.c.state == ChunkState.IN_DOUBT, ~doubtful)
        .values(
            state=ChunkState.ANSWERED,
            size=select(func.count()).where(items.c.chunk_id == chunk.chunk_id).scalar_subquery(),
        )
    )


def open_chunks(connection: Connection, state: ChunkState) -> list[Chunk]:
    """Chunks in a state (sending or in_doubt) with their undecided items, oldest first."""
    rows = connection.execute(
        select(
            chunks.c.id,
            chunks.c.batch_id,
            chunks.c.attempt,
            batches.c.service_id,
            _last_attempt().label("attempt_id"),
        )
        .join(batches, batches.c.id == chunks.c.batch_id)
        .where(OPEN_CALL, chunks.c.state == state)
        .order_by(chunks.c.id)
    ).all()
    wanted = Outcome.IN_DOUBT if state is ChunkState.IN_DOUBT else Outcome.WAITING
    return [
        Chunk(
            row.id,
            row.batch_id,
            row.service_id,
            row.attempt,
            row.attempt_id or 0,
            _undecided(connection, row.id, wanted),
        )
        for row in rows
    ]


def chunks_in_doubt(connection: Connection) -> dict[int, int]:
    """Chunk id → batch id of every chunk in doubt, oldest first; cheap enough to be asked several times a second."""
    query = select(chunks.c.id, chunks.c.batch_id).where(OPEN_CALL, chunks.c.state == ChunkState.IN_DOUBT)
    return {row.id: row.batch_id for row in connection.execute(query.order_by(chunks.c.id))}


def _last_attempt() -> Any:
    return select(func.max(attempts.c.id)).where(attempts.c.chunk_id == chunks.c.id).correlate(chunks).scalar_subquery()


def _undecided(connection: Connection, chunk_id: int, outcome: Outcome) -> tuple[Item, ...]:
    query = _items_of(chunk_id, items.c.id, items.c.imei).where(items.c.outcome == outcome)
    return tuple(Item(row.id, row.imei) for row in connection.execute(query))


def service_labels(connection: Connection) -> dict[str, str]:
    """Every id and unambiguous title of a stored service, in lower case → its service id."""
    rows = connection.execute(select(services.c.service_id, services.c.title)).all()
    titles = Counter(row.title.strip().lower() for row in rows)
    found = {row.title.strip().lower(): row.service_id for row in rows if titles[row.title.strip().lower()] == 1}
    return found | {row.service_id.lower(): row.service_id for row in rows}


def all_orders_are_among(connection: Connection, known: int) -> bool:
    """Whether a list that shows `known` orders of ours shows all that we ever placed."""
    few = select(orders.c.id).limit(known + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(few)).scalar_one()) <= known


def newest_placed(connection: Connection, most: int) -> dict[str, int]:
    """Order id → attempt, of the newest `most` orders that calls of ours have placed."""
    query = select(orders.c.order_id, orders.c.attempt_id).where(orders.c.attempt_id.is_not(None))
    return {row.order_id: row.attempt_id for row in connection.execute(query.order_by(orders.c.id.desc()).limit(most))}


def attempts_ended_before(connection: Connection, attempt_id: int) -> int:
    """The bound that was written with an attempt's intent: attempts below it had ended when it began."""
    query = select(attempts.c.ended_before).where(attempts.c.id == attempt_id)
    return int(connection.execute(query).scalar() or 0)


def attempt_message(connection: Connection, attempt_id: int) -> str:
    """What was written about the end of an attempt, in the provider's words where it said any."""
    return str(connection.execute(select(attempts.c.message).where(attempts.c.id == attempt_id)).scalar() or "")


def seconds_since(connection: Connection, attempt_id: int) -> float:
    """Seconds, by the wall clock, since an attempt ended, or began if its end is unknown; never negative."""
    query = select(func.coalesce(attempts.c.ended_at, attempts.c.sent_at)).where(attempts.c.id == attempt_id)
    moment = connection.execute(query).scalar()
    return max(0.0, (utc_now() - moment).total_seconds()) if moment is not None else 0.0


def attempt_ages(connection: Connection, seconds: float) -> list[float]:
    """How many seconds ago each call of the last seconds began, by the wall clock; 0 where the clock was put back."""
    now = utc_now()
    since = now - timedelta(seconds=seconds)
    recent = connection.execute(select(attempts.c.sent_at).where(attempts.c.sent_at > since)).scalars()
    return [max(0.0, (now - sent_at).total_seconds()) for sent_at in recent]


def newest_attempt(connection: Connection) -> int:
    """The id of the newest attempt: every later one began after now."""
    return int(connection.execute(select(func.coalesce(func.max(attempts.c.id), 0))).scalar_one())


def order_owners(connection: Connection, order_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Order id → (IMEI, attempt id that placed it or 0), for those of order_ids that we know."""
    found: dict[str, tuple[str, int]] = {}
    for part in parts(order_ids):
        rows = connection.execute(
            select(orders.c.order_id, orders.c.imei, orders.c.attempt_id).where(orders.c.order_id.in_(part))
        )
        found |= {row.order_id: (row.imei, row.attempt_id or 0) for row in rows}
    return found


# What people move


def pause(connection: Connection, batch_id: int, notice: str, resumes_itself: bool = False) -> bool:
    """running → paused. Returns whether it was running."""
    return _set_batch(connection, batch_id, BatchState.RUNNING, BatchState.PAUSED, notice, resumes_itself)


def pause_all(connection: Connection, notice: str, resumes_itself: bool = False) -> list[int]:
    """Pause every running batch; returns their ids."""
    running = connection.execute(select(batches.c.id).where(batches.c.state == BatchState.RUNNING)).scalars().all()
    return [batch_id for batch_id in running if pause(connection, batch_id, notice, resumes_itself)]


def resume(connection: Connection, batch_id: int) -> bool:
    """paused → running. Returns whether it was paused."""
    return _set_batch(connection, batch_id, BatchState.PAUSED, BatchState.RUNNING, "", False)


def resume_self_resuming(connection: Connection) -> int:
    """Resume the batches that wait for the provider's maintenance to end. Returns how many."""
    waiting = select(batches.c.id).where(batches.c.state == BatchState.PAUSED, batches.c.resumes_itself)
    return sum(resume(connection, batch_id) for batch_id in connection.execute(waiting).scalars().all())


def cancel_rest(connection: Connection, batch_id: int) -> int:
    """planned → cancelled for every chunk that was not sent. Returns how many IMEIs were taken back."""
    planned = and_(chunks.c.batch_id == batch_id, chunks.c.state == ChunkState.PLANNED)
    ids = connection.execute(select(chunks.c.id).where(planned)).scalars().all()
    taken = 0
    for part in parts(ids):
        taken += connection.execute(
            update(items)
            .where(items.c.chunk_id.in_(part), items.c.outcome == Outcome.WAITING)
            .values(outcome=Outcome.CANCELLED, message="cancelled before it was sent")
        ).rowcount
    connection.execute(update(chunks).where(planned).values(state=ChunkState.CANCELLED))
    touch(connection, batch_id)
    finish_if_done(connection, batch_id)
    return taken


def planned_items(connection: Connection, imeis: Sequence[str], last: int) -> list[tuple[str, str, bool]]:
    """(service id, IMEI, whether an order up to the row id `last` is final already) of what is planned of these."""
    same = and_(orders.c.imei == items.c.imei, orders.c.service_id == items.c.service_id)
    settled = exists().where(same, orders.c.id <= last, orders.c.status.in_(FINAL_STATUSES))
    wanted = text("SELECT value FROM json_each(:imeis)").bindparams(imeis=json.dumps(list(imeis)))
    query = (
        select(items.c.service_id, items.c.imei, settled)
        .join(chunks, chunks.c.id == items.c.chunk_id)
        .where(UNDECIDED, chunks.c.state == ChunkState.PLANNED, items.c.imei.in_(wanted))
    )
    return [(row[0], row[1], bool(row[2])) for row in connection.execute(query)]


def leave_out(connection: Connection, service_id: str, imei: str, message: str) -> None:
    """waiting → duplicate for an IMEI that is planned and not sent: there is an order of it."""
    item = connection.execute(
        select(items.c.id, items.c.batch_id, items.c.chunk_id)
        .join(chunks, chunks.c.id == items.c.chunk_id)
        .where(UNDECIDED, items.c.service_id == service_id, items.c.imei == imei, chunks.c.state == ChunkState.PLANNED)
    ).one()
    given = {"outcome": Outcome.DUPLICATE, "message": message, "chunk_id": None}
    connection.execute(update(items).where(items.c.id == item.id).values(**given))
    emptied = case((chunks.c.size == 1, ChunkState.CANCELLED), else_=chunks.c.state)
    smaller = {"size": chunks.c.size - 1, "state": emptied}
    connection.execute(update(chunks).where(chunks.c.id == item.chunk_id).values(**smaller))
    touch(connection, item.batch_id)
    finish_if_done(connection, item.batch_id)


def unsay(connection: Connection, told: Mapping[tuple[str, str], str], instead: str) -> None:
    """duplicate → cancelled for what was left out with words that are no longer true: (service id, IMEI) → these."""
    listed = json.dumps(sorted(set(told.values())))
    messages = text("SELECT value FROM json_each(:messages)").bindparams(messages=listed)
    said = and_(items.c.message.is_not(None), items.c.outcome == Outcome.DUPLICATE, items.c.message.in_(messages))
    columns = (items.c.id, items.c.batch_id, items.c.service_id, items.c.imei, items.c.message)
    rows = connection.execute(select(*columns).where(said)).all()
    found = [row for row in rows if told.get((row.service_id, row.imei)) == row.message]
    for part in parts([row.id for row in found]):
        values = {"outcome": Outcome.CANCELLED, "message": instead}
        connection.execute(update(items).where(items.c.id.in_(part)).values(**values))
    for batch_id in {row.batch_id for row in found}:
        touch(connection, batch_id)


def rest_was_cancelled(connection: Connection, batch_id: int) -> bool:
    """Whether IMEIs of this batch were taken back before they were sent: then nothing of it goes on by itself."""
    query = select(items.c.id).where(items.c.batch_id == batch_id, items.c.outcome == Outcome.CANCELLED)
    return connection.execute(query.limit(1)).first() is not None


def set_notice(connection: Connection, notice: str) -> None:
    """Say on every running batch why it is slow; an empty notice takes the words back."""
    connection.execute(
        update(batches)
        .where(batches.c.state == BatchState.RUNNING, batches.c.notice != notice)
        .values(notice=notice, revision=batches.c.revision + 1)
    )


def touch(connection: Connection, batch_id: int, starting: datetime | None = None) -> None:
    """Make the batch's revision grow, so that every open page shows it anew; starting is when its first call began."""
    values: dict[str, Any] = {"revision": batches.c.revision + 1}
    if starting is not None:
        values["started_at"] = func.coalesce(batches.c.started_at, starting)
    connection.execute(update(batches).where(batches.c.id == batch_id).values(values))


def _set_batch(
    connection: Connection, batch_id: int, old: BatchState, new: BatchState, notice: str, resumes_itself: bool
) -> bool:
    moved = connection.execute(
        update(batches)
        .where(batches.c.id == batch_id, batches.c.state == old)
        .values(state=new, notice=notice, resumes_itself=resumes_itself, revision=batches.c.revision + 1)
    )
    return moved.rowcount == 1


def finish_if_done(connection: Connection, batch_id: int) -> None:
    """running or paused → finished, when nothing of the batch is planned or on the wire."""
    unfinished = exists().where(
        chunks.c.batch_id == batch_id, chunks.c.state.in_([ChunkState.PLANNED, ChunkState.SENDING])
    )
    connection.execute(
        update(batches)
        .where(batches.c.id == batch_id, batches.c.state != BatchState.FINISHED, ~unfinished)
        .values(state=BatchState.FINISHED, finished_at=utc_now(), notice="", revision=batches.c.revision + 1)
    )


def _move(connection: Connection, chunk_id: int, old: ChunkState, new: ChunkState, **values: Any) -> None:
    moved = connection.execute(
        update(chunks).where(chunks.c.id == chunk_id, chunks.c.state == old).values(state=new, **values)
    )
    expect(moved.rowcount == 1, f"chunk {chunk_id} is not {old}")


def _end_attempt(connection: Connection, chunk: Chunk, result: str, message: str) -> None:
    connection.execute(
        update(attempts)
        .where(attempts.c.id == chunk.attempt_id)
        .values(ended_at=func.coalesce(attempts.c.ended_at, utc_now()), result=result, message=message)
    )


def _items_of(chunk_id: int, *columns: Any) -> Any:
    return select(*columns).where(items.c.chunk_id == chunk_id).order_by(items.c.id)


def expect(condition: bool, message: str) -> None:
    """Raise WrongStateError with this message unless the condition holds."""
    if not condition:
        raise WrongStateError(message)


def parts(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """values in pieces that fit one IN list."""
    return (values[start : start + IN_LIST] for start in range(0, len(values), IN_LIST))
