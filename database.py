"""The SQLite file: safe connections, short transactions, orders, services and settings.

This module must not know HTTP or Flask. Batches, chunks and items are in storage/, on the same transactions.
"""

import contextlib
import fcntl
import importlib
import json
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    DateTime,
    Engine,
    Row,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from orders import ServiceInfo
from schema import orders, services, stored_settings, sums
from sqlite_file import Copy, rotate, share, write_copy
from sqlite_file import dbapi as driver

logger = logging.getLogger(__name__)

#: From this version on, two connections cannot corrupt a WAL file by checkpointing at the same instant.
SAFE_WAL_VERSION = (3, 51, 3)
#: How long to wait for another writer, and pages of the WAL (16 MB) between checkpoints, each of which delays a commit.
BUSY_TIMEOUT_MS, CHECKPOINT_PAGES = 30_000, 4000
REPLACED = "another file was put in its place while the program ran: start the program again"
#: The codes of SQLite for a file that cannot be used now, with a sentence that says what to look at.
UNUSABLE = {
    sqlite3.SQLITE_BUSY: "Another program has held the database for half a minute.",
    sqlite3.SQLITE_LOCKED: "Another program has held the database for half a minute.",
    sqlite3.SQLITE_FULL: "The disk of the database is full.",
    sqlite3.SQLITE_READONLY: "The database, or its disk, may not be written to.",
    sqlite3.SQLITE_CANTOPEN: "The database cannot be opened.",
    sqlite3.SQLITE_IOERR: "The disk of the database fails.",
}
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
RESTORE = "Put a backup in its place with `flask restore FILE`."
PRIMARY_CODE = 0xFF  #: the bits of an extended code that name its kind
#: Rows of an index that SQLite reads for its statistics.
SAMPLED = 400
#: Queries of every page, made once: building a statement takes longer than running it.
COUNT_ORDERS = select(func.coalesce(func.sum(sums().c.orders), 0))
SETTING = select(stored_settings.c.value).where(stored_settings.c.key == bindparam("wanted"))
LISTED_SERVICES = select(services).where(services.c.listed).order_by(services.c.position)
MIGRATIONS = Path(__file__).with_name("migrations")  #: the names of its scripts begin with their revisions
REVISION = "SELECT version_num FROM alembic_version"

#: A connection inside a transaction, for the functions of storage/ that write.
Transaction = Connection


class DatabaseUnavailableError(OperationalError):
    """The file cannot be read or written now, and perhaps later; nothing was changed. Any other error is a bug."""

    @property
    def sentence(self) -> str:
        """The reason, as a sentence for a page."""
        return why_unusable(self.orig) or f"{self.orig}."


class DatabaseReplacedError(DatabaseUnavailableError):
    """Another file is at the path now: nothing may be read or written until the program starts again."""

    def __init__(self) -> None:
        super().__init__("", None, driver.OperationalError(REPLACED))


class UnusableDatabaseError(Exception):
    """The file is damaged, or was made by a newer version; the message says what to do."""


def why_unusable(error: BaseException | None) -> str:
    """Return the sentence about an error of the driver that means that the file cannot be used now, else "".

    SQLite's code decides: OperationalError is also raised for "no such column".
    """
    code = getattr(error, "sqlite_errorcode", None)
    return UNUSABLE.get(code & PRIMARY_CODE, "") if isinstance(code, int) else ""


def utc_now() -> datetime:
    """Return the time now in UTC, without a time zone, as the tables store it."""
    return datetime.now(UTC).replace(tzinfo=None)


