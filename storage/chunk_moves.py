"""The moves of planned chunks and of calls that placed nothing: split, released, cancelled, left out.

Every move is one guarded UPDATE whose row count is checked, inside a write transaction of database.py. What an answer
writes is in call_records.py, what ends doubt in doubt_moves.py.
"""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, and_, bindparam, case, func, insert, select, update

from database import utc_now
from orders import Chunk, ChunkState, IMEIOrder, Outcome, until_result
from schema import UNDECIDED, attempts, batches, chunks, each_of, items, orders, sql, upsert
from storage.batch_states import UNSENT, finish_if_done, is_stopped, touch, touch_or_finish
from storage.call_queries import NOT_PLACED
from storage.guards import Row, expect

END_ATTEMPTS = sql(
    "UPDATE attempts SET ended_at = coalesce(ended_at, :now), result = given.result, message = given.message"
    " FROM rows(:rows AS id INTEGER, result TEXT, message TEXT) given WHERE attempts.id = given.id"
).bindparams(bindparam("now", type_=attempts.c.ended_at.type))


def split_chunk(connection: Connection, chunk_id: int, first: int, rest: int) -> list[tuple[int, int]]:
    """Leave the first items in a planned chunk and put the others into new chunks of rest each.

    Returns the new chunks as (id, size). Raises WrongStateError.
    """
    columns = (chunks.c.batch_id, chunks.c.state, chunks.c.account)
    row = connection.execute(select(*columns).where(chunks.c.id == chunk_id)).one()
    expect(row.state == ChunkState.PLANNED, f"chunk {chunk_id} is {row.state}, not planned")
    in_order = select(items.c.id).where(items.c.chunk_id == chunk_id).order_by(items.c.id)
    ids = connection.execute(in_order).scalars().all()
    pieces = [ids[start : start + rest] for start in range(first, len(ids), rest)]
    connection.execute(update(chunks).where(chunks.c.id == chunk_id).values(size=min(first, len(ids))))
    return [(insert_chunk(connection, row.batch_id, piece, row.account), len(piece)) for piece in pieces]


def take_out(connection: Connection, item_id: int, chunk_id: int, message: str) -> None:
    """waiting → ordered for an item of a planned chunk, which goes on without it or ends. Raises WrongStateError."""
    moved = connection.execute(
        update(items)
        .where(items.c.id == item_id, items.c.outcome == Outcome.WAITING)
        .values(outcome=Outcome.ORDERED, chunk_id=None, message=message)
    )
    expect(moved.rowcount == 1, f"item {item_id} is not waiting")
    left = select(func.count()).where(items.c.chunk_id == chunk_id).scalar_subquery()
    planned = update(chunks).where(chunks.c.id == chunk_id, chunks.c.state == ChunkState.PLANNED)
    connection.execute(planned.values(size=left))
    connection.execute(
        planned.where(chunks.c.size == 0).values(state=ChunkState.CANCELLED, message="all of it was ordered already")
    )


def insert_chunk(connection: Connection, batch_id: int, item_ids: Sequence[int], account: str | None) -> int:
    """Move these items into a new planned chunk of an account; None: any may claim it. Returns its id."""
    values = {"batch_id": batch_id, "size": len(item_ids), "state": ChunkState.PLANNED, "account": account}
    chunk_id = int(connection.execute(insert(chunks).values(**values).returning(chunks.c.id)).scalar_one())
    connection.execute(update(items).where(items.c.id.in_(each_of(item_ids, "INTEGER"))).values(chunk_id=chunk_id))
    return chunk_id


