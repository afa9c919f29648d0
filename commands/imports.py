"""The commands `flask import|undo-import`: orders from files."""

from pathlib import Path

import click
from flask.cli import with_appcontext

from amounts import plural
from backend import backend
from commands.arguments import readable
from commands.audit_log import record
from commands.messages import Refusal, say
from orders import NotPossibleError
from results import Fate, import_orders, plan_import, undo_import
from spreadsheets import UnreadableFileError, read_orders


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@with_appcontext
def import_file(file: Path, dry_run: bool) -> None:
    """Import FILE, the provider's Advanced Export or an export of this program. Exit code 2: FILE is neither."""
    database = backend().database
    try:
        rows = read_orders(file)
        if dry_run:
            done, plan = "Nothing was written", plan_import(database, rows)
        else:
            import_id, plan = import_orders(database, rows, readable(file.name))
            done = f"Import {import_id}"
            record(database, "import.confirm", f"import {import_id}", file=file.name, rows=plan.summary)
    except UnreadableFileError as error:
        raise Refusal(str(error)) from error
    for row in plan.left_out:
        words = "not matched: " if row.fate is Fate.UNMATCHED else ""
        say(f"row {row.number}: {words}{row.reason}")
    click.echo(f"{done}: {plan.summary}.")


@click.command("undo-import")
@click.argument("import_id", type=int)
@with_appcontext
def revert_import(import_id: int) -> None:
    """Undo import IMPORT_ID for every order that has not changed since."""
    try:
        restored, kept = undo_import(backend().database, import_id)
    except NotPossibleError as error:
        raise Refusal(str(error)) from error
    record(backend().database, "import.undo", f"import {import_id}", restored=restored, kept=kept)
    click.echo(f"{plural(restored, 'order')} restored, {kept:,} kept because something changed since.")
