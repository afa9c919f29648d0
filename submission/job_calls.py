"""One call of a cluster, made by whichever machine gets its job: wait for a start, begin, POST, store the answer.

The job has the id of an attempt only. What decides is the guarded UPDATE that begins it (storage/handed_calls.py): a
job that is repeated, late or without its loop finds that it may not begin. Between this UPDATE and the POST only
moments may pass, by the clock of this machine and by that of the database: a process that was stopped there gives the
call back. The answer is stored before anybody judges it, however long the database is away. With the same statement
the thread takes its next job.
"""

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import NotSentError, RateLimitedError
from logs import about
from orders import PlacementAnswer
from provider import sending_by, uptime
from storage import handed_calls, pace_store
from storage.handed_calls import Begun, JobThread, NextJob, at_once, each_by_itself
from storage.pace_store import CallPace, Slot
from submission.placing import PlacingProvider, place
from submission.raw_failures import HELD_BACK, written_failure
from submission.throttle import LOOK, READ_SHARE, Throttle

logger = logging.getLogger(__name__)

#: Seconds after which a call that waits for its start is checked again: whether it may still be made.
RECHECK = 1.0
#: Seconds between two tries to reach the database.
AGAIN = 0.5
#: A call whose start is at most these seconds away is begun by the statement that stores the answer before it. A later
#: start is reserved after that.
SOON = 0.05
#: Seconds for which a program that is ending tries to store the answer to a call.
AT_THE_END = 60.0
#: Seconds to connect and send the first byte of a call; after them nothing is sent.
SEND_WITHIN = 10.0
#: Seconds in which no call starts after a 429, until the loop has decided how long to wait.
FIRST_HOLD = 1.0


