"""The database: safe connections, short transactions, orders, services and settings.

This module must not know HTTP or Flask. Batches, chunks and items are in storage/, on the same transactions.
"""

import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, DateTime, Engine, Executable, Row, bindparam, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from amounts import HIGHEST_PRICE
from engines import (
    DatabaseReplacedError,
    DatabaseUnavailableError,
    Engines,
    SQLiteEngine,
    UnusableDatabaseError,
    open_engines,
    read_prepared,
    why_unusable,
)
from orders import ServiceInfo
from schema import orders, service_prices, services, stored_settings, sums, upsert
from sqlite_file import Copy, rotate

logger = logging.getLogger(__name__)

SUMS = sums().c
#: Queries of every page, made once: building a statement takes longer than running it.
BY_VERDICT = select(SUMS.verdict, func.total(SUMS.orders)).group_by(SUMS.verdict)
SETTING = select(stored_settings.c.value).where(stored_settings.c.key == bindparam("wanted"))
#: All settings, without the texts of the few that are long.
SETTINGS = select(stored_settings.c.key, case((func.length(stored_settings.c.value) <= 2000, stored_settings.c.value)))
#: What stores settings, prices and services.
STORE_SETTING = upsert(stored_settings)
STORE_FIRST_SETTING = STORE_SETTING.on_conflict_do_nothing()
STORE_SETTING = STORE_SETTING.on_conflict_do_update(
    index_elements=["key"], set_={"value": STORE_SETTING.excluded.value}
)
UNLIST = update(services).values(listed=False)
STORE_PRICE = upsert(service_prices)
STORE_PRICE = STORE_PRICE.on_conflict_do_update(
    index_elements=["service_id", "since"], set_={"price": STORE_PRICE.excluded.price}
)
#: The execution option of a connection that holds what was read once in a snapshot that a page shares.
READ_ONCE = "read_once"
LISTED_SERVICES = select(services).where(services.c.listed).order_by(services.c.position)
#: The setting that holds why nobody may work with this database any more: it was moved to another place.
MOVED_AWAY = "moved_away"
#: The setting that holds the random name of this database.
INSTALL_ID = "install_id"
Answer = TypeVar("Answer")

__all__ = [
    "INSTALL_ID",
    "MOVED_AWAY",
    "Changes",
    "DatabaseReplacedError",
    "DatabaseUnavailableError",
    "IMEIDatabase",
    "NoFileError",
    "Transaction",
    "UnusableDatabaseError",
    "count_orders",
    "once",
    "orders_by_verdict",
    "read_setting",
    "utc_now",
    "why_unusable",
    "write_setting",
]

#: A connection inside a transaction, for functions that write, and for those that read with others in one snapshot.
Transaction = Connection


class NoFileError(RuntimeError):
    """The database is on a server, and what was asked for needs a file of SQLite."""


def utc_now() -> datetime:
    """Return the time now in UTC, without a time zone, as the tables store it."""
    return datetime.now(UTC).replace(tzinfo=None)


