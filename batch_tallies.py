"""What the outcomes and calls of batches add up to: counted, or remembered where nothing has changed since.

A tally is the count of a finished batch, stored with the batch's revision. Every change of a batch makes its revision
grow, so a tally that is no longer true is seen as such, and the batch is counted again.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select, update

from database import IMEIDatabase
from schema import UNTALLIED, batches, chunks, items

#: Finished batches that are tallied in one transaction.
TALLIED_AT_ONCE = 10

Counts = tuple[dict[str, int], dict[str, int]]


def counts(connection: Connection, rows: Sequence[Any]) -> dict[int, Counts]:
    """For rows of batches: id → (outcome → IMEIs, chunk state → chunks)."""
    stale = [row.id for row in rows if row.tally_revision != row.revision]
    outcomes = _grouped(connection, items.c.batch_id, items.c.outcome, stale)
    states = _grouped(connection, chunks.c.batch_id, chunks.c.state, stale)
    known: dict[int, Counts] = {row.id: json.loads(row.tally) for row in rows if row.tally_revision == row.revision}
    return known | {batch_id: (outcomes.get(batch_id, {}), states.get(batch_id, {})) for batch_id in stale}


def tally_finished(database: IMEIDatabase) -> int:
    """Count some of the finished batches that changed since they were counted. Returns how many."""
    with database.write() as connection:
        query = select(batches).where(UNTALLIED).limit(TALLIED_AT_ONCE)
        rows = connection.execute(query).all()
        for batch_id, counted in counts(connection, rows).items():
            values = {"tally": json.dumps(counted), "tally_revision": batches.c.revision}
            connection.execute(update(batches).where(batches.c.id == batch_id).values(**values))
    return len(rows)


def _grouped(connection: Connection, by: Any, word: Any, ids: Sequence[int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    query = select(by, word, func.count()).where(by.in_(ids)).group_by(by, word)
    for batch_id, name, count in connection.execute(query) if ids else ():
        found.setdefault(batch_id, {})[name] = count
    return found
