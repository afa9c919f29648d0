"""What answers write, for their calls and for the batches, and what the throttle and the settler learn from them.

submission/judging.py decides what an answer means. This module carries it out, and calls no provider.
"""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from database import IMEIDatabase, Transaction
from storage import batch_states, chunk_moves, guards
from storage.call_records import record_answers, record_late
from storage.list_limits import read_list_limit, write_list_limit
from submission.account_room import Room
from submission.answers import Answer
from submission.carrier import Carrier
from submission.judging import (
    AllOrdered,
    Judged,
    NotPlaced,
    Pause,
    is_named,
    outcomes_of,
    proven_length,
)
from submission.options import Options
from submission.settlement import Settler
from submission.throttle import Throttle

logger = logging.getLogger(__name__)

SETTLED_OTHERWISE = "the answer came when this IMEI had been settled otherwise"
#: Calls in a row without any readable answer after which the provider is down: each further call is one more doubt.
UNANSWERED = 3


@dataclass(slots=True)
class ListLimits:
    """The longest list that each service is proven for, read once in a transaction."""

    connection: Transaction
    full: int  #: IMEIs of a full call
    account: str
    known: dict[str, int] = field(default_factory=dict)

    def of(self, service_id: str) -> int:
        """Return how many IMEIs a list of this service may have; 0: none was tried."""
        if service_id not in self.known:
            self.known[service_id] = read_list_limit(self.connection, service_id, self.account)
        return self.known[service_id]

    def learn(self, service_id: str, named: Sequence[bool]) -> None:
        """Remember how long a list may be, after an answer that named these of the IMEIs of a call."""
        if not any(named):
            return  # no readable answer, which proves nothing about lists
        known = self.of(service_id)
        proven = proven_length(named, known, self.full)
        if proven != known:
            write_list_limit(self.connection, service_id, proven, self.account)
            self.known[service_id] = proven
            logger.info("Service %s takes lists of %d IMEIs", service_id, proven)


