"""Statements that go to the driver at once: transactions by themselves, with the errors of all other statements."""

import logging
from typing import cast

import psycopg
import pytest
from sqlalchemy import bindparam, create_engine, event, select, text

from database import DatabaseUnavailableError, IMEIDatabase
from engines import PostgreSQLServer, read_prepared
from engines.direct import direct
from schema import stored_settings

INSERT = text("INSERT INTO settings (key, value) VALUES (:key, :value) ON CONFLICT DO NOTHING RETURNING key, value")
OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
)
NAMED = select(stored_settings.c.key.label("name"), stored_settings.c.value).where(
    stored_settings.c.key == bindparam("wanted"), stored_settings.c.value != "0"
)
LISTED = select(stored_settings.c.key).where(stored_settings.c.key.in_(["a", "b"]))


@pytest.fixture
def server(server_database: IMEIDatabase) -> PostgreSQLServer:
    return cast(PostgreSQLServer, server_database.engines)


def test_each_statement_is_committed_when_it_returns(server_database: IMEIDatabase, server: PostgreSQLServer) -> None:
    with server.by_itself() as connection:
        row = connection.execute(INSERT, {"key": "a", "value": "100 %"}).one()
        assert (row.key, row.value) == ("a", "100 %")
        assert server_database.get_setting("a") == "100 %"


def test_statements_are_logged_beside_those_of_sqlalchemy(
    server: PostgreSQLServer, caplog: pytest.LogCaptureFixture
) -> None:
    """LOG_LEVEL=DEBUG shows them all, and otherwise none."""
    for level, shown in ((logging.WARNING, []), (logging.INFO, ["SELECT 1 %% 2"])):
        with caplog.at_level(level, "sqlalchemy.engine"), server.by_itself() as connection:
            connection.execute(text("SELECT 1 % 2"))
        assert [record.message for record in caplog.records if record.name == "sqlalchemy.engine.direct"] == shown


def test_a_statement_without_rows_has_none(server: PostgreSQLServer) -> None:
    with server.by_itself() as connection:
        connection.execute(INSERT, {"key": "a", "value": "1"})
        again = connection.execute(INSERT, {"key": "a", "value": "2"})
        assert (again.first(), again.scalar()) == (None, None)
        assert connection.execute(text("DELETE FROM settings WHERE key = :key"), {"key": "a"}).first() is None
        assert connection.execute(text("SELECT 1 % 1")).scalar_one() == 0


def test_a_text_may_have_the_character_nul(server: PostgreSQLServer) -> None:
    with server.by_itself() as connection:
        assert connection.execute(INSERT, {"key": "a", "value": "b\x00"}).one().value == "b\ufffd"


def test_a_server_that_ended_the_connection_is_used_again(server: PostgreSQLServer) -> None:
    with server.by_itself() as cut, server.by_itself() as connection:
        connection.execute(OTHERS)
        with pytest.raises(DatabaseUnavailableError, match="terminating"):
            cut.execute(text("SELECT 1"))
    for _ in range(2):
        with server.by_itself() as connection, server.by_itself() as other:
            assert connection.execute(text("SELECT 1")).scalar() == other.execute(text("SELECT 2 - 1")).scalar() == 1


def test_a_server_that_is_not_there_is_an_outage() -> None:
    """A thread that has an answer to store tries again."""
    with (
        pytest.raises(DatabaseUnavailableError, match="refused"),
        direct(create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")),
    ):
        pass


def test_a_thread_that_gets_no_connection_for_long_may_try_again(server_database: IMEIDatabase) -> None:
    engine = create_engine(server_database.engine.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with direct(engine), pytest.raises(DatabaseUnavailableError, match="limit"), direct(engine):
        pass
    engine.dispose()


def test_a_bug_in_a_statement_is_no_outage(server: PostgreSQLServer) -> None:
    with server.by_itself() as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute(text("SELECT * FROM nothing"))
    with server.by_itself() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


@pytest.mark.parametrize("is_watched", [False, True])
def test_a_constant_statement_reads_in_the_transaction_of_its_connection(
    database: IMEIDatabase, is_watched: bool
) -> None:
    """Who listens to statements hears of it, too."""
    watched: list[str] = []
    if is_watched:
        event.listen(database.engine, "before_cursor_execute", lambda *given: watched.append(given[2]))
    with database.write() as connection:
        connection.execute(INSERT, {"key": "a", "value": "1"})
        [row] = read_prepared(connection, NAMED, {"wanted": "a"})
        assert (row.name, row.value, *row) == ("a", "1", "a", "1")
        assert read_prepared(connection, NAMED, {"wanted": "b"}).first() is None
        assert read_prepared(connection, LISTED).scalar_one() == "a"
        connection.rollback()
    with database.read() as connection:
        assert read_prepared(connection, NAMED, {"wanted": "a"}).all() == []
    assert any("!=" in statement for statement in watched) == is_watched


def test_a_constant_statement_on_a_lost_connection_is_an_outage_of_that_connection_only(
    server_database: IMEIDatabase,
) -> None:
    with (
        pytest.raises(DatabaseUnavailableError, match="terminating"),
        server_database.read() as cut,
        server_database.write() as connection,
    ):
        read_prepared(cut, NAMED, {"wanted": "a"})
        connection.execute(OTHERS)
        read_prepared(cut, NAMED, {"wanted": "a"})
    with server_database.read() as connection:
        assert read_prepared(connection, NAMED, {"wanted": "a"}).scalar() is None


def test_after_a_restart_of_the_server_one_statement_fails_and_not_one_for_each_connection(
    server_database: IMEIDatabase,
) -> None:
    read = server_database.engines.readers
    with psycopg.connect(server_database.engine.url.set(drivername="postgresql").render_as_string(False)) as other:
        with read.connect() as one, read.connect() as two, read.connect() as three:
            for connection in (one, two, three):
                read_prepared(connection, NAMED, {"wanted": "a"})
        other.execute(OTHERS.text)
    with pytest.raises(DatabaseUnavailableError, match="terminating"), server_database.read() as connection:
        read_prepared(connection, NAMED, {"wanted": "a"})
    with read.connect() as one, read.connect() as two, read.connect() as three:
        for connection in (one, two, three):
            assert read_prepared(connection, NAMED, {"wanted": "a"}).first() is None