class IMEIDatabase:
    """The orders on disk. Thread-safe; must not be used across a fork."""

    def __init__(self, path: str | Path = "imei_orders.db") -> None:
        """Open the file at path; create or migrate it first.

        Raises OSError, UnusableDatabaseError or SQLAlchemyError.
        """
        self.path = Path(path).resolve()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._use = share(self.path)
        self.engine = _engine(self.path)
        try:
            _migrate(self.engine, self.path)
            self._file = self._file_now()
            self.optimize()
        except DatabaseError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) & PRIMARY_CODE in DAMAGED:
                raise UnusableDatabaseError(f"The database {self.path} is damaged: {error.orig}. {RESTORE}") from error
            raise

    def __enter__(self) -> "IMEIDatabase":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection of this process, after a brief look at the planner's statistics."""
        try:
            self.optimize()
        finally:
            self.engine.dispose()
            self._use.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection on one consistent snapshot."""
        self._check_file()
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a connection inside BEGIN IMMEDIATE: committed at the end, rolled back on an exception."""
        self._check_file()
        with (
            self.engine.connect().execution_options(begin="BEGIN IMMEDIATE") as connection,
            connection.begin(),
        ):
            yield connection

    def _file_now(self) -> tuple[int, int] | None:
        """Return the device and inode of the file at the path; None where there is no file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _check_file(self) -> None:
        """Raise DatabaseReplacedError when another file is at the path.

        Open connections would write to the old file, which nobody will read again.
        """
        if self._file_now() != self._file:
            raise DatabaseReplacedError

    # Orders

    def insert_order(self, order_data: Mapping[str, Any]) -> int | None:
        """Store one order (columns of the orders table) and return its row id, or None for a known order id.

        A date may be a datetime or an ISO text such as "2025-11-14T11:46:39"; without a time zone it is UTC.
        Raises ValueError for a text that is no ISO date.
        """
        known = _order_values(order_data)
        try:
            with self.write() as connection:
                key = connection.execute(insert(orders).values(**known)).inserted_primary_key
        except IntegrityError:
            if self.get_order(str(known.get("order_id"))) is None:
                raise
            return None
        return int(key[0]) if key else None

    def get_order(self, order_id: str) -> dict[str, Any] | None:
        """Return the order with this id of the provider, as a dict of its columns."""
        with self.read() as connection:
            row = connection.execute(select(orders).where(orders.c.order_id == order_id)).first()
        return row._asdict() if row else None

    def get_orders_by_imei(self, imei: str) -> list[dict[str, Any]]:
        """Return every order of this IMEI as a dict of its columns, newest first."""
        query = select(orders).where(orders.c.imei == imei).order_by(orders.c.id.desc())
        with self.read() as connection:
            return [row._asdict() for row in connection.execute(query)]

    def update_order_status(self, order_id: str, status: str, result_data: Mapping[str, Any] | None = None) -> bool:
        """Set status and result columns of one order; return whether it is known. Raises ValueError for a bad date."""
        values = _order_values(result_data or {})
        ungraded = dict.fromkeys(("verdict", "verdict_rule", "rules_version"))  # it is graded in the background
        values |= {"status": status, "updated_at": utc_now(), **ungraded}
        with self.write() as connection:
            changed = connection.execute(update(orders).where(orders.c.order_id == order_id).values(**values))
            return changed.rowcount == 1

    def count_orders(self) -> int:
        """Return the number of orders."""
        with self.read() as connection:
            return int(connection.execute(COUNT_ORDERS).scalar_one())

    # Services

    def store_services(self, listed: Sequence[ServiceInfo], now: float) -> None:
        """Replace the service list by the provider's list; now is Unix time in seconds."""
        with self.write() as connection:
            old: dict[str, float] = {
                row[0]: row[1] for row in connection.execute(select(services.c.service_id, services.c.price))
            }
            connection.execute(update(services).values(listed=False))
            rows = [_service_row(service, i, now, old) for i, service in enumerate(listed)]
            if rows:
                statement = upsert(services)
                changed: dict[str, Any] = {name: statement.excluded[name] for name in rows[0]}
                changed["previous_price"] = func.coalesce(changed["previous_price"], services.c.previous_price)
                connection.execute(statement.on_conflict_do_update(index_elements=["service_id"], set_=changed), rows)

    def get_services(self) -> tuple[list[ServiceInfo], float]:
        """Return the stored list in the provider's order, and when it was read (Unix time, 0 for never)."""
        with self.read() as connection:
            rows = connection.execute(LISTED_SERVICES).all()
        return [_service(row) for row in rows], max((row.refreshed_at for row in rows), default=0.0)

    def get_service(self, service_id: str) -> ServiceInfo | None:
        """Return one stored service, also when the provider no longer lists it."""
        with self.read() as connection:
            row = connection.execute(select(services).where(services.c.service_id == service_id)).first()
        return _service(row) if row else None

    # Settings, backups and care

    def get_setting(self, key: str) -> str | None:
        """Return a stored value."""
        with self.read() as connection:
            return connection.execute(SETTING, {"wanted": key}).scalar()

    def set_setting(self, key: str, value: str) -> None:
        """Store a value."""
        self.change_setting(key, lambda _: value)

    def change_setting(self, key: str, change: Callable[[str | None], str]) -> None:
        """Store what change returns for the stored value. Safe between processes."""
        with self.write() as connection:
            write_setting(connection, key, change(read_setting(connection, key)))

    def setdefault_setting(self, key: str, value: str) -> str:
        """Store value unless there is one already, and return what is stored. Safe between processes.

        An existing value is only read: pages and the probe of /health ask while others write.
        """
        stored = self.get_setting(key)
        if stored is not None:
            return stored
        with self.write() as connection:
            connection.execute(upsert(stored_settings).values(key=key, value=value).on_conflict_do_nothing())
            return str(
                connection.execute(select(stored_settings.c.value).where(stored_settings.c.key == key)).scalar_one()
            )

    def install_id(self) -> str:
        """Return the random name of this database (32 hex digits), made when it is first asked for."""
        return self.setdefault_setting("install_id", secrets.token_hex(16))

    @property
    def backup_folder(self) -> Path:
        """The folder of backups without a folder of their own; sqlite_file/rotation.py decides which are kept."""
        return self.path.parent / "backups"

    def backup(self, folder: Path | None = None) -> Path:
        """Write a verified copy, without secrets, into folder (backup_folder by default), and return its path.

        Raises OSError, with its reason as strerror: the disk is almost full, or the copy cannot be read.
        """
        return self.write_copy(folder or self.backup_folder).path

    def write_copy(self, folder: Path) -> Copy:
        """Write a verified copy, and return what was counted in it. Raises OSError as backup() does."""
        self._check_file()
        copy = write_copy(self.path, folder, utc_now())
        if copy.path.parent == self.backup_folder:
            rotate(self.backup_folder, self.path.stem)
        return copy

    def optimize(self) -> None:
        """Let SQLite update its statistics, from a sample, for tables that have changed much.

        Skipped while another connection writes or the disk is full. 0x10002 includes tables that this connection has
        not read.
        """
        with contextlib.suppress(DatabaseUnavailableError), self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 100")
            try:
                connection.exec_driver_sql(f"PRAGMA analysis_limit = {SAMPLED}")
                connection.exec_driver_sql("PRAGMA optimize = 0x10002")
                connection.commit()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")

    def check_integrity(self) -> str:
        """Return SQLite's report on the file: "ok", or what is wrong."""
        with self.read() as connection:
            return "; ".join(row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(5)"))


def read_setting(connection: Connection, key: str) -> str | None:
    """Return a stored value, inside a transaction."""
    return connection.execute(SETTING, {"wanted": key}).scalar()


def write_setting(connection: Connection, key: str, value: str) -> None:
    """Store a value, inside a transaction."""
    new = {"value": value}
    connection.execute(
        upsert(stored_settings).values(key=key, **new).on_conflict_do_update(index_elements=["key"], set_=new)
    )


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        module=driver,
        pool_size=10,
        max_overflow=50,
        hide_parameters=True,  # in errors and in the log of SQL: they may hold what nobody else may read
        connect_args={"check_same_thread": False},
    )
    if logger.isEnabledFor(logging.DEBUG):
        logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)  # at INFO this library logs each statement
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _unavailable_error, retval=True)
    return engine


