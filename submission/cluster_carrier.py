"""Calls carried by the workers of all machines: one job for each, in the transaction that writes its intent.

Answers come back through the database (storage/handed_calls.py). Calls outlive this process: what another process has
handed over is carried on after the lease has changed hands. A call that nobody has begun can be taken back with
certainty; one that was begun and has no answer after the longest time that it may take is in doubt.
"""

import logging
import math
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace

from database import DatabaseUnavailableError, IMEIDatabase, Transaction
from gsm_fusion_client import OutcomeUnknownError
from orders import Chunk, ChunkState
from storage import call_queries, election_store, handed_calls, pace_store
from storage.handed_calls import Begun, RawAnswer, at_once, without_begin
from storage.job_queue import CALL_TASK, JobQueue
from storage.listening import listening
from storage.pace_store import CallPace
from submission.answers import Answer, answer_from, held_back, judged
from submission.carrier import Recovery
from submission.job_calls import SEND_WITHIN, pace_of
from submission.lost_commits import restore_calls
from submission.options import Options
from submission.raw_failures import HELD_BACK, read_failure, written_failure
from submission.throttle import Throttle

logger = logging.getLogger(__name__)

#: Seconds between two looks for calls without a job or an answer, and between two looks at the pace of reads.
SWEEP = 2.0
#: Seconds after an outage of the database in which workers get to store answers and show that they are alive.
AFTER_OUTAGE = 10.0
#: Seconds without a heartbeat after which a worker counts as gone, and in which it begins a call that it has taken. One
#: that waits longer for its start is planned again, which costs nothing.
SILENCE = 30.0
#: Seconds after a call was begun in which it is sent, or never, and seconds in which an answer can be stored.
SEND_BY, MARGIN = pace_store.LENIENT + SEND_WITHIN, 5.0
#: Seconds by which the clock of the database is ahead of where it was before, if it was stepped.
STEP = 1.0
#: Threads for lists and balances.
READERS = 3
NO_ANSWER = OutcomeUnknownError("The call was begun, and its worker is gone or got no answer in time.")


@dataclass(slots=True)
class Clocks:
    """By how much the clock of the database is ahead of the loop's, so that its times become moments of the loop.

    Where it was stepped ahead while a call was on the wire, what was written before seems to be older than it is. Then
    the least difference of that time counts: the provider may still be working on a call that seems to have rested.
    """

    memory: float  #: seconds that a call may be on the wire
    ahead: float = math.inf  #: seconds, the newest
    _least: float = math.inf  #: of these seconds of memory, and of those before them
    _least_before: float = math.inf
    _since: float = -math.inf

    def note(self, database_time: float, now: float) -> None:
        """Note what both clocks show; now is in seconds of the loop's."""
        self.ahead = database_time - now
        if now - self._since > self.memory:
            self._least_before, self._least, self._since = self._least, math.inf, now
        self._least = min(self._least, self.ahead)

    def moment(self, database_time: float, now: float) -> float:
        """Return a time of the database as a moment of the loop, up to now."""
        least = min(self._least, self._least_before)
        ahead = least if self.ahead - least > STEP else self.ahead
        return min(now, database_time - ahead)


