"""The mark fits only where the server has every commit since; calls begin only while it fits."""

import pytest
from sqlalchemy import select, text

from database import IMEIDatabase, write_setting
from storage import history_mark
from storage.history_mark import CONFIRMED, HISTORY, IS_WHOLE, OLDER_COPY, STORED, History


@pytest.mark.parametrize(
    ("now", "marked", "written_by", "fits"),
    [
        ("7 16384 1", "7 16384 1 900", "900", True),
        ("7 16384 2", "7 16384 1 900", "900", False),  # a standby took over
        ("8 16384 1", "7 16384 1 900", "900", False),  # another server
        ("7 16385 1", "7 16384 1 900", "900", False),  # another database of it
        ("7 16384 1", "7 16384 1 900", "901", False),  # a dump was put back
        ("7 16384 1", None, None, False),  # no leader has looked yet
    ],
)
def test_a_mark_fits_the_place_and_the_transaction_that_wrote_it(
    now: str, marked: str | None, written_by: str | None, fits: bool
) -> None:
    assert History(now, marked, written_by, True, True, False).fits is fits


@pytest.mark.parametrize(
    ("history", "is_confirmed"),
    [
        (History("7 16384 2", "7 16384 1 900", "900", False, True, False), True),
        (History("7 16384 2", "7 16384 1 900", "900", True, False, False), False),  # was not synchronous
        (History("7 16384 2", "7 16384 1 900", "900", True, True, True), False),  # recovered to a chosen point
        (History("8 16384 2", "7 16384 1 900", "900", True, True, False), False),
        (History("7 16385 2", "7 16384 1 900", "900", True, True, False), False),
        (History("7 16384 2", "7 16384 1 900", "901", True, True, False), False),
        (History("7 16384 2", None, None, True, True, False), False),
    ],
)
def test_a_standby_that_took_over_is_whole_only_if_it_has_confirmed_every_commit(
    history: History, is_confirmed: bool
) -> None:
    assert history.is_confirmed is is_confirmed


def stops_calls(database: IMEIDatabase) -> tuple[bool, bool]:
    """Whether calls may begin, and whether the mark is of another history, as the statements of calls ask."""
    with database.read() as connection:
        return connection.execute(select(text(IS_WHOLE))).scalar_one(), connection.execute(select(STORED)).scalar_one()


def test_calls_begin_while_the_mark_fits_and_no_orders_are_to_be_restored(emptied_database: IMEIDatabase) -> None:
    """A database without a mark was never led by a version that knows it: it stops nothing."""
    database = emptied_database
    assert stops_calls(database) == (True, False)
    with database.write() as connection:
        history_mark.write_mark(connection, is_synchronous=False)
    assert stops_calls(database) == (True, False)
    with database.write() as connection:
        write_setting(connection, OLDER_COPY, "Commits were lost.")
    assert stops_calls(database) == (False, False)
    with database.write() as connection:
        write_setting(connection, OLDER_COPY, "")
    assert stops_calls(database) == (True, False)
    with database.write() as connection:  # the same words, written by another transaction: a dump does that
        connection.execute(text(f"UPDATE settings SET value = value WHERE key = '{HISTORY}'"))
    assert stops_calls(database) == (False, True)


def test_a_mark_is_read_as_it_was_written(emptied_database: IMEIDatabase) -> None:
    """It is written anew at each start of a leader; whether servers are synchronous is read from the server."""
    with emptied_database.read() as connection:
        first = history_mark.read_history(connection)
    assert (first.marked, first.written_by, first.fits, first.was_synchronous) == (None, None, False, False)
    for is_synchronous in (True, False):
        with emptied_database.write() as connection:
            history_mark.write_mark(connection, is_synchronous)
        with emptied_database.read() as connection:
            found = history_mark.read_history(connection)
        assert (found.now, found.fits, found.was_synchronous) == (first.now, True, is_synchronous)
        assert (found.is_synchronous, found.has_target) == (False, False)
    assert emptied_database.get_setting(CONFIRMED) == ""
