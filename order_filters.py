"""Which orders a person asks for, and those orders: pages by key, endless walks in little memory, counts.

A verdict ("ON", "Unlocked") finds every wording that means it: providers write On, Enabled, Yes or Lost Mode too.
Every query here is bounded or walks an index; tests look at its plan. Reads only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from database import IMEIDatabase, OrderRow
from order_wordings import VERDICTS, wordings
from orders import OrderStatus
from schema import orders

#: Orders that a walk reads at a time, without holding a transaction between.
WALKED_AT_ONCE = 2000
#: A text of so many digits is looked for as a whole IMEI or order id; a shorter one as the beginning of an IMEI.
WHOLE = 14
#: The fewest digits of a beginning that the index of IMEIs serves better than a walk from the newest order.
SELECTIVE = 6
#: A comparison and not "is not null", which SQLite answers without the index.
MISMATCHED = orders.c.other_imei > ""

Wordings = Mapping[str, Sequence[str]]
NO_WORDINGS: Wordings = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Terms that must all hold; an unset one holds for every order."""

    q: str = ""  #: an IMEI, its beginning, an IMEI 2, or an order id
    status: str = ""
    service: str = ""
    batch: int | None = None
    carrier: str = ""
    simlock: str = ""
    fmi: str = ""
    since: date | None = None  #: first UTC day of the order
    until: date | None = None  #: last UTC day
    mismatch: bool = False  #: only results that are about another IMEI

    def arguments(self) -> dict[str, Any]:
        """What is set, as a URL holds it."""
        found = {name: value for name, value in asdict(self).items() if value not in ("", None, False)}
        return {name: _in_url(value) for name, value in found.items()}


def filtered(chosen: OrderFilter, meanings: Wordings = NO_WORDINGS) -> Select[Any]:
    """The SELECT of the orders that fit, newest first; meanings are what the table holds for its verdicts."""
    query = select(orders).where(*_terms(chosen, meanings)).order_by(_key(chosen).desc())
    return query.where(_about(chosen.q.strip())) if chosen.q.strip() else query


def page_query(
    chosen: OrderFilter, before: int | None, limit: int | None, meanings: Wordings = NO_WORDINGS
) -> Select[Any]:
    """The SELECT of one page; before is the row id of the last order seen."""
    query = filtered(chosen, meanings).limit(limit)
    return query if before is None else query.where(_key(chosen) < before)


def page(database: IMEIDatabase, chosen: OrderFilter, before: int | None = None, limit: int = 100) -> list[OrderRow]:
    """The newest orders that fit."""
    with database.read() as connection:
        query = page_query(chosen, before, limit, wordings_of(connection, chosen))
        return [dict(row) for row in connection.execute(query).mappings()]


def walk(database: IMEIDatabase, chosen: OrderFilter) -> Iterator[OrderRow]:
    """All orders that fit, newest first, in the memory of some thousand."""
    last: int | None = None
    while rows := page(database, chosen, last, WALKED_AT_ONCE):
        yield from rows
        if len(rows) < WALKED_AT_ONCE:
            return
        last = rows[-1]["id"]


def count(database: IMEIDatabase, chosen: OrderFilter, most: int = 1_000_000) -> int:
    """How many orders fit, counted up to `most`."""
    with database.read() as connection:
        fitting = filtered(chosen, wordings_of(connection, chosen))
        few = fitting.order_by(None).with_only_columns(orders.c.id).limit(most).subquery()
        return int(connection.execute(select(func.count()).select_from(few)).scalar_one())


def imeis_of(database: IMEIDatabase, chosen: OrderFilter, most: int) -> list[str]:
    """The different IMEIs of the orders that fit, newest first, at most `most` of them."""
    found: dict[str, None] = {}
    for order in walk(database, chosen):
        found.setdefault(order["imei"])
        if len(found) == most:
            break
    return list(found)


def mismatched_count(database: IMEIDatabase, batch_id: int | None = None) -> int:
    """How many results are about another IMEI than the one that was ordered."""
    query = select(func.count()).select_from(orders).where(MISMATCHED)
    with database.read() as connection:
        narrowed = query if batch_id is None else query.where(orders.c.batch_id == batch_id)
        return int(connection.execute(narrowed).scalar_one())


def wordings_of(connection: Connection, chosen: OrderFilter) -> Wordings:
    """For each verdict of the filter, such as "ON", every stored wording that means it."""
    return {
        name: wordings(connection, name, getattr(chosen, name)) for name in VERDICTS if getattr(chosen, name)
    }


def _key(chosen: OrderFilter) -> ColumnElement[int]:
    """What pages are sorted by; + 0 keeps SQLite from walking the whole table for the few that are mismatched."""
    return orders.c.id + 0 if chosen.mismatch else orders.c.id.expression


def _terms(chosen: OrderFilter, meanings: Wordings) -> Iterator[ColumnElement[bool]]:
    meant = {name: meanings.get(name, [word]) for name in VERDICTS if (word := getattr(chosen, name))}
    rare_status = chosen.status if chosen.status != OrderStatus.COMPLETED else ""
    pairs = [
        (orders.c.batch_id, chosen.batch),
        (orders.c.status, rare_status),
        (orders.c.carrier, chosen.carrier),
        (orders.c.service_id, chosen.service),
        *((orders.c[name], words[0]) for name, words in meant.items() if len(words) == 1),
        (orders.c.status, "" if rare_status else chosen.status),
    ]
    given = [(column, value) for column, value in pairs if value not in ("", None)]
    # The first is the one that most likely says much: SQLite must not walk the index of another.
    yield from (column == value for column, value in given[:1])
    yield from (_without_index(column) == value for column, value in given[1:])
    yield from (_without_index(orders.c[name]).in_(words) for name, words in meant.items() if len(words) > 1)
    if chosen.since is not None:
        yield orders.c.order_date >= datetime.combine(chosen.since, time())
    if chosen.until is not None:
        yield orders.c.order_date < datetime.combine(chosen.until + timedelta(days=1), time())
    if chosen.mismatch:
        yield MISMATCHED


def _without_index(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(column, None)


def _about(given: str) -> ColumnElement[bool]:
    """An IMEI, a second IMEI or an order id; or, for few digits, also the beginning of an IMEI."""
    whole = or_(orders.c.imei == given, orders.c.imei2 == given, orders.c.order_id == given)
    if len(given) >= WHOLE or not given.isdecimal():
        return whole
    if len(given) < SELECTIVE:
        return or_(func.substr(orders.c.imei, 1, len(given)) == given, orders.c.order_id == given)
    # A range and not LIKE, which SQLite answers without the index; ":" comes behind every digit.
    return or_(orders.c.imei.between(given, given + ":"), orders.c.order_id == given)


def _in_url(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else 1 if value is True else value
