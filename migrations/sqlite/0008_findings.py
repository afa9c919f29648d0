"""Indexes for filters by blacklist, model and serial, and these columns in the index of rejected orders."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for name in ("blacklist", "model", "serial"):
        op.create_index(f"idx_orders_{name}", "orders", [name], sqlite_where=sa.text(f"{name} IS NOT NULL"))
    op.drop_index("idx_orders_rejected", "orders")
    columns = ["id", "order_date", "imei", "service_id", "batch_id", "carrier", "simlock", "fmi", "order_id"]
    op.create_index(
        "idx_orders_rejected",
        "orders",
        [*columns, "blacklist", "model", "serial"],
        sqlite_where=sa.text("coalesce(status, '') = 'Rejected'"),
    )
