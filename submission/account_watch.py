"""The account between the calls: its balance while the provider works on no call, and prices that rise.

The loop of production_submission_system.py calls turn and write; worker threads ask the provider. A balance counts as
evidence only if no call was sent while it was read, neither by this process nor by one that has taken the lease since.
This module sends no order.
"""

import logging
import queue
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

import submission.price_check as price_check
from database import DatabaseUnavailableError, IMEIDatabase, Transaction
from gsm_fusion_client import GSMFusionAPIError
from orders import Account, ServiceInfo
from settings import MAIN_ACCOUNT
from storage import balance_store, batch_states, call_queries, lease, refunds
from storage.balance_store import Holding

logger = logging.getLogger(__name__)

#: Seconds that calls wait for a balance before the first of them is sent.
PATIENCE = 5.0
#: Seconds after which a balance is read again before calls are sent.
MAX_AGE = 300.0
#: Seconds until a balance is asked for again after a failed try; twice as long after each further one, up to MAX_AGE.
PAUSE, DOUBLINGS = 10.0, 5


class AccountProvider(Protocol):
    """What this module needs of gsm_fusion_client.GSMFusionClient."""

    def get_account(self) -> Account: ...

    def get_imei_services(self) -> list[ServiceInfo]: ...


class AccountWatch:
    """The newest balance around bursts of calls, and prices while batches run. Not thread-safe."""

    def __init__(
        self,
        database: IMEIDatabase,
        client: AccountProvider,
        clock: Callable[[], float],
        wake: Callable[[], None],
        name: str,
        check: Callable[[Transaction], None],
    ) -> None:
        """clock returns seconds that never go back; wake is called from a worker thread when a balance has come.

        check raises LeaseLostError in a transaction where another process has taken the lease.
        """
        self.name = name
        self.failures = 0  #: balances in a row that could not be read
        self._database = database
        self._client = client
        self._clock = clock
        self._wake = wake
        self._check = check
        self._burst = 0  #: counts the times that calls were sent
        self._reading: int | None = None  #: _burst when a balance began to be read; None: not reading
        self._reading_until = 0.0
        self._read_at: float | None = None  #: when the balance was last read; None: calls were sent since
        self._unwritten: Holding | None = None  #: a balance that is written with the next commit
        self._again_at = 0.0
        self._readings: queue.SimpleQueue[tuple[int, Holding | None]] = queue.SimpleQueue()
        self._asks_prices = False
        self._priced_at: float | None = None
        self._knows_prices = name == MAIN_ACCOUNT  #: a batch is confirmed at the prices of the main account
        self._prices: queue.SimpleQueue[list[ServiceInfo] | None] = queue.SimpleQueue()

    @property
    def is_reading(self) -> bool:
        """Whether a balance is being read."""
        return self._reading is not None

    def start(self) -> None:
        """Drop a balance that an earlier run has read: another process may have sent calls since."""
        self.sent()
        self._unwritten = None

    def holds(self) -> bool:
        """Return whether calls must wait for the balance before them, or for the first prices of this account."""
        return not self._knows_prices or (self._reading is not None and self._clock() < self._reading_until)

    def sent(self) -> None:
        """Note that calls are sent: a balance that is being read now is not the one from before them."""
        self._burst += 1
        self._read_at = None

    def read_again(self) -> None:
        """Read the balance as soon as the provider works on no call: somebody may have topped it up."""
        self._read_at = None

    def turn(self, pool: Executor, idle: bool) -> None:
        """Take the answers that have come, and ask for what is due. idle: the provider works on no call."""
        now = self._clock()
        self._take_balance(now, idle)
        self._take_prices()
        if idle and self._reading is None and now >= self._again_at and self._is_balance_due(now):
            self._reading, self._reading_until = self._burst, now + PATIENCE
            pool.submit(self._ask_balance, self._burst)
        if not self._asks_prices and self._are_prices_due(now):
            self._asks_prices, self._priced_at = True, now
            pool.submit(self._ask_prices)

    def write(self, connection: Transaction) -> None:
        """Write the balance that the last turn took, in the transaction that records the intents of the next calls.

        Raises LeaseLostError where it is no evidence: another process may have sent calls since it was read.
        """
        held, self._unwritten = self._unwritten, None
        if held is None:
            return
        self._check(connection)
        previous = balance_store.newest_reading(connection, self.name)
        reading = balance_store.record_reading(connection, held.credits, self.name, held.last_rejection)
        refunds.learn_between(connection, previous, reading)

    def balance(self) -> Holding | None:
        """Return what the account holds; None where that cannot be read. For a worker thread."""
        try:
            with self._database.read() as connection:
                last_rejection = balance_store.newest_rejection(connection)
            held = self._client.get_account()
            return None if held.credits is None else Holding(held.credits, last_rejection, held.has_cents)
        except GSMFusionAPIError as error:
            logger.warning("The account's balance is not known: %s", error)
        except Exception:  # a thread ends here
            logger.exception("Reading the balance failed in an unforeseen way")
        return None

    def prices(self) -> dict[str, float] | None:
        """Return service id → US dollars as the account lists it now; None where not known. For a worker thread.

        The loop stores these prices with its next turn.
        """
        listed = self._listed()
        self._prices.put(listed)
        return {service.package_id: service.price for service in listed} if listed else None

    def _is_balance_due(self, now: float) -> bool:
        """Return whether to read the balance: after calls, and before others when the last balance is old."""
        return self._read_at is None or (now - self._read_at >= MAX_AGE and self._has_work())

    def _are_prices_due(self, now: float) -> bool:
        if self._priced_at is None and self._knows_prices:
            self._priced_at = now  # they were asked for when the batch was confirmed
        return price_check.due(self._priced_at, now) and self._has_work()

    def _has_work(self) -> bool:
        with self._database.read() as connection:
            return bool(batch_states.running_batches(connection) or call_queries.doubtful_calls(connection, self.name))

    def _ask_balance(self, burst: int) -> None:
        self._readings.put((burst, self.balance()))
        self._wake()

    def _take_balance(self, now: float, idle: bool) -> None:
        """Take a balance that came. If calls were sent while it was read, it is no evidence and is asked for again."""
        try:
            burst, held = self._readings.get_nowait()
        except queue.Empty:
            return
        self._reading = None
        if held is None:
            self._again_at = now + min(PAUSE * 2 ** min(self.failures, DOUBLINGS), MAX_AGE)
            self.failures += 1
            return
        self.failures = 0
        if idle and burst == self._burst:
            self._read_at, self._unwritten = now, held

    def _ask_prices(self) -> None:
        self._prices.put(self._listed())

    def _listed(self) -> list[ServiceInfo] | None:
        try:
            return self._client.get_imei_services()
        except GSMFusionAPIError as error:
            logger.warning("The prices are not known: %s", error)
        except Exception:  # a thread ends here
            logger.exception("Asking for prices failed in an unforeseen way")
        return None

    def _take_prices(self) -> None:
        """Store prices that came: those of the main account pause the batches whose price rose.

        A process that was overtaken drops those of its account: another one may have read newer prices.
        """
        try:
            listed = self._prices.get_nowait()
        except queue.Empty:
            return
        self._asks_prices = False
        if not listed:
            return
        try:
            if self.name == MAIN_ACCOUNT:
                self._database.store_services(listed, time.time())
            with self._database.write() as connection:
                self._check(connection)
                if self.name == MAIN_ACCOUNT:
                    price_check.apply_prices(connection, listed)
                else:
                    price_check.note_prices(connection, self.name, listed)
            self._knows_prices = True
        except DatabaseUnavailableError as error:
            logger.error("Prices could not be written now: %s", error.orig)
        except lease.LeaseLostError as error:  # the loop finds it, too
            logger.warning("Prices were dropped: %s", error)
