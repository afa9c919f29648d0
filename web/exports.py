"""The pages of files that are built in the background."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from people import Role
from web.access import allow, record_nothing
from web.downloads import export_or_404, send_export
from web.redirects import go_to

blueprint = Blueprint("exports", __name__, url_prefix="/exports")


@blueprint.get("/<token>")
@allow(Role.VIEWER)
def show(token: str) -> ResponseReturnValue:
    """Show the progress of an export, and its link once it is finished."""
    return render_template("exports.html", export=export_or_404(token))


@blueprint.get("/<token>/file")
@allow(Role.VIEWER, "export")
def file(token: str) -> ResponseReturnValue:
    """Download the finished file."""
    found = export_or_404(token)
    if found.state != "done":
        record_nothing()
        return go_to("exports.show", token=token)
    return send_export(found)
