"""A guard raises the words of a condition that does not hold; a write that may be left out does not wait."""

import pytest

from database import DatabaseUnavailableError, IMEIDatabase
from engines import BUSY_TIMEOUT_MS
from storage import guards
from storage.guards import WrongStateError


def test_a_condition_that_does_not_hold_is_raised_in_its_words() -> None:
    guards.expect(True, "never")
    with pytest.raises(WrongStateError, match=r"^0 of 1 rows$"):
        guards.expect(False, "0 of 1 rows")


def test_a_write_that_may_be_left_out_does_not_wait_for_another_one(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    with rival.write(), pytest.raises(DatabaseUnavailableError), database.write(is_hurried=True):
        pass
    with database.write(is_hurried=True) as connection:
        connection.exec_driver_sql("INSERT INTO settings (key, value) VALUES ('a', 'b')")
    assert database.get_setting("a") == "b"


def test_after_a_write_that_did_not_wait_others_wait_as_before(file_database: IMEIDatabase) -> None:
    """On SQLite, where the time is a setting of the connection."""
    with file_database.write(is_hurried=True):
        pass
    with file_database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == BUSY_TIMEOUT_MS
