"""Deliveries on disk: planned once, claimed by one process, and ended by what came of them."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from handmade_calls import planned
from sqlalchemy import select, update

from database import IMEIDatabase
from schema import batches, deliveries, outbox_events, webhooks
from storage import delivery_store, outbox, webhook_store
from storage.delivery_store import Attempt, Delivery, DeliveryState
from storage.outbox import EventKind

NOW, SECOND = datetime(2026, 3, 1, 12), timedelta(seconds=1)
AGAIN = NOW + timedelta(minutes=5)
LOW, PLACED = EventKind.BALANCE_LOW, EventKind.ORDER_COMPLETED


def subscribe(database: IMEIDatabase, *kinds: EventKind) -> int:
    """Add a webhook for these kinds of events; return its id."""
    with database.write() as connection:
        added = webhook_store.add_webhook(connection, "https://a.example", "", kinds, "whsec_a")
    assert added
    return added


def happen(database: IMEIDatabase, *kinds: EventKind, batch_id: int | None = None) -> None:
    """Write events of these kinds, of now."""
    with database.write() as connection:
        for kind in kinds:
            outbox.add(connection, kind, {"a": 1}, batch_id)
        connection.execute(update(outbox_events).values(created_at=NOW))


def claim(database: IMEIDatabase, receiver: int | None, now: datetime = NOW, limit: int = 10) -> list[Delivery]:
    with database.write() as connection:
        return delivery_store.claim(connection, receiver, now, now + (AGAIN - NOW), limit)


def stored(database: IMEIDatabase) -> list[Delivery]:
    """Return every delivery, the oldest first."""
    return delivery_store.page(database, None, None, None, 1000)[::-1]


def record(database: IMEIDatabase, attempt: Attempt, now: datetime = NOW) -> None:
    with database.write() as connection:
        delivery_store.record(connection, attempt, now)


def test_each_event_is_planned_once_for_those_who_asked_and_for_people_what_is_for_them(
    database: IMEIDatabase,
) -> None:
    low, both = subscribe(database, LOW), subscribe(database, LOW, PLACED)
    disabled = subscribe(database, LOW)
    with database.write() as connection:
        webhook_store.disable_webhook(connection, disabled, "by a person")
    happen(database, LOW, PLACED)
    assert delivery_store.plan(database, ["t1", "t2"], NOW) == 2
    assert delivery_store.plan(database, ["t1", "t2"], NOW) == 0
    found = stored(database)
    assert {(one.kind, one.webhook_id, one.target) for one in found} == {
        (LOW, low, ""),
        (LOW, both, ""),
        (PLACED, both, ""),
        (LOW, None, "t1"),
        (LOW, None, "t2"),
    }
    assert len(found) == 5
    assert {(one.state, one.attempts, one.next_at, one.created_at) for one in found} == {
        (DeliveryState.WAITING, 0, NOW, NOW)
    }


@pytest.mark.parametrize(("source", "count"), [("scan", 0), ("upload", 1)])
def test_people_are_not_told_of_a_phone_that_was_scanned(file_database: IMEIDatabase, source: str, count: int) -> None:
    batch_id, _ = planned(file_database, 1)
    with file_database.write() as connection:
        connection.execute(update(batches).values(source=source))
    happen(file_database, EventKind.BATCH_PAUSED, batch_id=batch_id)
    delivery_store.plan(file_database, ["t1"], NOW)
    assert len(stored(file_database)) == count


def test_events_are_planned_in_parts(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_store, "PLANNED_AT_ONCE", 2)
    subscribe(database, LOW)
    happen(database, *[LOW] * 3)
    assert [delivery_store.plan(database, [], NOW) for _ in range(3)] == [2, 1, 0]
    assert [one.event_id for one in stored(database)] == sorted(one.event_id for one in stored(database))


def test_what_is_due_is_claimed_once_the_oldest_first_and_again_after_a_kill(database: IMEIDatabase) -> None:
    webhook_id = subscribe(database, LOW)
    happen(database, *[LOW] * 3)
    delivery_store.plan(database, ["t1"], NOW)
    assert claim(database, webhook_id, NOW - SECOND) == []
    first, second = claim(database, webhook_id, limit=2)
    assert (first.attempts, first.next_at, second.attempts) == (1, AGAIN, 1)
    assert first.event_id < second.event_id
    [third] = claim(database, webhook_id)
    assert third.event_id > second.event_id
    assert claim(database, webhook_id, AGAIN - SECOND) == []
    assert [one.attempts for one in claim(database, webhook_id, AGAIN)] == [2, 2, 2]
    assert [one.webhook_id for one in claim(database, None)] == [None] * 3


def test_what_is_due_is_seen_for_webhooks_that_are_enabled_and_for_people(database: IMEIDatabase) -> None:
    first, second = subscribe(database, LOW), subscribe(database, LOW)
    happen(database, LOW)
    with database.read() as connection:
        assert delivery_store.due_webhooks(connection, NOW) == []
    delivery_store.plan(database, ["t1"], NOW)
    with database.write() as connection:
        assert delivery_store.due_webhooks(connection, NOW - SECOND) == []
        assert not delivery_store.is_notice_due(connection, NOW - SECOND)
        assert sorted(delivery_store.due_webhooks(connection, NOW)) == [first, second]
        assert delivery_store.is_notice_due(connection, NOW)
        connection.execute(update(webhooks).where(webhooks.c.id == first).values(disabled_at=NOW))
        assert delivery_store.due_webhooks(connection, NOW) == [second]
    claim(database, None)
    with database.read() as connection:
        assert not delivery_store.is_notice_due(connection, NOW)


@pytest.mark.parametrize(
    ("is_delivered", "next_at", "state"),
    [
        (True, None, DeliveryState.DELIVERED),
        (False, None, DeliveryState.FAILED),
        (False, NOW + SECOND, DeliveryState.WAITING),
    ],
)
def test_what_came_of_an_attempt_is_written_with_the_health_of_its_webhook(
    file_database: IMEIDatabase, is_delivered: bool, next_at: datetime | None, state: DeliveryState
) -> None:
    webhook_id, other = subscribe(file_database, LOW), subscribe(file_database, PLACED)
    happen(file_database, LOW)
    delivery_store.plan(file_database, [], NOW)
    [claimed] = claim(file_database, webhook_id)
    record(file_database, Attempt(claimed, is_delivered, 200, "ok", next_at), NOW)
    [found] = stored(file_database)
    assert (found.state, found.status, found.answer, found.next_at) == (state, 200, "ok", next_at)
    assert (found.attempts, found.ended_at) == (1, None if next_at else NOW)
    health = {
        one.webhook_id: (one.delivered_at, one.failing_since) for one in webhook_store.all_webhooks(file_database)
    }
    assert health == {webhook_id: (NOW, None) if is_delivered else (None, NOW), other: (None, None)}


def test_a_webhook_fails_since_its_first_failure(database: IMEIDatabase) -> None:
    webhook_id = subscribe(database, LOW)
    happen(database, LOW)
    delivery_store.plan(database, [], NOW)
    for moment in (NOW, AGAIN):
        [claimed] = claim(database, webhook_id, moment)
        record(database, Attempt(claimed, False, None, "no answer", moment), moment)
    assert webhook_store.all_webhooks(database)[0].failing_since == NOW


def test_an_attempt_that_came_too_late_writes_nothing_over_the_next_one(database: IMEIDatabase) -> None:
    """Neither does it give the claim of another process back."""
    webhook_id = subscribe(database, LOW)
    happen(database, LOW)
    delivery_store.plan(database, [], NOW)
    [late] = claim(database, webhook_id)
    [claimed] = claim(database, webhook_id, AGAIN)
    before = stored(database)
    record(database, Attempt(late, False, 500, "late"))
    with database.write() as connection:
        delivery_store.release(connection, [late], NOW)
    assert stored(database) == before
    record(database, Attempt(claimed, True, 200, "ok"))
    record(database, Attempt(claimed, False, 500, "late"))
    assert [(one.state, one.answer) for one in stored(database)] == [(DeliveryState.DELIVERED, "ok")]


def test_a_claim_that_is_given_back_is_due_at_once_and_not_counted(database: IMEIDatabase) -> None:
    webhook_id = subscribe(database, LOW)
    happen(database, LOW, LOW)
    delivery_store.plan(database, [], NOW)
    claimed = claim(database, webhook_id)
    with database.write() as connection:
        delivery_store.release(connection, claimed[1:], NOW)
    assert [(one.attempts, one.next_at) for one in stored(database)] == [(1, AGAIN), (0, NOW)]


def test_what_is_due_to_one_webhook_is_postponed(database: IMEIDatabase) -> None:
    first, second = subscribe(database, LOW), subscribe(database, LOW)
    happen(database, LOW, LOW)
    delivery_store.plan(database, ["t1"], NOW)
    claim(database, first, limit=1)
    with database.write() as connection:
        delivery_store.postpone(connection, first, NOW, NOW + SECOND)
    assert {(one.webhook_id, one.next_at) for one in stored(database)} == {
        (first, AGAIN),
        (first, NOW + SECOND),
        (second, NOW),
        (None, NOW),
    }


@pytest.mark.parametrize(
    ("next_at", "age", "is_ended"),
    [
        (NOW + SECOND, delivery_store.TRIED + SECOND, True),
        (NOW + SECOND, delivery_store.TRIED, False),
        (NOW, delivery_store.TRIED + SECOND, False),  # it is tried now
    ],
)
def test_what_is_postponed_ends_with_the_time_of_all_attempts(
    file_database: IMEIDatabase, next_at: datetime, age: timedelta, is_ended: bool
) -> None:
    subscribe(file_database, LOW)
    happen(file_database, LOW)
    delivery_store.plan(file_database, [], next_at)
    with file_database.write() as connection:
        connection.execute(update(outbox_events).values(created_at=NOW - age))
        delivery_store.expire(connection, NOW)
    [found] = stored(file_database)
    assert (found.state == DeliveryState.FAILED, found.answer == delivery_store.EXPIRED) == (is_ended, is_ended)
    assert (found.next_at, found.ended_at) == ((None, NOW) if is_ended else (next_at, None))


def test_an_ended_delivery_is_sent_again_from_its_first_attempt_on(database: IMEIDatabase) -> None:
    webhook_id = subscribe(database, LOW)
    happen(database, LOW)
    delivery_store.plan(database, ["t1"], NOW)
    for receiver in (webhook_id, None):
        [claimed] = claim(database, receiver)
        with database.write() as connection:
            assert not delivery_store.send_again(connection, claimed.delivery_id, AGAIN)  # it waits already
            delivery_store.record(connection, Attempt(claimed, False), NOW)
            assert delivery_store.send_again(connection, claimed.delivery_id, AGAIN)
            assert not delivery_store.send_again(connection, 99, AGAIN)
    assert {(one.state, one.attempts, one.next_at, one.ended_at) for one in stored(database)} == {
        (DeliveryState.WAITING, 0, AGAIN, None)
    }
    with database.write() as connection:
        webhook_store.disable_webhook(connection, webhook_id, "gone")
        ended = [one.delivery_id for one in stored(database) if one.webhook_id]
        assert not delivery_store.send_again(connection, ended[0], AGAIN)


def test_a_test_has_one_delivery_that_no_other_webhook_gets(database: IMEIDatabase) -> None:
    first = subscribe(database, *EventKind)
    subscribe(database, *EventKind)
    with database.write() as connection:
        delivery_store.add_test(connection, first, NOW)
    assert delivery_store.plan(database, ["t1"], NOW) == 0
    assert [(one.webhook_id, one.kind, one.next_at) for one in stored(database)] == [(first, EventKind.TEST, NOW)]


def test_deliveries_are_listed_by_state_and_receiver_and_in_pages(database: IMEIDatabase) -> None:
    webhook_id = subscribe(database, LOW)
    happen(database, LOW, LOW)
    delivery_store.plan(database, ["t1"], NOW)
    [claimed] = claim(database, webhook_id, limit=1)
    record(database, Attempt(claimed, True))
    every = delivery_store.page(database, None, None, None, 10)
    ids = [one.delivery_id for one in every]
    assert ids == sorted(ids, reverse=True)
    assert delivery_store.page(database, None, None, ids[1], 1) == [every[2]]
    assert delivery_store.page(database, DeliveryState.DELIVERED, None, None, 10) == [
        replace(claimed, state=DeliveryState.DELIVERED, next_at=None, ended_at=NOW)
    ]
    assert {one.webhook_id for one in delivery_store.page(database, None, webhook_id, None, 10)} == {webhook_id}
    assert {one.webhook_id for one in delivery_store.page(database, None, 0, None, 10)} == {None}
    assert delivery_store.page(database, DeliveryState.FAILED, None, None, 10) == []


def test_old_events_are_forgotten_once_nothing_of_them_waits(database: IMEIDatabase) -> None:
    webhook_id = subscribe(database, LOW)
    happen(database, LOW, LOW)
    delivery_store.plan(database, [], NOW)
    happen(database, LOW)  # not planned
    [claimed] = claim(database, webhook_id, limit=1)
    record(database, Attempt(claimed, True))
    delivery_store.forget(database, NOW + delivery_store.KEPT)
    assert len(stored(database)) == 2
    delivery_store.forget(database, NOW + delivery_store.KEPT + SECOND)
    with database.read() as connection:
        events = list(connection.execute(select(outbox_events.c.id).order_by(outbox_events.c.id)).scalars())
        left = list(connection.execute(select(deliveries.c.event_id)).scalars())
    assert (len(events), left) == (2, events[:1])
    assert claimed.event_id not in events