@dataclass
class Recorder:
    """Writes answers in the transaction of the loop, and passes on afterwards what they show."""

    options: Options
    throttle: Throttle
    settler: Settler
    carrier: Carrier
    clock: Callable[[], float]  #: returns seconds that never go back
    room: Room
    _unanswered: int = 0  #: calls in a row
    _resume_at: float | None = None  #: when the provider's maintenance may be over
    _is_resuming: bool = False  #: the transaction that is not committed yet resumes the batches

    def write(self, connection: Transaction, answers: Sequence[Answer], carefully: bool = False) -> ListLimits:
        """Write what answers mean. Returns the list lengths that were read or learned. Raises WrongStateError.

        carefully: another process may have put the calls in doubt, and order ids may be known already.
        """
        answers = self.carrier.take(connection, answers)
        records = [answer.record for answer in answers if answer.record is not None]
        record_answers(connection, records, carefully)
        limits = ListLimits(connection, self.options.chunk_size, self.options.account)
        lengths = set[tuple[str, int]]()
        for answer in answers:
            match answer.judgement:
                case AllOrdered():
                    lengths.add((answer.chunk.service_id, len(answer.chunk.items)))
                case NotPlaced():
                    chunk_moves.release(connection, answer.chunk, answer.judgement.message, answer.was_sent)
                    self._stop_batches(connection, answer, answer.judgement)
                case Judged():
                    if answer.judgement.pause is Pause.NOBODY:
                        limits.learn(answer.chunk.service_id, [is_named(v) for v in answer.judgement.item_outcomes])
                    self._stop_batches(connection, answer, answer.judgement)
        for service_id, length in sorted(lengths):
            limits.learn(service_id, [True] * length)
        if lengths and self.throttle.failures:
            batch_states.set_notice(connection, "")
        return limits

    def write_alone(self, database: IMEIDatabase, answer: Answer) -> None:
        """Write one answer to a call that another process may have moved. What it placed is never lost."""
        try:
            with database.write() as connection:
                self.write(connection, [answer], carefully=True)
        except guards.WrongStateError:
            chunk, item_outcomes = answer.chunk, outcomes_of(answer.chunk, answer.judgement)
            logger.error("Chunk %d was moved by another process; its answer is recorded all the same", chunk.chunk_id)
            with database.write() as connection:
                if self.carrier.take(connection, [answer]):
                    record_late(connection, chunk, item_outcomes, SETTLED_OTHERWISE)

    def resume_after_maintenance(self, connection: Transaction, check: Callable[[Transaction], None]) -> None:
        """Resume the batches that wait for the provider's maintenance to end, when its time has passed.

        check raises LeaseLostError where another process has taken the lease: that one resumes them.
        """
        self._is_resuming = self._resume_at is not None and self.clock() >= self._resume_at
        if self._is_resuming:
            check(connection)
            batch_states.resume_self_resuming(connection)

    def committed(self) -> None:
        """Note that the last transaction is on disk: until then the next one resumes the batches again."""
        if self._is_resuming:
            self._resume_at, self._is_resuming = None, False

    def learn(self, answer: Answer) -> bool:
        """Let the throttle and the settler learn from one answer. Returns whether nothing may be sent for a while."""
        now, before = self.clock(), self.throttle.hold_until
        if answer.was_sent:
            self._unanswered = self._unanswered + 1 if answer.is_unanswered else 0
            if not answer.is_unanswered:
                self.settler.answered(answer.seconds, len(answer.chunk.items))
        if answer.chunk.doubt_attempt is not None:
            self.settler.look_soon(now)  # its orders are the proof for the next piece
        self._teach_throttle(answer, now)
        if isinstance(answer.judgement, AllOrdered):
            return False
        if answer.judgement.pause is Pause.ALL_FOR_A_WHILE and not self.room.is_shared:
            self._resume_at = now + self.options.maintenance_wait
        is_longer = self.throttle.hold_until > before
        if is_longer:
            seconds = self.throttle.hold_until - now
            logger.warning("Nothing is sent for %.1f s: %s", seconds, answer.judgement.message)
        return is_longer

    def _stop_batches(self, connection: Transaction, answer: Answer, judgement: NotPlaced | Judged) -> None:
        """Pause what a judgement pauses, or show why nothing is sent for a while.

        Where there are several accounts, only this one stops; batches pause where no other one can go on.
        """
        if self._stops_account(connection, judgement):
            return
        match judgement.pause:
            case Pause.BATCH:
                batch_states.pause(connection, answer.chunk.batch_id, judgement.message)
            case Pause.ALL:
                batch_states.pause_all(connection, judgement.message)
            case Pause.ALL_FOR_A_WHILE:
                batch_states.pause_all(connection, judgement.message, resumes_itself=True)
            case Pause.NOBODY:
                self._show_hold(connection, answer, judgement)

    def _stops_account(self, connection: Transaction, judgement: NotPlaced | Judged) -> bool:
        match judgement.pause:
            case Pause.ALL:
                return self.room.stop(connection, judgement.message)
            case Pause.ALL_FOR_A_WHILE:
                return self.room.stop(connection, judgement.message, self.options.maintenance_wait)
        return False

    def _show_hold(self, connection: Transaction, answer: Answer, judgement: NotPlaced | Judged) -> None:
        """Show on the batches why nothing is sent for a while; the next answer removes the notice."""
        if answer.holds or (answer.is_unanswered and self._unanswered + 1 >= UNANSWERED):
            batch_states.set_notice(connection, judgement.message)
        elif self.throttle.failures and isinstance(judgement, Judged) and not answer.is_unanswered:
            batch_states.set_notice(connection, "")

    def _teach_throttle(self, answer: Answer, now: float) -> None:
        judgement = answer.judgement
        if not answer.was_sent:
            self.throttle.take_back()
        elif isinstance(judgement, NotPlaced) and judgement.limited:
            self.throttle.limited(now, judgement.retry_after, random.random(), answer.began)  # noqa: S311
        elif answer.holds or self._unanswered >= UNANSWERED:
            self.throttle.unreachable(now, random.random())  # noqa: S311
        else:
            is_full = 2 * len(answer.chunk.items) >= self.options.chunk_size  # short calls are always quick
            self.throttle.answered(answer.seconds if is_full else None, answer.began)
