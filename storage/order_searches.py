"""Lists of IMEIs that are looked up at once: kept as they were pasted, and joined with the orders at each request.

A list is one row of JSON, so that saving it is one small write; the database walks it and finds each IMEI
by its index. What was found is never stored, so a saved search always shows what is known now.
"""

import json
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, select

from database import IMEIDatabase, utc_now
from grading import PENDING
from schema import INTEGER, NOT_FINAL, DayStart, orders, saved_searches, sql
from storage.order_filters import WALKED_FIRST, fitting, rare_guide
from storage.order_terms import OrderFilter, wordings_of
from storage.order_wordings import MEANT
from storage.rows import FoundOrder, Order
from storage.tag_store import tag_key

#: How long a list is kept, and characters of all lists together, beyond which the oldest are forgotten: nobody may fill
#: the disk with lists.
KEPT, MOST_KEPT = timedelta(days=30), 64 * 1024 * 1024
#: IMEIs of a list that a walk takes at a time, without holding a transaction between.
WALKED_AT_ONCE = 2000
#: A page first reads as many IMEIs of the list as it has rows, then this many times more until it is full.
WIDENED = 4

#: A column must have one of the words of a JSON list; an empty list is no condition.
MEANING = [
    f" AND (:{name} = '[]' OR orders.{name} IN (SELECT value FROM each(:{name} AS TEXT) {name}))" for name in MEANT
]
LIST = "FROM saved_searches AS search CROSS JOIN each(search.imeis AS TEXT) AS wanted ON true"
#: CROSS JOIN and by_index hold SQLite to this: for each IMEI of the list, its orders, whatever the filters are.
MATCHES = f"""{LIST} CROSS JOIN orders by_index(idx_imei) ON orders.imei = wanted.value
 WHERE search.id = :search AND wanted.key >= :place AND wanted.key < :end
 AND (:status = '' OR in_index(idx_status, status, :status))
 AND (:service = '' OR in_index(idx_orders_service, service_id, :service))
 AND (:batch IS NULL OR orders.batch_id = :batch)
 AND (:person = '' OR orders.batch_id IN (SELECT id FROM batches WHERE ordered_by = :person))
 AND (:tag = '' OR orders.id IN (SELECT order_row FROM order_tags WHERE tag = :tag)
  OR orders.batch_id IN (SELECT batch_id FROM batch_tags WHERE tag = :tag))
 AND (:verdict = '' OR orders.verdict = :verdict)
 AND (NOT :pending OR {NOT_FINAL.text})
 AND (:serial = '' OR substr(orders.serial, 1, length(:serial)) IN (:serial, upper(:serial)))
{"".join(MEANING)}
 AND (:since IS NULL OR orders.order_date >= :since) AND (:until IS NULL OR orders.order_date < :until)
 AND (NOT :mismatch OR orders.other_imei > '')"""
TYPED = (bindparam("since", type_=DayStart), bindparam("until", type_=DayStart), bindparam("batch", type_=INTEGER))
COLUMNS = ", ".join(f"orders.{column.name}" for column in orders.c)
#: Keys first and rows afterwards: what is sorted stays small.
_FOUND = sql(
    f"""SELECT {COLUMNS}, page.place FROM (SELECT wanted.key AS place, orders.id AS order_row {MATCHES}
 AND (wanted.key > :place OR orders.id < :row) ORDER BY wanted.key, orders.id DESC LIMIT :limit) AS page
 JOIN orders ON orders.id = page.order_row ORDER BY page.place, orders.id DESC"""
).bindparams(*TYPED)
FOUND = _FOUND.columns(**{column.name: column.type for column in orders.c})
COUNT = sql(f"SELECT count(*) {MATCHES}").bindparams(*TYPED)
#: IN sorts the list, so that the index of IMEIs is walked from one end to the other and not up and down.
KNOWN = sql(
    "SELECT json_list(imei) FROM (SELECT imei FROM orders WHERE imei IN"
    f" (SELECT wanted.value {LIST} WHERE search.id = :search) GROUP BY imei) known"
)
LENGTH = select(func.json_length(saved_searches.c.imeis)).where(saved_searches.c.id == bindparam("search"))
TOO_MUCH = sql(
    "DELETE FROM saved_searches WHERE id IN (SELECT id FROM (SELECT id, sum(length(imeis)) OVER (ORDER BY id DESC)"
    " AS up_to_it FROM saved_searches) kept WHERE up_to_it > :most)"
)
NO_END = 2**62


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """One list as it was kept."""

    search_id: int
    created_at: datetime  #: UTC
    imeis: Sequence[str]  #: as they were pasted
    rejected: int  #: entries of the paste that were no IMEI

    def missing(self, known: Set[str], after: int | None = None, limit: int | None = None) -> list[tuple[int, str]]:
        """Return (place, IMEI) of those that are not known, in the order of the paste; after is the last place seen."""
        places = range(0 if after is None else after + 1, len(self.imeis))
        return list(islice(((at, self.imeis[at]) for at in places if self.imeis[at] not in known), limit))


def save_search(database: IMEIDatabase, imeis: Sequence[str], rejected: int) -> int:
    """Keep a list of different IMEIs and return its id. Forgets lists older than KEPT, and the oldest of too many."""
    now = utc_now()
    new = insert(saved_searches).values(imeis=json.dumps(list(imeis)), rejected=rejected, created_at=now)
    with database.write() as connection:
        connection.execute(delete(saved_searches).where(saved_searches.c.created_at < now - KEPT))
        search_id = int(connection.execute(new.returning(saved_searches.c.id)).scalar_one())
        connection.execute(TOO_MUCH, {"most": MOST_KEPT})
    return search_id


