"""SQL for a database that is older than the answers kept beside it: batch ids to skip, calls that were answered later.

Reads and writes only; submission/older_copy.py decides.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from database import Transaction
from orders import BatchState, ChunkState
from schema import batches, chunks, last_id, skip_ids


class PlannedCall(NamedTuple):
    """A planned chunk of an unfinished batch."""

    chunk_id: int
    attempt: int  #: how often it was sent


def last_batch_id(connection: Connection) -> int:
    """Return the largest batch id that this database ever gave; 0 before the first batch."""
    return last_id(connection, batches)


def skip_batch_ids(connection: Transaction, last: int) -> None:
    """Give the next batch an id beyond `last`."""
    skip_ids(connection, batches, last)


def unfinished_ids(connection: Connection) -> Sequence[int]:
    """Return the ids of the batches that are running or paused, oldest first."""
    unfinished = select(batches.c.id).where(batches.c.state != BatchState.FINISHED).order_by(batches.c.id)
    return connection.execute(unfinished).scalars().all()


def planned_calls(connection: Connection, batch_id: int) -> list[PlannedCall]:
    """Return the planned chunks of a batch."""
    planned = select(chunks.c.id, chunks.c.attempt).where(
        chunks.c.batch_id == batch_id, chunks.c.state == ChunkState.PLANNED
    )
    return [PlannedCall(*row) for row in connection.execute(planned)]


def set_attempts(connection: Transaction, attempts: Mapping[int, int]) -> None:
    """Write how often chunks were sent (chunk id → attempt)."""
    for chunk_id, attempt in attempts.items():
        connection.execute(update(chunks).where(chunks.c.id == chunk_id).values(attempt=attempt))
