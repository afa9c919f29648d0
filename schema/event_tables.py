"""What happened and whom it is sent to: the audit log, events in the outbox, webhooks and their deliveries."""

from sqlalchemy import TIMESTAMP, Boolean, CheckConstraint, Column, ForeignKey, Index, Table, false, text

from schema.columns import INTEGER, TEXT, metadata, only

#: Who did what, when, and from where. Triggers refuse changes; each entry has the digest of the entry before it, as
#: storage/audit_chain.py describes.
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("at", TEXT, nullable=False),  #: UTC, ISO 8601 with microseconds: part of the digest
    Column("actor", TEXT, nullable=False),
    Column("address", TEXT, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False, server_default=""),
    Column("detail", TEXT, nullable=False, server_default="{}"),  #: JSON
    Column("request_id", TEXT, nullable=False, server_default=""),
    Column("previous", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False),
    sqlite_autoincrement=True,
)
Index("idx_audit_entries_actor", audit_entries.c.actor)
Index("idx_audit_entries_action", audit_entries.c.action)
Index("idx_audit_entries_subject", audit_entries.c.subject)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("url", TEXT, nullable=False),
    Column("description", TEXT, nullable=False, server_default=""),
    Column("events", TEXT, nullable=False),  #: kinds of events, separated by blanks
    Column("secret", TEXT, nullable=False),
    Column("old_secret", TEXT),  #: also signs until old_secret_until
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
    Column("id", INTEGER, primary_key=True),
    Column("kind", TEXT, nullable=False),
    Column("batch_id", INTEGER, ForeignKey("batches.id")),
    Column("data", TEXT, nullable=False),  #: JSON
    Column("created_at", TIMESTAMP, nullable=False),
    Column("is_planned", Boolean, nullable=False, server_default=false()),  #: its deliveries are written
    sqlite_autoincrement=True,
)
#: The condition of the index of events whose deliveries are not written yet.
IS_NEW = ~outbox_events.c.is_planned
Index("idx_outbox_events_new", outbox_events.c.id, **only(IS_NEW))

#: One event for one receiver: a webhook, or an address of NOTIFY_URLS.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("event_id", INTEGER, ForeignKey("outbox_events.id"), nullable=False),
    Column("webhook_id", INTEGER, ForeignKey("webhooks.id")),  #: NULL for a notification
    Column("target", TEXT, nullable=False, server_default=""),  #: keyed hash of the address; "" for a webhook
    Column("state", TEXT, nullable=False),
    Column("attempts", INTEGER, nullable=False, server_default=text("0")),
    Column("next_at", TIMESTAMP),  #: while an attempt is under way, when the next one is due if no answer is recorded
    Column("status", INTEGER),  #: of the last answer
    Column("answer", TEXT, nullable=False, server_default=""),  #: the beginning of the last answer, or the error
    Column("ended_at", TIMESTAMP),
    CheckConstraint("state = 'waiting' OR state = 'delivered' OR state = 'failed'", name="state_is_known"),
    sqlite_autoincrement=True,
)
Index("idx_deliveries_event", deliveries.c.event_id)
Index("idx_deliveries_webhook", deliveries.c.webhook_id, deliveries.c.state, deliveries.c.next_at)
