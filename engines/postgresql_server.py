"""A database of PostgreSQL: one writer at a time over all machines, snapshots for readers, and its migration.

A transaction that writes begins with a lock that lasts until its commit. So what it reads stays true while it decides,
as with SQLite, and one set of decisions is right on both. A process that stops in the middle loses its transaction
after IDLE seconds, so that nobody waits for it for long.
"""

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from psycopg.adapt import Buffer
from psycopg.errors import InsufficientPrivilege
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.dialects.postgresql.base import PGReadOnlyConnectionCharacteristic
from sqlalchemy.exc import ArgumentError, ProgrammingError

import engines.migrations as migrations
from engines.direct import Direct, direct
from engines.errors import POOLED, UnusableDatabaseError, unavailable_error
from engines.postgresql_copies import write_dump
from sqlite_file import Copy

logger = logging.getLogger(__name__)

#: The numbers of our advisory locks: of writers, and of migrations.
WRITERS, MIGRATIONS = 4_207_849_484, 4_207_849_485
#: Seconds to wait for another writer, and for a writer that may be left out.
PATIENCE, MOMENT = 30.0, 0.1
#: Seconds after which the server ends a transaction whose process does nothing.
IDLE = 10.0
#: Connections that one process has at most. It keeps those that it has opened: to open one takes the server a while.
CONNECTIONS = 20
#: Connections beside them for the statements of paid calls: each is held for one or two short statements. With more of
#: them, threads and the server make all calls before the loop gets its turn to record an answer, and commits that
#: notify wait for each other in any case.
DIRECT_CONNECTIONS = 2
LEAST_VERSION = 15
LOCK = f"SELECT pg_advisory_xact_lock({WRITERS})"
#: The statements that begin a transaction that writes.
BEGIN_WRITING = (LOCK,)
BEGIN_HURRIED = (
    f"SET LOCAL lock_timeout = {int(MOMENT * 1000)}",
    LOCK,
    f"SET LOCAL lock_timeout = {int(PATIENCE * 1000)}",
)
SNAPSHOT: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
#: With "off" a server confirms commits that a crash loses, such as which calls were begun. Each other value flushes a
#: commit, and may wait for standbys: it stays.
FLUSH = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
#: What only the server can set.
UNSAFE = "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name"
RISK = (
    "The database server has {} set to off: if its machine fails, it may lose which calls were made, and IMEIs may be"
    " paid twice. Set it to on, and start again."
)
UNREADABLE = "DATABASE_URL cannot be read: it must look like postgresql://user:password@host:5432/name."
#: Any other encoding lacks signs that titles and results have, and then an answer could not be recorded.
ENCODING = "UTF8"
NOT_UNICODE = (
    "The database has the encoding {}, which cannot hold all texts: make another one with CREATE DATABASE name ENCODING"
    f" '{ENCODING}' TEMPLATE template0 LOCALE 'C'."
)
#: A pooler that is set to ignore the options of a connection loses them; prepared statements fail there, too.
ARRIVED = f"SELECT current_setting('lock_timeout') = '{PATIENCE:g}s'"
NOT_OWNER = "The user of DATABASE_URL may not make tables in this database: make this user its owner."
REVISION = "SELECT version_num FROM alembic_version"
HAS_REVISION = "SELECT to_regclass('alembic_version') IS NOT NULL"
#: A transaction that has waited for the writer reads what that one committed. Where a role or a database has a stricter
#: level as its default, it would decide on what was there before it waited.
READ_COMMITTED = r"-c default_transaction_isolation=read\ committed"
#: A connection that is kept may do nothing for long: where the server ended it, the next page would fail.
KEPT = "-c idle_session_timeout=0"
TIMES = f"-c timezone=UTC -c lock_timeout={PATIENCE:g}s -c idle_in_transaction_session_timeout={IDLE:g}s {KEPT}"
#: How statements are planned: for disks without moving parts, without compiling and without more processes for one
#: statement. Each of these takes longer to begin than a page may take.
PLANS = "-c random_page_cost=1.1 -c jit=off -c max_parallel_workers_per_gather=0"
#: Statements are not prepared, so that each is planned for the values that are asked for: a plan for all values would
#: read a whole table for a rare one. Paid calls (storage/handed_calls.py), triggers and foreign keys keep their plans,
#: and so do the constant statements of every page (engines/direct.py).
CONNECTION = {
    "options": f"{READ_COMMITTED} {TIMES} {PLANS}",
    "application_name": "hammer-api",
    "client_encoding": ENCODING,
    "prepare_threshold": sys.maxsize,
}
#: The exception: each statement is a transaction, and is prepared when it comes for the first time.
DIRECT = {**CONNECTION, "prepare_threshold": 1}
BY_ITSELF: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
#: So that a connection whose other end is gone is noticed within half a minute. They are a part of the address, which
#: the queue of jobs and what listens connect with.
NETWORK = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
#: PostgreSQL refuses the character NUL in a text, also as an escape in JSON. It becomes the character that Unicode has
#: for what cannot be shown.
NUL, ESCAPED_NUL, REPLACEMENT = "\x00", "\\u0000", "\ufffd"
#: How lists begin, the only JSON that the server reads. In any other text the six signs are what somebody typed.
LIST = "["
#: The escape, but not its last five signs behind an escaped backslash.
ESCAPE, ESCAPED_REPLACEMENT = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000"), r"\1\\ufffd"


