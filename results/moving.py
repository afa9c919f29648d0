"""Move all data from the file to a database of PostgreSQL, once: copy, compare, and mark the file as moved.

The copy and its checks are one transaction: a kill leaves the server as it was. The file is marked before that
transaction commits, because two databases that plan the same orders would pay for them twice: a kill between the two
leaves a marked file and nothing on the server, and the next run copies again. This module sends nothing.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from amounts import plural
from database import IMEIDatabase, utc_now
from engines import revisions
from storage import audit_chain, move_marks
from storage.copy_checks import Checked, check_copy, count_rows
from storage.database_copy import CopyError, Repair, Tell, copy_tables
from storage.move_marks import Move
from submission import Checkpoints, has_unrecorded_answers, older_copy_objection, stop_restored

LEFT = (
    "The database {} was moved to {} on {}: set DATABASE_URL to its address. If the move was interrupted, run `flask"
    " move-to-postgres` again; `flask move-to-postgres --undo` goes back to the file."
)
LEFT_BEHIND = (
    "The database {} was moved back to the file {} on {}: remove DATABASE_URL, or move the file here again with `flask"
    " move-to-postgres --replace`."
)
RECORD_FIRST = "Start the app on the file until {}, and stop it. Then move it."


class MoveError(Exception):
    """Nothing was moved; the message is one sentence with the reason, and one with what to do."""


class UnnotedMoveError(Exception):
    """All was moved, but not noted beside the file; the message is one sentence with the reason."""


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What a move would do."""

    rows: Mapping[str, int]  #: table of the file → rows to copy
    lost: Mapping[str, int]  #: table of the server → rows that the move would delete
    done: Move | None  #: the move that has copied all of this already


@dataclass(frozen=True, slots=True)
class MoveReport:
    """What was copied and compared."""

    checked: Checked
    repairs: tuple[Repair, ...]
    audit_problem: str  #: what is wrong with the audit log, as it was before; ""


def plan_move(source: IMEIDatabase, target: IMEIDatabase, checkpoints: Checkpoints) -> MovePlan:
    """Look at both databases. Raises MoveError where the file cannot be moved as it is."""
    _require_same_tables(target)
    with source.read() as connection:
        ours, rows, sending = move_marks.read_move(connection), count_rows(connection), move_marks.sending(connection)
    with target.read() as connection:
        theirs, lost = move_marks.read_move(connection), move_marks.missed(connection)
    done = ours if ours is not None and ours == theirs else None
    if sending:
        words = f"{plural(sending, 'chunk')} {'is' if sending == 1 else 'are'} being sent, without a recorded end."
        raise MoveError(f"{words} {RECORD_FIRST.format('every call has its end')}")
    objection = older_copy_objection(source)
    if objection:
        raise MoveError(objection)
    if has_unrecorded_answers(source, checkpoints):
        words = "Answers are kept beside the file that it has not recorded."
        raise MoveError(f"{words} {RECORD_FIRST.format('they are recorded')}")
    return MovePlan(rows, lost, done)


def move(source: IMEIDatabase, target: IMEIDatabase, plan: MovePlan, tell: Tell) -> MoveReport:
    """Copy, compare, and mark the file as moved. Hold the file alone meanwhile.

    Raises MoveError, and DatabaseUnavailableError: then all is copied or nothing, and the next plan shows which. Raises
    UnnotedMoveError after the copy.
    """
    noted = Move(secrets.token_hex(8), target.engines.place, utc_now().isoformat(timespec="seconds"))
    try:
        report = audit_chain.verify(source)
        with target.write() as new, source.write() as old:  # the file commits first
            if move_marks.missed(new) != plan.lost:
                raise MoveError("The database on the server has changed meanwhile. Stop what uses it, and try again.")
            move_marks.forget_move(old)  # of a move that was interrupted
            repairs = copy_tables(old, new, tell)
            tell("Comparing both databases")
            checked = check_copy(old, new)
            move_marks.go_on_at(new, noted.place)
            move_marks.write_move(new, noted)
            move_marks.write_move(old, noted)
            move_marks.leave(old, LEFT.format(source.path, noted.place, noted.moved_at[:10]))
    except CopyError as error:
        raise MoveError(str(error)) from error
    note_completed(source)
    return MoveReport(checked, tuple(repairs), report.problem)


def note_completed(source: IMEIDatabase) -> None:
    """Note in the file, and beside it, that the server holds all of it: an emptied one or an older file cannot tell.

    Raises UnnotedMoveError.
    """
    with source.write() as connection:
        move_marks.note_completed(connection)
    try:
        Checkpoints(source.folder / "checkpoints").moved.touch()
    except OSError as error:
        raise UnnotedMoveError(f"All was moved, but this cannot be noted beside the file: {error.strerror}.") from error


def undo_move(source: IMEIDatabase, target: IMEIDatabase | None, checkpoints: Checkpoints) -> bool:
    """Use the file again, and let the program refuse the database on the server. Hold the file alone meanwhile.

    Nothing is ordered with the file before `flask rebuild-from-provider`, as after a restore, where the copy was
    completed: the server may have ordered since. Returns whether it was. target: None for a server that is gone.
    Raises MoveError.
    """
    with source.read() as connection:
        ours, was_completed = move_marks.read_move(connection), move_marks.was_completed(connection)
    if ours is None:
        raise MoveError(f"{source.path} was not moved. It is in use as it is.")
    was_completed |= target is None or _leave_server(source, target, ours)
    if was_completed:
        stop_restored(source, checkpoints)
    with source.write() as connection:
        move_marks.forget_move(connection)
    checkpoints.moved.unlink(missing_ok=True)
    return was_completed


def _leave_server(source: IMEIDatabase, target: IMEIDatabase, ours: Move) -> bool:
    """Let the program refuse the database on the server. Return whether it holds what was moved. Raises MoveError."""
    if target.engines.place != ours.place:
        raise MoveError(f"The file was moved to {ours.place}, and not to {target.engines.place}. Give that address.")
    with target.write() as connection:
        if move_marks.read_move(connection) != ours:
            return False
        move_marks.leave(connection, LEFT_BEHIND.format(ours.place, source.path, f"{utc_now():%Y-%m-%d}"))
    return True


def _require_same_tables(target: IMEIDatabase) -> None:
    """Raise MoveError where a newer version has made the tables of the server."""
    with target.read() as connection:
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    if revision != revisions(target.dialect)[-1]:
        raise MoveError(f"The server has tables of a newer version (schema {revision}): install it.")
