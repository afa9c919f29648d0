"""What pages and commands ask of the leader, the one process that calls the provider.

A request is a row: it is left, polled for some seconds, and its answer read from the database. A page never waits long:
an old answer with its age is better than none. This module makes no call, and knows no HTTP and no Flask.
"""

import logging
import threading
import time
from collections.abc import Callable

from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
    UnreadableAnswerError,
)
from orders import IMEIOrder, RequestKind, RequestState
from storage import request_store
from storage.request_store import Request
from submission import RequestLimitError

logger = logging.getLogger(__name__)

#: Seconds between two looks at a request: short at first, then twice as long each time.
FIRST_LOOK, LONGEST_LOOK = 0.005, 0.1
#: Seconds after which a request that no leader has taken is not waited for any more.
NO_LEADER_AFTER = 10.0
#: Seconds after which a request that waits shows that there is no leader.
TAKEN_WITHIN = 0.5
#: Seconds without another request after a failed one.
PAUSE_AFTER_FAILURE = 30.0
#: Seconds for which the provider's list of orders, read for a person, or its failure, is not asked for again.
LIST_KEPT = 30.0
#: Seconds that a page waits for the provider's list of orders, and for one order of it.
LIST_PATIENCE, ORDER_PATIENCE = 30.0, 10.0

NO_LEADER = "No process of this program calls the provider at the moment; try again in a minute."
NO_ANSWER = "The provider has not answered yet; try again in a minute."

#: The errors that are raised again as they were, by their names; any other is a GSMFusionAPIError.
ERRORS: tuple[type[GSMFusionAPIError], ...] = (
    NotSentError,
    MaintenanceError,
    RateLimitedError,
    RequestLimitError,
    OutcomeUnknownError,
    UnreadableAnswerError,
)
REFUSED = "RefusedError "  #: followed by the kind of the refusal


class ProviderRequests:
    """Leaves requests to the leader and waits for them; for any number of threads."""

    def __init__(
        self,
        database: IMEIDatabase,
        clock: Callable[[], float] = time.time,
        stopping: threading.Event | None = None,
    ) -> None:
        """clock returns Unix time; once stopping is set, nobody waits any more."""
        self.database = database
        self.clock = clock
        self._stopping = stopping or threading.Event()

    def ask(
        self,
        kind: RequestKind,
        account: str,
        argument: str = "",
        patience: float = NO_LEADER_AFTER,
    ) -> Request:
        """Leave a request to an account, or join an identical one.

        Return it when it is finished or patience (seconds) ends.
        """
        request_id = request_store.leave(self.database, kind, argument, self.clock(), account)
        deadline, look = time.monotonic() + patience, FIRST_LOOK
        while True:
            request = self._look(request_id)
            left = deadline - time.monotonic()
            if not request.state.is_open or left <= 0 or self._is_left_alone(request):
                return request
            if self._stopping.wait(min(look, left)):
                return request
            look = min(2 * look, LONGEST_LOOK)

    def refresh(self, kind: RequestKind, patience: float, account: str) -> None:
        """Ask and wait at most patience seconds, unless the newest request of this kind failed just now."""
        newest = request_store.newest_finished(self.database, kind, account=account)
        failed = newest is not None and newest.state is RequestState.FAILED and not was_limited(newest)
        if newest is not None and failed and is_young(newest.answered_at, self.clock(), PAUSE_AFTER_FAILURE):
            return
        try:
            self.ask(kind, account, patience=patience)
        except DatabaseUnavailableError as error:  # a full disk: the page shows what is stored
            logger.warning("No request could be left: %s", error.orig)

    def failure(self, kind: RequestKind) -> str:
        """Return why there is no new answer to requests of this kind, or ""."""
        waiting = request_store.waiting(self.database, kind)
        if waiting is not None and self.clock() - waiting.asked_at > TAKEN_WITHIN:
            return NO_LEADER
        newest = request_store.newest_finished(self.database, kind)
        return "" if newest is None or was_limited(newest) else newest.error

    def recent_orders(self, account: str) -> list[IMEIOrder]:
        """Return an account's list of orders without result texts, read at most every LIST_KEPT seconds.

        Raises GSMFusionAPIError as the last request did.
        """
        newest = request_store.newest_finished(self.database, RequestKind.RECENT_ORDERS, account=account)
        if newest is None or was_limited(newest) or not is_young(newest.answered_at, self.clock(), LIST_KEPT):
            newest = self.ask(RequestKind.RECENT_ORDERS, account, patience=LIST_PATIENCE)
        require_answer(newest)
        return request_store.newest_orders(self.database, RequestKind.RECENT_ORDERS, "", account)

    def find_order(self, order_id: str, account: str) -> list[IMEIOrder]:
        """Return one order of an account, or nothing where the provider leaves it out. Raises GSMFusionAPIError."""
        require_answer(self.ask(RequestKind.ORDER, account, order_id, ORDER_PATIENCE))
        return request_store.newest_orders(self.database, RequestKind.ORDER, order_id, account)

    def _look(self, request_id: int) -> Request:
        """Return the request as it is now."""
        request = request_store.get(self.database, request_id)
        if request is None:
            raise NotSentError(NO_ANSWER)
        return request

    def _is_left_alone(self, request: Request) -> bool:
        """Return whether there has been no leader for long."""
        return request.state is RequestState.WAITING and self.clock() - request.asked_at > NO_LEADER_AFTER


def require_answer(request: Request) -> None:
    """Raise GSMFusionAPIError, as it was in the leader, unless the request was answered."""
    if request.state.is_open:
        raise NotSentError(NO_LEADER if request.state is RequestState.WAITING else NO_ANSWER)
    if request.state is RequestState.FAILED:
        raise _error(request)


def failure_of(error: GSMFusionAPIError) -> str:
    """Return the kind of an error, by which it is raised again in another process."""
    return f"{REFUSED}{error.kind}" if isinstance(error, RefusedError) else type(error).__name__


def was_limited(request: Request) -> bool:
    """Return whether the leader did not ask because its calls for pages were used up: no failure of the provider."""
    return request.failure == RequestLimitError.__name__


def is_young(at: float, now: float, seconds: float) -> bool:
    """Return whether at (Unix time) was less than these seconds ago. A time ahead was written by a wrong clock."""
    return 0 <= now - at < seconds


def _error(request: Request) -> GSMFusionAPIError:
    if request.failure.startswith(REFUSED):
        words = request.error.removeprefix("The provider refused: ")
        return RefusedError(RefusalKind(request.failure.removeprefix(REFUSED)), words)
    kinds = {kind.__name__: kind for kind in ERRORS}
    return kinds.get(request.failure, GSMFusionAPIError)(request.error)
