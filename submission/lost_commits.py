"""A database on a server that has lost commits: a standby that lagged took over, or an earlier state was put back.

Such a database would send again what is paid already. It is recognised by the history of its server, which is not the
one under which it was known to be whole, or by answers to calls that it does not know to have begun. Until a leader has
looked, no call begins (storage/handed_calls.py). This module sends nothing.
"""

import logging
from collections.abc import Sequence

from database import IMEIDatabase, Transaction, read_setting, write_setting
from orders import Chunk
from settings import Settings
from storage import handed_calls, history_mark
from submission.older_copy import older_copy_objection, stop_all

logger = logging.getLogger(__name__)

#: The name in the settings table under which the time of the stop is kept, in Unix seconds by the clock of the server.
LOST_AT = "lost_at"
LOST = (
    "The database server may have lost its newest changes: a standby took over, or a backup was put back. Make sure"
    " that the server before it is off, then run `flask rebuild-from-provider`, so that nothing is paid twice."
)


def stop_where_commits_are_lost(database: IMEIDatabase, is_lossless: bool = False) -> bool:
    """Stop all orders if the server has another history than when the database was known to be whole.

    A database without a mark gets one. is_lossless: the operator says that a standby that takes over has every commit;
    this is believed only if the servers were synchronous. Return whether the database was stopped now. Safe to repeat.
    """
    if database.is_file:
        return False
    with database.read() as connection:
        found = history_mark.read_history(connection)
        if found.fits and found.is_synchronous == found.was_synchronous:
            return False
    with database.write() as connection:
        found = history_mark.read_history(connection)
        is_lost = not (found.marked is None or found.fits or (is_lossless and found.is_confirmed))
        if found.marked is not None and not found.fits:
            logger.warning("The history of the database server is %s, and was %s", found.now, found.marked)
        if is_lost:
            stop_lost(connection)
        history_mark.write_mark(connection, found.is_synchronous)
        return is_lost


def stop_lost(connection: Transaction, only_answers: bool = False) -> None:
    """Stop everything, and count all calls as begun: the commit that began one of them may be lost.

    only_answers: see stop_all().
    """
    handed_calls.count_all_as_begun(connection)
    write_setting(connection, LOST_AT, str(handed_calls.database_clock(connection)))
    stop_all(connection, LOST, only_answers)


def seconds_to_wait(database: IMEIDatabase, settings: Settings) -> float:
    """Return the seconds for which the provider may still work on calls that the database has lost; 0 if it lost none.

    Until then the provider's list may not show their orders.
    """
    if older_copy_objection(database) != LOST:
        return 0.0
    with database.read() as connection:
        passed = handed_calls.database_clock(connection) - float(read_setting(connection, LOST_AT) or 0.0)
    longest = settings.call_timeout + settings.settle_quiet
    return min(max(0.0, longest - passed), longest)


def restore_calls(connection: Transaction, called: Sequence[Chunk]) -> None:
    """Stop everything, because answers have come to calls that the database does not know to have begun.

    Their planned chunks become sending again, so that the answers are recorded as any others. An answer whose IMEIs are
    settled stops nothing: it has come after the rebuild.
    """
    waiting = [chunk for chunk in called if handed_calls.has_waiting_imei(connection, chunk)]
    if waiting:
        stop_lost(connection, only_answers=True)
    for chunk in waiting:
        handed_calls.restore(connection, chunk)
