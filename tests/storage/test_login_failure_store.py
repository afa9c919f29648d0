"""Failed logins on disk: kept by subject, and no more of them than are worth keeping."""

import pytest

from database import IMEIDatabase
from storage import login_failure_store
from storage.login_failure_store import Attempts


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """A database of SQLite: the tests of pages and of whole turns run these statements on a server."""
    return file_database


def subjects(database: IMEIDatabase) -> set[str]:
    with database.read() as connection:
        return set(connection.exec_driver_sql("SELECT subject FROM login_failures").scalars())


def test_attempts_are_kept_by_subject_and_replaced(database: IMEIDatabase) -> None:
    first, second = Attempts("network a", 3, 10.0, 12.5), Attempts("account b", 1, 11.0, 0.0, known=True)
    with database.write() as connection:
        login_failure_store.save(connection, [first, second])
        login_failure_store.save(connection, [Attempts("network a", 4, 13.0, 20.0)])
        found = login_failure_store.load(connection, ["account b", "network a", "network c"])
    assert found == {
        "account b": second,
        "network a": Attempts("network a", 4, 13.0, 20.0),
        "network c": Attempts("network c"),
    }


def test_failures_and_known_networks_are_forgotten_after_their_own_time(database: IMEIDatabase) -> None:
    rows = [Attempts(f"{known} {at}", 1, at, 0.0, known) for known in (False, True) for at in (9.0, 10.0, 99.0, 100.0)]
    with database.write() as connection:
        login_failure_store.save(connection, rows)
        login_failure_store.forget(connection, failed_before=100.0, known_before=10.0, most=10)
    assert subjects(database) == {"False 100.0", "True 10.0", "True 99.0", "True 100.0"}


def test_the_oldest_of_too_many_failures_are_forgotten_and_no_known_network(database: IMEIDatabase) -> None:
    rows = [Attempts(f"failed {at}", 1, at) for at in (1.0, 2.0, 3.0)] + [Attempts("known", 0, 0.5, known=True)]
    with database.write() as connection:
        login_failure_store.save(connection, rows)
        login_failure_store.forget(connection, failed_before=0.0, known_before=0.0, most=3)
    assert len(subjects(database)) == 4
    with database.write() as connection:
        login_failure_store.forget(connection, failed_before=0.0, known_before=0.0, most=2)
    assert subjects(database) == {"failed 2.0", "failed 3.0", "known"}
