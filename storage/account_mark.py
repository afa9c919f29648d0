"""The mark of a database: the provider account that its orders were placed with.

With the credentials of another account nothing may be sent, fetched or settled: waiting IMEIs would be paid by the
wrong account, and its list of orders proves nothing about calls in doubt. An administrator can adopt the database.
This module calls nobody; the runner, pages and commands ask it before they do.
"""

import hmac
import json
import logging
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, func, select

from amounts import money, plural
from database import IMEIDatabase, Transaction, read_setting, write_setting
from gsm_fusion_client import NotSentError
from orders import ChunkState, Outcome
from schema import NOT_FINAL, UNDECIDED, batches, chunks, items, orders
from schema import settings as stored_settings
from settings import Settings
from storage import batch_store

logger = logging.getLogger(__name__)

#: The name in the settings table.
ACCOUNT = "account_mark"
#: The mark as it is stored, for a SELECT of something else: it is asked with every intent.
STORED = select(stored_settings.c.value).where(stored_settings.c.key == ACCOUNT).scalar_subquery().label(ACCOUNT)
#: The name in the settings table: the newest attempt of the account before, when the database was adopted.
ADOPTED = "adopted_after_attempt"
LIVE, DEMO = "live", "demo"
#: Where a database without a mark lies beside this folder, its orders may be those of the demo.
DEMO_FOLDER = "demo"
ADOPT = "An administrator can adopt it on the page Status, or with `flask --app web_app adopt-account`."
PAUSED = "This database was adopted by another account. Resume the batch to order the rest with it."


class OtherAccountError(NotSentError):
    """The database belongs to another account, so the provider was not asked; the message says what to do."""


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


def mark_of(settings: Settings, install_id: str) -> AccountMark:
    """Return the mark of the account that these settings name, for the database with this install id."""
    if settings.demo:
        return AccountMark(DEMO, "", "")
    user = hmac.digest(install_id.encode(), settings.username.strip().encode(), "sha256").hex()
    return AccountMark(LIVE, settings.base_url.lower(), user)


def objection(database: IMEIDatabase, settings: Settings) -> str:
    """Return why nothing may be sent, fetched or settled with this database and account; "" if it may.

    A database without a mark gets one, unless its orders may be those of the demo.
    """
    own = mark_of(settings, database.install_id())
    with database.read() as connection:
        stored = _read(connection)
    if stored is None:
        stored = _mark_first(database, settings, own)
    return "" if stored == own else _words(stored, own)


def check(text: str | None, own: AccountMark | None) -> None:
    """Raise OtherAccountError if the database is marked with another account. text: what STORED found; None: no check.

    Inside the transaction that read it.
    """
    stored = _mark(text)
    if own is not None and stored is not None and stored != own:
        raise OtherAccountError(_words(stored, own))


def require(database: IMEIDatabase, settings: Settings) -> None:
    """Raise OtherAccountError with a sentence unless this account may work with the database."""
    words = objection(database, settings)
    if words:
        raise OtherAccountError(words)


def may_adopt(database: IMEIDatabase, settings: Settings) -> bool:
    """Whether the account of these settings may adopt the database: not across the border of the demo."""
    with database.read() as connection:
        stored = _read(connection)
    return stored is None or stored.mode == mark_of(settings, "").mode


def adoption(database: IMEIDatabase) -> Adoption:
    """Return what the database holds, for whoever decides whether to adopt it."""
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


def adopt(database: IMEIDatabase, settings: Settings) -> None:
    """Mark the database with the account of these settings. Every unfinished batch is paused, and waits for a person.

    Raises OtherAccountError where may_adopt() forbids it.
    """
    own = mark_of(settings, database.install_id())
    with database.write() as connection:
        stored = _read(connection)
        if stored is not None and stored.mode != own.mode:
            raise OtherAccountError(_words(stored, own))
        _write(connection, own)
        write_setting(connection, ADOPTED, str(batch_store.newest_attempt(connection)))
        batch_store.resume_self_resuming(connection)
        batch_store.pause_all(connection, PAUSED)
    logger.warning("The database was adopted by another account")


def adopted_after(connection: Connection) -> int:
    """Return the newest attempt that another account made, 0 for none: our list says nothing about such calls."""
    return int(read_setting(connection, ADOPTED) or 0)


def _mark_first(database: IMEIDatabase, settings: Settings, own: AccountMark) -> AccountMark | None:
    """Mark a database that has no mark; returns its mark, None where an administrator must decide."""
    with database.write() as connection:
        stored = _read(connection)
        if stored is not None:
            return stored
        used = any(connection.execute(select(table.c.id).limit(1)).first() for table in (batches, orders))
        if used and not settings.demo and (database.path.parent / DEMO_FOLDER).exists():
            return None
        _write(connection, own)
    return own


def _read(connection: Connection) -> AccountMark | None:
    return _mark(read_setting(connection, ACCOUNT))


def _mark(text: str | None) -> AccountMark | None:
    return AccountMark(**json.loads(text)) if text else None


def _write(connection: Transaction, mark: AccountMark) -> None:
    write_setting(connection, ACCOUNT, json.dumps(asdict(mark)))


def _words(stored: AccountMark | None, own: AccountMark) -> str:
    """Why this account may not work with the database."""
    if stored is None:
        return f"Nothing is sent: it is not known which account the orders of this database were placed with. {ADOPT}"
    if stored.mode == DEMO:
        return "Nothing is sent: this database holds simulated orders of the demo. Move it away, and start again."
    if own.mode == DEMO:
        return "Nothing is sent: this database holds orders of a real account, and the demo has its own. Move it away."
    if stored.base_url != own.base_url:
        return f"Nothing is sent: the orders of this database were placed at {stored.base_url}. {ADOPT}"
    return f"Nothing is sent: the orders of this database were placed with another user name. {ADOPT}"
