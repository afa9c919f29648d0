"""Disputes with the provider: opened by a person, sent, then refunded or refused, and closed. Each step is kept.

A refund here is what a person read in the provider's answer. storage/refunds.py, which learns from the balance whether
rejected orders are paid back, knows nothing of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

from sqlalchemy import TIMESTAMP, ColumnElement, Select, case, func, insert, literal, select, update

from amounts import exceeds
from database import IMEIDatabase, Transaction, utc_now
from orders import FINAL_STATUSES, DisputeKind, DisputeState, OrderStatus
from schema import batches, dispute_events, disputes, each_of, items, orders
from storage.batch_doubt import SENT_AT, doubtful
from storage.disputable import Disputable, fits, is_undisputed
from storage.rows import ABOUT_ANOTHER, NOT_ANSWERED

#: Disputes that are opened or changed at once. The rest can follow.
MOST_AT_ONCE = 20_000
#: Characters of the provider's words, and of a note, that a dispute keeps.
LONGEST_WORDS, LONGEST_NOTE = 500, 2000

OPEN, SENT, REFUNDED, REFUSED, CLOSED = DisputeState
#: State → the states from which a dispute can come to it. A refund is recorded with its amount only.
COMES_FROM = MappingProxyType(
    {
        OPEN: (SENT, CLOSED),
        SENT: (OPEN, REFUSED, REFUNDED),
        REFUNDED: (OPEN, SENT, REFUSED, REFUNDED),
        REFUSED: (OPEN, SENT),
        CLOSED: (OPEN, SENT, REFUNDED, REFUSED),
    }
)
#: States in which there is no refund: to come back to them takes a refund back.
WITHOUT_REFUND = (OPEN, SENT, REFUSED)


@dataclass(frozen=True, slots=True)
class Step:
    """What a person does with disputes."""

    state: DisputeState  #: from now on
    person: str
    note: str = ""  #: "" keeps the note that is there


@dataclass(frozen=True, slots=True)
class Refund:
    """What the provider paid back for one dispute."""

    dispute_id: int
    amount: float  #: US dollars, more than 0
    day: date  #: UTC


# Opening


def open_all(database: IMEIDatabase, chosen: Disputable, person: str, note: str = "") -> int:
    """Open a dispute for the newest MOST_AT_ONCE that are meant and have none. Return how many."""
    if chosen.kind is DisputeKind.IN_DOUBT:
        return _open(database, _items_as_disputes(note).where(fits(chosen)).order_by(items.c.id), person, note)
    return _open(database, _orders_as_disputes(note).where(fits(chosen)).order_by(orders.c.id.desc()), person, note)


def open_orders(database: IMEIDatabase, order_rows: Iterable[int], person: str, note: str = "") -> int:
    """Open disputes for orders with a final status that have none. Return how many."""
    chosen = orders.c.id.in_(each_of(order_rows, "INTEGER"))
    query = _orders_as_disputes(note).where(chosen, orders.c.status.in_(FINAL_STATUSES), is_undisputed())
    return _open(database, query.order_by(orders.c.id), person, note)


def open_items(database: IMEIDatabase, item_ids: Iterable[int], person: str, note: str = "") -> int:
    """Open disputes for items in doubt that have none. Return how many."""
    chosen = items.c.id.in_(each_of(item_ids, "INTEGER"))
    query = _items_as_disputes(note).where(chosen, fits(Disputable(DisputeKind.IN_DOUBT)))
    return _open(database, query.order_by(items.c.id), person, note)


def _open(database: IMEIDatabase, query: Select[Any], person: str, note: str) -> int:
    """Store the rows of a query as disputes, each with the first entry of its history."""
    names = [column.name for column in query.selected_columns]
    new = insert(disputes).from_select(names, query.limit(MOST_AT_ONCE)).returning(disputes.c.id)
    with database.write() as connection:
        opened = connection.execute(new).scalars().all()
        _note_step(connection, disputes.c.id.in_(each_of(opened, "INTEGER")), person, note)
    return len(opened)


def _orders_as_disputes(note: str) -> Select[Any]:
    is_mismatched, is_rejected = orders.c.other_imei > "", orders.c.status == OrderStatus.REJECTED
    kind = case((is_mismatched, DisputeKind.MISMATCHED), (is_rejected, DisputeKind.REJECTED), else_=DisputeKind.OTHER)
    mismatch = literal(ABOUT_ANOTHER) + orders.c.other_imei
    return select(
        kind.label("kind"),
        orders.c.id.label("order_row"),
        orders.c.order_id,
        orders.c.imei,
        func.coalesce(orders.c.service_name, "").label("service_name"),
        case((orders.c.existed, 0.0), else_=func.coalesce(orders.c.credits, 0.0)).label("price"),
        orders.c.order_date.label("ordered_at"),
        orders.c.batch_id,
        case((is_mismatched, mismatch), (is_rejected, "Rejected"), else_="The result is wrong").label("reason"),
        func.substr(func.coalesce(orders.c.result_code_display, ""), 1, LONGEST_WORDS).label("said"),
        *_new_values(note),
    )


def _items_as_disputes(note: str) -> Select[Any]:
    return doubtful(
        literal(DisputeKind.IN_DOUBT.value).label("kind"),
        items.c.id.label("item_id"),
        items.c.imei,
        batches.c.service_name,
        batches.c.unit_price.label("price"),
        SENT_AT.label("ordered_at"),
        items.c.batch_id,
        literal(NOT_ANSWERED).label("reason"),
        func.substr(func.coalesce(items.c.message, ""), 1, LONGEST_WORDS).label("said"),
        *_new_values(note),
    )


def _new_values(note: str) -> list[ColumnElement[Any]]:
    now = literal(utc_now(), TIMESTAMP)
    return [
        literal(OPEN.value).label("state"),
        literal(note[:LONGEST_NOTE]).label("note"),
        now.label("opened_at"),
        now.label("changed_at"),
    ]


# Changing


def take_step(database: IMEIDatabase, dispute_ids: Iterable[int], step: Step) -> int:
    """Bring disputes into a state, from one that allows it. Return how many. For refunds: record_refunds()."""
    return _take_step(database, disputes.c.id.in_(each_of(dispute_ids, "INTEGER")), step)


def take_step_of_all(database: IMEIDatabase, state: DisputeState, kind: DisputeKind | None, step: Step) -> int:
    """Bring the newest MOST_AT_ONCE disputes of a state, and of a kind if one is given, into another. Return how many.

    More would hold up what places orders for too long.
    """
    chosen = select(disputes.c.id).where(disputes.c.state == state, *([disputes.c.kind == kind] if kind else []))
    return _take_step(database, disputes.c.id.in_(chosen.order_by(disputes.c.id.desc()).limit(MOST_AT_ONCE)), step)


def _take_step(database: IMEIDatabase, chosen: ColumnElement[bool], step: Step) -> int:
    allowed = COMES_FROM[step.state] if step.state is not REFUNDED else ()
    values: dict[str, Any] = {"state": step.state, "changed_at": utc_now()}
    if step.note:
        values["note"] = step.note[:LONGEST_NOTE]
    if step.state in WITHOUT_REFUND:
        values |= {"refund": 0.0, "refunded_on": None}
    moved = update(disputes).where(chosen, disputes.c.state.in_(allowed)).values(**values).returning(disputes.c.id)
    with database.write() as connection:
        changed = connection.execute(moved).scalars().all()
        _note_step(connection, disputes.c.id.in_(each_of(changed, "INTEGER")), step.person, step.note)
    return len(changed)


def add_note(database: IMEIDatabase, dispute_id: int, person: str, note: str) -> bool:
    """Write a note, which replaces the one that is sent to the provider. Return whether there is such a dispute."""
    values = {"note": note[:LONGEST_NOTE], "changed_at": utc_now()}
    with database.write() as connection:
        is_there = connection.execute(update(disputes).where(disputes.c.id == dispute_id).values(**values)).rowcount
        _note_step(connection, disputes.c.id == dispute_id, person, note)
    return is_there == 1


def record_refunds(
    database: IMEIDatabase, refunds: Sequence[Refund], person: str, note: str = "", may_exceed: bool = False
) -> int:
    """Record what the provider paid back. Return for how many disputes.

    may_exceed: also more than the price. A dispute that is refunded already gets the new amount.
    """
    recorded = 0
    with database.write() as connection:
        prices = _refundable(connection, [refund.dispute_id for refund in refunds])
        for refund in refunds:
            price = prices.get(refund.dispute_id)
            if price is None or refund.amount <= 0 or (exceeds(refund.amount, price) and not may_exceed):
                continue
            values = {"refund": refund.amount, "refunded_on": refund.day.isoformat(), "changed_at": utc_now()}
            is_it = disputes.c.id == refund.dispute_id
            connection.execute(update(disputes).where(is_it).values(state=REFUNDED, **values))
            _note_step(connection, is_it, person, note)
            recorded += 1
    return recorded


def _refundable(connection: Transaction, dispute_ids: Sequence[int]) -> dict[int, float]:
    """Return dispute id → price of those of these disputes for which a refund can be recorded."""
    query = select(disputes.c.id, disputes.c.price).where(disputes.c.state.in_(COMES_FROM[REFUNDED]))
    rows = connection.execute(query.where(disputes.c.id.in_(each_of(dispute_ids, "INTEGER"))))
    return {row.id: row.price for row in rows}


def _note_step(connection: Transaction, changed: ColumnElement[bool], person: str, note: str) -> None:
    """Write into the history what disputes are from now on."""
    values = literal(person), disputes.c.state, disputes.c.refund, literal(note[:LONGEST_NOTE])
    new = select(disputes.c.id, disputes.c.changed_at, *values).where(changed)
    names = ["dispute_id", "at", "person", "state", "refund", "note"]
    connection.execute(insert(dispute_events).from_select(names, new))
