"""A database that is older than the answers kept beside it: a backup, or an empty file, was put in its place.

Such a database would send again what is paid already. It is recognised by answers on disk to batches that it does not
know. This module sends nothing.
"""

import logging

from database import IMEIDatabase, Transaction, write_setting
from storage import automation_store, batch_recovery
from storage.batch_states import pause_all, resume_self_resuming
from storage.call_records import write_intents
from storage.history_mark import OLDER_COPY
from submission.checkpoints import Checkpoints

logger = logging.getLogger(__name__)

SENTENCE = (
    "This database is older than the answers kept beside it: a backup or an empty file was put in its place. Run "
    "`flask rebuild-from-provider` before anything is ordered, so that nothing is paid twice."
)
RESTORED = (
    "This database was restored from a backup, so newer orders may be missing. Run `flask rebuild-from-provider` before"
    " anything is ordered, so that nothing is paid twice."
)


def older_copy_objection(database: IMEIDatabase) -> str:
    """Return why nothing may be ordered with this database as it is, or ""."""
    return database.get_setting(OLDER_COPY) or ""


def accept_older_copy(database: IMEIDatabase) -> None:
    """Remove the objection: the orders were restored."""
    database.set_setting(OLDER_COPY, "")


def recognise_older_copy(database: IMEIDatabase, checkpoints: Checkpoints) -> bool:
    """Return whether answers are kept of batches that this database has never had.

    Then nothing planned is sent until a person resumes it, and new batches get ids beyond those. Safe to repeat.
    """
    folders = (checkpoints, *checkpoints.of_accounts().values())
    last = max((batch_id for folder in folders for batch_id in folder.batches()), default=0)
    with database.read() as connection:
        if batch_recovery.last_batch_id(connection) >= last:
            return False
    with database.write() as connection:
        batch_recovery.skip_batch_ids(connection, last)
        stop_all(connection)
    return True


def has_unrecorded_answers(database: IMEIDatabase, checkpoints: Checkpoints) -> bool:
    """Return whether answers are kept that the next leader would record first."""
    with database.read() as connection:
        newest = batch_recovery.last_batch_id(connection)
        return newest < max(checkpoints.batches(), default=0) or bool(_answered_later(connection, checkpoints))


def stop_restored(database: IMEIDatabase, checkpoints: Checkpoints) -> None:
    """Stop all orders of a database that is about to be restored, until its missing orders are rebuilt."""
    if not recognise_older_copy(database, checkpoints):
        with database.write() as connection:
            stop_all(connection, RESTORED)


def reopen_answered(connection: Transaction, checkpoints: Checkpoints, account: str) -> None:
    """Set planned chunks whose answers are kept already to sending, so that the recovery records these answers.

    If there is one, the database is an older copy, and its other planned calls may have been sent too: all is stopped.
    """
    answered = _answered_later(connection, checkpoints)
    if answered:
        batch_recovery.set_attempts(connection, {chunk_id: attempt - 1 for chunk_id, attempt in answered.items()})
        write_intents(connection, list(answered), account)
        stop_all(connection)


def stop_where_answered(database: IMEIDatabase, checkpoints: Checkpoints) -> None:
    """Stop everything where answers are kept to planned calls of an account that does not recover them here.

    The database is an older copy, and another account would send again what was paid.
    """
    with database.write() as connection:
        if _answered_later(connection, checkpoints):
            stop_all(connection)


def _answered_later(connection: Transaction, checkpoints: Checkpoints) -> dict[int, int]:
    """Return chunk id → newest kept attempt, of planned chunks that were answered later than the database knows."""
    found = dict[int, int]()
    for batch_id in batch_recovery.unfinished_ids(connection):
        kept = checkpoints.newest_attempts(batch_id)
        planned = batch_recovery.planned_calls(connection, batch_id)
        found |= {call.chunk_id: kept[call.chunk_id] for call in planned if kept.get(call.chunk_id, 0) > call.attempt}
    return found


def stop_all(connection: Transaction, sentence: str = SENTENCE) -> None:
    """Pause every batch, also those that wait for the provider's maintenance, turn automations off, and keep why."""
    resume_self_resuming(connection)
    pause_all(connection, sentence)
    automation_store.turn_all_off(connection, sentence)
    write_setting(connection, OLDER_COPY, sentence)
    logger.error(sentence)
