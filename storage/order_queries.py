"""Queries of pages and exports across orders, items and batches. Reads only."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from database import IMEIDatabase, orders_by_verdict, utc_now
from devices import STATE_OF
from engines import read_prepared
from grading import NO_VERDICTS, VerdictCounts
from orders import OrderStatus, Outcome, Progress
from schema import IS_LISTED, MILLIONTH, attempts, batch_tags, batches, each_of, items, orders, services, sums
from storage import order_wordings
from storage.batch_creation import known_orders
from storage.batch_queries import progresses
from storage.order_wordings import distinct_words, stored_words
from storage.rows import EarlierOrder, Order, OrderedItem, read_id
from storage.tag_store import tag_key
from storage.verdict_store import counts_of

logger = logging.getLogger(__name__)

#: How many of the newest results the dashboard sums up.
NEWEST_RESULTS = 2000


@dataclass(frozen=True, slots=True)
class Day:
    """What one UTC day brought."""

    day: date
    orders: int
    spent: float  #: US dollars
    verdicts: VerdictCounts = NO_VERDICTS


@dataclass(frozen=True, slots=True)
class Statistics:
    """What all orders add up to."""

    by_status: dict[str, int]  #: status, "" where it is unknown → orders
    by_service: dict[str, int]  #: service name, "" where it is unknown → orders
    total_credits: float  #: US dollars

    @property
    def total_orders(self) -> int:
        """How many orders there are."""
        return sum(self.by_status.values())


def statistics(database: IMEIDatabase) -> Statistics:
    """Return what all orders add up to."""
    with database.read() as connection:
        spent = connection.execute(select(func.coalesce(func.total(sums().c.millionths), 0))).scalar_one()
        by_status, by_service = _order_counts(connection, "status"), _order_counts(connection, "service_name")
    return Statistics(by_status, by_service, round(spent * MILLIONTH, 4))


def status_counts(database: IMEIDatabase, batch_id: int | None = None) -> dict[str, int]:
    """Return status, "" where it is unknown → orders of a batch, or all orders."""
    with database.read() as connection:
        return _order_counts(connection, "status", batch_id)


def _order_counts(connection: Connection, column: str, batch_id: int | None = None) -> dict[str, int]:
    added = sums()
    count = func.total(added.c.orders)
    query = select(added.c[column], count).group_by(added.c[column]).having(count > 0)
    query = query if batch_id is None else query.where(added.c.batch_id == batch_id)
    return {name: int(found) for name, found in connection.execute(query).all()}


def daily(database: IMEIDatabase, days: int = 14) -> list[Day]:
    """Return the last days, today last, days without orders included."""
    first = utc_now().date() - timedelta(days=days - 1)
    added = sums()
    query = select(added.c.day, added.c.verdict, func.total(added.c.orders), func.total(added.c.millionths))
    query = query.where(added.c.day >= first.isoformat()).group_by(added.c.day, added.c.verdict)
    counts, spent = defaultdict[str, Counter[str]](Counter), Counter[str]()
    with database.read() as connection:
        for day, verdict, count, amount in connection.execute(query).all():
            counts[day][verdict] += int(count)
            spent[day] += amount
    wanted = [(one, one.isoformat()) for one in (first + timedelta(days=i) for i in range(days))]
    return [Day(one, counts[at].total(), spent[at] * MILLIONTH, counts_of(counts[at])) for one, at in wanted]


def result_counts(database: IMEIDatabase, most: int = 5) -> dict[str, list[tuple[str, int]]]:
    """Return carrier, simlock and fmi → the commonest words among the newest results, with their counts."""
    names = ("carrier", "simlock", "fmi")
    newest = (
        select(*(orders.c[name] for name in names))
        .where(orders.c.status == OrderStatus.COMPLETED)
        .order_by(orders.c.id.desc())
        .limit(NEWEST_RESULTS)
        .subquery()
    )
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    with database.read() as connection:
        for *words, count in connection.execute(select(newest, func.count()).group_by(*newest.c)):
            for name, word in zip(names, words, strict=True):
                found[name][word or ""] += count
    return {name: _commonest(counter, most) for name, counter in found.items()}


def filter_values(database: IMEIDatabase) -> dict[str, dict[str, int]]:
    """Return each column that a filter suggests values of → value, or finding → orders, the commonest value first.

    Orders of one value are counted to order_wordings.COUNTED.
    """
    with database.read() as connection:
        counted = order_wordings.suggestions(connection)
        found = {name: dict(counted[name]) for name in order_wordings.NAMES}
        found |= {name: order_wordings.finding_counts(name, counted[name]) for name in STATE_OF}
        return found | {"verdict": counts_of(orders_by_verdict(connection)).by_word()}


def verdicts(database: IMEIDatabase) -> VerdictCounts:
    """Return all orders by verdict."""
    with database.read() as connection:
        return counts_of(orders_by_verdict(connection))


def _commonest(counted: Counter[str], most: int) -> list[tuple[str, int]]:
    stated = [(word, count) for word, count in counted.items() if word]
    return sorted(stated, key=lambda pair: (-pair[1], pair[0]))[:most]


def previous_prices(database: IMEIDatabase) -> dict[str, float]:
    """Return service id → its price (US dollars) before the last change, for services that changed."""
    query = select(services.c.service_id, services.c.previous_price).where(
        services.c.previous_price.is_not(None), services.c.previous_price != services.c.price
    )
    with database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def ordered_services(connection: Connection) -> list[tuple[str, str]]:
    """Return (service id, name) of every service that has orders, by name, for filters."""
    found = [(row[0], row[1] or row[0]) for row in read_prepared(connection, _ordered_services())]
    return sorted(found, key=lambda service: service[1])


@cache
def _ordered_services() -> Select[Any]:
    """Return the SELECT of services and the names of their newest orders, by two looks into the index for each."""
    used = stored_words("service_id").subquery()
    of_service = select(orders.c.service_name).where(orders.c.service_id == used.c.word)
    named = of_service.order_by(orders.c.id.desc()).limit(1).scalar_subquery()
    return select(used.c.word, named).where(used.c.word.is_not(None))


def find_order(database: IMEIDatabase, order_id: str) -> Order | None:
    """Return the order with this id of the provider's."""
    return next(iter(_orders(database, select(orders).where(orders.c.order_id == order_id))), None)


