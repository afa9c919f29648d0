"""The command `flask move-to-postgres`."""

from collections.abc import Mapping
from pathlib import Path

import click
from flask.cli import with_appcontext

from amounts import money, plural
from commands.audit_log import record
from commands.backups import settings_alone
from database import DatabaseUnavailableError, IMEIDatabase, UnusableDatabaseError
from results import MoveError, MovePlan, MoveReport, UnnotedMoveError, move, note_completed, plan_move, undo_move
from settings import Settings, SettingsError, database_url
from sqlite_file import InUseError
from submission import Checkpoints

NEXT = (
    "Set DATABASE_URL to its address, keep DATA_DIR (uploads and kept answers), and start the app. The file stays as it"
    " is, and nothing is ordered with it any more."
)
UNCHANGED = "Both databases are as they were."
REBUILD = "Nothing is ordered before you run `flask rebuild-from-provider`. Remove DATABASE_URL, then start the app."
BACK = "The move was never completed, so the file is up to date. Remove DATABASE_URL, then start the app."
AGAIN = "Run the command again: it copies all, or says that all is copied."
GONE = "No address is given, so the database on the server could still be used: delete it, or stop all that uses it."


@click.command("move-to-postgres")
@click.argument("address", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--replace", is_flag=True, help="Delete what the database at ADDRESS holds.")
@click.option("--undo", is_flag=True, help="Go back to the file; the database at ADDRESS may not be used any more.")
@with_appcontext
def move_to_postgres(address: str | None, yes: bool, replace: bool, undo: bool) -> None:
    """Copy the SQLite file to the PostgreSQL database at ADDRESS (else DATABASE_URL), while the app is stopped.

    Orders nothing. Either all is copied and equal, or nothing: then run it again. The file is kept, but the program
    does not use it any more. An address with a password is better set in .env than given here, where others can see it.
    """
    settings = settings_alone()
    try:
        wanted = database_url(address or "") or settings.database_url
        _undo(settings, wanted, yes) if undo else _move(settings, wanted, yes, replace)
    except (MoveError, InUseError, SettingsError, UnusableDatabaseError) as error:
        raise click.ClickException(f"Nothing was moved. {error}") from error
    except UnnotedMoveError as error:
        raise click.ClickException(f"{error} {AGAIN}") from error
    except DatabaseUnavailableError as error:
        raise click.ClickException(f"The move did not end. {error.sentence} {AGAIN}") from error
    except OSError as error:
        raise click.ClickException(f"Nothing was moved: {error.strerror}.") from error


def _move(settings: Settings, address: str, yes: bool, replace: bool) -> None:
    if not address:
        raise MoveError("Give the address of a database of PostgreSQL, or set DATABASE_URL.")
    with _file(settings) as source, IMEIDatabase(address, even_if_moved=True) as target:
        source.hold_alone()
        plan = plan_move(source, target, _checkpoints(settings))
        place = target.engines.place
        if plan.done is not None and not replace:
            note_completed(source)
            click.echo(f"{source.path} was moved to {place} on {plan.done.moved_at[:10]}. Nothing is left to do.")
            return
        if plan.lost and not replace:
            raise MoveError(f"{place} holds {_counts(plan.lost)}. Add --replace to delete them.")
        for line in _intent(plan, source.path, place):
            click.echo(line, err=True)
        if not yes and not click.confirm("Move it?", err=True):
            raise MoveError(UNCHANGED)
        report = move(source, target, plan, lambda line: click.echo(line, err=True))
        record(target, "database.move", place, orders=report.checked.orders, rows=report.checked.rows)
    for line in _result(report, place):
        click.echo(line)


def _undo(settings: Settings, address: str, yes: bool) -> None:
    with _file(settings) as source:
        source.hold_alone()
        if not address:
            click.echo(GONE, err=True)
        question = f"Use {source.path} again, without what was ordered since the move?"
        if not yes and not click.confirm(question, err=True):
            raise MoveError(UNCHANGED)
        if not address:
            was_completed = undo_move(source, None, _checkpoints(settings))
        else:
            with IMEIDatabase(address, even_if_moved=True) as target:
                was_completed = undo_move(source, target, _checkpoints(settings))
        record(source, "database.move.undo", str(source.path))
    click.echo(REBUILD if was_completed else BACK)


def _file(settings: Settings) -> IMEIDatabase:
    if not settings.database_path.exists():
        raise MoveError(f"There is no file {settings.database_path}.")
    return IMEIDatabase(settings.database_path, even_if_moved=True)


def _checkpoints(settings: Settings) -> Checkpoints:
    return Checkpoints(settings.data_dir / "checkpoints")


def _intent(plan: MovePlan, path: Path, place: str) -> list[str]:
    """Describe what will be copied, and what will be lost."""
    lines = [f"{path} will be copied to {place}: {_counts(plan.rows)}."]
    if plan.lost:
        lines.append(f"All that {place} holds will be deleted: {_counts(plan.lost)}.")
    return lines


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(rows.items())) or "no rows"


def _result(report: MoveReport, place: str) -> list[str]:
    """Describe what was copied and compared."""
    found = report.checked
    return [
        f"Moved {plural(found.orders, 'order')} for {money(found.cost)} to {place}: {found.rows:,} rows in"
        f" {plural(found.tables, 'table')}.",
        f"Equal in both: numbers of rows, highest ids, cost by status, kept totals, the audit log of"
        f" {plural(found.audit_entries, 'entry', 'entries')}, and {plural(found.compared, 'row')} value by value.",
        *(str(repaired) for repaired in report.repairs),
        *([f"The audit log is broken, as it was in the file. {report.audit_problem}"] if report.audit_problem else []),
        NEXT,
    ]
