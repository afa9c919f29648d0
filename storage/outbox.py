"""The outbox: events for webhooks and notifications, each one row, written in the transaction in which it happens.

What a batch announced last is kept in batches.announced: an event is written when that changes, so a restart, or two
processes, neither lose nor repeat one. This module decides nothing about deliveries; delivery_store.py plans them.
"""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update

from amounts import plain_money
from database import Transaction, utc_now
from orders import FINAL_STATUSES, BatchState, Outcome, Progress
from schema import batches, items, orders, outbox_events, withheld_results
from storage.batch_progress import progress_of

#: Characters of a text that a user or the provider wrote, so that no payload is large.
LONGEST_TEXT = 300


class EventKind(StrEnum):
    """What happened, in the words of a payload."""

    BATCH_COMPLETE = "batch.complete"  #: every result that will come is here
    BATCH_PAUSED = "batch.paused"  #: nothing more is sent before a person acts
    BATCH_IN_DOUBT = "batch.in_doubt"  #: everything is sent, and IMEIs are in doubt
    ORDER_COMPLETED = "order.completed"  #: an order has its result: completed or rejected
    BALANCE_LOW = "balance.low"  #: the account holds less than LOW_BALANCE
    AUDIT_DIFFERS = "audit.differs"  #: our records and the provider's disagree
    BACKUP_FAILED = "backup.failed"  #: no backup was written, or it cannot be read
    TEST = "test"  #: a person asked for it, for one webhook

    @property
    def hint(self) -> str:
        """When it happens, in a sentence."""
        return HINTS[self]


HINTS = {
    EventKind.BATCH_COMPLETE: "A batch has all results that can come.",
    EventKind.BATCH_PAUSED: "A batch is paused until a person resumes it.",
    EventKind.BATCH_IN_DOUBT: "All IMEIs of a batch are sent, and some are in doubt.",
    EventKind.ORDER_COMPLETED: "An order has its result. In a batch of 20,000 IMEIs these are 20,000 events.",
    EventKind.BALANCE_LOW: "The balance fell below LOW_BALANCE.",
    EventKind.AUDIT_DIFFERS: "An audit found a difference.",
    EventKind.BACKUP_FAILED: "A backup failed.",
    EventKind.TEST: "A person asked for a test.",
}

#: One INSERT for all orders of an answer, and none where no webhook wants them. Texts are cut to LONGEST_TEXT.
ORDERS_COMPLETED = text(
    "INSERT INTO outbox_events (kind, batch_id, created_at, data)"
    " SELECT :kind, batch_id, :now, json_object('order_id', order_id, 'batch_id', batch_id, 'imei', imei,"
    "  'service_id', service_id, 'service_name', substr(service_name, 1, :most), 'status', status,"
    "  'price', CASE WHEN round(credits, 2) = credits THEN printf('%.2f', credits)"
    "   ELSE rtrim(printf('%.4f', credits), '0') END, 'verdict', verdict,"
    "  'model', substr(model, 1, :most), 'carrier', substr(carrier, 1, :most), 'simlock', substr(simlock, 1, :most),"
    "  'fmi', substr(fmi, 1, :most), 'blacklist', substr(blacklist, 1, :most))"
    " FROM orders WHERE id IN (SELECT value FROM json_each(:ids)) AND EXISTS (SELECT 1 FROM webhooks"
    "  WHERE disabled_at IS NULL AND instr(' ' || events || ' ', ' ' || :kind || ' '))"
)


def add(connection: Transaction, kind: EventKind, data: Mapping[str, Any], batch_id: int | None = None) -> int:
    """Write that something happened, in the transaction that makes it true. Return the id of the event.

    data is what webhooks get: values of JSON, money as text (amounts.plain_money), never a secret. Its texts are cut to
    LONGEST_TEXT.
    """
    short = {name: value[:LONGEST_TEXT] if isinstance(value, str) else value for name, value in data.items()}
    event = {"kind": kind, "batch_id": batch_id, "data": json.dumps(short), "created_at": utc_now()}
    key = connection.execute(insert(outbox_events).values(event)).inserted_primary_key
    return int(key[0]) if key else 0


def announce(connection: Transaction, batch_id: int) -> None:
    """Write an event where a batch became complete, paused or in doubt. Called after each change of a batch at rest."""
    row = connection.execute(select(batches).where(batches.c.id == batch_id)).one()
    kind = _kind(connection, row)
    if kind == row.announced:
        return
    connection.execute(update(batches).where(batches.c.id == batch_id).values(announced=kind))
    if kind:
        add(connection, EventKind(kind), _batch_data(progress_of(connection, batch_id)), batch_id)


def orders_completed(connection: Transaction, order_rows: Iterable[int]) -> None:
    """Write an event for each of these orders, whose results came in this transaction, where a webhook wants them."""
    given = {"kind": EventKind.ORDER_COMPLETED.value, "now": utc_now().isoformat(" "), "most": LONGEST_TEXT}
    connection.execute(ORDERS_COMPLETED, {"ids": json.dumps(list(order_rows)), **given})


def _kind(connection: Connection, row: Any) -> str:
    """Return the kind of event that says where a batch is at rest; "" while it goes on without a person.

    As Progress.stage says, but without counting: this runs with each answer that brings results.
    """
    if row.state == BatchState.PAUSED:
        return "" if row.resumes_itself else EventKind.BATCH_PAUSED
    if row.state != BatchState.FINISHED:
        return ""
    doubtful = select(items.c.id).where(items.c.batch_id == row.id, items.c.outcome == Outcome.IN_DOUBT)
    if connection.execute(doubtful.limit(1)).first():
        return EventKind.BATCH_IN_DOUBT
    return "" if connection.execute(_pending(row.id)).first() else EventKind.BATCH_COMPLETE


def _pending(batch_id: int) -> Any:
    """Return the SELECT of one order of a batch whose result is still to come, by the index of the batch."""
    is_pending = func.coalesce(orders.c.status, "").not_in(FINAL_STATUSES)
    withheld = select(withheld_results.c.order_id)
    given = func.coalesce(orders.c.order_id, "").not_in(withheld)
    return select(orders.c.id).where(orders.c.batch_id == batch_id, is_pending, given).limit(1)


def _batch_data(batch: Progress) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "name": batch.label,
        "customer": batch.customer,
        "source": batch.source,
        "state": batch.stage,
        "reason": batch.reason,
        "service_id": batch.service_id,
        "service_name": batch.service_name,
        "total": batch.total,
        "outcomes": batch.outcomes,
        "results": batch.results,
        "verdicts": batch.verdicts.by_word(),
        "spent": plain_money(batch.spent),
        "at_stake": plain_money(batch.at_stake),
    }
