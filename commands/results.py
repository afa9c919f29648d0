"""The command `flask results`: the results of a batch as a file, the user's own sheet among them."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click
from flask.cli import with_appcontext

from amounts import plural
from backend import Backend, backend
from commands.audit_log import record
from orders import Progress
from results import FILE, SheetNotPossibleError, SheetStore, prepare_sheet, result_rows
from spreadsheets import WORKBOOK_COLUMNS, UnreadableFileError, write_csv, write_xlsx
from storage.batch_queries import batch_named, progress
from storage.batch_uploads import change_upload, forget_batch_files, store_upload
from storage.rows import read_id

REFUSED = 2
FORMATS = ("sheet", "xlsx", "csv")


class NoResultsError(click.ClickException):
    """Nothing was written. The message is one sentence: the reason and what to do."""

    exit_code = REFUSED


@dataclass(frozen=True, slots=True)
class Wanted:
    """The file that is asked for."""

    kind: str  #: one of FORMATS
    path: Path  #: where it is written
    as_workbook: bool  #: a sheet is a workbook, also where the user's file was text


@click.command("results")
@click.argument("batch")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="sheet", show_default=True)
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
        notices = _write(backend(), found, Wanted(kind, draft, out.suffix.lower() == ".xlsx"))
        draft.replace(out)
    except (SheetNotPossibleError, UnreadableFileError) as error:
        raise NoResultsError(str(error)) from error
    except OSError as error:
        raise NoResultsError(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)
    record(backend().database, "export", f"batch {found.batch_id}", file=out.name, imeis=found.total)
    click.echo("\n".join([f"{out}: batch {found.batch_id}, {plural(found.total, 'IMEI')}", *notices]), err=True)


def keep_file(backend: Backend, file: Path, service_id: str, second_imeis: bool) -> str | None:
    """Keep a file for the sheet of its batch; return the token that names both, None where it cannot be kept."""
    database, folder = backend.database, backend.uploads
    try:
        forget_batch_files(database, folder, timedelta(days=backend.settings.upload_retention_days))
        token = store_upload(database, folder, file.read_bytes(), label=file.name, kind=FILE, service_id=service_id)
    except OSError as error:
        click.echo(f"{file.name} is not kept, so `flask results` cannot give it back: {error.strerror}.", err=True)
        return None
    change_upload(database, token, service_id, {"second_imeis": second_imeis})
    return token


def find_batch(backend: Backend, batch: str) -> Progress:
    """Return the batch with this id, else the newest one with this name or of this file. Raises NoResultsError."""
    known = read_id(batch)
    found = progress(backend.database, known) if known is not None else None
    if found is None:
        named = (batch_named(backend.database, name) for name in dict.fromkeys((batch, Path(batch).name)))
        newest = next(filter(None, named), None)
        found = progress(backend.database, newest) if newest else None
    if found is None:
        raise NoResultsError(f"There is no batch {batch}: give the id of a batch or the name of its file.")
    return found


def _write(backend: Backend, found: Progress, wanted: Wanted) -> tuple[str, ...]:
    """Write the file; return the notices about it."""
    if wanted.kind == "sheet":
        store = SheetStore(backend.database, backend.uploads, backend.settings.max_batch_imeis)
        return prepare_sheet(store, found, wanted.as_workbook).write(wanted.path, lambda rows: None)
    rows = result_rows(backend.database, found)
    if wanted.kind == "xlsx":
        write_xlsx(rows, wanted.path, WORKBOOK_COLUMNS)
        return ()
    with wanted.path.open("wb") as file:
        file.writelines(write_csv(rows))
    return ()
