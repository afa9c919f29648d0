"""What one answer, or one failure, means for each IMEI of a call. Pure: no I/O, no clock, no database.

The rule above all others: an IMEI that was sent and is neither ordered nor certainly unplaced is in doubt. That the
provider has an order of it already is no outcome: it may be the order of this very call, whose request a proxy has
repeated, or of an earlier one. The provider's list shows which.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from json.encoder import encode_basestring_ascii as quoted

from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
)
from orders import FINAL_STATUSES, SAYS_IT_EXISTS, Chunk, Outcome, PlacedOrder, PlacementAnswer, Verdict
from provider import refusal_kind


class Pause(StrEnum):
    """Whom a failure stops."""

    NOBODY = "nobody"
    BATCH = "batch"  #: this batch, until a person resumes it
    ALL = "all"  #: every batch, until a person resumes them
    ALL_FOR_A_WHILE = "all for a while"  #: every batch; they resume by themselves


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to write after one call. verdicts is None: nothing was placed, the chunk may be sent again."""

    verdicts: tuple[Verdict, ...] | None
    message: str = ""
    pause: Pause = Pause.NOBODY
    hold: bool = False  #: nobody sends for a while
    limited: bool = False  #: the hold is a 429
    retry_after: float | None = None  #: seconds that the provider asked for
    unanswered: bool = False  #: nothing readable came back at all
    #: Where the answer orders every IMEI of the call once, waits for every result, and says no more: a JSON list of its
    #: id, imei and status.
    clean: str = ""


def judge(chunk: Chunk, content: PlacementAnswer | GSMFusionAPIError) -> Judgement:
    """What a readable answer, or a failure, means. A clean answer needs no verdict for each IMEI."""
    if isinstance(content, GSMFusionAPIError):
        return judge_error(chunk, content)
    if _orders_each_once(chunk, content):
        return Judgement((), clean=_json_list(content.orders))
    return judge_by_name(chunk, content)


def _json_list(placed: Sequence[PlacedOrder]) -> str:
    """What json.dumps writes of these orders as objects of id, imei and status, in half the time."""
    records = [
        f'{{"id": {quoted(order_id)}, "imei": {quoted(imei)}, "status": {quoted(status)}}}'
        for order_id, imei, status in placed
    ]
    return f"[{', '.join(records)}]"


def _orders_each_once(chunk: Chunk, answer: PlacementAnswer) -> bool:
    size = len(chunk.items)
    if answer.duplicates or answer.errors or len(answer.orders) != size:
        return False
    if not FINAL_STATUSES.isdisjoint([status for _, _, status in answer.orders]):
        return False
    if len({order_id for order_id, _, _ in answer.orders}) != size:
        return False
    return {imei for _, imei, _ in answer.orders} == {imei for _, imei in chunk.items}


def judge_by_name(chunk: Chunk, answer: PlacementAnswer) -> Judgement:
    """A verdict for each IMEI: ordered and refused by name, everything else in doubt."""
    owners = Counter(order_id for order_id, _ in {(order.id, order.imei) for order in answer.orders})
    placed: dict[str, PlacedOrder] = {}
    for order in answer.orders:
        if owners[order.id] == 1:  # an id of two IMEIs says of neither that it is its own
            placed.setdefault(order.imei, order)
    errors = dict(answer.errors)
    duplicates = set(answer.duplicates)
    verdicts = tuple(_judge_item(item.item_id, item.imei, placed, duplicates, errors) for item in chunk.items)
    unnamed = sum(not is_named(verdict) for verdict in verdicts)
    if "" in errors:
        return Judgement(verdicts, errors[""], _pause_for(refusal_kind(errors[""])))
    message = f"the answer named {len(verdicts) - unnamed} of {len(verdicts)} IMEIs" if unnamed else ""
    return Judgement(verdicts, message)


def is_named(verdict: Verdict) -> bool:
    """Whether the answer speaks of this IMEI: it was read as a part of the list."""
    return verdict.outcome is not Outcome.IN_DOUBT or verdict.message == SAYS_IT_EXISTS


