"""A file with all that the program stores, and a comparison of two databases past the product's own."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from simulated_provider import Knobs, Simulator, imeis, system
from sqlalchemy import Connection, delete, insert, select
from stored_people import add_token, add_user

from database import IMEIDatabase, utc_now
from results import OrderSync
from schema import metadata, provider_requests, scans, sessions, uploads
from settings import MAIN_ACCOUNT, Settings
from storage import audit_log, kept_sums, order_searches, webhook_store
from storage.audit_log import NewEntry
from storage.outbox import EventKind


@pytest.fixture(scope="session", name="used_file")
def used_file_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a database that was at work; nobody may change it."""
    path = tmp_path_factory.mktemp("used") / "imei_orders.db"
    knobs = Knobs(history=1, rejection_share=0.2, refund_rejected=True, duplicates="never")
    with Simulator(knobs) as simulator, IMEIDatabase(path) as database:
        with system(simulator, database, chunk_size=10, patience=0.3, workers=2) as running:
            running.submit_batch(imeis(60), "269", label="first")
            OrderSync(database, running.client, 0, MAIN_ACCOUNT).sync()
            simulator.set(fault="reset", fault_when="after", fault_calls=(8, 10), listing="off")
            running.submit_batch(imeis(60, 100), "269", label="ünïcode 📱 'quoted' \\ \t\n second")
        _use(database)
        kept_sums.tend(database)
    return path


@dataclass(frozen=True)
class Stored:
    """What a file holds, read with plain SQL and past the product's own sums."""

    orders: int
    cost: float  #: US dollars
    items: int


def stored(path: Path) -> Stored:
    """Count the orders and IMEIs of a file."""
    with closing(sqlite3.connect(path)) as plain:
        orders, cost = plain.execute("SELECT count(*), sum(credits) FROM orders").fetchone()
        [items] = plain.execute("SELECT count(*) FROM items").fetchone()
    return Stored(orders, cost, items)


def _use(database: IMEIDatabase) -> None:
    """What people do besides ordering."""
    database.install_id()
    anna = add_user(database, "anna")
    add_token(database, maker=anna)
    order_searches.save_search(database, imeis(3), 1)
    now = utc_now()
    with database.write() as connection:
        webhook_store.add_webhook(connection, "https://example.com/in", "", list(EventKind), "whsec_x")
        for number in range(20):
            audit_log.append(connection, NewEntry("anna", "127.0.0.1", "batch.pause", f"batch {number}", {"ü": "📱"}))
        session = {"id_hash": "x", "user_id": anna.user_id, "address": "::1", "created_at": now}
        connection.execute(insert(sessions).values(**session, seen_at=now, proved_at=now))
        connection.execute(insert(uploads).values(token="t", label="a", path="p", kind="file", service_id="269"))
        scan = {"session": "s", "imei": imeis(1)[0], "service_id": "269", "scanned_at": now, "is_new": True}
        connection.execute(insert(scans).values(scan))
        request = {"kind": "list", "argument": "", "state": "answered", "asked_at": 1.5}
        connection.execute(insert(provider_requests).values(id=4711, **request))
        connection.execute(delete(provider_requests).where(provider_requests.c.id == 4711))


@pytest.fixture(name="used")
def used_fixture(used_file: Path, settings: Settings) -> Iterator[IMEIDatabase]:
    """The database that was at work, in the data folder."""
    shutil.copyfile(used_file, settings.database_path)
    with IMEIDatabase(settings.database_path) as database:
        yield database


def rows_of(connection: Connection, *left_out: str) -> dict[str, list[tuple[object, ...]]]:
    """Return table → all its rows in the order of the key, without empty tables."""
    tables = [table for table in metadata.sorted_tables if table.name not in left_out]
    read = {t.name: [*map(tuple, connection.execute(select(t).order_by(*t.primary_key.columns)))] for t in tables}
    return {name: rows for name, rows in read.items() if rows}
