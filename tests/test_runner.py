"""The runner that fails: it starts again, more slowly each time, and its log tells a bug from a disk."""

import logging
import threading

import pytest

import runner
from database import DatabaseUnavailableError, IMEIDatabase
from runner import LONGEST_PAUSE, Background
from settings import Settings


class Waits(threading.Event):
    """An event that notes how long somebody waits for it, and is set after some waits."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.seconds: list[float | None] = []
        self._most = most

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        if len(self.seconds) == self._most:
            self.set()
        return self.is_set()


@pytest.mark.parametrize(
    ("error", "seconds", "traceback"),
    [
        (RuntimeError("a bug"), [2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE], True),
        (DatabaseUnavailableError("", None, OSError("a disk")), [1.0] * 7, False),
    ],
)
def test_a_runner_that_fails_starts_again(
    settings: Settings,
    database: IMEIDatabase,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    seconds: list[float],
    traceback: bool,
) -> None:
    def fails(_: Background) -> None:
        raise error

    monkeypatch.setattr(Background, "_run", fails)
    caplog.set_level(logging.ERROR, runner.__name__)
    waits = Waits(7)
    Background(settings, database, waits)._stand()
    assert waits.seconds == seconds
    assert {bool(record.exc_info) for record in caplog.records} == {traceback}
