"""More than one machine: what workers on several machines and several accounts need. Both databases.

It only adds, so that the version before it can run beside it.
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0014"
down_revision = "0013"

NOTIFY_BATCH = """
CREATE FUNCTION hammer_notify_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('hammer_batches', NEW.id::text); RETURN NULL; END $$
"""
NOTIFY_BATCHES = """
CREATE TRIGGER batches_notified AFTER UPDATE OF revision ON batches FOR EACH ROW EXECUTE FUNCTION hammer_notify_batch()
"""


def upgrade() -> None:
    """Each part of the program adds its own section here."""
    _calls_of_jobs()


def _calls_of_jobs() -> None:
    """Calls that jobs make: who has begun which, the pace, who leads, stored answers, and the queue of jobs."""
    real: TypeEngine[float] = sa.REAL().with_variant(sa.Double(), "postgresql")
    whole = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("attempts", sa.Column("taken_by", words))
    op.add_column("attempts", sa.Column("begun_at", real))
    op.create_table(
        "pace",
        sa.Column("account", words, primary_key=True),
        sa.Column("newest_start", real, nullable=False, server_default=sa.text("0")),
        sa.Column("hold_until", real, nullable=False, server_default=sa.text("0")),
        sa.Column("spacing", real, nullable=False, server_default=sa.text("0")),
        sa.Column("allowance", whole),
        sa.Column("seconds", real, nullable=False, server_default=sa.text("0")),
        sa.Column("orders_wait", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("orders", words, nullable=False, server_default="[]"),
        sa.Column("reads", words, nullable=False, server_default="[]"),
    )
    op.create_table(
        "elections",
        sa.Column("name", words, primary_key=True),
        sa.Column("holder", words, nullable=False),
        sa.Column("expires_at", real, nullable=False),
    )
    op.create_table(
        "raw_answers",
        sa.Column("id", whole, primary_key=True),
        sa.Column("account", words, nullable=False),
        sa.Column("token", words, nullable=False, unique=True),
        sa.Column("call", words, nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("failure", words, nullable=False, server_default=""),
        sa.Column("began_at", real, nullable=False),
        sa.Column("arrived_at", real, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_raw_answers_account", "raw_answers", ["account"])
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        schema = import_module("procrastinate.schema").SchemaManager.get_schema()
        connection.connection.cursor().execute(schema)  # without parameters all statements are sent at once
        op.execute(NOTIFY_BATCH)
        op.execute(NOTIFY_BATCHES)
