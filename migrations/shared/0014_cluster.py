"""More than one machine: what workers on several machines and several accounts need. Both databases.

It only adds, so that the version before it can run beside it.
"""

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Each part of the program adds its own section here."""
