"""The SQLite file: safe settings, a backup before a migration, and what makes it unusable."""

import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from order_tables import ORDER
from sqlalchemy import event
from stored_orders import all_orders

from database import (
    DatabaseReplacedError,
    DatabaseUnavailableError,
    IMEIDatabase,
    UnusableDatabaseError,
)
from engines import BUSY_TIMEOUT_MS, SAFE_WAL_VERSION, SQLiteEngine


def test_an_older_orders_table_is_kept_completed_and_backed_up_first(tmp_path: Path) -> None:
    path = tmp_path / "imei_orders.db"
    with sqlite3.connect(path) as old:
        old.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, order_id TEXT UNIQUE, imei TEXT NOT NULL)"
        )
        old.execute("INSERT INTO orders (order_id, imei) VALUES ('7', '353000000000003')")
    old.close()
    with IMEIDatabase(path) as database:
        assert [row["imei"] for row in all_orders(database)] == ["353000000000003"]
        assert database.insert_order(ORDER) is not None
    (backup,) = (tmp_path / "backups").glob("*.db")
    with sqlite3.connect(backup) as copy:
        assert copy.execute("SELECT order_id FROM orders").fetchall() == [("7",)]


def test_eight_processes_worth_of_threads_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    problems: list[Exception] = []
    barrier = threading.Barrier(8)

    def open_it() -> None:
        barrier.wait()
        try:
            IMEIDatabase(tmp_path / "imei_orders.db").close()
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            problems.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_the_file_is_never_written_in_a_mode_that_this_sqlite_can_corrupt(database: IMEIDatabase) -> None:
    with database.read() as connection:
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
        foreign_keys = connection.exec_driver_sql("PRAGMA foreign_keys").scalar()
        version = str(connection.exec_driver_sql("SELECT sqlite_version()").scalar())
    safe = tuple(map(int, version.split("."))) >= SAFE_WAL_VERSION
    assert (journal, synchronous, foreign_keys) == (("wal", 2, 1) if safe else ("delete", 3, 1))


def test_a_locked_file_is_unusable_when_a_write_begins_and_when_it_ends(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    for each in (database, rival):
        event.listen(each.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 10"))
        each.engine.dispose()
    with rival.write(), pytest.raises(DatabaseUnavailableError) as caught, database.write():
        pass
    assert caught.value.sentence == "Another program has held the database for half a minute."


def test_a_file_that_may_not_be_written_and_one_that_cannot_be_opened_are_unusable(
    database: IMEIDatabase, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseUnavailableError, match="readonly"), database.write() as connection:
        connection.exec_driver_sql("PRAGMA query_only = 1")
        connection.exec_driver_sql("DELETE FROM orders")
    with pytest.raises(DatabaseUnavailableError, match="unable to open"):
        IMEIDatabase(tmp_path)


def test_a_damaged_file_and_one_of_a_newer_version_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "imei_orders.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(UnusableDatabaseError, match="flask restore"):
        IMEIDatabase(path)
    path.unlink()
    IMEIDatabase(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(UnusableDatabaseError, match="newer version"):
        IMEIDatabase(path)


def test_a_file_of_this_version_is_opened_without_another_backup(file_database: IMEIDatabase) -> None:
    with IMEIDatabase(file_database.path):
        assert not (file_database.folder / "backups").exists()


def test_a_copy_has_another_place_and_the_journal_counts_as_a_part_of_the_file(
    file_database: IMEIDatabase, tmp_path: Path
) -> None:
    engines, copied = file_database.engines, tmp_path / "copied.db"
    before = engines.size()
    with file_database.write() as connection:
        connection.exec_driver_sql("INSERT INTO settings VALUES ('long', hex(zeroblob(100000)))")
    assert engines.size() >= before + 200_000
    assert file_database.path.stat().st_size < before + 200_000  # it is in the journal
    shutil.copyfile(file_database.path, copied)
    first, second = SQLiteEngine(file_database.path), SQLiteEngine(copied)
    assert first.place == engines.place != second.place
    first.close()
    second.close()


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_file_that_was_replaced_is_neither_read_nor_written(file_database: IMEIDatabase, is_gone: bool) -> None:
    copied = file_database.path.read_bytes()
    file_database.path.unlink()
    if not is_gone:
        file_database.path.write_bytes(copied)
    for opened in (file_database.read, file_database.read_one, file_database.write):
        with pytest.raises(DatabaseReplacedError), opened():
            pass


def test_what_need_not_be_written_does_not_wait_for_another_writer(file_database: IMEIDatabase) -> None:
    """The usual patience holds again afterwards, for the same connection."""
    with IMEIDatabase(file_database.path) as rival, rival.write():
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailableError), file_database.write(is_hurried=True):
            pass
        file_database.optimize()
        assert time.monotonic() - started < BUSY_TIMEOUT_MS / 1000 / 2
    with file_database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == BUSY_TIMEOUT_MS
