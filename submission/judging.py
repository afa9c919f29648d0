"""What one answer, or one failure, means for each IMEI of a call. Pure: no I/O, no clock, no database.

The most important rule: an IMEI that was sent and is neither ordered nor certainly unplaced is in doubt. "IMEI already
exists" is no outcome: the order may be of this very call, whose request a proxy has repeated, or of an earlier one. The
provider's list shows which.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
)
from orders import FINAL_STATUSES, SAYS_IT_EXISTS, Chunk, ItemOutcome, Outcome, PlacedOrder, PlacementAnswer
from provider import refusal_kind


class Pause(StrEnum):
    """What a failure pauses."""

    NOBODY = "nobody"
    BATCH = "batch"  #: this batch, until a person resumes it
    ALL = "all"  #: every batch, until a person resumes them
    ALL_FOR_A_WHILE = "all for a while"  #: every batch; they resume by themselves


@dataclass(frozen=True, slots=True)
class NotPlaced:
    """The call certainly placed nothing: its chunk may be sent again."""

    message: str = ""
    pause: Pause = Pause.NOBODY
    hold: bool = False  #: no call is sent for a while
    limited: bool = False  #: the hold is a 429
    retry_after: float | None = None  #: seconds that the provider asked for
    was_sent: bool = True  #: False: the call was held back before it began


@dataclass(frozen=True, slots=True)
class AllOrdered:
    """The answer orders every IMEI of the call once and holds nothing else; all of them wait for their results."""

    orders: tuple[PlacedOrder, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """Each IMEI of the call has its own outcome."""

    item_outcomes: tuple[ItemOutcome, ...]
    message: str = ""
    pause: Pause = Pause.NOBODY
    is_unanswered: bool = False  #: nothing readable came back at all
    is_list: bool = False  #: the provider answered with a list that names IMEIs, and not with a failure


#: What one answer, or one failure, means.
Judgement = NotPlaced | AllOrdered | Judged


def judge(chunk: Chunk, content: PlacementAnswer | GSMFusionAPIError) -> Judgement:
    """Return what a readable answer, or a failure, means. A clean answer needs no outcome for each IMEI."""
    if isinstance(content, GSMFusionAPIError):
        return judge_error(chunk, content)
    if _orders_each_once(chunk, content):
        return AllOrdered(content.orders)
    return judge_by_name(chunk, content)


def outcomes_of(chunk: Chunk, judgement: Judgement) -> tuple[ItemOutcome, ...]:
    """Return an outcome for each IMEI of the call; none where the call placed nothing."""
    match judgement:
        case NotPlaced():
            return ()
        case AllOrdered():
            return judge_by_name(chunk, PlacementAnswer(judgement.orders)).item_outcomes
        case Judged():
            return judgement.item_outcomes


def _orders_each_once(chunk: Chunk, answer: PlacementAnswer) -> bool:
    size = len(chunk.items)
    if answer.duplicates or answer.errors or len(answer.orders) != size:
        return False
    order_ids, imeis, statuses = zip(*answer.orders, strict=True)
    if not FINAL_STATUSES.isdisjoint(statuses) or len(set(order_ids)) != size:
        return False
    return set(imeis) == {imei for _, imei in chunk.items}


def judge_by_name(chunk: Chunk, answer: PlacementAnswer) -> Judged:
    """Return an outcome for each IMEI: ordered and refused by name, everything else in doubt."""
    owners = Counter(order_id for order_id, _ in {(order.id, order.imei) for order in answer.orders})
    placed: dict[str, PlacedOrder] = {}
    for order in answer.orders:
        if owners[order.id] == 1:  # an id that two IMEIs share is believed of neither
            placed.setdefault(order.imei, order)
    errors = dict(answer.errors)
    duplicates = set(answer.duplicates)
    item_outcomes = tuple(_judge_item(item.item_id, item.imei, placed, duplicates, errors) for item in chunk.items)
    unnamed = sum(not is_named(item_outcome) for item_outcome in item_outcomes)
    if "" in errors:
        return Judged(item_outcomes, errors[""], _pause_for(refusal_kind(errors[""])), is_list=True)
    message = f"the answer named {len(item_outcomes) - unnamed} of {len(item_outcomes)} IMEIs" if unnamed else ""
    return Judged(item_outcomes, message, is_list=True)


def is_named(item_outcome: ItemOutcome) -> bool:
    """Whether the answer names this IMEI: the provider has read it as a part of the list."""
    return item_outcome.outcome is not Outcome.IN_DOUBT or item_outcome.message == SAYS_IT_EXISTS


def _judge_item(
    item_id: int, imei: str, placed: dict[str, PlacedOrder], duplicates: set[str], errors: dict[str, str]
) -> ItemOutcome:
    if imei in placed:
        order = placed[imei]
        return ItemOutcome(item_id, imei, Outcome.ORDERED, order.id, order.status)
    if imei in duplicates or "already exists" in errors.get(imei, "").lower():
        return ItemOutcome(item_id, imei, Outcome.IN_DOUBT, message=SAYS_IT_EXISTS)
    if imei in errors:
        return ItemOutcome(item_id, imei, Outcome.REFUSED, message=errors[imei] or "refused without a reason")
    return ItemOutcome(item_id, imei, Outcome.IN_DOUBT, message="sent, but the answer does not name it")


def _pause_for(kind: RefusalKind) -> Pause:
    """Return what is paused by an error text beside orders that names no IMEI."""
    if kind in (RefusalKind.CREDENTIALS, RefusalKind.CREDIT):
        return Pause.ALL
    return Pause.NOBODY if kind in (RefusalKind.DUPLICATE, RefusalKind.INVALID_IMEI) else Pause.BATCH


def judge_error(chunk: Chunk, error: GSMFusionAPIError) -> Judgement:
    """Return what a failure means. Only NotSentError and clear refusals placed nothing; the rest is in doubt."""
    words = str(error)
    if isinstance(error, MaintenanceError):
        return NotPlaced(words, Pause.ALL_FOR_A_WHILE)
    if isinstance(error, NotSentError):
        limited = isinstance(error, RateLimitedError)
        return NotPlaced(words, hold=True, limited=limited, retry_after=error.retry_after if limited else None)
    if isinstance(error, RefusedError):
        return _judge_refusal(chunk, error)
    return Judged(_all(chunk, Outcome.IN_DOUBT, words), words, is_unanswered=True)


def _judge_refusal(chunk: Chunk, error: RefusedError) -> Judgement:
    words, alone = str(error), len(chunk.items) == 1
    match error.kind:
        case RefusalKind.CREDENTIALS:
            return NotPlaced(words, Pause.ALL)
        case RefusalKind.SERVICE:
            return NotPlaced(words, Pause.BATCH)
        case RefusalKind.CREDIT if alone:
            return NotPlaced(words, Pause.ALL)
        case RefusalKind.CREDIT:  # the IMEIs before the money ran out may have been placed
            return Judged(_all(chunk, Outcome.IN_DOUBT, words), words, Pause.ALL)
        case RefusalKind.DUPLICATE:
            return Judged(_all(chunk, Outcome.IN_DOUBT, SAYS_IT_EXISTS if alone else words), words)
        case RefusalKind.INVALID_IMEI:
            return Judged(_invalid(chunk, error, alone), words)
        case _:
            return Judged(_all(chunk, Outcome.IN_DOUBT, words), words, Pause.BATCH)


def _invalid(chunk: Chunk, error: RefusedError, alone: bool) -> tuple[ItemOutcome, ...]:
    """Refuse the IMEI that the text names; the others of the call may have been placed before it."""
    named = set(re.findall(r"\d{5,}", error.raw))
    return tuple(
        ItemOutcome(item.item_id, item.imei, Outcome.REFUSED, message=str(error))
        if alone or item.imei in named
        else ItemOutcome(item.item_id, item.imei, Outcome.IN_DOUBT, message=str(error))
        for item in chunk.items
    )


def _all(chunk: Chunk, outcome: Outcome, words: str) -> tuple[ItemOutcome, ...]:
    return tuple(ItemOutcome(item.item_id, item.imei, outcome, message=words) for item in chunk.items)


def trial_length(proven: int, full: int) -> int:
    """Return how many IMEIs the next call may carry where lists of `proven` came back whole (0: none was tried).

    Two prove that a comma list is read at all, then one call of the full length proves that all of it is; while
    proven is below three, such a call goes alone.
    """
    return {0: 2, 2: full}.get(proven, proven)


def proven_length(named: Sequence[bool], known: int, full: int) -> int:
    """Return how long a comma list may be after an answer that named these IMEIs of a call (see trial_length).

    known is the bound before, full the chunk size. A list that came back cut is believed only as far as its
    beginning was named, and one IMEI a call where not even that.
    """
    sent = len(named)
    if sent < 2:
        return known
    if all(named):
        return max(known, full if sent > 2 else 2)
    beginning = named.index(False)
    return beginning if beginning > 2 and not any(named[beginning:]) else 1
