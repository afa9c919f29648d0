"""Nightly backups: when one is due, what is stored about it, and what a failure leaves behind."""

import threading
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from order_tables import ORDER
from web_client import Browser, words

from database import DatabaseUnavailableError, IMEIDatabase
from sqlite_file import Copy
from storage import backups
from storage.backups import RETRY, BackupState, NightlyBackup, backup_state, make_backup, next_backup

NIGHT = datetime(2026, 3, 12, 3, tzinfo=UTC)
HOUR = 3600.0


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: datetime) -> None:
        self.now = now.timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(NIGHT - timedelta(hours=9))


@pytest.fixture
def nightly(database: IMEIDatabase, clock: Clock) -> NightlyBackup:
    return NightlyBackup(database, time(3), clock)


def fail(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def failing(_folder: Path) -> Copy:
        raise error

    monkeypatch.setattr(database, "write_copy", failing)


@pytest.mark.parametrize(
    ("after", "due"),
    [
        (NIGHT - timedelta(seconds=1), NIGHT),
        (NIGHT, NIGHT + timedelta(days=1)),
        (NIGHT + timedelta(hours=20, minutes=59, seconds=59), NIGHT + timedelta(days=1)),
        (datetime(2026, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, 3, tzinfo=UTC)),
    ],
)
def test_the_next_backup_is_at_the_next_time_of_the_day(after: datetime, due: datetime) -> None:
    assert next_backup(after, time(3)) == due


def test_one_backup_a_night_and_a_missed_night_is_made_up_for(
    database: IMEIDatabase, nightly: NightlyBackup, clock: Clock
) -> None:
    database.insert_order(ORDER)
    assert not nightly.is_due()
    clock.now += 9 * HOUR
    assert nightly.is_due()
    path = make_backup(database, clock)
    last = backup_state(database).last
    assert last is not None
    assert (last.name, last.size, last.orders, last.batches) == (path.name, path.stat().st_size, 1, 0)
    assert not nightly.is_due()
    clock.now += 4 * 24 * HOUR
    assert NightlyBackup(database, time(3), clock).is_due()


def test_a_failure_is_stored_and_tried_again_after_an_hour_until_one_succeeds(
    database: IMEIDatabase, nightly: NightlyBackup, clock: Clock, monkeypatch: pytest.MonkeyPatch, browser: Browser
) -> None:
    clock.now += 9 * HOUR
    database.insert_order(ORDER)
    fail(database, monkeypatch, OSError(5, "the copy is damaged: row 3 missing"))
    with pytest.raises(OSError, match="damaged"):
        make_backup(database, clock)
    failed = backup_state(database).failed
    assert failed is not None
    assert failed.reason == "the copy is damaged: row 3 missing"
    assert "The last backup failed: the copy is damaged: row 3 missing." in words(browser.get("/status"))
    assert "the copy is damaged" in words(browser.get("/database"))
    assert "hammer_backup_failed 1.0" in browser.get("/metrics").text
    assert not nightly.is_due()
    clock.now += RETRY
    assert nightly.is_due()
    with pytest.raises(OSError, match="damaged"):
        make_backup(database, clock)
    with database.read() as connection:
        announced = connection.exec_driver_sql("SELECT kind, data FROM outbox_events").all()
    assert announced == [("backup.failed", '{"error": "the copy is damaged: row 3 missing"}')]
    monkeypatch.undo()
    make_backup(database, clock)
    assert backup_state(database).failed is None
    assert "opened and counted: 1 order, 0 batches" in words(browser.get("/database"))
    assert "hammer_backup_failed 0.0" in browser.get("/metrics").text


def test_a_database_that_cannot_be_read_fails_the_backup_with_its_sentence(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = DatabaseUnavailableError("", None, Exception("locked"))
    fail(database, monkeypatch, locked)
    with pytest.raises(OSError, match="locked"):
        make_backup(database)
    assert backup_state(database) != BackupState()


def test_the_thread_backs_up_when_it_is_due_and_outlives_a_failure(
    database: IMEIDatabase,
    nightly: NightlyBackup,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has a failure once."""
    monkeypatch.setattr(backups, "LOOK", 0.0)
    monkeypatch.setattr(backups, "RETRY", 0.0)
    clock.now += 9 * HOUR
    write_copy, calls, stop = database.write_copy, [], threading.Event()

    def failing_once(folder: Path) -> Copy:
        calls.append(folder)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        stop.set()
        return write_copy(folder)

    monkeypatch.setattr(database, "write_copy", failing_once)
    nightly.duty().repeat(stop)
    assert len(calls) == 2
    assert backup_state(database).failed is None
    assert len(backups.backup_files(database)) == 1
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == ["No backup was made: No space left on device"]
