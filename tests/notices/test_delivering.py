"""Deliveries: each event reaches each receiver at least once, under one name, whatever fails or is killed meanwhile."""

import json
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from handmade_calls import planned
from standardwebhooks import Webhook
from webhook_receivers import OK, URLS, Receivers

from database import IMEIDatabase, utc_now
from notices.delivering import CLAIMED, NOTICE_DELAYS, WEBHOOK_DELAYS
from notices.posting import NotDeliveredError, ReceiverAnswer
from storage import batch_states, delivery_store, outbox, webhook_store
from storage.outbox import EventKind
from storage.webhook_store import OLD_SECRET_SIGNS

LOW = EventKind.BALANCE_LOW
DATA = {"balance": "3.50", "limit": "50.00"}
SECOND = timedelta(seconds=1)


def happen(database: IMEIDatabase, kind: EventKind = LOW, times: int = 1) -> None:
    with database.write() as connection:
        for _ in range(times):
            outbox.add(connection, kind, DATA | {"order_id": "1"})


def fails() -> ReceiverAnswer:
    raise NotDeliveredError("No answer came within 10 seconds.")


def test_an_event_reaches_those_who_want_it_signed_once(receivers: Receivers, database: IMEIDatabase) -> None:
    _, secret = receivers.subscribe("a.example", LOW)
    receivers.subscribe("b.example", EventKind.BATCH_COMPLETE)
    batch_id, _ = planned(database, 2)
    with database.write() as connection:
        batch_states.pause(connection, batch_id, "no money")
    happen(database)
    for _ in range(3):
        receivers.turn(SECOND)
    [(host, body, headers)] = receivers.heard
    assert host == "a.example"
    assert Webhook(secret).verify(body, headers)["type"] == "balance.low"
    assert json.loads(body)["data"]["balance"] == "3.50"
    assert [message.title for message in receivers.told] == [
        *["HAMMER-API: batch 1 is paused"] * 2,
        *["HAMMER-API: the balance is low"] * 2,
    ]
    assert f"https://phones.example.com/batches/{batch_id}" in receivers.told[0].body
    assert set(receivers.states()) == {("delivered", 1)}


def test_attempts_go_on_for_three_days_and_then_wait_for_a_person(receivers: Receivers, database: IMEIDatabase) -> None:
    webhook_id, _ = receivers.subscribe("a.example", EventKind.ORDER_COMPLETED)
    receivers.answers["a.example"] = fails
    happen(database, EventKind.ORDER_COMPLETED)
    receivers.turn()
    for attempt, delay in enumerate(WEBHOOK_DELAYS, 1):
        receivers.turn(delay - SECOND)
        assert receivers.states() == [("waiting", attempt)]
        receivers.turn(SECOND)
    assert receivers.states() == [("failed", 10)]
    assert timedelta(days=2, hours=20) < sum(WEBHOOK_DELAYS, timedelta(0)) < timedelta(days=3)
    receivers.turn(timedelta(days=9))
    assert len({headers["webhook-id"] for _, _, headers in receivers.heard}) == 1
    assert len(receivers.heard) == 10
    failed = receivers.newest()
    assert failed.answer == "No answer came within 10 seconds."
    receivers.answers.clear()
    with database.write() as connection:
        assert delivery_store.send_again(connection, failed.delivery_id, receivers.now)
        assert not delivery_store.send_again(connection, failed.delivery_id, receivers.now)
    receivers.turn()
    assert receivers.states() == [("delivered", 1)]
    with database.read() as connection:
        webhook = webhook_store.find_webhook(connection, webhook_id)
    assert webhook
    assert (webhook.failing_since, webhook.delivered_at) == (None, receivers.now)


@pytest.mark.parametrize("status", [199, 301, 400, 404, 429, 500, 503])
def test_only_2xx_takes_an_event(receivers: Receivers, database: IMEIDatabase, status: int) -> None:
    receivers.subscribe("a.example", EventKind.ORDER_COMPLETED)
    receivers.answers["a.example"] = lambda: ReceiverAnswer(status, "<b>busy</b>")
    happen(database, EventKind.ORDER_COMPLETED)
    receivers.turn()
    found = receivers.newest()
    assert (found.state, found.status, found.answer) == ("waiting", status, "<b>busy</b>")


