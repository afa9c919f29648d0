"""The services that the provider offers and what our account holds, as the database has them.

A page never waits long for the provider: an old answer with its age is better than none. This module makes no call: it
leaves requests to the leader.
"""

import json
from datetime import UTC, datetime
from typing import Any

from account.answers import ACCOUNT
from account.requests import ProviderRequests, Refresh, is_young, require_answer
from database import IMEIDatabase
from orders import Balance, Catalogue, RequestKind
from storage import balance_store

#: Seconds a page waits for the provider when it has nothing older to show, and when it has.
PATIENCE, BRIEF = 10.0, 1.0
#: Seconds after which a price is asked for again before it is confirmed: it may have risen since it was shown.
CONFIRM_MAX_AGE = 10.0
#: Seconds after which a balance is asked again, and after which it no longer counts as known.
BALANCE_MAX_AGE, BALANCE_TRUSTED = 60.0, 600.0
#: Seconds after which a balance is asked again when orders were sent since.
OUTDATED_MAX_AGE = 5.0


class ServiceCatalog:
    """The service list: asked for again when it is max_age seconds old."""

    def __init__(self, requests: ProviderRequests, max_age: float = 300.0) -> None:
        self._requests = requests
        self._database = requests.database
        self._max_age = max_age
        self._clock = requests.clock
        self._refresh = Refresh(requests, RequestKind.SERVICES)

    def current(self, patience: float = PATIENCE) -> Catalogue:
        """Return the list, refreshed first if it is old and the provider answers in time.

        Waits at most patience seconds, and a moment only when there is an older list to show.
        """
        services, refreshed_at = self._database.get_services()
        if not is_young(refreshed_at, self._clock(), self._max_age):
            self._refresh.run(min(BRIEF, patience) if services else patience)
            services, refreshed_at = self._database.get_services()
        stale = not is_young(refreshed_at, self._clock(), self._max_age)
        return Catalogue(tuple(services), refreshed_at, stale, self._refresh.failure() if stale else "")

    def for_confirmation(self, patience: float = PATIENCE) -> Catalogue:
        """Return the list that an order may rely on: refreshed if it is older than CONFIRM_MAX_AGE.

        Waits at most patience seconds. Where the provider does not answer it is the stored list; one that is stale
        must not be relied on.
        """
        _, refreshed_at = self._database.get_services()
        if not is_young(refreshed_at, self._clock(), CONFIRM_MAX_AGE):
            self._refresh.run(patience)
        return self.stored()

    def stored(self) -> Catalogue:
        """Return the list that is on disk, without asking."""
        services, refreshed_at = self._database.get_services()
        return Catalogue(
            tuple(services),
            refreshed_at,
            not is_young(refreshed_at, self._clock(), self._max_age),
            self._refresh.failure(),
        )

    def ask_now(self, patience: float = 3 * PATIENCE) -> None:
        """Ask for the list however young it is. Raises GSMFusionAPIError where no new one comes in patience seconds."""
        require_answer(self._requests.ask(RequestKind.SERVICES, patience=patience))


class AccountBalance:
    """The account's credits: asked for again when they are a minute old, and soon after orders were sent."""

    def __init__(self, requests: ProviderRequests) -> None:
        self._database = requests.database
        self._clock = requests.clock
        self._refresh = Refresh(requests, RequestKind.ACCOUNT)

    def current(self, patience: float = 3.0) -> Balance:
        """Return the balance, refreshed first if it is old or outdated; waits at most patience seconds."""
        balance = self.stored()
        if is_young(balance.at, self._clock(), OUTDATED_MAX_AGE if balance.is_outdated else BALANCE_MAX_AGE):
            return balance
        self._refresh.run(patience)
        return self.stored()

    def stored(self) -> Balance:
        """Return the newest balance that is on disk, without asking."""
        known = _read_json(self._database, ACCOUNT)
        credits, text, at = known.get("credits"), str(known.get("text", "")), float(known.get("at", 0))
        with self._database.read() as connection:
            reading = balance_store.newest_reading(connection)
            called = balance_store.newest_call(connection)
        if reading is not None and _unix(reading.read_at) > at:
            credits, text, at = reading.credits, "", _unix(reading.read_at)
        trusted = credits is not None and is_young(at, self._clock(), BALANCE_TRUSTED)
        return Balance(credits, text, at, trusted, at > 0 and called is not None and _unix(called) > at)


def _unix(moment: datetime) -> float:
    """UTC without a zone, as tables hold it, as Unix time."""
    return moment.replace(tzinfo=UTC).timestamp()


def _read_json(database: IMEIDatabase, key: str) -> dict[str, Any]:
    text = database.get_setting(key)
    return json.loads(text) if text else {}
