"""CSV files and workbooks to download. A long one is built in the background. No routes.

A background export is two files in the exports folder, its state and the file, so that any process can show it.
"""

import json
import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from flask import Response, abort, request, send_file
from flask.typing import ResponseReturnValue

from backend import Backend, backend
from database import IMEIDatabase, utc_now
from grading import verdict_label
from orders import Outcome, Progress
from results import MySheet
from spreadsheets import (
    EXTENDED_COLUMNS,
    PROVIDER_COLUMNS,
    WORKBOOK_COLUMNS,
    OutColumn,
    UnreadableFileError,
    export_name,
    write_csv,
    write_xlsx,
)
from sqlite_file import SPARE
from storage import order_filters
from storage.order_counts import Count
from storage.order_terms import OrderFilter
from storage.rows import Order
from storage.tag_store import tags_of_batches, tags_of_orders
from web.access import describe
from web.order_columns import OrderTable, exported_columns
from web.redirects import go_to

logger = logging.getLogger(__name__)

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#: Rows of a workbook that a request may wait for; some ten seconds.
AT_ONCE = 50_000
#: Seconds that a request waits for a user's own sheet before it shows the page of the export.
PATIENCE = 2.5
#: Most background exports at the same time, in all processes together.
MOST_AT_ONCE = 4
#: Seconds for which a finished file is kept, and seconds without progress after which an export counts as interrupted.
KEPT, SILENT = 86_400.0, 60.0
#: Files of exports, two of each, beyond which the oldest are deleted.
MOST_FILES = 400
#: Orders whose tags are looked up at once.
TAGGED_AT_ONCE = 100
#: Rows between two writes of the progress.
REPORTED = 2000

GONE = "This export no longer exists. Start it again."
STOPPED = "The app was stopped before the export was finished. Start it again."
FULL = "The disk has too little free space, which orders need. Ask an administrator."

#: Must not depend on the request: the rows may be read after it, or in another thread.
ExportRows = Iterable[Mapping[str, object]]
#: Gets the number of rows since the last call. Raises StoppedError when the export must end.
Report = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Export:
    """A file that is built in the background."""

    token: str
    name: str  #: of the downloaded file
    total: int  #: estimated number of rows
    rows: int = 0
    state: str = "building"  #: or "done", "failed"
    error: str = ""
    at: float = 0.0  #: Unix time of the last progress
    batch_id: int | None = None  #: the batch whose sheet it is; other exports of it can be taken instead
    notices: tuple[str, ...] = ()  #: sentences about what the file lacks

    @property
    def suffix(self) -> str:
        """The suffix of the file."""
        return Path(self.name).suffix

    @property
    def alive(self) -> bool:
        """Return whether the export is still being built."""
        return self.state == "building" and time.time() - self.at < SILENT


@dataclass(frozen=True, slots=True)
class Built:
    """The rows of a finished file, and what it lacks."""

    rows: int
    notices: tuple[str, ...] = ()


#: Writes the file.
Build = Callable[[Path, Report], Built]


class StoppedError(Exception):
    """The export must end before it is finished; the message is a sentence for the page."""


def is_workbook() -> bool:
    """Return whether the URL of this request ends as that of a workbook, and not of a CSV file."""
    return request.path.endswith(".xlsx")


def columns_asked(which: OrderTable = OrderTable.HISTORY) -> tuple[OutColumn, ...]:
    """Return the columns of a file: the usual ones, with ?format=extended all fields, with ?format=shown the list's.

    ?list= names another list, whose rows were selected.
    """
    wanted = request.args.get("format")
    if wanted == "shown":
        return exported_columns(request.args.get("list", which, type=OrderTable))
    if wanted == "extended":
        return EXTENDED_COLUMNS
    return WORKBOOK_COLUMNS if is_workbook() else PROVIDER_COLUMNS


def named_by_columns(what: str) -> str:
    """Return the beginning of a file name, with "-extended" for ?format=extended, and "-shown" for ?format=shown."""
    wanted = request.args.get("format")
    return f"{what}-{wanted}" if wanted in ("extended", "shown") else what


def exported_rows(database: IMEIDatabase, orders: Iterable[Order]) -> Iterator[dict[str, Any]]:
    """Yield orders as rows of an export, with their tags and those of their batches."""
    waiting = iter(orders)
    while some := list(islice(waiting, TAGGED_AT_ONCE)):
        own = tags_of_orders(database, [order.id for order in some])
        of_batches = tags_of_batches(database, {order.batch_id for order in some if order.batch_id})
        for order in some:
            words = dict.fromkeys([*own.get(order.id, ()), *of_batches.get(order.batch_id or 0, ())])
            more = {"outcome": Outcome.ORDERED, "verdict": verdict_label(order.verdict), "tags": ", ".join(words)}
            yield order._asdict() | more


