"""Tables of disputes, links to reports and figures of services. Both databases. It only adds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0018"
down_revision = "0017"

REAL: TypeEngine[float] = sa.REAL().with_variant(sa.Double(), "postgresql")
WHOLE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables of reports."""
    _disputes()
    _report_links()
    _services()


def _disputes() -> None:
    """Disputes with the provider, and their history."""
    op.create_table(
        "disputes",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("order_row", WHOLE, unique=True),
        sa.Column("item_id", WHOLE, unique=True),
        sa.Column("order_id", WORDS),
        sa.Column("imei", WORDS, nullable=False),
        sa.Column("service_name", WORDS, nullable=False, server_default=""),
        sa.Column("price", REAL, nullable=False, server_default=sa.text("0")),
        sa.Column("ordered_at", sa.TIMESTAMP()),
        sa.Column("batch_id", WHOLE),
        sa.Column("reason", WORDS, nullable=False, server_default=""),
        sa.Column("said", WORDS, nullable=False, server_default=""),
        sa.Column("note", WORDS, nullable=False, server_default=""),
        sa.Column("refund", REAL, nullable=False, server_default=sa.text("0")),
        sa.Column("refunded_on", WORDS),
        sa.Column("opened_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("changed_at", sa.TIMESTAMP(), nullable=False),
        _one_of("kind", "in_doubt", "mismatched", "rejected", "other"),
        _one_of("state", "open", "sent", "refunded", "refused", "closed"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_disputes_state", "disputes", ["state", "id"])
    op.create_index("idx_disputes_order_id", "disputes", ["order_id"])
    op.create_table(
        "dispute_events",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("dispute_id", WHOLE, sa.ForeignKey("disputes.id"), nullable=False),
        sa.Column("at", sa.TIMESTAMP(), nullable=False),
        sa.Column("person", WORDS, nullable=False),
        sa.Column("state", WORDS, nullable=False),
        sa.Column("refund", REAL, nullable=False, server_default=sa.text("0")),
        sa.Column("note", WORDS, nullable=False, server_default=""),
    )
    op.create_index("idx_dispute_events_dispute", "dispute_events", ["dispute_id"])


def _report_links() -> None:
    """Links that show the report of a batch without a login."""
    op.create_table(
        "report_links",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("batch_id", WHOLE, sa.ForeignKey("batches.id"), nullable=False),
        sa.Column("token_hash", WORDS, nullable=False, unique=True),
        sa.Column("has_prices", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("has_imeis", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("has_csv", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("created_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("created_by", WORDS, nullable=False),
        sa.Column("expires_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("revoked_at", sa.TIMESTAMP()),
        sa.Column("opened_at", sa.TIMESTAMP()),
        sa.Column("opens", WHOLE, nullable=False, server_default=sa.text("0")),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_report_links_batch", "report_links", ["batch_id"])


def _services() -> None:
    """Prices, turnarounds and figures of services. The prices of now are the first that are known."""
    op.create_table(
        "service_prices",
        sa.Column("service_id", WORDS, primary_key=True),
        sa.Column("since", REAL, primary_key=True),
        sa.Column("price", REAL, nullable=False),
    )
    op.execute(
        "INSERT INTO service_prices (service_id, since, price) SELECT service_id, refreshed_at, price FROM services"
    )
    op.create_table(
        "turnarounds",
        sa.Column("service_id", WORDS, primary_key=True),
        sa.Column("day", WORDS, primary_key=True),
        sa.Column("step", WHOLE, primary_key=True),
        sa.Column("orders", WHOLE, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "service_figures",
        sa.Column("service_id", WORDS, primary_key=True),
        sa.Column("days", WHOLE, primary_key=True),
        sa.Column("completed", WHOLE, nullable=False),
        sa.Column("rejected", WHOLE, nullable=False),
        sa.Column("spent", REAL, nullable=False),
        sa.Column("refunded", REAL, nullable=False),
        sa.Column("timed", WHOLE, nullable=False),
        sa.Column("median", REAL),
        sa.Column("slow", REAL),
        sa.Column("computed_at", REAL, nullable=False),
    )


def _one_of(column: str, *words: str) -> sa.CheckConstraint:
    """Return the constraint that a column holds one of these words."""
    return sa.CheckConstraint(" OR ".join(f"{column} = '{word}'" for word in words), name=f"{column}_is_known")
