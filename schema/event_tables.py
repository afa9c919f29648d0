"""What happened and who must hear of it: the audit log, events in the outbox, webhooks and their deliveries."""

from sqlalchemy import TIMESTAMP, Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, text

from schema.columns import metadata

#: Who did what, when, and from where. Triggers refuse changes; each entry has the digest of the entry before it, as
#: storage/audit_chain.py describes.
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Text, nullable=False),  #: UTC, ISO 8601 with microseconds: part of the digest
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default="{}"),  #: JSON
    Column("request_id", Text, nullable=False, server_default=""),
    Column("previous", Text, nullable=False),
    Column("digest", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("idx_audit_entries_actor", audit_entries.c.actor)
Index("idx_audit_entries_action", audit_entries.c.action)
Index("idx_audit_entries_subject", audit_entries.c.subject)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("events", Text, nullable=False),  #: kinds of events, separated by blanks
    Column("secret", Text, nullable=False),
    Column("old_secret", Text),  #: also signs until old_secret_until
    Column("old_secret_until", TIMESTAMP),
    Column("delivered_at", TIMESTAMP),  #: when it last took an event
    Column("failing_since", TIMESTAMP),  #: when the first attempt after that failed
    Column("created_at", TIMESTAMP, nullable=False),
    Column("disabled_at", TIMESTAMP),
    sqlite_autoincrement=True,
)

#: The outbox: events, written in the transaction in which they happen.
outbox_events = Table(
    "outbox_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("batch_id", Integer, ForeignKey("batches.id")),
    Column("data", Text, nullable=False),  #: JSON
    Column("created_at", TIMESTAMP, nullable=False),
    Column("is_planned", Boolean, nullable=False, server_default=text("0")),  #: its deliveries are written
    sqlite_autoincrement=True,
)
#: The condition of the index of events whose deliveries are not written yet.
IS_NEW = text("is_planned = 0")
Index("idx_outbox_events_new", outbox_events.c.id, sqlite_where=IS_NEW)

#: One event for one receiver: a webhook, or an address of NOTIFY_URLS.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event_id", Integer, ForeignKey("outbox_events.id"), nullable=False),
    Column("webhook_id", Integer, ForeignKey("webhooks.id")),  #: NULL for a notification
    Column("target", Text, nullable=False, server_default=""),  #: keyed hash of the address; "" for a webhook
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", TIMESTAMP),  #: while an attempt is under way, when the next one is due if it is never heard of
    Column("status", Integer),  #: of the last answer
    Column("answer", Text, nullable=False, server_default=""),  #: the beginning of the last answer, or the error
    Column("ended_at", TIMESTAMP),
    CheckConstraint("state = 'waiting' OR state = 'delivered' OR state = 'failed'", name="state_is_known"),
    sqlite_autoincrement=True,
)
Index("idx_deliveries_event", deliveries.c.event_id)
Index("idx_deliveries_webhook", deliveries.c.webhook_id, deliveries.c.state, deliveries.c.next_at)
