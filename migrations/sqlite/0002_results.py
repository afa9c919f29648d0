"""Each change of status with its time, what an import changed, results about another IMEI, and indexes for filters."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "status_changes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("order_row", sa.Integer(), sa.ForeignKey("orders.id"), nullable=False),
        sa.Column("old", sa.Text()),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.TIMESTAMP(), nullable=False),
    )
    op.create_index("idx_status_changes_order", "status_changes", ["order_row"])
    op.create_table(
        "import_changes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("import_id", sa.Integer(), sa.ForeignKey("import_history.id"), nullable=False),
        sa.Column("order_row", sa.Integer(), nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text(), nullable=False),
    )
    op.create_index("idx_import_changes_import", "import_changes", ["import_id"])
    op.create_index("idx_import_changes_order", "import_changes", ["order_row"])
    op.add_column("import_history", sa.Column("undone_at", sa.TIMESTAMP()))
    op.add_column("orders", sa.Column("other_imei", sa.Text()))
    op.create_index("idx_orders_service", "orders", ["service_id"])
    op.create_index(
        "idx_orders_pending", "orders", ["id"], sqlite_where=sa.text("status NOT IN ('Completed', 'Rejected')")
    )
    for name in ("imei2", "other_imei", "carrier", "simlock", "fmi"):
        op.create_index(f"idx_orders_{name}", "orders", [name], sqlite_where=sa.text(f"{name} IS NOT NULL"))
