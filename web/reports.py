"""The spend as a page and a file."""

from datetime import date

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue

from backend import backend
from people import Role
from spreadsheets import OutColumn
from storage import order_filters, order_reports
from web.access import allow
from web.downloads import report_csv

blueprint = Blueprint("reports", __name__)

#: Most rows of the spend table on the page; the file has all of them.
SHOWN = 60
SPEND_COLUMNS = (
    OutColumn("KEY", "key", 30),
    OutColumn("ORDERS", "orders", 9),
    OutColumn("COMPLETED", "completed", 9),
    OutColumn("REJECTED", "rejected", 9),
    OutColumn("PASS", "passed", 9),
    OutColumn("REVIEW", "review", 9),
    OutColumn("FAIL", "failed", 9),
    OutColumn("SPENT", "spent", 9, money=True),
)


@blueprint.get("/reports")
@allow(Role.VIEWER)
def spend() -> ResponseReturnValue:
    """Show the spend by day, service, batch or person."""
    by, since = _by(), _since()
    rows = order_reports.spend(backend().database, by, since)
    return render_template(
        "reports.html",
        by=by,
        ways=order_reports.BY,
        since=since,
        rows=rows[:SHOWN],
        more=max(0, len(rows) - SHOWN),
        total=sum(row.spent for row in rows),
        orders=sum(row.orders for row in rows),
        mismatched=order_filters.mismatched_count(backend().database),
    )


@blueprint.get("/reports/spend.csv")
@allow(Role.VIEWER, "export")
def spend_csv() -> Response:
    """Download the spend by day, service, batch or person as CSV, with all rows."""
    by, since = _by(), _since()
    return report_csv(order_reports.spend(backend().database, by, since), SPEND_COLUMNS, f"spend-by-{by}")


def _by() -> str:
    by = request.args.get("by", "day")
    if by not in order_reports.BY:
        abort(400, f"Spend can be grouped by {', '.join(order_reports.BY)}.")
    return by


def _since() -> date | None:
    """Return the first day of the report, or None. An invalid day is a 400: ignoring it would report all orders."""
    text = request.args.get("since", "").strip()
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        abort(400, f"“{text[:40]}” is not a date such as 2026-11-25.")
