"""The revisions of the tables: which scripts a database has, and running those that it lacks.

Each of the two databases has scripts of its own up to 0013; the later ones are for both.
"""

import importlib
from pathlib import Path

from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parents[1] / "migrations"  #: the names of its scripts begin with their revisions


def scripts(dialect: str) -> tuple[Path, Path]:
    """Return the folders of the scripts of a database: its own ones, and those of both."""
    return MIGRATIONS / dialect, MIGRATIONS / "shared"


def revisions(dialect: str) -> list[str]:
    """Return the revisions of the tables of a database, the oldest first."""
    return sorted(script.name[:4] for folder in scripts(dialect) for script in folder.glob("[0-9]*.py"))


def upgrade(connection: Connection) -> None:
    """Run the scripts that a database lacks, in the transaction of this connection.

    Alembic is imported here: that takes a tenth of the start, and is needed once a release.
    """
    config = importlib.import_module("alembic.config").Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("version_locations", "\n".join(map(str, scripts(connection.dialect.name))))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    importlib.import_module("alembic.command").upgrade(config, "head")
