"""Rows that elect a leader and show living workers: each ends by the clock of the database, unless it is renewed."""

import threading

import pytest

from database import IMEIDatabase
from storage import election_store
from storage.election_store import WORKER
from storage.handed_calls import at_once


@pytest.fixture
def database(emptied_database: IMEIDatabase) -> IMEIDatabase:
    return emptied_database


def take(database: IMEIDatabase, holder: str, seconds: float = 60.0, name: str = "main") -> bool:
    with at_once(database) as connection:
        return election_store.take(connection, name, holder, seconds)


def renew(database: IMEIDatabase, holder: str, seconds: float = 60.0, name: str = "main") -> bool:
    with at_once(database) as connection:
        return election_store.renew(connection, name, holder, seconds)


def is_held(database: IMEIDatabase, name: str = "main") -> bool:
    with database.read() as connection:
        return election_store.is_held(connection, name)


def set_end(database: IMEIDatabase, words: str, name: str = "main") -> None:
    """Let a row end at a moment, in words of SQL that count from now."""
    with at_once(database) as connection:
        connection.exec_driver_sql(
            f"UPDATE elections SET expires_at = extract(epoch FROM clock_timestamp()) {words} WHERE name = '{name}'"
        )


def test_another_holder_leads_only_after_the_end(database: IMEIDatabase) -> None:
    """Who leads already takes it again, and each account has a leader of its own."""
    assert not is_held(database)
    assert take(database, "first")
    assert is_held(database)
    assert not take(database, "second")
    assert take(database, "first")
    assert take(database, "second", name="b")
    set_end(database, "- 0.01")
    assert not is_held(database)
    assert is_held(database, "b")
    assert take(database, "second")
    assert not take(database, "first")


def test_only_the_holder_renews_and_a_late_one_may_still(database: IMEIDatabase) -> None:
    """Where nobody has taken over since, the row is still its own."""
    assert not renew(database, "first")
    assert take(database, "first", 1.0)
    assert not renew(database, "second")
    assert renew(database, "first", 60.0)
    assert not take(database, "second")
    assert renew(database, "first", 0.0)
    assert not is_held(database)
    assert renew(database, "first", 0.0)
    assert take(database, "second")
    assert not renew(database, "first")
    assert is_held(database)


@pytest.mark.parametrize(("end", "is_taken"), [("+ 119", False), ("+ 121", True)])
def test_an_end_that_no_holder_can_have_written_does_not_count(
    database: IMEIDatabase, end: str, is_taken: bool
) -> None:
    """The clock of the server was set back since; a holder writes 60 seconds ahead, twice that is certainly odd."""
    assert take(database, "first")
    set_end(database, end)
    assert take(database, "second") is is_taken


def test_one_of_many_that_take_at_once_leads(database: IMEIDatabase) -> None:
    barrier, found = threading.Barrier(4), list[bool]()

    def race(holder: str) -> None:
        barrier.wait()
        found.append(take(database, holder))

    threads = [threading.Thread(target=race, args=(f"holder {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False, False, False, True]


def test_workers_are_counted_while_their_rows_last_and_forgotten_long_after(database: IMEIDatabase) -> None:
    """Rows of accounts are no workers, and stay."""
    for name in (f"{WORKER}1", f"{WORKER}2", f"{WORKER}3", "main", "b"):
        assert take(database, "someone", name=name)
    set_end(database, "- 1", f"{WORKER}2")
    set_end(database, "- 601", f"{WORKER}3")
    set_end(database, "- 601", "b")
    with at_once(database) as connection:
        assert election_store.count_workers(connection) == 1
        election_store.forget_workers(connection)
        left = connection.exec_driver_sql("SELECT name FROM elections ORDER BY name").scalars().all()
    assert list(left) == ["b", "main", f"{WORKER}1", f"{WORKER}2"]
