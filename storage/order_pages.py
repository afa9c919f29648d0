"""One page of orders in an order that a person chose: only what an index holds sorted, so that pages go by key."""

from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select

from database import IMEIDatabase
from schema import orders
from storage import order_filters
from storage.order_filters import OrderFilter
from storage.rows import Order


class Sort(StrEnum):
    """The orders in which a page can be read."""

    NEWEST = "newest"
    OLDEST = "oldest"
    IMEI = "imei"


#: Digits of a number that no row has.
LONGEST = 19
#: Between the two parts of a key in a URL.
PARTING = "~"
ORDERINGS: dict[Sort, tuple[ColumnElement[Any], ...]] = {
    Sort.OLDEST: (orders.c.id.asc(),),
    Sort.IMEI: (orders.c.imei.asc(), orders.c.id.asc()),
}


def sorts(chosen: OrderFilter) -> list[Sort]:
    """Return the sorts for this filter: any other would walk the whole table by another index."""
    if chosen.mismatch or chosen.dated:
        return [Sort.NEWEST]
    return [Sort.NEWEST, Sort.OLDEST] if chosen.arguments() else list(Sort)


def page(database: IMEIDatabase, chosen: OrderFilter, sort: Sort, after: str, limit: int) -> list[Order]:
    """Return the orders that follow the one with this key; an unknown key starts at the first page."""
    imei, _, row = after.rpartition(PARTING)
    before = int(row) if row.isdecimal() and len(row) < LONGEST else None
    if sort is Sort.NEWEST:
        return order_filters.page(database, chosen, before, limit)
    with database.read() as connection:
        terms = order_filters.fitting(chosen, order_filters.guide(connection, chosen))
        query = select(orders).where(*terms).order_by(*ORDERINGS[sort]).limit(limit)
        if before is not None:
            query = query.where(_behind(sort, imei, before))
        return [Order.from_row(order) for order in connection.execute(query)]


def key(order: Order, sort: Sort) -> str:
    """Return the key of an order in this sort."""
    return f"{order.imei}{PARTING}{order.id}" if sort is Sort.IMEI else str(order.id)


def _behind(sort: Sort, imei: str, row: int) -> ColumnElement[bool]:
    if sort is Sort.OLDEST:
        return orders.c.id > row
    return and_(orders.c.imei >= imei, or_(orders.c.imei > imei, orders.c.id > row))