def _judge_item(
    item_id: int, imei: str, placed: dict[str, PlacedOrder], duplicates: set[str], errors: dict[str, str]
) -> Verdict:
    if imei in placed:
        order = placed[imei]
        return Verdict(item_id, imei, Outcome.ORDERED, order.id, order.status)
    if imei in duplicates or "already exists" in errors.get(imei, "").lower():
        return Verdict(item_id, imei, Outcome.IN_DOUBT, message=SAYS_IT_EXISTS)
    if imei in errors:
        return Verdict(item_id, imei, Outcome.REFUSED, message=errors[imei] or "refused without a reason")
    return Verdict(item_id, imei, Outcome.IN_DOUBT, message="sent, but the answer does not name it")


def _pause_for(kind: RefusalKind) -> Pause:
    """Whom words stop that stand in an answer beside orders and name no IMEI."""
    if kind in (RefusalKind.CREDENTIALS, RefusalKind.CREDIT):
        return Pause.ALL
    return Pause.NOBODY if kind in (RefusalKind.DUPLICATE, RefusalKind.INVALID_IMEI) else Pause.BATCH


def judge_error(chunk: Chunk, error: GSMFusionAPIError) -> Judgement:
    """Read a failure. Only NotSentError and clear refusals give the chunk back; the rest is doubt."""
    words = str(error)
    if isinstance(error, MaintenanceError):
        return Judgement(None, words, Pause.ALL_FOR_A_WHILE)
    if isinstance(error, NotSentError):
        limited = isinstance(error, RateLimitedError)
        return Judgement(None, words, hold=True, limited=limited, retry_after=error.retry_after if limited else None)
    if isinstance(error, RefusedError):
        return _judge_refusal(chunk, error)
    return Judgement(_all(chunk, Outcome.IN_DOUBT, words), words, unanswered=True)


def _judge_refusal(chunk: Chunk, error: RefusedError) -> Judgement:
    words, alone = str(error), len(chunk.items) == 1
    match error.kind:
        case RefusalKind.CREDENTIALS:
            return Judgement(None, words, Pause.ALL)
        case RefusalKind.SERVICE:
            return Judgement(None, words, Pause.BATCH)
        case RefusalKind.CREDIT if alone:
            return Judgement(None, words, Pause.ALL)
        case RefusalKind.CREDIT:  # the IMEIs before the money ran out may have been placed
            return Judgement(_all(chunk, Outcome.IN_DOUBT, words), words, Pause.ALL)
        case RefusalKind.DUPLICATE:
            return Judgement(_all(chunk, Outcome.IN_DOUBT, SAYS_IT_EXISTS if alone else words), words)
        case RefusalKind.INVALID_IMEI:
            return Judgement(_invalid(chunk, error, alone), words)
        case _:
            return Judgement(_all(chunk, Outcome.IN_DOUBT, words), words, Pause.BATCH)


def _invalid(chunk: Chunk, error: RefusedError, alone: bool) -> tuple[Verdict, ...]:
    """The IMEI that the text names is refused; the others of the call may have been placed before it."""
    named = set(re.findall(r"\d{5,}", error.raw))
    return tuple(
        Verdict(item.item_id, item.imei, Outcome.REFUSED, message=str(error))
        if alone or item.imei in named
        else Verdict(item.item_id, item.imei, Outcome.IN_DOUBT, message=str(error))
        for item in chunk.items
    )


def _all(chunk: Chunk, outcome: Outcome, words: str) -> tuple[Verdict, ...]:
    return tuple(Verdict(item.item_id, item.imei, outcome, message=words) for item in chunk.items)


def trial_length(proven: int, full: int) -> int:
    """How many IMEIs the next call may carry where lists of `proven` came back whole (0: none was tried).

    Two prove that a comma list is read at all, then one call of the full length proves that all of it is; while
    proven is below three, such a call goes alone.
    """
    return {0: 2, 2: full}.get(proven, proven)


def proven_length(named: Sequence[bool], known: int, full: int) -> int:
    """How long a comma list may be after an answer that named these of the IMEIs of a call (see trial_length).

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
