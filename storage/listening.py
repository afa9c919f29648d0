"""Notifications of the database server, so that nobody has to wait for the next look; and changes of batches by them.

Looks go on: a notification may be lost.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from database import IMEIDatabase
from engines import libpq_address

logger = logging.getLogger(__name__)

#: Seconds in which the end is noticed, and after which a connection that broke is opened again.
LOOK, AGAIN = 1.0, 1.0
#: The channel on which a trigger sends the id of each batch that has changed, on whichever machine.
BATCHES = "hammer_batches"


class BatchChanges:
    """What the streams of one process wait for. Thread-safe; listens from the first wait on."""

    def __init__(self, database: IMEIDatabase, stopping: threading.Event) -> None:
        """stopping: nobody waits any more."""
        self._database = database
        self._stopping = stopping
        self._condition = threading.Condition()
        self._changes = Counter[str]()
        self._thread: threading.Thread | None = None

    def wait(self, batch_id: int, seen: int, seconds: float) -> int:
        """Wait for a change of a batch beyond those seen, at most these seconds. Return how many there are now."""
        if self._database.is_file:
            self._stopping.wait(seconds)
            return seen
        name = str(batch_id)
        with self._condition:
            if self._thread is None:
                self._thread = _listener(self._database, BATCHES, self._note, self._stopping)
            self._condition.wait_for(lambda: self._changes[name] != seen or self._stopping.is_set(), seconds)
            return self._changes[name]

    def _note(self, name: str) -> None:
        with self._condition:
            self._changes[name] += 1
            self._condition.notify_all()


def server_address(database: IMEIDatabase) -> str:
    """Return the address of the server as its own library reads it, with the password."""
    return libpq_address(database.engine.url)


@contextmanager
def listening(database: IMEIDatabase, channel: str, heard: Callable[[str], None]) -> Iterator[None]:
    """Call heard with the payload of each notification, in a thread, as long as this is held."""
    ending = threading.Event()
    thread = _listener(database, channel, heard, ending)
    try:
        yield
    finally:
        ending.set()
        thread.join(2 * LOOK)


def _listener(
    database: IMEIDatabase, channel: str, heard: Callable[[str], None], ending: threading.Event
) -> threading.Thread:
    """Start the thread that listens until ending is set."""
    thread = threading.Thread(target=_listen, args=(database, channel, heard, ending), name="listen", daemon=True)
    thread.start()
    return thread


def _listen(database: IMEIDatabase, channel: str, heard: Callable[[str], None], ending: threading.Event) -> None:
    while not ending.is_set():
        try:
            with psycopg.connect(server_address(database), autocommit=True, connect_timeout=5) as connection:
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                _pass_on(connection, heard, ending)
        except psycopg.Error as error:
            logger.warning("Notifications are interrupted: %s", error)
            ending.wait(AGAIN)


def _pass_on(connection: "psycopg.Connection[Any]", heard: Callable[[str], None], ending: threading.Event) -> None:
    while not ending.is_set():
        for notification in connection.notifies(timeout=LOOK):
            heard(notification.payload)