def orders_of_phone(database: IMEIDatabase, imeis: Iterable[str]) -> list[Order]:
    """Return every order of these IMEIs, and those whose results name one as the second IMEI of the ordered phone.

    Newest first; files bring old orders later than new ones.
    """
    wanted = list(imeis)
    second = and_(orders.c.imei2.is_not(None), orders.c.imei2.in_(wanted), orders.c.other_imei.is_(None))
    newest_first = (orders.c.order_date.desc(), orders.c.id.desc())
    return _orders(database, select(orders).where(or_(orders.c.imei.in_(wanted), second)).order_by(*newest_first))


def orders_of_rows(database: IMEIDatabase, rows: Sequence[int]) -> list[Order]:
    """Return the orders with these row ids."""
    return _orders(database, select(orders).where(orders.c.id.in_(rows)))


def _orders(database: IMEIDatabase, query: Select[Any]) -> list[Order]:
    with database.read() as connection:
        return [Order.from_row(row) for row in connection.execute(query).all()]


@dataclass(frozen=True, slots=True)
class ListedBatches:
    """Which batches a list shows; what is empty is no condition."""

    search: str = ""  #: every word of it is in the name, customer or note, or is the id
    person: str = ""  #: who ordered
    tag: str = ""  #: in any capitals
    customers: Sequence[str] = ()  #: any of these, written exactly so


def listed_batches(
    database: IMEIDatabase, wanted: ListedBatches, limit: int, before: int | None = None
) -> list[Progress]:
    """Return the newest batches, without those of scan mode; before continues behind the id of the last one seen."""
    query = select(batches).where(IS_LISTED, *named(wanted.search)).order_by(batches.c.id.desc()).limit(limit)
    # Expressions, which keep SQLite on the index of the list: a person may have scanned 100,000 phones.
    if wanted.person:
        query = query.where(func.coalesce(batches.c.ordered_by, None) == wanted.person)
    if wanted.tag:
        tagged = select(batch_tags.c.batch_id).where(batch_tags.c.tag == tag_key(wanted.tag))
        query = query.where(batches.c.id.in_(tagged))
    if wanted.customers:
        query = query.where(batches.c.customer.in_(each_of(wanted.customers)))
    return progresses(database, query if before is None else query.where(batches.c.id < before))


