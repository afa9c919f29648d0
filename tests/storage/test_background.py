"""A duty is done again and again, whatever fails in a turn."""

import threading

import pytest

from database import DatabaseUnavailableError
from storage.background import Duty


def test_a_turn_that_fails_is_logged_and_the_next_one_follows(caplog: pytest.LogCaptureFixture) -> None:
    stop, turns = threading.Event(), list[int]()

    def work(_: threading.Event) -> None:
        turns.append(1)
        if len(turns) == 1:
            raise DatabaseUnavailableError("", None, OSError("the disk"))
        if len(turns) == 2:
            raise RuntimeError("a bug")
        stop.set()

    ended = list[bool]()
    Duty("work", 0.0, work, "Work failed", lambda: ended.append(stop.is_set())).repeat(stop)
    assert (len(turns), ended) == (3, [True])
    assert [(record.levelname, record.getMessage(), bool(record.exc_info)) for record in caplog.records] == [
        ("WARNING", "Work failed: the disk", False),
        ("ERROR", "Work failed", True),
    ]
