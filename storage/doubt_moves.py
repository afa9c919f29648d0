"""The moves of IMEIs and calls in doubt: repeated, cleared by a person, given up, linked to an order from before.

Every move is one guarded UPDATE whose row count is checked, inside a write transaction of database.py. What may
be moved is decided in submission/.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, exists, func, select, update

from orders import BatchState, Chunk, ChunkState, IMEIOrder, Item, Outcome
from schema import attempts, batches, chunks, each_of, items
from storage.batch_states import is_stopped, touch
from storage.chunk_moves import insert_chunk, store_existing
from storage.guards import expect

#: Made once: it is asked for each call in doubt at each look at the provider's list.
EXPLAIN = (
    update(chunks)
    .where(
        chunks.c.id == bindparam("this_chunk"),
        chunks.c.state == ChunkState.IN_DOUBT,
        chunks.c.message != bindparam("words"),
    )
    .values(message=bindparam("words"))
)

#: Made once, too: it follows each decision about an item in doubt.
ANSWER_IF_SETTLED = (
    update(chunks)
    .where(
        chunks.c.id == bindparam("this_chunk"),
        chunks.c.state == ChunkState.IN_DOUBT,
        ~exists().where(items.c.chunk_id == bindparam("this_chunk"), items.c.outcome == Outcome.IN_DOUBT),
    )
    .values(
        state=ChunkState.ANSWERED,
        size=select(func.count()).where(items.c.chunk_id == bindparam("this_chunk")).scalar_subquery(),
    )
)


def repeat(connection: Connection, chunk: Chunk, item_ids: Sequence[int], message: str) -> int:
    """in_doubt items that were certainly not placed → a planned chunk, whose intent this transaction must record.

    Returns its id. Raises WrongStateError.
    """
    piece = _take_out(connection, chunk, item_ids, Outcome.WAITING, message)
    _mark_repeat(connection, piece, chunk, ChunkState.PLANNED, chunk.cleared)
    connection.execute(
        update(batches)
        .where(batches.c.id == chunk.batch_id, batches.c.state == BatchState.FINISHED)
        .values(state=BatchState.RUNNING, finished_at=None, announced="")
    )
    touch(connection, chunk.batch_id)
    return piece


def clear(connection: Connection, chunk: Chunk, item_ids: Sequence[int], message: str) -> None:
    """in_doubt items that were not placed, as a person decided → a chunk in doubt that is cleared to be repeated.

    → cancelled where the rest of the batch was cancelled. Raises WrongStateError.
    """
    if is_stopped(connection, chunk.batch_id):
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
    piece = insert_chunk(connection, chunk.batch_id, item_ids, chunk.account)
    answer_if_settled(connection, chunk)
    return piece


def _move_items(connection: Connection, chunk: Chunk, item_ids: Sequence[int], outcome: Outcome, message: str) -> None:
    these = items.c.id.in_(each_of(item_ids, "INTEGER"))
    moved = connection.execute(
        update(items)
        .where(these, items.c.chunk_id == chunk.chunk_id, items.c.outcome == Outcome.IN_DOUBT)
        .values(outcome=outcome, message=message)
    ).rowcount
    expect(moved == len(item_ids), f"{moved} of {len(item_ids)} items of chunk {chunk.chunk_id} were in doubt")


def _mark_repeat(connection: Connection, piece: int, chunk: Chunk, state: ChunkState, cleared: bool) -> None:
    values = {"doubt_attempt": chunk.first_attempt, "state": state, "cleared": cleared}
    connection.execute(update(chunks).where(chunks.c.id == piece).values(**values))


def answer_if_settled(connection: Connection, chunk: Chunk) -> None:
    """in_doubt → answered for a chunk of which no item is in doubt any more."""
    connection.execute(ANSWER_IF_SETTLED, {"this_chunk": chunk.chunk_id})


def first_list(connection: Connection, attempt_id: int, seen: str) -> str:
    """Return the fingerprint of the first list that was seen while an attempt was in doubt, and keep it.

    seen: that of the list seen now, which is kept unless there is one; empty: nothing is kept.
    """
    this = attempts.c.id == attempt_id
    if seen:
        connection.execute(update(attempts).where(this, attempts.c.first_list == "").values(first_list=seen))
    return str(connection.execute(select(attempts.c.first_list).where(this)).scalar() or "")


def explain(connection: Connection, chunk_id: int, message: str) -> None:
    """Write why a chunk in doubt is not settled yet, for its page."""
    connection.execute(EXPLAIN, {"this_chunk": chunk_id, "words": message})


def link_existing(connection: Connection, chunk: Chunk, item: Item, order: IMEIOrder) -> None:
    """in_doubt → duplicate for an IMEI of which the provider had an order before our call; the order is stored.

    It cost nothing now. Raises WrongStateError.
    """
    store_existing(connection, chunk.batch_id, item.imei, order, chunk.account)
    give_up(connection, chunk, [item.item_id], Outcome.DUPLICATE, f"ordered already: order {order.id}")
