"""Notifications of the database server reach who waits, on whichever machine a batch was changed."""

import threading
import time
from collections.abc import Iterator

import pytest
from handed_over import handed_over
from sqlalchemy import select, text, update
from waiting import wait_until

from database import IMEIDatabase
from schema import batches
from storage.listening import BatchChanges, listening


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def batch_of(database: IMEIDatabase) -> int:
    handed_over(database)
    with database.read() as connection:
        return int(connection.execute(select(batches.c.id)).scalar_one())


def change(database: IMEIDatabase, batch_id: int) -> None:
    with database.write() as connection:
        changed = {"revision": batches.c.revision + 1}
        connection.execute(update(batches).where(batches.c.id == batch_id).values(changed))


def test_a_change_of_a_batch_ends_the_wait(server_database: IMEIDatabase, stopping: threading.Event) -> None:
    batch_id, changes = batch_of(server_database), BatchChanges(server_database, stopping)

    def is_heard() -> bool:  # it listens from the first wait on
        change(server_database, batch_id)
        return changes.wait(batch_id, 0, 0.2) > 0

    wait_until(is_heard, "it is heard")
    seen = changes.wait(batch_id, -1, 0.0)
    time.sleep(0.3)
    seen = changes.wait(batch_id, -1, 0.0)
    timer = threading.Timer(0.2, change, [server_database, batch_id])
    started = time.monotonic()
    timer.start()
    assert changes.wait(batch_id, seen, 20.0) > seen
    assert time.monotonic() - started < 10
    assert changes.wait(batch_id + 1, 0, 0.0) == 0


def test_nobody_waits_for_a_change_of_a_file(file_database: IMEIDatabase, stopping: threading.Event) -> None:
    started = time.monotonic()
    assert BatchChanges(file_database, stopping).wait(1, 7, 0.05) == 7
    assert time.monotonic() - started >= 0.05


def test_a_connection_that_breaks_is_opened_again(
    server_database: IMEIDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    heard = list[str]()

    def is_heard(word: str) -> bool:
        with server_database.write() as connection:
            connection.execute(text("SELECT pg_notify('a_channel', :word)"), {"word": word})
        return word in heard

    with listening(server_database, "a_channel", heard.append):
        wait_until(lambda: is_heard("first"), "the first is heard")
        with server_database.write() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%a_channel%'")
            )
        wait_until(lambda: is_heard("second"), "the second is heard")
    assert "interrupted" in caplog.text
