"""Notifications of the database server, so that nobody has to wait for the next look. Looks go on: one may be lost."""

import logging
import threading
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


def server_address(database: IMEIDatabase) -> str:
    """Return the address of the server as its own library reads it, with the password."""
    return libpq_address(database.engine.url)


@contextmanager
def listening(database: IMEIDatabase, channel: str, heard: Callable[[str], None]) -> Iterator[None]:
    """Call heard with the payload of each notification, in a thread, as long as this is held."""
    ending = threading.Event()
    thread = threading.Thread(target=listen, args=(database, channel, heard, ending), name="listen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(2 * LOOK)


def listen(database: IMEIDatabase, channel: str, heard: Callable[[str], None], ending: threading.Event) -> None:
    """Call heard with the payload of each notification until ending is set."""
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
