"""The event that the balance is low: once each time that it falls below the limit, whoever read the balance."""

from account import AccountBalance, ProviderRequests
from amounts import exceeds, plain_money
from database import IMEIDatabase, read_setting, write_setting
from storage import outbox
from storage.outbox import EventKind

#: The name in the settings table of the mark that the balance was low when it was last known.
MARK = "balance_is_low"


def note_balance(database: IMEIDatabase, limit: float | None) -> None:
    """Write an event where the newest known balance is the first one below the limit (US dollars; None: no limit).

    The mark moves in the transaction of the event: no event is lost or repeated.
    """
    balance = AccountBalance(ProviderRequests(database)).stored().credits if limit is not None else None
    if limit is None or balance is None:
        return
    word = "1" if exceeds(limit, balance) else ""
    if (database.get_setting(MARK) or "") == word:
        return
    with database.write() as connection:
        if (read_setting(connection, MARK) or "") == word:
            return
        write_setting(connection, MARK, word)
        if word:
            data = {"balance": plain_money(balance), "limit": plain_money(limit), "currency": "USD"}
            outbox.add(connection, EventKind.BALANCE_LOW, data)
