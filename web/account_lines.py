"""The accounts at the provider as the page, the metrics and the API show them."""

from dataclasses import dataclass

from backend import Backend
from orders import Balance
from settings import MAIN_ACCOUNT, ProviderAccount
from storage import account_chunks, account_mark, account_store
from storage.account_store import AccountState
from submission import spent_today

#: Digits of the mark that a page shows: it names the user without telling the user name.
MARK_DIGITS = 8


@dataclass(frozen=True, slots=True)
class AccountLine:
    """One account as the page shows it. Amounts are in US dollars."""

    name: str
    address: str  #: of the provider, by the mark of its orders; "" before the first start
    mark: str  #: the beginning of the mark of its user name
    balance: Balance
    limit: int | None  #: calls a minute; None: no limit
    budget: float | None  #: a UTC day; None: no limit of its own
    spent: float  #: in this UTC day
    calls: int  #: on the wire
    words: str  #: why it cannot send, or ""
    state: AccountState | None  #: None: it is the only account, and nothing can be changed

    @property
    def condition(self) -> str:
        """The state in one word or two."""
        if self.state is None or not self.words:
            return "Sends"
        if self.state.is_off and not self.state.absence:
            return "Off"
        return "Short of money" if not self.state.obstacle else "Stopped"

    @property
    def may_retry(self) -> bool:
        """Whether a person can let it try again."""
        return self.state is not None and bool(self.state.stop or self.state.shortage)


def lines_of(backend: Backend) -> list[AccountLine]:
    """Return all accounts, the main one first."""
    named = {account.name: account for account in backend.settings.accounts}
    with backend.database.read() as connection:
        states = {state.name: state for state in account_store.accounts(connection)}
        calls = account_chunks.on_the_wire(connection)
        names = list(states) or [MAIN_ACCOUNT]
        marks = {name: account_mark.read_mark(connection, name) for name in names}
        spent = {name: spent_today(connection, name) for name in names}
        balances = {name: backend.account.read_of(connection, name) for name in names}
    lines = []
    for name in names:
        state, mark, given = states.get(name), marks[name], named.get(name, ProviderAccount())
        lines.append(
            AccountLine(
                name=name,
                address=mark.base_url if mark else "",
                mark=mark.user[:MARK_DIGITS] if mark else "",
                balance=balances[name],
                limit=given.rate_limit if state is None or state.rate_limit is None else state.rate_limit or None,
                budget=given.daily_budget if state is None or state.daily_budget is None else state.daily_budget,
                spent=spent[name],
                calls=calls.get(name, 0),
                words="" if state is None else state.obstacle or state.shortage,
                state=state,
            )
        )
    return lines
