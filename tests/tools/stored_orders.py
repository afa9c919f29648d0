"""What a database holds, read past the program's own queries."""

from typing import Any

from sqlalchemy import select

from database import IMEIDatabase
from schema import orders


def all_orders(database: IMEIDatabase, **only: Any) -> list[dict[str, Any]]:
    """Every order as a dict of its columns, newest first; only those whose columns have the values of `only`."""
    query = select(orders).filter_by(**only).order_by(orders.c.id.desc())
    with database.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
