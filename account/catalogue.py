"""What the provider offers and what our account holds, kept in the database so that all processes share it.

A page never waits long for the provider: an old answer with its age is better than none. This module knows no
HTTP and no Flask; it is given functions that ask.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from account.page_calls import AskedOftenError, is_young
from account.state import CALLS, ProviderState, write_state
from database import IMEIDatabase
from gsm_fusion_client import GSMFusionAPIError
from orders import Account, Balance, Catalogue, ServiceInfo
from storage import balance_store

logger = logging.getLogger(__name__)

#: Seconds a page waits for the provider when it has nothing older to show, and when it has.
PATIENCE, BRIEF = 10.0, 1.0
#: Seconds after which a price is asked for again before it is confirmed: it may have risen since it was shown.
CONFIRM_MAX_AGE = 10.0
#: Seconds without another question after a failed one.
PAUSE_AFTER_FAILURE = 30.0
#: Seconds after which a balance is asked again, and after which it no longer counts as known.
BALANCE_MAX_AGE, BALANCE_TRUSTED = 60.0, 600.0
#: Seconds after which a balance is asked again when orders were sent since.
OUTDATED_MAX_AGE = 5.0

SERVICES_FAILED, ACCOUNT_FAILED, ACCOUNT = "services_failed", "account_failed", "account"
#: What is asked for, by where its failure is remembered.
QUESTIONS = MappingProxyType({SERVICES_FAILED: CALLS["imeiservices"], ACCOUNT_FAILED: CALLS["accountinfo"]})


class ServiceCatalog:
    """The service list: asked again when it is max_age seconds old, by one thread at a time."""

    def __init__(
        self,
        database: IMEIDatabase,
        fetch: Callable[[], list[ServiceInfo]],
        max_age: float = 300.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._max_age = max_age
        self._clock = clock
        self._errand = _Errand(database, SERVICES_FAILED, fetch, self._store, clock)

    def current(self, patience: float = PATIENCE) -> Catalogue:
        """The list, refreshed first if it is old and the provider answers in time.

        Waits at most patience seconds, and a moment only when there is an older list to show.
        """
        services, refreshed_at = self._database.get_services()
        if not is_young(refreshed_at, self._clock(), self._max_age):
            self._errand.run(min(BRIEF, patience) if services else patience)
            services, refreshed_at = self._database.get_services()
        stale = not is_young(refreshed_at, self._clock(), self._max_age)
        return Catalogue(tuple(services), refreshed_at, stale, self._errand.failure() if stale else "")

    def for_confirmation(self, patience: float = PATIENCE) -> Catalogue:
        """Return the list that an order may rely on: refreshed if it is older than CONFIRM_MAX_AGE.

        Waits at most patience seconds. Where the provider does not answer it is the stored list; one that is stale
        must not be relied on.
        """
        _, refreshed_at = self._database.get_services()
        if not is_young(refreshed_at, self._clock(), CONFIRM_MAX_AGE):
            self._errand.run(patience)
        return self.stored()

    def stored(self) -> Catalogue:
        """The list as it is on disk; asks nobody."""
        services, refreshed_at = self._database.get_services()
        return Catalogue(
            tuple(services),
            refreshed_at,
            not is_young(refreshed_at, self._clock(), self._max_age),
            self._errand.failure(),
        )

    def _store(self, listed: list[ServiceInfo]) -> None:
        if not listed:
            raise GSMFusionAPIError("The provider listed no services.")
        self._database.store_services(listed, self._clock())


class AccountBalance:
    """The account's credits: asked again when they are a minute old, and soon after orders were sent."""

    def __init__(
        self,
        database: IMEIDatabase,
        fetch: Callable[[], Account],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._clock = clock
        self._errand = _Errand(database, ACCOUNT_FAILED, fetch, self._store, clock)

    def current(self, patience: float = 3.0) -> Balance:
        """The balance, asked first if it is old or outdated; waits at most patience seconds."""
        balance = self.stored()
        if is_young(balance.at, self._clock(), OUTDATED_MAX_AGE if balance.is_outdated else BALANCE_MAX_AGE):
            return balance
        self._errand.run(patience)
        return self.stored()

    def stored(self) -> Balance:
        """The last balance that a page or the runner heard; asks nobody."""
        known = _read_json(self._database, ACCOUNT)
        credits, text, at = known.get("credits"), str(known.get("text", "")), float(known.get("at", 0))
        with self._database.read() as connection:
            reading = balance_store.newest_reading(connection)
            called = balance_store.newest_call(connection)
        if reading is not None and _unix(reading.read_at) > at:
            credits, text, at = reading.credits, "", _unix(reading.read_at)
        trusted = credits is not None and is_young(at, self._clock(), BALANCE_TRUSTED)
        return Balance(credits, text, at, trusted, at > 0 and called is not None and _unix(called) > at)

    def _store(self, account: Account) -> None:
        known = {"credits": account.credits, "text": account.text, "at": self._clock()}
        self._database.set_setting(ACCOUNT, json.dumps(known))


class _Errand:
    """One question to the provider at a time, in a thread, with its failure remembered for all processes."""

    def __init__(
        self,
        database: IMEIDatabase,
        failure_key: str,
        fetch: Callable[[], Any],
        store: Callable[[Any], None],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._failure_key = failure_key
        self._fetch = fetch
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def run(self, patience: float) -> None:
        """Ask unless the last question failed just now, and wait at most patience seconds."""
        failed = _read_json(self._database, self._failure_key)
        if is_young(float(failed.get("at", 0)), self._clock(), PAUSE_AFTER_FAILURE):
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._ask, name=self._failure_key, daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(patience)

    def failure(self) -> str:
        """Why the last question failed, or ""."""
        return str(_read_json(self._database, self._failure_key).get("error", ""))

    def _ask(self) -> None:
        started = self._clock()
        try:
            self._store(self._fetch())
        except AskedOftenError:
            logger.info("Pages have asked often enough: %s waits", self._failure_key)
        except GSMFusionAPIError as error:
            logger.warning("The provider did not answer: %s", error)
            self._remember(started, str(error))
        except Exception:
            logger.exception("Asking the provider failed")
            self._remember(started, "The provider could not be asked; the log says why.")
        else:
            self._remember(started, "")

    def _remember(self, started: float, error: str) -> None:
        now = self._clock()
        failure = {"at": now, "error": error} if error else {}
        self._database.set_setting(self._failure_key, json.dumps(failure))
        call = QUESTIONS[self._failure_key]
        write_state(self._database, ProviderState(not error, round((now - started) * 1000), now, error, call))


def _unix(moment: datetime) -> float:
    """UTC without a zone, as tables hold it, as Unix time."""
    return moment.replace(tzinfo=UTC).timestamp()


def _read_json(database: IMEIDatabase, key: str) -> dict[str, Any]:
    text = database.get_setting(key)
    return json.loads(text) if text else {}
