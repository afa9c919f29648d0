"""What came of one call, and how it is made from what the provider answered.

The provider's words are judged in submission/judging.py; what a judgement writes is encoded here, so that the thread
that writes to the database only writes.
"""

import logging
from dataclasses import dataclass

from gsm_fusion_client import GSMFusionAPIError, OutcomeUnknownError
from orders import Chunk, PlacementAnswer
from provider import parse_placement
from storage.call_records import CallRecord, record_of, record_of_orders
from submission.judging import AllOrdered, Judged, Judgement, NotPlaced, Pause, is_named, judge

logger = logging.getLogger(__name__)

#: Calls shorter than this (seconds) are as short as a commit: then the next ones are planned while these run.
QUICK_CALL = 0.2
STOPPED = "the program stopped while this call was on the wire"
FAILED_INSIDE = "the call failed inside this program after it may have been sent"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call: what it means, and what it writes."""

    chunk: Chunk
    judgement: Judgement
    record: CallRecord | None  #: None: nothing was placed
    seconds: float = QUICK_CALL  #: how long the call took
    began: float = 0.0  #: when, in monotonic seconds
    row: int = 0  #: where it is stored until it is recorded; 0: in this process only

    @property
    def was_sent(self) -> bool:
        """Whether the call began, and was not held back before."""
        return not isinstance(self.judgement, NotPlaced) or self.judgement.was_sent

    @property
    def is_unanswered(self) -> bool:
        """Whether the call was sent and nothing readable came back."""
        return isinstance(self.judgement, Judged) and self.judgement.is_unanswered

    @property
    def holds(self) -> bool:
        """Whether nothing may be sent for a while."""
        return isinstance(self.judgement, NotPlaced) and self.judgement.hold

    @property
    def is_refused(self) -> bool:
        """Whether the provider has read the call and turned it away, in words that stop more than this call.

        It may have placed IMEIs before it came to that, or a proxy may have repeated a call that it had placed.
        """
        return isinstance(self.judgement, NotPlaced) and self.judgement.pause is not Pause.NOBODY

    @property
    def ended(self) -> float | None:
        """When the provider ended its work on the call: with a list that names an IMEI of it; None: unknown."""
        judged = self.judgement if isinstance(self.judgement, Judged) else None
        is_of_its_call = judged is not None and judged.is_list and any(map(is_named, judged.item_outcomes))
        return self.began + self.seconds if is_of_its_call else None


def answer_to(chunk: Chunk, judgement: Judgement, seconds: float = QUICK_CALL, began: float = 0.0) -> Answer:
    """Encode what a judgement writes: in the worker, so that the writing thread only writes."""
    match judgement:
        case NotPlaced():
            record = None
        case AllOrdered():
            record = record_of_orders(chunk, judgement.orders)
        case Judged():
            record = record_of(chunk, judgement.item_outcomes, judgement.message)
    return Answer(chunk, judgement, record, seconds, began)


def judged(
    chunk: Chunk, content: PlacementAnswer | GSMFusionAPIError, seconds: float = QUICK_CALL, began: float = 0.0
) -> Answer:
    """Return what an answer, or a failure, means. One that cannot be judged may have placed everything."""
    try:
        return answer_to(chunk, judge(chunk, content), seconds, began)
    except Exception:  # an error of the program must not forget the call
        logger.exception("Chunk %d: the answer cannot be judged", chunk.chunk_id)
        return answer_to(chunk, judge(chunk, OutcomeUnknownError(FAILED_INSIDE)), seconds, began)


def answer_from(chunk: Chunk, raw: bytes, seconds: float = QUICK_CALL, began: float = 0.0) -> Answer:
    """Return what the raw answer to a call means."""
    content: PlacementAnswer | GSMFusionAPIError
    try:
        content = parse_placement(raw)
    except GSMFusionAPIError as error:
        content = error
    except Exception:  # an error of the program must not forget the call
        logger.exception("Chunk %d: the answer cannot be read", chunk.chunk_id)
        content = OutcomeUnknownError(FAILED_INSIDE)
    return judged(chunk, content, seconds, began)


def held_back(chunk: Chunk) -> Answer:
    """Return the answer to a call that did not begin: its chunk can be planned again."""
    return answer_to(chunk, NotPlaced(was_sent=False))


def kept_answer(chunk: Chunk, raw: bytes | None) -> Answer:
    """Return the answer to a call whose process has ended: the one that was kept, or none, which means doubt."""
    return judged(chunk, OutcomeUnknownError(STOPPED)) if raw is None else answer_from(chunk, raw)
