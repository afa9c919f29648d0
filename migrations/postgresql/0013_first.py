"""The first schema of PostgreSQL: what SQLite has after its own migrations. 0013_first.sql holds it."""

from pathlib import Path

from alembic import op

revision = "0013"
down_revision = None


def upgrade() -> None:
    words = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    # Without parameters the driver sends all statements at once.
    op.get_bind().connection.cursor().execute(words)