def _unavailable_error(context: ExceptionContext) -> BaseException | None:
    """Return DatabaseUnavailableError in place of an error that means that the file cannot be used now."""
    if not why_unusable(context.original_exception):
        return None
    return DatabaseUnavailableError(context.statement or "", None, context.original_exception)


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
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _migrate(engine: Engine, path: Path) -> None:
    """Migrate the file to the newest schema, one process at a time, after a backup of an existing file."""
    known = sorted(script.name[:4] for script in MIGRATIONS.glob("versions/*.py"))
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
            copy = write_copy(path, path.parent / "backups", utc_now())
            logger.info("Backed up the database to %s before migrating it", copy.path)
        with engine.connect().execution_options(begin="BEGIN IMMEDIATE") as connection, connection.begin():
            _upgrade(connection)
        logger.info("Migrated the database from %s to %s", current, known[-1])


def _upgrade(connection: Connection) -> None:
    """Run the migrations. Alembic is imported here: that takes a tenth of the start, and is needed once a release."""
    config = importlib.import_module("alembic.config").Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    importlib.import_module("alembic.command").upgrade(config, "head")


def _order_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are columns of the orders table, with dates as the table stores them."""
    values = {name: value for name, value in given.items() if name in orders.c}
    for name, value in values.items():
        if isinstance(orders.c[name].type, DateTime) and value is not None:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            values[name] = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return values


def _service_row(service: ServiceInfo, position: int, now: float, old: Mapping[str, float]) -> dict[str, Any]:
    before = old.get(service.package_id)
    return {
        "service_id": service.package_id,
        "position": position,
        "title": service.title,
        "price": service.price,
        "previous_price": before if before != service.price else None,
        "category": service.category,
        "delivery": service.delivery_time,
        "must_read": service.must_read,
        "required_fields": json.dumps(service.required_fields),
        "listed": True,
        "refreshed_at": now,
    }


def _service(row: Row[Any]) -> ServiceInfo:
    return ServiceInfo(
        package_id=row.service_id,
        title=row.title,
        price=row.price,
        category=row.category,
        delivery_time=row.delivery,
        must_read=row.must_read,
        required_fields=tuple(json.loads(row.required_fields)),
    )
