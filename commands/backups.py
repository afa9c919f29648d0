"""The commands `flask backup` and `flask restore`."""

from collections.abc import Sequence
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from amounts import plural
from backend import backend
from commands.audit_log import record, system_user
from people import COMMAND_LINE
from results import RestoreError, prepare_restore, put_in_place
from settings import Settings
from sqlite_file import InUseError, alone
from storage.backups import make_backup

#: Commands that work where the app cannot open the database, or must not.
OPEN_IT_THEMSELVES = ("restore", "move-to-postgres")
#: Options of `flask` itself that take a value.
WITH_VALUE = ("--app", "-A", "--env-file", "-e")
NEXT = (
    "Every session is ended. Second factors, tokens and webhooks must be set up again.",
    "Nothing is ordered before you run `flask rebuild-from-provider`. Then start the app.",
)
ON_A_SERVER = (
    "Nothing was restored: the database is on a server. Stop the app and all workers, run `pg_restore --clean"
    " --if-exists --no-owner --single-transaction --dbname=ADDRESS FILE`, then `flask rebuild-from-provider`."
)


def works_on_the_file(arguments: Sequence[str]) -> bool:
    """Return whether a command line (sys.argv) is that of a command that opens the database itself."""
    program, words = Path(arguments[0]), iter(arguments[1:])
    if "flask" not in (program.name, program.parent.name):
        return False
    for word in words:
        if word in WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return word in OPEN_IT_THEMSELVES
    return False


@click.command()
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@with_appcontext
def backup(folder: Path | None) -> None:
    """Write a verified copy of the database into FOLDER; by default into `backups`, where old ones are deleted."""
    database = backend().database
    try:
        copy = database.backup(folder) if folder else make_backup(database)
    except OSError as error:
        raise click.ClickException(f"No backup was written: {error.strerror}.") from error
    except UnicodeEncodeError as error:  # SQLite takes names of files as UTF-8
        raise click.ClickException("No backup was written: the name of the folder is no UTF-8.") from error
    record(database, "backup", file=copy, size=copy.stat().st_size)
    click.echo(copy)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask before the database is replaced.")
@with_appcontext
def restore(file: Path, yes: bool) -> None:
    """Put the backup FILE in the place of the database, while the app is stopped. Orders nothing.

    What it replaces is kept in the folder `replaced`. Answers that are newer than the backup stay, and nothing is
    ordered before `flask rebuild-from-provider` has restored the orders that they and the provider's list name.
    """
    settings = settings_alone()
    if settings.database_url:
        raise click.ClickException(ON_A_SERVER)
    try:
        with alone(settings.database_path):
            _restore(file, settings, yes)
    except (RestoreError, InUseError) as error:
        raise click.ClickException(f"Nothing was restored. {error}") from error
    except OSError as error:
        raise click.ClickException(f"Nothing was restored: {error.strerror}.") from error


def settings_alone() -> Settings:
    """Return the settings; close the database if this process has opened it to find its commands."""
    if "database" in current_app.extensions:
        current_app.extensions["database"].close()
    settings: Settings = current_app.extensions["settings"]
    return settings


def _restore(file: Path, settings: Settings, yes: bool) -> None:
    """Verify, ask and replace. Raises RestoreError, InUseError, OSError."""
    prepared = prepare_restore(file, settings, f"{COMMAND_LINE.name} ({system_user()})")
    held = f"{plural(prepared.orders, 'order')} in {plural(prepared.batches, 'batch', 'batches')}"
    click.echo(f"{file.name} is sound: {held}.", err=True)
    if not yes and not click.confirm(f"Put it in the place of {settings.database_path}?", err=True):
        raise RestoreError("The database is as it was.")
    kept = put_in_place(prepared, settings)
    click.echo(f"Restored {held}.")
    for path in kept:
        click.echo(f"What it replaced is kept in {path}.")
    users = ", ".join(prepared.users)
    click.echo(f"These users can log in, with their passwords of that time: {users or 'none'}.")
    click.echo("\n".join(NEXT))
