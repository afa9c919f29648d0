"""What waits: planned IMEIs by the state of their batch, and deliveries of webhooks. Reads only, by partial indexes."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from orders import BatchState, ChunkState
from schema import batches, chunks, deliveries

#: In the words of the index.
WAITING = text("state = 'waiting'")


@dataclass(frozen=True, slots=True)
class Queue:
    """What unfinished batches of one state have planned and not sent."""

    imeis: int = 0
    chunks: int = 0


def queues(connection: Connection) -> dict[BatchState, Queue]:
    """Return what running and what paused batches have planned."""
    wanted = (BatchState.RUNNING, BatchState.PAUSED)
    query = (
        select(batches.c.state, func.sum(chunks.c.size), func.count())
        .join(chunks, chunks.c.batch_id == batches.c.id)
        .where(batches.c.state.in_(wanted), chunks.c.state == ChunkState.PLANNED)
        .group_by(batches.c.state)
    )
    found = {BatchState(state): Queue(imeis, count) for state, imeis, count in connection.execute(query)}
    return {state: found.get(state, Queue()) for state in wanted}


def waiting_deliveries(connection: Connection) -> int:
    """Return how many deliveries to webhooks have not succeeded yet."""
    query = select(func.count()).select_from(deliveries).where(WAITING, deliveries.c.webhook_id.is_not(None))
    return int(connection.execute(query).scalar_one())
