"""What a re-check found: each result of its batch beside the result before it from the same service."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from database import Transaction
from orders import OrderStatus
from schema import UNCOMPARED, automation_changes, automation_runs, batches, orders
from storage import outbox
from storage.automation_store import Run
from storage.batch_progress import progress_of
from storage.outbox import EventKind

#: What is compared, by its column.
COMPARED = ("carrier", "simlock", "fmi", "blacklist", "verdict", "model")

#: A finding that changed: its name, what it was, what it is.
Difference = tuple[str, str, str]


class Pair(NamedTuple):
    """One result of a batch and the one before it."""

    order_row: int
    imei: str
    before: tuple[str, ...]  #: in the order of COMPARED; "" for nothing
    after: tuple[str, ...]


class Changed(NamedTuple):
    """A phone with another result than before."""

    order_row: int
    imei: str
    order_id: str | None
    differences: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class Compared:
    """What one comparison of a run found."""

    phones: int  #: with a result before and after
    changed: Mapping[tuple[int, str], Sequence[Difference]]  #: row of the order, and IMEI → what changed
    counts: Mapping[str, int]  #: what changed → phones, the most frequent first


def uncompared_runs(connection: Connection) -> list[Run]:
    """Return the runs whose results are still to be compared, and whose batch has changed since they were last."""
    query = select(automation_runs).where(UNCOMPARED).order_by(automation_runs.c.id)
    runs = [Run.from_row(row) for row in connection.execute(query)]
    ids = {run.batch_id for run in runs}
    revisions = dict(connection.execute(select(batches.c.id, batches.c.revision).where(batches.c.id.in_(ids))).all())
    return [run for run in runs if revisions.get(run.batch_id) != run.compared_revision]


def pairs_of(connection: Connection, batch_id: int) -> tuple[int, list[Pair]]:
    """Return the revision of a batch, and its results that have one before them."""
    batch = connection.execute(select(batches.c.revision, batches.c.service_id).where(batches.c.id == batch_id)).one()
    after, earlier, before = orders.alias("after"), orders.alias("earlier"), orders.alias("before")
    # coalesce() keeps SQLite from the indexes of services and statuses: the IMEI finds its few orders.
    is_earlier = (
        (earlier.c.imei == after.c.imei)
        & (earlier.c.id < after.c.id)
        & (func.coalesce(earlier.c.service_id, "") == batch.service_id)
        & (func.coalesce(earlier.c.status, "") == OrderStatus.COMPLETED)
    )
    newest = select(func.max(earlier.c.id)).where(is_earlier).correlate(after).scalar_subquery()
    columns = [func.coalesce(table.c[name], "") for table in (before, after) for name in COMPARED]
    query = (
        select(after.c.id, after.c.imei, *columns)
        .select_from(after)
        .join(before, before.c.id == newest)
        .where(after.c.batch_id == batch_id, func.coalesce(after.c.status, "") == OrderStatus.COMPLETED)
        .order_by(after.c.id)
    )
    rows = connection.execute(query)
    half = len(COMPARED)
    return batch.revision, [Pair(row, imei, tuple(v[:half]), tuple(v[half:])) for row, imei, *v in rows]


def write_comparison(connection: Transaction, run_id: int, batch_id: int, revision: int, found: Compared) -> None:
    """Write what a comparison found at a revision of the batch, over an earlier one; announce it when it is complete.

    Two processes that compare the same write the same; it is announced once.
    """
    batch = progress_of(connection, batch_id)
    is_complete = batch.is_settled
    values = {
        "compared": found.phones,
        "compared_revision": revision,
        "changed": len(found.changed),
        "changes": json.dumps(dict(found.counts)),
        "is_compared": is_complete,
    }
    is_open = (automation_runs.c.id == run_id, UNCOMPARED)
    if not connection.execute(update(automation_runs).where(*is_open).values(values)).rowcount:
        return
    connection.execute(delete(automation_changes).where(automation_changes.c.run_id == run_id))
    rows = [
        {"run_id": run_id, "order_row": row, "imei": imei, "changes": json.dumps(list(differences))}
        for (row, imei), differences in found.changed.items()
    ]
    if rows:
        connection.execute(insert(automation_changes), rows)
    if is_complete:
        counts = {"compared": found.phones, "changed": len(found.changed), "changes": dict(found.counts)}
        data: dict[str, Any] = {"run_id": run_id, "batch_id": batch_id, "name": batch.label, **counts}
        outbox.add(connection, EventKind.RECHECK_COMPARED, data, batch_id)


def changed_phones(connection: Connection, run_id: int, after_row: int = 0, limit: int = 1_000_000) -> list[Changed]:
    """Return the changed phones of a run, in the order of their orders; after_row: the last one seen."""
    query = (
        select(
            automation_changes.c.order_row, automation_changes.c.imei, orders.c.order_id, automation_changes.c.changes
        )
        .outerjoin(orders, orders.c.id == automation_changes.c.order_row)
        .where(automation_changes.c.run_id == run_id, automation_changes.c.order_row > after_row)
        .order_by(automation_changes.c.order_row)
        .limit(limit)
    )
    return [_changed(row) for row in connection.execute(query)]


def _changed(row: Iterable[Any]) -> Changed:
    order_row, imei, order_id, changes = row
    return Changed(order_row, imei, order_id, [(name, old, new) for name, old, new in json.loads(changes)])
