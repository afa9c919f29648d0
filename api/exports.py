"""Files that are built in the background: start one of the history, ask for its state, download it."""

from collections.abc import Mapping
from typing import Any

from flask import Response, abort
from flask.typing import ResponseReturnValue
from marshmallow import fields, validate

from api.answers import FILES, ExportAnswer, accepted
from api.filters import FilterForm, filter_of
from api.operations import operation, operations
from people import Role, Scope
from web import Export, allow, begin_orders, describe, export_or_404, send_export

blueprint = operations("exports", "Files with results, built in the background and kept for a day.")


class ExportForm(FilterForm):
    """A file of the orders that fit a filter."""

    format = fields.String(validate=validate.OneOf(["csv", "xlsx"]), load_default="csv")
    columns = fields.String(
        validate=validate.OneOf(["provider", "extended"]),
        load_default="extended",
        metadata={"description": "Those of the provider's export, or all fields."},
    )


@operation(blueprint, "POST", "/exports", ExportAnswer, takes=ExportForm, status=202)
@allow(Role.VIEWER, "export", scope=Scope.EXPORT)
def create(form: Mapping[str, Any]) -> ResponseReturnValue:
    """Begin a file of the orders that fit a filter."""
    export = begin_orders(filter_of(form), form["format"] == "xlsx", form["columns"] == "extended")
    describe(f"export {export.name}", rows=export.total)
    return accepted(export)


@operation(blueprint, "GET", "/exports/<export_id>", ExportAnswer)
@allow(Role.VIEWER)
def show(export_id: str) -> Export:
    """Show how far a file is."""
    return export_or_404(export_id)


@operation(blueprint, "GET", "/exports/<export_id>/file", FILES)
@allow(Role.VIEWER, "export", scope=Scope.EXPORT)
def download(export_id: str) -> Response:
    """Download a finished file."""
    export = export_or_404(export_id)
    describe(f"export {export.name}")
    if export.state != "done":
        abort(404, export.error or "The file is not finished. Ask for its state.")
    return send_export(export)
