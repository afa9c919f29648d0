"""Results on disk: which orders still wait for one, one provider answer a transaction, each change of status timed.

This module knows neither HTTP nor result texts; what changes is decided by the function that it is given.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Insert, Row, bindparam, delete, func, insert, or_, select, update

from database import IMEIDatabase, Transaction, utc_now
from orders import FINAL_STATUSES, IMEIOrder
from schema import NOT_FINAL, PENDING_BY_DATE, orders, services, status_changes, upsert, withheld_results
from storage import batch_states, guards, outbox, stop_loss, verdict_store
from storage.rows import Order

#: Stored texts that are read again in one transaction.
REPARSED_AT_ONCE = 500

#: Orders that wait, counted in indexes: those without an id, which the provider cannot be asked for, are subtracted.
_OPEN = select(func.count()).select_from(orders).where(NOT_FINAL)
_DATED = select(func.count()).select_from(orders).where(PENDING_BY_DATE)
_NAMELESS = _OPEN.where(or_(orders.c.order_id.is_(None), orders.c.order_id == ""))
COUNT_PENDING = select(_DATED.scalar_subquery() - _NAMELESS.scalar_subquery())

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


def pending_orders(
    database: IMEIDatabase, since: datetime | None = None, account: str | None = None
) -> list[PendingOrder]:
    """Return the orders of the provider whose status is not final, newest first; with since, those placed after it.

    account: whose orders; None: all.
    """
    query = (
        select(orders.c.order_id, func.coalesce(orders.c.order_date, orders.c.created_at), services.c.delivery)
        .outerjoin(services, services.c.service_id == orders.c.service_id)
        .where(*waits())
        .order_by(orders.c.order_date.desc(), orders.c.id.desc())
    )
    if since is not None:
        query = query.where(orders.c.order_date > since)
    if account is not None:
        query = query.where(orders.c.account == account)
    with database.read() as connection:
        return [PendingOrder(row[0], row[1], row[2] or "") for row in connection.execute(query)]


def count_pending(database: IMEIDatabase) -> int:
    """How many orders wait for a result."""
    with database.read() as connection:
        return int(connection.execute(COUNT_PENDING).scalar_one())


def store_results(database: IMEIDatabase, found: Sequence[IMEIOrder], change: Change) -> int:
    """Write what change(listed order, stored row) gives for each known order, and grade it. Returns how many.

    All or nothing.
    """
    moves: list[dict[str, Any]] = []
    with database.write() as connection:
        stored = _stored(connection, [order.id for order in found])
        pairs = [
            (stored[order.id], order) for order in {order.id: order for order in found}.values() if order.id in stored
        ]
        changed = [(row, values) for row, order in pairs if (values := change(order, row))]
        for row, values in changed:
            now = utc_now()
            connection.execute(update(orders).where(orders.c.id == row.id).values(**values, updated_at=now))
            if values.get("status", row.status) != row.status:
                moves.append({"order_row": row.id, "old": row.status, "new": values["status"], "changed_at": now})
        if moves:
            connection.execute(insert(status_changes), moves)
        verdict_store.grade_rows(connection, [row.id for row, _ in changed])
        arrived = [m["order_row"] for m in moves if m["new"] in FINAL_STATUSES and m["old"] not in FINAL_STATUSES]
        if arrived:
            outbox.orders_completed(connection, arrived)
        _touch(connection, (row.batch_id for row, _ in changed))
        stop_loss.apply(connection, {row.batch_id for row, _ in changed if row.batch_id})
    return len(changed)


def _stored(connection: Connection, order_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Return order id → what is stored of it, for those of these ids that are known."""
    names = ("id", "order_id", "imei", "status", "result_code", "order_date", "batch_id")
    found: dict[str, Row[Any]] = {}
    for part in guards.parts(order_ids):
        query = select(*(orders.c[name] for name in names)).where(orders.c.order_id.in_(part))
        found |= {row.order_id: row for row in connection.execute(query)}
    return found


def _touch(connection: Transaction, batch_ids: Iterable[int | None]) -> None:
    """Make the revisions of these batches grow, each once."""
    for batch_id in {batch_id for batch_id in batch_ids if batch_id}:
        batch_states.touch(connection, batch_id)


def withheld(database: IMEIDatabase, account: str | None = None) -> dict[str, Withheld]:
    """Return the withheld results by order id. account: of whose orders; None: of all."""
    query = select(*_withheld_columns())
    if account is not None:
        others = select(orders.c.order_id).where(orders.c.account != account, orders.c.order_id.is_not(None))
        query = query.where(withheld_results.c.order_id.not_in(others))
    with database.read() as connection:
        rows = connection.execute(query).all()
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
            connection.execute(_replace_withheld(), rows)
            stored = _stored(connection, [result.order_id for result in found])
            _touch(connection, (row.batch_id for row in stored.values()))


def _replace_withheld() -> Insert:
    statement = upsert(withheld_results)
    changed = {name: statement.excluded[name] for name in Withheld._fields}
    return statement.on_conflict_do_update(index_elements=["order_id"], set_=changed)


def _withheld_columns() -> tuple[Any, ...]:
    return tuple(withheld_results.c[name] for name in Withheld._fields)


def reparse_results(database: IMEIDatabase, values_of: Callable[[str, str], dict[str, Any]]) -> tuple[int, int]:
    """Read every stored raw text again by values_of(text, ordered IMEI). Returns (texts read, orders changed)."""
    read = changed = last = 0
    while True:
        with database.write() as connection:
            texts = select(orders).where(orders.c.id > last, orders.c.result_code != "").order_by(orders.c.id)
            rows = [Order.from_row(row) for row in connection.execute(texts.limit(REPARSED_AT_ONCE))]
            found = [(row, values_of(row.result_code or "", row.imei)) for row in rows]
            differing = [(row, values) for row, values in found if _differs(row, values)]
            for row, values in differing:
                connection.execute(update(orders).where(orders.c.id == row.id).values(values))
            verdict_store.grade_rows(connection, [row.id for row, _ in differing])
            _touch(connection, (row.batch_id for row, _ in differing))
        if not rows:
            return read, changed
        read, changed, last = read + len(rows), changed + len(differing), rows[-1].id


def _differs(row: Order, values: Mapping[str, Any]) -> bool:
    return any((getattr(row, name) or "") != (value or "") for name, value in values.items())
