"""One page of orders in an order that a person chose. Pages go by key, so that no order is missed or shown twice.

A sort is served by an index, or its orders are few: then those that fit are read and sorted for each page.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from database import IMEIDatabase
from grading import PENDING, Verdict
from schema import orders
from storage.order_counts import Count, counting_guide, guided_count, is_summed
from storage.order_filters import Guide, fitting, guide, guided_page, sorted_page
from storage.order_terms import OrderFilter
from storage.rows import Order, read_id


class Sort(StrEnum):
    """The orders in which a page can be read. A minus: from the last word to the first."""

    NEWEST = "newest"
    OLDEST = "oldest"
    WORST = "worst"  #: by verdict, failed orders first; newest first among them
    BEST = "best"  #: by verdict, passed orders first; newest first among them
    IMEI = "imei"
    IMEI_DOWN = "-imei"
    STATUS = "status"
    STATUS_DOWN = "-status"
    MODEL = "model"
    MODEL_DOWN = "-model"
    CARRIER = "carrier"
    CARRIER_DOWN = "-carrier"
    SIMLOCK = "simlock"
    SIMLOCK_DOWN = "-simlock"
    FMI = "fmi"
    FMI_DOWN = "-fmi"
    BLACKLIST = "blacklist"
    BLACKLIST_DOWN = "-blacklist"
    SERIAL = "serial"
    SERIAL_DOWN = "-serial"
    SERVICE = "service"
    SERVICE_DOWN = "-service"
    PRICE = "price"
    PRICE_DOWN = "-price"

    @property
    def is_down(self) -> bool:
        """Whether it is from the last word to the first."""
        return self.startswith("-")

    @property
    def column(self) -> str:
        """The column of the orders table that a sort by words has."""
        name = self.removeprefix("-")
        return COLUMNS.get(name, name)


#: The columns that have another name than their sort.
COLUMNS = MappingProxyType({"service": "service_name", "price": "credits"})
BY_ROW, BY_VERDICT = frozenset({Sort.NEWEST, Sort.OLDEST}), frozenset({Sort.WORST, Sort.BEST})
BY_PRICE = frozenset({Sort.PRICE, Sort.PRICE_DOWN})
#: Orders that are read and sorted for one page: anywhere in the file, and of one batch, where they are side by side.
MOST_SORTED, MOST_OF_BATCH = 1_000, 40_000
#: Between the two parts of a key in a URL.
PARTING = "~"
#: The verdicts in the order of Sort.WORST.
WORST_FIRST: tuple[str, ...] = (Verdict.FAIL, Verdict.REVIEW, Verdict.PASS, PENDING)
#: The verdicts in the order of each sort by them. An order without one comes last: few orders have none.
VERDICTS = MappingProxyType({Sort.WORST: WORST_FIRST, Sort.BEST: (Verdict.PASS, Verdict.REVIEW, Verdict.FAIL, PENDING)})


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list."""

    orders: list[Order]
    count: Count  #: of all that fit
    sort: Sort  #: in which the page is: the wanted one where the filter has it
    sorts: frozenset[Sort]  #: that this filter has


def sorts(chosen: OrderFilter, count: Count | None = None, after: str = "") -> frozenset[Sort]:
    """Return the sorts for this filter: those that an index serves, and all where few orders fit.

    after: the key of a later page. A list that grows while somebody turns its pages stays in its order.
    """
    most = (MOST_SORTED if chosen.batch is None else MOST_OF_BATCH) * (2 if after else 1)
    if count and count.is_all and count.found <= most:
        return frozenset(Sort) - ({Sort.OLDEST} if chosen.dated else set())
    if chosen.mismatch or chosen.dated:
        return frozenset({Sort.NEWEST})
    return BY_ROW if chosen.arguments() else BY_ROW | {Sort.IMEI, Sort.IMEI_DOWN}


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
    with database.read() as connection:
        if sort in BY_VERDICT:
            words = [word for word in VERDICTS[sort] if word in verdicts]
            return _by_verdict(connection, chosen, words, _place(after), limit)
        return _sorted(connection, chosen, guide(connection, chosen), sort, after, limit)


def listed(database: IMEIDatabase, chosen: OrderFilter, wanted: Sort, after: str, limit: int) -> Listed:
    """Return a page with the count of its moment. A filter without the wanted sort is shown newest first."""
    with database.read() as connection:
        guided = counting_guide(connection, chosen)
        if wanted is Sort.NEWEST and guided.sorts and not after and not is_summed(chosen, guided.meanings):
            found, total = sorted_page(connection, chosen, guided, limit)
            count = Count(total, is_all=True)
            return Listed(found, count, wanted, sorts(chosen, count))
        if wanted is Sort.NEWEST:
            found = guided_page(connection, chosen, guided, _place(after)[1], limit)
            is_all = not after and len(found) < limit
            count = Count(len(found), is_all) if is_all else guided_count(connection, chosen, guided)
            return Listed(found, count, wanted, sorts(chosen, count))
        count = guided_count(connection, chosen, guided)
        possible = sorts(chosen, count, after)
        sort = wanted if wanted in possible else Sort.NEWEST
        return Listed(_sorted(connection, chosen, guided, sort, after, limit), count, sort, possible)


