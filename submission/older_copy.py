"""A database that is older than the answers kept beside it: a backup, or an empty file, was put in its place.

Such a database would send again what is paid already. It is recognised by the answers on disk that it knows nothing of.
This module sends nothing.
"""

import logging
from collections.abc import Mapping

from sqlalchemy import Connection, select, text, update

from database import IMEIDatabase
from orders import BatchState, ChunkState
from schema import batches, chunks
from storage.batch_store import pause_all, resume_self_resuming
from storage.call_log import write_intents
from submission.checkpoints import Checkpoints

logger = logging.getLogger(__name__)

#: The name in the settings table under which the sentence stands until the orders were restored.
OLDER_COPY = "older_copy"
SENTENCE = (
    "This database is older than the answers kept beside it: a backup or an empty file was put in its place. Run "
    "`flask --app web_app rebuild-from-provider` before anything is ordered, so that nothing is paid twice."
)
LAST_BATCH = text("SELECT seq FROM sqlite_sequence WHERE name = 'batches'")
FORGET_LAST = text("DELETE FROM sqlite_sequence WHERE name = 'batches'")
SET_LAST = text("INSERT INTO sqlite_sequence (name, seq) VALUES ('batches', :last)")
REMEMBER = text("INSERT OR REPLACE INTO settings (key, value) VALUES (:key, :value)")


def older_copy_objection(database: IMEIDatabase) -> str:
    """Why nothing shall be ordered with this database as it is, or ""."""
    return database.get_setting(OLDER_COPY) or ""


def accept_older_copy(database: IMEIDatabase) -> None:
    """The orders were restored: take the objection back."""
    database.set_setting(OLDER_COPY, "")


def recognise_older_copy(database: IMEIDatabase, checkpoints: Checkpoints) -> bool:
    """Whether answers are kept of batches that this database has never had.

    Then nothing planned is sent until a person resumes it, and new batches get ids beyond those. Safe to repeat.
    """
    last = max(checkpoints.batches(), default=0)
    with database.read() as connection:
        if (connection.execute(LAST_BATCH).scalar() or 0) >= last:
            return False
    with database.write() as connection:
        connection.execute(FORGET_LAST)
        connection.execute(SET_LAST, {"last": last})
        _stop(connection)
    return True


def reopen_answered(connection: Connection, checkpoints: Checkpoints) -> None:
    """planned → sending for every chunk whose answer is kept already, so that the recovery reads it.

    Where there is one the database is an older copy, and what else is planned may have been sent as well: it waits.
    """
    unfinished = select(batches.c.id).where(batches.c.state != BatchState.FINISHED).order_by(batches.c.id)
    reopened = [
        chunk_id
        for batch_id in connection.execute(unfinished).scalars().all()
        for chunk_id in _reopen(connection, batch_id, checkpoints.newest_attempts(batch_id))
    ]
    if reopened:
        write_intents(connection, reopened)
        _stop(connection)


def _reopen(connection: Connection, batch_id: int, kept: Mapping[int, int]) -> list[int]:
    """The planned chunks that were answered under a later attempt (kept: chunk id → attempt), set to the one before."""
    planned = select(chunks.c.id, chunks.c.attempt).where(
        chunks.c.batch_id == batch_id, chunks.c.state == ChunkState.PLANNED
    )
    found = [row.id for row in connection.execute(planned) if kept.get(row.id, 0) > row.attempt]
    for chunk_id in found:
        connection.execute(update(chunks).where(chunks.c.id == chunk_id).values(attempt=kept[chunk_id] - 1))
    return found


def _stop(connection: Connection) -> None:
    """Nothing goes on by itself, also not what waits for the provider's maintenance to end."""
    resume_self_resuming(connection)
    pause_all(connection, SENTENCE)
    connection.execute(REMEMBER, {"key": OLDER_COPY, "value": SENTENCE})
    logger.error(SENTENCE)
