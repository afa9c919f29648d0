"""What the clock of the database showed when the loop looked last, beside the starts of calls. It only adds.

Where that clock was set back by an hour, each start lay an hour ahead, and no call was made until it had come.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Add the column."""
    real: TypeEngine[float] = sa.REAL().with_variant(sa.Double(), "postgresql")
    op.add_column("pace", sa.Column("seen_at", real, nullable=False, server_default=sa.text("0")))
