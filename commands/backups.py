"""The command `flask backup`."""

from pathlib import Path

import click
from flask.cli import with_appcontext

from backend import backend
from commands.audit_log import record
from storage.backups import make_backup


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
    record(database, "backup", file=copy, size=copy.stat().st_size)
    click.echo(copy)
