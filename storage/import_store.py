"""Imports on disk: the orders that rows may be about, each change with what was there before, and its undoing.

The functions that take a connection run inside the transaction of one import. This module decides nothing;
results/importing.py does.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from database import IMEIDatabase, Transaction, utc_now
from schema import OPEN_CALL, UNDECIDED, chunks, each_of, import_changes, import_history, items, orders, status_changes
from storage.batch_states import touch
from storage.rows import Order
from storage.verdict_store import grade_rows

#: Rows that one INSERT carries.
INSERTED_AT_ONCE = 1000
#: The columns of the orders table that hold a time, which JSON has as text.
TIMES = frozenset({"order_date", "created_at", "updated_at"})


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What became of the rows of a file, in numbers."""

    rows_read: int
    rows_new: int
    rows_updated: int
    rows_unchanged: int
    rows_failed: int  #: not understood or not matched


@dataclass(frozen=True, slots=True)
class PastImport(RowCounts):
    """One import that was done."""

    import_id: int
    filename: str
    imported_at: datetime  #: UTC
    undone_at: datetime | None  #: UTC


class Change(NamedTuple):
    """What an import did to one order."""

    import_id: int
    order_row: int
    before: dict[str, Any] | None  #: the columns before, as JSON holds them; None for a new order
    after: dict[str, Any]  #: the columns that were written, as JSON holds them


def past_imports(database: IMEIDatabase, limit: int = 20) -> list[PastImport]:
    """Return the newest imports."""
    columns = (import_history.c.id.label("import_id"), *(column for column in import_history.c if column.name != "id"))
    query = select(*columns).order_by(import_history.c.id.desc()).limit(limit)
    with database.read() as connection:
        return [PastImport(**row._asdict()) for row in connection.execute(query)]


# What the rows may be about


def stored_orders(connection: Connection, order_ids: Iterable[str], imeis: Iterable[str]) -> list[Order]:
    """Return the orders with one of these ids, and every order of these IMEIs; one order may be in it twice."""
    found: list[Order] = []
    for column, wanted in ((orders.c.order_id, order_ids), (orders.c.imei, imeis)):
        query = select(orders).where(column.in_(each_of(wanted))).order_by(orders.c.id)
        found += map(Order.from_row, connection.execute(query))
    return found


def open_calls(connection: Connection) -> dict[str, dict[str, int]]:
    """Return IMEI → service id → batch, of the IMEIs that are on the wire or in doubt."""
    query = select(items.c.imei, items.c.service_id, items.c.batch_id).where(OPEN_CALL, UNDECIDED)
    found: dict[str, dict[str, int]] = {}
    for imei, service_id, batch_id in connection.execute(query.join(chunks, chunks.c.id == items.c.chunk_id)):
        found.setdefault(imei, {})[service_id] = batch_id
    return found


# Writing


def insert_import(connection: Transaction, filename: str, counts: RowCounts) -> int:
    """Write that a file is imported; return the id of the import."""
    numbers = {name: getattr(counts, name) for name in RowCounts.__dataclass_fields__}
    new = insert(import_history).values(filename=filename, imported_at=utc_now(), **numbers)
    return int(connection.execute(new.returning(import_history.c.id)).scalar_one())


def insert_orders(connection: Transaction, import_id: int, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert new orders (columns of the orders table); return the newest row id before them."""
    names = sorted({name for row in rows for name in row})
    now = utc_now()
    last = connection.execute(select(func.coalesce(func.max(orders.c.id), 0))).scalar_one()
    for start in range(0, len(rows), INSERTED_AT_ONCE):
        part = rows[start : start + INSERTED_AT_ONCE]
        values = [{**dict.fromkeys(names), **row, "created_at": now, "updated_at": now} for row in part]
        connection.execute(insert(orders), values)
    placed = connection.execute(select(orders.c.id).where(orders.c.id > last).order_by(orders.c.id)).scalars().all()
    pairs = zip(placed, rows, strict=True)  # one connection writes, so ids grow in the order of the rows
    changes = [{"import_id": import_id, "order_row": n, "before": None, "after": _json(row)} for n, row in pairs]
    if changes:
        connection.execute(insert(import_changes), changes)
    grade_rows(connection, placed)
    return int(last)


def update_order(connection: Transaction, import_id: int, order_row: int | None, values: Mapping[str, Any]) -> None:
    """Write columns of one order, and what they held before."""
    columns = [orders.c[name] for name in values]
    before = connection.execute(select(*columns).where(orders.c.id == order_row)).one()._asdict()
    _write(connection, order_row, before.get("status"), values)
    connection.execute(
        insert(import_changes).values(
            import_id=import_id, order_row=order_row, before=_json(before), after=_json(values)
        )
    )


def _write(connection: Transaction, order_row: int | None, old: str | None, values: Mapping[str, Any]) -> None:
    """Write columns of one order; a change of its status (old before) is timed, and its batch is counted again."""
    now = utc_now()
    connection.execute(update(orders).where(orders.c.id == order_row).values(**values, updated_at=now))
    grade_rows(connection, [order_row])
    batch_id = connection.execute(select(orders.c.batch_id).where(orders.c.id == order_row)).scalar()
    if batch_id is not None:
        touch(connection, batch_id)
    if "status" in values:
        move = {"order_row": order_row, "old": old, "new": values["status"] or "", "changed_at": now}
        connection.execute(insert(status_changes).values(move))


# Undoing


def mark_undone(connection: Transaction, import_id: int) -> bool:
    """Write that an import is undone; return False where it is unknown or undone already."""
    marked = connection.execute(
        update(import_history)
        .where(import_history.c.id == import_id, import_history.c.undone_at.is_(None))
        .values(undone_at=utc_now())
    )
    return marked.rowcount == 1


def changes_of(connection: Connection, import_id: int) -> list[Change]:
    """Return what an import changed, the newest change first."""
    query = select(import_changes).where(import_changes.c.import_id == import_id)
    return [
        Change(import_id, row.order_row, None if row.before is None else json.loads(row.before), json.loads(row.after))
        for row in connection.execute(query.order_by(import_changes.c.id.desc()))
    ]


def take_back(connection: Transaction, change: Change) -> bool:
    """Write what was there before a change, or remove a new order; return False when it has changed since."""
    stored = connection.execute(select(orders).where(orders.c.id == change.order_row)).mappings().first()
    if stored is None or json.loads(_json({name: stored[name] for name in change.after})) != change.after:
        return False
    if change.before is None:
        if _has_changed_since(connection, change):
            return False
        connection.execute(delete(orders).where(orders.c.id == change.order_row))
        return True
    before = {name: _from_json(name, value) for name, value in change.before.items()}
    _write(connection, change.order_row, change.after.get("status"), before)
    return True


def _has_changed_since(connection: Connection, change: Change) -> bool:
    """Return whether an imported order got a result, or was changed by a later import, after it came."""
    moved = select(status_changes.c.id).where(status_changes.c.order_row == change.order_row)
    later = (
        select(import_changes.c.id)
        .join(import_history, import_history.c.id == import_changes.c.import_id)
        .where(
            import_changes.c.order_row == change.order_row,
            import_changes.c.import_id > change.import_id,
            import_history.c.undone_at.is_(None),
        )
    )
    return connection.execute(moved.limit(1)).first() is not None or connection.execute(later).first() is not None


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), default=str, ensure_ascii=False)


def _from_json(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if name in TIMES and value is not None else value