def test_a_receiver_that_is_gone_is_disabled_with_all_that_waits(receivers: Receivers, database: IMEIDatabase) -> None:
    webhook_id, _ = receivers.subscribe("a.example", EventKind.ORDER_COMPLETED)
    receivers.answers["a.example"] = lambda: ReceiverAnswer(410, "gone")
    happen(database, EventKind.ORDER_COMPLETED, 3)
    receivers.turn()
    assert [state for state, _ in receivers.states()] == ["failed"] * 3
    happen(database, EventKind.ORDER_COMPLETED)
    receivers.turn(SECOND)
    assert len(receivers.heard) == 1
    assert len(receivers.states()) == 3
    with database.read() as connection:
        webhook = webhook_store.find_webhook(connection, webhook_id)
    assert webhook
    assert webhook.disabled_at


@pytest.mark.parametrize(("status", "tried"), [(400, 3), (503, 1), (429, 1), (None, 1)])
def test_a_receiver_that_does_not_answer_now_is_spared(
    receivers: Receivers, database: IMEIDatabase, status: int | None, tried: int
) -> None:
    receivers.subscribe("a.example", EventKind.ORDER_COMPLETED)
    receivers.answers["a.example"] = lambda: ReceiverAnswer(status, "") if status else fails()
    happen(database, EventKind.ORDER_COMPLETED, 3)
    for _ in range(4):
        receivers.turn(SECOND)
    assert len(receivers.heard) == tried
    receivers.answers.clear()
    receivers.turn(WEBHOOK_DELAYS[0])
    assert [state for state, _ in receivers.states()] == ["delivered"] * 3


def test_what_was_postponed_for_three_days_ends(receivers: Receivers, database: IMEIDatabase) -> None:
    receivers.subscribe("a.example", EventKind.ORDER_COMPLETED)
    receivers.answers["a.example"] = fails
    happen(database, EventKind.ORDER_COMPLETED, 40)
    for _ in range(3 * 24 + 1):
        receivers.turn(timedelta(hours=1))
    assert "waiting" in {state for state, _ in receivers.states()}
    receivers.deliverer._tidy_at = 0.0
    receivers.turn()
    assert {state for state, _ in receivers.states()} == {"failed"}
    assert len(receivers.heard) < 200


def test_a_receiver_that_hangs_delays_no_other_one(receivers: Receivers, database: IMEIDatabase) -> None:
    hangs, reached = threading.Event(), threading.Event()
    receivers.subscribe("slow.example", LOW)
    receivers.subscribe("fast.example", LOW)

    def slow() -> ReceiverAnswer:
        assert hangs.wait(10)
        return OK

    def fast() -> ReceiverAnswer:
        reached.set()
        return OK

    receivers.answers |= {"slow.example": slow, "fast.example": fast}
    happen(database, times=2)
    stop = threading.Event()
    receivers.deliverer.turn(stop)
    assert reached.wait(10)
    receivers.deliverer.turn(stop)  # the one that hangs gets no second thread
    hangs.set()
    for thread in receivers.deliverer._threads.values():
        thread.join(10)
    assert len(receivers.posted("slow.example")) == 2


def test_a_process_that_is_killed_while_it_sends_loses_nothing(receivers: Receivers, database: IMEIDatabase) -> None:
    receivers.subscribe("a.example", EventKind.ORDER_COMPLETED)
    happen(database, EventKind.ORDER_COMPLETED, 2)

    def killed() -> ReceiverAnswer:
        raise SystemExit

    receivers.answers["a.example"] = killed
    delivery_store.plan(database, [], receivers.now)
    with pytest.raises(SystemExit):
        receivers.deliverer.deliver_some(1, threading.Event())
    other = Receivers(database, receivers.settings, receivers.now)
    other.turn()
    assert other.heard == []  # the attempt may still be under way
    other.turn(CLAIMED)
    assert len(other.heard) == 2
    assert other.heard[0][2]["webhook-id"] == receivers.heard[0][2]["webhook-id"]
    assert other.states() == [("delivered", 2)] * 2