@dataclass(frozen=True, slots=True)
class JobCalls:
    """Makes the calls of one account in this process; for any number of threads."""

    database: IMEIDatabase
    client: PlacingProvider
    account: str
    stopping: threading.Event  #: set: calls that have not begun are left to other processes
    install_id: str | None = None  #: see place()
    clock: Callable[[], float] = uptime  #: a machine that slept has been stopped

    def make(self, attempt_id: int, thread: JobThread | None = None) -> NextJob | None:
        """Make the call of an attempt, unless it was begun, withdrawn or settled. Return the next job, if any.

        thread: takes the next job with the statement that stores the answer; None: take none.
        Raises DatabaseUnavailableError where nothing was sent.
        """
        while not self.stopping.is_set():
            slot, asked = self._awaited_slot(), self.clock()
            if slot is not None:
                call = self._begin(attempt_id, slot)
                if call is not None:
                    return self.send(call, asked, slot, thread)
                self._free(slot)
            with each_by_itself(self.database) as connection:
                if not handed_calls.is_open(connection, attempt_id, self.account):
                    break
        if thread is not None and thread.job:
            with each_by_itself(self.database) as connection:
                handed_calls.end_job(connection, thread.job)
        return None

    def send(
        self, call: Begun, asked: float, slot: Slot | None, thread: JobThread | None, seen: float | None = None
    ) -> NextJob | None:
        """Make a call that this process has begun. Return the next job, if any.

        asked: when this process asked to begin it, by its clock. slot: the start that was reserved; None: the call
        needed none. seen: what the clock of the database shows now; None: it is read.
        """
        if not self._is_late(call, asked, slot.tolerance if slot else pace_store.LENIENT, seen):
            return self._place(call, thread)
        logger.warning("Chunk %d was begun too slowly; it is given back", call.chunk.chunk_id)
        taken = self._store_and_take(call, None, HELD_BACK, thread)
        if slot is not None:
            self._free(slot)
        return taken

    def _awaited_slot(self) -> Slot | None:
        """Reserve a start and wait for it. Return None if it is far away: the call is checked again first."""
        with each_by_itself(self.database) as connection:
            slot = pace_store.reserve_unlimited(connection, self.account)
        if slot is None:
            with at_once(self.database) as connection:
                slot = pace_store.reserve_order(connection, self.account)
        if slot is None:
            self.stopping.wait(RECHECK)
        elif slot.wait > 0 and (self.stopping.wait(min(slot.wait, RECHECK)) or slot.wait > RECHECK):
            self._free(slot)
            return None
        return slot

    def _free(self, slot: Slot) -> None:
        with at_once(self.database) as connection:
            pace_store.give_back(connection, self.account, slot)

    def _begin(self, attempt_id: int, slot: Slot) -> Begun | None:
        """Begin a call; None where it may not be begun, or its start has passed."""
        secret = new_secret()
        try:
            with each_by_itself(self.database) as connection:
                return handed_calls.begin(connection, attempt_id, self.account, secret, slot.start + slot.tolerance)
        except DatabaseUnavailableError:
            self._give_back(secret)  # whether it was begun is not known, but nothing was sent
            raise

    def _is_late(self, call: Begun, asked: float, tolerance: float, seen: float | None) -> bool:
        """Whether this process or its machine was stopped since the call was begun."""
        if seen is None:
            try:
                with each_by_itself(self.database) as connection:
                    seen = handed_calls.database_clock(connection)
            except DatabaseUnavailableError:
                return True
        return max(seen - call.began_at, self.clock() - asked) > tolerance

    def _place(self, call: Begun, thread: JobThread | None) -> NextJob | None:
        with about(batch_id=call.chunk.batch_id, chunk_id=call.chunk.chunk_id):
            kept: list[bytes] = []
            with sending_by(uptime() + SEND_WITHIN):
                content = place(self.client, call.chunk, self.install_id, kept.append)
            if kept:
                return self._store_and_take(call, kept[0], "", thread)
            if isinstance(content, RateLimitedError):
                self._hold()
            if isinstance(content, PlacementAnswer):
                return None
            return self._store_and_take(call, None, written_failure(content), thread)

    def _hold(self) -> None:
        """Let no other call start until the loop has decided how long to wait."""
        try:
            with at_once(self.database) as connection:
                pace_store.hold(connection, self.account, FIRST_HOLD)
        except DatabaseUnavailableError as error:
            logger.warning("No hold could be written: %s", error.orig)

    def _store_and_take(
        self, call: Begun, content: bytes | None, failure: str, thread: JobThread | None
    ) -> NextJob | None:
        """Store an answer, and take the next job with the same commit. Return it, if there is one."""
        if thread is None or self.stopping.is_set():
            self._store(call, content, failure, thread)
            return None
        secret, asked = new_secret(), self.clock()
        try:
            with each_by_itself(self.database) as connection:
                slot = None if thread.is_free else pace_store.reserve_unlimited(connection, self.account, SOON)
                start = self.clock() + (slot.wait if slot else 0.0)
                latest = slot.start + slot.tolerance if slot else 0.0
                begins = replace(thread, secret=secret, latest=latest)
                taken = handed_calls.keep_and_take(connection, call, content, failure, begins)
                is_due = taken is not None and taken.begun is not None and start <= self.clock()
                seen = handed_calls.database_clock(connection) if is_due else None
        except DatabaseUnavailableError:
            self._store(call, content, failure, thread)
            self._give_back(secret)  # whether the next call was begun is not known, but nothing was sent
            return None
        return taken and replace(taken, asked=asked, start=start, seen=seen)

    def _store(self, call: Begun, content: bytes | None, failure: str = "", thread: JobThread | None = None) -> None:
        """Store an answer, and repeat until that succeeds: only this process knows it.

        A program that is ending gives up after AT_THE_END; then the call is in doubt, as after a kill.
        """
        give_up_at, job = math.inf, thread.job if thread else 0
        while time.monotonic() < give_up_at:
            try:
                with each_by_itself(self.database) as connection:
                    handed_calls.keep(connection, call, content, failure, job)
            except DatabaseUnavailableError as error:
                logger.error("The answer for chunk %d waits for the database: %s", call.chunk.chunk_id, error.orig)
                give_up_at = self._give_up_at(give_up_at)
                time.sleep(AGAIN)
            else:
                return

    def _give_up_at(self, before: float) -> float:
        """Return until when to try, in monotonic seconds: for AT_THE_END after the program was asked to end."""
        return min(before, time.monotonic() + AT_THE_END) if self.stopping.is_set() else math.inf

    def _give_back(self, secret: str) -> None:
        """Store that the call begun with this secret was not sent, if there is one; repeat until that succeeds."""
        give_up_at = math.inf
        while time.monotonic() < give_up_at:
            try:
                with each_by_itself(self.database) as connection:
                    call = handed_calls.begun_by(connection, secret)
            except DatabaseUnavailableError:
                give_up_at = self._give_up_at(give_up_at)
                time.sleep(AGAIN)
            else:
                if call is not None:
                    self._store(call, None, HELD_BACK)
                return