def find_search(database: IMEIDatabase, search_id: int) -> SavedSearch | None:
    """Return the list, or None for an unknown id."""
    with database.read() as connection:
        row = connection.execute(select(saved_searches).where(saved_searches.c.id == search_id)).first()
    return SavedSearch(search_id, row.created_at, json.loads(row.imeis), row.rejected) if row else None


def known_imeis(database: IMEIDatabase, search_id: int) -> frozenset[str]:
    """Return those IMEIs of the list that have at least one order now."""
    with database.read() as connection:
        return frozenset(json.loads(connection.execute(KNOWN, {"search": search_id}).scalar_one()))


def found_page(
    database: IMEIDatabase, search_id: int, chosen: OrderFilter, after: tuple[int, int] | None, limit: int
) -> list[FoundOrder]:
    """Return orders of the list that fit the filter, in the order of the paste, newest first for each IMEI.

    after is the (place, row id) of the last one seen. No more of the list is looked at than the page takes: SQLite
    would look at all of it to sort what is sorted already.
    """
    (place, row), width, found = after or (0, NO_END), limit, list[FoundOrder]()
    with database.read() as connection:
        asked = replace(chosen, q="")  # the list takes its place
        rare = rare_guide(connection, asked)
        if rare is not None:
            return _rare_page(connection, search_id, fitting(asked, rare), (place, row), limit)
        terms, total = _terms(connection, search_id, chosen), _length(connection, search_id)
        while place < total and len(found) < limit:
            part = {"place": place, "end": place + width, "row": row, "limit": limit - len(found)}
            found += map(FoundOrder.from_row, connection.execute(FOUND, terms | part))
            place, row, width = place + width, NO_END, width * WIDENED
    return found


def _rare_page(
    connection: Connection, search_id: int, terms: Sequence[ColumnElement[bool]], after: tuple[int, int], limit: int
) -> list[FoundOrder]:
    """Return a page where few orders fit the filter: these are looked for in the list, not the list in them."""
    keys = sorted(_rare_keys(connection, search_id, terms))
    page = [key for key in keys if key > (after[0], -after[1])][:limit]
    rows = connection.execute(select(orders).where(orders.c.id.in_([-row for _, row in page])))
    whole = {order.id: order for order in map(Order.from_row, rows)}
    return [FoundOrder(whole[-row], place) for place, row in page]


def _rare_keys(
    connection: Connection, search_id: int, terms: Sequence[ColumnElement[bool]]
) -> Iterator[tuple[int, int]]:
    """Yield (place, -row id) of the orders that fit and whose IMEI is in the list."""
    listed = connection.execute(select(saved_searches.c.imeis).where(saved_searches.c.id == search_id)).scalar_one()
    places = {imei: place for place, imei in enumerate(json.loads(listed))}
    fit = connection.execute(select(orders.c.id, orders.c.imei).where(*terms))
    return ((places[order.imei], -order.id) for order in fit if order.imei in places)


def walk_found(database: IMEIDatabase, search_id: int, chosen: OrderFilter) -> Iterator[FoundOrder]:
    """Yield all orders of the list that fit the filter, in the order of the paste."""
    with database.read() as connection:
        total = _length(connection, search_id)
    place, width = 0, WALKED_FIRST
    while place < total:
        with database.read() as connection:
            given = _terms(connection, search_id, chosen) | {"place": place, "end": place + width}
            rows = connection.execute(FOUND, given | {"row": NO_END, "limit": NO_END}).all()
        yield from map(FoundOrder.from_row, rows)
        place, width = place + width, WALKED_AT_ONCE


def count_found(database: IMEIDatabase, search_id: int, chosen: OrderFilter) -> int:
    """Return how many orders of the list fit the filter."""
    with database.read() as connection:
        asked = replace(chosen, q="")  # the list takes its place
        rare = rare_guide(connection, asked)
        if rare is not None:
            return sum(1 for _ in _rare_keys(connection, search_id, fitting(asked, rare)))
        return int(connection.execute(COUNT, _terms(connection, search_id, chosen) | {"place": 0}).scalar_one())


def _length(connection: Connection, search_id: int) -> int:
    """Return how many IMEIs the list holds; 0 for an unknown list."""
    return int(connection.execute(LENGTH, {"search": search_id}).scalar() or 0)


def _terms(connection: Connection, search_id: int, chosen: OrderFilter) -> dict[str, Any]:
    """Return the filter as parameters of the statements. Its q is left out: the list takes its place."""
    meanings = wordings_of(connection, chosen)
    until = None if chosen.until is None else chosen.until + timedelta(days=1)
    return {
        "search": search_id,
        "end": NO_END,
        "status": chosen.status,
        "service": chosen.service,
        "batch": chosen.batch,
        "person": chosen.person,
        "tag": tag_key(chosen.tag),
        "verdict": "" if chosen.verdict == PENDING else chosen.verdict,
        "pending": chosen.verdict == PENDING,
        "serial": chosen.serial,
        "since": chosen.since,
        "until": until,
        "mismatch": chosen.mismatch,
        **{name: json.dumps(list(meanings.get(name, ()))) for name in MEANT},
    }
