"""More than one machine: what workers on several machines and several accounts need. Both databases.

It only adds, so that the version before it can run beside it.
"""

from importlib import import_module
from typing import Any

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
#: The account of everything from before there were several.
MAIN = "main"


def upgrade() -> None:
    """Add the tables and columns of workers, and those of several accounts."""
    _calls_of_jobs()
    _accounts()


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


def _accounts() -> None:
    """Several accounts at the provider: which has an order, a chunk, a call, a balance, a lease and a request."""
    real: TypeEngine[float] = sa.REAL().with_variant(sa.Double(), "postgresql")
    whole = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
    words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("chunks", sa.Column("account", words))
    for table in ("orders", "attempts", "balance_readings", "leases", "provider_requests"):
        op.add_column(table, sa.Column("account", words, nullable=False, server_default=MAIN))
    op.create_index("idx_orders_account", "orders", ["account", "id"], **_only("account != 'main'"))
    op.create_index("idx_attempts_account", "attempts", ["account", "id"])
    op.create_index("idx_leases_account", "leases", ["account"], unique=True)
    op.drop_index("idx_provider_requests_open", "provider_requests")
    columns, is_open = ["kind", "argument", "account"], _only("state IN ('waiting', 'asking')")
    op.create_index("idx_provider_requests_open", "provider_requests", columns, unique=True, **is_open)
    op.create_table(
        "provider_accounts",
        sa.Column("name", words, primary_key=True),
        sa.Column("place", whole, nullable=False),
        sa.Column("absence", words, nullable=False, server_default=""),
        sa.Column("rate_limit", whole),
        sa.Column("daily_budget", real),
        sa.Column("is_off", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("stop", words, nullable=False, server_default=""),
        sa.Column("goes_on_at", real),
        sa.Column("shortage", words, nullable=False, server_default=""),
        sa.Column("dollars_left", real),
        sa.Column("until_midnight", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("let_at", real, nullable=False, server_default=sa.text("0")),
    )
    op.create_table(
        "account_prices",
        sa.Column("account", words, primary_key=True),
        sa.Column("service_id", words, primary_key=True),
        sa.Column("price", real, nullable=False),
    )
    op.create_table(  # list_proofs stays for the version before this one
        "account_list_proofs",
        sa.Column("account", words, primary_key=True),
        sa.Column("service_id", words, primary_key=True),
        sa.Column("longest", whole, nullable=False),
        sa.Column("proven_at", sa.TIMESTAMP(), nullable=False, server_default=sa.func.current_timestamp()),
    )
    op.execute(
        "INSERT INTO account_list_proofs (account, service_id, longest, proven_at)"
        f" SELECT '{MAIN}', service_id, longest, proven_at FROM list_proofs"
    )


def _only(condition: str) -> dict[str, Any]:
    """Return the options of an index of some rows."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
