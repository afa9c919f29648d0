"""Tables of saved filters, tags, preferences and customers. Both databases. It only adds."""

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add nothing yet."""
