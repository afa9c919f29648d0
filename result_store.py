"""Results on disk: which orders still wait for one, and one provider answer a transaction.

This module knows neither HTTP nor result texts; what changes is decided by the function that it is given.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select, update

import batch_store
from database import IMEIDatabase
from orders import OrderStatus, ProviderOrder
from schema import orders


def pending_order_ids(database: IMEIDatabase) -> list[str]:
    """Ids of the orders whose status is not final, newest first."""
    waiting = orders.c.status.in_([OrderStatus.PENDING, OrderStatus.IN_PROCESS])
    query = select(orders.c.order_id).where(waiting, orders.c.order_id.is_not(None))
    with database.read() as connection:
        return [str(order_id) for order_id in connection.execute(query.order_by(orders.c.id.desc())).scalars()]


def store_results(
    database: IMEIDatabase, found: Sequence[ProviderOrder], change: Callable[[ProviderOrder, Any], dict[str, Any]]
) -> int:
    """Write what change(listed order, stored row) gives for each known order. Returns how many changed."""
    changed = 0
    touched: set[int] = set()
    columns = [orders.c[name] for name in ("order_id", "imei", "status", "result_code", "batch_id")]
    with database.write() as connection:
        rows: dict[str, Any] = {}
        for part in batch_store.parts([order.order_id for order in found]):
            for row in connection.execute(select(*columns).where(orders.c.order_id.in_(part))):
                rows[row.order_id] = row
        for order in found:
            stored: Any = rows.get(order.order_id)
            values = change(order, stored) if stored is not None else {}
            if not values:
                continue
            guard = (orders.c.order_id == order.order_id) & (orders.c.status == stored.status)
            changed += connection.execute(update(orders).where(guard).values(values)).rowcount
            touched |= {stored.batch_id} if stored.batch_id else set()
        for batch_id in touched:
            batch_store.touch(connection, batch_id)
    return changed
