"""Which errors of a database mean that it cannot be used now, and the sentence about each. All others are bugs."""

import sqlite3

import psycopg
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from sqlite_file import dbapi as driver

REPLACED = "another file was put in its place while the program ran: start the program again"
PRIMARY_CODE = 0xFF  #: the bits of an extended code of SQLite that name its kind
#: The codes of SQLite for a file that cannot be used now, with a sentence that says what to look at.
UNUSABLE = {
    sqlite3.SQLITE_BUSY: "Another program has held the database for half a minute.",
    sqlite3.SQLITE_LOCKED: "Another program has held the database for half a minute.",
    sqlite3.SQLITE_FULL: "The disk of the database is full.",
    sqlite3.SQLITE_READONLY: "The database, or its disk, may not be written to.",
    sqlite3.SQLITE_CANTOPEN: "The database cannot be opened.",
    sqlite3.SQLITE_IOERR: "The disk of the database fails.",
}
#: SQLSTATE codes of PostgreSQL, or their classes, for a server that cannot be used now. The longest match counts.
UNUSABLE_STATES = {
    "08": "The database server cannot be reached.",
    "25006": "The database server takes no changes now.",
    "25P03": "The database server ended a transaction that had waited too long.",
    "40": "The database server ended a transaction because of another one.",
    "53": "The database server lacks disk space, memory or connections.",
    "55P03": "Another program has held the database for half a minute.",
    "57014": "The database server ended a statement that took longer than it allows.",
    "57": "The database server is stopping or starting.",
    "58": "The disk of the database server fails.",
}
UNREACHABLE = UNUSABLE_STATES["08"]
POOLED = (
    "A pooler such as PgBouncer takes the settings from connections to the database server: let DATABASE_URL name the"
    " server itself."
)
#: How a pooler refuses the settings of a connection.
REFUSES_SETTINGS = "unsupported startup parameter"


class DatabaseUnavailableError(OperationalError):
    """The database cannot be read or written now, and perhaps later. Any other error is a bug.

    SQLite has changed nothing then. PostgreSQL may have committed, where the connection broke in a commit: what is
    written again must be guarded by the state that it was decided on.
    """

    @property
    def sentence(self) -> str:
        """The reason, as a sentence for a page."""
        return why_unusable(self.orig) or f"{self.orig}."


class DatabaseReplacedError(DatabaseUnavailableError):
    """Another file is at the path now: nothing may be read or written until the program starts again."""

    def __init__(self) -> None:
        super().__init__("", None, driver.OperationalError(REPLACED))


class UnusableDatabaseError(Exception):
    """The database is damaged, or was made by a newer version; the message says what to do."""


def why_unusable(error: BaseException | None) -> str:
    """Return the sentence about an error of a driver that means that the database cannot be used now, else "".

    The code decides: SQLite raises OperationalError also for "no such column".
    """
    if isinstance(error, psycopg.Error):
        return _why_server(error)
    code = getattr(error, "sqlite_errorcode", None)
    return UNUSABLE.get(code & PRIMARY_CODE, "") if isinstance(code, int) else ""


def _why_server(error: psycopg.Error) -> str:
    state = error.sqlstate or ""
    found = next((UNUSABLE_STATES[state[:size]] for size in (5, 2) if state[:size] in UNUSABLE_STATES), "")
    if not state and REFUSES_SETTINGS in str(error):
        return POOLED
    is_cut = not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return UNREACHABLE if is_cut else found


def unavailable_error(context: ExceptionContext) -> BaseException | None:
    """Return DatabaseUnavailableError in place of an error that means that the database cannot be used now."""
    if not why_unusable(context.original_exception):
        return None
    return DatabaseUnavailableError(context.statement or "", None, context.original_exception)