@dataclass(frozen=True, slots=True)
class CallJobs:
    """Makes the calls of all accounts in this process: the call of a job, then those of the jobs that wait.

    For the queue, ending a job and fetching the next one costs more than a call. So a thread takes the next job with
    the statement that stores an answer. The queue itself only starts threads, and polls while no job waits.
    """

    calls: Mapping[str, JobCalls]  #: by the name of the queue

    def make(self, queue: str, attempt_id: int, worker: int) -> None:
        """Make the call of a job that the queue has given to this worker, and all that follow.

        Raises DatabaseUnavailableError where nothing was sent for this job.
        """
        thread = JobThread(worker, tuple(self.calls))
        taken = self.calls[queue].make(attempt_id, thread)
        while taken is not None:
            taken = self._go_on(taken, replace(thread, job=taken.job, is_free=taken.is_free))

    def _go_on(self, taken: NextJob, thread: JobThread) -> NextJob | None:
        account = self.calls[taken.queue]
        if taken.begun is not None:
            time.sleep(max(0.0, taken.start - account.clock()))
            return account.send(taken.begun, taken.asked, None, thread, taken.seen)
        while not account.stopping.is_set():
            try:
                return account.make(taken.attempt_id, thread)
            except DatabaseUnavailableError:
                account.stopping.wait(AGAIN)
        return None


def pace_of(throttle: Throttle, now: float) -> CallPace:
    """Return what a throttle allows all machines; now is in seconds of its clock."""
    hold, seconds = max(0.0, throttle.hold_until - now), throttle.window + throttle.slack
    return CallPace(hold, round(throttle.spacing, 4), throttle.allowance, seconds, throttle.orders_wait)


def new_secret() -> str:
    """Return a word that names this process and one call."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class PaceTurns:
    """The turns of calls that place nothing, within the limit of all machines."""

    database: IMEIDatabase
    account: str
    throttle: Throttle  #: whose loop these reads are for: when it is closed, those that wait fail

    @property
    def is_closed(self) -> bool:
        """Whether reads that wait fail: their loop has ended."""
        return self.throttle.is_closed

    def before_read(self) -> None:
        """Wait until a call that places nothing may start, and count it. Raises NotSentError when it is closed."""
        while not self.throttle.is_closed:
            with at_once(self.database) as connection:
                first = pace_of(self.throttle, self.throttle.clock())
                slot = pace_store.reserve_read(connection, self.account, READ_SHARE, first)
            if slot is None:
                time.sleep(LOOK)
            elif self._has_come(slot):
                return
        raise NotSentError("This program is ending.")

    def _has_come(self, slot: Slot) -> bool:
        """Wait for a start. Returns False, and frees it, where the throttle is closed before."""
        start = time.monotonic() + slot.wait
        while (wait := start - time.monotonic()) > 0:
            if self.throttle.is_closed:
                with at_once(self.database) as connection:
                    pace_store.give_back(connection, self.account, slot)
                return False
            time.sleep(min(wait, LOOK))
        return True

    def read_limited(self, seconds: float) -> None:
        """Let all calls wait for these seconds, because a read was answered 429."""
        with at_once(self.database) as connection:
            pace_store.hold(connection, self.account, seconds)
