"""A thread of the leader works again and again, whatever fails in a turn."""

import logging
import threading

import pytest

from database import DatabaseUnavailableError
from storage.background import repeat


def test_a_turn_that_fails_is_logged_and_the_next_one_follows(caplog: pytest.LogCaptureFixture) -> None:
    stop, turns = threading.Event(), list[int]()

    def work() -> None:
        turns.append(1)
        if len(turns) == 1:
            raise DatabaseUnavailableError("", None, OSError("the disk"))
        if len(turns) == 2:
            raise RuntimeError("a bug")
        stop.set()

    repeat(work, 0.0, stop, logging.getLogger("test"), "Work failed")
    assert len(turns) == 3
    assert [(record.levelname, record.getMessage(), bool(record.exc_info)) for record in caplog.records] == [
        ("WARNING", "Work failed: the disk", False),
        ("ERROR", "Work failed", True),
    ]