def named(search: str) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on a batch that each word of a search is in its name, customer or note, or is its id."""
    columns = batches.c.label + " " + batches.c.customer + " " + batches.c.note
    for word in search.split():
        found = columns.icontains(word, autoescape=True)
        number = read_id(word.removeprefix("#"))
        yield found if number is None else or_(found, batches.c.id == number)


def people_who_ordered(connection: Connection) -> list[str]:
    """Return the names of users and tokens that ordered a batch, by name, for filters."""
    return sorted(row.word for row in read_prepared(connection, distinct_words(batches.c.ordered_by)) if row.word)


def result_items(database: IMEIDatabase, batch_id: int) -> Iterator[OrderedItem]:
    """Yield every item of a batch with the columns of its order, in the order of the file, a thousand a transaction."""
    with database.read() as connection:
        # + 0: PostgreSQL would walk the items of all batches from their ends until it meets this one
        ends = select(func.min(items.c.id + 0), func.max(items.c.id + 0)).where(items.c.batch_id == batch_id)
        first, last = connection.execute(ends).one()
    after = (first or 0) - 1
    while last is not None and after < last:
        with database.read() as connection:
            found = connection.execute(_page_of_items(batch_id, after, last, 1000)).all()
        yield from map(OrderedItem.from_row, found)
        after = found[-1].item_id if found else last


def earlier_orders(database: IMEIDatabase, batch_id: int, service_id: str) -> dict[str, Order]:
    """Return the order that answers for each duplicate of a batch, by its IMEI.

    Its newest completed order with the service, else its newest one; the same of orders whose results name it as the
    second IMEI of the phone. The concat keeps SQLite from the index of services: it finds the orders by their IMEIs.
    """
    duplicates = select(items.c.imei).where(items.c.batch_id == batch_id, items.c.outcome == Outcome.DUPLICATE)
    completed = func.max(case((orders.c.status == OrderStatus.COMPLETED, orders.c.id)))
    newest = select(func.coalesce(completed, func.max(orders.c.id))).where(orders.c.service_id.concat("") == service_id)
    own = newest.where(orders.c.imei.in_(duplicates)).group_by(orders.c.imei)
    second = newest.where(
        orders.c.imei2.is_not(None), orders.c.imei2.in_(duplicates), orders.c.other_imei.is_(None)
    ).group_by(orders.c.imei2)
    found = {order.imei: order for order in _orders(database, select(orders).where(orders.c.id.in_(own)))}
    for order in _orders(database, select(orders).where(orders.c.id.in_(second))):
        known = found.get(order.imei2 or "")
        if known is None or (known.status, order.status) == (OrderStatus.REJECTED, OrderStatus.COMPLETED):
            found[order.imei2 or ""] = order
    return found


def items_with_orders(
    database: IMEIDatabase, batch: Progress, after: int, limit: int, outcome: str | None = None
) -> list[OrderedItem]:
    """Return the items of a batch behind an item id, in the order of its list; outcome: only those with it.

    An item that is no order of its own has what is known of the order that answers for it.
    """
    with database.read() as connection:
        last = connection.execute(select(func.max(items.c.id + 0)).where(items.c.batch_id == batch.batch_id)).scalar()
        query = _page_of_items(batch.batch_id, after, last or 0, limit)
        query = query if outcome is None else query.where(items.c.outcome == outcome)
        found = [OrderedItem.from_row(row) for row in connection.execute(query)]
        repeated = [item.imei for item in found if item.outcome == Outcome.DUPLICATE and not item.status]
        known = {order.imei: order for order in known_orders(connection, batch.service_id, repeated)}
    return [_answered(item, known.get(item.imei)) for item in found]


def _answered(item: OrderedItem, order: EarlierOrder | None) -> OrderedItem:
    """Return an item with what is known of the order that answers for it."""
    if order is None or item.status:
        return item
    known = order._asdict()
    return item._replace(**{name: known[name] for name in EarlierOrder._fields if name in OrderedItem._fields})


def _page_of_items(batch_id: int, after: int, last: int, limit: int) -> Select[Any]:
    """The + 0 keeps SQLite from the batch indexes: it walks the primary key, and finds each order by its IMEI."""
    return (
        select(
            items.c.id.label("item_id"),
            items.c.imei,
            items.c.outcome,
            items.c.message,
            *OrderedItem.order_columns(),
        )
        .outerjoin(orders, and_(orders.c.imei == items.c.imei, orders.c.batch_id + 0 == items.c.batch_id))
        .where(items.c.batch_id + 0 == batch_id, items.c.id > after, items.c.id <= last)
        .order_by(items.c.id)
        .limit(limit)
    )


def table_counts(database: IMEIDatabase) -> dict[str, int]:
    """Return the number of orders, batches, items, attempts, and services listed now."""
    counts = {"orders": database.count_orders()}
    with database.read() as connection:
        for table in (batches, attempts):
            counts[table.name] = int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        listed = select(func.count()).select_from(services).where(services.c.listed)
        counts["services"] = int(connection.execute(listed).scalar_one())
        held = select(func.coalesce(func.sum(batches.c.total), 0))  # every IMEI of a batch is one item
        return counts | {"items": int(connection.execute(held).scalar_one())}


def checked_count(database: IMEIDatabase) -> int | None:
    """Return how many orders there are, or None when the database cannot be read (the log says why)."""
    try:
        return database.count_orders()
    except (SQLAlchemyError, OSError):
        logger.exception("The database could not be read")
        return None
