"""Deliveries by the leader: new events are planned, and each receiver gets what is due to it in a thread of its own.

So a webhook that hangs delays no other one. An attempt is claimed on disk before it is sent, and its answer written
afterwards: a process that is killed in between sends again, with the same webhook-id (at least once).
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from database import DatabaseUnavailableError, IMEIDatabase, Transaction, utc_now
from notices.addresses import AddressRefusedError, Endpoint, Resolve, find_endpoint, look_up
from notices.low_balance import note_balance
from notices.notifying import Message, Sent, send_messages, targets_of
from notices.posting import NotDeliveredError, ReceiverAnswer, post, tls_context
from notices.signing import message_id, payload, signed_headers
from notices.wording import message
from settings import Settings
from storage import delivery_store, webhook_store
from storage.background import Duty
from storage.delivery_store import Attempt, Delivery
from storage.outbox import EventKind

logger = logging.getLogger(__name__)

#: Seconds between two looks at what is due, at the balance, and at what is too old to be kept.
LOOK, BALANCE_LOOK, TIDY = 1.0, 5.0, 3600.0
#: How long after each failed attempt the next one is due: ten attempts in three days, and five in 73 minutes.
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FIRST = (timedelta(seconds=30), 2 * MINUTE, 10 * MINUTE, HOUR)
WEBHOOK_DELAYS = (*FIRST, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR)
NOTICE_DELAYS = FIRST
#: How long after its claim an attempt without a recorded answer is made again: the process was killed.
CLAIMED = 5 * MINUTE
#: Deliveries to one receiver that are claimed, and recorded, in one transaction.
CLAIMED_AT_ONCE, MESSAGES_AT_ONCE = 20, 5
#: Seconds that attempts under way get to end when the leader ends.
PATIENCE = 3.0
#: Answers after which other events wait too: for as long as the one that was tried, and HOLD at most.
GONE, BUSY, HOLD = 410, (408, 429), 10 * MINUTE
GONE_WORDS = "The receiver answered 410 Gone, so the webhook was disabled."
REMOVED = "This address is no longer in NOTIFY_URLS."

Post = Callable[[Endpoint, bytes, Mapping[str, str]], ReceiverAnswer]
Send = Callable[[Sequence[Message]], dict[str, Sent]]


def event_delivery(database: IMEIDatabase, settings: Settings) -> Duty:
    """Return the duty to plan and deliver events."""
    return Deliverer(database, settings, partial(post, tls=tls_context())).duty()


class Deliverer:
    """Sends what is due. One for each leader."""

    def __init__(
        self,
        database: IMEIDatabase,
        settings: Settings,
        post: Post,
        send: Send = send_messages,
        resolve: Resolve = look_up,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """clock returns the time in UTC without a zone."""
        self._database = database
        self._settings = settings
        self._post = post
        self._send = send
        self._resolve = resolve
        self._clock = clock
        self._targets = {target.key: target for target in targets_of(settings.notify_urls, database.install_id())}
        self._threads: dict[int | None, threading.Thread] = {}  #: by webhook; None: notifications
        self._balance_at = self._tidy_at = 0.0

    def duty(self) -> Duty:
        """Return the duty to deliver."""
        return Duty("notices", LOOK, self.turn, "Events could not be delivered", self.end)

    def end(self) -> None:
        """Wait a moment for attempts under way."""
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def turn(self, stop: threading.Event) -> None:
        """Plan what is new, and start a thread for each receiver to which something is due and that has none."""
        self._maintain(time.monotonic())
        while delivery_store.plan(self._database, list(self._targets), self._clock()):
            pass
        with self._database.read() as connection:
            due: list[int | None] = [*delivery_store.due_webhooks(connection, self._clock())]
            due += [None] if delivery_store.is_notice_due(connection, self._clock()) else []
        self._threads = {receiver: thread for receiver, thread in self._threads.items() if thread.is_alive()}
        for receiver in (receiver for receiver in due if receiver not in self._threads):
            thread = threading.Thread(target=self._deliver, args=(receiver, stop), name="deliver", daemon=True)
            self._threads[receiver] = thread
            thread.start()

    def _maintain(self, now: float) -> None:
        """Check the balance and remove old events, each as often as it is due. now: monotonic seconds."""
        if now >= self._balance_at:
            self._balance_at = now + BALANCE_LOOK
            note_balance(self._database, self._settings.low_balance)
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY
            with self._database.write() as connection:
                delivery_store.expire(connection, self._clock())
            delivery_store.forget(self._database, self._clock())

    def _deliver(self, receiver: int | None, stop: threading.Event) -> None:
        """Send what is due to one receiver, until an attempt fails."""
        try:
            while not stop.is_set() and self.deliver_some(receiver, stop):
                pass
        except DatabaseUnavailableError as error:
            logger.warning("Deliveries wait: %s", error.orig)
        except Exception:  # a thread ends here; the next look starts another
            logger.exception("A delivery failed")

    def deliver_some(self, receiver: int | None, stop: threading.Event) -> bool:
        """Send some of what is due to a webhook, or to people for None; return whether there may be more."""
        now, limit = self._clock(), MESSAGES_AT_ONCE if receiver is None else CLAIMED_AT_ONCE
        with self._database.write() as connection:
            claimed = delivery_store.claim(connection, receiver, now, now + CLAIMED, limit)
        if not claimed:
            return False
        attempts = self._notify_people(claimed) if receiver is None else self._post_all(receiver, claimed, stop)
        now, made = self._clock(), len(attempts)
        with self._database.write() as connection:
            for attempt in attempts:
                delivery_store.record(connection, attempt, now)
            delivery_store.release(connection, claimed[made:], now)
            if attempts and receiver is not None:
                self._hold_or_disable(connection, receiver, attempts[-1], now)
        return all(attempt.is_delivered for attempt in attempts)

    def _hold_or_disable(self, connection: Transaction, webhook_id: int, last: Attempt, now: datetime) -> None:
        """Let the other events of a webhook wait while it does not answer; disable a webhook that is gone."""
        if last.status == GONE:
            webhook_store.disable_webhook(connection, webhook_id, GONE_WORDS)
        elif not last.is_delivered and (last.status is None or last.status in BUSY or last.status >= 500):
            pause = min((last.next_at or now + HOLD) - now, HOLD)
            delivery_store.postpone(connection, webhook_id, now, now + pause)

    def _post_all(self, webhook_id: int, claimed: Sequence[Delivery], stop: threading.Event) -> list[Attempt]:
        """Post these deliveries one after the other, until one fails or stop is set."""
        attempts: list[Attempt] = []
        with self._database.read() as connection:
            webhook = webhook_store.find_webhook(connection, webhook_id)
            keys = webhook_store.signing_secrets(connection, webhook_id, self._clock()) if webhook else []
        for delivery in claimed if webhook else ():
            if stop.is_set():
                break
            attempts.append(self._post_one(delivery, webhook.url, keys))  # type: ignore[union-attr]
            if not attempts[-1].is_delivered:
                break
        return attempts

    def _post_one(self, delivery: Delivery, url: str, keys: Sequence[str]) -> Attempt:
        body = payload(delivery.kind, delivery.created_at, json.loads(delivery.data))
        name = message_id(delivery.event_id, delivery.created_at)
        try:
            endpoint = find_endpoint(url, self._settings.webhook_allow, self._resolve)
            answer = self._post(endpoint, body.encode(), signed_headers(name, body, keys, self._clock()))
        except (AddressRefusedError, NotDeliveredError) as error:
            return self._failed(delivery, str(error), None)
        if 200 <= answer.status < 300:
            return Attempt(delivery, True, answer.status, answer.words)
        return self._failed(delivery, answer.words, answer.status)

    def _failed(self, delivery: Delivery, words: str, status: int | None) -> Attempt:
        delays = NOTICE_DELAYS if delivery.webhook_id is None else WEBHOOK_DELAYS
        is_last = delivery.attempts > len(delays) or delivery.kind is EventKind.TEST
        next_at = None if is_last else self._clock() + delays[delivery.attempts - 1]
        receiver = f"webhook {delivery.webhook_id}" if delivery.webhook_id else "a notification"
        logger.warning("Event %d did not reach %s (attempt %d)", delivery.event_id, receiver, delivery.attempts)
        return Attempt(delivery, False, status, words, next_at)

    def _notify_people(self, claimed: Sequence[Delivery]) -> list[Attempt]:
        """Send these notifications, all in one run of Apprise."""
        url = self._settings.public_url
        messages = [
            Message(str(one.delivery_id), self._targets[one.target].url, *message(one.kind, json.loads(one.data), url))
            for one in claimed
            if one.target in self._targets
        ]
        sent = self._send(messages) if messages else {}
        return [self._attempt_of(one, sent.get(str(one.delivery_id))) for one in claimed]

    def _attempt_of(self, delivery: Delivery, sent: Sent | None) -> Attempt:
        if sent is None:
            return Attempt(delivery, False, answer=REMOVED)
        return Attempt(delivery, True) if sent.is_sent else self._failed(delivery, sent.words, None)
