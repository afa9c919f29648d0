"""Orders whose result the provider does not give: since when, and what it answers instead."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "withheld_results",
        sa.Column("order_id", sa.Text(), primary_key=True),
        sa.Column("since", sa.TIMESTAMP(), nullable=False),
        sa.Column("asked_at", sa.TIMESTAMP(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("spoils_lists", sa.Boolean(), nullable=False),
    )
