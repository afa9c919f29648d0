"""How many calls the provider got, how they ended and how long they took: counted in memory, added to the database.

The counts only grow, over all processes and restarts. They are written beside the provider's state (account/state.py),
every few seconds, so that placing an order costs no write for them. A kill loses the counts of these seconds.
"""

import json
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from types import MappingProxyType

from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusedError,
    UnreadableAnswerError,
)

#: Name in the settings table.
CALL_COUNTS = "provider_calls"
#: Upper limits of the histogram in seconds; captured calls took 16 to 18 s.
LIMITS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)


class CallOutcome(StrEnum):
    """How a call ended."""

    ANSWERED = "answered"
    REFUSED = "refused"  #: the provider said no to the whole call
    RATE_LIMITED = "rate_limited"  #: HTTP 429
    MAINTENANCE = "maintenance"
    NOT_SENT = "not_sent"  #: no connection
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"  #: sent, without a complete answer


#: The most special error first.
OUTCOMES = MappingProxyType(
    {
        RateLimitedError: CallOutcome.RATE_LIMITED,
        MaintenanceError: CallOutcome.MAINTENANCE,
        NotSentError: CallOutcome.NOT_SENT,
        RefusedError: CallOutcome.REFUSED,
        UnreadableAnswerError: CallOutcome.UNREADABLE,
        OutcomeUnknownError: CallOutcome.UNKNOWN,
    }
)


@dataclass(slots=True)
class CallCounts:
    """The calls for one action."""

    outcomes: dict[str, int] = field(default_factory=dict)  #: word of CallOutcome → calls
    buckets: list[int] = field(default_factory=lambda: [0] * (len(LIMITS) + 1))  #: calls up to each of LIMITS, and more
    seconds: float = 0.0  #: of all calls

    def add(self, other: "CallCounts") -> None:
        """Add the counts of other."""
        self.outcomes = dict(Counter(self.outcomes) + Counter(other.outcomes))
        self.buckets = [mine + more for mine, more in zip(self.buckets, other.buckets, strict=True)]
        self.seconds = round(self.seconds + other.seconds, 3)


def outcome_of(error: GSMFusionAPIError | None) -> CallOutcome:
    """Return how a call ended."""
    if error is None:
        return CallOutcome.ANSWERED
    return next((word for kind, word in OUTCOMES.items() if isinstance(error, kind)), CallOutcome.UNKNOWN)


def read_counts(stored: str | None) -> dict[str, CallCounts]:
    """Return action → counts, as the setting CALL_COUNTS holds them."""
    found = json.loads(stored) if stored else {}
    return {name: CallCounts(**one) for name, one in found.items()}


def added(stored: str | None, more: Mapping[str, CallCounts]) -> str:
    """Return the new value of the setting CALL_COUNTS: what is stored, and more."""
    counts = read_counts(stored)
    for action, one in more.items():
        counts.setdefault(action, CallCounts()).add(one)
    return json.dumps({name: asdict(one) for name, one in counts.items()})


class CallCounter:
    """Counts calls until they are taken to be written. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, CallCounts] = {}

    def count(self, action: str, seconds: float, error: GSMFusionAPIError | None) -> None:
        """Count a call that took these seconds."""
        outcome, bucket = outcome_of(error), bisect_left(LIMITS, seconds)
        with self._lock:
            counts = self._counts.setdefault(action, CallCounts())
            counts.outcomes[outcome] = counts.outcomes.get(outcome, 0) + 1
            counts.buckets[bucket] += 1
            counts.seconds += seconds

    def take(self) -> dict[str, CallCounts]:
        """Return what was counted since the last time."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def put_back(self, taken: Mapping[str, CallCounts]) -> None:
        """Count again what could not be written."""
        with self._lock:
            for action, one in taken.items():
                self._counts.setdefault(action, CallCounts()).add(one)


def counted(action: str, seconds: float, error: GSMFusionAPIError | None) -> dict[str, CallCounts]:
    """Return the counts of one call."""
    counter = CallCounter()
    counter.count(action, seconds, error)
    return counter.take()
