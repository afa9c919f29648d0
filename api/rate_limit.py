"""How many requests a token may send: REQUESTS in each minute, counted by each web process for itself.

A shared count would be a write for each request, on the disk that the orders need. This module knows no request.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Requests of one token in one window, and the seconds of a window.
REQUESTS, WINDOW = 600, 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a token may still do in this window."""

    left: int  #: requests; below 0: this one is too many
    resets_in: int  #: seconds until the next window

    def headers(self) -> dict[str, str]:
        """Return the headers that tell a client."""
        found = {
            "RateLimit-Limit": str(REQUESTS),
            "RateLimit-Remaining": str(max(0, self.left)),
            "RateLimit-Reset": str(self.resets_in),
        }
        return found if self.left >= 0 else {**found, "Retry-After": str(self.resets_in)}


class RateLimit:
    """The windows of all tokens in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[int | None, tuple[float, int]] = {}

    def count(self, token_id: int | None) -> Allowance:
        """Count one request of a token, and return what is left."""
        now = self._clock()
        with self._lock:
            began, sent = self._windows.get(token_id, (now, 0))
            if now - began >= WINDOW:
                began, sent = now, 0
            self._windows[token_id] = began, sent + 1
        return Allowance(REQUESTS - sent - 1, max(1, round(began + WINDOW - now)))
