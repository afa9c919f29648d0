"""One page of orders in an order that a person chose: only what an index holds sorted, so that pages go by key."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from database import IMEIDatabase
from grading import PENDING, Verdict
from schema import orders
from storage import order_filters
from storage.order_counts import Count, guided_count
from storage.order_filters import Guide, OrderFilter, fitting, guide, guided_page
from storage.rows import Order


class Sort(StrEnum):
    """The orders in which a page can be read."""

    NEWEST = "newest"
    OLDEST = "oldest"
    IMEI = "imei"
    WORST = "worst"  #: by verdict, failed orders first; newest first among them


#: Digits of a number that no row has.
LONGEST = 19
#: Between the two parts of a key in a URL.
PARTING = "~"
#: The verdicts in the order of Sort.WORST.
WORST_FIRST: tuple[str, ...] = (Verdict.FAIL, Verdict.REVIEW, Verdict.PASS, PENDING)
ORDERINGS: dict[Sort, tuple[ColumnElement[Any], ...]] = {
    Sort.OLDEST: (orders.c.id.asc(),),
    Sort.IMEI: (orders.c.imei.asc(), orders.c.id.asc()),
}


def sorts(chosen: OrderFilter) -> list[Sort]:
    """Return the sorts for this filter: any other would walk the whole table by another index."""
    if chosen.mismatch or chosen.dated:
        return [Sort.NEWEST]
    return [Sort.NEWEST, Sort.OLDEST] if chosen.arguments() else [Sort.NEWEST, Sort.OLDEST, Sort.IMEI]


def page(
    database: IMEIDatabase,
    chosen: OrderFilter,
    sort: Sort,
    after: str,
    limit: int,
    verdicts: Sequence[str] = WORST_FIRST,
) -> list[Order]:
    """Return the orders that follow the one with this key; an unknown key starts at the first page.

    verdicts are those that some of the orders have, worst first, as far as that is known.
    """
    if sort is Sort.WORST:
        return _worst_first(database, chosen, verdicts, _place(after), limit)
    with database.read() as connection:
        return _sorted(connection, chosen, guide(connection, chosen), sort, after, limit)


def counted_page(
    database: IMEIDatabase, chosen: OrderFilter, sort: Sort, after: str, limit: int
) -> tuple[list[Order], Count]:
    """Return a page in any sort but Sort.WORST, and how many orders fit the filter at the same moment."""
    with database.read() as connection:
        guided = guide(connection, chosen)
        found = _sorted(connection, chosen, guided, sort, after, limit)
        is_all = not after and len(found) < limit
        return found, Count(len(found), is_all) if is_all else guided_count(connection, chosen, guided)


def _sorted(
    connection: Connection, chosen: OrderFilter, guided: Guide, sort: Sort, after: str, limit: int
) -> list[Order]:
    group, before = _place(after)
    if sort is Sort.NEWEST:
        return guided_page(connection, chosen, guided, before, limit)
    query = select(orders).where(*fitting(chosen, guided)).order_by(*ORDERINGS[sort]).limit(limit)
    if before is not None:
        query = query.where(_behind(sort, group, before))
    return [Order.from_row(order) for order in connection.execute(query)]


def _place(after: str) -> tuple[str, int | None]:
    """Return the two parts of a key: what the orders are sorted by, and the row id."""
    group, _, row = after.rpartition(PARTING)
    return group, int(row) if row.isdecimal() and len(row) < LONGEST else None


def key(order: Order, sort: Sort) -> str:
    """Return the key of an order in this sort."""
    group = {Sort.IMEI: order.imei, Sort.WORST: order.verdict or PENDING}.get(sort)
    return f"{group}{PARTING}{order.id}" if group else str(order.id)


def _worst_first(
    database: IMEIDatabase, chosen: OrderFilter, verdicts: Sequence[str], after: tuple[str, int | None], limit: int
) -> list[Order]:
    """Return the orders that follow a row of one verdict (after), then those of better verdicts."""
    group, before = after
    if len(verdicts) == 1:  # every order has it, so it need not be tested
        return order_filters.page(database, chosen, before, limit)
    words = [chosen.verdict] if chosen.verdict else list(verdicts)
    words = words[words.index(group) :] if group in words else words
    found: list[Order] = []
    for word in words:
        asked = replace(chosen, verdict=word)
        found += order_filters.page(database, asked, before if word == group else None, limit - len(found))
        if len(found) >= limit:
            break
    return found


def _behind(sort: Sort, imei: str, row: int) -> ColumnElement[bool]:
    if sort is Sort.OLDEST:
        return orders.c.id > row
    return and_(orders.c.imei >= imei, or_(orders.c.imei > imei, orders.c.id > row))
