"""One limit for all calls to the provider, whoever makes them: orders first, reads within a share while orders wait.

The submission loop asks how many orders may start and never waits in here; a thread that reads (results, listings,
the audit) waits for its turn. Safe for any number of threads. It knows no HTTP, and places and reads nothing.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from gsm_fusion_client import NotSentError

#: Seconds of the window that a limit "a minute" means, and by how much a call may reach the provider later than it
#: was counted.
MINUTE, SLACK = 60.0, 1.0
#: Calls of the limit that are left to the balance and the service list, which any process may ask for.
KEPT = 2
#: The part of a limit that reads may take while orders wait.
READ_SHARE = 0.2
#: Seconds between two looks of a read that waits.
LOOK = 0.2


class CallBudget:
    """Permits for calls within a limit. limit is calls in any window (seconds), None for no such wish."""

    def __init__(
        self,
        limit: int | None = None,
        window: float = MINUTE,
        slack: float = SLACK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = None if limit is None else limit - min(KEPT, limit // 2)
        self._window = window + slack
        self._clock = clock
        self._orders: deque[float] = deque()  #: when those of the last window started or shall start
        self._reads: deque[float] = deque()
        self.hold_until = 0.0
        self._orders_wait = False
        self._taught: tuple[int, float] | None = None  #: calls in so many seconds, as the provider's 429s tell
        self._readers = 0
        self._closed = False
        self._turn = threading.Condition()

    def orders(self, wanted: int) -> int:
        """How many of so many orders may start now. A read that waits and has had less than its share goes first."""
        with self._turn:
            now = self._clock()
            if now < self.hold_until:
                return 0
            if self.limit is None:
                return wanted
            self._forget(now)
            owed = self._readers > 0 and len(self._reads) < int(self.limit * READ_SHARE)
            return max(0, min(wanted, self._left() - owed))

    def started(self, starts: Iterable[float]) -> None:
        """Orders start at these times."""
        with self._turn:
            self._orders.extend(starts)

    def take_back(self) -> None:
        """One of the orders was held back before it was sent."""
        with self._turn:
            if self._orders:
                self._orders.pop()

    def used_before(self, ages: Sequence[float]) -> None:
        """Another process made calls so many seconds ago."""
        self.started(sorted(self._clock() - age for age in ages))

    def orders_wait(self, waiting: bool, quota: int | None = None, period: float | None = None) -> None:
        """Whether more orders wait for their turn, and what 429s have taught: calls in so many seconds."""
        with self._turn:
            self._orders_wait = waiting
            self._taught = None if quota is None or period is None else (quota, period)

    def hold(self, until: float) -> None:
        """Nothing starts before this time."""
        with self._turn:
            self.hold_until = max(self.hold_until, until)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Afterwards no read starts any more, and those that wait fail, until it is opened again."""
        self._closed = False
        try:
            yield
        finally:
            with self._turn:
                self._closed = True
                self._turn.notify_all()

    def before_read(self) -> None:
        """Wait until a call that places nothing may start, and count it. Raises NotSentError when it is closed."""
        with self._turn:
            self._readers += 1
            try:
                while (wait := self._read_wait(self._clock())) > 0:
                    self._turn.wait(min(wait, LOOK))
            finally:
                self._readers -= 1
            self._reads.append(self._clock())

    def read_limited(self, seconds: float) -> None:
        """A read was answered 429 and will be repeated after so many seconds: everybody waits as long."""
        self.hold(self._clock() + seconds)

    def _read_wait(self, now: float) -> float:
        """Seconds (0 for none) after which a read that waits shall look again."""
        if self._closed:
            raise NotSentError("This program is ending.")
        if now < self.hold_until:
            return self.hold_until - now
        self._forget(now)
        if self.limit is not None and self._left() <= 0:
            return LOOK
        return LOOK if self._orders_wait and self._has_its_share(now) else 0.0

    def _has_its_share(self, now: float) -> bool:
        if self.limit is not None and len(self._reads) >= int(self.limit * READ_SHARE):
            return True
        if self._taught is None:
            return False
        quota, period = self._taught
        return sum(at > now - period for at in self._reads) >= max(1, int(quota * READ_SHARE))

    def _left(self) -> int:
        return (self.limit or 0) - len(self._orders) - len(self._reads)

    def _forget(self, now: float) -> None:
        for starts in (self._orders, self._reads):
            while starts and starts[0] <= now - self._window:
                starts.popleft()
