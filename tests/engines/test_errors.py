"""Which errors mean that a database cannot be used now, and which are bugs."""

import psycopg
import pytest
from psycopg import errors

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
