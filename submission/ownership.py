"""Whether this process may send, and which batches: the lease, the account, and work of an earlier process.

A copy of this database may have sent what it plans. So work that another process may have begun is not sent before the
provider's list was read, and is paused where the list or the balance shows that another program has ordered it.
"""

import logging
import os
import socket
from collections.abc import Sequence

from amounts import money
from database import IMEIDatabase, Transaction
from orders import Chunk
from storage import account_mark, balance_store, batch_states, history_mark, lease, move_marks
from storage.account_mark import AccountMark
from storage.balance_store import Reading
from submission.account_guard import OtherAccountError, check_account
from submission.charges import unexplained_fall
from submission.listing import Look, is_readable

logger = logging.getLogger(__name__)

#: Seconds since a batch was made in which no other process can have ordered it.
JUST_NOW = 10.0
#: Looks at the provider's list that must fail before work of an earlier process goes on without one.
LOOKS_WITHOUT_ANSWER = 3
#: Why a process sends nothing more whose database gives the ids of its calls once more.
GIVEN_AGAIN = "An older database was put in the place of this one while the program ran."
MOVED = (
    "This database was moved or copied, and the provider does not list its orders: make sure that no other copy of it"
    " is at work, then resume the batch."
)
PAID_ELSEWHERE = (
    "{} more left the account than the orders of this database cost: another program or a copy of it may have ordered"
    " what is planned here. Make sure that it has not before you resume the batch."
)


class OtherHistoryError(lease.LeaseLostError):
    """The server may have lost commits: the next leader looks (lost_commits.py), and recovers before it goes on."""


class Ownership:
    """The right of this process to send, from taking the lease to losing it."""

    def __init__(self, database: IMEIDatabase, mark: AccountMark | None, account: str) -> None:
        self.was_overtaken = False  #: another process has taken the lease since this one took it
        self.must_look = False  #: a batch of an earlier process waits for a look at the provider's list
        self._database = database
        self._mark = mark
        self._account = account
        #: What must hold in the transaction of an intent: lease, right account, and that the data was not moved.
        self._may_send = lease.held(account).add_columns(account_mark.stored(account), move_marks.STORED)
        if not database.is_file:
            self._may_send = self._may_send.add_columns(history_mark.STORED)
        self._lease: lease.Lease | None = None
        self._older = frozenset[int]()  #: batches of an earlier process
        self._refused: dict[int, int] = {}  #: batches that must look_again() → the attempt that was refused
        self._looked = frozenset[int]()  #: batches for which the look was taken
        self._balance_before: Reading | None = None  #: the newest one that an earlier process has read
        self._failed_looks = 0
        self._newest_attempt = 0  #: the largest id of a call that was begun with this lease

    @property
    def has_lease(self) -> bool:
        """Whether this process may send."""
        return self._lease is not None

    @property
    def _is_moved(self) -> bool:
        return self._lease is not None and self._lease.moved

    def take(self, connection: Transaction) -> None:
        """Take the lease, also from another process."""
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        self.was_overtaken, self._newest_attempt = False, 0
        self._lease = lease.take(connection, holder, self._database.engines.place, self._account)
        self._balance_before = balance_store.newest_reading(connection, self._account)

    def find_older(self, connection: Transaction) -> None:
        """Note the batches that another process may have sent."""
        self._older = frozenset(batch_states.older_batches(connection, JUST_NOW))

    def check(self, connection: Transaction) -> None:
        """Raise LeaseLostError unless this process may record intents."""
        if self._lease is None:
            raise lease.LeaseLostError("This process has no lease.")
        row = connection.execute(self._may_send).first()
        lease.check(row, self._lease)
        if row and row.moved_away:
            raise lease.LeaseLostError(row.moved_away)
        if row and not self._database.is_file and row.is_other_history:
            raise OtherHistoryError("The database server has another history: it may have lost commits.")
        try:
            check_account(row.account_mark if row else None, self._mark)
        except OtherAccountError as error:
            raise lease.LeaseLostError(str(error)) from error

    def check_new(self, claimed: Sequence[Chunk]) -> None:
        """Raise LeaseLostError where calls have ids that earlier calls had: an older copy was written over the file.

        Such a copy would send again what was sent since.
        """
        if any(chunk.attempt_id <= self._newest_attempt for chunk in claimed):
            raise lease.LeaseLostError(GIVEN_AGAIN)

    def sent(self, claimed: Sequence[Chunk]) -> None:
        """Note calls whose intents are on disk."""
        self._newest_attempt = max(self._newest_attempt, *(chunk.attempt_id for chunk in claimed))

    def lose(self, error: lease.LeaseLostError) -> None:
        """Give up the right to send: this process only records the answers to the calls that it has sent."""
        if self._lease is None:
            return
        logger.error("This process sends nothing more: %s", error)
        self._lease, self.was_overtaken = None, not isinstance(error, OtherHistoryError)

    def look_again(self, chunk: Chunk) -> None:
        """Let a batch wait for another look: the provider has turned this call of it away and may have placed it."""
        self._refused.setdefault(chunk.batch_id, chunk.attempt_id)
        self._looked -= {chunk.batch_id}

    def sendable(self, connection: Transaction) -> list[batch_states.RunningBatch]:
        """Return the running batches, without those that wait for a look at the list."""
        running = batch_states.running_batches(connection)
        held = self._held({batch.batch_id for batch in running}) - self._looked
        self.must_look = bool(held)
        return [batch for batch in running if batch.batch_id not in held]

    def note_look(self, connection: Transaction, look: Look) -> None:
        """Let the batches go on that waited for this look, or pause them.

        Where more left the account than we know of since an earlier process read its balance, a copy of this database
        may have ordered what is planned, and the list may not show it. So may a call that was refused, since the
        balance before it.
        """
        if not self.must_look:
            return
        is_list = is_readable(look)
        self._failed_looks = 0 if is_list else self._failed_looks + 1
        if not is_list and self._failed_looks < LOOKS_WITHOUT_ANSWER:
            return
        self.must_look = False
        running = {batch.batch_id for batch in batch_states.running_batches(connection)}
        waiting = self._held(running) - self._looked
        refused = waiting & self._refused.keys()
        if waiting - refused:
            self._pause_paid(connection, self._held(running), self._balance_before, look)
        for batch_id in refused:
            before = balance_store.reading_before(connection, self._refused[batch_id], self._account)
            self._pause_paid(connection, {batch_id}, before, look)
        self._looked |= running
        self._refused = {batch_id: attempt for batch_id, attempt in self._refused.items() if batch_id not in running}
        if not is_list and self._is_moved:
            batch_states.pause_all(connection, MOVED)

    def _pause_paid(self, connection: Transaction, held: set[int], before: Reading | None, look: Look) -> None:
        """Pause these batches where more left the account since a reading than we know of."""
        beyond = unexplained_fall(connection, before, look.credits, self._account)
        for batch_id in held if beyond else ():
            batch_states.pause(connection, batch_id, PAID_ELSEWHERE.format(money(beyond)))

    def _held(self, running: set[int]) -> set[int]:
        """Return those of the running batches that another process, or a refused call, may have sent."""
        return running if self._is_moved else running & (self._older | self._refused.keys())
