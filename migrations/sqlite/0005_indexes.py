"""The index in which filters look at rejected orders, and that of the age of saved searches."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index(
        "idx_orders_rejected",
        "orders",
        ["id", "order_date", "imei", "service_id", "batch_id", "carrier", "simlock", "fmi", "order_id"],
        sqlite_where=sa.text("coalesce(status, '') = 'Rejected'"),
    )
    op.create_index("idx_saved_searches_created", "saved_searches", ["created_at"])
