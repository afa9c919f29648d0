"""The stop-loss on disk: the first results of a batch are counted as they come, and too many bad ones pause it.

A batch is judged once. So one that a person resumes goes on, whatever its later results are.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from database import IMEIDatabase, Transaction, read_setting
from grading import StopLoss, Verdict, stop_loss_from_json
from orders import BatchState, OrderStatus
from schema import batches, orders
from storage import batch_states

SETTING = "stop_loss"


def stored(database: IMEIDatabase) -> StopLoss | None:
    """Return the stop-loss that is set, or None where it is off."""
    return stop_loss_from_json(database.get_setting(SETTING))


def save(database: IMEIDatabase, wanted: StopLoss | None) -> None:
    """Set the stop-loss, or turn it off."""
    database.set_setting(SETTING, json.dumps(asdict(wanted)) if wanted else "")


def apply(connection: Transaction, batch_ids: Iterable[int]) -> None:
    """Pause those of these batches whose first results are too bad. Called where results are stored."""
    limit = stop_loss_from_json(read_setting(connection, SETTING))
    if limit is None:
        return
    running = select(batches.c.id).where(
        batches.c.id.in_(list(batch_ids)), batches.c.state == BatchState.RUNNING, ~batches.c.is_judged
    )
    for batch_id in connection.execute(running).scalars().all():
        bad, results = bad_results(connection, orders.c.batch_id == batch_id, orders.c.id, limit.first)
        is_hit = limit.is_hit(bad)
        if is_hit or results == limit.first:
            connection.execute(update(batches).where(batches.c.id == batch_id).values(is_judged=True))
        if is_hit:
            batch_states.pause(connection, batch_id, limit.notice(bad, results))


def bad_results(
    connection: Connection, which: ColumnElement[bool], order: ColumnElement[Any], most: int
) -> tuple[int, int]:
    """Return how many of the first results in an order fail or are rejected, and how many were looked at."""
    # coalesce() keeps SQLite from the index of verdicts, which holds those of every batch.
    graded = select(orders.c.verdict, orders.c.status).where(which, func.coalesce(orders.c.verdict, "") > "")
    found = graded.order_by(order).limit(most).subquery()
    is_bad = or_(found.c.verdict == Verdict.FAIL, found.c.status == OrderStatus.REJECTED)
    bad, results = connection.execute(select(func.count().filter(is_bad), func.count()).select_from(found)).one()
    return int(bad), int(results)
