"""The commands `flask results|reparse`: results as files, such as the user's own sheet, and their texts read again."""

from datetime import timedelta
from pathlib import Path

import click
from flask.cli import with_appcontext

from amounts import plural
from backend import Backend, backend
from commands.arguments import readable
from commands.audit_log import record
from commands.messages import Refusal
from orders import Progress
from results import FILE, SheetNotPossibleError, SheetStore, prepare_sheet, reparse, result_rows
from spreadsheets import WORKBOOK_COLUMNS, UnreadableFileError, write_csv, write_xlsx
from storage.batch_queries import batch_named, progress
from storage.batch_uploads import change_upload, forget_batch_files, store_upload
from storage.rows import read_id

FORMATS = ("sheet", "xlsx", "csv")


@click.command("results")
@click.argument("batch")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="sheet", show_default=True, help="Which file.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, writable=True, path_type=Path), metavar="FILE")
@with_appcontext
def batch_results(batch: str, kind: str, out: Path) -> None:
    """Write the results of BATCH, a batch id, or the name or path of its file, into FILE.

    sheet: your own file with the results in added columns; a FILE that ends in .xlsx is a workbook, also where the
    file was a CSV file. xlsx: a workbook of all results. csv: the provider's format. Exit code 2: nothing was written.
    """
    found = find_batch(backend(), batch)
    draft = out.with_name(f"{out.name}.part")
    try:
        notices = _write(found, kind, draft, as_workbook=out.suffix.lower() == ".xlsx")
        draft.replace(out)
    except (SheetNotPossibleError, UnreadableFileError) as error:
        raise Refusal(str(error)) from error
    except OSError as error:
        raise Refusal(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)
    record(backend().database, "export", f"batch {found.batch_id}", file=out.name, imeis=found.total)
    click.echo("\n".join([f"{out}: batch {found.batch_id}, {plural(found.total, 'IMEI')}", *notices]), err=True)


@click.command("reparse")
@with_appcontext
def reparse_results() -> None:
    """Parse the stored result texts again, for example after an update that understands more of them."""
    read, changed = reparse(backend().database)
    record(backend().database, "results.reparse", read=read, changed=changed)
    click.echo(f"{plural(read, 'result text')} read, {plural(changed, 'order')} changed.")


def keep_file(backend: Backend, file: Path, service_id: str, second_imeis: bool) -> str | None:
    """Keep a file for the sheet of its batch; return the token that names both, None where it cannot be kept."""
    database, folder, name = backend.database, backend.uploads, readable(file.name)
    try:
        forget_batch_files(database, folder, timedelta(days=backend.settings.upload_retention_days))
        token = store_upload(database, folder, file.read_bytes(), label=name, kind=FILE, service_id=service_id)
    except OSError as error:
        click.echo(f"{name} is not kept, so `flask results` cannot give it back: {error.strerror}.", err=True)
        return None
    change_upload(database, token, service_id, {"second_imeis": second_imeis})
    return token


def find_batch(backend: Backend, batch: str) -> Progress:
    """Return the batch with this id, else the newest one with this name or of this file. Raises Refusal."""
    known = read_id(batch)
    found = progress(backend.database, known) if known is not None else None
    if found is None:
        named = (batch_named(backend.database, name) for name in dict.fromkeys((batch, Path(batch).name)))
        newest = next(filter(None, named), None)
        found = progress(backend.database, newest) if newest else None
    if found is None:
        raise Refusal(f"There is no batch {batch}: give the id of a batch or the name of its file.")
    return found


def _write(batch: Progress, kind: str, path: Path, as_workbook: bool) -> tuple[str, ...]:
    """Write the file; return the notices about it. as_workbook: a sheet is one, also where the user's file was text."""
    found = backend()
    if kind == "sheet":
        store = SheetStore(found.database, found.uploads, found.settings.max_batch_imeis)
        return prepare_sheet(store, batch, as_workbook).write(path, lambda rows: None)
    rows = result_rows(found.database, batch)
    if kind == "xlsx":
        write_xlsx(rows, path, WORKBOOK_COLUMNS)
        return ()
    with path.open("wb") as file:
        file.writelines(write_csv(rows))
    return ()