def release(connection: Connection, chunk: Chunk, message: str, was_sent: bool = True) -> None:
    """sending → planned: only for a call that certainly placed nothing. Raises WrongStateError.

    Also where the chunk was sent again since: then another process made that call, and it is on the wire. A call that
    did not begin (was_sent is False) leaves its chunk to any account again.
    → cancelled where the rest of the batch was cancelled meanwhile. → in_doubt for a call that repeated a doubtful
    one: it is repeated after another look only.
    """
    back = ChunkState.PLANNED if chunk.doubt_attempt is None else ChunkState.IN_DOUBT
    this = (chunks.c.id == chunk.chunk_id) & (chunks.c.attempt == chunk.attempt)
    on_the_wire = update(chunks).where(this, chunks.c.state == ChunkState.SENDING)
    account = chunk.account if was_sent or chunk.doubt_attempt is not None else None
    moved = connection.execute(on_the_wire.values(state=back, message=message, account=account)).rowcount
    expect(moved == 1, f"chunk {chunk.chunk_id} is not {ChunkState.SENDING} in attempt {chunk.attempt}")
    end_attempts(connection, [(chunk.attempt_id, NOT_PLACED, message)])
    touch(connection, chunk.batch_id)
    if chunk.doubt_attempt is not None:
        waiting = (items.c.chunk_id == chunk.chunk_id) & (items.c.outcome == Outcome.WAITING)
        connection.execute(update(items).where(waiting).values(outcome=Outcome.IN_DOUBT, message=message or None))
        finish_if_done(connection, chunk.batch_id)
        return
    if is_stopped(connection, chunk.batch_id):
        cancel_rest(connection, chunk.batch_id)


def leave_out_existing(connection: Connection, batch_id: int, service_id: str, order: IMEIOrder, account: str) -> None:
    """waiting → duplicate for a planned IMEI of which an account lists an order; the order is stored."""
    store_existing(connection, batch_id, order.imei, order, account)
    leave_out(connection, service_id, order.imei, f"ordered already: order {order.id}")


def store_existing(connection: Connection, batch_id: int, imei: str, order: IMEIOrder, account: str) -> None:
    query = select(batches.c.service_id, batches.c.service_name).where(batches.c.id == batch_id)
    batch, now = connection.execute(query).one(), utc_now()
    connection.execute(
        upsert(orders)
        .values(
            order_id=order.id,
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
            account=account,
        )
        .on_conflict_do_nothing()
    )


def cancel_rest(connection: Connection, batch_id: int) -> int:
    """Stop a batch: planned → cancelled for every chunk that was not sent. Returns how many IMEIs were cancelled."""
    connection.execute(update(batches).where(batches.c.id == batch_id).values(is_stopped=True))
    planned = and_(chunks.c.batch_id == batch_id, chunks.c.state == ChunkState.PLANNED)
    cancelled = connection.execute(
        update(items)
        .where(items.c.chunk_id.in_(select(chunks.c.id).where(planned)), items.c.outcome == Outcome.WAITING)
        .values(outcome=Outcome.CANCELLED, message=UNSENT)
    ).rowcount
    connection.execute(update(chunks).where(planned).values(state=ChunkState.CANCELLED))
    touch_or_finish(connection, batch_id)
    return cancelled


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
    touch_or_finish(connection, item.batch_id)


def cancel_left_out(connection: Connection, reasons: Mapping[tuple[str, str], str], message: str) -> None:
    """duplicate → cancelled for what was left out for a reason that is no longer true.

    reasons: (service id, IMEI) → the message that was written then.
    """
    messages = each_of(sorted(set(reasons.values())))
    left_out = and_(items.c.message.is_not(None), items.c.outcome == Outcome.DUPLICATE, items.c.message.in_(messages))
    columns = (items.c.id, items.c.batch_id, items.c.service_id, items.c.imei, items.c.message)
    rows = connection.execute(select(*columns).where(left_out)).all()
    found = [row for row in rows if reasons.get((row.service_id, row.imei)) == row.message]
    these = items.c.id.in_(each_of((row.id for row in found), "INTEGER"))
    connection.execute(update(items).where(these).values(outcome=Outcome.CANCELLED, message=message))
    touch(connection, *{row.batch_id for row in found})


def end_attempts(connection: Connection, rows: Sequence[Row]) -> None:
    """Write how attempts ended: rows of (attempt id, result, message). The time of the first end stays."""
    connection.execute(END_ATTEMPTS, {"rows": json.dumps(rows), "now": utc_now()})
