"""Users, sessions, tokens and who ordered a batch; the audit log; events, webhooks and deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

#: What batches at rest would have announced: nobody must hear of them now.
ANNOUNCED = """
UPDATE batches SET announced = CASE
  WHEN state = 'paused' THEN iif(resumes_itself, '', 'batch.paused')
  WHEN state = 'running' THEN ''
  WHEN EXISTS (SELECT 1 FROM items WHERE batch_id = batches.id AND outcome = 'in_doubt') THEN 'batch.in_doubt'
  WHEN id IN (SELECT batch_id FROM orders WHERE status NOT IN ('Completed', 'Rejected') AND batch_id IS NOT NULL
              AND order_id NOT IN (SELECT order_id FROM withheld_results)) THEN ''
  ELSE 'batch.complete' END
"""
ROLES = "role IN ('viewer', 'operator', 'admin')"


def upgrade() -> None:
    _people()
    _batches()
    _audit_log()
    _events()


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("daily_limit", sa.REAL()),
        sa.Column("totp_secret", sa.Text()),
        sa.Column("totp_step", sa.Integer()),
        sa.Column("created_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("password_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("disabled_at", sa.TIMESTAMP()),
        sa.CheckConstraint(ROLES, name="role_is_known"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("used_at", sa.TIMESTAMP()),
    )
    op.create_index("idx_recovery_codes_user", "recovery_codes", ["user_id"])
    op.create_table(
        "sessions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("id_hash", sa.Text(), nullable=False, unique=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("seen_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("proved_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("browser", sa.Text(), nullable=False, server_default=""),
        sa.Column("ended_at", sa.TIMESTAMP()),
        sa.Column("end_reason", sa.Text(), nullable=False, server_default=""),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_sessions_user", "sessions", ["user_id"])
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False, unique=True),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id")),
        sa.Column("daily_limit", sa.REAL()),
        sa.Column("created_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("expires_at", sa.TIMESTAMP()),
        sa.Column("used_at", sa.TIMESTAMP()),
        sa.Column("used_from", sa.Text(), nullable=False, server_default=""),
        sa.Column("revoked_at", sa.TIMESTAMP()),
        sa.CheckConstraint(ROLES, name="role_is_known"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "login_failures",
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.REAL(), nullable=False),
        sa.Column("until_at", sa.REAL(), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False, server_default=sa.text("0")),
    )
    op.execute("DELETE FROM settings WHERE key = 'login_attempts'")


def _batches() -> None:
    op.add_column("batches", sa.Column("ordered_by", sa.Text(), nullable=False, server_default=""))
    # Alembic leaves out a REFERENCES clause in ADD COLUMN for SQLite.
    op.execute("ALTER TABLE batches ADD COLUMN user_id INTEGER REFERENCES users (id)")
    op.execute("ALTER TABLE batches ADD COLUMN token_id INTEGER REFERENCES api_tokens (id)")
    op.create_index("idx_batches_person", "batches", ["ordered_by"])
    op.add_column("scans", sa.Column("scanned_by", sa.Text(), nullable=False, server_default=""))
    op.create_index("idx_scans_person", "scans", ["scanned_by"])
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Integer(), sa.ForeignKey("batches.id")),
        sa.Column("answer", sa.Text()),
        sa.Column("created_at", sa.TIMESTAMP(), nullable=False),
    )
    op.create_index("idx_idempotency_keys_created", "idempotency_keys", ["created_at"])


def _audit_log() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False, server_default=""),
        sa.Column("detail", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("request_id", sa.Text(), nullable=False, server_default=""),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    for column in ("actor", "action", "subject"):
        op.create_index(f"idx_audit_entries_{column}", "audit_entries", [column])
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_entries_no_{change.lower()} BEFORE {change} ON audit_entries"
            " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )
    # Also against REPLACE: it removes a row without running the trigger of DELETE.
    op.execute(
        "CREATE TRIGGER audit_entries_at_the_end BEFORE INSERT ON audit_entries"
        " WHEN NEW.id <= (SELECT coalesce(max(id), 0) FROM audit_entries)"
        " OR NEW.previous IS NOT coalesce("
        "(SELECT digest FROM audit_entries ORDER BY id DESC LIMIT 1), printf('%064d', 0))"
        " BEGIN SELECT RAISE(ABORT, 'an entry of the audit log continues the last one'); END"
    )


def _events() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False, server_default=""),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("old_secret", sa.Text()),
        sa.Column("old_secret_until", sa.TIMESTAMP()),
        sa.Column("delivered_at", sa.TIMESTAMP()),
        sa.Column("failing_since", sa.TIMESTAMP()),
        sa.Column("created_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("disabled_at", sa.TIMESTAMP()),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "outbox_events",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Integer(), sa.ForeignKey("batches.id")),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("is_planned", sa.Boolean(), nullable=False, server_default=sa.text("0")),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_outbox_events_new", "outbox_events", ["id"], sqlite_where=sa.text("is_planned = 0"))
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("event_id", sa.Integer(), sa.ForeignKey("outbox_events.id"), nullable=False),
        sa.Column("webhook_id", sa.Integer(), sa.ForeignKey("webhooks.id")),
        sa.Column("target", sa.Text(), nullable=False, server_default=""),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("next_at", sa.TIMESTAMP()),
        sa.Column("status", sa.Integer()),
        sa.Column("answer", sa.Text(), nullable=False, server_default=""),
        sa.Column("ended_at", sa.TIMESTAMP()),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state_is_known"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_deliveries_event", "deliveries", ["event_id"])
    op.create_index("idx_deliveries_webhook", "deliveries", ["webhook_id", "state", "next_at"])
    op.add_column("batches", sa.Column("announced", sa.Text(), nullable=False, server_default=""))
    op.execute(ANNOUNCED)
