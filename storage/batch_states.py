"""The states of batches: running, paused, finished, and the notice that their pages show.

Every move is one guarded UPDATE, inside a write transaction of database.py. Nothing is decided here.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, exists, func, or_, select, update

from database import utc_now
from orders import BatchState, ChunkState, Outcome
from schema import batches, chunks, items, sql, stored_settings
from storage import outbox
from storage.history_mark import OLDER_COPY

#: What the IMEIs of a stopped batch say that were not sent.
UNSENT = "cancelled before it was sent"
#: Statements of each turn of the loop, made once: making a statement costs more than SQLite needs to run it.
OF_THIS_BATCH = bindparam("this_batch", type_=batches.c.id.type)
RUNNING = (
    select(batches.c.id, batches.c.service_id, batches.c.unit_price)
    .where(
        batches.c.state == BatchState.RUNNING,
        exists().where(chunks.c.batch_id == batches.c.id, chunks.c.state == ChunkState.PLANNED),
        # whoever resumed or created it: what an older copy does not know would be paid twice
        ~exists().where(stored_settings.c.key == OLDER_COPY, stored_settings.c.value != ""),
    )
    .order_by(batches.c.id)
)
IS_STOPPED = select(batches.c.id).where(
    batches.c.id == OF_THIS_BATCH,
    batches.c.is_stopped
    | exists().where(
        items.c.batch_id == OF_THIS_BATCH, items.c.outcome == Outcome.CANCELLED, items.c.message == UNSENT
    ),
)
UNIT_PRICE = select(batches.c.unit_price).where(batches.c.id == OF_THIS_BATCH)
STATE = select(batches.c.state).where(batches.c.id == OF_THIS_BATCH)
TOUCH = sql(
    "UPDATE batches SET revision = revision + 1 FROM each(:ids AS INTEGER) changed WHERE batches.id = changed.value"
    " RETURNING id, state, NOT EXISTS (SELECT 1 FROM chunks c WHERE c.batch_id = batches.id"
    "  AND c.state IN ('planned', 'sending')) AS is_done"
)
TOUCH_STARTING = (
    update(batches)
    .where(batches.c.id == OF_THIS_BATCH)
    .values(
        revision=batches.c.revision + 1,
        started_at=func.coalesce(batches.c.started_at, bindparam("starting", type_=batches.c.started_at.type)),
    )
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


@dataclass(frozen=True, slots=True)
class RunningBatch:
    """A batch that has planned chunks and may send them."""

    batch_id: int
    service_id: str
    unit_price: float  #: US dollars an IMEI


def running_batches(connection: Connection) -> list[RunningBatch]:
    """Return the batches that may send and have something planned, oldest first; none of an older copy."""
    return [RunningBatch(row.id, row.service_id, row.unit_price) for row in connection.execute(RUNNING)]


def unit_price(connection: Connection, batch_id: int) -> float:
    """Return the price of a batch, in US dollars an IMEI."""
    return float(connection.execute(UNIT_PRICE, {"this_batch": batch_id}).scalar_one())


def state_of(connection: Connection, batch_id: int) -> BatchState:
    """Return the state of a batch."""
    return BatchState(connection.execute(STATE, {"this_batch": batch_id}).scalar_one())


def older_batches(connection: Connection, seconds: float) -> set[int]:
    """Return the unfinished batches whose planned calls another process may have sent: all that were not made just now.

    seconds is what counts as just now, by the wall clock.
    """
    planned = exists().where(chunks.c.batch_id == batches.c.id, chunks.c.state == ChunkState.PLANNED)
    now = utc_now()
    made_now = batches.c.created_at.between(now - timedelta(seconds=seconds), now)
    older = or_(batches.c.started_at.is_not(None), ~made_now)
    query = select(batches.c.id).where(batches.c.state != BatchState.FINISHED, older, planned)
    return set(connection.execute(query).scalars())


def pause(connection: Connection, batch_id: int, notice: str, resumes_itself: bool = False) -> bool:
    """running → paused. Returns whether it was running."""
    return _set_batch(connection, batch_id, BatchState.RUNNING, BatchState.PAUSED, notice, resumes_itself)


def pause_all(connection: Connection, notice: str, resumes_itself: bool = False) -> list[int]:
    """Pause every running batch. Returns their ids."""
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


def is_stopped(connection: Connection, batch_id: int) -> bool:
    """Whether a person stopped a batch: then nothing of it is sent again by itself.

    A version from before the column notes it by the IMEIs alone that it cancels.
    """
    return connection.execute(IS_STOPPED, {"this_batch": batch_id}).first() is not None


def set_notice(connection: Connection, notice: str) -> None:
    """Show on every running batch why it is slow; an empty notice removes the sentence."""
    connection.execute(
        update(batches)
        .where(batches.c.state == BatchState.RUNNING, batches.c.notice != notice)
        .values(notice=notice, revision=batches.c.revision + 1)
    )


def touch(connection: Connection, *batch_ids: int) -> list[int]:
    """Make the revisions of batches grow, so that every open page updates, and announce those that are at rest.

    Called after what changes, with each batch once. Returns those of which nothing is planned or on the wire.
    """
    if not batch_ids:
        return []
    touched = connection.execute(TOUCH, {"ids": json.dumps(batch_ids)}).all()
    outbox.announce(connection, *(row.id for row in touched if row.state != BatchState.RUNNING))
    return [row.id for row in touched if row.is_done]


def start(connection: Connection, batch_id: int, now: datetime) -> None:
    """Note that calls of a batch begin: its revision grows, and the first of them set when it was started."""
    connection.execute(TOUCH_STARTING, {"this_batch": batch_id, "starting": now})


def _set_batch(
    connection: Connection, batch_id: int, old: BatchState, new: BatchState, notice: str, resumes_itself: bool
) -> bool:
    moved = connection.execute(
        update(batches)
        .where(batches.c.id == batch_id, batches.c.state == old)
        .values(state=new, notice=notice, resumes_itself=resumes_itself, revision=batches.c.revision + 1)
    )
    if moved.rowcount == 1:
        outbox.announce(connection, batch_id)
    return moved.rowcount == 1


def touch_or_finish(connection: Connection, *batch_ids: int) -> None:
    """Do what touch() does, and finish the batches of which nothing is planned or on the wire."""
    for batch_id in touch(connection, *batch_ids):
        finish_if_done(connection, batch_id)


def finish_if_done(connection: Connection, batch_id: int) -> None:
    """running or paused → finished, when nothing of the batch is planned or on the wire."""
    if connection.execute(FINISH, {"this_batch": batch_id, "now": utc_now()}).rowcount:
        outbox.announce(connection, batch_id)
