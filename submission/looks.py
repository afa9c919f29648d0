"""When to ask the provider for its list of orders, alone or beside other calls, and how.

A look alone is one that nothing else is on the wire beside: only it can prove that a call placed nothing. The list is
asked for in a worker thread; submission/settlement.py decides what it shows.
"""

import logging
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

from database import IMEIDatabase
from gsm_fusion_client import GSMFusionAPIError
from orders import IMEIOrder
from storage import call_queries
from submission.account_watch import AccountWatch
from submission.confirmation import confirm
from submission.decisions import REQUESTED
from submission.listing import Look
from submission.settlement import Settler
from submission.throttle import Throttle
from submission.unknown_orders import to_confirm

logger = logging.getLogger(__name__)

#: Seconds that calls on the wire get to end for a look alone, or twice their usual time.
DRAIN_PATIENCE = 30.0
UNFORESEEN = "An error of the program; the log has the details."


class ListProvider(Protocol):
    """What this module needs of gsm_fusion_client.GSMFusionClient."""

    def list_recent_orders(self) -> list[IMEIOrder]: ...

    def get_imei_orders(self, order_ids: str | Sequence[str], nothing_else: bool = False) -> list[IMEIOrder]: ...


class ListReader:
    """Asks the provider for its list of recent orders, in a worker thread."""

    def __init__(
        self, database: IMEIDatabase, client: ListProvider, account: AccountWatch, clock: Callable[[], float]
    ) -> None:
        """clock returns seconds that never go back."""
        self._database = database
        self._client = client
        self._account = account
        self._clock = clock

    def read(self, last_order: int, alone: bool, must_look: bool) -> Look:
        """Ask for the list, for those of its orders by id that may be ours, and alone for balance and prices after it.

        Without a list the balance is asked for only if work of an earlier process waits (must_look).
        """
        asked_at = self._clock()
        listed, answered, failure = list[IMEIOrder](), False, ""
        try:
            listed, answered = self._client.list_recent_orders(), True
        except GSMFusionAPIError as error:
            failure = str(error)
            logger.warning("The provider does not list its orders: %s", error)
        except Exception:  # a thread ends here
            failure = UNFORESEEN
            logger.exception("Listing the provider's orders failed in an unforeseen way")
        confirmed = self._confirm(listed)
        held = self._account.balance() if alone and (answered or must_look) else None
        prices = self._account.prices() if answered and held else None
        return Look(
            listed=tuple(listed),
            asked_at=asked_at,
            last_order=last_order,
            answered=answered,
            alone=alone,
            credits=held.credits if held else None,
            confirmed=confirmed,
            seconds=self._clock() - asked_at,
            failure=failure,
            last_rejection=held.last_rejection if held else 0,
            has_cents=held is None or held.has_cents,
            prices=prices,
        ).prepare()

    def failed(self, last_order: int, alone: bool) -> Look:
        """Return a look that was broken off by an error of the program."""
        return Look((), self._clock(), last_order, answered=False, alone=alone, failure=UNFORESEEN)

    def _confirm(self, listed: Sequence[IMEIOrder]) -> dict[str, IMEIOrder]:
        """Ask by id for the listed orders that may be ours."""
        try:
            with self._database.read() as connection:
                wanted = to_confirm(connection, listed, self._account.name)
            return confirm(lambda ids: self._client.get_imei_orders(ids, nothing_else=True), listed, wanted)
        except Exception:  # a thread ends here; nothing is confirmed
            logger.exception("Asking for listed orders by their ids failed in an unforeseen way")
            return {}


class Lookout:
    """Plans the looks at the provider's list. Not thread-safe: the loop's own."""

    def __init__(
        self,
        database: IMEIDatabase,
        reader: ListReader,
        settler: Settler,
        account: AccountWatch,
        throttle: Throttle,
        wake: Callable[[], None],
    ) -> None:
        """wake is called from a worker thread when a look has come."""
        self.is_alone = False  #: nothing is sent until a look at the list was taken alone
        self._database = database
        self._reader = reader
        self._settler = settler
        self._account = account
        self._throttle = throttle
        self._wake = wake
        self._looks: queue.SimpleQueue[Look] = queue.SimpleQueue()
        self._is_looking = False
        self._alone_since = 0.0
        self._must_look = False
        self._request: str | None = None  #: the newest request of a person that was noticed

    def start(self) -> None:
        """Drop a look of an earlier run: another process may have sent calls since."""
        self.is_alone = self._is_looking = False
        self._looks = queue.SimpleQueue()

    def notice_request(self, now: float) -> None:
        """Look soon where a person has asked for it since the last time."""
        request = self._database.get_setting(REQUESTED)
        if request != self._request:
            self._request = request
            self._settler.look_soon(now)

    def turn(
        self, pool: Executor, now: float, is_idle: bool, may_send: bool, has_space: bool, must_look: bool
    ) -> Look | None:
        """Ask for the list when it is due, and return a look that has come. looked() follows when it is applied.

        is_idle: no call is on the wire. may_send: what a look allows may be sent. must_look: work of an earlier process
        waits for a look.
        """
        if must_look and not self._must_look:  # the pauses between looks are for doubt, and orders wait for this one
            self._settler.look_soon(now)
        self._must_look = must_look
        if not may_send:
            self.is_alone = self.is_alone and self._is_looking  # it may end again before the look has come
        elif self.is_alone:
            self.is_alone = self._stays_alone(now, is_idle)
        else:
            self.is_alone = self._may_begin_alone(now, has_space)
        if not self._is_looking and self._is_due(now, is_idle):
            self._is_looking = True
            with self._database.read() as connection:
                last_order = call_queries.newest_order(connection)
            pool.submit(self._look, last_order, self.is_alone and is_idle)
        try:
            look = self._looks.get_nowait()
        except queue.Empty:
            return None
        self._is_looking = False
        return look

    def looked(self, look: Look, now: float) -> None:
        """Plan the next look after this one was applied."""
        if look.alone:
            self.is_alone = False
        self._settler.looked(now, look.seconds)

    def _may_begin_alone(self, now: float, has_space: bool) -> bool:
        """Whether a look taken alone could settle something, and the call that it may lead to could be sent."""
        self._alone_since = now
        if self._must_look:  # with the balance, which shows what a list may hide
            return self._settler.may_look(now)
        return has_space and self._settler.wants_turn(now) and self._throttle.permits(now, 0) > 0

    def _stays_alone(self, now: float, is_idle: bool) -> bool:
        """Whether the calls on the wire get more time to end."""
        patience = max(DRAIN_PATIENCE, 2 * self._throttle.usual if self._throttle.times else 0.0)
        if is_idle or now - self._alone_since < patience:
            return True
        self._settler.postpone_turns(now)
        return False

    def _is_due(self, now: float, is_idle: bool) -> bool:
        """Whether to ask for the list: alone only when no call is on the wire any more."""
        if self.is_alone:
            return is_idle and not self._account.is_reading
        return self._settler.is_due(now) or (self._must_look and self._settler.may_look(now))

    def _look(self, last_order: int, alone: bool) -> None:
        """Read the list, in a worker thread. A look comes of it in any case: while one is awaited no other is taken."""
        try:
            look = self._reader.read(last_order, alone, self._must_look)
        except Exception:  # a thread ends here
            logger.exception("A look at the provider's list failed in an unforeseen way")
            look = self._reader.failed(last_order, alone)
        self._looks.put(look)
        self._wake()
