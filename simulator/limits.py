"""The rate limiters of the simulated provider: four kinds that real providers and their proxies use.

Each is pure: it gets the time of a call in seconds and returns how long that call should have waited.
"""

from collections import deque
from typing import Literal, Protocol

LimiterKind = Literal["fixed", "sliding", "token_bucket", "leaky_bucket"]
RetryAfterKind = Literal["exact", "half", "one_second"]


class Limiter(Protocol):
    """Counts the calls that it lets through."""

    def wait(self, now: float) -> float:
        """Return 0 and count the call if it may pass, else the seconds until one may."""
        ...


class FixedWindow:
    """Lets `limit` calls through in each window; windows begin at whole multiples of their length."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._window, self._count = -1, 0

    def wait(self, now: float) -> float:
        window = int(now // self._seconds)
        if window != self._window:
            self._window, self._count = window, 0
        if self._count >= self._limit:
            return max((window + 1) * self._seconds - now, 1e-6)
        self._count += 1
        return 0.0


class SlidingWindow:
    """Lets `limit` calls through in any period of `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._passed: deque[float] = deque()

    def wait(self, now: float) -> float:
        while self._passed and self._passed[0] + self._seconds <= now:
            self._passed.popleft()
        if len(self._passed) >= self._limit:
            return self._passed[0] + self._seconds - now
        self._passed.append(now)
        return 0.0


class TokenBucket:
    """Lets `size` calls through at once and is refilled evenly, at `limit` calls per `seconds`.

    A token bucket holds its limit; a leaky bucket such as nginx's limit_req with "burst=n nodelay" holds n + 1.
    """

    def __init__(self, limit: int, seconds: float, size: int) -> None:
        self._rate, self._size = limit / seconds, float(size)
        self._left, self._at = float(size), float("-inf")

    def wait(self, now: float) -> float:
        if now > self._at:
            self._left = min(self._size, self._left + (now - self._at) * self._rate)
            self._at = now
        if self._left < 1 - 1e-9:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


def limiter(kind: LimiterKind, limit: int, seconds: float, burst: int) -> Limiter:
    """Return a new limiter of this kind; burst is used by the leaky bucket only."""
    match kind:
        case "fixed":
            return FixedWindow(limit, seconds)
        case "sliding":
            return SlidingWindow(limit, seconds)
        case "token_bucket":
            return TokenBucket(limit, seconds, limit)
        case "leaky_bucket":
            return TokenBucket(limit, seconds, burst + 1)


def told_wait(kind: RetryAfterKind, seconds: float) -> float:
    """Return the Retry-After of a 429 for a wait of these seconds; all kinds but "exact" are too short."""
    match kind:
        case "exact":
            return seconds
        case "half":
            return seconds / 2
        case "one_second":
            return min(seconds, 1.0)
