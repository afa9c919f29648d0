"""Batches with their counts, as pages, streams, commands and events show them, from one snapshot. Reads only."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, func, select

from database import once
from engines import read_prepared
from orders import FINAL_STATUSES, BatchState, ChunkState, Outcome, Progress
from schema import batches, orders, withheld_results
from storage.kept_sums import OrderSums, counts, order_sums


def progress_of(connection: Connection, batch_id: int) -> Progress:
    """Return the batch with this id, which must exist, inside a transaction."""
    return read_progresses(connection, select(batches).where(batches.c.id == batch_id))[0]


def read_progresses(connection: Connection, query: Select[Any]) -> list[Progress]:
    """Return the batches that a SELECT of batches gives, each with its counts."""
    return counted_progresses(connection, connection.execute(query).all())


def counted_progresses(connection: Connection, rows: Sequence[Any]) -> list[Progress]:
    """Return the batches in rows of their table, each with its counts; in a snapshot() each is counted once."""
    known = once(connection, _none_counted)
    new = [row for row in rows if row.id not in known]
    counted = counts(connection, new)
    summed = order_sums(connection, [row.id for row in new])
    withheld = once(connection, withheld_counts) if any(sums.pending for sums in summed.values()) else {}
    for row in new:
        known[row.id] = _progress(row, *counted[row.id], summed[row.id], withheld.get(row.id, 0))
    return [known[row.id] for row in rows]


def _none_counted(_: Connection) -> dict[int, Progress]:
    """Return where a snapshot keeps the batches that were counted in it."""
    return {}


def withheld_counts(connection: Connection) -> dict[int, int]:
    """Return batch id → its orders that still wait for a withheld result; 0 for orders of no batch."""
    return {row[0]: int(row[1]) for row in read_prepared(connection, _withheld_counts())}


@cache
def _withheld_counts() -> Select[Any, int]:
    """coalesce() keeps SQLite from the indexes of all orders: it looks up the withheld ones, which are few."""
    batch, status = func.coalesce(orders.c.batch_id, 0), func.coalesce(orders.c.status, "")
    held = orders.c.order_id.in_(select(withheld_results.c.order_id))
    return select(batch, func.count()).where(held, status.not_in(FINAL_STATUSES)).group_by(batch)


def _progress(row: Any, outcomes: dict[str, int], states: dict[str, int], sums: OrderSums, withheld: int) -> Progress:
    return Progress(
        batch_id=row.id,
        label=row.label,
        state=BatchState(row.state),
        service_id=row.service_id,
        service_name=row.service_name,
        unit_price=row.unit_price,
        total=row.total,
        outcomes={outcome: outcomes.get(outcome, 0) for outcome in Outcome},
        chunks={state: states.get(state, 0) for state in ChunkState},
        revision=row.revision,
        spent=sums.spent,
        results=sums.final + withheld,
        pending=sums.pending - withheld,
        withheld=withheld,
        verdicts=sums.verdicts,
        notice=row.notice,
        resumes_itself=row.resumes_itself,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        source=row.source,
        customer=row.customer,
        note=row.note,
        ordered_by=row.ordered_by,
    )
