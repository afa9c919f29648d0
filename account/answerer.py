"""The leader's side of requests: take one, ask the provider outside any transaction, store the answer.

Each request is one call, made in a thread of its own, so that a slow list of orders delays no price. A request that is
being asked when the process ends is left to the next leader.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn

from account.call_counting import counted
from account.requests import LIST_PATIENCE, failure_of
from account.state import state_of, write_state
from database import Changes, DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionAPIError, GSMFusionClient, NotSentError
from orders import Account, IMEIOrder, RequestKind, ServiceInfo
from settings import Access
from storage import account_mark, request_store
from storage.request_store import Request
from submission import MINUTE, SLACK, RequestLimitError, RequestTurns, Throttle

logger = logging.getLogger(__name__)

#: Seconds between two looks for requests, and between two looks for those that nobody asks any more.
LOOK, TIDY = 0.1, 60.0
#: Requests that are asked at once, at most.
MOST_AT_ONCE = 6
#: Seconds that the thread which takes requests gets to end.
PATIENCE = 5.0
#: The name in the settings table of the newest balance.
ACCOUNT = "account"
#: The provider's action for each kind.
ACTIONS = MappingProxyType(
    {
        RequestKind.SERVICES: "imeiservices",
        RequestKind.ACCOUNT: "accountinfo",
        RequestKind.RECENT_ORDERS: "getimeis",
        RequestKind.ORDER: "getimeis",
    }
)
PROGRAM_ERROR = "The provider could not be asked; the log says why."


def _cannot_be_asked(*_: str) -> NoReturn:
    raise NotSentError("This process cannot ask that.")


@dataclass(frozen=True, slots=True)
class Questions:
    """How to ask the provider, by one call each. Every function raises GSMFusionAPIError."""

    services: Callable[[], list[ServiceInfo]] = _cannot_be_asked
    account: Callable[[], Account] = _cannot_be_asked
    recent_orders: Callable[[], list[IMEIOrder]] = _cannot_be_asked
    order: Callable[[str], list[IMEIOrder]] = _cannot_be_asked


#: For an account that this process cannot call with.
UNKNOWN = Questions()


class Answerer:
    """Answers the requests that wait."""

    def __init__(
        self,
        database: IMEIDatabase,
        questions: Mapping[str, Questions],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """questions are for each account, by its name."""
        self._database = database
        self._questions = questions
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[int, threading.Thread] = {}  #: by the ids of the requests that are asked now
        self._ended = threading.Event()  #: what is asked now is left to the next leader
        self._storing = threading.Lock()  #: held while the orders of an answer are stored

    def run(self, stop: threading.Event) -> None:
        """Answer requests until stop is set, first those that a leader before this one left behind."""
        tidy_at, changes = 0.0, Changes(self._database)
        while not stop.wait(LOOK):
            try:
                if time.monotonic() >= tidy_at:
                    self._tidy()
                    tidy_at = time.monotonic() + TIDY
                if self._asked:  # one that waits may be taken when one of them ends
                    self.take_waiting()
                else:
                    changes.look(self.take_waiting)
            except DatabaseUnavailableError as error:
                logger.warning("Requests wait: %s", error.orig)
            except Exception:  # a thread ends here; the next look tries again
                logger.exception("Taking requests failed")

    def end(self) -> None:
        """Store no more answers, once one that is being stored is complete: the next leader asks and stores again."""
        self._ended.set()
        with self._storing:
            pass

    def take_waiting(self) -> None:
        """Begin to answer what waits, each request in a thread of its own."""
        with self._lock:
            self._asked = {number: thread for number, thread in self._asked.items() if thread.is_alive()}
            while len(self._asked) < MOST_AT_ONCE and (request := request_store.take(self._database, ACTIONS)):
                name = f"ask-{request.kind}"
                thread = threading.Thread(target=self._answer, args=(request,), name=name, daemon=True)
                thread.start()
                self._asked[request.request_id] = thread

    def _tidy(self) -> None:
        """Let requests wait again that nobody asks any more, and delete old ones."""
        alive = [number for number, thread in self._asked.items() if thread.is_alive()]
        request_store.reopen(self._database, ACTIONS, alive)
        with self._database.write() as connection:
            request_store.forget(connection, self._clock())

    def _answer(self, request: Request) -> None:
        """Ask, store and finish one request. Where the database cannot be written, it waits again after a while."""
        started, error, listed = self._clock(), None, None
        try:
            try:
                listed = self._ask(request)
            except GSMFusionAPIError as failure:
                logger.warning("A request (%s) was not answered: %s", request.kind, failure)
                error = failure
            if not isinstance(error, RequestLimitError):
                now = self._clock()
                action, seconds = ACTIONS[request.kind], now - started
                state, counts = state_of(action, seconds, error, now), counted(action, seconds, error)
                write_state(self._database, state, counts, request.account)
            self._finish(request, error, listed)
        except DatabaseUnavailableError as unavailable:
            logger.error("An answer could not be stored: %s", unavailable.orig)
        except Exception:  # a thread ends here
            logger.exception("Asking the provider failed")
            self._finish(request, GSMFusionAPIError(PROGRAM_ERROR), None)

    def _ask(self, request: Request) -> list[IMEIOrder] | None:
        """Ask the provider, and store what has a table of its own. Returns the orders that the answer lists."""
        questions = self._questions.get(request.account, UNKNOWN)
        if request.kind is RequestKind.RECENT_ORDERS:
            return questions.recent_orders()
        if request.kind is RequestKind.ORDER:
            return questions.order(request.argument)
        if request.kind is RequestKind.SERVICES:
            services = questions.services()
            if not services:
                raise GSMFusionAPIError("The provider listed no services.")
            self._database.store_services(services, self._clock())
        else:
            account = questions.account()
            known = {"credits": account.credits, "text": account.text, "at": self._clock()}
            self._database.set_setting(account_mark.setting_of(ACCOUNT, request.account), json.dumps(known))
        return None

    def _finish(self, request: Request, error: GSMFusionAPIError | None, listed: Sequence[IMEIOrder] | None) -> None:
        """Mark a request as answered or failed, unless end() was called; the orders of its answer are stored before."""
        words = "" if error is None else str(error) or PROGRAM_ERROR
        failure = "" if error is None else failure_of(error)
        with nullcontext() if listed is None else self._storing:
            if self._ended.is_set():
                return
            if listed is not None:
                request_store.store_orders(self._database, request, listed)
            with self._database.write() as connection:
                finished = request_store.finish(connection, request.request_id, self._clock(), words, failure)
                if finished and listed is not None:
                    request_store.drop_older_orders(connection, request)


def request_ages(database: IMEIDatabase, account: str) -> list[float]:
    """Return how many seconds ago the calls of the last minute were made that pages and commands asked for."""
    not_sent = RequestLimitError.__name__
    return request_store.call_ages(database, ACTIONS, not_sent, time.time(), MINUTE + SLACK, account)


@contextmanager
def answering_requests(database: IMEIDatabase, callers: Sequence[tuple[Access, Throttle]]) -> Iterator[None]:
    """Answer the requests of pages and commands as long as this is held.

    callers: the accounts, each with the throttle within whose limit its calls are made.
    """
    with ExitStack() as clients:
        asked = {access.name: _questions(clients, database, access, throttle) for access, throttle in callers}
        with answering(database, asked):
            yield


def _questions(clients: ExitStack, database: IMEIDatabase, access: Access, throttle: Throttle) -> Questions:
    """Return the questions to one account, by a client that is closed with the others."""
    throttle.requested_before(request_ages(database, access.name))
    options = ClientOptions(access.base_url, MOST_AT_ONCE, turns=RequestTurns(throttle))
    timeout = min(LIST_PATIENCE, access.call_timeout)  # a page waits for it: one call for each request
    client = clients.enter_context(GSMFusionClient(access.api_key, access.username, timeout, 0, options))
    services, account = client.get_imei_services, client.get_account
    return Questions(services, account, client.list_recent_orders, client.get_imei_orders)


@contextmanager
def answering(database: IMEIDatabase, questions: Mapping[str, Questions]) -> Iterator[None]:
    """Answer the requests of pages and commands as long as this is held."""
    answerer, ended = Answerer(database, questions), threading.Event()
    thread = threading.Thread(target=answerer.run, args=(ended,), name="requests", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        answerer.end()
        thread.join(PATIENCE)
