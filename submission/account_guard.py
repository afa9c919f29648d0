"""Whether this account may work with this database: with another account nothing is sent, fetched or settled.

Waiting IMEIs would be paid by the wrong account, and its list of orders proves nothing about calls in doubt. An
administrator can adopt the database. This module calls no provider; the leader, pages and commands ask it first.
"""

import hmac
import logging

from database import INSTALL_ID, IMEIDatabase, read_setting
from gsm_fusion_client import NotSentError
from settings import Access, ProviderAccount, Settings
from storage import account_mark, automation_store, batch_states
from storage.account_mark import DEMO, LIVE, AccountMark

logger = logging.getLogger(__name__)

#: Where a database without a mark lies beside this folder, its orders may be those of the demo.
DEMO_FOLDER = "demo"
ADOPT = "An administrator can adopt it on the page Status, or with `flask adopt-account`."
PAUSED = "This database was adopted by another account. Resume the batch to order the rest with it."
TURNED_OFF = "This database was adopted by another account. Turn the automation on again to order with it."


class OtherAccountError(NotSentError):
    """The database belongs to another account, so the provider was not asked; the message says what to do."""


def mark_of(account: Access, install_id: str) -> AccountMark:
    """Return the mark of an account, for the database with this install id."""
    if not account.api_key:
        return AccountMark(DEMO, "", "")
    user = hmac.digest(install_id.encode(), account.username.strip().encode(), "sha256").hex()
    return AccountMark(LIVE, account.base_url.lower(), user)


def account_objection(database: IMEIDatabase, settings: Settings) -> str:
    """Return why nothing may be sent, fetched or settled with this database and account; "" if it may.

    A database without a mark gets one, unless its orders may be those of the demo.
    """
    with database.read_one() as connection:  # the name never changes
        name, stored = read_setting(connection, INSTALL_ID), account_mark.read_mark(connection)
    own = mark_of(settings, name or database.install_id())
    if stored is None:
        stored = _mark_first(database, settings, own)
    return "" if stored == own else _words(stored, own)


def absence_of(database: IMEIDatabase, account: ProviderAccount) -> str:
    """Return why an account besides the main one sends nothing with this database; "" where it may.

    Its name is marked the first time. A name that is marked is no other account's, and an account has one name.
    """
    own = mark_of(account, database.install_id())
    with database.write() as connection:
        other = account_mark.other_name_of(connection, own, account.name)
        stored = account_mark.read_mark(connection, account.name)
        if stored is None and not other:
            account_mark.write_mark(connection, own, account.name)
    if other:
        return f"its orders are recorded under the name {other!r}: name it so again in GSM_FUSION_ACCOUNTS"
    if stored not in (None, own):
        return "its name belongs to another user name or address: choose a new name in GSM_FUSION_ACCOUNTS"
    return ""


def check_account(stored_text: str | None, own: AccountMark | None) -> None:
    """Raise OtherAccountError if the database is marked with another account. An own mark of None matches all accounts.

    stored_text: what account_mark.stored() found in the transaction that is checked.
    """
    stored = account_mark.parse_mark(stored_text)
    if own is not None and stored is not None and stored != own:
        raise OtherAccountError(_words(stored, own))


def require_account(database: IMEIDatabase, settings: Settings) -> None:
    """Raise OtherAccountError with a sentence unless this account may work with the database."""
    words = account_objection(database, settings)
    if words:
        raise OtherAccountError(words)


def require_own_mark(database: IMEIDatabase, settings: Settings) -> None:
    """Raise OtherAccountError for a database that is marked with another account. One without a mark gets none."""
    check_account(database.get_setting(account_mark.ACCOUNT), mark_of(settings, database.install_id()))


def may_adopt(database: IMEIDatabase, settings: Settings) -> bool:
    """Return whether the account of these settings may adopt the database: never from the demo to a real account."""
    with database.read() as connection:
        stored = account_mark.read_mark(connection)
    return stored is None or stored.mode == mark_of(settings, "").mode


def adopt_database(database: IMEIDatabase, settings: Settings) -> None:
    """Mark the database with the account of these settings. Every unfinished batch is paused, and waits for a person.

    Raises OtherAccountError where may_adopt() forbids it.
    """
    own = mark_of(settings, database.install_id())
    with database.write() as connection:
        stored = account_mark.read_mark(connection)
        if stored is not None and stored.mode != own.mode:
            raise OtherAccountError(_words(stored, own))
        account_mark.write_mark(connection, own)
        account_mark.write_adoption(connection)
        batch_states.resume_self_resuming(connection)
        batch_states.pause_all(connection, PAUSED)
        automation_store.turn_all_off(connection, TURNED_OFF)
    logger.warning("The database was adopted by another account")


def _mark_first(database: IMEIDatabase, settings: Settings, own: AccountMark) -> AccountMark | None:
    """Mark a database that has no mark; return its mark, None where an administrator must decide."""
    with database.write() as connection:
        stored = account_mark.read_mark(connection)
        if stored is not None:
            return stored
        beside_demo = not settings.demo and database.is_file and (database.path.parent / DEMO_FOLDER).exists()
        if beside_demo and account_mark.is_used(connection):
            return None
        account_mark.write_mark(connection, own)
    return own


def _words(stored: AccountMark | None, own: AccountMark) -> str:
    """Return why this account may not work with the database."""
    if stored is None:
        return f"Nothing is sent: it is not known which account the orders of this database were placed with. {ADOPT}"
    if stored.mode == DEMO:
        return "Nothing is sent: this database holds simulated orders of the demo. Move it away, and start again."
    if own.mode == DEMO:
        return "Nothing is sent: this database holds orders of a real account, and the demo has its own. Move it away."
    if stored.base_url != own.base_url:
        return f"Nothing is sent: the orders of this database were placed at {stored.base_url}. {ADOPT}"
    return f"Nothing is sent: the orders of this database were placed with another user name. {ADOPT}"
