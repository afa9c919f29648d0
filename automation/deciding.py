"""Which phones a run of an automation orders, and how many of them the limits on spending allow. Pure.

This module knows no database, no provider and no request.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from amounts import exceeds
from orders import OrderStatus


class Candidate(NamedTuple):
    """A phone with a result that fits the filter of an automation."""

    imei: str
    imei2: str  #: its second IMEI; "" where that is not known
    change: int  #: the id of the status change that brought the result; 0 where nothing waits for its turn

    @property
    def imeis(self) -> tuple[str, ...]:
        """Every IMEI of the phone."""
        return tuple(dict.fromkeys(filter(None, (self.imei, self.imei2))))


class WhyNot(StrEnum):
    """Why a run leaves a phone out, in words that follow a count."""

    ORDERED = "ordered by this automation before"
    CHECKED = "already checked with this service"
    REJECTED = "rejected by this service before"
    UNDER_WAY = "under way with this service"
    MONEY = "waiting for money"


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """What is known of an IMEI with the service that an automation orders."""

    why_not: WhyNot
    at: datetime | None = None  #: UTC; when it was ordered


@dataclass(frozen=True, slots=True)
class Orderable:
    """Candidates that may be ordered, as far as the money suffices."""

    phones: tuple[Candidate, ...]  #: to order, the oldest result first
    left_out: Counter[str]  #: a word of WhyNot → phones


@dataclass(frozen=True, slots=True)
class SpendingLimit:
    """One limit on what may be spent now."""

    left: float | None  #: US dollars; None: no limit
    words: str  #: a sentence for the log where not everything fits


def distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the first candidate of each phone: one that shares an IMEI with an earlier one is the same phone."""
    seen, found = set[str](), []
    for candidate in candidates:
        if seen.isdisjoint(candidate.imeis):
            found.append(candidate)
        seen.update(candidate.imeis)
    return tuple(found)


def orderable(
    phones: Sequence[Candidate], ordered: Collection[str], known: Mapping[str, KnownOrder], rechecks: bool
) -> Orderable:
    """Leave out the phones that must not be ordered, and put the oldest results first.

    ordered: IMEIs that the automation has ordered; known: IMEI → its order with the service. rechecks: a result is no
    reason to leave a phone out, and those that were checked longest ago come first.
    """
    left_out, kept = Counter[str](), []
    for phone in phones:
        why_not = _why_not(phone, ordered, known, rechecks)
        if why_not is None:
            kept.append(phone)
        else:
            left_out[why_not] += 1
    if rechecks:
        kept.sort(key=lambda phone: _last_checked(phone, known))
    return Orderable(tuple(kept), left_out)


def _why_not(
    phone: Candidate, ordered: Collection[str], known: Mapping[str, KnownOrder], rechecks: bool
) -> WhyNot | None:
    if any(imei in ordered for imei in phone.imeis):
        return WhyNot.ORDERED
    found = [known[imei].why_not for imei in phone.imeis if imei in known]
    for reason in (WhyNot.UNDER_WAY, WhyNot.REJECTED, WhyNot.CHECKED):
        if reason in found and not (rechecks and reason is WhyNot.CHECKED):
            return reason
    return None


def _last_checked(phone: Candidate, known: Mapping[str, KnownOrder]) -> datetime:
    """Return when a phone was ordered from the service the last time; the beginning of time where it never was."""
    return max((known[imei].at or datetime.min for imei in phone.imeis if imei in known), default=datetime.min)


def reason_of(status: str | None) -> WhyNot:
    """Return why a phone whose order has this status is not ordered."""
    return {OrderStatus.COMPLETED.value: WhyNot.CHECKED, OrderStatus.REJECTED.value: WhyNot.REJECTED}.get(
        status or "", WhyNot.UNDER_WAY
    )


def affordable(count: int, price: float, limits: Iterable[SpendingLimit]) -> tuple[int, str]:
    """Return how many IMEIs of this price fit every limit, and the words of the lowest limit.

    The words are "" where all of them fit.
    """
    fits, words = count, ""
    for limit in limits:
        if limit.left is not None and exceeds(price * fits, limit.left):
            fits = int(max(0.0, limit.left) / price) if price else 0
            fits += not exceeds(price * (fits + 1), limit.left)  # a float may lie just below a whole number
            words = limit.words
    return fits, words


def reached(upto: int, waiting: Sequence[Candidate]) -> int:
    """Return the mark after a run: every result up to upto is done, but for those that wait for money."""
    return min((phone.change - 1 for phone in waiting), default=upto)
