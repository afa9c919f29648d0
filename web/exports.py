"""The pages of workbooks that are built in the background."""

from flask import Blueprint, redirect, render_template, send_file, url_for
from flask.typing import ResponseReturnValue

from backend import backend
from web.downloads import XLSX, export_or_404, folder_of

blueprint = Blueprint("exports", __name__, url_prefix="/exports")


@blueprint.get("/<token>")
def show(token: str) -> ResponseReturnValue:
    """Show the progress of an export, and its link once it is finished."""
    return render_template("exports.html", export=export_or_404(token))


@blueprint.get("/<token>/file")
def file(token: str) -> ResponseReturnValue:
    """Download the finished workbook."""
    found = export_or_404(token)
    if found.state != "done":
        return redirect(url_for("exports.show", token=token), 303)
    return send_file(folder_of(backend()) / f"{token}.xlsx", XLSX, as_attachment=True, download_name=found.name)