def test_two_processes_send_an_event_once(receivers: Receivers, database: IMEIDatabase, rival: IMEIDatabase) -> None:
    receivers.subscribe("a.example", EventKind.ORDER_COMPLETED)
    happen(database, EventKind.ORDER_COMPLETED, 50)
    other = Receivers(rival, receivers.settings, receivers.now)
    start = threading.Barrier(2)

    def run(one: Receivers) -> None:
        start.wait()
        for _ in range(3):
            one.turn()

    threads = [threading.Thread(target=run, args=(one,)) for one in (receivers, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [headers["webhook-id"] for _, _, headers in receivers.heard + other.heard]
    assert (len(names), len(set(names))) == (50, 50)


def test_the_address_is_checked_at_each_attempt(receivers: Receivers, database: IMEIDatabase) -> None:
    receivers.subscribe("a.example", EventKind.ORDER_COMPLETED)
    receivers.addresses["a.example"] = ["93.184.215.14", "127.0.0.1"]
    happen(database, EventKind.ORDER_COMPLETED)
    receivers.turn()
    assert receivers.heard == []
    assert "127.0.0.1, which is not public" in receivers.newest().answer
    receivers.addresses.clear()
    receivers.turn(WEBHOOK_DELAYS[0])
    assert len(receivers.heard) == 1


def test_both_secrets_sign_for_a_day_after_a_rotation(receivers: Receivers, database: IMEIDatabase) -> None:
    webhook_id, old = receivers.subscribe("a.example", LOW)
    with database.write() as connection:
        webhook_store.rotate_secret(connection, webhook_id, "whsec_bmV3", receivers.now)
    for pause, count in ((OLD_SECRET_SIGNS - SECOND, 2), (SECOND, 1)):
        happen(database)
        receivers.turn(pause)
        signatures = receivers.heard[-1][2]["webhook-signature"].split(" ")
        assert len(signatures) == count
        assert signatures[0] == Webhook("whsec_bmV3").sign(
            receivers.heard[-1][2]["webhook-id"], receivers.now, receivers.heard[-1][1]
        )
    assert old != "whsec_bmV3"


def test_a_message_that_fails_is_tried_again_for_its_address_only(receivers: Receivers, database: IMEIDatabase) -> None:
    receivers.refused[URLS[1]] = "The service refused it."
    happen(database)
    receivers.turn()
    for delay in NOTICE_DELAYS:
        receivers.turn(delay)
    receivers.turn(timedelta(days=1))
    assert receivers.states() == [("delivered", 1), ("failed", 1 + len(NOTICE_DELAYS))]
    assert [message.url for message in receivers.told] == [URLS[0]]
    assert receivers.newest().answer == "The service refused it."


def test_an_address_that_was_removed_from_the_setting_gets_nothing(
    receivers: Receivers, database: IMEIDatabase
) -> None:
    receivers.refused |= dict.fromkeys(URLS, "down")
    happen(database)
    receivers.turn()
    later = Receivers(database, replace(receivers.settings, notify_urls=URLS[:1]), receivers.now + NOTICE_DELAYS[0])
    later.turn()
    assert [message.url for message in later.told] == [URLS[0]]
    assert later.states() == [("delivered", 2), ("failed", 2)]


def test_nobody_is_told_of_orders_and_of_phones_in_scan_mode(receivers: Receivers, database: IMEIDatabase) -> None:
    receivers.subscribe("a.example", EventKind.BATCH_PAUSED)
    batch_id, _ = planned(database, 1)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET source = 'scan'")
        batch_states.pause(connection, batch_id, "no money")
    happen(database, EventKind.ORDER_COMPLETED)
    receivers.turn()
    assert (receivers.told, len(receivers.heard)) == ([], 1)


def test_a_test_goes_to_one_webhook_and_is_not_repeated(receivers: Receivers, database: IMEIDatabase) -> None:
    webhook_id, _ = receivers.subscribe("a.example", LOW)
    receivers.subscribe("b.example", LOW)
    receivers.answers["a.example"] = fails
    with database.write() as connection:
        delivery_store.add_test(connection, webhook_id, receivers.now)
    for pause in (timedelta(0), *WEBHOOK_DELAYS):
        receivers.turn(pause)
    assert [host for host, _, _ in receivers.heard] == ["a.example"]
    assert receivers.states() == [("failed", 1)]


def test_a_stop_ends_between_two_attempts_and_the_rest_is_due_at_once(
    receivers: Receivers, database: IMEIDatabase
) -> None:
    stop = threading.Event()
    receivers.subscribe("a.example", EventKind.ORDER_COMPLETED)

    def last() -> ReceiverAnswer:
        stop.set()
        return OK

    receivers.answers["a.example"] = last
    happen(database, EventKind.ORDER_COMPLETED, 3)
    receivers.deliverer.turn(stop)
    receivers.deliverer.duty().repeat(stop)
    assert receivers.states() == [("delivered", 1), ("waiting", 0), ("waiting", 0)]
    receivers.turn()
    assert [state for state, _ in receivers.states()] == ["delivered"] * 3


def test_old_events_are_forgotten_with_their_deliveries(receivers: Receivers, database: IMEIDatabase) -> None:
    receivers.subscribe("a.example", LOW)
    happen(database)
    receivers.turn()
    delivery_store.forget(database, utc_now() + delivery_store.KEPT - SECOND)
    assert len(receivers.states()) == 3
    delivery_store.forget(database, utc_now() + delivery_store.KEPT + SECOND)
    assert receivers.states() == []
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM outbox_events").scalar() == 0
