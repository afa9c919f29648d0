"""The findings of a batch, counted by value, as a page and a file."""

from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue

from backend import backend
from people import Role
from spreadsheets import OutColumn
from storage import order_filters, order_reports
from storage.kept_sums import FINDINGS
from web.access import allow
from web.context import at_one_moment, batch_or_404
from web.downloads import csv_download, named_after, row_mappings

blueprint = Blueprint("batch_reports", __name__)

FINDING_COLUMNS = (
    OutColumn("FIELD", "field", 12),
    OutColumn("VALUE", "value", 30),
    OutColumn("ORDERS", "orders", 9),
)


@blueprint.get("/batches/<int:batch_id>/findings")
@allow(Role.VIEWER)
@at_one_moment
def findings(batch_id: int) -> ResponseReturnValue:
    """Show the results of a batch by value."""
    batch = batch_or_404(batch_id)
    with backend().database.read() as connection:
        found = order_reports.finding_summary(connection, batch_id)
        mismatched = order_filters.mismatched_count(connection, batch_id)
    return render_template(
        "findings.html",
        batch=batch,
        fields=[(name, [row for row in found if row.field == name]) for name in FINDINGS],
        mismatched=mismatched,
        verdicts=batch.verdicts,
    )


@blueprint.get("/batches/<int:batch_id>/findings.csv")
@allow(Role.VIEWER, "export")
def findings_csv(batch_id: int) -> Response:
    """Download the results of a batch by value as CSV."""
    batch = batch_or_404(batch_id)
    with backend().database.read() as connection:
        found = order_reports.finding_summary(connection, batch_id)
    return csv_download(row_mappings(found, FINDING_COLUMNS), FINDING_COLUMNS, f"{named_after(batch, 'findings')}.csv")
