"""Tables of phone models by TAC. Both databases. It only adds."""

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add nothing yet."""
