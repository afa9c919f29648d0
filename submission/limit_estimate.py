"""The provider's rate limit, as far as its 429s show: n calls in a window, or n calls a second.

Which kind of limiter a provider has is not known, so this watches which calls it lets through. After the first refusal
single calls look for the moment at which calls pass again. If many pass then, the limiter counts calls in windows,
fixed or sliding: both let `size` calls through in any `high` seconds. If only a few pass, it is a bucket that is
refilled evenly (see bucket_rate.py).

Each look that fails is a call refused, and of 200 calls no more than ten shall be: so a window's length is found to
half of it first, and then halved more closely in the windows that follow, as long as refusals are few. Pure: time
(monotonic seconds) comes in as an argument and nothing here waits. It knows nothing of workers or latency.
"""

import enum
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from submission.bucket_rate import BucketRate, between, count

#: Seconds from the oldest call of a full window after which a single call looks whether calls pass again. From the
#: third on each is at most half as long again as the one before, and windows of usual lengths are among them.
LOOKS = (1.0, 2.5, 5.0, 7.0, 10.0, 15.0, 21.0, 30.0, 43.0, 60.0)
#: The first look comes after a second for every 24 calls of a window, or after these seconds: a large bucket is not
#: full by then, so that nothing is lost.
FIRST_LOOK_CALLS, FIRST_LOOK_SECONDS = 24.0, 2.5
#: This look is left out after this number of refusals: few windows end just before it.
RARE_LOOK, MANY_REFUSALS = 43.0, 10
#: After a Retry-After that was too short the next look comes after at least this multiple of it, if it was short.
AFTER_TOO_EARLY, SHORT_WAIT = 3.5, 2.0
#: A window that was known and is longer now: the first look after it, and the most that the next ones are apart.
LITTLE_LATER, MUCH_LATER = 1.06, 1.5
#: Windows shorter than this (seconds) are looked for in such steps too.
SHORT_WINDOW = 1.0
#: Seconds, and share of a window, by which a call may reach the provider earlier than planned.
MARGIN, MARGIN_SHARE = 0.03, 0.05
#: Seconds to which Retry-After is rounded up: the real wait is not shorter by more.
ROUNDED = 1.0
#: The longest wait (seconds) that a refusal causes, and the longest window that is looked for.
LONGEST_HOLD = 60.0
#: Starts that are remembered.
MEMORY = 5000
#: Refusals that trying a shorter or larger window may cost: this number in all, or this share of all calls.
FREE_REFUSALS, SHARE = 8, 0.035
#: A bracket of a window's length narrower than this share of it is not worth another refusal.
NARROW = 0.08
#: A limiter that lets less than this share of a window's calls through does not count in windows.
FULL = 0.8
#: A call that is refused so long (as a share of a window) after the one before opens a window.
PAUSE = 0.25
#: A window is tried with more calls after this number of windows and calls without a refusal.
QUIET_WINDOWS, QUIET_CALLS = 3, 40
#: Calls after which those before count half.
CALLS_REMEMBERED = 2000


class LimitKind(enum.Enum):
    """What is known of the limiter."""

    NONE = "none"  #: no call was refused
    UNKNOWN = "unknown"  #: calls were refused, and single calls look for the end of that
    WINDOW = "window"  #: n calls in any stretch of a number of seconds
    RATE = "rate"  #: n calls a second


