"""What orders add up to, kept up to a row id; counts of finished batches; and the indexes of the pages."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = "batch_id, day, service_name, status"
#: The key and the amount of one row of orders.
PARTS = (
    "coalesce({0}batch_id, 0), coalesce(date({0}order_date), ''), coalesce({0}service_name, ''),"
    " coalesce({0}status, '')"
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
COLUMNS = ("status", "credits", "order_date", "service_name", "batch_id")
CHANGED = " OR ".join(f"old.{name} IS NOT new.{name}" for name in COLUMNS)

TALLIED = ("batch_id", "status", "carrier", "simlock", "fmi", "blacklist")
FORGET = (
    "UPDATE batches SET tally_revision = NULL WHERE id IN (old.batch_id, new.batch_id) AND tally_revision IS NOT NULL;"
)


def upgrade() -> None:
    op.create_table(
        "order_totals",
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("service_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("millionths", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "day", "service_name", "status"),
        sqlite_with_rowid=False,
    )
    op.create_index("idx_order_totals_day", "order_totals", ["day"])
    op.create_table("totals_mark", sa.Column("upto", sa.Integer(), nullable=False))
    op.execute("INSERT INTO totals_mark SELECT coalesce(max(id), 0) FROM orders")
    op.execute(
        f"INSERT INTO order_totals ({KEY}, orders, millionths)"
        f" SELECT {PARTS.format('')}, count(*), sum({AMOUNT.format('')}) FROM orders GROUP BY 1, 2, 3, 4"
    )
    op.execute(
        f"CREATE TRIGGER orders_recounted AFTER UPDATE OF {', '.join(COLUMNS)} ON orders"
        f" WHEN {COUNTED} AND ({CHANGED}) BEGIN {TAKE} {ADD} END"
    )
    op.execute(f"CREATE TRIGGER orders_uncounted AFTER DELETE ON orders WHEN {COUNTED} BEGIN {TAKE} {LOWER} END")
    op.add_column("batches", sa.Column("tally", sa.Text()))
    op.add_column("batches", sa.Column("tally_revision", sa.Integer()))
    op.execute(
        f"CREATE TRIGGER orders_untallied AFTER UPDATE OF {', '.join(TALLIED)} ON orders"
        f" WHEN {' OR '.join(f'old.{name} IS NOT new.{name}' for name in TALLIED)} BEGIN {FORGET} END"
    )
    op.create_index(
        "idx_batches_untallied",
        "batches",
        ["state"],
        sqlite_where=sa.text("state = 'finished' AND tally_revision IS NOT revision"),
    )
    op.create_index(
        "idx_items_message", "items", ["batch_id", "outcome", "message"], sqlite_where=sa.text("message IS NOT NULL")
    )
    op.drop_index("idx_orders_pending", "orders")
    op.create_index(
        "idx_orders_pending",
        "orders",
        ["order_date"],
        sqlite_where=sa.text("status NOT IN ('Completed', 'Rejected')"),
    )
