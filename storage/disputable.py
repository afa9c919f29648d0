"""What can be disputed with the provider and is not yet: orders rejected or about another IMEI, and IMEIs in doubt.

Reads only; dispute_store.py opens disputes of what is found here. storage/refunds.py is about something else: what the
balance tells about rejected orders.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal, select

from database import IMEIDatabase
from orders import DisputeKind, OrderStatus
from schema import IS_REJECTED, batches, disputes, items, orders
from storage.batch_doubt import SENT_AT, doubtful
from storage.order_terms import MISMATCHED
from storage.rows import DisputableOrder, walked

REJECTED = OrderStatus.REJECTED.value
#: The kinds that are found without a person who names the order.
FOUND = (DisputeKind.IN_DOUBT, DisputeKind.MISMATCHED, DisputeKind.REJECTED)


@dataclass(frozen=True, slots=True)
class Disputable:
    """Which orders or items are meant: those of one kind, of one batch and service or of all."""

    kind: DisputeKind  #: one of FOUND
    batch: int | None = None
    service: str = ""  #: service id


def is_undisputed() -> ColumnElement[bool]:
    """Match orders without a dispute."""
    return ~exists().where(disputes.c.order_row == orders.c.id)


def fits(chosen: Disputable) -> ColumnElement[bool]:
    """Match the orders, or the items in doubt, that are meant."""
    if chosen.kind is DisputeKind.IN_DOUBT:
        batch: ColumnElement[Any] = items.c.batch_id
        service: ColumnElement[Any] = batches.c.service_id
        terms = [~exists().where(disputes.c.item_id == items.c.id)]
    else:
        batch, service = orders.c.batch_id, func.unindexed(orders.c.service_id)
        terms = [_lead(chosen), is_undisputed()]
    terms += [batch == chosen.batch] if chosen.batch is not None else []
    terms += [service == chosen.service] if chosen.service else []
    return and_(*terms)


def _lead(chosen: Disputable) -> ColumnElement[bool]:
    """Match the orders of a kind, worded so that SQLite takes the index with the fewest of them.

    A batch has few orders; a service may have most of all, but the index of rejected orders holds the service.
    """
    if chosen.kind is DisputeKind.MISMATCHED:
        return MISMATCHED if chosen.batch is None else func.unindexed(orders.c.other_imei) > ""
    if chosen.batch is not None:
        return func.unindexed(orders.c.status) == REJECTED
    return orders.c.status == REJECTED if not chosen.service else and_(IS_REJECTED)


def counts(database: IMEIDatabase, batch: int | None = None, service: str = "") -> dict[DisputeKind, int]:
    """Return how many there are of each kind."""
    with database.read() as connection:
        return {
            kind: int(connection.execute(_counted(Disputable(kind, batch, service))).scalar_one()) for kind in FOUND
        }


def _counted(chosen: Disputable) -> Select[Any]:
    if chosen.kind is DisputeKind.IN_DOUBT:
        return doubtful(func.count()).where(fits(chosen))
    return select(func.count()).select_from(orders).where(fits(chosen))


def page(database: IMEIDatabase, chosen: Disputable, past: int | None, limit: int) -> list[DisputableOrder]:
    """Return the newest orders that are meant, before a row id; or the oldest items in doubt, after an id."""
    if chosen.kind is DisputeKind.IN_DOUBT:
        query = _items().where(fits(chosen)).order_by(items.c.id).limit(limit)
        query = query if past is None else query.where(items.c.id > past)
    else:
        # Found by their ids, so that the many that are disputed already are passed in the index.
        query = _orders().where(orders.c.id.in_(_page_of(chosen, past, limit))).order_by(orders.c.id.desc())
    with database.read() as connection:
        return [DisputableOrder.from_row(row) for row in connection.execute(query)]


def _page_of(chosen: Disputable, past: int | None, limit: int) -> Select[Any]:
    # + 0 keeps SQLite from walking all orders by row id; idx_status alone has rejected orders in this order.
    is_alone = chosen == Disputable(DisputeKind.REJECTED)
    key: ColumnElement[Any] = orders.c.id.expression if is_alone else orders.c.id + 0
    ids = select(orders.c.id).where(fits(chosen)).order_by(key.desc()).limit(limit)
    return ids if past is None else ids.where(key < past)


def walk(database: IMEIDatabase) -> Iterator[DisputableOrder]:
    """Yield all that can be disputed, once each: first orders, then items in doubt."""
    rejected, mismatched, in_doubt = (
        walked(partial(page, database, Disputable(kind)))
        for kind in (DisputeKind.REJECTED, DisputeKind.MISMATCHED, DisputeKind.IN_DOUBT)
    )
    yield from rejected
    yield from (order for order in mismatched if order.status != REJECTED)
    yield from in_doubt


def _orders() -> Select[Any]:
    """Return the SELECT of orders as a DisputableOrder holds them."""
    names = ("id", "order_id", "imei", "service_name", "credits", "order_date", "status", "batch_id", "other_imei")
    return select(*(orders.c[name] for name in names), orders.c.result_code_display)


def _items() -> Select[Any]:
    """Return the SELECT of the items in doubt, as the columns of a DisputableOrder."""
    return doubtful(
        items.c.id,
        literal(None),
        items.c.imei,
        batches.c.service_name,
        batches.c.unit_price,
        SENT_AT,
        literal("In doubt"),
        items.c.batch_id,
        literal(None),
        items.c.message,
    )
