"""Tables of saved filters, tags, preferences and customers. Both databases. It only adds."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the tables of lists of orders, and those of batches and customers."""
    _lists_of_orders()
    _tags_and_customers()


def _lists_of_orders() -> None:
    """Preferences and saved filters."""
    whole = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "preferences",
        sa.Column("person", words, primary_key=True),
        sa.Column("name", words, primary_key=True),
        sa.Column("value", words, nullable=False),
    )
    op.create_table(
        "saved_filters",
        sa.Column("id", whole, primary_key=True),
        sa.Column("person", words, nullable=False),
        sa.Column("name", words, nullable=False),
        sa.Column("query", words, nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("saved_at", sa.TIMESTAMP(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_saved_filters_name", "saved_filters", ["person", "name"], unique=True)


def _tags_and_customers() -> None:
    """Tags of batches and orders, and what is kept of a customer."""
    words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    whole = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    op.create_table(
        "tags",
        sa.Column("key", words, primary_key=True),
        sa.Column("word", words, nullable=False),
    )
    for table, column, parent in (("batch_tags", "batch_id", "batches.id"), ("order_tags", "order_row", "orders.id")):
        op.create_table(
            table,
            sa.Column("tag", words, sa.ForeignKey("tags.key"), primary_key=True),
            sa.Column(column, whole, sa.ForeignKey(parent, ondelete="CASCADE"), primary_key=True),
            sqlite_with_rowid=False,
        )
    op.create_index("idx_batch_tags_batch", "batch_tags", ["batch_id"])
    op.create_index("idx_order_tags_order", "order_tags", ["order_row"])
    op.create_table(
        "customers",
        sa.Column("key", words, primary_key=True),
        sa.Column("service_id", words, nullable=False),
    )
    named = sa.text("customer != ''")
    op.create_index("idx_batches_customer", "batches", ["customer"], sqlite_where=named, postgresql_where=named)
