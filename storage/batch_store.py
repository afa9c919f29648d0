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

from sqlalchemy import Connection, and_, bindparam, case, exists, func, insert, or_, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert

from database import utc_now
from orders import (
    FINAL_STATUSES,
    SAYS_IT_EXISTS,
    BatchState,
    Chunk,
    ChunkState,
    IMEIOrder,
    Item,
    Outcome,
    Verdict,
    until_result,
)
from schema import OPEN_CALL, UNDECIDED, attempts, batches, chunks, items, orders, services

#: The result of an attempt that certainly placed nothing.
NOT_PLACED = "not placed"
#: What an item may be while an answer can still decide it.
OPEN_OUTCOMES = (Outcome.WAITING, Outcome.IN_DOUBT)
#: How many values go into one IN list.
IN_LIST = 500
#: The plus has SQLite look for an IMEI, of which there are few orders, and not through those of the whole batch.
OF_BATCH = text("+orders.batch_id = items.batch_id")

#: What each turn of the loop asks and writes, made once: making a statement costs more than SQLite needs for it.
OF_THIS_BATCH = bindparam("this_batch", type_=batches.c.id.type)
RUNNING = (
    select(batches.c.id, batches.c.service_id, batches.c.unit_price)
    .where(
        batches.c.state == BatchState.RUNNING,
        exists().where(chunks.c.batch_id == batches.c.id, chunks.c.state == ChunkState.PLANNED),
    )
    .order_by(batches.c.id)
)
PLANNED = (
    select(chunks.c.id, chunks.c.size)
    .where(chunks.c.batch_id == OF_THIS_BATCH, chunks.c.state == ChunkState.PLANNED)
    .order_by(chunks.c.id)
    .limit(bindparam("most"))
)
END_ATTEMPTS = text(
    "UPDATE attempts SET ended_at = coalesce(ended_at, :now), result = row.value ->> 1, message = row.value ->> 2"
    " FROM json_each(:rows) row WHERE attempts.id = row.value ->> 0"
)
NEWEST_ATTEMPT = select(func.coalesce(func.max(attempts.c.id), 0))
TOUCH = update(batches).where(batches.c.id == OF_THIS_BATCH).values(revision=batches.c.revision + 1)
TOUCH_STARTING = TOUCH.values(
    started_at=func.coalesce(batches.c.started_at, bindparam("starting", type_=batches.c.started_at.type))
)
FINISH = (
    update(batches)
    .where(
        batches.c.id == OF_THIS_BATCH,
        batches.c.state != BatchState.FINISHED,
        ~exists().where(
            chunks.c.batch_id == OF_THIS_BATCH, chunks.c.state.in_([ChunkState.PLANNED, ChunkState.SENDING])
        ),
    )
    .values(
        state=BatchState.FINISHED,
        finished_at=bindparam("now", type_=batches.c.finished_at.type),
        notice="",
        revision=batches.c.revision + 1,
    )
)


#: The values of one row of a statement that takes its rows as one JSON text.
Row = tuple[int | str | None, ...]


class WrongStateError(Exception):
    """Somebody else moved the row first; what was decided on its old state must not be written."""


@dataclass(frozen=True, slots=True)
class RunningBatch:
    """A batch that has planned chunks and may send them."""

    batch_id: int
    service_id: str
    unit_price: float  #: US dollars an IMEI


@dataclass(frozen=True, slots=True)
class DoubtfulCall:
    """A call that may have placed orders which we do not know, without its IMEIs."""

    chunk_id: int
    batch_id: int
    service_id: str
    attempt_id: int  #: the attempt that may have placed them
    imeis: int  #: of that attempt
    waits: bool  #: False while it is being repeated
    paused: bool  #: its batch is paused
    cleared: bool  #: a person says that it placed nothing


# What the runner moves


def running_batches(connection: Connection) -> list[RunningBatch]:
    """Batches that may send and have something planned, oldest first."""
    return [RunningBatch(row.id, row.service_id, row.unit_price) for row in connection.execute(RUNNING)]


