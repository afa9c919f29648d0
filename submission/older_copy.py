"""A database that is older than the answers kept beside it: a backup, or an empty file, was put in its place.

Such a database would send again what is paid already. It is recognised by answers on disk to batches and calls that it
does not know, and by the number of the newest call, which is noted before the call is sent. This module sends nothing.
"""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from database import IMEIDatabase, Transaction, read_setting, write_setting
from orders import ChunkState
from settings import MAIN_ACCOUNT
from storage import account_mark, automation_store, batch_recovery, call_queries, move_marks
from storage.batch_states import pause_all, resume_self_resuming
from storage.call_queries import NOT_PLACED
from storage.call_records import write_intents
from storage.chunk_moves import end_attempts
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

#: The name in the settings table of a word that each stop writes anew.
STOP = "older_copy_stop"
ANSWERED_LATER = "sent again since: an answer to a later call is kept"


def older_copy_objection(database: IMEIDatabase) -> str:
    """Return why nothing may be ordered with this database as it is, or ""."""
    return database.get_setting(OLDER_COPY) or ""


def newest_stop(database: IMEIDatabase) -> str:
    """Return the name of the newest stop, for accept_older_copy()."""
    return database.get_setting(STOP) or ""


def accept_older_copy(database: IMEIDatabase, stop: str) -> bool:
    """Remove the objection: the orders were restored. What else the kept answers say is recorded by the next leader.

    stop: what newest_stop() was before they were looked up. Returns False, and leaves all as it is, where the database
    was stopped once more since: what it lost then was not looked up.
    """
    folders = _of_accounts(Checkpoints(database.folder / "checkpoints")) if database.is_file else []
    with database.write() as connection:
        if stop != (read_setting(connection, STOP) or ""):
            return False
        for account, folder in folders:
            _skip_calls(connection, folder.newest_call())
            _take_up(connection, folder, account)
        write_setting(connection, OLDER_COPY, "")
    for _, folder in folders:
        folder.moved.unlink(missing_ok=True)
    return True


def recognise_older_copy(database: IMEIDatabase, checkpoints: Checkpoints) -> bool:
    """Return whether answers or calls are noted of batches and attempts that this database has never had.

    Then nothing planned is sent until a person resumes it, and new ones get ids beyond those. A file that stands in
    the place of one that was moved to a server is stopped, too: what the server ordered is not kept. Safe to repeat.
    """
    _stop_where_moved(database, checkpoints)
    last, newest = _last_batch(checkpoints), _newest_call(checkpoints)  # before the database: it may be at work
    with database.read() as connection:
        is_answered = batch_recovery.last_batch_id(connection) < last
        if not is_answered and batch_recovery.last_attempt_id(connection) >= newest:
            return False
        is_answered |= any(_find_newer(connection, folder) for _, folder in _of_accounts(checkpoints))
    with database.write() as connection:
        if batch_recovery.last_batch_id(connection) < last:
            batch_recovery.skip_batch_ids(connection, last)
        _skip_calls(connection, newest)
        stop_all(connection, SENTENCE if is_answered else RESTORED)
    return True


def has_unrecorded_answers(database: IMEIDatabase, checkpoints: Checkpoints) -> bool:
    """Return whether answers are kept that the next leader would record first."""
    with database.read() as connection:
        if batch_recovery.last_batch_id(connection) < _last_batch(checkpoints):
            return True
        return any(_find_newer(connection, folder) for _, folder in _of_accounts(checkpoints))


def stop_restored(database: IMEIDatabase, checkpoints: Checkpoints) -> None:
    """Stop all orders of a database that is about to be restored, until its missing orders are rebuilt.

    Where nothing newer is kept beside it, as on another machine, the provider's list must reach back to what it knows.
    """
    if not recognise_older_copy(database, checkpoints):
        has_answers = has_unrecorded_answers(database, checkpoints)
        with database.write() as connection:
            stop_all(connection, SENTENCE if has_answers else RESTORED)


def reopen_answered(connection: Transaction, checkpoints: Checkpoints, account: str) -> None:
    """Set chunks whose answers are kept already to sending, so that the recovery records these answers.

    If there is one, or a newer call is noted, the database is an older copy, and its other planned calls may have been
    sent too: all is stopped.
    """
    is_older = _skip_calls(connection, checkpoints.newest_call())
    is_answered = _take_up(connection, checkpoints, account)
    if is_older or is_answered:
        stop_all(connection, SENTENCE if is_answered else RESTORED, only_answers=not is_older)


