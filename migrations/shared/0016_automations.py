"""Tables of follow-ups and scheduled re-checks. Both databases. It only adds."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0016"
down_revision = "0015"

WHOLE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
REAL: TypeEngine[float] = sa.REAL().with_variant(sa.Double(), "postgresql")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add automations, their runs, the phones that they ordered, and what re-checks found changed."""
    _automations()
    _runs()
    op.create_table(
        "automation_phones",
        sa.Column("automation_id", WHOLE, sa.ForeignKey("automations.id"), primary_key=True),
        sa.Column("imei", WORDS, primary_key=True),
        _needed("run_id", WHOLE, sa.ForeignKey("automation_runs.id")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "automation_changes",
        sa.Column("run_id", WHOLE, sa.ForeignKey("automation_runs.id"), primary_key=True),
        sa.Column("order_row", WHOLE, primary_key=True, autoincrement=False),
        _needed("imei", WORDS),
        _needed("changes", WORDS),
        sqlite_with_rowid=False,
    )


def _automations() -> None:
    op.create_table(
        "automations",
        sa.Column("id", WHOLE, primary_key=True),
        _needed("kind", WORDS),
        _needed("name", WORDS, unique=True),
        _needed("filter", WORDS),
        _needed("service_id", WORDS),
        _needed("max_price", REAL),
        _needed("daily_limit", REAL),
        _needed("every_days", WHOLE, server_default=sa.text("7")),
        _needed("hour", WHOLE, server_default=sa.text("8")),
        _needed("time_zone", WORDS, server_default="UTC"),
        _needed("first_day", WORDS, server_default=""),
        _needed("is_on", sa.Boolean(), server_default=sa.false()),
        _needed("notice", WORDS, server_default=""),
        sa.Column("user_id", WHOLE, sa.ForeignKey("users.id")),
        _needed("ordered_by", WORDS),
        _needed("created_at", sa.TIMESTAMP()),
        _needed("changed_at", sa.TIMESTAMP()),
        _needed("revision", WHOLE, server_default=sa.text("0")),
        _needed("after_change", WHOLE, server_default=sa.text("0")),
        sa.Column("due_at", sa.TIMESTAMP()),
        sa.CheckConstraint("kind = 'follow_up' OR kind = 'recheck'", name="kind_is_known"),
        sqlite_autoincrement=True,
    )


def _runs() -> None:
    op.create_table(
        "automation_runs",
        sa.Column("id", WHOLE, primary_key=True),
        _needed("automation_id", WHOLE, sa.ForeignKey("automations.id")),
        _needed("at", sa.TIMESTAMP()),
        _needed("kind", WORDS),
        _needed("actor", WORDS),
        _needed("found", WHOLE),
        _needed("sent", WHOLE),
        _needed("price", REAL),
        _needed("left_out", WORDS, server_default="{}"),
        _needed("samples", WORDS, server_default="[]"),
        _needed("words", WORDS, server_default=""),
        sa.Column("batch_id", WHOLE, sa.ForeignKey("batches.id"), unique=True),
        _needed("is_compared", sa.Boolean(), server_default=sa.false()),
        _needed("compared", WHOLE, server_default=sa.text("0")),
        sa.Column("compared_revision", WHOLE),
        _needed("changed", WHOLE, server_default=sa.text("0")),
        _needed("changes", WORDS, server_default="{}"),
        sa.CheckConstraint("kind = 'trial' OR kind = 'by hand' OR kind = 'by itself'", name="kind_is_known"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_automation_runs_automation", "automation_runs", ["automation_id", "id"])
    is_open = ~sa.column("is_compared", sa.Boolean())
    op.create_index(
        "idx_automation_runs_uncompared", "automation_runs", ["id"], sqlite_where=is_open, postgresql_where=is_open
    )


def _needed(name: str, kind: Any, *more: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=False, **options)