class IMEIDatabase:
    """The orders on disk. Thread-safe; must not be used across a fork."""

    def __init__(
        self, place: str | Path = "imei_orders.db", folder: Path | None = None, even_if_moved: bool = False
    ) -> None:
        """Open the file at a path, or the database at an address (postgresql://…); create or migrate it first.

        folder: of what is kept on this machine beside a database on a server, such as backups; by default the current
        one. A file has its own. even_if_moved: only to look at a database that was moved to another place, or to move
        it back. Raises OSError, UnusableDatabaseError or SQLAlchemyError.
        """
        self._shared = threading.local()  # the connection of the snapshot that the reads of a thread share
        self.engines: Engines = open_engines(place)
        self.engines.migrate()
        self.folder = self.path.parent if self.is_file else folder or Path()
        moved_away = None if even_if_moved else self.get_setting(MOVED_AWAY)
        if moved_away:
            self.close()
            raise UnusableDatabaseError(moved_away)

    def __enter__(self) -> "IMEIDatabase":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def engine(self) -> Engine:
        """Connections whose transactions are as the driver begins them."""
        return self.engines.engine

    @property
    def dialect(self) -> str:
        """ "sqlite" or "postgresql"."""
        return self.engine.dialect.name

    @property
    def is_file(self) -> bool:
        """Whether this is a file of SQLite, and not a database on a server."""
        return self.engines.path is not None

    @property
    def path(self) -> Path:
        """The file of SQLite. Raises NoFileError for a database on a server."""
        if self.engines.path is None:
            raise NoFileError
        return self.engines.path

    @property
    def address(self) -> str | Path:
        """What opens this database once more: the address on a server with its password, or the file."""
        return self.engines.path or self.engine.url.render_as_string(hide_password=False)

    def hold_alone(self) -> None:
        """Keep every other process from opening this file until it is closed. Raises InUseError where one has it open.

        Raises NoFileError for a database on a server.
        """
        if not isinstance(self.engines, SQLiteEngine):
            raise NoFileError
        self.engines.hold_alone()

    def close(self) -> None:
        """Close every connection of this process."""
        self.engines.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection on one consistent snapshot: that of this thread's snapshot(), else a new one."""
        with self._reading(self.engines.readers) as connection:
            yield connection

    @contextmanager
    def read_one(self) -> Iterator[Connection]:
        """Open a connection for a single statement that reads, as read() does.

        On a server, to begin and end a transaction for it takes two round trips more, and as long as the statement. Of
        several statements each one sees what is there by then.
        """
        with self._reading(self.engines.singles) as connection:
            yield connection

    @contextmanager
    def _reading(self, engine: Engine) -> Iterator[Connection]:
        shared: Connection | None = getattr(self._shared, "connection", None)
        if shared is not None:
            yield shared
            return
        self.engines.check()
        with engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a connection that every read() of this thread shares meanwhile: one moment for a whole page.

        On a server, to begin and end a transaction for each look takes as long as a small query. What is written
        meanwhile is not seen, so only what reads belongs inside, and nothing that waits. What once() reads is read
        a single time.
        """
        with self.read() as connection:
            before = getattr(self._shared, "connection", None)
            if before is None:
                connection.execution_options(**{READ_ONCE: {}})
            self._shared.connection = connection
            try:
                yield connection
            finally:
                self._shared.connection = before

    @contextmanager
    def write(self, is_hurried: bool = False) -> Iterator[Connection]:
        """Open a transaction, the only one that writes: committed at the end, rolled back on an exception.

        Waits for other writers; is_hurried: only for a moment, then DatabaseUnavailableError.
        """
        self.engines.check()
        with (self.engines.hurried if is_hurried else self.engines.writers).begin() as connection:
            yield connection

    # Orders

    def insert_order(self, order_data: Mapping[str, Any]) -> int | None:
        """Store one order (columns of the orders table) and return its row id, or None for a known order id.

        A date may be a datetime or an ISO text such as "2025-11-14T11:46:39"; without a time zone it is UTC.
        Raises ValueError for a text that is no ISO date, and for credits (US dollars) beyond amounts.HIGHEST_PRICE.
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
        """Set status and result columns of one order; return whether it is known. Raises as insert_order."""
        values = _order_values(result_data or {})
        ungraded = dict.fromkeys(("verdict", "verdict_rule", "rules_version"))  # it is graded in the background
        values |= {"status": status, "updated_at": utc_now(), **ungraded}
        with self.write() as connection:
            changed = connection.execute(update(orders).where(orders.c.order_id == order_id).values(**values))
            return changed.rowcount == 1

    def count_orders(self) -> int:
        """Return the number of orders."""
        with self.read() as connection:
            return count_orders(connection)

    # Services

    def store_services(self, listed: Sequence[ServiceInfo], now: float) -> None:
        """Replace the service list by the provider's list; now is Unix time in seconds."""
        with self.write() as connection:
            old: dict[str, float] = {
                row[0]: row[1] for row in connection.execute(select(services.c.service_id, services.c.price))
            }
            connection.execute(UNLIST)
            rows = [_service_row(service, i, now, old) for i, service in enumerate(listed)]
            if rows:
                connection.execute(_replace_services(tuple(rows[0])), rows)
            changed_prices = [one for one in listed if old.get(one.package_id) != one.price]
            if changed_prices:
                connection.execute(
                    STORE_PRICE,
                    [{"service_id": one.package_id, "since": now, "price": one.price} for one in changed_prices],
                )

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
        with self.read_one() as connection:
            return read_setting(connection, key)

    def set_setting(self, key: str, value: str) -> None:
        """Store a value."""
        with self.write() as connection:
            write_setting(connection, key, value)

    def setdefault_setting(self, key: str, value: str) -> str:
        """Store value unless there is one already, and return what is stored. Safe between processes.

        An existing value is only read: pages and the probe of /health ask while others write.
        """
        stored = self.get_setting(key)
        if stored is not None:
            return stored
        with self.write() as connection:
            connection.execute(STORE_FIRST_SETTING, {"key": key, "value": value})
            return str(connection.execute(SETTING, {"wanted": key}).scalar_one())

    def install_id(self) -> str:
        """Return the random name of this database (32 hex digits), made when it is first asked for."""
        return self.setdefault_setting(INSTALL_ID, secrets.token_hex(16))

    @property
    def backup_folder(self) -> Path:
        """The folder of backups without a folder of their own; sqlite_file/copying.py decides which are kept."""
        return self.folder / "backups"

    def backup(self, folder: Path | None = None) -> Path:
        """Write a verified copy into folder (backup_folder by default), and return its path.

        Raises OSError, with its reason as strerror, such as: the disk is almost full, or the copy cannot be read.
        """
        return self.write_copy(folder or self.backup_folder).path

    def write_copy(self, folder: Path) -> Copy:
        """Write a verified copy, and return what was counted in it. Raises OSError as backup() does."""
        self.engines.check()
        copy = self.engines.write_copy(folder, utc_now())
        if copy.path.parent == self.backup_folder:
            rotate(self.backup_folder, self.path.stem if self.is_file else str(self.engine.url.database))
        return copy

    def optimize(self) -> None:
        """Update the statistics of the planner for tables that have changed much."""
        self.engines.optimize()

    def check_integrity(self) -> str:
        """Return "ok", or what is wrong with the stored data."""
        return self.engines.damage()


