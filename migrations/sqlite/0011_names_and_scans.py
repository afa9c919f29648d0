"""Customer and note of a batch, favourite services, and the scans of scan mode."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    for table in ("batches", "uploads"):
        for name in ("customer", "note"):
            op.add_column(table, sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.create_index("idx_batches_listed", "batches", ["id"], sqlite_where=sa.text("source != 'scan'"))
    op.add_column("services", sa.Column("favourite", sa.Boolean(), nullable=False, server_default=sa.text("0")))
    op.create_table(
        "scans",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("imei", sa.Text(), nullable=False),
        sa.Column("service_id", sa.Text(), nullable=False),
        sa.Column("scanned_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("batch_id", sa.Integer(), sa.ForeignKey("batches.id")),
        sa.Column("order_row", sa.Integer()),
        sa.Column("is_new", sa.Boolean(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_scans_session", "scans", ["session"])
