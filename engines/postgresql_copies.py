"""A backup of a database on a server: a dump in the custom format of pg_dump, listed and counted before it is kept.

It is written by the programs of PostgreSQL on this machine, in one snapshot in which the rows are counted as well. It
holds no sessions, recovery codes and failed logins, but, unlike a copy of a file, the secrets of second factors and
webhooks: the custom format leaves out whole tables only.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, cast

from sqlalchemy import URL, Connection, Engine

from sqlite_file import NAME_FORMAT, SPARE, UNFINISHED, Copy, remove_left_behind, sync

#: The programs of PostgreSQL that write and read a dump, and the ending of its name.
DUMP, RESTORE, ENDING = "pg_dump", "pg_restore", "dump"
NOT_INSTALLED = "pg_dump is not installed here, so the backups of the database server are needed"
#: Tables whose rows a dump leaves out.
LEFT_OUT = ("sessions", "recovery_codes", "login_failures")
#: Tables whose rows are counted, in the dump and in its snapshot.
COUNTED = ("orders", "batches")
READ_AT_ONCE = 1024 * 1024
#: What begins and ends the rows of a table in a dump.
FIRST, LAST = b"\nCOPY ", b"\n\\."
LONGEST_REASON = 300


def is_installed() -> bool:
    """Return whether the programs of PostgreSQL that write and read a dump are on this machine."""
    return shutil.which(DUMP) is not None and shutil.which(RESTORE) is not None


def libpq_address(url: URL) -> str:
    """Return an address as PostgreSQL's own programs read it: they take no blanks, and a plus as itself."""
    base, mark, query = url.set(drivername="postgresql").render_as_string(hide_password=False).partition("?")
    return base.replace(" ", "%20") + mark + query.replace("+", "%20")


def write_dump(engine: Engine, size: int, folder: Path, now: datetime) -> Copy:
    """Write a verified dump of the database of an engine into a folder. size: bytes that it may need; now: UTC.

    Raises OSError, with a sentence as its strerror: the programs are missing or fail, the disk would be left with less
    than SPARE bytes, or the dump lacks rows. Then there is no dump.
    """
    if not is_installed():
        raise OSError(errno.ENOENT, NOT_INSTALLED)
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_behind(folder)
    if shutil.disk_usage(folder).free < size + SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    target = folder / f"{engine.url.database}-{now:{NAME_FORMAT}}Z.{ENDING}"
    unfinished = target.with_name(target.name + UNFINISHED)
    try:
        with engine.begin() as connection:
            counts = _dumped_counts(connection, engine.url, unfinished)
        sync(unfinished)
        unfinished.replace(target)
        sync(folder)
    finally:
        unfinished.unlink(missing_ok=True)
    return Copy(target, target.stat().st_size, *counts)


def _dumped_counts(connection: Connection, url: URL, target: Path) -> list[int]:
    """Dump a snapshot, and return its rows of COUNTED. Raises OSError unless the dump has as many."""
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")  # it waits for the dump
    snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
    target.touch(0o600)
    left_out = [f"--exclude-table-data={table}" for table in LEFT_OUT]
    place = libpq_address(url.set(password=None))
    _run([DUMP, "--format=custom", f"--snapshot={snapshot}", *left_out, f"--file={target}", place], url.password)
    _run([RESTORE, "--list", str(target)])
    return [_compared_count(connection, target, table) for table in COUNTED]


def _compared_count(connection: Connection, dump: Path, table: str) -> int:
    had = int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())
    found = _rows(dump, table)
    if found != had:
        raise OSError(errno.EIO, f"the dump has {found} of {had} rows of {table}")
    return found


def _rows(dump: Path, table: str) -> int:
    """Return the rows of a table in a dump: the lines between its first one, COPY, and its last one."""
    command = [RESTORE, "--data-only", f"--table={table}", "--file=-", str(dump)]
    lines, is_inside, rest = 0, False, b""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        while part := cast(IO[bytes], program.stdout).read(READ_AT_ONCE):
            part = rest + part
            if not is_inside and FIRST in part:
                part, is_inside = part[part.index(FIRST) + len(FIRST) :], True
            if is_inside and LAST in part:
                return lines + part[: part.index(LAST)].count(b"\n")
            keep = max(len(part) - len(FIRST), 0)
            lines, rest = lines + (part[:keep].count(b"\n") if is_inside else 0), part[keep:]
    return lines


def _run(command: Sequence[str], password: str | None = None) -> None:
    """Run a program. Raises OSError with what it printed as the reason. The password is in no command line."""
    environment = os.environ | ({"PGPASSWORD": password} if password else {})
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        reason = " ".join(ended.stderr.split())[:LONGEST_REASON]
        raise OSError(errno.EIO, f"{Path(command[0]).name} failed: {reason}")