class Changes:
    """Reads the database again only after a commit. For one thread.

    Ten looks in a second cost almost nothing while nothing is committed. A database server does not show whether
    something was, so there each look reads.
    """

    def __init__(self, database: IMEIDatabase) -> None:
        self._database = database
        self._seen: int | None = None

    def look(self, at: Callable[[], object]) -> None:
        """Call `at`, unless nothing was committed since the start of the last call that succeeded."""
        newest = self._database.engines.changes()
        if newest is None or newest != self._seen:
            self._seen = None
            at()
            self._seen = newest


def once(connection: Connection, read: Callable[..., Answer], *given: object) -> Answer:
    """Return what read(connection, *given) returns, called a single time in a snapshot(): nothing there can change.

    Nobody may change the answer, unless it is a dictionary that is read only to be filled.
    """
    known: dict[object, Any] | None = connection.get_execution_options().get(READ_ONCE)
    if known is None:
        return read(connection, *given)
    key = (read, given)
    if key not in known:
        known[key] = read(connection, *given)
    found: Answer = known[key]
    return found


def count_orders(connection: Connection) -> int:
    """Return the number of orders, inside a transaction."""
    return sum(orders_by_verdict(connection).values())


def orders_by_verdict(connection: Connection) -> dict[str, int]:
    """Return verdict, "" for none → orders, inside a transaction."""
    return once(connection, _orders_by_verdict)


def _orders_by_verdict(connection: Connection) -> dict[str, int]:
    return {verdict: int(count) for verdict, count in read_prepared(connection, BY_VERDICT)}


def read_setting(connection: Connection, key: str) -> str | None:
    """Return a stored value, inside a transaction. In a snapshot(), all are read with the first."""
    if READ_ONCE in connection.get_execution_options():
        known = once(connection, _read_settings)
        if key not in known or known[key] is not None:
            return known.get(key)
    return connection.execute(SETTING, {"wanted": key}).scalar()


def _read_settings(connection: Connection) -> dict[str, str | None]:
    """Return key → value of all settings; None for a long one."""
    return {row[0]: row[1] for row in read_prepared(connection, SETTINGS)}


def write_setting(connection: Connection, key: str, value: str) -> None:
    """Store a value, inside a transaction."""
    connection.execute(STORE_SETTING, {"key": key, "value": value})


def _order_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are columns of the orders table, with dates as the table stores them."""
    values = {name: value for name, value in given.items() if name in orders.c}
    for name, value in values.items():
        if isinstance(orders.c[name].type, DateTime) and value is not None:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            values[name] = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    if values.get("credits") is not None:
        values["credits"] = float(values["credits"])
        if not abs(values["credits"]) <= HIGHEST_PRICE:
            raise ValueError(f"{values['credits']:g} US dollars are no price of an order.")
    return values


@cache
def _replace_services(columns: tuple[str, ...]) -> Executable:
    """Return the statement that stores services, each with these columns, in place of those with their ids."""
    statement = upsert(services)
    changed: dict[str, Any] = {name: statement.excluded[name] for name in columns}
    changed["previous_price"] = func.coalesce(changed["previous_price"], services.c.previous_price)
    return statement.on_conflict_do_update(index_elements=["service_id"], set_=changed)


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
