"""What to dispute with the provider: orders rejected or about another IMEI, and IMEIs in doubt. Reads only."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, func, literal, or_, select, union_all

from database import IMEIDatabase
from orders import OrderStatus
from schema import batches, items, orders, sums
from storage import order_filters
from storage.batch_doubt import SENT_AT, at_stake, doubtful
from storage.order_filters import OrderFilter
from storage.rows import DisputedOrder, Order

REJECTED = OrderStatus.REJECTED


class Dispute(StrEnum):
    """What can be taken up with the provider."""

    IN_DOUBT = "in_doubt"
    MISMATCHED = "mismatched"
    REJECTED = "rejected"


def disputes(database: IMEIDatabase) -> Iterator[DisputedOrder]:
    """Yield the orders that were rejected or answered about another IMEI, then the items in doubt."""
    names = ("id", "order_id", "imei", "service_name", "credits", "order_date", "status", "batch_id", "other_imei")
    placed = select(*(orders.c[name] for name in names), orders.c.result_code_display)
    placed = placed.where(or_(orders.c.status == REJECTED, orders.c.other_imei > ""))
    with database.read() as connection:
        yield from map(DisputedOrder.from_row, connection.execute(union_all(placed, _doubtful())))


def _doubtful() -> Select[Any]:
    """Return the SELECT of the items in doubt, as the columns of a DisputedOrder."""
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


def dispute_counts(database: IMEIDatabase) -> dict[Dispute, int]:
    """How many there are of each kind."""
    added = sums()
    rejected = select(func.coalesce(func.total(added.c.orders), 0)).where(added.c.status == REJECTED)
    with database.read() as connection:
        count = int(connection.execute(rejected).scalar_one())
        in_doubt, _ = at_stake(connection)
    return {
        Dispute.IN_DOUBT: in_doubt,
        Dispute.MISMATCHED: order_filters.mismatched_count(database),
        Dispute.REJECTED: count,
    }


def dispute_page(database: IMEIDatabase, kind: Dispute, before: int | None, limit: int) -> list[DisputedOrder]:
    """Return the newest of a kind before a row id; of what is in doubt the oldest, from the beginning."""
    if kind is Dispute.IN_DOUBT:
        with database.read() as connection:
            oldest = connection.execute(_doubtful().order_by(items.c.id).limit(limit))
            return [DisputedOrder.from_row(row) for row in oldest]
    chosen = OrderFilter(status=REJECTED) if kind is Dispute.REJECTED else OrderFilter(mismatch=True)
    return [_disputed(order) for order in order_filters.page(database, chosen, before, limit)]


def _disputed(order: Order) -> DisputedOrder:
    values = order._asdict() | {"said": order.result_code_display}
    return DisputedOrder(**{name: values[name] for name in DisputedOrder._fields})
