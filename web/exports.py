"""Files that people take away: streamed at once, or built in the background where a request should not wait.

A background export is two files in the exports folder, its state and its rows, so that any process can show it.
"""

import json
import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue

from backend import Backend, backend
from spreadsheets import EXTENDED_COLUMNS, PROVIDER_COLUMNS, WORKBOOK_COLUMNS, OutColumn, write_csv, write_xlsx

blueprint = Blueprint("exports", __name__, url_prefix="/exports")
logger = logging.getLogger(__name__)

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#: Rows of a workbook that a request may wait for; some ten seconds.
AT_ONCE = 50_000
#: Exports under way at the same time, all processes together.
MOST_AT_ONCE = 2
#: Seconds for which a finished file is kept, and without a sign of life after which one under way counts as dead.
KEPT, SILENT = 86_400.0, 60.0
#: Rows between two signs of life.
REPORTED = 2000

#: Rows must not need the request: they may be read after it, or in another thread.
ExportRows = Iterable[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Export:
    """A workbook that is built in the background."""

    token: str
    name: str  #: of the file, as people save it
    total: int  #: rows that it will have, about
    rows: int = 0
    state: str = "building"  #: or "done", "failed"
    error: str = ""
    at: float = 0.0  #: Unix time of the last sign of life

    @property
    def alive(self) -> bool:
        """Whether it is still being built."""
        return self.state == "building" and time.time() - self.at < SILENT


class StoppedError(Exception):
    """The program ends before the export is done."""


def columns_asked() -> tuple[OutColumn, ...]:
    """The provider's columns, or with ?format=extended everything that is known."""
    return EXTENDED_COLUMNS if request.args.get("format") == "extended" else PROVIDER_COLUMNS


def workbook_columns() -> tuple[OutColumn, ...]:
    """The columns of a workbook: the provider's with blacklist, serial and order id, or everything that is known."""
    return EXTENDED_COLUMNS if columns_asked() is EXTENDED_COLUMNS else WORKBOOK_COLUMNS


def named_by_columns(what: str) -> str:
    """what, and in which of the two forms, for the name of the file."""
    return f"{what}-extended" if columns_asked() is EXTENDED_COLUMNS else what


def csv_download(rows: ExportRows, columns: tuple[OutColumn, ...], name: str) -> Response:
    """The rows as CSV, streamed; with ?bom=0 without a byte order mark."""
    lines = write_csv(rows, columns, bom=request.args.get("bom") != "0")
    response = Response(lines, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def xlsx_download(rows: ExportRows, columns: tuple[OutColumn, ...], name: str, total: int) -> ResponseReturnValue:
    """The rows as a workbook: at once where they are few, else built in the background on a page of its own."""
    if total > AT_ONCE:
        return redirect(url_for("exports.show", token=start(backend(), rows, columns, name, total)), 303)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
    write_xlsx(rows, file, columns)
    file.seek(0)
    return send_file(file, XLSX, as_attachment=True, download_name=name)


@blueprint.get("/<token>")
def show(token: str) -> ResponseReturnValue:
    """How far it is, and the link once it is there."""
    return render_template("exports.html", export=_export_or_404(token))


@blueprint.get("/<token>/file")
def file(token: str) -> ResponseReturnValue:
    """The finished workbook."""
    found = _export_or_404(token)
    if found.state != "done":
        return redirect(url_for("exports.show", token=token), 303)
    return send_file(_folder(backend()) / f"{token}.xlsx", XLSX, as_attachment=True, download_name=found.name)


def start(backend: Backend, rows: ExportRows, columns: tuple[OutColumn, ...], name: str, total: int) -> str:
    """Begin to build a workbook in a thread of its own. Returns its token; 503 when too many are under way."""
    folder = _folder(backend)
    folder.mkdir(parents=True, exist_ok=True)
    _forget_old(folder)
    if sum(found.alive for found in _all(folder)) >= MOST_AT_ONCE:
        abort(503, "Two exports are already being built. Try again when one of them is finished.")
    export = Export(secrets.token_urlsafe(18), name, total)
    _save(folder, export)
    thread = threading.Thread(
        target=_build, args=(folder, export, rows, columns, backend.stopping), name="export", daemon=True
    )
    thread.start()
    return export.token


def _build(
    folder: Path, export: Export, rows: ExportRows, columns: tuple[OutColumn, ...], stopping: threading.Event
) -> None:
    draft = folder / f"{export.token}.part"
    try:
        written = write_xlsx(_watched(folder, export, rows, stopping), draft, columns)
        draft.replace(folder / f"{export.token}.xlsx")
        _save(folder, replace(export, rows=written.rows, state="done"))
    except StoppedError:
        draft.unlink(missing_ok=True)
        _save(
            folder,
            replace(
                export, state="failed", error="The app was stopped before the export was finished. Start it again."
            ),
        )
    except Exception:  # a thread ends here; the page says so
        logger.exception("Export %s failed", export.name)
        draft.unlink(missing_ok=True)
        _save(folder, replace(export, state="failed", error="The file could not be written. The log has the details."))


def _watched(
    folder: Path, export: Export, rows: ExportRows, stopping: threading.Event
) -> Iterator[Mapping[str, object]]:
    for number, row in enumerate(rows):
        if number % REPORTED == 0:
            if stopping.is_set():
                raise StoppedError
            _save(folder, replace(export, rows=number))
        yield row


def _folder(backend: Backend) -> Path:
    return backend.settings.data_dir / "exports"


def _save(folder: Path, export: Export) -> None:
    """Write the state in one step, so that nobody reads half of it."""
    draft = folder / f"{export.token}.json.part"
    draft.write_text(json.dumps(asdict(replace(export, at=time.time()))), encoding="utf-8")
    draft.replace(folder / f"{export.token}.json")


def _load(path: Path) -> Export | None:
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Export(**state)
    except (OSError, ValueError, TypeError):
        return None


def _all(folder: Path) -> Iterator[Export]:
    yield from filter(None, map(_load, folder.glob("*.json")))


def _export_or_404(token: str) -> Export:
    plain = token.replace("-", "").replace("_", "").isalnum()
    found = _load(_folder(backend()) / f"{token}.json") if plain else None
    if found is None:
        abort(404, "This export no longer exists. Start it again.")
    if found.state == "building" and not found.alive:
        return replace(found, state="failed", error="The export was interrupted. Start it again.")
    return found


def _forget_old(folder: Path) -> None:
    for path in folder.iterdir():
        if time.time() - path.stat().st_mtime > KEPT:
            path.unlink(missing_ok=True)
