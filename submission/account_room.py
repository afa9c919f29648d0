"""How much of a batch an account may send: whether it may send at all, its balance, and its daily budget.

With one account there is no such limit: it sends until the provider refuses. This module reads and sums; claims.py
chooses, and storage/account_store.py pauses a batch that no account can go on with.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date
from types import MappingProxyType

from amounts import exceeds, money
from database import Transaction, utc_now
from settings import ProviderAccount
from storage import account_chunks, account_store, balance_store, batch_states, call_queries
from storage.account_store import AccountState
from submission.throttle import MINUTE, Throttle

#: Seconds after which a balance that does not suffice is read again before anything is paused because of it.
FRESH = 15.0
NO_PRICES: Mapping[str, float] = MappingProxyType({})


@dataclass(slots=True)
class Spent:
    """What the orders of an account cost since a moment, summed order by order as they come."""

    account: str
    since: int  #: the row id of orders after which they count
    attempt_id: int = 0  #: only orders of calls that began with this attempt or later
    day: date | None = None  #: only orders of this UTC day
    dollars: float = 0.0

    def update(self, connection: Transaction) -> float:
        """Return the US dollars, with the orders that have come since the last time."""
        more, self.since = account_chunks.spent_after(connection, self.account, self.since, self.attempt_id, self.day)
        self.dollars += more
        return self.dollars


@dataclass(slots=True)
class Room:
    """What one account may send now. The loop's own: not thread-safe."""

    account: str
    budget: float | None = None  #: US dollars a UTC day, by the settings
    clock: Callable[[], float] = time.time  #: Unix time
    state: AccountState | None = None  #: None: there is only one account
    #: Service id → price, of the services that cost more through this account than is listed.
    prices: Mapping[str, float] = field(default_factory=lambda: NO_PRICES)
    wants_balance: bool = False  #: the balance seems too low for some running batch, and must be read again first
    _today: Spent | None = None
    _since_reading: dict[int, Spent] = field(default_factory=dict)  #: since the newest balance, by its id

    def note(self, connection: Transaction) -> None:
        """Read what the admins and the leader have stored about this account."""
        states = {state.name: state for state in account_store.accounts(connection)}
        self.state = states.get(self.account)

    def note_prices(self, connection: Transaction) -> None:
        """Read what services cost through this account: before each claim, which may follow its prices at once."""
        is_shared = self.state is not None
        self.prices = account_store.prices(connection).get(self.account, NO_PRICES) if is_shared else NO_PRICES

    @property
    def is_shared(self) -> bool:
        """Whether there are other accounts, so that this one need not send everything."""
        return self.state is not None

    @property
    def may_send(self) -> bool:
        """Whether this account may send as far as its money suffices: nobody has stopped it or switched it off."""
        return self.state is None or not self.state.obstacle

    def set_limit(self, connection: Transaction, throttle: Throttle, limit: int | None) -> None:
        """Keep the calls within the limit that an admin has set for it, or else within that of the settings."""
        wanted = limit if self.state is None or self.state.rate_limit is None else self.state.rate_limit or None
        was_unlimited, throttle.limit = throttle.limit is None, wanted
        if was_unlimited and wanted is not None:  # the calls of this minute were not counted
            throttle.used_before(call_queries.attempt_ages(connection, MINUTE, self.account))

    def dollars(self, connection: Transaction) -> float:
        """Return the US dollars that this account may send now: none where it may not send, inf without a limit."""
        if self.state is None:
            return math.inf
        if self.state.obstacle:
            return 0.0
        risk = account_chunks.at_risk(connection, self.account)
        return min(self._budget_left(connection), self._balance_left(connection)) - risk

    def stop(self, connection: Transaction, words: str, seconds: float | None = None) -> bool:
        """Stop this account for these seconds, or until a person resumes it. Return False if it is the only one."""
        if self.state is None:
            return False
        goes_on_at = None if seconds is None else self.clock() + seconds
        account_store.stop(connection, self.account, words, goes_on_at)
        self.state = replace(self.state, stop=words, goes_on_at=goes_on_at)
        return True

    def forget(self) -> None:
        """Sum again: a transaction in which orders were summed was rolled back."""
        self._today = None
        self._since_reading.clear()

    def takes(self, service_id: str, price: float) -> bool:
        """Return whether a service does not cost more through this account than was confirmed."""
        return not exceeds(self.prices.get(service_id, price), price)

    def write(self, connection: Transaction, unread: bool = False) -> None:
        """End a stop whose time has passed, and write whether the money suffices. unread: no balance can be read."""
        if self.state is None:
            return
        if self.state.stop and self.state.goes_on_at is not None and self.clock() >= self.state.goes_on_at:
            account_store.try_again(connection, self.account)
            self.state = replace(self.state, stop="", goes_on_at=None)
        words, left, until_midnight = self._shortage(connection, unread)
        if (words, until_midnight) != (self.state.shortage, self.state.until_midnight):
            account_store.write_shortage(connection, self.account, words, left, until_midnight)
            self.state = replace(self.state, shortage=words, dollars_left=left, until_midnight=until_midnight)

    def _shortage(self, connection: Transaction, unread: bool) -> tuple[str, float | None, bool]:
        """Return why the money does not suffice for some running batch, what is left, and whether midnight ends it.

        A balance that is not fresh is read again first, because somebody may have topped it up.
        """
        dearest = max((batch.unit_price for batch in batch_states.running_batches(connection)), default=None)
        risk = account_chunks.at_risk(connection, self.account)
        budget, balance = self._budget_left(connection) - risk, self._balance_left(connection) - risk
        if self.state is None or self.state.obstacle or dearest is None:
            return self._known_shortage(budget)
        self.wants_balance = False
        if exceeds(dearest, budget):
            return f"{money(max(0.0, budget))} of its daily budget is left", budget, True
        if not exceeds(dearest, balance):
            return "", None, False
        self.wants_balance = not (unread or self._is_fresh(connection))
        if self.wants_balance:
            return "", None, False
        return f"{money(max(0.0, balance))} of its balance is left", balance, False

    def _is_fresh(self, connection: Transaction) -> bool:
        """Return whether the newest balance was read just now, and after a person has let the account go on."""
        reading = balance_store.newest_reading(connection, self.account)
        if reading is None or self.state is None:
            return False
        read_at = reading.read_at.replace(tzinfo=UTC).timestamp()
        return abs(self.clock() - read_at) < FRESH and read_at >= self.state.let_at

    def _known_shortage(self, budget: float) -> tuple[str, float | None, bool]:
        """Return the shortage as it is known while nothing may be sent: a budget may have grown, or begun again."""
        self.wants_balance, known = False, self.state
        if known is None or (known.until_midnight and exceeds(budget, known.dollars_left or 0.0)):
            return "", None, False
        return known.shortage, known.dollars_left, known.until_midnight

    def _budget_left(self, connection: Transaction) -> float:
        budget = self.budget if self.state is None or self.state.daily_budget is None else self.state.daily_budget
        if budget is None:
            return math.inf
        today = utc_now().date()
        if self._today is None or self._today.day != today:
            self._today = Spent(self.account, 0, day=today)
        return budget - self._today.update(connection)

    def _balance_left(self, connection: Transaction) -> float:
        reading = balance_store.newest_reading(connection, self.account)
        if reading is None:
            return math.inf
        if reading.reading_id not in self._since_reading:
            self._since_reading = {reading.reading_id: Spent(self.account, reading.after_order, reading.before_attempt)}
        return reading.credits - self._since_reading[reading.reading_id].update(connection)


def budget_of_accounts(connection: Transaction, named: Sequence[ProviderAccount]) -> float | None:
    """Return what this UTC day may cost in all, in US dollars, where each account that may send has its own budget.

    None where there is one account, or one of them has no limit. What the others have spent today comes on top.
    """
    states, own = account_store.accounts(connection), {account.name: account.daily_budget for account in named}
    total = 0.0
    for state in states:
        budget = own.get(state.name) if state.daily_budget is None else state.daily_budget
        if state.obstacle:
            total += spent_today(connection, state.name)
        elif budget is None:
            return None
        else:
            total += budget
    return total if states else None


def spent_today(connection: Transaction, account: str) -> float:
    """Return the US dollars of the orders that an account has taken in this UTC day."""
    return account_chunks.spent_after(connection, account, 0, day=utc_now().date())[0]
