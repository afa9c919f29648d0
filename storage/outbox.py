"""The outbox: events for webhooks and notifications, each one row, written in the transaction in which it happens.

What a batch announced last is kept in batches.announced: an event is written when that changes, so a restart, or two
processes, neither lose nor repeat one. This module decides nothing about deliveries; delivery_store.py plans them.
"""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, case, exists, func, insert, literal, select

from amounts import plain_money
from database import Transaction, utc_now
from orders import FINAL_STATUSES, BatchState, Outcome, Progress
from schema import batches, each_of, items, orders, outbox_events, sql, webhooks, withheld_results
from storage.batch_progress import read_progresses

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
    RECHECK_COMPARED = "recheck.compared"  #: a scheduled re-check has all results, beside those before
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
    EventKind.RECHECK_COMPARED: "A scheduled re-check has all results, with what changed since the last time.",
    EventKind.BACKUP_FAILED: "A backup failed.",
    EventKind.TEST: "A person asked for a test.",
}

#: The columns of an order in an event, in the order of the payload; `price` is made of its credits.
OF_ORDER = (
    "order_id", "batch_id", "imei", "service_id", "service_name", "status", "credits", "verdict", "model", "carrier",
    "simlock", "fmi", "blacklist",
)  # fmt: skip

#: What _kind() reads of batches at rest, as Progress.stage says, but without counting: it is read with each answer that
#: brings results.
OF_BATCH, IS_FINISHED = orders.c.batch_id == batches.c.id, batches.c.state == BatchState.FINISHED
IS_DOUBTFUL = exists().where(items.c.batch_id == batches.c.id, items.c.outcome == Outcome.IN_DOUBT)
IS_PENDING = func.coalesce(orders.c.status, "").not_in(FINAL_STATUSES)
IS_GIVEN = func.coalesce(orders.c.order_id, "").not_in(select(withheld_results.c.order_id))
AT_REST = select(
    batches.c.id,
    batches.c.state,
    batches.c.resumes_itself,
    batches.c.announced,
    case((IS_FINISHED, IS_DOUBTFUL)).label("is_doubtful"),
    case((IS_FINISHED, exists().where(OF_BATCH, IS_PENDING, IS_GIVEN))).label("is_pending"),
).where(batches.c.id.in_(sql("SELECT value FROM each(:ids AS INTEGER) listed")))
ANNOUNCED = sql(
    "UPDATE batches SET announced = given.kind FROM rows(:rows AS id INTEGER, kind TEXT) given"
    " WHERE batches.id = given.id"
)


def add(connection: Transaction, kind: EventKind, data: Mapping[str, Any], batch_id: int | None = None) -> int:
    """Write that something happened, in the transaction that makes it true. Return the id of the event.

    data is what webhooks get: values of JSON, money as text (amounts.plain_money), never a secret. Its texts are cut to
    LONGEST_TEXT.
    """
    new = insert(outbox_events).values(_event(kind, data, batch_id)).returning(outbox_events.c.id)
    return int(connection.execute(new).scalar_one())


def _event(kind: EventKind, data: Mapping[str, Any], batch_id: int | None) -> dict[str, Any]:
    short = {name: value[:LONGEST_TEXT] if isinstance(value, str) else value for name, value in data.items()}
    return {"kind": kind, "batch_id": batch_id, "data": json.dumps(short), "created_at": utc_now()}


def is_asked_for(kind: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a webhook gets events of a kind."""
    listed, blank = literal(" ") + webhooks.c.events + " ", literal(" ")
    return and_(webhooks.c.disabled_at.is_(None), func.place_in(listed, blank + kind + " ") > 0)


def announce(connection: Transaction, *batch_ids: int) -> None:
    """Write an event for each of these batches that became complete, paused or in doubt.

    Called after each change of batches at rest.
    """
    if not batch_ids:
        return
    rows = connection.execute(AT_REST, {"ids": json.dumps(batch_ids)}).all()
    changed = {row.id: kind for row in rows if (kind := _kind(row)) != row.announced}
    if not changed:
        return
    connection.execute(ANNOUNCED, {"rows": json.dumps(list(changed.items()))})
    happened = [batch_id for batch_id, kind in changed.items() if kind]
    if happened:
        those = select(batches).where(batches.c.id.in_(each_of(happened, "INTEGER"))).order_by(batches.c.id)
        events = [
            _event(EventKind(changed[batch.batch_id]), _batch_data(batch), batch.batch_id)
            for batch in read_progresses(connection, those)
        ]
        connection.execute(insert(outbox_events), events)


def orders_completed(connection: Transaction, order_rows: Iterable[int]) -> None:
    """Write an event for each of these orders, whose results came in this transaction, where a webhook wants them."""
    if not connection.execute(_orders_are_asked_for()).scalar():
        return
    columns = (orders.c[name].label("price" if name == "credits" else name) for name in OF_ORDER)
    query = select(*columns).where(orders.c.id.in_(each_of(order_rows, "INTEGER"))).order_by(orders.c.id)
    rows = [row._asdict() for row in connection.execute(query)]
    rows = [row | {"price": None if row["price"] is None else plain_money(row["price"])} for row in rows]
    if rows:
        events = [_event(EventKind.ORDER_COMPLETED, row, row["batch_id"]) for row in rows]
        connection.execute(insert(outbox_events), events)


@cache
def _orders_are_asked_for() -> Select[Any]:
    """Return the SELECT of whether a webhook gets an event for each order."""
    return select(exists().where(is_asked_for(literal(EventKind.ORDER_COMPLETED, Text))))


def _kind(row: Any) -> str:
    """Return the kind of event that says where a batch is at rest; "" while it goes on without a person."""
    if row.state == BatchState.PAUSED:
        return "" if row.resumes_itself else EventKind.BATCH_PAUSED
    if row.state != BatchState.FINISHED:
        return ""
    if row.is_doubtful:
        return EventKind.BATCH_IN_DOUBT
    return "" if row.is_pending else EventKind.BATCH_COMPLETE


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
