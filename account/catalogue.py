"""The services that the provider offers and what our account holds, as the database has them.

A page never waits long for the provider: an old answer with its age is better than none. This module makes no call: it
leaves requests to the leader.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime

from account.answerer import ACCOUNT
from account.requests import ProviderRequests, is_young, require_answer
from database import Transaction, once, read_setting
from orders import Balance, Catalogue, RequestKind
from settings import MAIN_ACCOUNT
from storage import account_store, balance_store
from storage.account_mark import setting_of

#: Seconds a page waits for the provider when it has nothing older to show, and when it has.
PATIENCE, BRIEF = 10.0, 1.0
#: Seconds after which the service list is asked for again.
MAX_AGE = 300.0
#: Seconds after which a price is asked for again before it is confirmed: it may have risen since it was shown.
CONFIRM_MAX_AGE = 10.0
#: Seconds after which a balance is asked again, and after which it no longer counts as known.
BALANCE_MAX_AGE, BALANCE_TRUSTED = 60.0, 600.0
#: Seconds after which a balance is asked again when orders were sent since.
OUTDATED_MAX_AGE = 5.0


class ServiceCatalog:
    """The service list: asked for again when it is MAX_AGE old."""

    def __init__(self, requests: ProviderRequests) -> None:
        self._requests = requests

    def current(self, patience: float = PATIENCE) -> Catalogue:
        """Return the list, refreshed first if it is old and the provider answers in time.

        Waits at most patience seconds, and a moment only when there is an older list to show.
        """
        catalogue = self.stored()
        if catalogue.stale:
            patience = min(BRIEF, patience) if catalogue.services else patience
            self._requests.refresh(RequestKind.SERVICES, patience, MAIN_ACCOUNT)
            catalogue = self.stored()
        return catalogue if catalogue.stale else replace(catalogue, error="")

    def for_confirmation(self, patience: float = PATIENCE) -> Catalogue:
        """Return the list that an order may rely on: refreshed if it is older than CONFIRM_MAX_AGE.

        Waits at most patience seconds. Where the provider does not answer it is the stored list; one that is stale
        must not be relied on.
        """
        catalogue = self.stored()
        if is_young(catalogue.refreshed_at, self._requests.clock(), CONFIRM_MAX_AGE):
            return catalogue
        self._requests.refresh(RequestKind.SERVICES, patience, MAIN_ACCOUNT)
        return self.stored()

    def stored(self) -> Catalogue:
        """Return the list that is on disk, without asking."""
        with self._requests.database.snapshot() as connection:
            return once(connection, self._read)

    def _read(self, _: Transaction) -> Catalogue:
        services, refreshed_at = self._requests.database.get_services()
        stale = not is_young(refreshed_at, self._requests.clock(), MAX_AGE)
        return Catalogue(tuple(services), refreshed_at, stale, self._requests.failure(RequestKind.SERVICES))

    def ask_now(self) -> None:
        """Ask for the list however young it is. Raises GSMFusionAPIError where no new one comes in time."""
        require_answer(self._requests.ask(RequestKind.SERVICES, MAIN_ACCOUNT, patience=3 * PATIENCE))


class AccountBalance:
    """The credits of the accounts that may send: asked for again when a minute old, and soon after orders were sent."""

    def __init__(self, requests: ProviderRequests) -> None:
        self._requests = requests

    def current(self, patience: float = 3.0) -> Balance:
        """Return the balance of all accounts, refreshed first if it is old or outdated.

        Waits at most patience seconds for each of them.
        """
        with self._requests.database.read() as connection:
            known = {account: self.read_of(connection, account) for account in _senders(connection)}
        for account, balance in known.items():
            max_age = OUTDATED_MAX_AGE if balance.is_outdated else BALANCE_MAX_AGE
            if not is_young(balance.at, self._requests.clock(), max_age):
                self._requests.refresh(RequestKind.ACCOUNT, patience, account)
        return self.stored()

    def stored(self) -> Balance:
        """Return the newest balance of all accounts that is on disk, without asking."""
        with self._requests.database.read() as connection:
            return self.read(connection)

    def read(self, connection: Transaction) -> Balance:
        """Return what stored() returns, inside a transaction."""
        return once(connection, self._read)

    def _read(self, connection: Transaction) -> Balance:
        found = [self.read_of(connection, account) for account in _senders(connection)]
        if len(found) == 1:
            return found[0]
        known = [balance.credits for balance in found if balance.credits is not None]
        return Balance(
            credits=sum(known) if len(known) == len(found) else None,
            text="",
            at=min(balance.at for balance in found),
            trusted=all(balance.trusted for balance in found),
            is_outdated=any(balance.is_outdated for balance in found),
        )

    def read_of(self, connection: Transaction, account: str) -> Balance:
        """Return the newest balance of one account that is on disk, inside a transaction."""
        known = json.loads(read_setting(connection, setting_of(ACCOUNT, account)) or "{}")
        credits, text, at = known.get("credits"), str(known.get("text", "")), float(known.get("at", 0))
        reading, called = balance_store.newest_reading_and_call(connection, account)
        if reading is not None and _unix(reading.read_at) > at:
            credits, text, at = reading.credits, "", _unix(reading.read_at)
        trusted = credits is not None and is_young(at, self._requests.clock(), BALANCE_TRUSTED)
        return Balance(credits, text, at, trusted, at > 0 and called is not None and _unix(called) > at)


def _senders(connection: Transaction) -> list[str]:
    """Return the accounts that may send; all where none may."""
    known = account_store.accounts(connection)
    return [one.name for one in known if not one.obstacle] or [one.name for one in known] or [MAIN_ACCOUNT]


def _unix(moment: datetime) -> float:
    """Return the Unix time of a moment in UTC without a zone, as tables hold it."""
    return moment.replace(tzinfo=UTC).timestamp()
