"""Receivers of events without a network: what was sent to them, and a leader's deliveries under a clock by hand."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from typing import Any

import pytest
from sqlalchemy import select

from database import IMEIDatabase, utc_now
from notices.addresses import Endpoint
from notices.delivering import Deliverer
from notices.notifying import Message, Sent, targets_of
from notices.posting import ReceiverAnswer
from notices.signing import new_secret
from schema import deliveries
from settings import Settings
from storage import delivery_store, webhook_store
from storage.outbox import EventKind

OK = ReceiverAnswer(200, "ok")
URLS = ("tgram://123456:bot-secret/chat", "mailtos://user:mail-secret@example.com")


@dataclass
class Receivers:
    """Deliveries of a leader: `answers` says what a host answers; `heard` was posted, `told` sent to people."""

    database: IMEIDatabase
    settings: Settings
    now: datetime = field(default_factory=utc_now)
    answers: dict[str, Callable[[], ReceiverAnswer]] = field(default_factory=dict)
    addresses: dict[str, Sequence[str]] = field(default_factory=dict)
    heard: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  #: host, body, headers
    told: list[Message] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  #: addresses of people that cannot be sent to → why

    def __post_init__(self) -> None:
        self.deliverer = Deliverer(
            self.database, self.settings, self._post, self._send, self._look_up, clock=lambda: self.now
        )

    def _post(self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str]) -> ReceiverAnswer:
        self.heard.append((endpoint.host, body.decode(), dict(headers)))
        return self.answers.get(endpoint.host, lambda: OK)()

    def _send(self, messages: Sequence[Message]) -> dict[str, Sent]:
        self.told += [message for message in messages if message.url not in self.refused]
        return {m.key: Sent(m.url not in self.refused, self.refused.get(m.url, "")) for m in messages}

    def _look_up(self, host: str, port: int) -> Sequence[str]:
        return self.addresses.get(host, ["93.184.215.14"])

    def subscribe(self, host: str, *kinds: EventKind) -> tuple[int, str]:
        """Add a webhook; return its id and its secret."""
        secret = new_secret()
        with self.database.write() as connection:
            added = webhook_store.add_webhook(connection, f"https://{host}/in", "", kinds, secret)
        assert added
        return added, secret

    def turn(self, pause: timedelta = timedelta(0)) -> None:
        """Let time pass, plan what is new, and send all that is due."""
        self.now += pause
        self.deliverer.turn(Event())
        for thread in self.deliverer._threads.values():
            thread.join(10)

    def states(self) -> list[tuple[str, int]]:
        """State and attempts of each delivery, the oldest first."""
        query = select(deliveries.c.state, deliveries.c.attempts).order_by(deliveries.c.id)
        with self.database.read() as connection:
            return [(row.state, row.attempts) for row in connection.execute(query)]

    def posted(self, host: str) -> list[dict[str, Any]]:
        """The payloads that a host got."""
        return [json.loads(body) for name, body, _ in self.heard if name == host]

    def newest(self) -> delivery_store.Delivery:
        """The newest delivery."""
        return delivery_store.page(self.database, None, None, None, 1)[0]

    def keys(self) -> list[str]:
        """The keys of the addresses of people."""
        return [target.key for target in targets_of(self.settings.notify_urls, self.database.install_id())]


@pytest.fixture(name="receivers")
def receivers_fixture(database: IMEIDatabase, settings: Settings) -> Receivers:
    return Receivers(database, replace(settings, notify_urls=URLS, trusted_hosts=("phones.example.com",)))
