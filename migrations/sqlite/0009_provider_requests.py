"""Requests of pages and commands to the one process that calls the provider, and the orders that answers list."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "provider_requests",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("argument", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.REAL(), nullable=False),
        sa.Column("answered_at", sa.REAL()),
        sa.Column("error", sa.Text(), nullable=False, server_default=""),
        sa.Column("failure", sa.Text(), nullable=False, server_default=""),
        sa.CheckConstraint("state IN ('waiting', 'asking', 'answered', 'failed')", name="state_is_known"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "idx_provider_requests_open",
        "provider_requests",
        ["kind", "argument"],
        unique=True,
        sqlite_where=sa.text("state IN ('waiting', 'asking')"),
    )
    op.create_index(
        "idx_provider_requests_finished",
        "provider_requests",
        ["kind"],
        sqlite_where=sa.text("state IN ('answered', 'failed')"),
    )
    op.create_table(
        "listed_orders",
        sa.Column(
            "request_id", sa.Integer(), sa.ForeignKey("provider_requests.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("imei", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.Text(), nullable=False),
        sqlite_with_rowid=False,
    )
    # Where earlier versions kept the list of recent orders, the calls of pages and their failures.
    op.execute("DELETE FROM settings WHERE key IN ('page_list', 'page_calls', 'services_failed', 'account_failed')")
