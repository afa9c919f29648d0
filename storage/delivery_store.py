"""Deliveries on disk: planned from new events, claimed before they are sent, and kept with what came of them.

Claiming counts the attempt and writes when the next one is due. So a process that is killed while it sends loses
nothing: the delivery is due again. Two processes do not claim the same attempt.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    TIMESTAMP,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Text,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    text,
    update,
)

from database import IMEIDatabase, Transaction
from schema import IS_NEW, deliveries, each_of, outbox_events, sql, webhooks
from storage import outbox
from storage.outbox import EventKind

#: Events whose deliveries are planned in one transaction; ended deliveries that are deleted in one.
PLANNED_AT_ONCE, FORGOTTEN_AT_ONCE = 500, 2000
#: How long events and ended deliveries are kept, and how long a delivery may be postponed.
KEPT, TRIED = timedelta(days=30), timedelta(days=3)
EXPIRED = "The receiver did not answer for 3 days."
#: Events that people get messages about; the others are for programs only.
FOR_PEOPLE = (
    EventKind.BATCH_COMPLETE,
    EventKind.BATCH_PAUSED,
    EventKind.BATCH_IN_DOUBT,
    EventKind.BALANCE_LOW,
    EventKind.AUDIT_DIFFERS,
    EventKind.RECHECK_COMPARED,
    EventKind.BACKUP_FAILED,
)
#: Nobody gets a message about a phone of scan mode: who scanned it sees its result.
TO_PEOPLE = sql(
    "INSERT INTO deliveries (event_id, target, state, next_at)"
    " SELECT e.id, target.value, 'waiting', :now FROM each(:ids AS INTEGER) fresh"
    " JOIN outbox_events e ON e.id = fresh.value CROSS JOIN each(:targets AS TEXT) target ON true"
    " WHERE e.kind IN (SELECT value FROM each(:kinds AS TEXT) kinds)"
    "  AND coalesce((SELECT source FROM batches WHERE id = e.batch_id), '') != 'scan' ORDER BY e.id, target.key"
)


class DeliveryState(StrEnum):
    """What has become of a delivery."""

    WAITING = "waiting"  #: an attempt is due, now or later
    DELIVERED = "delivered"  #: the receiver took it
    FAILED = "failed"  #: it is not tried again unless a person asks


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver. Times are UTC."""

    delivery_id: int
    event_id: int
    kind: EventKind
    data: str  #: JSON
    created_at: datetime  #: of the event
    webhook_id: int | None  #: None for a notification
    target: str  #: the key of an address of NOTIFY_URLS; "" for a webhook
    state: DeliveryState
    attempts: int
    next_at: datetime | None  #: when the next attempt is due
    status: int | None  #: the HTTP status of the last answer
    answer: str  #: the beginning of the last answer, or why there was none; untrusted
    ended_at: datetime | None

    @classmethod
    def from_row(cls, row: Any) -> "Delivery":
        """Make one of a row of `_columns()`."""
        values = row._asdict()
        kind, state = EventKind(values.pop("kind")), DeliveryState(values.pop("state"))
        return cls(delivery_id=values.pop("id"), kind=kind, state=state, **values)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt of a delivery."""

    delivery: Delivery  #: as it was claimed
    is_delivered: bool
    status: int | None = None
    answer: str = ""
    next_at: datetime | None = None  #: UTC; None: it is not tried again


def plan(database: IMEIDatabase, targets: Sequence[str], now: datetime) -> int:
    """Write the deliveries of some new events; return how many events they are. targets are keys of NOTIFY_URLS."""
    with database.read() as connection:
        if connection.execute(select(outbox_events.c.id).where(IS_NEW).limit(1)).first() is None:
            return 0
    with database.write() as connection:
        new = select(outbox_events.c.id).where(IS_NEW).order_by(outbox_events.c.id).limit(PLANNED_AT_ONCE)
        ids = list(connection.execute(new).scalars())
        connection.execute(_to_webhooks(ids, now))
        if targets:
            wanted = {"targets": json.dumps(list(targets)), "kinds": json.dumps(FOR_PEOPLE)}
            connection.execute(TO_PEOPLE, {"ids": json.dumps(ids), "now": now.isoformat(" ")} | wanted)
        connection.execute(update(outbox_events).where(outbox_events.c.id.in_(ids)).values(is_planned=True))
    return len(ids)


def _to_webhooks(event_ids: Sequence[int], now: datetime) -> Insert:
    event, webhook = outbox_events.c, webhooks.c
    columns = (event.id, webhook.id, literal(DeliveryState.WAITING, Text), literal(now, TIMESTAMP))
    asked = select(*columns).join(webhooks, outbox.is_asked_for(event.kind)).order_by(event.id, webhook.id)
    names = ["event_id", "webhook_id", "state", "next_at"]
    return insert(deliveries).from_select(names, asked.where(event.id.in_(event_ids)))


def add_test(connection: Transaction, webhook_id: int, now: datetime) -> None:
    """Write a test event for one webhook, with its delivery."""
    event_id = outbox.add(connection, EventKind.TEST, {"message": "This is a test of HAMMER-API."})
    connection.execute(update(outbox_events).where(outbox_events.c.id == event_id).values(is_planned=True))
    waiting = {"event_id": event_id, "webhook_id": webhook_id, "state": DeliveryState.WAITING, "next_at": now}
    connection.execute(insert(deliveries).values(waiting))


def due_webhooks(connection: Connection, now: datetime) -> list[int]:
    """Return the ids of the webhooks to which something is due."""
    due = exists().where(deliveries.c.webhook_id == webhooks.c.id, *_is_due(now))
    return list(connection.execute(select(webhooks.c.id).where(webhooks.c.disabled_at.is_(None), due)).scalars())


def is_notice_due(connection: Connection, now: datetime) -> bool:
    """Return whether a notification is due."""
    query = select(deliveries.c.id).where(deliveries.c.webhook_id.is_(None), *_is_due(now)).limit(1)
    return connection.execute(query).first() is not None


def claim(
    connection: Transaction, webhook_id: int | None, now: datetime, again_at: datetime, limit: int
) -> list[Delivery]:
    """Count an attempt of the deliveries that are due to a webhook, or to people for None; return them as they are now.

    again_at: when an attempt is repeated whose answer was never recorded.
    """
    receiver = deliveries.c.webhook_id.is_(None) if webhook_id is None else deliveries.c.webhook_id == webhook_id
    due = select(deliveries.c.id).where(receiver, *_is_due(now)).order_by(deliveries.c.next_at, deliveries.c.id)
    ids = list(connection.execute(due.limit(limit)).scalars())
    claimed = {"attempts": deliveries.c.attempts + 1, "next_at": again_at}
    if ids:
        connection.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(claimed))
    rows = connection.execute(_columns().where(deliveries.c.id.in_(ids)).order_by(deliveries.c.id))
    return [Delivery.from_row(row) for row in rows]


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return deliveries.c.state == DeliveryState.WAITING, deliveries.c.next_at <= now


def release(connection: Transaction, claimed: Sequence[Delivery], now: datetime) -> None:
    """Take back attempts that were claimed and not made: they are due at once."""
    for delivery in claimed:
        values = {"attempts": delivery.attempts - 1, "next_at": now}
        connection.execute(update(deliveries).where(_is_claimed(delivery)).values(values))


def postpone(connection: Transaction, webhook_id: int, now: datetime, until: datetime) -> None:
    """Let what is due to a webhook wait until a moment, because it does not answer now; attempts are not counted."""
    due = update(deliveries).where(deliveries.c.webhook_id == webhook_id, *_is_due(now))
    connection.execute(due.values(next_at=until))


def expire(connection: Transaction, now: datetime) -> None:
    """End what was postponed until it is older than all attempts of a delivery may take."""
    old = exists().where(outbox_events.c.id == deliveries.c.event_id, outbox_events.c.created_at < now - TRIED)
    postponed = and_(deliveries.c.state == DeliveryState.WAITING, deliveries.c.next_at > now, old)
    ended = {"state": DeliveryState.FAILED, "answer": EXPIRED, "next_at": None, "ended_at": now}
    connection.execute(update(deliveries).where(postponed).values(ended))


def record(connection: Transaction, attempt: Attempt, now: datetime) -> None:
    """Write what came of an attempt, unless the delivery was ended or claimed again meanwhile."""
    over = DeliveryState.DELIVERED if attempt.is_delivered else DeliveryState.FAILED
    state = over if attempt.next_at is None else DeliveryState.WAITING
    values = {
        "state": state,
        "status": attempt.status,
        "answer": attempt.answer,
        "next_at": attempt.next_at,
        "ended_at": None if attempt.next_at else now,
    }
    connection.execute(update(deliveries).where(_is_claimed(attempt.delivery)).values(values))
    webhook = webhooks.c.id == attempt.delivery.webhook_id
    if attempt.is_delivered:
        connection.execute(update(webhooks).where(webhook).values(delivered_at=now, failing_since=None))
    else:
        connection.execute(
            update(webhooks).where(webhook, webhooks.c.failing_since.is_(None)).values(failing_since=now)
        )


def _is_claimed(delivery: Delivery) -> ColumnElement[bool]:
    return and_(
        deliveries.c.id == delivery.delivery_id,
        deliveries.c.state == DeliveryState.WAITING,
        deliveries.c.attempts == delivery.attempts,
    )


def send_again(connection: Transaction, delivery_id: int, now: datetime) -> bool:
    """Make an ended delivery wait for new attempts; return whether it is one, of a webhook that is not disabled."""
    enabled = exists().where(webhooks.c.id == deliveries.c.webhook_id, webhooks.c.disabled_at.is_(None))
    ended = and_(deliveries.c.id == delivery_id, deliveries.c.state != DeliveryState.WAITING)
    fresh = {"state": DeliveryState.WAITING, "attempts": 0, "next_at": now, "ended_at": None}
    ready = deliveries.c.webhook_id.is_(None) | enabled
    return connection.execute(update(deliveries).where(ended, ready).values(fresh)).rowcount == 1


def page(
    database: IMEIDatabase, state: DeliveryState | None, webhook_id: int | None, before: int | None, limit: int
) -> list[Delivery]:
    """Return deliveries, the newest first: of a state and of a webhook (0: notifications), with ids below `before`."""
    query = _columns()
    if state is not None:
        query = query.where(deliveries.c.state == state)
    if webhook_id is not None:
        wanted = deliveries.c.webhook_id == webhook_id if webhook_id else deliveries.c.webhook_id.is_(None)
        query = query.where(wanted)
    if before is not None:
        query = query.where(deliveries.c.id < before)
    with database.read() as connection:
        rows = connection.execute(query.order_by(deliveries.c.id.desc()).limit(limit))
        return [Delivery.from_row(row) for row in rows]


def forget(database: IMEIDatabase, now: datetime) -> None:
    """Delete some of the events that are older than KEPT, with their deliveries."""
    old = select(outbox_events.c.id).where(outbox_events.c.created_at < now - KEPT, outbox_events.c.is_planned)
    waits = exists().where(deliveries.c.event_id == outbox_events.c.id, deliveries.c.state == DeliveryState.WAITING)
    with database.write() as connection:
        query = old.where(~waits).order_by(outbox_events.c.id).limit(FORGOTTEN_AT_ONCE)
        ids = list(connection.execute(query).scalars())
        for column in (deliveries.c.event_id, outbox_events.c.id):
            connection.execute(delete(column.table).where(column.in_(each_of(ids, "INTEGER"))))


def count_waiting(connection: Connection) -> int:
    """Return how many deliveries to webhooks have not succeeded yet."""
    is_waiting = text("state = 'waiting'")  # in the words of the index
    query = select(func.count()).select_from(deliveries).where(is_waiting, deliveries.c.webhook_id.is_not(None))
    return int(connection.execute(query).scalar_one())


def _columns() -> Select[Any]:
    of_event = (outbox_events.c.kind, outbox_events.c.data, outbox_events.c.created_at)
    return select(*deliveries.c, *of_event).join(outbox_events, outbox_events.c.id == deliveries.c.event_id)
