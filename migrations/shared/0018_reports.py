"""Tables of disputes, links to reports and figures of services. Both databases. It only adds."""

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add nothing yet."""
