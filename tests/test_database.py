"""The database: one snapshot for a page, orders, services, settings, and looks only after a commit."""

import sqlite3
import threading
from functools import partial
from pathlib import Path

import pytest
from order_tables import ORDER
from sqlalchemy import event
from stored_orders import all_orders

from database import (
    Changes,
    DatabaseReplacedError,
    IMEIDatabase,
    Transaction,
    once,
    read_setting,
    write_setting,
)
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


@pytest.mark.parametrize("price", [1_000_001, -1e13, float("nan"), float("inf"), "1e300", "free"])
def test_what_no_order_can_cost_is_not_stored(database: IMEIDatabase, price: float | str) -> None:
    """Prices are summed in millionths, as whole numbers of 64 bits: one such price would break all reports."""
    with pytest.raises(ValueError):
        database.insert_order({**ORDER, "credits": price})
    assert database.count_orders() == 0
    database.insert_order({**ORDER, "credits": "0.08"})
    with pytest.raises(ValueError):
        database.update_order_status(str(ORDER["order_id"]), "Completed", {"credits": price})
    assert [row["credits"] for row in all_orders(database)] == [0.08]


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
