"""Balance readings, the runner's lease, calls that repeat a doubtful one, and orders that existed before our call."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "balance_readings",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("read_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("credits", sa.REAL(), nullable=False),
        sa.Column("before_attempt", sa.Integer(), nullable=False),
        sa.Column("after_order", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_balance_readings_before", "balance_readings", ["before_attempt"])
    op.create_table(
        "leases",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.TIMESTAMP(), nullable=False),
    )
    op.add_column("chunks", sa.Column("doubt_attempt", sa.Integer()))
    op.add_column("chunks", sa.Column("cleared", sa.Boolean(), nullable=False, server_default=sa.text("0")))
    op.add_column("attempts", sa.Column("first_list", sa.Text(), nullable=False, server_default=""))
    op.add_column("attempts", sa.Column("after_order", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("orders", sa.Column("existed", sa.Boolean(), nullable=False, server_default=sa.text("0")))
