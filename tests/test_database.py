"""The SQLite file: what people inspect by hand, safe settings, migrations with a backup, and guarded methods."""

import sqlite3
import threading
from functools import partial
from pathlib import Path

import pytest
from order_tables import ORDER
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from stored_orders import all_orders

from database import (
    Changes,
    DatabaseReplacedError,
    DatabaseUnavailableError,
    IMEIDatabase,
    Transaction,
    UnusableDatabaseError,
    once,
    read_setting,
    why_unusable,
    write_setting,
)
from engines import SAFE_WAL_VERSION
from orders import ServiceInfo


def test_the_name_of_a_database_is_random_and_stays(database: IMEIDatabase, tmp_path: Path) -> None:
    name = database.install_id()
    assert (len(name), database.install_id()) == (32, name)
    with IMEIDatabase(tmp_path / "other.db") as other:
        assert other.install_id() != name


def test_a_known_order_id_is_not_stored_twice(database: IMEIDatabase) -> None:
    assert database.insert_order(ORDER) is not None
    assert database.insert_order({**ORDER, "imei": "353000000000011"}) is None
    assert database.count_orders() == 1


def test_reads_inside_a_snapshot_share_it_and_see_nothing_newer(database: IMEIDatabase) -> None:
    """One page: what another request stores meanwhile is in none of its parts."""
    with database.snapshot() as connection:
        assert database.count_orders() == 0
        writer = threading.Thread(target=database.insert_order, args=(ORDER,))
        writer.start()
        writer.join()
        with database.read() as inner, database.snapshot() as nested, database.read_one() as single:
            assert inner is nested is single is connection
        assert database.count_orders() == 0
    assert database.count_orders() == 1


def test_a_snapshot_belongs_to_one_thread_and_ends_with_an_exception(database: IMEIDatabase) -> None:
    found: list[int] = []
    with pytest.raises(ZeroDivisionError), database.snapshot():
        database.insert_order(ORDER)
        other = threading.Thread(target=lambda: found.append(database.count_orders()))
        other.start()
        other.join()
        raise ZeroDivisionError
    assert found == [1]
    assert database.count_orders() == 1


def test_settings_of_a_snapshot_are_read_once_and_a_transaction_that_writes_reads_anew(database: IMEIDatabase) -> None:
    long = "x" * 100_000
    database.set_setting("short", "1")
    database.set_setting("long", long)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *caught: statements.append(caught[2]))
    with database.snapshot():
        for _ in range(3):
            found = [database.get_setting(key) for key in ("short", "missing")]
        assert (found, sum("FROM settings" in one for one in statements)) == (["1", None], 1)
        assert database.get_setting("long") == long
        with database.write() as connection:
            write_setting(connection, "short", "2")
            assert read_setting(connection, "short") == "2"
        assert database.get_setting("short") == "1"
    assert database.get_setting("short") == "2"


def test_what_is_read_once_in_a_snapshot_is_read_anew_in_the_next_and_for_each_argument(database: IMEIDatabase) -> None:
    calls: list[int] = []

    def read(_: Transaction, number: int) -> int:
        calls.append(number)
        return 10 * number

    with database.snapshot() as connection:
        assert [once(connection, read, number) for number in (1, 2, 1)] == [10, 20, 10]
    with database.snapshot() as connection:
        assert once(connection, read, 1) == 10
    with database.read() as connection:
        assert once(connection, read, 1) == once(connection, read, 1) == 10
    assert calls == [1, 2, 1, 1, 1]


def test_orders_are_found_by_imei_newest_first(database: IMEIDatabase) -> None:
    for number in range(3):
        database.insert_order({**ORDER, "order_id": f"1500000{number}"})
    assert [row["order_id"] for row in database.get_orders_by_imei(ORDER["imei"])] == [
        "15000002",
        "15000001",
        "15000000",
    ]


def test_a_result_is_written_in_one_update_and_an_unknown_order_is_reported(database: IMEIDatabase) -> None:
    database.insert_order(ORDER)
    assert database.update_order_status("15000001", "Completed", {"carrier": "T-Mobile", "fmi": "OFF"})
    assert not database.update_order_status("1", "Completed")
    row = database.get_order("15000001")
    assert row is not None and (row["status"], row["carrier"], row["fmi"]) == ("Completed", "T-Mobile", "OFF")


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


def test_an_exception_inside_a_write_leaves_nothing_behind(database: IMEIDatabase) -> None:
    with pytest.raises(RuntimeError), database.write() as connection:
        connection.exec_driver_sql("INSERT INTO settings VALUES ('a', 'b')")
        raise RuntimeError
    assert database.get_setting("a") is None


def test_services_keep_their_former_price_and_leave_when_they_are_no_longer_listed(database: IMEIDatabase) -> None:
    database.store_services([ServiceInfo("1", "One", 0.5), ServiceInfo("2", "Two", 1.0)], 100.0)
    database.store_services([ServiceInfo("1", "One", 0.7)], 200.0)
    assert database.get_services() == ([ServiceInfo("1", "One", 0.7)], 200.0)
    assert database.get_service("2") is not None
    with sqlite3.connect(database.path) as connection:
        assert connection.execute("SELECT previous_price FROM services WHERE service_id = '1'").fetchone() == (0.5,)


def test_a_backup_is_a_whole_database(database: IMEIDatabase, tmp_path: Path) -> None:
    database.insert_order(ORDER)
    with sqlite3.connect(database.backup(tmp_path / "copies")) as copy:
        assert copy.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


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


def test_nobody_looks_again_before_something_is_committed(file_database: IMEIDatabase) -> None:
    """By this process or by another one. What fails is looked at again, and so is what was committed meanwhile."""
    looks, changes = list[str](), Changes(file_database)

    def look() -> None:
        looks.append(file_database.get_setting("word") or "")
        if looks[-1] == "bad":
            raise OSError
        if looks[-1] == "meanwhile":
            file_database.set_setting("word", "later")

    def set_elsewhere(word: str) -> None:
        with IMEIDatabase(file_database.path) as other:
            other.set_setting("word", word)

    changes.look(look)
    changes.look(look)
    with file_database.write():
        pass
    changes.look(look)
    assert looks == [""]
    file_database.set_setting("word", "here")
    changes.look(look)
    set_elsewhere("bad")
    for _ in range(2):
        with pytest.raises(OSError):
            changes.look(look)
    set_elsewhere("meanwhile")
    for _ in range(3):
        changes.look(look)
    assert looks == ["", "here", "bad", "bad", "meanwhile", "later"]


def test_a_file_that_was_replaced_is_noticed_by_who_waits_for_changes(file_database: IMEIDatabase) -> None:
    changes = Changes(file_database)
    changes.look(int)
    copied = file_database.path.read_bytes()
    file_database.path.unlink()
    file_database.path.write_bytes(copied)
    with pytest.raises(DatabaseReplacedError):
        changes.look(int)


def test_on_a_server_each_look_is_one(server_database: IMEIDatabase) -> None:
    looks, changes = list[int](), Changes(server_database)
    for number in range(3):
        changes.look(partial(looks.append, number))
    assert looks == [0, 1, 2]


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
