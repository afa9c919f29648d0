"""Which errors mean that a database cannot be used now, and which are bugs."""

import sqlite3

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import OperationalError

from database import DatabaseUnavailableError, IMEIDatabase
from engines import UnusableDatabaseError, why_unusable
from engines.errors import UNREACHABLE


@pytest.mark.parametrize(
    "error", [psycopg.OperationalError("connection refused"), psycopg.InterfaceError("the connection is closed")]
)
def test_a_broken_connection_is_a_server_that_cannot_be_reached(error: psycopg.Error) -> None:
    assert why_unusable(error) == UNREACHABLE


def test_a_pooler_that_takes_no_settings_of_connections_is_named() -> None:
    words = 'connection to server at "127.0.0.1", port 6432 failed: FATAL:  unsupported startup parameter: options'
    assert "PgBouncer" in why_unusable(psycopg.OperationalError(words))


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (errors.AdminShutdown(), "stopping"),
        (errors.QueryCanceled(), "longer than it allows"),
        (errors.CannotConnectNow(), "starting"),
        (errors.DiskFull(), "disk space"),
        (errors.TooManyConnections(), "connections"),
        (errors.LockNotAvailable(), "half a minute"),
        (errors.SerializationFailure(), "another one"),
        (errors.ReadOnlySqlTransaction(), "no changes"),
        (errors.IdleInTransactionSessionTimeout(), "waited too long"),
        (errors.IoError(), "disk"),
    ],
)
def test_the_state_of_the_server_says_why(error: psycopg.Error, word: str) -> None:
    assert word in why_unusable(error)


@pytest.mark.parametrize(
    "error",
    [errors.UndefinedColumn(), errors.UniqueViolation(), errors.SyntaxError(), UnusableDatabaseError(), None],
)
def test_any_other_error_is_a_bug(error: BaseException | None) -> None:
    assert why_unusable(error) == ""


class DriverError(Exception):
    """What the driver raises, with SQLite's code."""

    def __init__(self, code: int) -> None:
        super().__init__("said otherwise")
        self.sqlite_errorcode = code


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (sqlite3.SQLITE_BUSY, "Another program"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "Another program"),
        (sqlite3.SQLITE_LOCKED_SHAREDCACHE, "Another program"),
        (sqlite3.SQLITE_FULL, "full"),
        (sqlite3.SQLITE_IOERR_WRITE, "fails"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "written"),
        (sqlite3.SQLITE_CANTOPEN, "opened"),
    ],
)
def test_sqlites_code_says_that_the_file_cannot_be_used_now(code: int, word: str) -> None:
    assert word in why_unusable(DriverError(code))


@pytest.mark.parametrize(
    "error",
    [
        DriverError(sqlite3.SQLITE_ERROR),
        DriverError(sqlite3.SQLITE_CORRUPT),
        DriverError(sqlite3.SQLITE_SCHEMA),
        DriverError(sqlite3.SQLITE_CONSTRAINT_UNIQUE),
        Exception("database is locked"),
        None,
    ],
)
def test_every_other_error_is_a_bug_or_damage(error: Exception | None) -> None:
    assert why_unusable(error) == ""


def test_a_wrong_query_is_no_unusable_file(database: IMEIDatabase) -> None:
    with pytest.raises(OperationalError, match="no such column") as caught, database.read() as connection:
        connection.exec_driver_sql("SELECT missing FROM orders")
    assert not isinstance(caught.value, DatabaseUnavailableError)