def describe_orders(chosen: OrderFilter, count: Count | None = None) -> None:
    """Tell the audit log which orders are handed out, and how many they are."""
    describe("orders", filter=[f"{name} {value}" for name, value in chosen.arguments().items()])
    if count:
        describe(rows=count.found if count.is_all else f"more than {count.found:,}")


def dated(what: str) -> str:
    """Return the name of a file that is made now, without its ending."""
    return f"{what}_{utc_now():%Y%m%dT%H%MZ}"


def named_after(batch: Progress, what: str) -> str:
    """Return the name of a file of a batch that is made now, without its ending."""
    return export_name(batch.batch_id, f"{batch.customer} {batch.label}", what, utc_now())


def csv_download(rows: ExportRows, columns: tuple[OutColumn, ...], name: str) -> Response:
    """Stream rows as CSV; with ?bom=0 without a byte order mark."""
    return csv_attachment(write_csv(rows, columns, bom=request.args.get("bom") != "0"), name)


def csv_attachment(content: Iterable[bytes] | bytes, name: str) -> Response:
    """Return CSV as a download; the audit log has its name."""
    describe(file=name)
    response = Response(content, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def report_file(rows: Iterable[Any], columns: tuple[OutColumn, ...], stem: str) -> ResponseReturnValue:
    """Send the rows of a report, objects with an attribute for each column, in the form that the URL asks for."""
    found = row_mappings(rows, columns)
    if not is_workbook():
        return csv_download(found, columns, f"{stem}.csv")
    listed = list(found)
    return file_download(listed, columns, stem, len(listed))


def row_mappings(rows: Iterable[Any], columns: tuple[OutColumn, ...]) -> Iterator[Mapping[str, object]]:
    """Yield the attributes that the columns name."""
    for row in rows:
        yield {column.key: getattr(row, column.key) for column in columns}


def file_download(rows: ExportRows, columns: tuple[OutColumn, ...], stem: str, total: int) -> ResponseReturnValue:
    """Send rows in the form that the URL of this request asks for. stem: the name of the file without its ending.

    total: the number of rows of a workbook. If there are many, redirect to the page of a background export.
    """
    if not is_workbook():
        return csv_download(rows, columns, f"{stem}.csv")
    name = f"{stem}.xlsx"
    describe(file=name, rows=total)
    if total > AT_ONCE:
        export = Export(secrets.token_urlsafe(18), name, total)
        start(backend(), export, partial(_write_workbook, rows, columns))
        return go_to("exports.show", token=export.token)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
    write_xlsx(rows, file, columns)
    file.seek(0)
    return send_file(file, XLSX, as_attachment=True, download_name=name)


def sheet_download(sheet: MySheet, batch_id: int) -> ResponseReturnValue:
    """Send a user's own sheet, or redirect to its page if it takes long, cannot be built, or needs a notice."""
    describe(file=sheet.name, rows=sheet.rows)
    found = begin_sheet(sheet, batch_id)
    if found.state == "done" and not found.notices:
        return take_export(found)
    return go_to("exports.show", token=found.token)


def begin_sheet(sheet: MySheet, batch_id: int) -> Export:
    """Begin a user's own sheet, and return it when it is finished or PATIENCE ends."""
    export = Export(secrets.token_urlsafe(18), sheet.name, sheet.rows, batch_id=batch_id)
    start(backend(), export, partial(_write_sheet, sheet)).join(PATIENCE)
    return export_or_404(export.token)


def take_export(export: Export) -> Response:
    """Send the file of a finished export, and delete it."""
    answer = send_export(export)
    for path in folder_of(backend()).glob(f"{export.token}.*"):  # the answer holds the open file
        path.unlink(missing_ok=True)
    return answer


def begin_orders(chosen: OrderFilter, as_workbook: bool, extended: bool) -> Export:
    """Begin a file of the orders that fit a filter."""
    database, suffix = backend().database, "xlsx" if as_workbook else "csv"
    export = Export(secrets.token_urlsafe(18), f"{dated('orders')}.{suffix}", order_filters.count(database, chosen))
    usual = WORKBOOK_COLUMNS if as_workbook else PROVIDER_COLUMNS
    rows = exported_rows(database, order_filters.walk(database, chosen))
    write = _write_workbook if as_workbook else _write_csv
    start(backend(), export, partial(write, rows, EXTENDED_COLUMNS if extended else usual))
    return export_or_404(export.token)


def send_export(export: Export) -> Response:
    """Send the file of a finished export, or answer 404 where it was deleted."""
    describe(f"batch {export.batch_id}" if export.batch_id else "", file=export.name, rows=export.rows)
    path = folder_of(backend()) / f"{export.token}{export.suffix}"
    if not path.is_file():
        abort(404, GONE)
    kind = XLSX if export.suffix == ".xlsx" else "text/plain" if export.suffix == ".txt" else "text/csv"
    return send_file(path.open("rb"), kind, as_attachment=True, download_name=export.name)


def start(backend: Backend, export: Export, build: Build) -> threading.Thread:
    """Start a thread that builds a file, and return it. Answers 503 if too many are being built."""
    folder = folder_of(backend)
    folder.mkdir(parents=True, exist_ok=True)
    _forget_old(folder)
    if sum(found.alive for found in filter(None, map(_load, folder.glob("*.json")))) >= MOST_AT_ONCE:
        abort(503, "Other exports are already being built. Try again when one of them is finished.")
    _save(folder, export)
    given = (folder, export, build, backend.stopping)
    thread = threading.Thread(target=_build, args=given, name="export", daemon=True)
    thread.start()
    return thread


def _build(folder: Path, export: Export, build: Build, stopping: threading.Event) -> None:
    """Build a file, and note its state at each step."""
    draft = folder / f"{export.token}.part"
    try:
        built = build(draft, _reporter(folder, export, stopping))
        draft.replace(folder / f"{export.token}{export.suffix}")
        _save(folder, replace(export, rows=built.rows, state="done", notices=built.notices))
        return
    except (StoppedError, UnreadableFileError) as error:
        words = str(error)
    except Exception:  # a thread ends here; the page shows the failure
        logger.exception("Export %s failed", export.name)
        words = "The file could not be written. The log has the details."
    draft.unlink(missing_ok=True)
    _save(folder, replace(export, state="failed", error=words))


def _write_workbook(rows: ExportRows, columns: tuple[OutColumn, ...], path: Path, report: Report) -> Built:
    return Built(write_xlsx(_watched(rows, report), path, columns).rows)


def _write_csv(rows: ExportRows, columns: tuple[OutColumn, ...], path: Path, report: Report) -> Built:
    count = 0

    def counted() -> Iterator[Mapping[str, object]]:
        nonlocal count
        for row in _watched(rows, report):
            count += 1
            yield row

    with path.open("wb") as out:
        out.writelines(write_csv(counted(), columns))
    return Built(count)


def _write_sheet(sheet: MySheet, path: Path, report: Report) -> Built:
    return Built(sheet.rows, sheet.write(path, report))


def _reporter(folder: Path, export: Export, stopping: threading.Event) -> Report:
    """Return a function that adds to the rows of an export and stores them."""
    done = 0

    def report(rows: int) -> None:
        nonlocal done
        if stopping.is_set():
            raise StoppedError(STOPPED)
        if shutil.disk_usage(folder).free < SPARE:
            raise StoppedError(FULL)
        done = min(done + rows, export.total)
        _save(folder, replace(export, rows=done))

    return report


def _watched(rows: ExportRows, report: Report) -> Iterator[Mapping[str, object]]:
    for number, row in enumerate(rows):
        if number % REPORTED == 0:
            report(REPORTED if number else 0)
        yield row


def folder_of(backend: Backend) -> Path:
    return backend.settings.data_dir / "exports"


def _save(folder: Path, export: Export) -> None:
    """Replace the state file in one step, so that no process reads an incomplete file."""
    draft = folder / f"{export.token}.json.part"
    draft.write_text(json.dumps(asdict(replace(export, at=time.time()))), encoding="utf-8")
    draft.replace(folder / f"{export.token}.json")


def _load(path: Path) -> Export | None:
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Export(**state | {"notices": tuple(state.get("notices", ()))})
    except (OSError, ValueError, TypeError):
        return None


def export_or_404(token: str) -> Export:
    plain = token.replace("-", "").replace("_", "").isalnum()
    found = _load(folder_of(backend()) / f"{token}.json") if plain else None
    if found is None:
        abort(404, GONE)
    if found.state == "building" and not found.alive:
        return replace(found, state="failed", error="The export was interrupted. Start it again.")
    return found


def _forget_old(folder: Path) -> None:
    """Delete files that are older than KEPT, and the oldest of too many: nobody may fill the disk with exports."""
    changed: dict[Path, float] = {}
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another request has taken it
            changed[path] = path.stat().st_mtime
    for place, path in enumerate(sorted(changed, key=changed.__getitem__, reverse=True), 1):
        if place > MOST_FILES or time.time() - changed[path] > KEPT:
            path.unlink(missing_ok=True)
