"""Statements that are given to the driver of PostgreSQL at once: on the way of each paid call, and of every page.

Through SQLAlchemy such a statement takes the process three times as long: it makes a context, a result and a row class
for each. Its pool is used here too, its way to write parameters, and the errors of this package.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol, Self, cast

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import ClauseElement, Connection, Engine, Executable, PoolProxiedConnection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from engines.errors import DatabaseUnavailableError, why_unusable

#: Statements are logged where SQLAlchemy logs its own (engines/opening.py).
logger = logging.getLogger("sqlalchemy.engine.direct")

#: Where a connection keeps its cursor: to make one takes half as long as to run such a statement.
CURSOR = "cursor"
DIALECT: Any = PGDialect_psycopg()  # type: ignore[no-untyped-call]
NONE: Mapping[str, Any] = MappingProxyType({})


class DirectRows(list[Any]):
    """The rows of a statement, with their columns as attributes."""

    def all(self) -> Self:
        """Return the rows."""
        return self

    def first(self) -> Any:
        """Return the first row, or None."""
        return self[0] if self else None

    def one(self) -> Any:
        """Return the only row."""
        (row,) = self
        return row

    def scalar(self) -> Any:
        """Return the first column of the first row, or None."""
        return self[0][0] if self else None

    def scalar_one(self) -> Any:
        """Return the first column of the only row."""
        return self.one()[0]


class Direct:
    """A connection whose statements go to the driver."""

    def __init__(self, connection: PoolProxiedConnection) -> None:
        driver: Any = connection
        if CURSOR not in connection.info:
            connection.info[CURSOR] = driver.cursor(row_factory=namedtuple_row)
        self._cursor: psycopg.Cursor[Any] = connection.info[CURSOR]

    def execute(
        self, statement: ClauseElement, values: Mapping[str, Any] = NONE, *, prepare: bool = False
    ) -> DirectRows:
        """Run a statement, with the values that it has itself and these. Raises DatabaseUnavailableError."""
        words, own = _of_driver(statement)
        logger.info(words)
        try:
            self._cursor.execute(words, {**own, **values}, prepare=prepare or None)
        except psycopg.Error as error:
            raise _known(error, words) from error
        return DirectRows(() if self._cursor.rownumber is None else self._cursor.fetchall())


class ReadRows(Protocol):
    """The rows of a statement, with their columns as attributes."""

    def __iter__(self) -> Iterator[Any]: ...

    def all(self) -> Sequence[Any]:
        """Return the rows."""

    def first(self) -> Any:
        """Return the first row, or None."""

    def one(self) -> Any:
        """Return the only row."""

    def scalar(self) -> Any:
        """Return the first column of the first row, or None."""

    def scalar_one(self) -> Any:
        """Return the first column of the only row."""


def read_prepared(connection: Connection, statement: Executable, values: Mapping[str, Any] = NONE) -> ReadRows:
    """Run a constant SELECT of every page in the transaction of a connection; read its rows before the next one.

    On PostgreSQL its plan is kept, and it goes to the driver, except where somebody listens to the statements, which
    only SQLAlchemy shows. In a statement with a list of words, all other parameters have the value None. Raises
    DatabaseUnavailableError.
    """
    if connection.dialect.name != DIALECT.name or connection.dispatch.before_cursor_execute:
        return cast(ReadRows, connection.execute(statement, values))
    pooled = connection.connection
    try:
        return Direct(pooled).execute(cast(ClauseElement, statement), values, prepare=True)
    except DatabaseUnavailableError:
        if cast(Any, pooled.dbapi_connection).closed:
            _drop_those_of_its_age(connection)
        raise


def _drop_those_of_its_age(connection: Connection) -> None:
    """Let SQLAlchemy notice that a connection is closed: then it uses none again that was opened before.

    A server that was started again has ended all of them. Each would fail once more, perhaps hours later.
    """
    with suppress(DatabaseUnavailableError):
        connection.exec_driver_sql("SELECT 1")


@contextmanager
def direct(engine: Engine) -> Iterator[Direct]:
    """Open a connection of an engine. Raises DatabaseUnavailableError, also where all are in use for too long."""
    try:
        connection = engine.raw_connection()
    except (psycopg.Error, PoolTimeoutError) as error:
        raise _known(error) from error
    try:
        yield Direct(connection)
    finally:
        driver: Any = connection.dbapi_connection
        if driver.closed:
            connection.invalidate()
        connection.close()


def _known(error: Exception, words: str = "") -> Exception:
    """Return DatabaseUnavailableError in place of an error that means that the database cannot be used now."""
    if isinstance(error, PoolTimeoutError) or why_unusable(error):
        return DatabaseUnavailableError(words, None, error)
    return error


@cache
def _of_driver(statement: ClauseElement) -> tuple[str, Mapping[str, Any]]:
    """Return a statement with its parameters as the driver writes them, and the values that it has itself."""
    compiled: Any = statement.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled), {name: value for name, value in compiled.params.items() if value is not None}
