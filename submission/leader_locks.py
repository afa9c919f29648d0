"""The lock that elects the leader: a file beside a database file, or a row of a database on a server."""

import fcntl
import logging
import os
import secrets
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from database import DatabaseUnavailableError, IMEIDatabase, Transaction
from storage import election_store
from storage.handed_calls import without_begin

logger = logging.getLogger(__name__)

#: Seconds between two looks at what another process does that leads.
FOLLOW_INTERVAL = 0.3
#: Seconds after which another process may take a lock that is not renewed, and between two renewals.
LASTS, RENEWED = 10.0, 2.0
MAIN = "main"


class LeaderLock(ABC):
    """What elects the leader. At most one process holds it."""

    is_lost = False  #: another process may hold it by now

    @abstractmethod
    def acquire(self) -> bool:
        """Take the lock if it is free. Return whether this process holds it now."""

    @abstractmethod
    def release(self) -> None:
        """Free the lock for other processes, at once."""

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Take the lock if it is free, and free it at the end. Yields whether this process holds it."""
        try:
            yield self.acquire()
        finally:
            self.release()


class RunnerLock(LeaderLock):
    """The lock file of one data directory: the kernel frees it however its holder dies. It reaches no other machine."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "runner.lock"
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free. Raises OSError where its file cannot be opened."""
        file = self._path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Free the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None


def runner_alive(data_dir: Path) -> bool:
    """Return whether a process is the leader of this data directory."""
    with RunnerLock(data_dir).held() as is_free:
        return not is_free


class RowLock(LeaderLock):
    """The row of one name, such as that of an account. A thread renews it, so that it ends soon after its process does.

    A process that was stopped for longer finds it lost. What it had planned is stopped by the lease, whose number is
    checked with every intent (storage/lease.py).
    """

    def __init__(self, database: IMEIDatabase, name: str = MAIN) -> None:
        self._database = database
        self._name = name
        self._holder = f"process {os.getpid()} on {socket.gethostname()} {secrets.token_hex(4)}"
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free. Raises DatabaseUnavailableError."""
        with without_begin(self._database) as connection:
            if not election_store.take(connection, self._name, self._holder, LASTS):
                return False
        self.is_lost = False
        self._ending.clear()
        self._thread = threading.Thread(target=self._renew, name="lock", daemon=True)
        self._thread.start()
        return True

    def release(self) -> None:
        """Free the lock."""
        if self._thread is None:
            return
        self._ending.set()
        self._thread.join()
        self._thread = None
        try:
            with without_begin(self._database) as connection:
                election_store.renew(connection, self._name, self._holder, 0.0)
        except DatabaseUnavailableError as error:
            logger.warning("The lock of the leader ends in a moment: %s", error.orig)

    def _renew(self) -> None:
        while not self._ending.wait(RENEWED):
            try:
                with without_begin(self._database) as connection:
                    self.is_lost = not election_store.renew(connection, self._name, self._holder, LASTS)
            except DatabaseUnavailableError as error:
                logger.warning("The lock of the leader could not be renewed: %s", error.orig)
            if self.is_lost:
                logger.error("Another process leads: this one was away for too long")
                return


def leader_lock(database: IMEIDatabase, data_dir: Path) -> LeaderLock:
    """Return the lock that elects the leader of a database; data_dir has the lock file of a file."""
    return RunnerLock(data_dir) if database.is_file else RowLock(database)


def leader_alive(database: IMEIDatabase, data_dir: Path) -> bool:
    """Return whether a process leads."""
    if database.is_file:
        return runner_alive(data_dir)
    with database.read() as connection:
        return is_led(database, connection, data_dir)


def is_led(database: IMEIDatabase, connection: Transaction, data_dir: Path) -> bool:
    """Return what leader_alive() returns, inside a transaction."""
    return runner_alive(data_dir) if database.is_file else election_store.is_held(connection, MAIN)
