"""SQL for a database that is older than the answers kept beside it: batch ids to skip, calls that were answered later.

Reads and writes only; submission/older_copy.py decides.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, exists, select, update

from database import Transaction
from orders import BatchState, ChunkState
from schema import attempts as calls
from schema import batches, chunks, last_id, skip_ids
from storage.guards import expect

OPEN_STATES = (ChunkState.PLANNED, ChunkState.SENDING)


class OpenCall(NamedTuple):
    """A chunk that is planned or on the wire."""

    chunk_id: int
    attempt: int  #: how often it was sent


def last_batch_id(connection: Connection) -> int:
    """Return the largest batch id that this database ever gave; 0 before the first batch."""
    return last_id(connection, batches)


def skip_batch_ids(connection: Transaction, last: int) -> None:
    """Give the next batch an id beyond `last`."""
    skip_ids(connection, batches, last)


def open_batches(connection: Connection) -> Sequence[int]:
    """Return the ids of the batches of which something may still be sent, also again, oldest first."""
    doubted = exists().where(chunks.c.batch_id == batches.c.id, chunks.c.state == ChunkState.IN_DOUBT)
    unfinished = select(batches.c.id).where((batches.c.state != BatchState.FINISHED) | doubted)
    return connection.execute(unfinished.order_by(batches.c.id)).scalars().all()


def open_calls(connection: Connection, batch_id: int) -> list[OpenCall]:
    """Return the chunks of a batch that are planned or on the wire."""
    states = chunks.c.state.in_(OPEN_STATES)
    found = select(chunks.c.id, chunks.c.attempt).where(chunks.c.batch_id == batch_id, states)
    return [OpenCall(*row) for row in connection.execute(found)]


def last_chunk_id(connection: Connection) -> int:
    """Return the largest chunk id that this database ever gave; 0 before the first chunk."""
    return last_id(connection, chunks)


def skip_chunk_ids(connection: Transaction, last: int) -> None:
    """Give the next chunk an id beyond `last`."""
    skip_ids(connection, chunks, last)


def last_attempt_id(connection: Connection) -> int:
    """Return the largest id of an attempt that this database ever gave; 0 before the first call."""
    return last_id(connection, calls)


def skip_attempt_ids(connection: Transaction, last: int) -> None:
    """Give the next attempt an id beyond `last`."""
    skip_ids(connection, calls, last)


def plan_again(connection: Transaction, attempts: Mapping[int, int]) -> None:
    """planned or sending → planned for chunks that were sent so often (chunk id → attempt), for any account to claim.

    Unlike a release it leaves alone what repeats a doubtful call, and what was stopped: only answers decide these.
    Raises WrongStateError.
    """
    for chunk_id, attempt in attempts.items():
        values = {"state": ChunkState.PLANNED, "attempt": attempt, "account": None}
        this = (chunks.c.id == chunk_id) & chunks.c.state.in_(OPEN_STATES)
        moved = connection.execute(update(chunks).where(this).values(**values)).rowcount
        expect(moved == 1, f"chunk {chunk_id} is neither planned nor on the wire")
