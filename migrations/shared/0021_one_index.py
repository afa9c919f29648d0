"""One index of order ids on PostgreSQL instead of two. SQLite keeps both: it cannot rename the one of a constraint.

The index of the constraint is unique and does all the work; both were written for each order. It takes the name that
people know. No row is read, and a version before this one names neither.
"""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Drop the index that the unique one makes needless, and give that one its name."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP INDEX idx_order_id")
        op.execute("ALTER INDEX orders_order_id_key RENAME TO idx_order_id")
