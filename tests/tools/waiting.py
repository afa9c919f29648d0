"""Waits for what other threads and processes do."""

import threading
import time
from collections.abc import Callable

PATIENCE = 90.0  #: seconds; only a failure takes that long
SHORTEST, LONGEST = 0.002, 0.05  #: seconds between two checks


def wait_until(true: Callable[[], bool], what: str | Callable[[], str], patience: float = PATIENCE) -> None:
    """Check again until it is true, at first after a moment. Raises TimeoutError, with `what` in its text."""
    deadline, pause = time.monotonic() + patience, SHORTEST
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"in {patience:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)


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
