"""My sheet: the user's own file with the results of its batch."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from backend import backend
from people import Role
from results import SheetNotPossibleError, SheetStore, prepare_sheet
from spreadsheets import UnreadableFileError
from web.access import allow
from web.context import batch_or_404
from web.downloads import sheet_download
from web.redirects import refuse

blueprint = Blueprint("sheets", __name__, url_prefix="/batches")


@blueprint.get("/<int:batch_id>/sheet")
@allow(Role.VIEWER, "export")
def sheet(batch_id: int) -> ResponseReturnValue:
    """Download the sheet of a batch in the format of its file."""
    return _sheet(batch_id, as_workbook=False)


@blueprint.get("/<int:batch_id>/sheet.xlsx")
@allow(Role.VIEWER, "export")
def workbook(batch_id: int) -> ResponseReturnValue:
    """Download the sheet of a batch as an Excel workbook."""
    return _sheet(batch_id, as_workbook=True)


def _sheet(batch_id: int, as_workbook: bool) -> ResponseReturnValue:
    progress = batch_or_404(batch_id)
    store = SheetStore(backend().database, backend().uploads, backend().settings.max_batch_imeis)
    try:
        prepared = prepare_sheet(store, progress, as_workbook)
    except (SheetNotPossibleError, UnreadableFileError) as error:
        return refuse(str(error), "batches.live", batch_id=batch_id)
    return sheet_download(prepared, batch_id)
