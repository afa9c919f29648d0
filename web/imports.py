"""Import of order files: upload, dry run, confirmation and undo."""

from flask import Blueprint, abort, flash, render_template, request
from flask.typing import ResponseReturnValue

from backend import backend
from orders import NotPossibleError
from people import Role
from results import Fate, import_orders, plan_import, undo_import
from spreadsheets import UnreadableFileError, read_orders
from storage.batch_uploads import Upload, find_upload, store_upload
from web.access import allow, describe
from web.batch_fields import one_line
from web.format import plural
from web.redirects import go_to, refuse

blueprint = Blueprint("imports", __name__, url_prefix="/database/import")

KIND = "import"
#: Rows shown for each fate; more for rows that are left out, because a person must check each of them.
SHOWN, SHOWN_LEFT_OUT = 12, 200


@blueprint.post("")
@allow(Role.ADMIN, "import.upload")
def upload() -> ResponseReturnValue:
    """Store the uploaded file and redirect to the dry run."""
    file = request.files.get("file")
    if file is None or not file.filename:
        return refuse("Choose a file with orders.", "overview.database")
    data = file.read()
    try:
        next(read_orders(data), None)
    except UnreadableFileError as error:
        return refuse(f"Not imported: {error}", "overview.database")
    label = one_line(file.filename)
    database, folder = backend().database, backend().uploads
    token = store_upload(database, folder, data, label=label, kind=KIND, service_id="")
    describe(label, size=len(data))
    return go_to("imports.preview", token=token)


@blueprint.get("/<token>")
@allow(Role.ADMIN)
def preview(token: str) -> ResponseReturnValue:
    """Show the changes that an import would make. With ?done=<id>, also what that import left out."""
    found = _upload_or_404(token)
    try:
        plan = plan_import(backend().database, read_orders(found.path))
    except UnreadableFileError as error:
        return refuse(f"Not imported: {error}", "overview.database")
    shown = {fate: SHOWN_LEFT_OUT if fate in (Fate.NOT_UNDERSTOOD, Fate.UNMATCHED) else SHOWN for fate in Fate}
    done = request.args.get("done", type=int)
    return render_template("imports.html", upload=found, plan=plan, fates=list(Fate), shown=shown, done=done)


@blueprint.post("/<token>")
@allow(Role.ADMIN, "import.confirm")
def confirm(token: str) -> ResponseReturnValue:
    """Import the file and list the rows that were not matched. A second import changes nothing."""
    found = _upload_or_404(token)
    try:
        import_id, plan = import_orders(backend().database, read_orders(found.path), found.label)
    except UnreadableFileError as error:
        return refuse(f"Not imported: {error}", "overview.database")
    describe(f"import {import_id}", file=found.label, rows=plan.summary)
    flash(f"Import {import_id}: {plan.summary}.", "good")
    if plan.count(Fate.UNMATCHED):
        return go_to("imports.preview", token=token, done=import_id)
    return go_to("overview.database")


@blueprint.post("/<int:import_id>/undo")
@allow(Role.ADMIN, "import.undo")
def undo(import_id: int) -> ResponseReturnValue:
    """Undo an import, except for orders that have changed later."""
    try:
        restored, kept = undo_import(backend().database, import_id)
    except NotPossibleError as error:
        flash(str(error), "error")
    else:
        describe(restored=restored, kept=kept)
        more = f"; {plural(kept, 'order')} kept, because they changed later" if kept else ""
        flash(f"Import {import_id} is undone: {plural(restored, 'order')} restored{more}.", "good")
    return go_to("overview.database")


def _upload_or_404(token: str) -> Upload:
    found = find_upload(backend().database, backend().uploads, token)
    if found is None or found.kind != KIND:
        abort(404, "This file no longer exists. Upload it again.")
    return found
