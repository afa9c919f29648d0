"""Which batches a person stopped. Both databases. It only adds.

It was read from cancelled IMEIs before: a batch of which every call was on its way had none, and what a provider turned
away of it was sent again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

STOPPED = """
UPDATE batches SET is_stopped = true WHERE id IN
    (SELECT batch_id FROM items WHERE outcome = 'cancelled' AND message = 'cancelled before it was sent')
"""


def upgrade() -> None:
    """Add the column, and fill it by the IMEIs that were cancelled."""
    op.add_column("batches", sa.Column("is_stopped", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(STOPPED)