class ClusterCarrier:
    """The jobs in which the calls of one account are made."""

    lasts = True
    ahead = 8  # threads make that many quick calls while the loop records answers; what is not begun can be taken back

    def __init__(
        self,
        database: IMEIDatabase,
        account: str,
        options: Options,
        throttle: Throttle,
        clock: Callable[[], float],
    ) -> None:
        """clock returns seconds that never go back."""
        self._database = database
        self._account = account
        self._options = options
        self._throttle = throttle
        self._clock = clock
        self._jobs = JobQueue()
        self._woken = threading.Event()
        self._known = set[int]()  #: rows of answers that the loop has, and that are not recorded
        self._is_held = False
        self._sweep_at = 0.0
        self._pace: CallPace | None = None  #: as it was written last
        self._longest = SEND_BY + options.call_timeout + MARGIN  #: seconds after which a call that began has no answer
        self._clocks = Clocks(self._longest)

    @contextmanager
    def open(self) -> Iterator[Executor]:
        """Listen for answers, and start the threads for lists and balances."""
        self._pace = None
        self._known.clear()
        with self._options.pool(READERS) as pool, listening(self._database, handed_calls.ANSWERS, self._notified):
            self._write_pace()
            yield pool

    def recover(self, connection: Transaction) -> Recovery:
        """Return the calls that jobs carry, whichever process has handed them over."""
        return Recovery(on_the_wire=call_queries.open_chunks(connection, ChunkState.SENDING, self._account))

    def hand_over(self, connection: Transaction, claimed: Sequence[Chunk]) -> None:
        """Add a job for each call."""
        if claimed:
            self._jobs.add_calls(connection, self._account, [chunk.attempt_id for chunk in claimed])

    def send(self, _claimed: Sequence[Chunk], _starts: Sequence[float]) -> None:
        """Note that the jobs are there: each reserves its start itself."""
        self._is_held = False

    def collect(self, seconds: float, on_the_wire: Collection[Chunk]) -> list[Answer]:
        """Wait for a notification, and return the answers that are stored; end the calls that get none any more."""
        self._woken.wait(seconds)
        self._woken.clear()
        try:
            self._write_pace()
            self._look_after({chunk.attempt_id: chunk for chunk in on_the_wire})
            with without_begin(self._database) as connection:
                rows, database_time = handed_calls.stored(connection, self._account)
                self._clocks.note(database_time, self._clock())
                found = handed_calls.arrived(connection, rows - self._known) if rows - self._known else []
        except DatabaseUnavailableError as error:
            logger.error("Answers cannot be read now: %s", error.orig)
            self._sweep_at = self._clock() + AFTER_OUTAGE
            return []
        self._known = rows
        return [self._read(raw) for raw in found]

    def take(self, connection: Transaction, answers: Sequence[Answer]) -> Sequence[Answer]:
        """Delete stored answers, and return those that were there: others were recorded by another process.

        Calls that the database has lost are restored first.
        """
        rows = [answer.row for answer in answers if answer.row]
        taken = handed_calls.take(connection, rows) if rows else {}
        lost = [answer.chunk for answer in answers if not taken.get(answer.row, True)]
        if lost:
            restore_calls(connection, lost)
        return [answer for answer in answers if not answer.row or answer.row in taken]

    def wake(self) -> None:
        """Let collect() return at once."""
        self._woken.set()

    def hold(self) -> None:
        """Take back the calls that nobody has begun, with the next collect()."""
        self._is_held = True

    def has_space(self) -> bool:
        """Return that there is room: the database refuses intents where it has none."""
        return True

    def make_room(self) -> None:
        """Do nothing: no disk of this machine is used."""

    def show_progress(self, batch_ids: Sequence[int], is_idle: bool) -> None:
        """Do nothing: pages read the database."""

    def _notified(self, account: str) -> None:
        if account == self._account:
            self._woken.set()

    def _read(self, raw: RawAnswer) -> Answer:
        """Return what a stored answer means, with the moment of its call by the clock of the loop.

        The answer may have waited for the database: no call took longer than it may.
        """
        began = self._clocks.moment(raw.began_at, self._clock())
        seconds = min(max(0.0, raw.arrived_at - raw.began_at), self._longest)
        if raw.failure == HELD_BACK:
            answer = held_back(raw.chunk)
        elif raw.content is None:  # it may have been sent at the last moment
            answer = judged(raw.chunk, read_failure(raw.failure), seconds, began + SEND_BY)
        else:
            answer = answer_from(raw.chunk, raw.content, seconds, began)
        return replace(answer, row=raw.row)

    def _write_pace(self) -> None:
        """Write what the throttle allows where that has changed, and let it count the reads of all machines."""
        throttle = self._throttle
        pace = pace_of(throttle, self._clock())
        if self._pace is None or replace(pace, hold=0.0) != self._pace or pace.hold:
            with without_begin(self._database) as connection:
                pace_store.write_pace(connection, self._account, pace)
            self._pace = replace(pace, hold=0.0)
        if throttle.limit is not None:
            with self._database.read_one() as connection:
                slots = pace_store.slots(connection, self._account)
            throttle.read_elsewhere([slots.now - at for at in slots.reads] if slots else [])

    # Calls that get no answer any more

    def _look_after(self, carried: Mapping[int, Chunk]) -> None:
        """Take back what is held, and end what is overdue or has lost its job, by answers that are stored as others."""
        is_due, is_held = self._clock() >= self._sweep_at, self._is_held
        if not (is_due or is_held):
            return
        with at_once(self._database) as connection:
            if is_due:
                pace_store.follow_clock(connection, self._account, begins=not self._sweep_at)
                self._pace = None  # it is written again: a process that was overtaken may have written its own
                self._sweep(connection, carried)
                self._throttle.resize(self._options.workers * max(1, election_store.count_workers(connection)))
            if is_held:
                self._take_back(connection, carried, carried)
        self._is_held = False
        self._sweep_at = self._clock() + SWEEP if is_due else self._sweep_at

    def _sweep(self, connection: Transaction, carried: Mapping[int, Chunk]) -> None:
        """Take back calls that lost their job before they were begun; the others without an answer are in doubt."""
        left = handed_calls.orphaned(connection, carried, CALL_TASK, self._longest, SILENCE) if carried else {}
        self._take_back(connection, carried, [attempt_id for attempt_id, begun_at in left.items() if not begun_at])
        begun = {attempt_id: begun_at for attempt_id, begun_at in left.items() if begun_at}
        for attempt_id, begun_at in begun.items():
            self._end(connection, carried[attempt_id], begun_at, written_failure(NO_ANSWER))

    def _take_back(self, connection: Transaction, carried: Mapping[int, Chunk], attempt_ids: Collection[int]) -> None:
        """Let no job begin these calls; those that none has begun can be planned again."""
        for attempt_id in handed_calls.withdraw(connection, attempt_ids) if attempt_ids else ():
            self._end(connection, carried[attempt_id], 0.0, HELD_BACK)

    def _end(self, connection: Transaction, chunk: Chunk, begun_at: float, failure: str) -> None:
        token = f"{chunk.attempt_id} {self._account}"
        handed_calls.keep(connection, Begun(chunk, token, begun_at), None, failure)
