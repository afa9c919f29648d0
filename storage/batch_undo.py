"""Undo a person's decisions about doubt: an order id that was given, and "this call placed nothing".

As in doubt_moves.py, every move is a guarded UPDATE whose row count is checked, inside a write transaction. Nothing is
sent because of it: what is undone is in doubt again.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, or_, select, update

from database import Transaction
from orders import FINAL_STATUSES, NAMED_BY_PERSON, ChunkState, Outcome
from schema import UNDECIDED, automations, chunks, each_of, items, orders, status_changes
from storage import service_figure_store
from storage.batch_states import touch
from storage.call_queries import OF_BATCH, doubtful_calls
from storage.guards import WrongStateError, expect


@dataclass(frozen=True, slots=True)
class NamedOrder:
    """An order whose id a person gave."""

    order_id: str
    imei: str
    status: str

    @property
    def can_be_undone(self) -> bool:
        """Whether it has no result yet."""
        return self.status not in FINAL_STATUSES


def withdraw(connection: Transaction, batch_id: int, order_id: str, message: str) -> None:
    """Move the IMEI of an order whose id a person gave from ordered to in_doubt, and remove the order.

    Its call is in doubt again and not cleared: nothing of it is repeated without a proof or a new decision.
    Raises WrongStateError for any other order, for one with a result, and while the IMEI is under way elsewhere.
    """
    found = connection.execute(_named_by_person(batch_id).where(orders.c.order_id == order_id)).first()
    if found is None:
        raise WrongStateError(f"Order {order_id} was not recorded by hand in this batch.")
    flying = select(items.c.batch_id).where(UNDECIDED, items.c.service_id == found.service_id)
    elsewhere = connection.execute(flying.where(items.c.imei == found.imei)).scalar()
    expect(elsewhere is None, f"Its IMEI is under way in batch {elsewhere}.")
    connection.execute(delete(status_changes).where(status_changes.c.order_row == found.order_row))
    follow_removed_changes(connection)
    unfinished = func.coalesce(orders.c.status, "").not_in(FINAL_STATUSES) & orders.c.result_code.is_(None)
    removed = connection.execute(delete(orders).where(orders.c.id == found.order_row, unfinished)).rowcount
    expect(removed == 1, f"Order {order_id} has its result.")
    ordered = (items.c.id == found.item_id) & (items.c.outcome == Outcome.ORDERED)
    moved = connection.execute(update(items).where(ordered).values(outcome=Outcome.IN_DOUBT, message=message)).rowcount
    reopened = connection.execute(
        update(chunks)
        .where(chunks.c.id == found.chunk_id)
        .where(or_(chunks.c.state == ChunkState.ANSWERED, (chunks.c.state == ChunkState.IN_DOUBT) & ~chunks.c.cleared))
        .values(state=ChunkState.IN_DOUBT, cleared=False)
    ).rowcount
    expect(moved == reopened == 1, "The rest of its call is about to be sent again.")
    touch(connection, batch_id)


def follow_removed_changes(connection: Transaction) -> None:
    """Lower marks to the newest status change that is left: SQLite gives the ids of removed ones again."""
    newest = select(func.coalesce(func.max(status_changes.c.id), 0)).scalar_subquery()
    connection.execute(update(automations).where(automations.c.after_change > newest).values(after_change=newest))
    service_figure_store.follow_removed_changes(connection)


def named_by_person(connection: Connection, batch_id: int, limit: int) -> list[NamedOrder]:
    """Return the orders of a batch whose ids a person gave, the newest first."""
    newest = _named_by_person(batch_id).order_by(orders.c.id.desc()).limit(limit)
    return [NamedOrder(row.order_id, row.imei, row.status or "") for row in connection.execute(newest)]


def _named_by_person(batch_id: int) -> Select[Any]:
    named = (items.c.batch_id == batch_id) & (items.c.outcome == Outcome.ORDERED) & items.c.message.is_not(None)
    return (
        select(
            items.c.id.label("item_id"),
            items.c.imei,
            items.c.service_id,
            items.c.chunk_id,
            orders.c.id.label("order_row"),
            orders.c.order_id,
            orders.c.status,
        )
        .join(orders, and_(orders.c.imei == items.c.imei, OF_BATCH, orders.c.attempt_id.is_not(None)))
        .where(named, items.c.message == NAMED_BY_PERSON)
    )


def undo_clearing(connection: Connection, batch_id: int, message: str) -> int:
    """Undo the decision that calls of a batch placed nothing, where they were not repeated yet.

    Return how many IMEIs are in doubt again.
    """
    calls = doubtful_calls(connection)
    cleared = [call.chunk_id for call in calls if call.waits and call.cleared and call.batch_id == batch_id]
    ids = each_of(cleared, "INTEGER")
    connection.execute(update(chunks).where(chunks.c.id.in_(ids)).values(cleared=False, message=message))
    doubtful = items.c.chunk_id.in_(ids) & (items.c.outcome == Outcome.IN_DOUBT)
    moved = connection.execute(update(items).where(doubtful).values(message=message)).rowcount
    touch(connection, batch_id)
    return moved
