"""Lists of IMEIs that people look up at once: kept as they were pasted, and joined with the orders at each look.

A list is one row of JSON, so that saving it is one small write; SQLite walks it with json_each and finds each IMEI
by its index. What was found is never stored, so a saved search always tells what is known now.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text

from database import IMEIDatabase, OrderRow, utc_now
from order_filters import OrderFilter, wordings_of
from schema import orders, saved_searches

#: How long a list is kept.
KEPT = timedelta(days=30)
#: IMEIs of a list that a walk takes at a time, without holding a transaction between.
WALKED_AT_ONCE = 2000

LIST = "FROM saved_searches AS search CROSS JOIN json_each(search.imeis) AS wanted"
#: CROSS JOIN and INDEXED BY hold SQLite to this: for each IMEI of the list, its orders, whatever the filters are.
MATCHES = f"""{LIST} CROSS JOIN orders INDEXED BY idx_imei
 WHERE search.id = :search AND orders.imei = wanted.value AND wanted.key >= :place AND wanted.key < :end
 AND (:status = '' OR orders.status = :status) AND (:service = '' OR orders.service_id = :service)
 AND (:batch IS NULL OR orders.batch_id = :batch) AND (:carrier = '' OR orders.carrier = :carrier)
 AND (:simlock = '' OR orders.simlock IN (SELECT value FROM json_each(:simlock)))
 AND (:fmi = '' OR orders.fmi IN (SELECT value FROM json_each(:fmi)))
 AND (:since IS NULL OR orders.order_date >= :since) AND (:until IS NULL OR orders.order_date < :until)
 AND (NOT :mismatch OR orders.other_imei > '')"""
#: Keys first and rows afterwards: what is sorted stays small.
FOUND = text(
    f"""SELECT orders.*, page.place FROM (SELECT wanted.key AS place, orders.id AS row {MATCHES}
 AND (wanted.key > :place OR orders.id < :row) ORDER BY wanted.key, orders.id DESC LIMIT :limit) AS page
 JOIN orders ON orders.id = page.row ORDER BY page.place, orders.id DESC"""
).columns(**{column.name: column.type for column in orders.c})
COUNT = text(f"SELECT count(*) {MATCHES}")
KNOWN = text(
    "SELECT EXISTS (SELECT 1 FROM orders WHERE orders.imei = wanted.value) AS known, count(*)"
    f" {LIST} WHERE search.id = :search GROUP BY known"
)
MISSING = text(
    f"SELECT wanted.key AS place, wanted.value AS imei {LIST} WHERE search.id = :search AND wanted.key >= :place"
    " AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.imei = wanted.value) ORDER BY wanted.key LIMIT :limit"
)
NO_END = 2**62


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """One list, and how much of it is known now."""

    search_id: int
    created_at: datetime  #: UTC
    found: int  #: IMEIs of the list that have at least one order
    missing: int
    rejected: int  #: entries of the paste that were no IMEI


def save_search(database: IMEIDatabase, imeis: Sequence[str], rejected: int) -> int:
    """Keep a list of different IMEIs and return its id. Forgets lists older than KEPT."""
    now = utc_now()
    with database.write() as connection:
        connection.execute(delete(saved_searches).where(saved_searches.c.created_at < now - KEPT))
        key = connection.execute(
            insert(saved_searches).values(imeis=json.dumps(list(imeis)), rejected=rejected, created_at=now)
        ).inserted_primary_key
    return int(key[0]) if key else 0


def find_search(database: IMEIDatabase, search_id: int) -> SavedSearch | None:
    """The list with its counts, or None for an unknown id."""
    columns = (saved_searches.c.created_at, saved_searches.c.rejected)
    with database.read() as connection:
        row = connection.execute(select(*columns).where(saved_searches.c.id == search_id)).first()
        if row is None:
            return None
        counts = {bool(known): count for known, count in connection.execute(KNOWN, {"search": search_id})}
    return SavedSearch(search_id, row.created_at, counts.get(True, 0), counts.get(False, 0), row.rejected)


def found_page(
    database: IMEIDatabase, search_id: int, chosen: OrderFilter, after: tuple[int, int] | None, limit: int
) -> list[OrderRow]:
    """Orders of the list that fit the filter, in the order of the paste, newest first for each IMEI.

    Each holds its place in the list besides its columns; after is the (place, row id) of the last one seen.
    """
    place, row = after or (0, NO_END)
    with database.read() as connection:
        given = _terms(connection, search_id, chosen) | {"place": place, "row": row, "limit": limit}
        return [found._asdict() for found in connection.execute(FOUND, given)]


def walk_found(database: IMEIDatabase, search_id: int, chosen: OrderFilter) -> Iterator[OrderRow]:
    """All orders of the list that fit the filter, in the order of the paste."""
    found = find_search(database, search_id)
    total = found.found + found.missing if found else 0
    for place in range(0, total, WALKED_AT_ONCE):
        with database.read() as connection:
            given = _terms(connection, search_id, chosen) | {"place": place, "end": place + WALKED_AT_ONCE}
            rows = connection.execute(FOUND, given | {"row": NO_END, "limit": -1}).all()
        yield from (row._asdict() for row in rows)


def count_found(database: IMEIDatabase, search_id: int, chosen: OrderFilter) -> int:
    """How many orders of the list fit the filter."""
    with database.read() as connection:
        return int(connection.execute(COUNT, _terms(connection, search_id, chosen) | {"place": 0}).scalar_one())


def missing_page(database: IMEIDatabase, search_id: int, after: int | None, limit: int) -> list[tuple[int, str]]:
    """(place, IMEI) of those without any order, in the order of the paste; after is the last place seen."""
    given = {"search": search_id, "place": 0 if after is None else after + 1, "limit": limit}
    with database.read() as connection:
        return [(row.place, row.imei) for row in connection.execute(MISSING, given)]


def _terms(connection: Connection, search_id: int, chosen: OrderFilter) -> dict[str, Any]:
    """The filter as the statements take it. Its q is not asked: the list stands in its place."""
    until = None if chosen.until is None else chosen.until + timedelta(days=1)
    return {
        "search": search_id,
        "end": NO_END,
        "status": chosen.status,
        "service": chosen.service,
        "batch": chosen.batch,
        "carrier": chosen.carrier,
        "simlock": "",
        "fmi": "",
        "since": chosen.since and datetime.combine(chosen.since, time()).isoformat(" "),
        "until": until and datetime.combine(until, time()).isoformat(" "),
        "mismatch": chosen.mismatch,
        **{name: json.dumps(list(words)) for name, words in wordings_of(connection, chosen).items()},
    }
