"""Orders from files into the table: what an import would change, the change in one transaction, and its undoing.

A row is about the order of its order id. A row without one is matched with an order of its IMEI and service
(matching.py); only where there is none near it, it becomes an order. A final result is never replaced by less,
and importing a file twice changes nothing. This module must not know files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from database import IMEIDatabase, Transaction
from devices import INDEXED_FINDINGS
from orders import FINAL_STATUSES, NotPossibleError, OrderStatus
from results.matching import Match, match_rows
from spreadsheets import ImportRow, plain, says_the_same
from storage import import_store
from storage.call_queries import planned_items, service_labels
from storage.chunk_moves import cancel_left_out, leave_out
from storage.import_store import RowCounts
from storage.rows import Order

#: What a result text fills. Where the provider's raw text is stored, a file only fills what is blank.
RESULT_COLUMNS = frozenset({"result_code_display", "warranty", *INDEXED_FINDINGS})
#: Message of an IMEI that was not sent because of an import.
UNDONE = "not sent because of an order from a file, whose import was undone"

Key = tuple[str, ...]


class Fate(StrEnum):
    """What an import does with a row."""

    NEW = "new"  #: becomes an order
    UPDATED = "updated"  #: states more than we know of its order
    UNCHANGED = "unchanged"  #: states nothing that we do not know
    NOT_UNDERSTOOD = "not understood"  #: is left out, with the reason
    UNMATCHED = "not matched"  #: is left out: it may be an order of ours, but each of these has its row already


@dataclass(frozen=True, slots=True)
class PlannedRow:
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

    rows: tuple[PlannedRow, ...]

    def of(self, fate: Fate) -> list[PlannedRow]:
        """Return the rows with this fate."""
        return [row for row in self.rows if row.fate == fate]

    def count(self, fate: Fate) -> int:
        """Return the number of rows with this fate."""
        return sum(row.fate == fate for row in self.rows)  # a template names a fate by its text

    @property
    def matched(self) -> int:
        """Number of rows without an order id that were matched with orders of ours by IMEI, service and time."""
        return sum(row.by_time for row in self.rows)

    @property
    def left_out(self) -> list[PlannedRow]:
        """Rows that are stored nowhere, each with its reason."""
        return [row for row in self.rows if row.reason]

    @property
    def counts(self) -> RowCounts:
        """Number of rows by fate."""
        return RowCounts(
            rows_read=len(self.rows),
            rows_new=self.count(Fate.NEW),
            rows_updated=self.count(Fate.UPDATED),
            rows_unchanged=self.count(Fate.UNCHANGED),
            rows_failed=len(self.left_out),
        )

    @property
    def summary(self) -> str:
        """Return such as: 3 new, 1 updated, 0 unchanged, 2 not understood; 1 found by IMEI, service and time."""
        shown = [fate for fate in Fate if fate is not Fate.UNMATCHED or self.count(fate)]
        found = f"; {self.matched:,} found by IMEI, service and time" if self.matched else ""
        return ", ".join(f"{self.count(fate):,} {fate}" for fate in shown) + found


def plan_import(database: IMEIDatabase, rows: Iterable[ImportRow]) -> ImportPlan:
    """Return what importing these rows would do now. Writes nothing."""
    given = list(rows)
    with database.read() as connection:
        return _plan(connection, given)


def import_orders(database: IMEIDatabase, rows: Iterable[ImportRow], filename: str) -> tuple[int, ImportPlan]:
    """Import in one transaction. Returns the id in import_history, and what was done."""
    given = list(rows)
    with database.write() as connection:
        plan = _plan(connection, given)
        import_id = import_store.insert_import(connection, filename, plan.counts)
        new = plan.of(Fate.NEW)
        last = import_store.insert_orders(connection, import_id, [row.values for row in new])
        _leave_out_of_batches(connection, new, last)
        for row in plan.of(Fate.UPDATED):
            import_store.update_order(connection, import_id, row.order_row, row.values)
    return import_id, plan


def undo_import(database: IMEIDatabase, import_id: int) -> tuple[int, int]:
    """Take back what an import did, where nothing has changed since. Returns (orders restored, orders kept).

    Raises NotPossibleError for an import that is unknown or undone already.
    """
    with database.write() as connection:
        if not import_store.mark_undone(connection, import_id):
            raise NotPossibleError(f"There is no import {import_id} that could be undone.")
        changes = import_store.changes_of(connection, import_id)
        taken = [change for change in changes if import_store.take_back(connection, change)]
        gone = [change.after for change in taken if change.before is None]
        left_out = {(row["service_id"], row["imei"]): _ordered_already(row) for row in gone if row.get("service_id")}
        if left_out:
            cancel_left_out(connection, left_out, UNDONE)
    return len(taken), len(changes) - len(taken)


# Deciding


def _plan(connection: Transaction, rows: Sequence[ImportRow]) -> ImportPlan:
    known = _Known(connection, rows)
    matches = match_rows(rows, known.stored, known.labels)
    for place, match in enumerate(matches):
        if match.order is not None:
            known.first.setdefault(_key_of(rows[place]), place)
    return ImportPlan(tuple(_decide(rows, place, match, known) for place, match in enumerate(matches)))


class _Known:
    """The stored orders that the rows of a file may be about, and the rows that were decided before."""

    def __init__(self, connection: Transaction, rows: Sequence[ImportRow]) -> None:
        self.labels = service_labels(connection)
        self.first: dict[Key, int] = {}  #: key → position of the first row with it
        ids = {row.values["order_id"] for row in rows if "order_id" in row.values}
        imeis = {row.values["imei"] for row in rows if "imei" in row.values and "order_id" not in row.values}
        self.stored = import_store.stored_orders(connection, ids, imeis)
        self.open = import_store.open_calls(connection)  #: IMEI → service id → batch, of those in doubt or on the wire

    def service_id(self, row: ImportRow) -> str | None:
        """Return the id of the service that a row names, where its title is known."""
        return self.labels.get(plain(row.values.get("service_name")).lower())

    def open_call(self, row: ImportRow) -> str:
        """Return why a row must wait for a call that may have placed its order; "" if it need not."""
        services, service_id = self.open.get(row.values["imei"], {}), self.service_id(row)
        batch_id = services.get(service_id) if service_id else next(iter(services.values()), None)
        if batch_id is None:
            return ""
        return f"Batch {batch_id} has ordered this IMEI and has no answer yet: import it when that is settled."


def _key_of(row: ImportRow) -> Key:
    """Return the key that rows about one order share: the order id, else IMEI, service and date."""
    values = row.values
    if "order_id" in values:
        return (values["order_id"],)
    return values["imei"], plain(values.get("service_name")), str(values.get("order_date", ""))


def _decide(rows: Sequence[ImportRow], place: int, match: Match, known: _Known) -> PlannedRow:
    row = rows[place]
    if row.failure:
        return PlannedRow(row.number, Fate.NOT_UNDERSTOOD, reason=row.failure)
    imei = row.values["imei"]
    if match.obstacle:
        return _left_out(row, Fate.UNMATCHED, match.obstacle)
    if match.by_time and match.order is not None:
        values = matched_values(match.order, row.values)
        if values and (waits := known.open_call(row)):  # the row may be about the order of that call
            return _left_out(row, Fate.NOT_UNDERSTOOD, waits)
        fate = Fate.UPDATED if values else Fate.UNCHANGED
        return PlannedRow(row.number, fate, imei, match.order.id, values, by_time=True)
    first = known.first.setdefault(_key_of(row), place)
    if first != place:
        if rows[first].values == row.values:
            return PlannedRow(row.number, Fate.UNCHANGED, imei)
        return _left_out(row, Fate.NOT_UNDERSTOOD, f"It contradicts row {rows[first].number}.")
    return _decide_new(row, known) if match.order is None else _decide_known(row, match.order)


def _decide_new(row: ImportRow, known: _Known) -> PlannedRow:
    if waits := known.open_call(row):  # a known order is not adopted: the IMEI would count as not placed, and be paid
        return _left_out(row, Fate.NOT_UNDERSTOOD, waits)
    service_id = known.service_id(row)
    more = {"service_id": service_id} if service_id else {}
    return PlannedRow(row.number, Fate.NEW, row.values["imei"], values={**row.values, **more})


def _decide_known(row: ImportRow, stored: Order) -> PlannedRow:
    imei = row.values["imei"]
    if stored.imei != imei:
        reason = f"Order {stored.order_id} is about IMEI {stored.imei}."
        return _left_out(row, Fate.NOT_UNDERSTOOD, reason)
    changes = changed_values(stored, row.values)
    return PlannedRow(row.number, Fate.UPDATED if changes else Fate.UNCHANGED, imei, stored.id, changes)


def _left_out(row: ImportRow, fate: Fate, reason: str) -> PlannedRow:
    return PlannedRow(row.number, fate, row.values["imei"], reason=reason)


def matched_values(stored: Order, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a row brings to the order matched by time: a result where there is none.

    Never a date, which is of another clock, nor a price: what our order cost is known from the batch that placed it.
    """
    result = {name: value for name, value in given.items() if name in RESULT_COLUMNS}
    status = given["status"]
    if status not in FINAL_STATUSES or (status == OrderStatus.COMPLETED and not result):
        return {}  # nothing has been found out: the sync goes on asking
    if stored.status in FINAL_STATUSES:
        if stored.result_code or status != stored.status:
            return {}
        result = {name: value for name, value in result.items() if getattr(stored, name) in (None, "")}
    return changed_values(stored, {**result, "status": status})


