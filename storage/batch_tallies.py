"""What outcomes, calls and results of batches add up to: counted, or remembered where nothing has changed since.

A tally is the count of a finished batch, stored with the batch's revision. Every change of a batch makes its revision
grow, and a trigger forgets the revision when a result changes, so a tally that is no longer true is seen as such, and
the batch is counted again.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select, update

from database import IMEIDatabase
from orders import OrderStatus
from schema import UNTALLIED, batches, chunks, items, orders

#: Finished batches that are tallied in one transaction.
TALLIED_AT_ONCE = 20

#: What the results of a batch are summed up by.
VERDICTS = ("carrier", "simlock", "fmi", "blacklist")

#: Made once: the status bar of every page asks them.
OUTCOMES, STATES = (
    select(by, word, func.count()).where(by.in_(bindparam("ids", expanding=True))).group_by(by, word)
    for by, word in ((items.c.batch_id, items.c.outcome), (chunks.c.batch_id, chunks.c.state))
)

Counts = tuple[dict[str, int], dict[str, int]]
Verdicts = dict[str, dict[str, int]]


def counts(connection: Connection, rows: Sequence[Any]) -> dict[int, Counts]:
    """For rows of batches: id → (outcome → IMEIs, chunk state → chunks)."""
    stale = [row.id for row in rows if row.tally_revision != row.revision]
    outcomes = _grouped(connection, OUTCOMES, stale)
    states = _grouped(connection, STATES, stale)
    known: dict[int, Counts] = {row.id: json.loads(row.tally)[:2] for row in rows if row.tally_revision == row.revision}
    return known | {batch_id: (outcomes.get(batch_id, {}), states.get(batch_id, {})) for batch_id in stale}


def verdicts(connection: Connection, batch_id: int) -> Verdicts:
    """For each of VERDICTS: what the completed orders of a batch say ("" for nothing) → how many say so."""
    row = connection.execute(select(batches).where(batches.c.id == batch_id)).first()
    if row is not None and row.tally_revision == row.revision:
        return dict(json.loads(row.tally)[2])
    return _count_verdicts(connection, batch_id)


def tally_finished(database: IMEIDatabase) -> int:
    """Count some of the finished batches that changed since they were counted. Returns how many."""
    with database.read() as connection:
        rows = connection.execute(select(batches).where(UNTALLIED).limit(TALLIED_AT_ONCE)).all()
        counted = counts(connection, rows)
        found = {row: (*counted[row.id], _count_verdicts(connection, row.id)) for row in rows}
    if found:
        with database.write() as connection:
            for row, tally in found.items():
                unchanged = (batches.c.id == row.id) & (batches.c.revision == row.revision)
                values = {"tally": json.dumps(tally), "tally_revision": row.revision}
                connection.execute(update(batches).where(unchanged).values(**values))
    return len(rows)


def _count_verdicts(connection: Connection, batch_id: int) -> Verdicts:
    columns = [func.coalesce(orders.c[name], "") for name in VERDICTS]
    query = select(*columns, func.count())
    query = query.where(orders.c.batch_id == batch_id, _completed()).group_by(*columns)
    found: dict[str, Counter[str]] = {name: Counter() for name in VERDICTS}
    for *values, count in connection.execute(query):
        for name, value in zip(VERDICTS, values, strict=True):
            found[name][value] += count
    return {name: dict(counter) for name, counter in found.items()}


def _completed() -> ColumnElement[bool]:
    return func.coalesce(orders.c.status, "") == OrderStatus.COMPLETED  # worded so that the batch's index is taken


def _grouped(connection: Connection, query: Select[Any], ids: Sequence[int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for batch_id, name, count in connection.execute(query, {"ids": ids}) if ids else ():
        found.setdefault(batch_id, {})[name] = count
    return found
