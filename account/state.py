"""How the provider's newest call went: one that a page asked for, one of the loop that places orders, or of the sync.

Calls report in memory, and a thread writes the newest report and the counts of calls, so that no call waits for the
database. This module knows no page and makes no call.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import MappingProxyType

from account.call_counting import CALL_COUNTS, CallCounter, CallCounts, added, read_counts
from database import DatabaseUnavailableError, IMEIDatabase, Transaction, read_setting, write_setting
from gsm_fusion_client import GSMFusionAPIError, RateLimitedError, RefusalKind, RefusedError, Report
from settings import MAIN_ACCOUNT
from storage import account_store
from storage.account_mark import setting_of

logger = logging.getLogger(__name__)

#: Seconds between two looks whether there is something to write, and after which an unchanged state is written again.
LOOK, REPEAT = 0.5, 5.0
#: Seconds that the last state gets to be written.
PATIENCE = 5.0
#: Name in the settings table.
PROVIDER_STATE = "provider_state"
#: The provider's words for a call → ours.
CALLS = MappingProxyType(
    {
        "placeorder": "placing orders",
        "getimeis": "reading orders",
        "imeiservices": "reading services",
        "accountinfo": "reading the balance",
    }
)
#: The provider answers in time and turns away what was asked: it works.
WORKS = frozenset({RefusalKind.INVALID_IMEI, RefusalKind.DUPLICATE, RefusalKind.ORDER_ID, RefusalKind.SERVICE})
#: Seconds by which a kept state may be newer than one that replaces it: beyond that a wrong clock has written it.
AHEAD = 60.0


@dataclass(frozen=True, slots=True)
class ProviderState:
    """How the provider's newest call went."""

    ok: bool | None = None  #: None before the first call
    ms: int = 0
    at: float = 0.0  #: Unix time
    error: str = ""
    call: str = ""  #: what it was made for


def provider_state(database: IMEIDatabase) -> ProviderState:
    """Return what read_state() returns, in a transaction of its own."""
    with database.read() as connection:
        return read_state(connection)


def read_state(connection: Transaction) -> ProviderState:
    """Return what the newest call of the main account, of any process, says about the provider."""
    stored = read_setting(connection, setting_of(PROVIDER_STATE, MAIN_ACCOUNT))
    return ProviderState(**json.loads(stored)) if stored else ProviderState()


def state_of(action: str, seconds: float, error: GSMFusionAPIError | None, at: float) -> ProviderState:
    """Return what one call, made at a Unix time, says about the provider."""
    works = error is None or isinstance(error, RateLimitedError)
    works = works or (isinstance(error, RefusedError) and error.kind in WORKS)
    return ProviderState(works, round(seconds * 1000), at, "" if works else str(error), CALLS.get(action, action))


def call_counts(database: IMEIDatabase) -> dict[str, CallCounts]:
    """Return what all calls of all accounts and processes add up to: what a call was made for → counts."""
    stored: str | None = None
    with database.read() as connection:
        for account in account_store.names_to_ask(connection):
            stored = added(stored, read_counts(read_setting(connection, setting_of(CALL_COUNTS, account))))
    found = read_counts(stored)
    return {CALLS.get(action, action): counts for action, counts in found.items()}


def write_state(
    database: IMEIDatabase,
    state: ProviderState,
    counts: Mapping[str, CallCounts],
    account: str,
) -> bool:
    """Store this state of an account unless a newer one is stored, and add the counts. Return whether it was stored."""
    state_name, counts_name = setting_of(PROVIDER_STATE, account), setting_of(CALL_COUNTS, account)
    try:
        with database.write() as connection:
            stored = read_setting(connection, state_name)
            ahead = json.loads(stored)["at"] - state.at if stored else 0.0
            if not 0 < ahead < AHEAD:
                write_setting(connection, state_name, json.dumps(asdict(state)))
            if counts:
                write_setting(connection, counts_name, added(read_setting(connection, counts_name), counts))
    except DatabaseUnavailableError as error:
        logger.warning("The provider's state was not written: %s", error.orig)
        return False
    return True


class ProviderWatch:
    """Takes the reports of calls, from any thread, and writes the newest one."""

    def __init__(self, database: IMEIDatabase, account: str, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._account = account
        self._counter = CallCounter()
        self._newest: ProviderState | None = None
        self._written = ProviderState()

    def report(self, action: str, seconds: float, error: GSMFusionAPIError | None) -> None:
        """Note how a call went, without waiting."""
        self._counter.count(action, seconds, error)
        self._newest = state_of(action, seconds, error, self._clock())

    def write(self) -> None:
        """Write the newest state if it differs from the written one, or if that is old."""
        newest, written = self._newest, self._written
        if newest is None or newest.at == written.at:
            return
        if (newest.ok, newest.error) != (written.ok, written.error) or newest.at - written.at >= REPEAT:
            counts = self._counter.take()
            if not write_state(self._database, newest, counts, self._account):
                self._counter.put_back(counts)
            self._written = newest

    def run(self, stop: threading.Event) -> None:
        """Write until stop is set, and once more after it."""
        while not stop.wait(LOOK):
            self._try_to_write()
        self._written = ProviderState()
        self._try_to_write()

    def _try_to_write(self) -> None:
        try:
            self.write()
        except Exception:  # the next turn tries again
            logger.exception("The provider's state was not written")


@contextmanager
def watching(database: IMEIDatabase, account: str) -> Iterator[Report]:
    """Write what the client of an account reports about its calls as long as this is held."""
    watch, ended = ProviderWatch(database, account), threading.Event()
    writer = threading.Thread(target=watch.run, args=(ended,), name="provider-state", daemon=True)
    writer.start()
    try:
        yield watch.report
    finally:
        ended.set()
        writer.join(PATIENCE)
