"""Results on disk: which orders still wait for one, one provider answer a transaction, each change of status timed.

This module knows neither HTTP nor result texts; what changes is decided by the function that it is given.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update

from database import IMEIDatabase, OrderRow, utc_now
from orders import IMEIOrder
from schema import NOT_FINAL, orders, services, status_changes, withheld_results
from storage import batch_states, guards

#: Stored texts that are read anew in one transaction.
REPARSED_AT_ONCE = 500

Change = Callable[[IMEIOrder, Any], dict[str, Any]]


class PendingOrder(NamedTuple):
    """An order whose status is not final."""

    order_id: str
    placed_at: datetime | None  #: UTC
    delivery: str  #: the provider's words for its service, such as "Instant-5 Minutes"


class Withheld(NamedTuple):
    """An order whose result the provider does not give when it is asked for it alone."""

    order_id: str
    since: datetime  #: UTC
    asked_at: datetime  #: UTC, the last time
    times: int  #: how often it was asked for alone
    answer: str  #: what the provider answered, in its words or ours
    spoils_lists: bool  #: a list with it is unreadable or refused


class WithheldOrder(NamedTuple):
    """A withheld result with what is known of its order."""

    result: Withheld
    imei: str
    service_name: str


def waits() -> tuple[Any, Any]:
    """The WHERE terms of an order that waits; the second is worded so that SQLite takes the index of the first."""
    return NOT_FINAL, func.coalesce(orders.c.order_id, "") != ""


def pending_orders(database: IMEIDatabase) -> list[PendingOrder]:
    """Every order of the provider whose status is not final, newest first."""
    query = (
        select(orders.c.order_id, func.coalesce(orders.c.order_date, orders.c.created_at), services.c.delivery)
        .outerjoin(services, services.c.service_id == orders.c.service_id)
        .where(*waits())
        .order_by(orders.c.order_date.desc(), orders.c.id.desc())
    )
    with database.read() as connection:
        return [PendingOrder(row[0], row[1], row[2] or "") for row in connection.execute(query)]


def count_pending(database: IMEIDatabase) -> int:
    """How many orders wait for a result."""
    query = select(func.count()).select_from(orders).where(*waits())
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def store_results(database: IMEIDatabase, found: Sequence[IMEIOrder], change: Change) -> int:
    """Write what change(listed order, stored row) gives for each known order, all or nothing. Returns how many."""
    changed = 0
    touched: set[int] = set()
    columns = [orders.c[name] for name in ("id", "order_id", "imei", "status", "result_code", "order_date", "batch_id")]
    with database.write() as connection:
        rows: dict[str, Any] = {}
        for part in guards.parts([order.order_id for order in found]):
            for row in connection.execute(select(*columns).where(orders.c.order_id.in_(part))):
                rows[row.order_id] = row
        moves: list[dict[str, Any]] = []
        for order in {order.order_id: order for order in found}.values():
            stored: Any = rows.get(order.order_id)
            values = change(order, stored) if stored is not None else {}
            if not values:
                continue
            now = utc_now()
            connection.execute(update(orders).where(orders.c.id == stored.id).values(**values, updated_at=now))
            changed += 1
            touched |= {stored.batch_id} if stored.batch_id else set()
            if values.get("status", stored.status) != stored.status:
                moves.append({"order_row": stored.id, "old": stored.status, "new": values["status"], "changed_at": now})
        if moves:
            connection.execute(insert(status_changes), moves)
        for batch_id in touched:
            batch_states.touch(connection, batch_id)
    return changed


def withheld(database: IMEIDatabase) -> dict[str, Withheld]:
    """Return the withheld results by order id."""
    with database.read() as connection:
        rows = connection.execute(select(*_withheld_columns())).all()
    return {row.order_id: Withheld._make(row) for row in rows}


def withheld_orders(database: IMEIDatabase, limit: int) -> list[WithheldOrder]:
    """Return the orders that still wait for a withheld result, the longest first."""
    query = (
        select(*_withheld_columns(), orders.c.imei, orders.c.service_name)
        .join(orders, orders.c.order_id == withheld_results.c.order_id)
        .where(NOT_FINAL)
        .order_by(withheld_results.c.since, withheld_results.c.order_id)
        .limit(limit)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [WithheldOrder(Withheld._make(row[:6]), row.imei, row.service_name or "") for row in rows]


def note_withheld(database: IMEIDatabase, found: Sequence[Withheld], given: Collection[str]) -> None:
    """Write withheld results, over those of the same orders, and forget those that were given."""
    gone = [{"gone": order_id} for order_id in given]
    with database.write() as connection:
        if gone:
            connection.execute(delete(withheld_results).where(withheld_results.c.order_id == bindparam("gone")), gone)
        if found:
            rows: list[Mapping[str, Any]] = [result._asdict() for result in found]
            connection.execute(insert(withheld_results).prefix_with("OR REPLACE"), rows)


def _withheld_columns() -> tuple[Any, ...]:
    return tuple(withheld_results.c[name] for name in Withheld._fields)


def reparse_results(database: IMEIDatabase, values_of: Callable[[str, str], dict[str, Any]]) -> tuple[int, int]:
    """Read every stored raw text anew by values_of(text, ordered IMEI). Returns (texts read, orders changed)."""
    read = changed = last = 0
    while True:
        with database.write() as connection:
            query = select(orders).where(orders.c.id > last, orders.c.result_code != "")
            rows = connection.execute(query.order_by(orders.c.id).limit(REPARSED_AT_ONCE)).mappings().all()
            touched: set[int] = set()
            for row in rows:
                values = values_of(row["result_code"], row["imei"])
                if _differs(dict(row), values):
                    connection.execute(update(orders).where(orders.c.id == row["id"]).values(values))
                    changed += 1
                    touched |= {row["batch_id"]} if row["batch_id"] else set()
            for batch_id in touched:
                batch_states.touch(connection, batch_id)
        if not rows:
            return read, changed
        read, last = read + len(rows), rows[-1]["id"]


def _differs(row: OrderRow, values: dict[str, Any]) -> bool:
    return any((row[name] or "") != (value or "") for name, value in values.items())
