"""How fast to call: within what 429s teach, and no harder than the provider bears.

Pure: time (monotonic seconds) comes in as an argument and nothing here waits. One Pace serves all workers, so they
slow down together and start again one after another, not as a herd.
"""

import math
from collections import deque
from dataclasses import dataclass, field

from submission.limit_estimate import Kind, LimitEstimate

#: Between two starts lies a call's usual time by the number of workers, within these seconds: so the first 429 of a
#: window comes back before thirty calls have run into it.
SHORTEST_SPACING, LONGEST_SPACING, FIRST_SPACING = 0.001, 0.02, 0.005
#: After so many calls for each worker without a 429 it is less, or a call that starts late is never made up for.
SURE, HURRY = 10, 0.5
#: Where there is a limit: as long as a 429 takes, within this.
MOST_SPACING = 0.05
#: Concurrency falls when a call takes this many times the usual, and this many seconds more.
CLIMB, CLIMB_SECONDS = 2.5, 0.5
DECREASE, INCREASE = 0.7, 1.0
#: The longest wait (seconds) for a provider that says 429 or cannot be reached.
LONGEST_HOLD = 60.0
#: How many of the newest calls say what is usual.
MEMORY = 60


#: Seconds that starts are planned ahead where a limit is known, so that a turn of the loop does not delay them.
AHEAD = 0.05
#: A call that looks whether a limit is over got through if it is not refused within so many times the slowest refusal
#: that was seen, and these seconds.
GRACE, GRACE_SECONDS = 3.0, 0.05


@dataclass(slots=True)
class Pace:
    """Permits for calls. A limit that is known beforehand is kept by call_budget.CallBudget."""

    workers: int
    hold_until: float = 0.0
    failures: int = 0  #: in a row: 429 or not reachable
    probing: bool = False  #: the provider could not be reached: one call at a time tries again
    concurrency: float = 0.0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=MEMORY))
    next_start: float = 0.0
    limit: LimitEstimate = field(default_factory=LimitEstimate)
    refusal: float = 0.0  #: seconds that a 429 took to come, lately

    def __post_init__(self) -> None:
        self.concurrency = self.concurrency or float(self.workers)

    @property
    def quota(self) -> int | None:
        """Calls that the provider lets through in `period`, as far as its 429s tell."""
        return self.limit.quota

    @property
    def period(self) -> float | None:
        """Seconds in which `quota` calls pass."""
        return self.limit.period

    def permits(self, now: float, on_the_wire: int, ahead: int = 0) -> int:
        """How many calls may start now, with so many on the wire already.

        ahead more may be planned while nothing limits the calls, so that workers need not wait for a commit.
        """
        if now < self.hold_until:
            return 0
        self.limit.presume(now, GRACE * self.refusal + GRACE_SECONDS)
        if self.probing:
            return max(0, 1 - on_the_wire)
        free_run = not self.failures and self.limit.kind is Kind.NONE
        room = max(0, int(self.concurrency) + (ahead if free_run else 0) - on_the_wire)
        return room if self.limit.kind is Kind.NONE else self._due(now, room)

    def _due(self, now: float, room: int) -> int:
        """How many of so many calls the provider's limit lets start now or in a moment."""
        count, moment = 0, max(now, self.next_start)
        while count < room and max(self.limit.earliest(count, now), moment) <= now + AHEAD:
            moment = max(self.limit.earliest(count, now), moment) + self.spacing
            count += 1
        return count

    def start(self, now: float, count: int) -> list[float]:
        """Take note of calls that start now, and say when each one shall: one after another, not as a herd."""
        times, moment = list[float](), max(now, self.next_start)
        for place in range(count):
            earliest = self.limit.earliest(place, now)
            times.append(max(moment, earliest) if earliest < math.inf else moment)
            moment = times[-1] + self.spacing
        self.limit.started(times)
        self.next_start = moment if times else self.next_start
        return times

    def take_back(self) -> None:
        """One of the calls was held back before it was sent."""
        self.limit.take_back()

    def wait(self, now: float, longest: float) -> float:
        """Seconds (at most longest) after which there may be permits again."""
        if self.hold_until > now:
            return min(longest, self.hold_until - now)
        if self.limit.kind is Kind.NONE:
            return longest
        if self.limit.look is not None:
            return min(longest, GRACE * self.refusal + GRACE_SECONDS)
        due = max(self.limit.earliest(0, now), self.next_start) - AHEAD
        return min(longest, due - now) if due > now else longest

    @property
    def spacing(self) -> float:
        """Seconds between two starts."""
        if self.limit.kind is not Kind.NONE:  # it shall be met by one call, not by thirty
            quota, period = self.quota, self.period
            room = math.inf if quota is None or period is None else period / quota / 2
            return min(max(LONGEST_SPACING, min(self.refusal, MOST_SPACING)), room)
        if not self.times:
            return FIRST_SPACING
        share = HURRY if self.limit.asked > SURE * self.workers else 1.0
        return min(LONGEST_SPACING, max(SHORTEST_SPACING, share * self.usual / self.workers))

    @property
    def usual(self) -> float:
        """Seconds that a call takes when the provider is at ease: the quickest tenth of the newest ones."""
        ordered = sorted(self.times)
        return ordered[len(ordered) // 10]

    def answered(self, seconds: float | None, began: float | None = None) -> None:
        """A call got through and took so long: more calls at once if it was quick, fewer if it climbed.

        seconds is None for a call too short to be compared with the others; began is when it was sent.
        """
        self.failures, self.probing = 0, False
        if began is not None:
            self.limit.passed(began)
        if seconds is None:
            return
        self.times.append(seconds)
        if seconds > CLIMB * self.usual and seconds > self.usual + CLIMB_SECONDS:
            self.concurrency = max(1.0, self.concurrency * (1 - (1 - DECREASE) / max(1.0, self.concurrency)))
        else:
            self.concurrency = min(float(self.workers), self.concurrency + INCREASE / self.concurrency)

    def limited(self, now: float, retry_after: float | None, jitter: float, began: float | None = None) -> None:
        """A call that was sent at `began` was answered 429 (jitter between 0 and 1): everybody waits."""
        began = now if began is None else began
        self.refusal = min(2.0, max(now - began, 0.8 * self.refusal))
        if now < self.hold_until:  # it was on the wire with the first that met this limit
            self.limit.also_refused(began)
            return
        self.failures += 1
        self.hold_until = self.limit.refused(began, now, retry_after) + 0.02 + 0.03 * jitter

    def unreachable(self, now: float, jitter: float) -> None:
        """The provider could not be reached: everybody waits, longer each time."""
        if now < self.hold_until:
            return
        self.failures += 1
        wait = min(LONGEST_HOLD, 2.0 ** (self.failures - 1)) * (1 + jitter / 4)
        self.hold_until = now + wait + 0.02 + 0.03 * jitter
        self.probing = True
