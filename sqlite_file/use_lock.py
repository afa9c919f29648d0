"""The lock that every process shares while it has the database open; a restore needs it alone.

The kernel frees it however a process ends. It lies beside the database, because the database itself is replaced.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class InUseError(Exception):
    """Another process has the database open; nothing was changed."""


def _lock_file(database: Path) -> Path:
    return database.with_suffix(".use.lock")


def share(database: Path) -> IO[str]:
    """Return the shared lock, which ends when it is closed. Waits while a restore has it alone. Raises OSError."""
    file = _lock_file(database).open("a")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


@contextmanager
def alone(database: Path) -> Iterator[None]:
    """Hold the lock alone: no process has the database open, and none opens it. Raises InUseError, OSError."""
    with _lock_file(database).open("a") as file:
        hold_alone(file)
        yield


def hold_alone(lock: IO[str]) -> None:
    """Hold a lock alone until it is closed, also one that was shared. Raises InUseError, OSError."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InUseError("The app, or a command, has the database open: stop it first.") from error
