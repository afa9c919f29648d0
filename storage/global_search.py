"""One search over orders and batches, each by its index or a short list. Reads only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, select

from database import IMEIDatabase
from schema import IS_LISTED, UNDECIDED, batches, items, orders, services
from storage.order_queries import named
from storage.order_terms import LAST_SIGN
from storage.rows import Order, read_id

#: What begins with a text is found in these columns of orders.
BEGINNINGS = (orders.c.imei, orders.c.imei2, orders.c.order_id)
LINE = (batches.c.id, batches.c.label, batches.c.customer, batches.c.total, batches.c.created_at)


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch as a line of a list, without its counts."""

    batch_id: int
    name: str
    customer: str
    imeis: int
    created_at: datetime  #: UTC

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of the columns LINE."""
        return cls(*row)


def orders_beginning(database: IMEIDatabase, text: str, limit: int) -> list[Order]:
    """Return orders whose IMEI, IMEI 2 or order id is this text or begins with it, newest first."""
    with database.read() as connection:
        rows = {row for column in BEGINNINGS for row in _rows_beginning(connection, column, text, limit)}
        return _newest_first(connection, sorted(rows, reverse=True)[:limit])


def orders_of_serial(database: IMEIDatabase, text: str, limit: int) -> list[Order]:
    """Return orders whose serial number is this text in capitals or begins with it, newest first."""
    with database.read() as connection:
        return _newest_first(connection, _rows_beginning(connection, orders.c.serial, text.upper(), limit))


def _newest_first(connection: Connection, rows: Sequence[int]) -> list[Order]:
    found = connection.execute(select(orders).where(orders.c.id.in_(rows)).order_by(orders.c.id.desc()))
    return [Order.from_row(row) for row in found]


def _rows_beginning(connection: Connection, column: ColumnElement[str], text: str, limit: int) -> list[int]:
    """Return the row ids of the first orders by a column that begins with a text: a walk of its index that stops."""
    begins = (column >= text, column < text + LAST_SIGN)
    return list(connection.execute(select(orders.c.id).where(*begins).order_by(column).limit(limit)).scalars())


def batches_awaiting(database: IMEIDatabase, imei: str) -> list[int]:
    """Return the batches in which an IMEI waits or is in doubt: it has no order there yet."""
    of_service = (items.c.service_id == services.c.service_id, items.c.imei == imei, UNDECIDED)
    with database.read() as connection:
        found = select(items.c.batch_id).select_from(services).join(items, of_service[0]).where(*of_service[1:])
        return sorted(set(connection.execute(found).scalars()))


def find_batches(database: IMEIDatabase, text: str, limit: int) -> list[BatchLine]:
    """Return the newest batches with each word of a text in name, customer or note; first the one with this id."""
    number = read_id(text.removeprefix("#"))
    query = select(*LINE).where(IS_LISTED, *named(text)).order_by(batches.c.id.desc()).limit(limit)
    with database.read() as connection:
        found = [] if text.startswith("#") else [BatchLine.from_row(row) for row in connection.execute(query)]
        if number is not None:
            row = connection.execute(select(*LINE).where(batches.c.id == number)).first()
            exact = [BatchLine.from_row(row)] if row else []
            found = exact + [one for one in found if one not in exact]
    return found[:limit]
