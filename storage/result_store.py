"""Results on disk: which orders still wait for one, one provider answer a transaction, each change of status timed.

This module knows neither HTTP nor result texts; what changes is decided by the function that it is given. To read texts
takes long, so it is done before the lock of writers is taken. With the lock, each order is looked at once more, and the
decision is used only where the order is as it was.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Insert, Select, TextClause, and_, bindparam, delete, func, or_, select

from database import DatabaseUnavailableError, IMEIDatabase, Transaction, utc_now
from engines import read_prepared
from orders import FINAL_STATUSES, IMEIOrder
from schema import NOT_FINAL, PENDING_BY_DATE, each_of, orders, services, sql, upsert, withheld_results
from storage import batch_states, outbox, stop_loss, verdict_store

logger = logging.getLogger(__name__)

#: Orders that are read again in one transaction.
REPARSED_AT_ONCE = 500
#: What the change of an order is decided and graded by.
READ = (orders.c.order_id, orders.c.imei, orders.c.imei2, orders.c.serial, orders.c.result_code, *verdict_store.GRADED)
NOTE_MOVES = sql(
    "INSERT INTO status_changes (order_row, old, new, changed_at) SELECT given.id, given.old, given.new, :now"
    " FROM rows(:rows AS id INTEGER, old TEXT, new TEXT) given ORDER BY given.key"
).bindparams(bindparam("now", type_=orders.c.updated_at.type))

#: Orders that wait, counted in indexes: those without an id, which the provider cannot be asked for, are subtracted.
_OPEN = select(func.count()).select_from(orders).where(NOT_FINAL)
_DATED = select(func.count()).select_from(orders).where(PENDING_BY_DATE)
_NAMELESS = _OPEN.where(or_(orders.c.order_id.is_(None), orders.c.order_id == ""))
COUNT_PENDING = select(_DATED.scalar_subquery() - _NAMELESS.scalar_subquery())

Values = dict[str, Any]
Change = Callable[[IMEIOrder, Any], Values]


class PendingOrder(NamedTuple):
    """An order whose status is not final."""

    order_id: str
    placed_at: datetime | None  #: UTC
    delivery: str  #: the provider's words for its service, such as "Instant-5 Minutes"


class Decided(NamedTuple):
    """An order as it is stored, and what is to be changed of it."""

    row: Any  #: of READ
    values: Values  #: by column; empty where nothing changes


class Withheld(NamedTuple):
    """An order whose result the provider does not give when it is asked for it alone, or that cannot be stored."""

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
    """Return the conditions of an order that waits; the second one keeps SQLite on the index of the first."""
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
    """Return how many orders wait for a result."""
    with database.read() as connection:
        return read_pending(connection)


def read_pending(connection: Connection) -> int:
    """Return what count_pending() returns, inside a transaction."""
    return int(read_prepared(connection, COUNT_PENDING).scalar_one())


def store_results(database: IMEIDatabase, found: Sequence[IMEIOrder], change: Change) -> int:
    """Write what change(listed order, stored row) gives for each known order, and grade it. Returns how many.

    All or nothing.
    """
    listed = {order.id: order for order in found}
    known = select(*READ).where(orders.c.order_id.in_(each_of(listed)))
    return _change(database, known, lambda row: change(listed[row.order_id], row), _write_results)


def store_results_or_each(
    database: IMEIDatabase, found: Sequence[IMEIOrder], change: Change
) -> tuple[int, dict[str, str]]:
    """Write as store_results() does; where that fails, each order by itself, so that one blocks no other.

    Returns how many, and why the others cannot be stored, by order id. Raises DatabaseUnavailableError.
    """
    try:
        return store_results(database, found, change), {}
    except DatabaseUnavailableError:
        raise
    except Exception:  # a bug, or a value that no column takes
        logger.exception("%d results cannot be stored at once: each is stored by itself", len(found))
    stored, failed = 0, dict[str, str]()
    for order in found:
        try:
            stored += store_results(database, [order], change)
        except DatabaseUnavailableError:
            raise
        except Exception as error:
            logger.exception("The result of order %s cannot be stored", order.id)
            failed[order.id] = str(getattr(error, "orig", error)).partition("\n")[0] or type(error).__name__
    return stored, failed


def _change(
    database: IMEIDatabase,
    query: Select[Any],
    change: Callable[[Any], Values],
    write: Callable[[Transaction, Sequence[Decided]], None],
) -> int:
    """Write what change(row) gives for the rows of a SELECT of READ. Returns how many orders change."""
    with database.read() as connection:
        rows = connection.execute(query).all()
    before: dict[Any, Values] = {row: change(row) for row in rows}
    if not any(before.values()):
        return 0
    with database.write() as connection:
        rows = connection.execute(query).all()
        decided = [Decided(row, before[row] if row in before else change(row)) for row in rows]
        changed = [one for one in decided if one.values]
        write(connection, changed)
    return len(changed)


def _write_results(connection: Transaction, changed: Sequence[Decided]) -> None:
    """Write results, and what follows of them."""
    now = utc_now()
    dated = {"updated_at": now.isoformat(" ", "microseconds")}
    _write_graded(connection, [Decided(row, values | dated) for row, values in changed], now)
    moves = [
        (row.id, row.status, values["status"])
        for row, values in changed
        if values.get("status", row.status) != row.status
    ]
    if moves:
        connection.execute(NOTE_MOVES, {"rows": json.dumps(moves), "now": now})
    arrived = [row for row, old, new in moves if new in FINAL_STATUSES and old not in FINAL_STATUSES]
    if arrived:
        outbox.orders_completed(connection, arrived)
    batch_ids = _batches(changed)
    batch_states.touch(connection, *batch_ids)
    stop_loss.apply(connection, batch_ids)


def _write_graded(connection: Transaction, changed: Iterable[Decided], now: datetime) -> None:
    """Write these values, and what the rules in force say about the orders with them: a statement for many orders."""
    rules, rows = verdict_store.rules_in_force(connection), defaultdict[tuple[str, ...], list[Any]](list)
    for row, values in changed:
        graded = values | verdict_store.graded_values(row, values, rules, now)
        rows[tuple(graded)].append((row.id, *graded.values()))
    for names, of_orders in rows.items():
        connection.execute(_write(names), {"rows": json.dumps(of_orders)})


@cache
def _write(names: tuple[str, ...]) -> TextClause:
    """Return the statement that writes these columns of orders, given with the row id of each."""
    changed = ", ".join(f"{name} = given.{name}" for name in names)
    given = ", ".join(f"{name} {orders.c[name].type}" for name in names)
    return sql(f"UPDATE orders SET {changed} FROM rows(:rows AS id INTEGER, {given}) given WHERE orders.id = given.id")


def _batches(changed: Iterable[Decided]) -> set[int]:
    return {row.batch_id for row, _ in changed if row.batch_id}


def withheld(database: IMEIDatabase, account: str | None = None) -> dict[str, Withheld]:
    """Return the withheld results by order id. account: of whose orders; None: of all."""
    query = select(*_withheld_columns())
    if account is not None:
        others = select(orders.c.order_id).where(orders.c.account != account, orders.c.order_id.is_not(None))
        query = query.where(withheld_results.c.order_id.not_in(others))
    with database.read() as connection:
        rows = connection.execute(query).all()
    return {row.order_id: Withheld._make(row) for row in rows}


def withheld_orders(connection: Connection, limit: int) -> list[WithheldOrder]:
    """Return the orders that still wait for a withheld result, the longest first."""
    query = (
        select(*_withheld_columns(), orders.c.imei, orders.c.service_name)
        .join(orders, orders.c.order_id == withheld_results.c.order_id)
        .where(NOT_FINAL)
        .order_by(withheld_results.c.since, withheld_results.c.order_id)
        .limit(limit)
    )
    rows = connection.execute(query)
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
            named = orders.c.order_id.in_(each_of(result.order_id for result in found))
            of_batches = select(orders.c.batch_id).where(named, orders.c.batch_id.is_not(None)).distinct()
            batch_states.touch(connection, *connection.execute(of_batches).scalars())


def _replace_withheld() -> Insert:
    statement = upsert(withheld_results)
    changed = {name: statement.excluded[name] for name in Withheld._fields}
    return statement.on_conflict_do_update(index_elements=["order_id"], set_=changed)


def _withheld_columns() -> tuple[Any, ...]:
    return tuple(withheld_results.c[name] for name in Withheld._fields)


def reparse_results(database: IMEIDatabase, values_of: Callable[[str, str], Values]) -> tuple[int, int]:
    """Read every stored raw text again by values_of(text, ordered IMEI). Returns (texts read, orders changed)."""
    return _read_again(database, orders.c.result_code != "", lambda row: values_of(row.result_code or "", row.imei))


def shorten_findings(
    database: IMEIDatabase, names: Collection[str], most: int, short: Callable[[str, str | None], str | None]
) -> int:
    """Write short(name, value) for those of these columns that have more bytes, of orders without a raw text.

    Returns how many orders change.
    """
    without_text = func.coalesce(orders.c.result_code, "") == ""
    is_long = or_(*(func.octet_length(orders.c[name]) > most for name in names))
    _, changed = _read_again(
        database, and_(without_text, is_long), lambda row: {name: short(name, getattr(row, name)) for name in names}
    )
    return changed


def _read_again(
    database: IMEIDatabase, which: ColumnElement[bool], values_of: Callable[[Any], Values]
) -> tuple[int, int]:
    """Write what values_of(row) gives for all these orders. Returns (orders read, orders changed)."""
    read = changed = last = 0

    def change(row: Any) -> Values:
        values = values_of(row)
        return values if _differs(row, values) else {}

    while ids := _row_ids(database, which, last):
        changed += _change(
            database, select(*READ).where(orders.c.id.in_(each_of(ids, "INTEGER"))), change, _write_again
        )
        read, last = read + len(ids), ids[-1]
    return read, changed


def _row_ids(database: IMEIDatabase, which: ColumnElement[bool], last: int) -> list[int]:
    """Return the row ids of the next ones of these orders, after a row id."""
    query = select(orders.c.id).where(orders.c.id > last, which).order_by(orders.c.id)
    with database.read() as connection:
        return list(connection.execute(query.limit(REPARSED_AT_ONCE)).scalars())


def _write_again(connection: Transaction, changed: Sequence[Decided]) -> None:
    """Write what is read again of orders."""
    _write_graded(connection, changed, utc_now())
    batch_states.touch(connection, *_batches(changed))


def _differs(row: Any, values: Values) -> bool:
    return any((getattr(row, name) or "") != (value or "") for name, value in values.items())
