"""Versions of the grading rules, the verdict of each order, verdicts in the totals, and the stop-loss."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

#: The rules that a new database begins with: verdict, condition, text or days, service id.
FIRST_RULES = (
    '[["review", "rejected", "", ""], ["review", "another", "", ""], ["fail", "blacklisted", "", ""],'
    ' ["fail", "fmi_on", "", ""], ["review", "locked", "", ""], ["review", "blacklist_unknown", "", ""],'
    ' ["review", "fmi_unknown", "", ""], ["review", "simlock_unknown", "", ""]]'
)
KEY = "batch_id, day, service_name, status, verdict"
#: The key and the amount of one row of orders.
PARTS = (
    "coalesce({0}batch_id, 0), coalesce(date({0}order_date), ''), coalesce({0}service_name, ''),"
    " coalesce({0}status, ''), coalesce({0}verdict, '')"
)
AMOUNT = "CAST(round(coalesce({0}credits, 0) * 1000000) AS INTEGER)"
COUNTED = "old.id <= (SELECT upto FROM totals_mark)"
ADD = (
    f"INSERT INTO order_totals ({KEY}, orders, millionths) VALUES ({PARTS.format('new.')}, 1, {AMOUNT.format('new.')})"
    f" ON CONFLICT ({KEY}) DO UPDATE SET orders = orders + 1, millionths = millionths + excluded.millionths;"
)
TAKE = (
    f"UPDATE order_totals SET orders = orders - 1, millionths = millionths - {AMOUNT.format('old.')}"
    f" WHERE ({KEY}) = ({PARTS.format('old.')});"
)
#: An orders table of the program before this one gives the row id of a removed newest order away again.
LOWER = "UPDATE totals_mark SET upto = min(upto, (SELECT coalesce(max(id), 0) FROM orders));"
COLUMNS = ("status", "credits", "order_date", "service_name", "batch_id", "verdict")
CHANGED = " OR ".join(f"old.{name} IS NOT new.{name}" for name in COLUMNS)


def upgrade() -> None:
    op.create_table(
        "rule_versions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_at", sa.TIMESTAMP(), nullable=False, server_default=sa.func.current_timestamp()),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False, server_default=""),
        sqlite_autoincrement=True,
    )
    op.execute(f"INSERT INTO rule_versions (rules) VALUES ('{FIRST_RULES}')")
    op.add_column("orders", sa.Column("verdict", sa.Text()))
    op.add_column("orders", sa.Column("verdict_rule", sa.Integer()))
    # Alembic leaves out a REFERENCES clause in ADD COLUMN for SQLite.
    op.execute("ALTER TABLE orders ADD COLUMN rules_version INTEGER REFERENCES rule_versions (id)")
    op.create_index("idx_orders_verdict", "orders", ["verdict"], sqlite_where=sa.text("verdict IS NOT NULL"))
    for name in ("simlock", "fmi", "blacklist"):
        op.create_index(
            f"idx_orders_verdict_{name}",
            "orders",
            ["verdict", name],
            sqlite_where=sa.text(f"verdict IS NOT NULL AND {name} IS NOT NULL"),
        )
    op.create_index(
        "idx_orders_ungraded",
        "orders",
        ["verdict"],
        sqlite_where=sa.text("verdict IS NULL AND status IN ('Completed', 'Rejected')"),
    )
    op.drop_index("idx_orders_rejected", "orders")
    columns = ["id", "order_date", "imei", "service_id", "batch_id", "carrier", "simlock", "fmi", "order_id"]
    op.create_index(
        "idx_orders_rejected",
        "orders",
        [*columns, "blacklist", "model", "serial", "verdict"],
        sqlite_where=sa.text("coalesce(status, '') = 'Rejected'"),
    )
    op.add_column("batches", sa.Column("is_judged", sa.Boolean(), nullable=False, server_default=sa.text("0")))
    _key_totals_by_verdict()


def _key_totals_by_verdict() -> None:
    """Make order_totals again with the verdict in its key; no order has one yet."""
    for trigger in ("orders_recounted", "orders_uncounted"):
        op.execute(f"DROP TRIGGER {trigger}")
    op.drop_index("idx_order_totals_day", "order_totals")
    op.rename_table("order_totals", "old_totals")
    op.create_table(
        "order_totals",
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("service_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("millionths", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "day", "service_name", "status", "verdict"),
        sqlite_with_rowid=False,
    )
    op.execute(
        f"INSERT INTO order_totals ({KEY}, orders, millionths)"
        " SELECT batch_id, day, service_name, status, '', orders, millionths FROM old_totals"
    )
    op.drop_table("old_totals")
    op.create_index("idx_order_totals_day", "order_totals", ["day"])
    op.execute(
        f"CREATE TRIGGER orders_recounted AFTER UPDATE OF {', '.join(COLUMNS)} ON orders"
        f" WHEN {COUNTED} AND ({CHANGED}) BEGIN {TAKE} {ADD} END"
    )
    op.execute(f"CREATE TRIGGER orders_uncounted AFTER DELETE ON orders WHEN {COUNTED} BEGIN {TAKE} {LOWER} END")
