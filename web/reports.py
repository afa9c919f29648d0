"""Reports as pages and files: spend, the results of a batch, and disputes with the provider."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue

from backend import backend
from database import utc_now
from people import Role
from spreadsheets import OutColumn, export_name
from storage import batch_queries, order_filters, order_queries, order_reports
from storage.kept_sums import FINDINGS
from storage.order_reports import Dispute
from web.access import allow
from web.context import PAGE, batch_or_404, row_number
from web.downloads import csv_download

blueprint = Blueprint("reports", __name__)

#: Most rows of the spend table on the page; the file has all of them.
SHOWN = 60
#: Most values of each finding on the printed report.
PRINTED = 12
#: Width of the longest bar in SVG units.
BAR = 200

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
FINDING_COLUMNS = (
    OutColumn("FIELD", "field", 12),
    OutColumn("VALUE", "value", 30),
    OutColumn("ORDERS", "orders", 9),
)
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
    return _csv(order_reports.spend(backend().database, by, since), SPEND_COLUMNS, f"spend-by-{by}")


@blueprint.get("/reports/disputes")
@allow(Role.VIEWER)
def disputes() -> ResponseReturnValue:
    """Show disputes of one kind: that of ?kind=, else the first kind with any disputes."""
    counts = order_reports.dispute_counts(backend().database)
    first = next((kind for kind, count in counts.items() if count), Dispute.IN_DOUBT)
    kind, before = _kind(first), request.args.get("before", type=row_number)
    rows = order_reports.dispute_page(backend().database, kind, before, PAGE + 1)
    more = len(rows) > PAGE and kind is not Dispute.IN_DOUBT
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
def disputes_csv() -> Response:
    """Download all disputes: orders that are rejected, in doubt, or have a result about another IMEI."""
    return _csv(order_reports.disputes(backend().database), DISPUTE_COLUMNS, "disputes")


@blueprint.get("/batches/<int:batch_id>/findings")
@allow(Role.VIEWER)
def findings(batch_id: int) -> ResponseReturnValue:
    """Show the results of a batch by value."""
    batch = batch_or_404(batch_id)
    found = order_reports.finding_summary(backend().database, batch_id)
    most = max((row.orders for row in found), default=1)
    return render_template(
        "findings.html",
        batch=batch,
        fields=[(name, [row for row in found if row.field == name]) for name in FINDINGS],
        widths={row: round(BAR * row.orders / most, 1) for row in found},
        bar=BAR,
        mismatched=order_filters.mismatched_count(backend().database, batch_id),
        verdicts=batch.verdicts,
    )


@blueprint.get("/batches/<int:batch_id>/report")
@allow(Role.VIEWER)
def report(batch_id: int) -> ResponseReturnValue:
    """Show a report of a batch for printing: counts, cost, results and failures."""
    batch, database = batch_or_404(batch_id), backend().database
    found = order_reports.finding_summary(database, batch_id)
    return render_template(
        "report.html",
        batch=batch,
        now=utc_now(),
        results=order_queries.status_counts(database, batch_id),
        fields=[(name, [row for row in found if row.field == name]) for name in FINDINGS],
        errors=batch_queries.batch_errors(database, batch_id),
        shown=PRINTED,
        mismatched=order_filters.mismatched_count(database, batch_id),
        verdicts=batch.verdicts,
    )


@blueprint.get("/batches/<int:batch_id>/findings.csv")
@allow(Role.VIEWER, "export")
def findings_csv(batch_id: int) -> Response:
    """Download the results of a batch by value as CSV."""
    batch = batch_or_404(batch_id)
    name = export_name(batch_id, f"{batch.customer} {batch.label}", "findings", utc_now(), "csv")
    found = order_reports.finding_summary(backend().database, batch_id)
    return csv_download(_mappings(found, FINDING_COLUMNS), FINDING_COLUMNS, name)


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


def _kind(usual: Dispute) -> Dispute:
    text = request.args.get("kind", usual)
    if text not in list(Dispute):
        abort(400, f"“{text[:40]}” is not a kind of dispute.")
    return Dispute(text)


def _csv(rows: Iterable[Any], columns: tuple[OutColumn, ...], name: str) -> Response:
    return csv_download(_mappings(rows, columns), columns, _name(name))


def _mappings(rows: Iterable[Any], columns: tuple[OutColumn, ...]) -> Iterator[Mapping[str, object]]:
    for row in rows:
        yield {column.key: getattr(row, column.key) for column in columns}


def _name(what: str) -> str:
    return f"{what}_{utc_now():%Y%m%dT%H%MZ}.csv"
