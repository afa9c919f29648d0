"""The SQLite file: connections that cannot corrupt it, one writer at a time, and its migration after a backup."""

import contextlib
import fcntl
import logging
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

import engines.migrations as migrations
from engines.errors import (
    PRIMARY_CODE,
    DatabaseReplacedError,
    DatabaseUnavailableError,
    UnusableDatabaseError,
    unavailable_error,
)
from sqlite_file import Copy, hold_alone, share, write_copy
from sqlite_file import dbapi as driver

logger = logging.getLogger(__name__)

#: From this version on, two connections cannot corrupt a WAL file by checkpointing at the same instant.
SAFE_WAL_VERSION = (3, 51, 3)
#: How long to wait for another writer, and pages of the WAL (16 MB) between checkpoints, each of which delays a commit.
BUSY_TIMEOUT_MS, CHECKPOINT_PAGES = 30_000, 4000
#: How long a write waits that may be left out.
MOMENT_MS = 100
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
RESTORE = "Put a backup in its place with `flask restore FILE`."
#: Rows of an index that SQLite reads for its statistics.
SAMPLED = 400
REVISION = "SELECT version_num FROM alembic_version"
BEGIN_WRITING = "BEGIN IMMEDIATE"


class SQLiteEngine:
    """A file of SQLite, shared with other processes. Engines in engines/opening.py says what each method does."""

    risk = ""  # each commit is flushed

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path.resolve()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._use = share(self._path)
        self._file: tuple[int, int] | None = None
        self.engine = _engine(self._path)
        self.readers: Engine = self.engine
        self.singles: Engine = self.engine
        self.writers: Engine = self.engine.execution_options(begin=BEGIN_WRITING)
        self.hurried: Engine = self.engine.execution_options(begin=BEGIN_WRITING, busy_timeout=MOMENT_MS)
        self._watching = threading.Lock()
        self._watch: sqlite3.Connection | None = None  #: it writes nothing, so it sees the commits of all others

    @property
    def path(self) -> Path | None:
        return self._path

    @property
    def place(self) -> str:
        """Path and inode: a copy has another one."""
        return f"{self._path}#{self._path.stat().st_ino}"

    @property
    def version(self) -> str:
        return f"SQLite {driver.sqlite_version}"

    def changes(self) -> int | None:
        self.check()
        with self._watching, contextlib.suppress(driver.Error):
            if self._watch is None:
                self._watch = driver.connect(str(self._path), check_same_thread=False)
                _prepare_connection(self._watch, None)
            return int(self._watch.execute("PRAGMA data_version").fetchall()[0][0])
        return None

    def check(self) -> None:
        """Raise DatabaseReplacedError when another file is at the path.

        Open connections would write to the old file, which nobody will read again.
        """
        if self._file is not None and self._file_now() != self._file:
            raise DatabaseReplacedError

    def migrate(self) -> None:
        """Migrate the file, after a backup of an existing one. Raises UnusableDatabaseError or SQLAlchemyError."""
        try:
            _migrate(self.engine, self._path)
            self._file = self._file_now()
            self.optimize()
        except DatabaseError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) & PRIMARY_CODE in DAMAGED:
                raise UnusableDatabaseError(f"The database {self.path} is damaged: {error.orig}. {RESTORE}") from error
            raise

    def size(self) -> int:
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.is_file())

    def write_copy(self, folder: Path, now: datetime) -> Copy:
        return write_copy(self._path, folder, now)

    def optimize(self) -> None:
        """Let SQLite update its statistics, from a sample, for tables that have changed much.

        Skipped while another connection writes or the disk is full. 0x10002 includes tables that this connection has
        not read.
        """
        with contextlib.suppress(DatabaseUnavailableError), self.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {MOMENT_MS}")
            try:
                connection.exec_driver_sql(f"PRAGMA analysis_limit = {SAMPLED}")
                connection.exec_driver_sql("PRAGMA optimize = 0x10002")
                connection.commit()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")

    def damage(self) -> str:
        """Return SQLite's report on the file: "ok", or what is wrong."""
        with self.readers.begin() as connection:
            return "; ".join(row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(5)"))

    def hold_alone(self) -> None:
        """Keep every other process from opening the file until it is closed. Raises InUseError."""
        hold_alone(self._use)

    def close(self) -> None:
        """Close every connection, after a brief look at the planner's statistics."""
        try:
            self.optimize()
        finally:
            with self._watching:
                if self._watch is not None:
                    self._watch.close()
                    self._watch = None
            self.engine.dispose()
            self._use.close()

    def _file_now(self) -> tuple[int, int] | None:
        """Return the device and inode of the file at the path; None where there is no file."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        module=driver,
        pool_size=10,
        max_overflow=50,
        hide_parameters=True,  # in errors and in the log of SQL: they may hold what nobody else may read
        connect_args={"check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", unavailable_error, retval=True)
    return engine


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    safe_wal = driver.sqlite_version_info >= SAFE_WAL_VERSION
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        f"journal_mode = {'WAL' if safe_wal else 'DELETE'}",
        f"synchronous = {'FULL' if safe_wal else 'EXTRA'}",
        "foreign_keys = ON",
        "cache_size = -16000",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    patience = options.get("busy_timeout")
    if patience is None:
        connection.exec_driver_sql(options.get("begin", "BEGIN"))
        return
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience}")
    try:
        connection.exec_driver_sql(options["begin"])
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def _migrate(engine: Engine, path: Path) -> None:
    known = migrations.revisions(engine.dialect.name)
    with path.with_suffix(".migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.connect() as connection:
            tables = set(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
            current = connection.exec_driver_sql(REVISION).scalar() if "alembic_version" in tables else None
        if current == known[-1]:
            return
        if current is not None and current not in known:
            raise UnusableDatabaseError(
                f"The database {path} was made by a newer version of HAMMER-API (schema {current}): install it."
            )
        if tables:
            copy = write_copy(path, path.parent / "backups", datetime.now(UTC).replace(tzinfo=None))
            logger.info("Backed up the database to %s before migrating it", copy.path)
        with engine.connect().execution_options(begin=BEGIN_WRITING) as connection, connection.begin():
            migrations.upgrade(connection)
        logger.info("Migrated the database from %s to %s", current, known[-1])
