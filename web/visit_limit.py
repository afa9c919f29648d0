"""How many requests each network may send in a minute to pages that answer without a login. Knows no request."""

import threading
import time
from collections import Counter
from collections.abc import Callable

MINUTE = 60
#: Requests of one network in one minute, counted by each process for itself.
OF_NETWORK = 120


class VisitLimit:
    """Counts requests by network in the minute of now. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._minute, self._seen = 0, Counter[str]()

    def admits(self, network: str) -> bool:
        """Count a request, and return whether it may be answered."""
        minute = int(self._clock() // MINUTE)
        with self._lock:
            if minute != self._minute:
                self._minute, self._seen = minute, Counter()
            self._seen[network] += 1
            return self._seen[network] <= OF_NETWORK
