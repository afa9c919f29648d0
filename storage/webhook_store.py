"""Webhooks on disk: who gets which events, and the secrets that sign them.

A secret leaves this module where it was just made, to be shown once, and where an event is signed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from database import IMEIDatabase, Transaction, utc_now
from schema import deliveries, webhooks
from storage.delivery_store import DeliveryState
from storage.outbox import EventKind

#: How long an old secret also signs, so that the receiver can take over the new one.
OLD_SECRET_SIGNS = timedelta(hours=24)
#: Webhooks at most: each has a thread while it is sent to.
MOST_WEBHOOKS = 20


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver of events, without its secrets. Times are UTC."""

    webhook_id: int
    url: str
    description: str
    events: tuple[EventKind, ...]
    created_at: datetime
    delivered_at: datetime | None  #: when it last took an event
    failing_since: datetime | None  #: when the first attempt after that failed
    disabled_at: datetime | None
    old_secret_until: datetime | None  #: until then two secrets sign
    has_secret: bool  #: False after a restore: backups hold no secrets
    waiting: int = 0  #: deliveries that are still to be made

    @classmethod
    def from_row(cls, row: Any) -> "Webhook":
        """Make one of a row of `_columns()`."""
        values = row._asdict()
        known = {kind.value for kind in EventKind}
        events = tuple(EventKind(word) for word in values.pop("events").split() if word in known)
        return cls(webhook_id=values.pop("id"), events=events, **values)


def all_webhooks(database: IMEIDatabase) -> list[Webhook]:
    """Return every webhook, the oldest first."""
    with database.read() as connection:
        return [Webhook.from_row(row) for row in connection.execute(_columns().order_by(webhooks.c.id))]


def find_webhook(connection: Connection, webhook_id: int) -> Webhook | None:
    """Return one webhook, or None for an unknown id."""
    row = connection.execute(_columns().where(webhooks.c.id == webhook_id)).first()
    return Webhook.from_row(row) if row else None


def _columns() -> Any:
    waiting = select(func.count()).where(
        deliveries.c.webhook_id == webhooks.c.id, deliveries.c.state == DeliveryState.WAITING
    )
    shown = (column for column in webhooks.c if column.name not in ("secret", "old_secret"))
    return select(*shown, (webhooks.c.secret != "").label("has_secret"), waiting.scalar_subquery().label("waiting"))


def signing_secrets(connection: Connection, webhook_id: int, now: datetime) -> list[str]:
    """Return the secrets that sign at a moment (UTC): the new one, and the old one for a day after its rotation."""
    row = connection.execute(select(webhooks).where(webhooks.c.id == webhook_id)).one()
    both = row.old_secret and row.old_secret_until and now < row.old_secret_until
    return [row.secret, row.old_secret] if both else [row.secret]


def add_webhook(
    connection: Transaction, url: str, description: str, events: Iterable[EventKind], secret: str
) -> int | None:
    """Store a webhook and return its id; None where there are MOST_WEBHOOKS already."""
    if connection.execute(select(func.count()).select_from(webhooks)).scalar_one() >= MOST_WEBHOOKS:
        return None
    values = {"url": url, "description": description, "events": _words(events), "secret": secret}
    new = insert(webhooks).values(**values, created_at=utc_now()).returning(webhooks.c.id)
    return int(connection.execute(new).scalar_one())


def change_webhook(
    connection: Transaction, webhook_id: int, url: str, description: str, events: Iterable[EventKind]
) -> bool:
    """Change what a person entered; return whether the webhook exists."""
    return _update(connection, webhook_id, url=url, description=description, events=_words(events))


def enable_webhook(connection: Transaction, webhook_id: int) -> bool:
    """Send to a webhook again, from the next event on; return whether it exists and has a secret."""
    _end_waiting(connection, webhook_id, "The webhook was disabled.")
    ready = update(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.secret != "")
    return connection.execute(ready.values(disabled_at=None, failing_since=None)).rowcount == 1


def disable_webhook(connection: Transaction, webhook_id: int, words: str) -> bool:
    """Send nothing more to a webhook: what waits fails with these words. Return whether it exists."""
    _end_waiting(connection, webhook_id, words)
    return _update(connection, webhook_id, disabled_at=utc_now())


def _end_waiting(connection: Transaction, webhook_id: int, words: str) -> None:
    waiting = (deliveries.c.webhook_id == webhook_id) & (deliveries.c.state == DeliveryState.WAITING)
    ended = {"state": DeliveryState.FAILED, "answer": words, "next_at": None, "ended_at": utc_now()}
    connection.execute(update(deliveries).where(waiting).values(**ended))


def delete_webhook(connection: Transaction, webhook_id: int) -> bool:
    """Remove a webhook with its deliveries; return whether it existed."""
    connection.execute(delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
    return connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id)).rowcount == 1


def rotate_secret(connection: Transaction, webhook_id: int, secret: str, now: datetime) -> bool:
    """Sign with this secret from now on, and with the one before it for a day; return whether the webhook exists."""
    return _update(
        connection, webhook_id, old_secret=webhooks.c.secret, secret=secret, old_secret_until=now + OLD_SECRET_SIGNS
    )


def _update(connection: Transaction, webhook_id: int, **values: Any) -> bool:
    return connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(**values)).rowcount == 1


def _words(events: Iterable[EventKind]) -> str:
    return " ".join(sorted(set(events)))