def changed_values(stored: Order, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns in which a row states more than is stored; nothing final becomes less."""
    was_final = stored.status in FINAL_STATUSES
    if was_final and given["status"] not in FINAL_STATUSES:
        return {}
    changes = {}
    for name, value in given.items():
        blank = getattr(stored, name) in (None, "")
        only_blanks = name == "service_name" or (name in RESULT_COLUMNS and stored.result_code)
        if says_the_same(getattr(stored, name), value) or (only_blanks and not blank):
            continue
        changes[name] = value
    return changes


def _leave_out_of_batches(connection: Transaction, rows: Sequence[PlannedRow], last: int) -> None:
    """Take the IMEIs of these orders out of planned batches; last is the newest order before them.

    A check that was asked for again, though a final order was known, is not put off by one more final order.
    """
    new = {(row.values.get("service_id"), row.imei): row.values for row in rows}
    for service_id, imei, was_settled in planned_items(connection, [row.imei for row in rows], last):
        order = new.get((service_id, imei))
        if order is not None and not (was_settled and order["status"] in FINAL_STATUSES):
            leave_out(connection, service_id, imei, _ordered_already(order))


def _ordered_already(order: Mapping[str, Any]) -> str:
    order_id = order.get("order_id")
    return f"ordered already: order {order_id}, from a file" if order_id else "ordered already, as a file says"
