"""Copies of a database file: consistent, without secrets, opened and counted before they get their name.

A copy is a file of its own beside a running program. This module works on files, below tables and migrations; it
must not know batches, pages or the provider.
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlite_file.library import dbapi

#: Bytes that a copy leaves free for answers and orders.
SPARE = 64 * 1024 * 1024
#: Seconds to wait for another writer, and after which an unfinished copy was left behind by a kill.
PATIENCE, LEFT_BEHIND = 30.0, 86_400.0
UNFINISHED = ".part"
#: The names of copies that this program made.
NAME = re.compile(r"-(\d{8}T\d{6}-\d{6})Z\.(db|dump)$")
NAME_FORMAT = "%Y%m%dT%H%M%S-%f"
#: What a copy must not hold: table → the statement that removes it. After a restore, users log in with their
#: passwords and set up their second factor again; tokens, links to reports, webhooks and sessions must be made again,
#: because some of them may have been revoked since.
SECRETS: tuple[tuple[str, str], ...] = (
    ("sessions", "DELETE FROM sessions"),
    ("recovery_codes", "DELETE FROM recovery_codes"),
    ("login_failures", "DELETE FROM login_failures"),
    ("users", "UPDATE users SET totp_secret = NULL, totp_step = NULL"),
    ("api_tokens", "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, CURRENT_TIMESTAMP)"),
    ("report_links", "UPDATE report_links SET revoked_at = coalesce(revoked_at, CURRENT_TIMESTAMP)"),
    (
        "webhooks",
        "UPDATE webhooks SET secret = '', old_secret = NULL, old_secret_until = NULL,"
        " disabled_at = coalesce(disabled_at, CURRENT_TIMESTAMP)",
    ),
    ("settings", "DELETE FROM settings WHERE key = 'secret_key'"),
)
#: Days, weeks and months of which the newest copy is kept, and copies that are kept whatever their day.
DAILY, WEEKLY, MONTHLY, NEWEST = 7, 4, 6, 3
#: Tables whose rows are counted, in the copy and in the database.
COUNTED = ("orders", "batches")


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that was opened and counted."""

    path: Path
    size: int  #: bytes
    orders: int
    batches: int


def write_copy(database: Path, folder: Path, now: datetime) -> Copy:
    """Write a verified copy of a database, without secrets, into a folder. now: UTC.

    Raises OSError, with a sentence as its strerror: the disk would be left with less than SPARE bytes, or the copy is
    damaged. Then there is no copy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_behind(folder)
    if shutil.disk_usage(folder).free < database.stat().st_size + SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    target = folder / f"{database.stem}-{now:{NAME_FORMAT}}Z.db"
    unfinished = target.with_name(target.name + UNFINISHED)
    try:
        with opened(database) as source:
            _copy(source, unfinished)
            orders, batches = _verified_counts(unfinished, source)
        sync(unfinished)
        unfinished.replace(target)
        sync(folder)
    except dbapi.DatabaseError as error:
        raise OSError(errno.EIO, str(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return Copy(target, target.stat().st_size, orders, batches)


def read_copy(file: Path, target: Path) -> set[str]:
    """Copy a database file that nobody has open, without its secrets; return the names of its tables.

    Raises OSError, with a sentence as its strerror, for a file that is damaged or no database.
    """
    problem = damage(file)
    if problem:
        raise OSError(errno.EIO, problem)
    try:
        with opened(file, read_only=True) as source:
            _copy(source, target)
            return _tables(source)
    except dbapi.DatabaseError as error:
        raise OSError(errno.EIO, str(error)) from error


def _copy(source: Any, target: Path) -> None:
    source.execute("VACUUM INTO ?", (str(target),))
    target.chmod(0o600)
    remove_secrets(target)


def remove_secrets(path: Path) -> None:
    """Overwrite the secrets of a copy with zeros, and leave it as one file."""
    with opened(path) as connection:
        for pragma in ("journal_mode = DELETE", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        there = _tables(connection)
        connection.execute("BEGIN IMMEDIATE")
        for table, statement in SECRETS:
            if table in there:
                connection.execute(statement)
        connection.execute("COMMIT")


def damage(path: Path) -> str:
    """Return what is wrong with a database file, read-only; "" for a sound one."""
    try:
        with opened(path, read_only=True) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    except (dbapi.DatabaseError, UnicodeDecodeError) as error:  # SQLite quotes damaged texts in its errors
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


@contextmanager
def opened(path: Path, read_only: bool = False) -> Iterator[Any]:
    """Open a database file without SQLAlchemy; statements outside BEGIN commit at once."""
    mode = "ro" if read_only else "rw"
    if read_only and not path.with_name(path.name + "-wal").exists():
        mode += "&immutable=1"  # writes no file beside it
    connection = dbapi.connect(f"{path.absolute().as_uri()}?mode={mode}", PATIENCE, isolation_level=None, uri=True)
    try:
        yield connection
    finally:
        connection.close()


def sync(path: Path) -> None:
    """Return when a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rotate(folder: Path, stem: str) -> None:
    """Delete the copies of a database but those that kept() names; other files stay."""
    copies = {moment: path for path in folder.glob(f"{stem}-*") if (moment := moment_of(path))}
    for moment in copies.keys() - kept(copies):
        copies[moment].unlink(missing_ok=True)


def kept(moments: Iterable[datetime]) -> set[datetime]:
    """Return the moments (UTC) of the copies to keep: the newest ones, and the newest of each day, week and month."""
    newest_first = sorted(set(moments), reverse=True)
    return {
        *newest_first[:NEWEST],
        *_newest_of(newest_first, DAILY, lambda moment: moment.date()),
        *_newest_of(newest_first, WEEKLY, lambda moment: moment.isocalendar()[:2]),
        *_newest_of(newest_first, MONTHLY, lambda moment: (moment.year, moment.month)),
    }


def _newest_of(newest_first: Sequence[datetime], most: int, period: Callable[[datetime], object]) -> list[datetime]:
    """Return the newest moment of each of the newest `most` periods."""
    found: dict[object, datetime] = {}
    for moment in newest_first:
        found.setdefault(period(moment), moment)
    return list(islice(found.values(), most))


def moment_of(path: Path) -> datetime | None:
    """Return when a copy was made (UTC), by its name; None for another file."""
    found = NAME.search(path.name)
    return datetime.strptime(found[1], NAME_FORMAT).replace(tzinfo=UTC) if found else None


def _verified_counts(copy: Path, source: Any) -> list[int]:
    """Return the rows of COUNTED of a copy. Raises OSError unless it is sound and has all that the source had then."""
    with opened(copy, read_only=True) as connection:
        report = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if report != "ok":
            raise OSError(errno.EIO, f"the copy is damaged: {report}")
        there = _tables(connection)
        return [_compared_count(connection, source, table) if table in there else 0 for table in COUNTED]


def _compared_count(copy: Any, source: Any, table: str) -> int:
    """Return the rows of a table in a copy. Rows that the source got since have higher ids and do not count."""
    count, newest = copy.execute(f"SELECT count(*), coalesce(max(id), 0) FROM {table}").fetchone()
    had = source.execute(f"SELECT count(*) FROM {table} WHERE id <= ?", (newest,)).fetchone()[0]
    if count < had:
        raise OSError(errno.EIO, f"the copy has {count} of {had} rows of {table}")
    return int(count)


def _tables(connection: Any) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def remove_left_behind(folder: Path) -> None:
    """Delete copies that a kill left unfinished."""
    for path in folder.glob(f"*{UNFINISHED}*"):
        if time.time() - path.stat().st_mtime > LEFT_BEHIND:
            path.unlink(missing_ok=True)
