"""How many calls the provider gets: within a known limit, within the limit that its 429s show, and at its speed.

One Throttle serves all threads of the process that calls the provider, so they slow down together and start again one
after another. The loop asks how many orders may start and never waits in here; time (monotonic seconds) comes in as an
argument. A thread that reads (results, lists, the audit) waits in here: orders go first, and reads have a share.
This module knows no HTTP, and places and reads nothing.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gsm_fusion_client import NotSentError
from submission.limit_estimate import LimitEstimate, LimitKind

#: Seconds of the window that a limit "a minute" means, and by how much a call may reach the provider later than it
#: was counted.
MINUTE, SLACK = 60.0, 1.0
#: Calls of the limit that are left to what pages and commands ask for.
KEPT = 2
#: The part of a limit that reads may take while orders wait.
READ_SHARE = 0.2
#: Seconds between two looks of a read that waits.
LOOK = 0.2
#: Seconds between two starts: a call's usual time divided by the number of workers, within these bounds. So the first
#: 429 of a window comes back before thirty calls have run into it.
SHORTEST_SPACING, LONGEST_SPACING, FIRST_SPACING = 0.001, 0.02, 0.005
#: After SURE calls for each worker without a 429, the spacing is multiplied by HURRY. Otherwise the time that a late
#: start has cost is never recovered.
SURE, HURRY = 10, 0.5
#: Where there is a limit, the spacing is the time that a 429 takes, at most this.
MOST_SPACING = 0.05
#: Concurrency falls when a call takes this many times the usual time, and this many seconds more.
CLIMB, CLIMB_SECONDS = 2.5, 0.5
DECREASE, INCREASE = 0.7, 1.0
#: The longest wait (seconds) for a provider that answers 429 or cannot be reached.
LONGEST_HOLD = 60.0
#: Number of the newest calls from which the usual time is taken.
MEMORY = 60
#: Seconds that starts are planned ahead where a limit was learned, so that a turn of the loop does not delay them.
AHEAD = 0.05
#: A call that tests whether a limit is over has passed if it is not refused within GRACE times the slowest refusal
#: that was seen, and these seconds.
GRACE, GRACE_SECONDS = 3.0, 0.05


class RequestLimitError(NotSentError):
    """A page or a command must wait for its next call: nothing was sent, and it says nothing about the provider."""


@dataclass(slots=True, eq=False)
class Throttle:
    """Permits for calls; safe for any number of threads."""

    workers: int
    limit: int | None = None  #: calls in any window, in all; None where no limit is set
    window: float = MINUTE
    slack: float = SLACK
    clock: Callable[[], float] = time.monotonic  #: for threads that wait in here; the loop passes its own time
    hold_until: float = 0.0  #: no call starts before: an order was answered 429, or the provider cannot be reached
    failures: int = 0  #: in a row: 429 or not reachable
    probing: bool = False  #: the provider could not be reached: one call at a time tries again
    concurrency: float = 0.0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=MEMORY))
    next_start: float = 0.0
    estimate: LimitEstimate = field(default_factory=LimitEstimate)
    refusal: float = 0.0  #: seconds that the newest 429s took to come
    orders_wait: bool = False  #: more orders wait for their turn
    _orders: deque[float] = field(init=False, default_factory=deque)  #: planned starts within the last window
    _reads: deque[float] = field(init=False, default_factory=deque)
    _requests: deque[float] = field(init=False, default_factory=deque)  #: calls that pages and commands asked for
    _read_hold: float = field(init=False, default=0.0)  #: no call starts before: a read was answered 429
    _readers: int = field(init=False, default=0)  #: reads that wait
    _closed: bool = field(init=False, default=False)
    _turn: threading.Condition = field(init=False, default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.concurrency = self.concurrency or float(self.workers)

    @property
    def allowance(self) -> int | None:
        """Calls of the limit that orders and reads share."""
        return None if self.limit is None else self.limit - min(KEPT, self.limit // 2)

    @property
    def is_closed(self) -> bool:
        """Whether reads that wait fail: their loop has ended."""
        return self._closed

    # Orders

    def permits(self, now: float, on_the_wire: int, ahead: int = 0) -> int:
        """Return how many orders may start now, with this many on the wire already.

        ahead more may be planned while nothing limits the calls, so that workers need not wait for a commit. A read
        that waits and has had less than its share goes first.
        """
        with self._turn:
            if now < max(self.hold_until, self._read_hold):
                return 0
            self.estimate.presume(now, GRACE * self.refusal + GRACE_SECONDS)
            if self.probing:
                room = max(0, 1 - on_the_wire)
            else:
                free_run = self.limit is None and not self.failures and self.estimate.kind is LimitKind.NONE
                room = max(0, int(self.concurrency) + (ahead if free_run else 0) - on_the_wire)
                room = room if self.estimate.kind is LimitKind.NONE else self._due(now, room)
            return room if self.limit is None else max(0, min(room, self._left(now) - self._owed()))

    def start(self, now: float, count: int) -> list[float]:
        """Count orders that start now. Return when each shall: one after another, not all at once."""
        with self._turn:
            times, moment = list[float](), max(now, self.next_start)
            for place in range(count):
                earliest = self.estimate.earliest(place, now)
                times.append(max(moment, earliest) if earliest < math.inf else moment)
                moment = times[-1] + self.spacing
            self.estimate.started(times)
            self.next_start = moment if times else self.next_start
            if self.limit is not None:
                self._orders.extend(times)
            return times

    def take_back(self) -> None:
        """Do not count one of the orders: it was held back before it was sent."""
        with self._turn:
            self.estimate.take_back()
            if self._orders:
                self._orders.pop()

    def used_before(self, ages: Sequence[float]) -> None:
        """Count calls that another process made these seconds ago."""
        with self._turn:
            self._orders.extend(sorted(self.clock() - age for age in ages))

    def wait(self, now: float, longest: float) -> float:
        """Return the seconds (at most longest) after which there may be permits again."""
        if self.hold_until > now:
            return min(longest, self.hold_until - now)
        if self.estimate.kind is LimitKind.NONE:
            return longest
        if self.estimate.look is not None:
            return min(longest, GRACE * self.refusal + GRACE_SECONDS)
        due = max(self.estimate.earliest(0, now), self.next_start) - AHEAD
        return min(longest, due - now) if due > now else longest

    @property
    def spacing(self) -> float:
        """Seconds between two starts."""
        if self.estimate.kind is not LimitKind.NONE:  # one call shall meet the limit, not thirty
            quota, period = self.estimate.quota, self.estimate.period
            room = math.inf if quota is None or period is None else period / quota / 2
            return min(max(LONGEST_SPACING, min(self.refusal, MOST_SPACING)), room)
        if not self.times:
            return FIRST_SPACING
        share = HURRY if self.estimate.asked > SURE * self.workers else 1.0
        return min(LONGEST_SPACING, max(SHORTEST_SPACING, share * self.usual / self.workers))

    @property
    def usual(self) -> float:
        """Seconds that a call takes when the provider is not busy: the quickest tenth of the newest calls."""
        ordered = sorted(self.times)
        return ordered[len(ordered) // 10]

    # What came of orders

    def answered(self, seconds: float | None, began: float | None = None) -> None:
        """An order got through: allow more at once if it was quick, fewer if its time climbed.

        seconds is None for a call too short to be compared with the others; began is when it was sent.
        """
        with self._turn:
            self.failures, self.probing = 0, False
            if began is not None:
                self.estimate.passed(began)
            if seconds is None:
                return
            self.times.append(seconds)
            if seconds > CLIMB * self.usual and seconds > self.usual + CLIMB_SECONDS:
                self.concurrency = max(1.0, self.concurrency * (1 - (1 - DECREASE) / max(1.0, self.concurrency)))
            else:
                self.concurrency = min(float(self.workers), self.concurrency + INCREASE / self.concurrency)

    def limited(self, now: float, retry_after: float | None, jitter: float, began: float | None = None) -> None:
        """An order that was sent at `began` was answered 429 (jitter between 0 and 1): all calls wait."""
        began = now if began is None else began
        with self._turn:
            self.refusal = min(2.0, max(now - began, 0.8 * self.refusal))
            if now < self.hold_until:  # it was on the wire with the first one that was refused
                self.estimate.also_refused(began)
                return
            self.failures += 1
            self.hold_until = self.estimate.refused(began, now, retry_after) + 0.02 + 0.03 * jitter

    def unreachable(self, now: float, jitter: float) -> None:
        """The provider could not be reached: all calls wait, longer each time."""
        with self._turn:
            if now < self.hold_until:
                return
            self.failures += 1
            wait = min(LONGEST_HOLD, 2.0 ** (self.failures - 1)) * (1 + jitter / 4)
            self.hold_until = now + wait + 0.02 + 0.03 * jitter
            self.probing = True

    # Reads

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let reads start until this context ends; afterwards those that wait fail, until it is opened again."""
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
                while (wait := self._read_wait(self.clock())) > 0:
                    self._turn.wait(min(wait, LOOK))
            finally:
                self._readers -= 1
            self._reads.append(self.clock())

    def read_limited(self, seconds: float) -> None:
        """Let all calls wait for these seconds, because a read was answered 429."""
        with self._turn:
            self._read_hold = max(self._read_hold, self.clock() + seconds)

    def resize(self, workers: int) -> None:
        """Allow more or fewer calls at once, in the same proportion as before."""
        with self._turn:
            self.concurrency = max(1.0, self.concurrency * workers / self.workers)
            self.workers = workers

    def read_elsewhere(self, ages: Sequence[float]) -> None:
        """Count the reads of all machines, these seconds ago, in place of those that were counted before."""
        with self._turn:
            self._reads = deque(sorted(self.clock() - age for age in ages))

    # What pages and commands ask for

    def before_request(self) -> None:
        """Count a call that a page or a command asked for. Raises RequestLimitError where it would have to wait.

        Such calls have an allowance of their own, so that opening pages takes none from orders and results. A provider
        that could not be reached may be asked.
        """
        with self._turn:
            now = self.clock()
            wait = max(0.0 if self.probing else self.hold_until, self._read_hold) - now
            if wait > 0:
                raise RequestLimitError(f"The provider asked for fewer calls (HTTP 429). {_try_again(wait)}")
            if self.limit is None:
                return
            most = max(1, min(KEPT, self.limit // 2))
            self._drop_old(self._requests, now)
            if len(self._requests) >= most:
                wait = self._requests[-most] + self.window + self.slack - now
                raise RequestLimitError(f"All calls of this minute that pages may make are made. {_try_again(wait)}")
            self._requests.append(now)

    def requested_before(self, ages: Sequence[float]) -> None:
        """Count calls that another leader made for pages and commands these seconds ago."""
        with self._turn:
            self._requests.extend(sorted(self.clock() - age for age in ages))

    def _due(self, now: float, room: int) -> int:
        """Return how many of `room` calls may start now, or within AHEAD, by the learned limit."""
        count, moment = 0, max(now, self.next_start)
        while count < room and max(self.estimate.earliest(count, now), moment) <= now + AHEAD:
            moment = max(self.estimate.earliest(count, now), moment) + self.spacing
            count += 1
        return count

    def _read_wait(self, now: float) -> float:
        """Return the seconds after which a waiting read checks again; 0 if it may start."""
        if self._closed:
            raise NotSentError("This program is ending.")
        hold_until = max(self.hold_until, self._read_hold)
        if now < hold_until:
            return hold_until - now
        left = self._left(now)
        if self.limit is not None and left <= 0:
            return LOOK
        return LOOK if self.orders_wait and self._has_its_share(now) else 0.0

    def _has_its_share(self, now: float) -> bool:
        if self.allowance is not None and len(self._reads) >= int(self.allowance * READ_SHARE):
            return True
        quota, period = self.estimate.quota, self.estimate.period
        if quota is None or period is None:
            return False
        return sum(at > now - period for at in self._reads) >= max(1, int(quota * READ_SHARE))

    def _owed(self) -> bool:
        """Whether a read waits that has had less than its share of the limit."""
        return self._readers > 0 and len(self._reads) < int((self.allowance or 0) * READ_SHARE)

    def _left(self, now: float) -> int:
        """Calls of the allowance that may still start in this window."""
        self._drop_old(self._orders, now)
        self._drop_old(self._reads, now)
        return (self.allowance or 0) - len(self._orders) - len(self._reads)

    def _drop_old(self, starts: deque[float], now: float) -> None:
        """Forget calls from before this window."""
        while starts and starts[0] <= now - self.window - self.slack:
            starts.popleft()


@dataclass(frozen=True, slots=True)
class RequestTurns:
    """The turns of a client that asks for pages and commands."""

    throttle: Throttle

    @property
    def is_closed(self) -> bool:
        """Whether the loop has ended for which the calls of the account are counted."""
        return self.throttle.is_closed

    def before_read(self) -> None:
        """Count a call. Raises RequestLimitError where it would have to wait."""
        self.throttle.before_request()

    def read_limited(self, seconds: float) -> None:
        """A call was answered 429: all calls wait."""
        self.throttle.read_limited(seconds)


def _try_again(seconds: float) -> str:
    return f"The next call is free in {math.ceil(seconds)} s."
