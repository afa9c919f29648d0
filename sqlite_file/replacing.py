"""Put another database file in the place of one, so that a kill leaves the old or the new one, never none or a mixture.

The order matters: SQLite folds its journal into the old file, the old file gets a second name in the folder of what was
replaced, and one rename puts the new file in its place. Hold the lock of use_lock.py alone meanwhile.
"""

import os
import shutil
from datetime import datetime
from pathlib import Path

from sqlite_file.copying import NAME_FORMAT, opened, sync
from sqlite_file.library import dbapi
from sqlite_file.use_lock import InUseError

#: What SQLite keeps beside a file; the index of the WAL ("-shm") holds nothing of its own.
JOURNALS, INDEX = ("-wal", "-journal"), "-shm"
BUSY = 5  #: SQLITE_BUSY


def fold(path: Path) -> bool:
    """Move what SQLite keeps beside a database into its file. Return False where the file is damaged.

    It needs the file alone, so it also finds programs that do not share our lock, such as the sqlite3 shell: then it
    raises InUseError.
    """
    try:
        with opened(path) as connection:
            connection.execute("PRAGMA busy_timeout = 1000").fetchall()
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    except dbapi.OperationalError as error:
        if getattr(error, "sqlite_errorcode", BUSY) & 0xFF == BUSY:
            raise InUseError("Another program has the database open: close it first.") from error
        return False
    except dbapi.DatabaseError:
        return False
    return True


def replace(path: Path, new: Path, kept: Path, now: datetime) -> list[Path]:
    """Put the file `new` in the place of a database, and keep what was there in the folder `kept`.

    now: UTC. Both files are on one disk. Returns the paths of what is kept. Raises InUseError, OSError.
    """
    sync(new)
    aside = _keep(path, kept / f"{path.stem}-{now:{NAME_FORMAT}}Z.db") if path.exists() else []
    for beside in (*JOURNALS, INDEX):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    new.replace(path)
    sync(path.parent)
    return aside


def _keep(path: Path, second: Path) -> list[Path]:
    """Give a database a second name, with its journals where it is too damaged to fold them into it."""
    second.parent.mkdir(exist_ok=True)
    journals = []
    for beside in JOURNALS:  # first, because SQLite removes a journal that it cannot read
        if path.with_name(path.name + beside).exists():
            journals.append(second.with_name(second.name + beside))
            _name_again(path.with_name(path.name + beside), journals[-1])
    if fold(path):
        for journal in journals:
            journal.unlink()
        journals.clear()
    _name_again(path, second)
    sync(second.parent)
    return [second, *journals]


def _name_again(path: Path, second: Path) -> None:
    """Give a file a second name; on a disk without hard links it is copied."""
    try:
        os.link(path, second)
    except OSError:
        unfinished = second.with_name(second.name + ".part")
        shutil.copyfile(path, unfinished)
        sync(unfinished)
        unfinished.replace(second)
    second.chmod(0o600)
