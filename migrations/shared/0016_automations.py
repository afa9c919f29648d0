"""Tables of follow-ups and scheduled re-checks. Both databases. It only adds."""

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add nothing yet."""