class PostgreSQLServer:
    """A database on a server, by its address. Engines in engines/opening.py says what each method does."""

    path: Path | None = None

    def __init__(self, address: str) -> None:
        self._address = address
        self.engine = _engine(address)
        self.readers: Engine = self.engine.execution_options(**SNAPSHOT)
        self.singles: Engine = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.writers: Engine = self.engine.execution_options(begin=BEGIN_WRITING)
        self.hurried: Engine = self.engine.execution_options(begin=BEGIN_HURRIED)
        self._direct: Engine = _engine(address, DIRECT_CONNECTIONS, DIRECT, **BY_ITSELF)

    def by_itself(self) -> AbstractContextManager[Direct]:
        """Open a connection on which each statement is a transaction, whose plan is kept."""
        return direct(self._direct)

    @cached_property
    def place(self) -> str:
        """Host, name and number of the database: one that was restored from a dump has another number."""
        parts = urlsplit(self._address)
        with self.readers.begin() as connection:
            number = connection.exec_driver_sql("SELECT oid FROM pg_database WHERE datname = current_database()")
            return f"{parts.hostname or 'socket'}{parts.path}#{number.scalar_one()}"

    @cached_property
    def version(self) -> str:
        with self.readers.begin() as connection:
            return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar_one()}"

    @cached_property
    def risk(self) -> str:
        with self.readers.begin() as connection:
            unsafe = connection.exec_driver_sql(UNSAFE).scalars().all()
        return RISK.format(" and ".join(unsafe)) if unsafe else ""

    def changes(self) -> None:
        """Return None: a server shows nothing that is cheaper to read than a row."""

    def check(self) -> None:
        """A server has no file that could be replaced."""

    def migrate(self) -> None:
        """Migrate the tables. Raises UnusableDatabaseError for a server that is too old, or behind a pooler.

        Tables of a newer version are taken: its migrations only add what this version does not use, so that both run
        side by side while machine after machine is updated.
        """
        newest = migrations.revisions(self.engine.dialect.name)[-1]
        with self.engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATIONS})")
            if connection.dialect.server_version_info < (LEAST_VERSION,):  # type: ignore[operator]
                raise UnusableDatabaseError(f"PostgreSQL {LEAST_VERSION} or newer is needed: update the server.")
            if not connection.exec_driver_sql(ARRIVED).scalar_one():
                raise UnusableDatabaseError(POOLED)
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
            if encoding != ENCODING:
                raise UnusableDatabaseError(NOT_UNICODE.format(encoding))
            has_revision = connection.exec_driver_sql(HAS_REVISION).scalar_one()
            current = connection.exec_driver_sql(REVISION).scalar() if has_revision else None
            if current is not None and current >= newest:
                if current > newest:
                    logger.warning("The database has tables of a newer version (schema %s)", current)
                return
            try:
                migrations.upgrade(connection)
            except ProgrammingError as error:
                if isinstance(error.orig, InsufficientPrivilege):
                    raise UnusableDatabaseError(NOT_OWNER) from error
                raise
        logger.info("Migrated the database from %s to %s", current, newest)

    def size(self) -> int:
        with self.readers.begin() as connection:
            return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())

    def write_copy(self, folder: Path, now: datetime) -> Copy:
        return write_dump(self.readers, self.size(), folder, now)

    def optimize(self) -> None:
        """The server does it by itself."""

    def damage(self) -> str:
        """Return "ok": the server watches its data itself."""
        return "ok"

    def close(self) -> None:
        self.engine.dispose()
        self._direct.dispose()


class _ReadOnly(PGReadOnlyConnectionCharacteristic):
    """Whether a transaction only reads; by default as the server or the role is set.

    SQLAlchemy resets the connection of a reader to one that writes. So a database that is set to take no changes, such
    as before its move to another server, would take those of every connection that has read before.
    """

    def reset_characteristic(self, dialect: Any, dbapi_connection: Any) -> None:
        dialect.set_readonly(dbapi_connection, None)


class CleanTextDumper(StrDumperUnknown):
    """Sends texts with another character in the place of each NUL."""

    def dump(self, obj: str) -> Buffer | None:
        """Return a text in the encoding of the connection."""
        if NUL in obj:
            obj = obj.replace(NUL, REPLACEMENT)
        if ESCAPED_NUL in obj and obj.startswith(LIST):
            obj = ESCAPE.sub(ESCAPED_REPLACEMENT, obj)
        return super().dump(obj)


def _engine(address: str, size: int = CONNECTIONS, connecting: Mapping[str, Any] = CONNECTION, **given: Any) -> Engine:
    try:
        url = make_url(address).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError) as error:
        raise UnusableDatabaseError(UNREADABLE) from error
    url = url.update_query_dict({**NETWORK, **url.query})
    given_options = str(url.query.get("options", ""))  # of the address, such as a schema: ours are added
    engine = create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={**connecting, "options": f"{given_options} {connecting['options']}"},
        **given,
    )
    dialect: Any = engine.dialect
    dialect.connection_characteristics = dialect.connection_characteristics.union({"postgresql_readonly": _ReadOnly()})
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", unavailable_error, retval=True)
    return engine


def _prepare_connection(connection: Any, _record: object) -> None:
    connection.adapters.register_dumper(str, CleanTextDumper)
    was, connection.autocommit = connection.autocommit, True
    connection.execute(FLUSH)
    connection.autocommit = was


def _begin(connection: Connection) -> None:
    for statement in connection.get_execution_options().get("begin", ()):
        connection.exec_driver_sql(statement)
