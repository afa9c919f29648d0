"""The accounts at the provider: which may send, what stops each, and the batches with which none can go on.

There are rows only where there are several accounts: without any, all is as with one account. Whoever leads writes
them. No credentials are stored. This module decides nothing about a call.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, insert, or_, select, true, update

from amounts import exceeds, money
from database import IMEIDatabase, Transaction, once
from engines import read_prepared
from orders import BatchState, ChunkState
from schema import account_prices, batches, chunks, provider_accounts
from settings import MAIN_ACCOUNT
from storage import batch_states

COLUMNS = provider_accounts.c
#: Whether a batch has a planned chunk of no account, or of one of these.
FREE_CHUNK = select(chunks.c.id).where(
    chunks.c.batch_id == bindparam("batch"),
    chunks.c.state == ChunkState.PLANNED,
    or_(chunks.c.account.is_(None), chunks.c.account.in_(bindparam("names", expanding=True))),
)
#: How a notice about accounts begins.
ACCOUNT = "Account"
SWITCHED_OFF = "it is switched off"
MISSING = "its credentials are not in the settings any more"


@dataclass(frozen=True, slots=True)
class AccountState:
    """One account at the provider, as the process that leads and the admins have left it."""

    name: str
    absence: str  #: why no process can call with it; "" where one does
    rate_limit: int | None  #: calls a minute that an admin has set, 0: no limit; None: as in the settings
    daily_budget: float | None  #: US dollars a UTC day that an admin has set; None: as in the settings
    is_off: bool  #: an admin has switched it off
    stop: str  #: the refusal after which it sends nothing
    goes_on_at: float | None  #: Unix time when it tries again by itself after a stop; None: a person must let it
    shortage: str  #: why its money does not suffice for some batch
    dollars_left: float | None  #: US dollars that it may still send; None where they suffice for every batch
    until_midnight: bool  #: the shortage ends with the UTC day
    let_at: float  #: Unix time when a person last let it go on: a balance from before does not stop it

    @property
    def obstacle(self) -> str:
        """Why it sends nothing at all now; "" where it may send."""
        return self.absence or (SWITCHED_OFF if self.is_off else "") or self.stop

    @property
    def ends_by_itself(self) -> bool:
        """Whether what keeps it from sending passes without a person."""
        return not (self.absence or self.is_off) and (self.goes_on_at is not None if self.stop else self.until_midnight)

    def objection(self, price: float, own_price: float | None) -> str:
        """Return why it cannot send an IMEI of a batch at this price; "" where it can. US dollars.

        own_price: what the service costs through this account, where that is more than the list of services says.
        """
        if self.obstacle:
            return self.obstacle
        if own_price is not None and exceeds(own_price, price):
            return f"one IMEI costs {money(own_price)} through it, and {money(price)} was confirmed"
        return self.shortage if self.dollars_left is not None and exceeds(price, self.dollars_left) else ""


ACCOUNTS = select(*(COLUMNS[field.name] for field in fields(AccountState))).order_by(COLUMNS.place, COLUMNS.name)


@dataclass(frozen=True, slots=True)
class Stuck:
    """A batch with planned IMEIs that no account can send now."""

    batch_id: int
    words: str
    ends_by_itself: bool


def register(database: IMEIDatabase, absences: Mapping[str, str]) -> None:
    """Write which accounts the settings name, in their order, and why each cannot be called with; "" where it can.

    Without a second account, now or before, nothing is written.
    """
    with database.write() as connection:
        known = {account.name: account for account in accounts(connection)}
        if len(absences) < 2 and not known:
            return
        gone = {name: MISSING for name in known if name not in absences}
        for place, (name, absence) in enumerate((dict(absences) | gone).items()):
            values = {"place": place, "absence": absence, "shortage": "", "dollars_left": None}
            if name in known:
                _change(connection, name, **values)
            else:
                connection.execute(insert(provider_accounts).values(name=name, **values))


def accounts(connection: Connection) -> list[AccountState]:
    """Return all accounts, the main one first; none where there was never a second one."""
    return list(once(connection, _accounts))


def _accounts(connection: Connection) -> tuple[AccountState, ...]:
    return tuple(AccountState(*row) for row in read_prepared(connection, ACCOUNTS))


def names_to_ask(connection: Connection) -> list[str]:
    """Return the names of the accounts that can be called with, the main one first."""
    return [account.name for account in accounts(connection) if not account.absence] or [MAIN_ACCOUNT]


def stop(connection: Transaction, name: str, words: str, goes_on_at: float | None = None) -> bool:
    """Let an account send nothing until goes_on_at (Unix time), or until a person lets it. False: there is only one."""
    return _change(connection, name, stop=words, goes_on_at=goes_on_at)


def try_again(connection: Transaction, name: str) -> None:
    """End the stop of an account whose time has passed."""
    _change(connection, name, stop="", goes_on_at=None)


def let_go_on(connection: Transaction, now: float, name: str | None = None) -> None:
    """Let one account, or all, try again, because a person wants it (now in Unix time)."""
    those = true() if name is None else COLUMNS.name == name
    again = {"stop": "", "goes_on_at": None, "shortage": "", "dollars_left": None, "let_at": now}
    connection.execute(update(provider_accounts).where(those).values(**again))


def write_shortage(
    connection: Transaction, name: str, words: str, dollars_left: float | None, until_midnight: bool
) -> None:
    """Write why the money of an account does not suffice for some batch, and what is left of it; "" and None: it does.

    until_midnight: it suffices again on the next UTC day.
    """
    _change(connection, name, shortage=words, dollars_left=dollars_left, until_midnight=until_midnight)


def change(connection: Transaction, name: str, rate_limit: int | None, daily_budget: float | None) -> bool:
    """Set the limit (calls a minute, 0: none) and the budget of an account; None: as in the settings."""
    return _change(connection, name, rate_limit=rate_limit, daily_budget=daily_budget)


def switch(connection: Transaction, name: str, off: bool) -> bool:
    """Switch an account off or on. Calls on the wire are waited for."""
    return _change(connection, name, is_off=off)


def _change(connection: Transaction, name: str, **values: Any) -> bool:
    """Write these columns of an account. Return whether there is a row of it."""
    return connection.execute(update(provider_accounts).where(COLUMNS.name == name).values(**values)).rowcount == 1


# Prices


def write_prices(connection: Transaction, name: str, dearer: Mapping[str, float]) -> None:
    """Replace the services that cost more through an account than is listed: service id → US dollars an IMEI."""
    if prices(connection).get(name, {}) == dearer:
        return
    connection.execute(delete(account_prices).where(account_prices.c.account == name))
    rows = [{"account": name, "service_id": service, "price": price} for service, price in dearer.items()]
    if rows:
        connection.execute(insert(account_prices), rows)


def prices(connection: Connection) -> dict[str, dict[str, float]]:
    """Return account → service id → US dollars an IMEI, where that is more than the list of services says."""
    found: dict[str, dict[str, float]] = {}
    for row in connection.execute(select(account_prices)):
        found.setdefault(row.account, {})[row.service_id] = row.price
    return found


def price_for(connection: Connection, batch_id: int, service_id: str, price: float) -> float:
    """Return the price at which a batch can go on: the listed one, or more where its own accounts charge more."""
    dearer = prices(connection)
    owners = _planned_for(connection, batch_id)
    return max([price, *(dearer.get(name, {}).get(service_id, price) for name in owners if name is not None)])


def _planned_for(connection: Connection, batch_id: int) -> set[str | None]:
    """Return the accounts to which planned chunks of a batch belong; None among them: any may claim some."""
    query = select(chunks.c.account).distinct()
    planned = query.where(chunks.c.batch_id == batch_id, chunks.c.state == ChunkState.PLANNED)
    return set(connection.execute(planned).scalars())


# Batches that no account can send


def update_pauses(connection: Transaction) -> None:
    """Pause the running batches that no account can go on with, and resume those that wait and can go on."""
    for batch in stuck(connection):
        batch_states.pause(connection, batch.batch_id, batch.words, batch.ends_by_itself)
    for batch_id in _can_go_on(connection):
        batch_states.resume(connection, batch_id)
    _show_obstacles(connection)


def _show_obstacles(connection: Transaction) -> None:
    """Show on each running batch which accounts send nothing; other notices stay."""
    stopped = [account for account in accounts(connection) if account.obstacle]
    words = " ".join(f"{ACCOUNT} {account.name} sends nothing: {account.obstacle.rstrip('.')}." for account in stopped)
    notice = f"{words} The other accounts go on." if words else ""
    shown = or_(batches.c.notice == "", batches.c.notice.startswith(f"{ACCOUNT} "))
    running = (batches.c.state == BatchState.RUNNING) & (batches.c.notice != notice) & shown
    connection.execute(update(batches).where(running).values(notice=notice, revision=batches.c.revision + 1))


def stuck(connection: Connection) -> list[Stuck]:
    """Return the running batches with something planned that no account can send, oldest first."""
    known, dearer = accounts(connection), prices(connection)
    if not known or not (dearer or any(account.obstacle or account.shortage for account in known)):
        return []
    found = (_stuck(connection, batch, known, dearer) for batch in batch_states.running_batches(connection))
    return [batch for batch in found if batch is not None]


def _stuck(
    connection: Connection,
    batch: batch_states.RunningBatch,
    known: Collection[AccountState],
    dearer: Mapping[str, Mapping[str, float]],
) -> Stuck | None:
    objections = {
        account.name: account.objection(batch.unit_price, dearer.get(account.name, {}).get(batch.service_id))
        for account in known
    }
    able = [name for name, words in objections.items() if not words]
    if able and _has_chunk(connection, batch.batch_id, able):
        return None
    waits_for = _planned_for(connection, batch.batch_id)
    needed = [
        account for account in known if objections[account.name] and not waits_for.isdisjoint({None, account.name})
    ]
    words = " ".join(
        f"{ACCOUNT} {account.name} cannot send: {objections[account.name].rstrip('.')}." for account in needed
    )
    only = "" if None in waits_for else "The IMEIs that are left belong to an account that has ordered them before. "
    return Stuck(batch.batch_id, only + words, any(account.ends_by_itself for account in needed))


def _can_go_on(connection: Connection) -> list[int]:
    """Return the batches that wait for an account and can go on."""
    known = accounts(connection)
    if not known:
        return []
    planned = exists().where(chunks.c.batch_id == batches.c.id, chunks.c.state == ChunkState.PLANNED)
    waits = (batches.c.state == BatchState.PAUSED) & batches.c.resumes_itself & planned
    columns = (batches.c.id, batches.c.service_id, batches.c.unit_price)
    waiting = [batch_states.RunningBatch(*row) for row in connection.execute(select(*columns).where(waits))]
    dearer = prices(connection) if waiting else {}
    return [batch.batch_id for batch in waiting if _stuck(connection, batch, known, dearer) is None]


def _has_chunk(connection: Connection, batch_id: int, names: Collection[str]) -> bool:
    given = {"batch": batch_id, "names": list(names)}
    return connection.execute(FREE_CHUNK.limit(1), given).first() is not None
