"""Backups of the database: one every night, and on request; how the last one went is stored.

sqlite_file/copying.py writes and verifies a copy of a file, engines/postgresql_copies.py a dump of a server.
A failure is announced once, until a backup succeeds again.
"""

import json
import logging
import threading
import time as clocks
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from database import DatabaseUnavailableError, IMEIDatabase, read_setting, write_setting
from engines import NOT_INSTALLED, is_installed
from sqlite_file import moment_of
from storage import outbox
from storage.background import Duty
from storage.outbox import EventKind

logger = logging.getLogger(__name__)

#: Names in the settings table: the last backup that succeeded, and the last one that failed.
LAST, FAILED = "last_backup", "failed_backup"
#: Seconds between two looks whether a backup is due, and after a failure until it is tried again.
LOOK, RETRY = 20.0, 3600.0


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was opened and counted."""

    at: float  #: Unix time of its end
    name: str  #: of its file in the backup folder
    size: int  #: bytes
    orders: int
    batches: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FailedBackup:
    """A backup that was not made."""

    at: float  #: Unix time
    reason: str


@dataclass(frozen=True, slots=True)
class BackupState:
    """How backups went."""

    last: Backup | None = None  #: the newest one that succeeded
    failed: FailedBackup | None = None  #: one that failed since then


def make_backup(database: IMEIDatabase, clock: Callable[[], float] = clocks.time) -> Path:
    """Write a backup into the backup folder, store how it went, and return its path. Raises OSError."""
    started = clock()
    try:
        copy = database.write_copy(database.backup_folder)
    except (OSError, DatabaseUnavailableError) as error:
        reason = error.sentence if isinstance(error, DatabaseUnavailableError) else str(error.strerror or error)
        _store_failure(database, FailedBackup(clock(), reason))
        if isinstance(error, OSError):
            raise
        raise OSError(None, reason) from error
    ended = clock()
    made = Backup(ended, copy.path.name, copy.size, copy.orders, copy.batches, round(ended - started, 1))
    database.set_setting(LAST, json.dumps(asdict(made)))
    logger.info("Backed up %d orders and %d batches to %s", made.orders, made.batches, copy.path)
    return copy.path


def backup_files(database: IMEIDatabase) -> list[Path]:
    """Return the backups in the backup folder."""
    return [path for path in database.backup_folder.glob("*") if moment_of(path)]


def needs_server_backups(database: IMEIDatabase) -> bool:
    """Return whether no backup can be written here: the database is on a server, and its programs are not here."""
    return not database.is_file and not is_installed()


def backup_state(database: IMEIDatabase) -> BackupState:
    """Return how backups went."""
    with database.read() as connection:
        made, missed = read_setting(connection, LAST), read_setting(connection, FAILED)
    last = Backup(**json.loads(made)) if made else None
    failed = FailedBackup(**json.loads(missed)) if missed else None
    is_newer = failed and (last is None or failed.at > last.at)
    return BackupState(last, failed if is_newer else None)


def next_backup(after: datetime, at: time) -> datetime:
    """Return the first moment later than `after` at this time of the day. All in UTC."""
    today = after.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return today if today > after else today + timedelta(days=1)


class NightlyBackup:
    """Backs up every night, or as soon as the program runs again after a night that it has missed."""

    def __init__(self, database: IMEIDatabase, at: time, clock: Callable[[], float] = clocks.time) -> None:
        """at: time of the day in UTC."""
        self._database = database
        self._at = at
        self._clock = clock
        self._started = clock()
        if needs_server_backups(database):
            logger.warning("No backups are written here: %s", NOT_INSTALLED)

    def duty(self) -> Duty:
        """Return the duty to back up."""
        return Duty("backup", LOOK, self._turn, "The backup failed")

    def _turn(self, _stop: threading.Event) -> None:
        if self.is_due():
            with suppress(OSError):  # it is stored and in the log
                make_backup(self._database, self._clock)

    def is_due(self) -> bool:
        """Return whether a night has come since the last backup, and no try has failed just before."""
        if needs_server_backups(self._database):
            return False
        state, now = backup_state(self._database), self._clock()
        if state.failed and 0 <= now - state.failed.at < RETRY:
            return False
        since = state.last.at if state.last else self._started
        return datetime.fromtimestamp(now, UTC) >= next_backup(datetime.fromtimestamp(since, UTC), self._at)


def _store_failure(database: IMEIDatabase, failed: FailedBackup) -> None:
    """Store a failure, and announce the first one. A database that cannot be written has it in the log only."""
    logger.error("No backup was made: %s", failed.reason)
    with suppress(DatabaseUnavailableError):
        is_first = backup_state(database).failed is None
        with database.write() as connection:
            write_setting(connection, FAILED, json.dumps(asdict(failed)))
            if is_first:
                outbox.add(connection, EventKind.BACKUP_FAILED, {"error": failed.reason})