def key(order: Order, sort: Sort) -> str:
    """Return the key of an order in this sort."""
    if sort in BY_ROW:
        return str(order.id)
    group = order.verdict or PENDING if sort in BY_VERDICT else getattr(order, sort.column) or _nothing(sort)
    return f"{group}{PARTING}{order.id}"


def _sorted(
    connection: Connection, chosen: OrderFilter, guided: Guide, sort: Sort, after: str, limit: int
) -> list[Order]:
    """Return a page of a filter whose guide is known. Only the orders of the page are read whole."""
    group, row = _place(after)
    if sort is Sort.NEWEST:
        return guided_page(connection, chosen, guided, row, limit)
    keys, is_walked = _keys(sort), not chosen.arguments()
    if sort in (Sort.IMEI, Sort.IMEI_DOWN) and is_walked:
        keys = (orders.c.imei, orders.c.id)  # by its index
    ids = select(orders.c.id).where(*fitting(chosen, guided))
    if row is not None:
        ids = ids.where(_behind(keys, _values(sort, group, row), sort.is_down))
    ids = ids.order_by(*_directed(keys, sort.is_down)).limit(limit)
    query = select(orders).where(orders.c.id.in_(ids)).order_by(*_directed(keys, sort.is_down))
    return [Order.from_row(order) for order in connection.execute(query).all()]


def _keys(sort: Sort) -> tuple[ColumnElement[Any], ...]:
    """Return what the orders are compared by, read in each order."""
    if sort is Sort.OLDEST:
        return (orders.c.id,)
    if sort in BY_VERDICT:
        places = {word: place for place, word in enumerate(VERDICTS[sort])}
        return (case(places, value=orders.c.verdict, else_=places[PENDING]), -orders.c.id)
    return (func.coalesce(orders.c[sort.column], _nothing(sort)), orders.c.id)


def _values(sort: Sort, group: str, row: int) -> tuple[Any, ...]:
    """Return the values of the order with this key, in the order of _keys."""
    if sort is Sort.OLDEST:
        return (row,)
    if sort in BY_VERDICT:
        words = VERDICTS[sort]
        return (words.index(group if group in words else PENDING), -row)
    return (_price(group) if sort in BY_PRICE else group, row)


def _nothing(sort: Sort) -> str | float:
    """Return what an order without a value is sorted by."""
    return 0.0 if sort in BY_PRICE else ""


def _price(text: str) -> float:
    """Return the price in a key; less than every price for a text that is no number."""
    try:
        return float(text)
    except ValueError:
        return -1.0


def _behind(keys: Sequence[ColumnElement[Any]], values: Sequence[Any], is_down: bool) -> ColumnElement[bool]:
    """Return the condition of the orders that follow those with these values. One bound first: SQLite seeks by it."""
    (first, *others), (value, *rest) = keys, values
    beyond: ColumnElement[bool] = first < value if is_down else first > value
    if not others:
        return beyond
    bound = first <= value if is_down else first >= value
    return and_(bound, or_(beyond, _behind(others, rest, is_down)))


def _directed(keys: Sequence[ColumnElement[Any]], is_down: bool) -> list[ColumnElement[Any]]:
    return [key.desc() if is_down else key.asc() for key in keys]


def _place(after: str) -> tuple[str, int | None]:
    """Return the two parts of a key: what the orders are sorted by, and the row id."""
    group, _, row = after.rpartition(PARTING)
    return group, read_id(row)


def _by_verdict(
    connection: Connection, chosen: OrderFilter, verdicts: Sequence[str], after: tuple[str, int | None], limit: int
) -> list[Order]:
    """Return the orders that follow a row of one verdict (after), then those of the next verdicts."""
    group, before = after
    if len(verdicts) == 1:  # every order has it, so it need not be tested
        return guided_page(connection, chosen, guide(connection, chosen), before, limit)
    words = [chosen.verdict] if chosen.verdict else list(verdicts)
    words = words[words.index(group) :] if group in words else words
    found: list[Order] = []
    for word in words:
        asked = replace(chosen, verdict=word)
        last = before if word == group else None
        found += guided_page(connection, asked, guide(connection, asked), last, limit - len(found))
        if len(found) >= limit:
            break
    return found
