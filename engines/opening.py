"""Open a file of SQLite, or a database of PostgreSQL by its address."""

import logging
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from engines.postgresql_server import PostgreSQLServer
from engines.sqlite_engine import SQLiteEngine
from sqlite_file import Copy

logger = logging.getLogger(__name__)

#: How an address of PostgreSQL begins.
ADDRESSES = ("postgresql://", "postgres://", "postgresql+psycopg://")


class Engines(Protocol):
    """What database.py needs of either database."""

    engine: Engine  #: whose transactions are as the driver begins them
    readers: Engine  #: each transaction is one consistent snapshot
    singles: Engine  #: for single statements: on a server there is no transaction around each
    writers: Engine  #: one transaction at a time, in all processes
    hurried: Engine  #: as writers, but DatabaseUnavailableError after a moment where another one writes

    @property
    def path(self) -> Path | None:
        """The file; None for a server."""

    @property
    def place(self) -> str:
        """Where the database is; a copy has another place."""

    @property
    def version(self) -> str:
        """Name and version of the program that stores it, such as "SQLite 3.53.0"."""

    @property
    def risk(self) -> str:
        """Why commits may be lost when the machine fails, and what to do, as sentences; "" if they are not."""

    def changes(self) -> int | None:
        """Return a number that differs after each commit of any connection; None where the database has none.

        It costs much less than to read a row. Raises DatabaseReplacedError.
        """

    def check(self) -> None:
        """Raise DatabaseReplacedError where another file is at the path."""

    def migrate(self) -> None:
        """Bring the tables to the newest revision, one process at a time."""

    def size(self) -> int:
        """Return the bytes that the database takes."""

    def write_copy(self, folder: Path, now: datetime) -> Copy:
        """Write a verified backup into a folder; now: UTC. Raises OSError with a sentence as its strerror."""

    def optimize(self) -> None:
        """Update the statistics of the planner, where the database does not do it by itself."""

    def damage(self) -> str:
        """Return "ok", or what is wrong with the stored data."""

    def close(self) -> None:
        """Close every connection of this process."""


def is_address(place: str | Path) -> bool:
    """Whether this is the address of a database of PostgreSQL."""
    return isinstance(place, str) and place.startswith(ADDRESSES)


def open_engines(place: str | Path) -> Engines:
    """Open the file at a path, or the database at an address such as postgresql://user:password@host/name."""
    found: Engines = PostgreSQLServer(str(place)) if is_address(place) else SQLiteEngine(Path(place))
    if logger.isEnabledFor(logging.DEBUG):
        logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)  # at INFO this library logs each statement
    return found
