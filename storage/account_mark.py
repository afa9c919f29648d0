"""The mark of a database: the provider account that its orders were placed with, and what another one would adopt.

Reads and writes only; submission/account_guard.py decides.
"""

import json
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, func, select

from amounts import money, plural
from database import IMEIDatabase, Transaction, read_setting, write_setting
from orders import ChunkState, Outcome
from schema import NOT_FINAL, UNDECIDED, batches, chunks, items, orders, stored_settings
from settings import MAIN_ACCOUNT
from storage import call_queries

#: The name in the settings table.
ACCOUNT = "account_mark"
#: The name in the settings table: the newest attempt of the account before, when the database was adopted.
ADOPTED = "adopted_after_attempt"
LIVE, DEMO = "live", "demo"


@dataclass(frozen=True, slots=True)
class AccountMark:
    """One account of one provider."""

    mode: str  #: LIVE or DEMO
    base_url: str
    user: str  #: HMAC-SHA-256 of the user name, keyed with the database's install id (64 hex digits)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a database holds that another account is about to adopt."""

    orders: int
    cost: float  #: US dollars of these orders
    pending: int  #: orders without their result: this account cannot fetch it
    waiting: int  #: IMEIs of unfinished batches that were not sent
    waiting_cost: float  #: US dollars that they would cost
    in_doubt: int  #: IMEIs that were sent and have no clear answer yet: this account's list proves nothing about them

    @property
    def sentences(self) -> tuple[str, ...]:
        """What adopting the database means, in numbers."""
        found = [f"It holds {plural(self.orders, 'order')} of the other account, {money(self.cost)} in all."]
        if self.pending:
            found.append(f"Results still missing: {self.pending:,}. This account cannot fetch them.")
        if self.waiting:
            cost = money(self.waiting_cost)
            found.append(
                f"Not sent: {plural(self.waiting, 'IMEI')}. Their batches are paused; to resume them costs this account"
                f" {cost}."
            )
        if self.in_doubt:
            found.append(f"In doubt: {plural(self.in_doubt, 'IMEI')}. They can only be settled by hand.")
        return tuple(found)


def setting_of(name: str, account: str) -> str:
    """Return the name in the settings table under which an account keeps what the main one keeps under this name."""
    return name if account == MAIN_ACCOUNT else f"{name}.{account}"


def stored(account: str) -> ColumnElement[str]:
    """Return the mark as it is stored, for a SELECT of something else: it is asked with every intent."""
    own = stored_settings.c.key == setting_of(ACCOUNT, account)
    return select(stored_settings.c.value).where(own).scalar_subquery().label(ACCOUNT)


def read_mark(connection: Connection, account: str = MAIN_ACCOUNT) -> AccountMark | None:
    """Return the mark of an account in the database; None where it has none."""
    return parse_mark(read_setting(connection, setting_of(ACCOUNT, account)))


def other_name_of(connection: Connection, mark: AccountMark, account: str) -> str:
    """Return the other name under which the database knows the account of this mark; "" where there is none."""
    names = stored_settings.c.key.startswith(ACCOUNT, autoescape=True) & (
        stored_settings.c.key != setting_of(ACCOUNT, account)
    )
    for row in connection.execute(select(stored_settings.c.key, stored_settings.c.value).where(names)):
        if parse_mark(row.value) == mark:
            return str(row.key).removeprefix(ACCOUNT).removeprefix(".") or MAIN_ACCOUNT
    return ""


def parse_mark(text: str | None) -> AccountMark | None:
    """Return the mark that stored() or the setting holds; None where there is none."""
    return AccountMark(**json.loads(text)) if text else None


def write_mark(connection: Transaction, mark: AccountMark, account: str = MAIN_ACCOUNT) -> None:
    """Mark the database with an account."""
    write_setting(connection, setting_of(ACCOUNT, account), json.dumps(asdict(mark)))


def is_used(connection: Connection) -> bool:
    """Return whether the database holds a batch or an order."""
    return any(connection.execute(select(table.c.id).limit(1)).first() for table in (batches, orders))


def write_adoption(connection: Transaction) -> None:
    """Remember which calls of the main account were made before the database was adopted."""
    write_setting(connection, ADOPTED, str(call_queries.newest_attempt(connection, MAIN_ACCOUNT)))


def was_adopted(connection: Connection) -> bool:
    """Return whether the main account has adopted the database from another one, also before its first call."""
    return read_setting(connection, ADOPTED) is not None


def adopted_after(connection: Connection, account: str) -> int:
    """Return the newest attempt that another account made, 0 for none: our list says nothing about such calls."""
    return int(read_setting(connection, setting_of(ADOPTED, account)) or 0)


def adoption(database: IMEIDatabase) -> Adoption:
    """Return what the database holds, for the administrator who decides whether to adopt it."""
    with database.read() as connection:
        count, cost = connection.execute(select(func.count(), func.coalesce(func.sum(orders.c.credits), 0.0))).one()
        pending = connection.execute(select(func.count()).select_from(orders).where(NOT_FINAL)).scalar_one()
        sums = select(func.count(), func.coalesce(func.sum(batches.c.unit_price), 0.0))
        sums = sums.join_from(items, chunks, chunks.c.id == items.c.chunk_id)
        sums = sums.join(batches, batches.c.id == items.c.batch_id)
        planned = (chunks.c.state == ChunkState.PLANNED) & (items.c.outcome == Outcome.WAITING)
        sent = chunks.c.state.in_([ChunkState.SENDING, ChunkState.IN_DOUBT]) & UNDECIDED
        waiting, waiting_cost = connection.execute(sums.where(planned)).one()
        in_doubt, _ = connection.execute(sums.where(sent)).one()
    return Adoption(count, cost, pending, waiting, waiting_cost, in_doubt)
