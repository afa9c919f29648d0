"""The lock file beside the database, which elects the leader (runner.py): the kernel frees it however its holder dies.

It does not reach another machine; submission/leader_locks.py has the lock for several.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

#: Seconds between two looks at what another process does that leads.
FOLLOW_INTERVAL = 0.3


class RunnerLock:
    """The lock file of one data directory. At most one process of this machine holds it."""

    is_lost = False

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "runner.lock"
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free. Returns whether this process holds it now."""
        file = self._path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Free the lock for other processes."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Take the lock if it is free, and free it at the end. Yields whether this process holds it."""
        try:
            yield self.acquire()
        finally:
            self.release()


def runner_alive(data_dir: Path) -> bool:
    """Return whether a process is the leader of this data directory."""
    with RunnerLock(data_dir).held() as is_free:
        return not is_free
