"""How fast to call: within what 429s teach, and no harder than the provider bears.

Pure: time (monotonic seconds) comes in as an argument and nothing here waits. One Pace serves all workers, so they
slow down together and start again one after another, not as a herd.
"""

from collections import deque
from dataclasses import dataclass, field

#: Between two starts lies a call's usual time by the number of workers, within these seconds: so the first 429 of a
#: window comes back before thirty calls have run into it.
SHORTEST_SPACING, LONGEST_SPACING, FIRST_SPACING = 0.001, 0.02, 0.005
#: Concurrency falls when a call takes this many times the usual, and this many seconds more.
CLIMB, CLIMB_SECONDS = 2.5, 0.5
DECREASE, INCREASE = 0.7, 1.0
#: The longest wait (seconds) for a provider that says 429 or cannot be reached.
LONGEST_HOLD = 60.0
#: How many of the newest calls say what is usual.
MEMORY = 60


@dataclass(slots=True)
class Pace:
    """Permits for calls. A limit that is known beforehand is kept by call_budget.CallBudget."""

    workers: int
    hold_until: float = 0.0
    failures: int = 0  #: in a row: 429 or not reachable
    probing: bool = False  #: nobody knows when it goes on: one call tries the water
    resting: bool = False  #: a hold has begun and no call has been permitted since
    quota: int | None = None  #: learned: calls in one of the provider's windows
    period: float | None = None  #: learned: seconds of that window
    reset: float | None = None  #: when a window of the provider began, as far as its 429s tell
    reset_before: float | None = None
    used: int = 0  #: calls that got through or are on the wire since then
    concurrency: float = 0.0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=MEMORY))
    next_start: float = 0.0

    def __post_init__(self) -> None:
        self.concurrency = self.concurrency or float(self.workers)

    def permits(self, now: float, on_the_wire: int, ahead: int = 0) -> int:
        """How many calls may start now, with so many on the wire already.

        ahead more may be planned while nothing limits the calls, so that workers need not wait for a commit.
        """
        if now < self.hold_until:
            return 0
        if self.resting:
            self.resting, self.used = False, on_the_wire
        free_run = not self.failures and self.quota is None
        room = 1 if self.probing else int(self.concurrency) + (ahead if free_run else 0)
        left = self._left(now)
        return max(0, room - on_the_wire if left is None else min(room - on_the_wire, left))

    def start(self, now: float, count: int) -> list[float]:
        """Take note of calls that start now, and say when each one shall: one after another, not as a herd."""
        self.used += count
        first = max(now, self.next_start)
        times = [first + self.spacing * number for number in range(count)]
        if times:
            self.next_start = times[-1] + self.spacing
        return times

    def take_back(self) -> None:
        """One of the calls was held back before it was sent."""
        self.used = max(0, self.used - 1)

    def wait(self, now: float, longest: float) -> float:
        """Seconds (at most longest) after which there may be permits again."""
        return min(longest, self.hold_until - now) if self.hold_until > now else longest

    @property
    def spacing(self) -> float:
        """Seconds between two starts."""
        if self.reset is not None:
            return LONGEST_SPACING  # there is a limit, and it shall be met by one call, not by thirty
        if not self.times:
            return FIRST_SPACING
        return min(LONGEST_SPACING, max(SHORTEST_SPACING, self.usual / self.workers))

    @property
    def usual(self) -> float:
        """Seconds that a call takes when the provider is at ease: the quickest tenth of the newest ones."""
        ordered = sorted(self.times)
        return ordered[len(ordered) // 10]

    def answered(self, seconds: float | None) -> None:
        """A call got through and took so long: more calls at once if it was quick, fewer if it climbed.

        seconds is None for a call too short to be compared with the others.
        """
        self.failures, self.probing = 0, False
        if seconds is None:
            return
        self.times.append(seconds)
        if seconds > CLIMB * self.usual and seconds > self.usual + CLIMB_SECONDS:
            self.concurrency = max(1.0, self.concurrency * (1 - (1 - DECREASE) / max(1.0, self.concurrency)))
        else:
            self.concurrency = min(float(self.workers), self.concurrency + INCREASE / self.concurrency)

    def limited(self, now: float, retry_after: float | None, jitter: float) -> None:
        """A call was answered 429 (jitter between 0 and 1): everybody waits, and the window's size is learned.

        What got through between two resets is the quota, the time between them the period.
        """
        self.used = max(0, self.used - 1)
        if now < self.hold_until:  # it was on the wire with the first that met this limit
            self._learn()
            return
        self.failures += 1
        self._hold(now, retry_after, jitter)
        if self.failures == 1:
            self.reset_before, self.reset = self.reset, self.hold_until
        else:
            self.reset = self.hold_until
        self._learn()

    def _learn(self) -> None:
        if self.reset_before is None or self.reset is None or not self.used:
            return
        self.quota, self.period = self.used, self.reset - self.reset_before

    def unreachable(self, now: float, jitter: float) -> None:
        """The provider could not be reached: everybody waits, longer each time."""
        if now < self.hold_until:
            return
        self.failures += 1
        self._hold(now, None, jitter)

    def _hold(self, now: float, retry_after: float | None, jitter: float) -> None:
        wait = retry_after if retry_after is not None else 2.0 ** (self.failures - 1)
        self.hold_until = now + min(LONGEST_HOLD, wait) * (1 if retry_after is not None else 1 + jitter / 4)
        self.hold_until += 0.02 + 0.03 * jitter
        self.resting, self.probing = True, retry_after is None

    def _left(self, now: float) -> int | None:
        """Calls that may still start in the window that 429s have taught; None where none is known."""
        if self.quota is None or self.period is None or self.reset is None:
            return None
        if now >= self.reset + self.period:
            self.reset, self.used, self.quota = max(self.reset + self.period, now - self.period), 0, self.quota + 1
        return self.quota - self.used