def planned_chunks(connection: Connection, batch_id: int, limit: int) -> list[tuple[int, int]]:
    """The next planned chunks of a batch as (chunk id, size)."""
    found = connection.execute(PLANNED, {"this_batch": batch_id, "most": limit})
    return [(row.id, row.size) for row in found]


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

    → cancelled where the rest of the batch was cancelled meanwhile. → in_doubt for a call that repeated a doubtful
    one: it is repeated after another look only.
    """
    back = ChunkState.PLANNED if chunk.doubt_attempt is None else ChunkState.IN_DOUBT
    _move(connection, chunk.chunk_id, ChunkState.SENDING, back, message=message)
    end_attempts(connection, [(chunk.attempt_id, NOT_PLACED, message)])
    touch(connection, chunk.batch_id)
    if chunk.doubt_attempt is not None:
        waiting = (items.c.chunk_id == chunk.chunk_id) & (items.c.outcome == Outcome.WAITING)
        connection.execute(update(items).where(waiting).values(outcome=Outcome.IN_DOUBT, message=message or None))
        finish_if_done(connection, chunk.batch_id)
        return
    if rest_was_cancelled(connection, chunk.batch_id):
        cancel_rest(connection, chunk.batch_id)


def repeat(connection: Connection, chunk: Chunk, item_ids: Sequence[int], message: str) -> int:
    """in_doubt items that were certainly not placed → a planned chunk, whose intent this transaction must record.

    Returns its id. Raises WrongStateError.
    """
    piece = _take_out(connection, chunk, item_ids, Outcome.WAITING, message)
    _mark_repeat(connection, piece, chunk, ChunkState.PLANNED, chunk.cleared)
    connection.execute(
        update(batches)
        .where(batches.c.id == chunk.batch_id, batches.c.state == BatchState.FINISHED)
        .values(state=BatchState.RUNNING, finished_at=None)
    )
    touch(connection, chunk.batch_id)
    return piece


def clear(connection: Connection, chunk: Chunk, item_ids: Sequence[int], message: str) -> None:
    """in_doubt items that a person says were not placed → a chunk in doubt that is cleared to be repeated.

    → cancelled where the rest of the batch was cancelled. Raises WrongStateError.
    """
    if rest_was_cancelled(connection, chunk.batch_id):
        give_up(connection, chunk, item_ids, Outcome.CANCELLED, message)
        return
    piece = _take_out(connection, chunk, item_ids, Outcome.IN_DOUBT, message)
    _mark_repeat(connection, piece, chunk, ChunkState.IN_DOUBT, cleared=True)
    touch(connection, chunk.batch_id)


def give_up(connection: Connection, chunk: Chunk, item_ids: Sequence[int], outcome: Outcome, message: str) -> None:
    """in_doubt items that were certainly not placed, and are not sent again → this outcome. Raises WrongStateError."""
    _move_items(connection, chunk, item_ids, outcome, message)
    answer_if_settled(connection, chunk)
    touch(connection, chunk.batch_id)


def _take_out(connection: Connection, chunk: Chunk, item_ids: Sequence[int], outcome: Outcome, message: str) -> int:
    """Move in_doubt items of a chunk into a planned one of their own and return its id."""
    _move_items(connection, chunk, item_ids, outcome, message)
    piece = insert_chunk(connection, chunk.batch_id, item_ids)
    answer_if_settled(connection, chunk)
    return piece


def _move_items(connection: Connection, chunk: Chunk, item_ids: Sequence[int], outcome: Outcome, message: str) -> None:
    moved = 0
    for part in parts(item_ids):
        moved += connection.execute(
            update(items)
            .where(items.c.id.in_(part), items.c.chunk_id == chunk.chunk_id, items.c.outcome == Outcome.IN_DOUBT)
            .values(outcome=outcome, message=message)
        ).rowcount
    expect(moved == len(item_ids), f"{moved} of {len(item_ids)} items of chunk {chunk.chunk_id} were in doubt")


def _mark_repeat(connection: Connection, piece: int, chunk: Chunk, state: ChunkState, cleared: bool) -> None:
    values = {"doubt_attempt": chunk.first_attempt, "state": state, "cleared": cleared}
    connection.execute(update(chunks).where(chunks.c.id == piece).values(**values))


def answer_if_settled(connection: Connection, chunk: Chunk) -> None:
    """in_doubt → answered for a chunk of which no item is in doubt any more."""
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
            chunks.c.doubt_attempt,
            chunks.c.cleared,
            batches.c.service_id,
            _doubtful_attempt().label("attempt_id"),
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
            row.doubt_attempt,
            row.cleared,
        )
        for row in rows
    ]


def doubtful_calls(connection: Connection) -> list[DoubtfulCall]:
    """Every call in doubt, and every call on the wire that repeats one, oldest first; cheap enough for each turn."""
    waits = chunks.c.state == ChunkState.IN_DOUBT
    attempt_id = case((waits, _doubtful_attempt()), else_=chunks.c.doubt_attempt)
    open_ones = (
        select(chunks.c.id, chunks.c.batch_id, chunks.c.cleared, waits.label("waits"), attempt_id.label("attempt_id"))
        .where(OPEN_CALL, or_(waits, chunks.c.doubt_attempt.is_not(None)))
        .subquery()
    )
    paused = (batches.c.state == BatchState.PAUSED).label("paused")
    query = (
        select(open_ones, batches.c.service_id, paused, attempts.c.imeis)
        .join(batches, batches.c.id == open_ones.c.batch_id)
        .join(attempts, attempts.c.id == open_ones.c.attempt_id)
        .order_by(open_ones.c.id)
    )
    return [
        DoubtfulCall(
            row.id, row.batch_id, row.service_id, row.attempt_id, row.imeis, row.waits, row.paused, row.cleared
        )
        for row in connection.execute(query)
    ]


def _doubtful_attempt() -> Any:
    """The newest attempt that may have placed orders: one that certainly has not does not count."""
    newest = select(func.max(attempts.c.id)).where(
        attempts.c.chunk_id == chunks.c.id, func.coalesce(attempts.c.result, "") != NOT_PLACED
    )
    return func.coalesce(newest.correlate(chunks).scalar_subquery(), chunks.c.doubt_attempt)


def _undecided(connection: Connection, chunk_id: int, outcome: Outcome) -> tuple[Item, ...]:
    query = _items_of(chunk_id, items.c.id, items.c.imei).where(items.c.outcome == outcome)
    return tuple(Item(row.id, row.imei) for row in connection.execute(query))


def service_labels(connection: Connection) -> dict[str, str]:
    """Every id and unambiguous title of a stored service, in lower case → its service id."""
    rows = connection.execute(select(services.c.service_id, services.c.title)).all()
    titles = Counter(row.title.strip().lower() for row in rows)
    found = {row.title.strip().lower(): row.service_id for row in rows if titles[row.title.strip().lower()] == 1}
    return found | {row.service_id.lower(): row.service_id for row in rows}


def newest_order(connection: Connection) -> int:
    """The newest row id of orders: what is recorded later has a larger one."""
    return int(connection.execute(select(func.coalesce(func.max(orders.c.id), 0))).scalar_one())


def orders_before(connection: Connection, last: int, most: int, service_id: str | None = None) -> list[str]:
    """The newest `most` order ids of ours up to row id `last`, of one service or of all."""
    ours = orders.c.attempt_id.is_not(None) & ~orders.c.existed & (orders.c.id <= last)
    query = select(orders.c.order_id).where(ours)
    if service_id is not None:
        query = query.where(orders.c.service_id == service_id)
    return list(connection.execute(query.order_by(orders.c.id.desc()).limit(most)).scalars())


def orders_since(connection: Connection, first: int, last: int, most: int, service_id: str) -> dict[str, int]:
    """Order id → attempt of the newest `most` orders of ours of a service, from behind row id `first` up to `last`."""
    ours = orders.c.attempt_id.is_not(None) & ~orders.c.existed & (orders.c.service_id == service_id)
    query = select(orders.c.order_id, orders.c.attempt_id).where(ours, orders.c.id > first, orders.c.id <= last)
    return {row.order_id: row.attempt_id for row in connection.execute(query.order_by(orders.c.id.desc()).limit(most))}


def known_when_sent(connection: Connection, attempt_id: int) -> int:
    """The newest row id of orders when an attempt was sent: the provider made those orders before it."""
    query = select(attempts.c.after_order).where(attempts.c.id == attempt_id)
    return int(connection.execute(query).scalar() or 0)


def first_list(connection: Connection, attempt_id: int, seen: str) -> str:
    """The fingerprint of the first list that was seen while an attempt was in doubt: seen, unless one is kept.

    seen may be empty: then nothing is kept.
    """
    this = attempts.c.id == attempt_id
    if seen:
        connection.execute(update(attempts).where(this, attempts.c.first_list == "").values(first_list=seen))
    return str(connection.execute(select(attempts.c.first_list).where(this)).scalar() or "")


def sent_at(connection: Connection, attempt_id: int) -> datetime | None:
    """When an attempt was sent (UTC), by the wall clock."""
    return connection.execute(select(attempts.c.sent_at).where(attempts.c.id == attempt_id)).scalar()


def unit_price(connection: Connection, batch_id: int) -> float:
    """US dollars an IMEI of a batch."""
    return float(connection.execute(select(batches.c.unit_price).where(batches.c.id == batch_id)).scalar_one())


def listed_price(connection: Connection, service_id: str, otherwise: float) -> float:
    """US dollars an IMEI of a service, as the provider last listed it; otherwise where it is not listed."""
    price = connection.execute(select(services.c.price).where(services.c.service_id == service_id)).scalar()
    return otherwise if price is None else float(price)


def is_paused(connection: Connection, batch_id: int) -> bool:
    """Whether nothing of a batch may be sent now."""
    state = connection.execute(select(batches.c.state).where(batches.c.id == batch_id)).scalar_one()
    return bool(state == BatchState.PAUSED)


def older_batches(connection: Connection, seconds: float) -> set[int]:
    """Unfinished batches with planned calls that another process may have sent: those that were not made just now.

    seconds is what counts as just now, by the wall clock.
    """
    planned = exists().where(chunks.c.batch_id == batches.c.id, chunks.c.state == ChunkState.PLANNED)
    now = utc_now()
    made_now = batches.c.created_at.between(now - timedelta(seconds=seconds), now)
    older = or_(batches.c.started_at.is_not(None), ~made_now)
    query = select(batches.c.id).where(batches.c.state != BatchState.FINISHED, older, planned)
    return set(connection.execute(query).scalars())


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """One IMEI that a running batch has not sent."""

    batch_id: int
    service_id: str
    imei: str
    created_at: datetime  #: UTC, of the batch


def planned_among(connection: Connection, bodies: Sequence[str]) -> list[PlannedItem]:
    """What running batches have planned of the IMEIs that begin with one of these 14 digits."""
    wanted = text("SELECT value FROM json_each(:bodies)").bindparams(bodies=json.dumps(list(bodies)))
    query = (
        select(items.c.batch_id, items.c.service_id, items.c.imei, batches.c.created_at)
        .join(chunks, chunks.c.id == items.c.chunk_id)
        .join(batches, batches.c.id == items.c.batch_id)
        .where(chunks.c.state == ChunkState.PLANNED, batches.c.state == BatchState.RUNNING)
        .where(UNDECIDED, func.substr(items.c.imei, 1, 14).in_(wanted))
    )
    return [PlannedItem(*row) for row in connection.execute(query)]


def said_to_exist(connection: Connection, chunk_id: int) -> frozenset[int]:
    """The items in doubt of a chunk of which the provider says that it has an order."""
    query = select(items.c.id).where(
        items.c.chunk_id == chunk_id, items.c.outcome == Outcome.IN_DOUBT, items.c.message == SAYS_IT_EXISTS
    )
    return frozenset(connection.execute(query).scalars())


def recorded_late(connection: Connection, chunk: Chunk) -> list[Verdict]:
    """A verdict for each item in doubt of a chunk whose order record_late stored after the item had moved here."""
    query = (
        select(items.c.id, items.c.imei, func.max(orders.c.order_id).label("order_id"))
        .join(orders, and_(orders.c.imei == items.c.imei, OF_BATCH))
        .where(items.c.chunk_id == chunk.chunk_id, items.c.outcome == Outcome.IN_DOUBT)
        .where(orders.c.attempt_id.is_not(None), ~orders.c.existed)
        .group_by(items.c.id)
    )
    words = "an answer that came late named its order"
    return [
        Verdict(row.id, row.imei, Outcome.ORDERED, row.order_id, message=words) for row in connection.execute(query)
    ]


def explain(connection: Connection, chunk_id: int, message: str) -> None:
    """Write why a chunk in doubt is not settled yet, for its page."""
    connection.execute(
        update(chunks)
        .where(chunks.c.id == chunk_id, chunks.c.state == ChunkState.IN_DOUBT, chunks.c.message != message)
        .values(message=message)
    )


def attempt_message(connection: Connection, attempt_id: int) -> str:
    """What was written about the end of an attempt, in the provider's words where it said any."""
    return str(connection.execute(select(attempts.c.message).where(attempts.c.id == attempt_id)).scalar() or "")


