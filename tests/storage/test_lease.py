"""The lease: only the process that took it last may record intents, and a copied database is noticed."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from database import IMEIDatabase, utc_now
from engines import SQLiteEngine
from storage import lease
from storage.lease import Lease, LeaseLostError


def take(database: IMEIDatabase, holder: str = "first", place: str = "here") -> Lease:
    with database.write() as connection:
        return lease.take(connection, holder, place)


def check(database: IMEIDatabase, taken: Lease) -> None:
    with database.read() as connection:
        lease.check(connection.execute(lease.held("main")).first(), taken)


def test_the_number_grows_each_time_that_the_lease_is_taken(database: IMEIDatabase) -> None:
    assert [take(database, holder).number for holder in ("first", "second", "second")] == [1, 2, 3]


def test_only_the_process_that_took_it_last_has_it(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    first = take(database)
    check(database, first)
    second = take(rival, "second")
    with pytest.raises(LeaseLostError, match=r"^second has taken the lease\.$"):
        check(database, first)
    check(rival, second)


def test_a_process_that_took_it_twice_has_only_the_second_one(database: IMEIDatabase) -> None:
    before = take(database)
    after = take(database)
    with pytest.raises(LeaseLostError, match=r"^first has taken the lease\.$"):
        check(database, before)
    check(database, after)


def test_a_lease_that_is_gone_is_lost(database: IMEIDatabase) -> None:
    taken = take(database)
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM leases")
    with pytest.raises(LeaseLostError, match=r"^Nobody has taken the lease\.$"):
        check(database, taken)


def test_a_lease_that_was_rolled_back_was_not_taken(database: IMEIDatabase) -> None:
    first = take(database)
    with pytest.raises(RuntimeError), database.write() as connection:
        lease.take(connection, "second", "here")
        raise RuntimeError
    check(database, first)


def test_a_database_has_moved_when_it_is_at_another_place(database: IMEIDatabase) -> None:
    places = ("here", "here", "there", "there", "here")
    assert [take(database, place=place).moved for place in places] == [False, False, True, False, True]


def test_the_holder_is_the_process_that_took_it_last(database: IMEIDatabase) -> None:
    with database.read() as connection:
        assert lease.holder_of(connection) is None
    before = utc_now()
    take(database, "process 1 on a")
    take(database, "process 2 on b")
    with database.read() as connection:
        holder = lease.holder_of(connection)
    assert holder is not None
    assert holder.name == "process 2 on b"
    assert before <= holder.taken_at <= utc_now()


def place_of(file: Path) -> str:
    with closing(SQLiteEngine(file)) as opened:
        return opened.place


def test_a_copy_of_a_file_is_at_another_place_even_under_its_name(tmp_path: Path) -> None:
    file = tmp_path / "one.db"
    file.touch()
    place = place_of(file)
    assert place == place_of(file) == f"{file}#{file.stat().st_ino}"
    copy = tmp_path / "two.db"
    shutil.copyfile(file, copy)
    assert place_of(copy).split("#")[1] != place.split("#")[1]
    copy.replace(file)  # the copy is put back where the original was
    assert place_of(file) != place