def stop_where_answered(database: IMEIDatabase, checkpoints: Checkpoints) -> None:
    """Stop everything where answers are kept to calls of an account that does not recover them here.

    The database is an older copy, and another account would send again what was paid.
    """
    with database.write() as connection:
        if _find_newer(connection, checkpoints):
            stop_all(connection)


@dataclass(frozen=True, slots=True)
class _Newer:
    """What was answered later than the database knows, in batches of which something may still be sent."""

    answered: Mapping[int, int]  #: chunk id → newest kept attempt, of chunks that are planned or on the wire
    last_chunk: int  #: the largest id of a chunk that the database never had; 0 where there is none

    def __bool__(self) -> bool:
        return bool(self.answered or self.last_chunk)


def _find_newer(connection: Transaction, checkpoints: Checkpoints) -> _Newer:
    last, found, unknown = batch_recovery.last_chunk_id(connection), dict[int, int](), 0
    for batch_id in batch_recovery.open_batches(connection):
        kept = checkpoints.newest_attempts(batch_id)
        calls = batch_recovery.open_calls(connection, batch_id)
        found |= {call.chunk_id: kept[call.chunk_id] for call in calls if kept.get(call.chunk_id, 0) > call.attempt}
        if max(kept, default=0) > last:  # read with care: a result text may look like the header of an answer
            unknown = max(unknown, *(answer.chunk_id for answer in checkpoints.answers(batch_id)))
    return _Newer(found, unknown if unknown > last else 0)


def _take_up(connection: Transaction, checkpoints: Checkpoints, account: str) -> bool:
    """Let the recovery record what was answered later than the database knows. Return whether anything was.

    New chunks get ids beyond those that were answered: their answers would be taken for each other's.
    """
    newer = _find_newer(connection, checkpoints)
    for chunk in call_queries.open_chunks(connection, ChunkState.SENDING) if newer.answered else ():
        if chunk.chunk_id in newer.answered:  # it was sent again, so this attempt certainly placed nothing
            end_attempts(connection, [(chunk.attempt_id, NOT_PLACED, ANSWERED_LATER)])
    if newer.answered:
        attempts = {chunk_id: attempt - 1 for chunk_id, attempt in newer.answered.items()}
        batch_recovery.plan_again(connection, attempts)
        write_intents(connection, list(newer.answered), account)
        if account == MAIN_ACCOUNT and account_mark.was_adopted(connection):  # whose calls these were is not known
            account_mark.write_adoption(connection)
    if newer.last_chunk:
        batch_recovery.skip_chunk_ids(connection, newer.last_chunk)
    return bool(newer)


def _of_accounts(checkpoints: Checkpoints) -> list[tuple[str, Checkpoints]]:
    """Return each account of which answers may be kept, with their folder."""
    return [(MAIN_ACCOUNT, checkpoints), *checkpoints.of_accounts().items()]


def _stop_where_moved(database: IMEIDatabase, checkpoints: Checkpoints) -> None:
    """Stop a file that is a copy from before the move of the one in whose place it stands."""
    if not (database.is_file and checkpoints.moved.exists()):
        return
    with database.write() as connection:
        if move_marks.read_move(connection) is None and not read_setting(connection, OLDER_COPY):
            stop_all(connection, RESTORED)


def _last_batch(checkpoints: Checkpoints) -> int:
    """Return the largest id of a batch of which an answer of any account is kept; 0 where there is none."""
    return max((batch_id for _, folder in _of_accounts(checkpoints) for batch_id in folder.batches()), default=0)


def _newest_call(checkpoints: Checkpoints) -> int:
    """Return the newest attempt of any account that is noted; 0 where there is none."""
    return max(folder.newest_call() for _, folder in _of_accounts(checkpoints))


def _skip_calls(connection: Transaction, newest: int) -> bool:
    """Give new attempts ids beyond the newest that is noted. Return whether the database never had that one."""
    if batch_recovery.last_attempt_id(connection) >= newest:
        return False
    batch_recovery.skip_attempt_ids(connection, newest)
    return True


def stop_all(connection: Transaction, sentence: str = SENTENCE, only_answers: bool = False) -> None:
    """Pause every batch, also those that wait for the provider's maintenance, turn automations off, and keep why.

    only_answers: what shows that data are lost is recorded. It is no new stop where there is one already.
    """
    is_new = not only_answers or not read_setting(connection, OLDER_COPY)
    resume_self_resuming(connection)
    pause_all(connection, sentence)
    automation_store.turn_all_off(connection, sentence)
    write_setting(connection, OLDER_COPY, sentence)
    if is_new:
        write_setting(connection, STOP, secrets.token_hex(8))
    logger.error(sentence)