@dataclass(slots=True)
class LimitEstimate:
    """What calls that passed, and calls that were refused, show of the limiter."""

    kind: LimitKind = LimitKind.NONE
    sent: deque[float] = field(default_factory=lambda: deque(maxlen=MEMORY))  #: starts of calls that were not refused
    asked: int = 0  #: calls, lately
    refusals: int = 0  #: of those
    refused_at: float = -math.inf  #: start of the newest refused call
    retry_at: float = -math.inf  #: when to retry, by the Retry-After of the newest 429
    is_retry_too_early: bool = False  #: a call that waited until retry_at was refused

    next_look: float | None = None  #: when a single call shall look
    look: float | None = None  #: start of the single call that looks now
    missed: int = 0  #: looks in vain since a window began
    closed_at: float = -math.inf  #: start of the window that is over by the next look that passes

    size: int = 0  #: calls in a window
    low: float = 0.0  #: seconds: a window is longer than this
    high: float = math.inf  #: seconds: calls passed after this time
    held: int = 0  #: windows that were as long as `high`
    settled: int = 0  #: calls that come before a shorter window is tried
    in_vain: bool = False  #: a shorter window was tried in vain since the last one began
    quiet: int = 0  #: calls since the last refusal, or since the window was tried with more calls
    growth: int = 1  #: calls by which the window is tried larger
    proven: int = 0  #: calls in a window before that; 0 when it was not
    bucket: BucketRate | None = None  #: while the kind is RATE

    @property
    def quota(self) -> int | None:
        """Calls that pass in `period`."""
        if self.bucket:
            return max(1, round(self.bucket.rate * LONGEST_HOLD))
        return self.size if self.kind is LimitKind.WINDOW else None

    @property
    def period(self) -> float | None:
        """Seconds in which `quota` calls pass."""
        if self.bucket:
            return LONGEST_HOLD
        return self.high if self.kind is LimitKind.WINDOW else None

    # What may start

    def earliest(self, place: int, now: float) -> float:
        """Return when the call at this place of those that come next (from 0) may start.

        Infinite for calls that must wait for what becomes of one that looks.
        """
        if self.kind is LimitKind.NONE:
            return now
        if self.look is not None or (self.next_look is not None and place):
            return math.inf
        if self.next_look is not None:
            return self.next_look
        return self.bucket.earliest(place, now) if self.bucket else self._opens(place)

    def _opens(self, place: int) -> float:
        index = len(self.sent) - self.size + place
        if place >= self.size or (place and self._goes_alone(place)):
            return math.inf
        if index < 0:
            return -math.inf
        length = between(self.low, self.high) if self._tries_shorter() else self.high
        return self.sent[index] + length + min(MARGIN, MARGIN_SHARE * length)

    def _goes_alone(self, place: int = 0) -> bool:
        """Return whether the call at this place opens a window of which it is not sure that it is open."""
        if len(self.sent) < self.size:
            return False
        return self._tries_shorter(place) or (not self.held and (self.settled <= place or self.in_vain))

    def _tries_shorter(self, place: int = 0) -> bool:
        """Return whether the call at this place looks whether windows are shorter than they seem."""
        return self.settled <= place and self.high - self.low > NARROW * self.high and self._can_afford()

    def _can_afford(self) -> bool:
        return self.refusals < max(FREE_REFUSALS, SHARE * self.asked)

    # What happened

    def started(self, times: Sequence[float]) -> None:
        """Take note of calls that start at these times."""
        self.asked += len(times)
        self.quiet += len(times)
        if self.asked > CALLS_REMEMBERED:
            self.asked, self.refusals = self.asked // 2, self.refusals // 2
        if self.kind is LimitKind.NONE:
            self.sent.extend(times)
            return
        for time in times:
            self._started(time)
        if self.kind is LimitKind.WINDOW:
            self._grow()

    def _started(self, time: float) -> None:
        if self.next_look is not None or (self.kind is LimitKind.WINDOW and self._goes_alone()):
            self.look, self.next_look = time, None
        self.sent.append(time)
        self.settled -= 1
        self.in_vain = self.in_vain and self.settled > 0
        if self.bucket:
            self.bucket.started(time, self.sent)

    def _grow(self) -> None:
        """Try a window with more calls when none was refused for long."""
        windows = QUIET_WINDOWS if self.growth == 1 else 1
        if self.quiet >= max(windows * self.size, QUIET_CALLS) and self._can_afford():
            self.proven = self.size
            self.size += self.growth
            self.growth *= 2
            self.quiet = 0

    def take_back(self) -> None:
        """Take note that the newest call was not sent."""
        if not self.sent:
            return
        time = self.sent.pop()
        self.asked -= 1
        self.quiet -= 1
        if self.look == time:
            self.look, self.next_look = None, time
        if self.bucket:
            self.bucket.take_back()

    def passed(self, began: float) -> None:
        """Take note that a call of this start got through."""
        if self.look is not None and began >= self.look:
            self._found(self.look)

    def presume(self, now: float, seconds: float) -> None:
        """Count a call as accepted if it was not refused within this number of seconds: its answer may take long."""
        if self.look is not None and now >= self.look + seconds:
            self._found(self.look)

    def refused(self, began: float, now: float, retry_after: float | None) -> float:
        """Learn from a refusal while nothing was held. Returns until when nothing shall start, at least now.

        began is when the call was sent, retry_after the seconds that the provider asks for.
        """
        self._forget(began)
        self._check_retry_after(began)
        retry_at = began + min(retry_after or 0.0, LONGEST_HOLD)
        if self.look is not None:
            self._missed(began, now, retry_at)
        elif self.kind is LimitKind.NONE:
            self.size = max(1, count(self.sent, began - LONGEST_HOLD, began))
            self._search(began, now, retry_at)
        else:
            self._limit_refused(began, now, retry_at)
        self._empty(began)
        self.quiet = 0
        self.retry_at = retry_at if retry_after is not None else -math.inf
        return max(retry_at, now, self._next_start(now))

    def also_refused(self, began: float) -> None:
        """Take note of a call that was on the wire with the first that was refused, and was refused too."""
        self._forget(began)
        self._empty(max(began, self.refused_at))

    def _next_start(self, now: float) -> float:
        if self.next_look is not None:
            return self.next_look
        return now if self.bucket is None else now + 1 / self.bucket.rate

    # What that means

    def _forget(self, began: float) -> None:
        """Take the refused call, the last one planned for no later than it was sent, from those that passed."""
        self.refusals += 1
        index = bisect_right(self.sent, began) - 1
        if index >= 0:
            del self.sent[index]

    def _empty(self, began: float) -> None:
        self.refused_at = began
        if self.bucket:
            self.bucket.emptied(began, self.sent)

    def _check_retry_after(self, began: float) -> None:
        """Note whether the call was refused though it waited as long as the 429 before it asked for."""
        waited = self.refused_at < self.retry_at <= min(began, self.refused_at + LONGEST_HOLD - ROUNDED)
        if self.kind is LimitKind.UNKNOWN and waited:
            self.is_retry_too_early = True

    def _anchor(self, began: float) -> float:
        """Return the start of the oldest call of the newest window, or the refused call's if that is long ago."""
        oldest = self.sent[max(0, len(self.sent) - self.size)] if self.sent else -math.inf
        return oldest if began - oldest <= LONGEST_HOLD else began

    def _search(self, began: float, now: float, retry_at: float) -> None:
        """Let a single call look: when the provider asks for the retry, if that is believed, else at a usual time."""
        if self.kind is not LimitKind.UNKNOWN:
            self.closed_at = self._anchor(began)
        self.kind, self.bucket = LimitKind.UNKNOWN, None
        self.missed += 1
        believed = retry_at > now and not self.is_retry_too_early
        self.next_look = retry_at + MARGIN if believed else max(self._usual_look(now), retry_at)

    def _usual_look(self, now: float) -> float:
        """Return when a single call looks next where no Retry-After is believed."""
        anchor, known = self.closed_at, bool(self.held) or self.high < SHORT_WINDOW
        elapsed = now - anchor
        if known and self.missed == 1:
            return anchor + LITTLE_LATER * elapsed
        once_too_early = self.is_retry_too_early and elapsed < SHORT_WAIT and self.missed <= 2
        least = elapsed * (AFTER_TOO_EARLY if once_too_early else 1.01)
        least = max(least, min(self.size / FIRST_LOOK_CALLS, FIRST_LOOK_SECONDS))
        looks = [look for look in LOOKS if look >= least and (look != RARE_LOOK or self.refusals < MANY_REFUSALS)]
        if not looks:
            return now + LONGEST_HOLD
        look = looks[0] + MARGIN
        return anchor + (min(look, MUCH_LATER * elapsed) if known else look)

    def _found(self, look: float) -> None:
        """Take note that the call that looked has passed: a window is not longer than what lies before it."""
        index = len(self.sent) - self.size - 1
        oldest = self.sent[index] if index >= 0 else -math.inf
        elapsed = look - (max(oldest, self.closed_at) if self.kind is LimitKind.UNKNOWN else oldest)
        if self.kind is LimitKind.WINDOW and elapsed >= self.high:
            self.held += 1
        else:
            self.high, self.held = elapsed, 0
        if not self.is_retry_too_early and self.retry_at > self.refused_at:
            self.low = max(self.low, self.high - ROUNDED)
        self.kind, self.look, self.missed = LimitKind.WINDOW, None, 0
        self.settled, self.in_vain, self.quiet = self.size - 1, False, 1

    def _missed(self, began: float, now: float, retry_at: float) -> None:
        """Take note that the call that looked was refused: a window is longer than what lies before it."""
        self.look = None
        anchor = self.closed_at if self.kind is LimitKind.UNKNOWN else self._anchor(began)
        self.low = max(self.low, began - anchor)
        believed = not self.is_retry_too_early and retry_at > began + ROUNDED
        longer = believed or retry_at - ROUNDED > anchor + self.high or self.low >= self.high
        if self.kind is LimitKind.WINDOW and not longer:
            self.in_vain, self.settled = True, self.size
        else:
            self._search(began, now, retry_at)

    def _limit_refused(self, began: float, now: float, retry_at: float) -> None:
        """Learn from a refusal by a limit that was learned before."""
        if self.bucket is None:
            self._window_refused(began, now, retry_at)
        elif not self.bucket.refused(began, self.sent):
            self._no_bucket(began, now, retry_at)

    def _window_refused(self, began: float, now: float, retry_at: float) -> None:
        """Learn from a refusal in a window that was taken to be open: it has fewer calls, is longer, or is a bucket."""
        passed = count(self.sent, max(self.refused_at, began - self.high), began)
        opens = not self.sent or began - self.sent[-1] >= PAUSE * self.high
        if 0 < passed < FULL * (self.proven or self.size):
            self.kind, self.bucket = LimitKind.RATE, BucketRate(self.size, self.refused_at)
            self.bucket.begin(began, self.sent)
            self.proven = passed
        elif 0 < passed < self.size and not opens:
            self.size, self.growth, self.proven = passed, 1, 0
        else:
            self.low = began - self._anchor(began)
            self.high = max(self.high, self.low)
            self._search(began, now, retry_at)

    def _no_bucket(self, began: float, now: float, retry_at: float) -> None:
        """What passed before a bucket seemed likely was a window, after all."""
        self.size, self.proven = min(self.size, self.proven), 0
        self.low, self.high, self.held, self.missed = 0.0, math.inf, 0, 0
        self._search(began, now, retry_at)
