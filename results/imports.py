"""Orders from files into the table: what an import would change, the change in one transaction, and its undoing.

A row is about the order of its order id. A row without one is matched with an order of its IMEI and service
(order_matching.py); only where there is none around it, it is history that becomes an order. Nothing final becomes
less by an import, and importing twice changes nothing. This module must not know files.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from database import IMEIDatabase, OrderRow, Transaction, utc_now
from orders import FINAL_STATUSES, NotPossibleError, OrderStatus
from results.matching import Match, match_rows
from schema import OPEN_CALL, UNDECIDED, chunks, import_changes, import_history, items, orders, status_changes
from spreadsheets import ImportRow, plain, says_the_same
from storage.batch_states import touch
from storage.call_queries import planned_items, service_labels
from storage.chunk_moves import cancel_left_out, leave_out
from storage.guards import parts

#: What a result text fills. Where the provider's raw text is stored, a file only fills what is blank.
RESULT_COLUMNS = frozenset(
    {"result_code_display", "imei2", "carrier", "simlock", "model", "fmi", "blacklist", "serial", "warranty"}
)
#: Rows that one INSERT carries.
INSERTED_AT_ONCE = 1000

#: What an IMEI is told that was not sent because of an import.
UNDONE = "not sent because of an order from a file, whose import was undone"

Key = tuple[str, ...]


class Fate(StrEnum):
    """What an import does with a row."""

    NEW = "new"  #: becomes an order
    UPDATED = "updated"  #: states more than we know of its order
    UNCHANGED = "unchanged"  #: states nothing that we do not know
    NOT_UNDERSTOOD = "not understood"  #: is left out; the reason is said
    UNMATCHED = "not matched"  #: is left out: it may be an order of ours, but each of these has its row already


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done with one row."""

    number: int  #: of the row in the file, from 1
    fate: Fate
    imei: str = ""
    order_row: int | None = None  #: the order that it is about
    values: Mapping[str, Any] = field(default_factory=dict)  #: columns that would be written
    reason: str = ""  #: why it is left out
    by_time: bool = False  #: its order was found by IMEI, service and time


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import would do, row by row in the order of the file."""

    rows: tuple[Planned, ...]

    def of(self, fate: Fate) -> list[Planned]:
        """The rows with this fate."""
        return [row for row in self.rows if row.fate == fate]

    def count(self, fate: Fate) -> int:
        """How many rows have this fate."""
        return sum(row.fate == fate for row in self.rows)  # a template names a fate by its text

    @property
    def matched(self) -> int:
        """How many rows without an order id were matched with orders of ours by IMEI, service and time."""
        return sum(row.by_time for row in self.rows)

    @property
    def left_out(self) -> list[Planned]:
        """The rows that are stored nowhere, each with its reason."""
        return [row for row in self.rows if row.reason]

    @property
    def summary(self) -> str:
        """Return such as: 3 new, 1 updated, 0 unchanged, 2 not understood; 1 found by IMEI, service and time."""
        shown = [fate for fate in Fate if fate is not Fate.UNMATCHED or self.count(fate)]
        found = f"; {self.matched:,} found by IMEI, service and time" if self.matched else ""
        return ", ".join(f"{self.count(fate):,} {fate}" for fate in shown) + found


@dataclass(frozen=True, slots=True)
class PastImport:
    """One import that was done."""

    import_id: int
    filename: str
    imported_at: datetime
    rows_read: int
    rows_new: int
    rows_updated: int
    rows_unchanged: int
    rows_failed: int  #: not understood or not matched
    undone_at: datetime | None


def plan_import(database: IMEIDatabase, rows: Iterable[ImportRow]) -> ImportPlan:
    """What importing these rows would do now. Writes nothing."""
    given = list(rows)
    with database.read() as connection:
        return _plan(connection, given)


def import_orders(database: IMEIDatabase, rows: Iterable[ImportRow], filename: str) -> tuple[int, ImportPlan]:
    """Import in one transaction. Returns the id in import_history, and what was done."""
    given = list(rows)
    with database.write() as connection:
        plan = _plan(connection, given)
        import_id = _record(connection, plan, filename)
        _insert_new(connection, import_id, plan.of(Fate.NEW))
        for row in plan.of(Fate.UPDATED):
            _update(connection, import_id, row)
    return import_id, plan


def undo_import(database: IMEIDatabase, import_id: int) -> tuple[int, int]:
    """Take back what an import did, where nothing has changed since. Returns (orders restored, orders kept).

    Raises NotPossibleError for an import that is unknown or undone already.
    """
    with database.write() as connection:
        marked = connection.execute(
            update(import_history)
            .where(import_history.c.id == import_id, import_history.c.undone_at.is_(None))
            .values(undone_at=utc_now())
        )
        if marked.rowcount != 1:
            raise NotPossibleError(f"There is no import {import_id} that could be undone.")
        query = select(import_changes).where(import_changes.c.import_id == import_id)
        changes = connection.execute(query.order_by(import_changes.c.id.desc())).all()
        taken = [change for change in changes if _restore(connection, change)]
        gone = [json.loads(change.after) for change in taken if change.before is None]
        told = {(row["service_id"], row["imei"]): _ordered_already(row) for row in gone if row.get("service_id")}
        if told:
            cancel_left_out(connection, told, UNDONE)
    return len(taken), len(changes) - len(taken)


def past_imports(database: IMEIDatabase, limit: int = 20) -> list[PastImport]:
    """The newest imports."""
    query = select(import_history).order_by(import_history.c.id.desc()).limit(limit)
    with database.read() as connection:
        return [
            PastImport(
                import_id=row.id,
                filename=row.filename,
                imported_at=row.imported_at,
                rows_read=row.rows_read,
                rows_new=row.rows_new,
                rows_updated=row.rows_updated,
                rows_unchanged=row.rows_unchanged,
                rows_failed=row.rows_failed,
                undone_at=row.undone_at,
            )
            for row in connection.execute(query)
        ]


# Deciding


def _plan(connection: Connection, rows: Sequence[ImportRow]) -> ImportPlan:
    known = _Known(connection, rows)
    matches = match_rows(rows, known.stored, known.labels)
    for place, match in enumerate(matches):
        if match.order is not None:
            known.first.setdefault(_key_of(rows[place]), place)
    return ImportPlan(tuple(_decide(rows, place, match, known) for place, match in enumerate(matches)))


class _Known:
    """The stored orders that the rows of a file may be about, and the rows that were decided before."""

    def __init__(self, connection: Connection, rows: Sequence[ImportRow]) -> None:
        self.labels = service_labels(connection)
        self.first: dict[Key, int] = {}  #: key → position of the row that stands for it
        self.stored: list[OrderRow] = []
        ids = {row.values["order_id"] for row in rows if "order_id" in row.values}
        imeis = {row.values["imei"] for row in rows if "imei" in row.values and "order_id" not in row.values}
        for column, wanted in ((orders.c.order_id, ids), (orders.c.imei, imeis)):
            for part in parts(sorted(wanted)):
                query = select(orders).where(column.in_(part)).order_by(orders.c.id)
                self.stored += map(dict, connection.execute(query).mappings())
        self.open: dict[str, dict[str, int]] = {}  #: IMEI → service id → batch, of those in doubt or on the wire
        query = select(items.c.imei, items.c.service_id, items.c.batch_id).where(OPEN_CALL, UNDECIDED)
        for imei, service_id, batch_id in connection.execute(query.join(chunks, chunks.c.id == items.c.chunk_id)):
            self.open.setdefault(imei, {})[service_id] = batch_id

    def service_id(self, row: ImportRow) -> str | None:
        """The service that a row names, where its title is known."""
        return self.labels.get(plain(row.values.get("service_name")).lower())

    def open_call(self, row: ImportRow) -> str:
        """Why a row must wait for a call that may have placed its order; "" if it need not."""
        services, service_id = self.open.get(row.values["imei"], {}), self.service_id(row)
        batch_id = services.get(service_id) if service_id else next(iter(services.values()), None)
        if batch_id is None:
            return ""
        return f"Batch {batch_id} has asked for this IMEI and not heard yet: import it when that is settled."


def _key_of(row: ImportRow) -> Key:
    """What no two rows that differ have in common: the order id, else IMEI, service and date."""
    values = row.values
    if "order_id" in values:
        return (values["order_id"],)
    return values["imei"], plain(values.get("service_name")), str(values.get("order_date", ""))


def _decide(rows: Sequence[ImportRow], place: int, match: Match, known: _Known) -> Planned:
    row = rows[place]
    if row.failure:
        return Planned(row.number, Fate.NOT_UNDERSTOOD, reason=row.failure)
    imei = row.values["imei"]
    if match.obstacle:
        return _left_out(row, Fate.UNMATCHED, match.obstacle)
    if match.by_time and match.order is not None:
        values = matched_values(match.order, row.values)
        if values and (waits := known.open_call(row)):  # the row may be about the order of that call
            return _left_out(row, Fate.NOT_UNDERSTOOD, waits)
        fate = Fate.UPDATED if values else Fate.UNCHANGED
        return Planned(row.number, fate, imei, match.order["id"], values, by_time=True)
    first = known.first.setdefault(_key_of(row), place)
    if first != place:
        if rows[first].values == row.values:
            return Planned(row.number, Fate.UNCHANGED, imei)
        return _left_out(row, Fate.NOT_UNDERSTOOD, f"It contradicts row {rows[first].number}.")
    return _decide_new(row, known) if match.order is None else _decide_known(row, match.order)


def _decide_new(row: ImportRow, known: _Known) -> Planned:
    if waits := known.open_call(row):  # a known order is not adopted: the IMEI would count as not placed, and be paid
        return _left_out(row, Fate.NOT_UNDERSTOOD, waits)
    service_id = known.service_id(row)
    more = {"service_id": service_id} if service_id else {}
    return Planned(row.number, Fate.NEW, row.values["imei"], values={**row.values, **more})


def _decide_known(row: ImportRow, stored: OrderRow) -> Planned:
    imei = row.values["imei"]
    if stored["imei"] != imei:
        reason = f"Order {stored['order_id']} is about IMEI {stored['imei']}."
        return _left_out(row, Fate.NOT_UNDERSTOOD, reason)
    changes = changed_values(stored, row.values)
    return Planned(row.number, Fate.UPDATED if changes else Fate.UNCHANGED, imei, stored["id"], changes)


def _left_out(row: ImportRow, fate: Fate, reason: str) -> Planned:
    return Planned(row.number, fate, row.values["imei"], reason=reason)


def matched_values(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that a row brings to the order that it was matched with by time: a result where there is none.

    Never a date, which is of another clock, nor a price: what our order cost is known from the batch that placed it.
    """
    result = {name: value for name, value in given.items() if name in RESULT_COLUMNS}
    status = given["status"]
    if status not in FINAL_STATUSES or (status == OrderStatus.COMPLETED and not result):
        return {}  # nothing has been found out: the sync goes on asking
    if stored["status"] in FINAL_STATUSES:
        if stored["result_code"] or status != stored["status"]:
            return {}
        result = {name: value for name, value in result.items() if stored[name] in (None, "")}
    return changed_values(stored, {**result, "status": status})


