"""One call of a cluster, made by whichever machine gets its job: wait for a start, begin, POST, store the answer.

The job has the id of an attempt only. What decides is the guarded UPDATE that begins it (storage/handed_calls.py): a
job that is repeated, late or without its loop finds that it may not begin. Between this UPDATE and the POST only
moments may pass, by the clock of this machine and by that of the database: a process that was stopped there gives the
call back. The answer is stored before anybody judges it, however long the database is away.
"""

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import NotSentError, RateLimitedError
from logs import about
from orders import PlacementAnswer
from provider import sending_by
from storage import handed_calls, pace_store
from storage.handed_calls import Begun, at_once, each_by_itself
from storage.pace_store import Slot
from submission.placing import PlacingProvider, place
from submission.raw_failures import HELD_BACK, written_failure
from submission.throttle import LOOK, READ_SHARE, Throttle

logger = logging.getLogger(__name__)

#: Seconds between two looks whether a call that waits for its start may still be made, and between two tries to store.
ASIDE, AGAIN = 1.0, 0.5
#: Seconds for which a program that ends tries to store what it knows of a call.
AT_THE_END = 60.0
#: Seconds in which the first byte of a call is sent, or none: connecting may take as long.
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
    clock: Callable[[], float] = time.monotonic

    def make(self, attempt_id: int) -> None:
        """Make the call of an attempt, unless it was begun, withdrawn or settled. Raises DatabaseUnavailableError."""
        while not self.stopping.is_set():
            slot = self._awaited_slot()
            if slot is not None and self._made(attempt_id, slot):
                return
            with each_by_itself(self.database) as connection:
                if not handed_calls.is_open(connection, attempt_id):
                    return

    def _awaited_slot(self) -> Slot | None:
        """Reserve a start and wait for it; None where it is far away, and the call is looked at again first."""
        with each_by_itself(self.database) as connection:
            slot = pace_store.reserve_unlimited(connection, self.account)
        if slot is None:
            with at_once(self.database) as connection:
                slot = pace_store.reserve_order(connection, self.account)
        if slot is None:
            self.stopping.wait(ASIDE)
        elif slot.wait > 0 and (self.stopping.wait(min(slot.wait, ASIDE)) or slot.wait > ASIDE):
            self._free(slot)
            return None
        return slot

    def _free(self, slot: Slot) -> None:
        with at_once(self.database) as connection:
            pace_store.give_back(connection, self.account, slot)

    def _made(self, attempt_id: int, slot: Slot) -> bool:
        """Begin the call and make it. Returns False where it may not be begun, or its start has passed."""
        token, asked = f"{attempt_id} {secrets.token_hex(8)}", self.clock()
        try:
            with each_by_itself(self.database) as connection:
                begun = handed_calls.begin(connection, attempt_id, token, slot.start + slot.tolerance)
        except DatabaseUnavailableError:
            self._give_back(attempt_id, token)  # whether it was begun is not known, but nothing was sent
            raise
        if begun is None:
            self._free(slot)
            return False
        call = Begun(begun[0], token, self.account, begun[1])
        if self._is_late(call, asked, slot.tolerance):
            logger.warning("Chunk %d was begun too slowly; it is given back", call.chunk.chunk_id)
            self._store(call, None, HELD_BACK)
            self._free(slot)
        else:
            self._place(call)
        return True

    def _is_late(self, call: Begun, asked: float, tolerance: float) -> bool:
        """Whether this process or its machine was stopped since the call was begun."""
        try:
            with each_by_itself(self.database) as connection:
                passed = handed_calls.database_clock(connection) - call.began_at
        except DatabaseUnavailableError:
            return True
        return max(passed, self.clock() - asked) > tolerance

    def _place(self, call: Begun) -> None:
        with about(batch_id=call.chunk.batch_id, chunk_id=call.chunk.chunk_id):
            kept: list[bytes] = []
            with sending_by(time.monotonic() + SEND_WITHIN):
                content = place(self.client, call.chunk, self.install_id, kept.append)
            if isinstance(content, RateLimitedError) and not kept:
                self._hold()
            if kept:
                self._store(call, kept[0])
            elif not isinstance(content, PlacementAnswer):
                self._store(call, None, written_failure(content))

    def _hold(self) -> None:
        """Let no other call start until the loop has decided how long to wait."""
        try:
            with at_once(self.database) as connection:
                pace_store.hold(connection, self.account, FIRST_HOLD)
        except DatabaseUnavailableError as error:
            logger.warning("No hold could be written: %s", error.orig)

    def _store(self, call: Begun, content: bytes | None, failure: str = "") -> None:
        """Store an answer, as often as it takes: it is known to this process only.

        A program that ends gives up after a while; then the call is in doubt, as after a kill.
        """
        give_up_at = math.inf
        while time.monotonic() < give_up_at:
            try:
                with each_by_itself(self.database) as connection:
                    handed_calls.keep(connection, call, content, failure)
            except DatabaseUnavailableError as error:
                logger.error("The answer for chunk %d waits for the database: %s", call.chunk.chunk_id, error.orig)
                give_up_at = self._give_up_at(give_up_at)
                time.sleep(AGAIN)
            else:
                return

    def _give_up_at(self, before: float) -> float:
        """Return until when to try, in monotonic seconds: for AT_THE_END after the program was asked to end."""
        return min(before, time.monotonic() + AT_THE_END) if self.stopping.is_set() else math.inf

    def _give_back(self, attempt_id: int, token: str) -> None:
        """Store that a call was not sent, if this process has begun it, as often as it takes."""
        give_up_at = math.inf
        while time.monotonic() < give_up_at:
            try:
                with each_by_itself(self.database) as connection:
                    begun = handed_calls.begun_by(connection, attempt_id, token)
            except DatabaseUnavailableError:
                give_up_at = self._give_up_at(give_up_at)
                time.sleep(AGAIN)
            else:
                if begun is not None:
                    self._store(Begun(begun[0], token, self.account, begun[1]), None, HELD_BACK)
                return


@dataclass(frozen=True, slots=True)
class PaceTurns:
    """The turns of calls that place nothing, within the limit of all machines."""

    database: IMEIDatabase
    account: str
    throttle: Throttle  #: whose loop these reads are for: when it is closed, those that wait fail

    def before_read(self) -> None:
        """Wait until a call that places nothing may start, and count it. Raises NotSentError when it is closed."""
        while not self.throttle.is_closed:
            with at_once(self.database) as connection:
                slot = pace_store.reserve_read(connection, self.account, READ_SHARE)
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
        """A read was answered 429 and will be repeated after these seconds: all calls wait as long."""
        with at_once(self.database) as connection:
            pace_store.hold(connection, self.account, seconds)