def seconds_since(connection: Connection, attempt_id: int) -> float:
    """Seconds, by the wall clock, since an attempt was sent; never negative."""
    moment = sent_at(connection, attempt_id)
    return max(0.0, (utc_now() - moment).total_seconds()) if moment is not None else 0.0


def attempt_ages(connection: Connection, seconds: float) -> list[float]:
    """How many seconds ago each call of the last seconds began, by the wall clock; 0 where the clock was put back."""
    now = utc_now()
    since = now - timedelta(seconds=seconds)
    recent = connection.execute(select(attempts.c.sent_at).where(attempts.c.sent_at > since)).scalars()
    return [max(0.0, (now - sent_at).total_seconds()) for sent_at in recent]


def newest_attempt(connection: Connection) -> int:
    """The id of the newest attempt: every later one began after now."""
    return int(connection.execute(NEWEST_ATTEMPT).scalar_one())


def order_owners(connection: Connection, order_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Order id → (IMEI, attempt id that placed it or 0), for those of order_ids that we know."""
    found: dict[str, tuple[str, int]] = {}
    for part in parts(order_ids):
        rows = connection.execute(
            select(orders.c.order_id, orders.c.imei, orders.c.attempt_id).where(orders.c.order_id.in_(part))
        )
        found |= {row.order_id: (row.imei, row.attempt_id or 0) for row in rows}
    return found


def link_existing(connection: Connection, chunk: Chunk, item: Item, order: IMEIOrder) -> None:
    """in_doubt → duplicate for an IMEI of which the provider had an order before our call; the order is stored.

    It cost nothing now. Raises WrongStateError.
    """
    _store_existing(connection, chunk.batch_id, item.imei, order)
    give_up(connection, chunk, [item.item_id], Outcome.DUPLICATE, f"ordered already: order {order.order_id}")


def leave_out_existing(connection: Connection, batch_id: int, service_id: str, order: IMEIOrder) -> None:
    """waiting → duplicate for a planned IMEI of which the provider lists an order; the order is stored."""
    _store_existing(connection, batch_id, order.imei, order)
    leave_out(connection, service_id, order.imei, f"ordered already: order {order.order_id}")


def _store_existing(connection: Connection, batch_id: int, imei: str, order: IMEIOrder) -> None:
    query = select(batches.c.service_id, batches.c.service_name).where(batches.c.id == batch_id)
    batch, now = connection.execute(query).one(), utc_now()
    connection.execute(
        upsert(orders)
        .values(
            order_id=order.order_id,
            imei=imei,
            status=until_result(order.status),
            service_name=batch.service_name,
            service_id=batch.service_id,
            credits=0.0,
            order_date=now,
            created_at=now,
            updated_at=now,
            batch_id=batch_id,
            existed=True,
            notes="the provider had this order before our call",
        )
        .on_conflict_do_nothing()
    )


# What people move


def pause(connection: Connection, batch_id: int, notice: str, resumes_itself: bool = False) -> bool:
    """running → paused. Returns whether it was running."""
    return _set_batch(connection, batch_id, BatchState.RUNNING, BatchState.PAUSED, notice, resumes_itself)


def pause_all(connection: Connection, notice: str, resumes_itself: bool = False) -> list[int]:
    """Pause every running batch; returns their ids."""
    running = connection.execute(select(batches.c.id).where(batches.c.state == BatchState.RUNNING)).scalars().all()
    return [batch_id for batch_id in running if pause(connection, batch_id, notice, resumes_itself)]


def resume(connection: Connection, batch_id: int) -> bool:
    """paused → running, at the price that it has. Returns whether it was paused.

    A person resumes through batch_creation.resume_batch, which accepts a higher price.
    """
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
    if starting is None:
        connection.execute(TOUCH, {"this_batch": batch_id})
    else:
        connection.execute(TOUCH_STARTING, {"this_batch": batch_id, "starting": starting})


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
    connection.execute(FINISH, {"this_batch": batch_id, "now": utc_now()})


def _move(connection: Connection, chunk_id: int, old: ChunkState, new: ChunkState, **values: Any) -> None:
    moved = connection.execute(
        update(chunks).where(chunks.c.id == chunk_id, chunks.c.state == old).values(state=new, **values)
    )
    expect(moved.rowcount == 1, f"chunk {chunk_id} is not {old}")


def end_attempts(connection: Connection, rows: Sequence[Row]) -> None:
    """Write how attempts ended: rows of (attempt id, result, message). The time of the first end stays."""
    connection.execute(END_ATTEMPTS, {"rows": json.dumps(rows), "now": utc_now().isoformat(" ")})


def _items_of(chunk_id: int, *columns: Any) -> Any:
    return select(*columns).where(items.c.chunk_id == chunk_id).order_by(items.c.id)


def expect(condition: bool, message: str) -> None:
    """Raise WrongStateError with this message unless the condition holds."""
    if not condition:
        raise WrongStateError(message)


def parts(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """values in pieces that fit one IN list."""
    return (values[start : start + IN_LIST] for start in range(0, len(values), IN_LIST))
