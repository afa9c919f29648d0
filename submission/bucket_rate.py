"""How fast a provider's token or leaky bucket is refilled, as far as its 429s show.

A bucket that refused a call was empty. What passes from then until the next refusal is what flowed in, give or take one
call: so each refusal narrows the bracket of the rate, and calls go out at the middle of it. It is pure.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

#: The share of a bucket that surely was full when nothing had been sent for long.
CERTAIN = 0.7
#: Calls without a refusal after which the fastest rate was too slow, if it was nearly reached, and in any case.
QUIET_CALLS, NEAR, VERY_QUIET_CALLS = 20, 0.94, 80
#: It is raised by this factor then, and by more each time, up to the last one.
RAISE, MOST_RAISE = 1.05, 1.5
#: What is left of the slowest rate when a bucket that was full refuses: it says little, but that it was too much.
FALL = 0.6
#: Refusals in a row, nothing having passed between them, after which it is no bucket.
IN_VAIN = 4
#: Seconds below which no rate is measured.
SHORTEST = 0.001


def between(low: float, high: float) -> float:
    """Return the middle of a bracket, the geometric one if the bracket is wide."""
    return math.sqrt(low * high) if high > 3 * low > 0 else (low + high) / 2


def count(sent: Sequence[float], after: float, until: float = math.inf) -> int:
    """Return how many of these times, which are sorted, lie after one time and not after another."""
    return bisect_right(sent, until) - bisect_right(sent, after)


@dataclass(slots=True)
class BucketRate:
    """The bracket of a rate in calls a second, and how full the bucket is by it. Times are monotonic seconds."""

    size: int  #: calls that a full bucket lets through
    refused_at: float  #: start of the newest refused call
    slowest: float = 0.0
    fastest: float = math.inf
    level: float = 0.0  #: calls that the bucket lets through at `level_at`; negative while too many are on their way
    level_at: float = 0.0
    base: float = 0.0  #: when the measurement began
    base_least: float = 0.0  #: calls that the bucket let through then, at least
    base_most: float = 0.0  #: at most
    factor: float = RAISE
    quiet: int = 0  #: calls since the last refusal or raise
    vain: int = 0  #: refusals in a row between which nothing passed

    @property
    def rate(self) -> float:
        """Calls a second at which to send."""
        return between(self.slowest, self.fastest)

    def earliest(self, place: int, now: float) -> float:
        """Return when the call at this place of those that come next (from 0) may start."""
        moment = max(now, self.level_at)
        return moment + max(0.0, place + 1 - self._filled(moment)) / self.rate

    def started(self, time: float, sent: Sequence[float]) -> None:
        """Take note of a call, the last one of those sent."""
        level = self._filled(time)
        if level >= self.size and count(sent, self.refused_at) == 1:
            self._measure_from(time - 1e-6, CERTAIN * self.size, self.size)
        self.level, self.level_at = level - 1, time
        self.quiet += 1
        self._raise(sent)

    def take_back(self) -> None:
        """Take note that the newest call was not sent."""
        self.level += 1

    def emptied(self, time: float, sent: Sequence[float]) -> None:
        """Take note that a call of this start was refused: what was sent since will be refused or taken back."""
        self.refused_at, self.quiet = time, 0
        self.level, self.level_at = -float(count(sent, time)), time

    def begin(self, time: float, sent: Sequence[float]) -> None:
        """Measure for the first time, up to a refusal at this time, since the refusal before or since calls went on."""
        rate = count(sent, self.refused_at, time) / (time - self.refused_at)
        first = sent[bisect_right(sent, self.refused_at)]
        if (first - self.refused_at) * rate >= self.size:
            self._measure_from(first - 1e-6, CERTAIN * self.size, self.size)
        else:
            self._measure_from(self.refused_at)
        self._narrow(time, sent)

    def refused(self, time: float, sent: Sequence[float]) -> bool:
        """Learn from a refusal, before emptied() is called. Returns False if no bucket behaves like that."""
        due, before = (time - self.refused_at) * self.slowest, self.rate
        self.vain = 0 if count(sent, self.refused_at, time) else self.vain + 1
        fits = self._narrow(time, sent)
        if self.vain and (self.vain >= IN_VAIN or due > 2 or not fits):
            return False
        if not fits:
            self._measure_from(self.refused_at)
            self.slowest, self.fastest = 0.0, math.inf
            self._narrow(time, sent)
        elif self.base_most:
            self.fastest = min(self.fastest, before)
            self.slowest = min(self.slowest, FALL * self.fastest)
        return True

    def _filled(self, time: float) -> float:
        return min(float(self.size), self.level + (time - self.level_at) * self.rate)

    def _measure_from(self, time: float, least: float = 0.0, most: float = 0.0) -> None:
        """Measure from this time on, when the bucket let between these numbers of calls through."""
        self.base, self.base_least, self.base_most = time, least, most

    def _narrow(self, time: float, sent: Sequence[float]) -> bool:
        """Narrow the bracket by what passed since the base. Returns False if that does not fit it."""
        seconds, passed = max(time - self.base, SHORTEST), count(sent, self.base, time)
        slowest = max(self.slowest, max(passed - self.base_most - 1, 0.1) / seconds)
        fastest = min(self.fastest, max(passed - self.base_least + 1, 1) / seconds)
        self.factor = RAISE
        if slowest >= fastest:
            return False
        self.slowest, self.fastest = slowest, fastest
        return True

    def _raise(self, sent: Sequence[float]) -> None:
        """Raise the bracket by what passed since the base, and beyond it after many calls without a refusal."""
        seconds, passed = max(sent[-1] - self.base, SHORTEST), count(sent, self.base)
        self.slowest = min(max(self.slowest, (passed - self.base_most - 1) / seconds), self.fastest)
        if self.quiet < (QUIET_CALLS if self.slowest > NEAR * self.fastest else VERY_QUIET_CALLS):
            return
        self.fastest *= self.factor
        self.factor = min(2 * self.factor - 1, MOST_RAISE)
        self.quiet = 0
