"""What a database holds, read past the program's own queries."""

from typing import Any

from sqlalchemy import select

from database import IMEIDatabase
from schema import items, orders


def all_orders(database: IMEIDatabase, **only: Any) -> list[dict[str, Any]]:
    """Every order as a dict of its columns, newest first; only those whose columns have the values of `only`."""
    query = select(orders).filter_by(**only).order_by(orders.c.id.desc())
    with database.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def names_of_orders(database: IMEIDatabase) -> set[tuple[str | None, str, str | None]]:
    """Every order as its id, IMEI and service: all columns of 20,000 orders take a second."""
    query = select(orders.c.order_id, orders.c.imei, orders.c.service_id)
    with database.read() as connection:
        return {(order_id, imei, service_id) for order_id, imei, service_id in connection.execute(query)}


def imeis_in_doubt(database: IMEIDatabase) -> set[str]:
    """Every IMEI that is in doubt, in any batch."""
    with database.read() as connection:
        return set(connection.execute(select(items.c.imei).where(items.c.outcome == "in_doubt")).scalars())
