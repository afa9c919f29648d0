"""Disputes with the provider as a page and a file."""

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue

from backend import backend
from orders import DisputeKind
from people import Role
from spreadsheets import OutColumn
from storage import disputable
from storage.disputable import FOUND, Disputable
from web.access import allow
from web.context import PAGE, row_number
from web.downloads import report_csv

blueprint = Blueprint("disputes", __name__)

DISPUTE_COLUMNS = (
    OutColumn("ORDER ID", "order_id", 14),
    OutColumn("IMEI NO.", "imei", 17, digits=True),
    OutColumn("SERVICE", "service_name", 34),
    OutColumn("CREDITS", "credits", 9, money=True),
    OutColumn("ORDER DATE", "order_date", 20),
    OutColumn("STATUS", "status", 11),
    OutColumn("WHY", "why", 40),
    OutColumn("BATCH", "batch_id", 9),
    OutColumn("CODE", "said", 60),
)


@blueprint.get("/reports/disputes")
@allow(Role.VIEWER)
def listing() -> ResponseReturnValue:
    """Show disputes of one kind: that of ?kind=, else the first kind with any disputes."""
    counts = disputable.counts(backend().database)
    first = next((kind for kind, count in counts.items() if count), DisputeKind.IN_DOUBT)
    kind, before = _kind(first), request.args.get("before", type=row_number)
    rows = disputable.page(backend().database, Disputable(kind), before, PAGE + 1)
    more = len(rows) > PAGE and kind is not DisputeKind.IN_DOUBT
    return render_template(
        "disputes.html",
        kind=kind,
        counts=counts,
        rows=rows[:PAGE],
        next_before=rows[PAGE - 1].id if more else None,
        first_page=before is None,
    )


@blueprint.get("/reports/disputes.csv")
@allow(Role.VIEWER, "export")
def as_csv() -> Response:
    """Download all disputes: orders that are rejected, in doubt, or have a result about another IMEI."""
    return report_csv(disputable.walk(backend().database), DISPUTE_COLUMNS, "disputes")


def _kind(usual: DisputeKind) -> DisputeKind:
    text = request.args.get("kind", usual)
    if text not in FOUND:
        abort(400, f"“{text[:40]}” is not a kind of dispute.")
    return DisputeKind(text)
