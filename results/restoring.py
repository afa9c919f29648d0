"""Restore a backup: verify it beside the database, make it safe there, then put it in the database's place.

Everything that may fail happens before the last step, which a kill cannot cut in half (sqlite_file/replacing.py). The
answers beside the database stay, and nothing is ordered with the restored one before `flask rebuild-from-provider`.
This module sends nothing.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from database import IMEIDatabase, UnusableDatabaseError, utc_now
from settings import Settings
from sqlite_file import SPARE, fold, read_copy, replace
from storage import audit_log, order_queries, user_store
from storage.audit_log import NewEntry
from submission import Checkpoints, OtherAccountError, require_own_mark, stop_restored

#: Folders in the data folder: of a restore under way, and of what was replaced.
STAGING, REPLACED = "restoring", "replaced"
#: The table that every version of this program has.
OURS = "orders"


class RestoreError(Exception):
    """Nothing was restored; the message is one sentence with the reason."""


@dataclass(frozen=True, slots=True)
class PreparedRestore:
    """A backup that is verified and ready to be put in place."""

    path: Path
    orders: int
    batches: int
    users: tuple[str, ...]  #: who can log in afterwards, such as "anna (admin)"


def prepare_restore(file: Path, settings: Settings, actor: str) -> PreparedRestore:
    """Verify a backup and copy it, ready to be used, beside the database. Raises RestoreError.

    Hold the database alone meanwhile. actor: who restores, for the audit log.
    """
    folder = settings.data_dir / STAGING
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    staged = folder / settings.database_path.name
    if shutil.disk_usage(folder).free < 2 * file.stat().st_size + SPARE:
        raise RestoreError("The disk has too little free space for it.")
    try:
        if OURS not in read_copy(file, staged):
            raise RestoreError(f"{file.name} is no database of HAMMER-API.")
        prepared = _make_safe(staged, file, settings, actor)
    except OSError as error:
        raise RestoreError(f"{file.name} cannot be used: {error.strerror}.") from error
    except (UnusableDatabaseError, OtherAccountError) as error:
        raise RestoreError(str(error)) from error
    if not fold(staged):
        raise RestoreError(f"{file.name} is damaged.")
    return prepared


def put_in_place(prepared: PreparedRestore, settings: Settings) -> list[Path]:
    """Replace the database by the prepared one. Returns the files that hold what was replaced. Raises OSError."""
    kept = replace(settings.database_path, prepared.path, settings.data_dir / REPLACED, utc_now())
    shutil.rmtree(prepared.path.parent, ignore_errors=True)
    return kept


def _make_safe(staged: Path, file: Path, settings: Settings, actor: str) -> PreparedRestore:
    """Migrate a copy, check its account, let it order nothing, and record the restore in it."""
    with IMEIDatabase(staged) as database:
        require_own_mark(database, settings)
        stop_restored(database, Checkpoints(settings.data_dir / "checkpoints"))
        counts = order_queries.table_counts(database)
        detail = {"orders": counts["orders"], "batches": counts["batches"]}
        with database.write() as connection:
            audit_log.append(connection, NewEntry(actor, "local", "restore", file.name, detail))
            users = [user for user in user_store.all_users(connection) if user.disabled_at is None]
    names = tuple(f"{user.name} ({user.role})" for user in users)
    return PreparedRestore(staged, counts["orders"], counts["batches"], names)