def changed_values(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns in which a row states more than is stored; nothing final becomes less."""
    was_final = stored["status"] in FINAL_STATUSES
    if was_final and given["status"] not in FINAL_STATUSES:
        return {}
    changes = {}
    for name, value in given.items():
        blank = stored[name] in (None, "")
        only_blanks = name == "service_name" or (name in RESULT_COLUMNS and stored["result_code"])
        if says_the_same(stored[name], value) or (only_blanks and not blank):
            continue
        changes[name] = value
    return changes


# Writing


def _record(connection: Transaction, plan: ImportPlan, filename: str) -> int:
    key = connection.execute(
        insert(import_history).values(
            filename=filename,
            imported_at=utc_now(),
            rows_read=len(plan.rows),
            rows_new=plan.count(Fate.NEW),
            rows_updated=plan.count(Fate.UPDATED),
            rows_unchanged=plan.count(Fate.UNCHANGED),
            rows_failed=len(plan.left_out),
        )
    ).inserted_primary_key
    return int(key[0]) if key else 0


def _insert_new(connection: Transaction, import_id: int, rows: Sequence[Planned]) -> None:
    names = sorted({name for row in rows for name in row.values})
    now = utc_now()
    last = connection.execute(select(func.coalesce(func.max(orders.c.id), 0))).scalar_one()
    for start in range(0, len(rows), INSERTED_AT_ONCE):
        part = rows[start : start + INSERTED_AT_ONCE]
        values = [{**dict.fromkeys(names), **row.values, "created_at": now, "updated_at": now} for row in part]
        connection.execute(insert(orders), values)
    _leave_out_of_batches(connection, rows, last)
    placed = connection.execute(select(orders.c.id).where(orders.c.id > last).order_by(orders.c.id)).scalars().all()
    if placed:
        told = zip(placed, rows, strict=True)  # one connection writes, so ids grow in the order of the rows
        connection.execute(
            insert(import_changes),
            [{"import_id": import_id, "order_row": n, "before": None, "after": _json(r.values)} for n, r in told],
        )


def _leave_out_of_batches(connection: Transaction, rows: Sequence[Planned], last: int) -> None:
    """What these orders are of is not sent any more where it is planned; last is the newest order before them.

    A check that was asked for again, though a final order was known, is not put off by one more final order.
    """
    told = {(row.values.get("service_id"), row.imei): row.values for row in rows}
    for service_id, imei, was_settled in planned_items(connection, [row.imei for row in rows], last):
        order = told.get((service_id, imei))
        if order is not None and not (was_settled and order["status"] in FINAL_STATUSES):
            leave_out(connection, service_id, imei, _ordered_already(order))


def _ordered_already(order: Mapping[str, Any]) -> str:
    order_id = order.get("order_id")
    return f"ordered already: order {order_id}, from a file" if order_id else "ordered already, as a file says"


def _update(connection: Transaction, import_id: int, row: Planned) -> None:
    columns = [orders.c[name] for name in row.values]
    before = dict(connection.execute(select(*columns).where(orders.c.id == row.order_row)).mappings().one())
    _touch_batch(connection, row.order_row)
    now = utc_now()
    connection.execute(update(orders).where(orders.c.id == row.order_row).values(**row.values, updated_at=now))
    if "status" in row.values:
        move = {"order_row": row.order_row, "old": before["status"], "new": row.values["status"], "changed_at": now}
        connection.execute(insert(status_changes).values(move))
    connection.execute(
        insert(import_changes).values(
            import_id=import_id, order_row=row.order_row, before=_json(before), after=_json(row.values)
        )
    )


def _restore(connection: Transaction, change: Any) -> bool:
    """Take one change back. False when the order has changed since."""
    after = json.loads(change.after)
    stored = connection.execute(select(orders).where(orders.c.id == change.order_row)).mappings().first()
    if stored is None or json.loads(_json({name: stored[name] for name in after})) != after:
        return False
    if change.before is None:
        if _changed_since(connection, change):
            return False
        connection.execute(delete(orders).where(orders.c.id == change.order_row))
        return True
    before = {name: _from_json(name, value) for name, value in json.loads(change.before).items()}
    _touch_batch(connection, change.order_row)
    connection.execute(update(orders).where(orders.c.id == change.order_row).values(**before, updated_at=utc_now()))
    if "status" in before:
        move = {"order_row": change.order_row, "old": after["status"], "new": before["status"] or ""}
        connection.execute(insert(status_changes).values(**move, changed_at=utc_now()))
    return True


def _touch_batch(connection: Connection, order_row: int | None) -> None:
    """The batch of an order that changes is counted anew, also where it is being counted now."""
    batch_id = connection.execute(select(orders.c.batch_id).where(orders.c.id == order_row)).scalar()
    if batch_id is not None:
        touch(connection, batch_id)


def _changed_since(connection: Connection, change: Any) -> bool:
    """Whether an imported order got a result or another import's word after it came."""
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
    is_time = name in ("order_date", "created_at", "updated_at") and value is not None
    return datetime.fromisoformat(value) if is_time else value
