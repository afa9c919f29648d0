"""The page that records refunds of many disputes from a pasted list, after a preview of what matches."""

from flask import Blueprint, flash, render_template, request
from flask.typing import ResponseReturnValue

from amounts import money, plural
from backend import backend
from database import utc_now
from orders import DisputeState
from people import Role
from storage import dispute_queries, dispute_store
from storage.dispute_store import Refund
from web.access import allow, current_actor, describe
from web.redirects import go_to
from web.refund_list import MOST_LINES, RefundLine, mark_of, matched, read_day, read_lines

blueprint = Blueprint("refunds", __name__, url_prefix="/reports/refunds")

#: Lines of each kind on the preview.
SHOWN = 200


@blueprint.get("")
@allow(Role.OPERATOR)
def form() -> str:
    """Show the form for a list."""
    return _page([])


@blueprint.post("")
@allow(Role.OPERATOR)
def preview() -> ResponseReturnValue:
    """Show what a list would record."""
    return _page(_lines())


@blueprint.post("/record")
@allow(Role.OPERATOR, "dispute.refund")
def record() -> ResponseReturnValue:
    """Record the refunds that the preview showed; where they differ by now, show the preview again."""
    lines, day = _lines(), read_day(request.form.get("day", ""))
    describe("disputes")
    if day is None:
        flash("Nothing was recorded: enter the day as a date such as 2026-11-25.", "error")
        return _page(lines)
    chosen = [Refund(line.dispute.id, line.amount, day) for line in lines if line.is_recorded and line.dispute]
    if not chosen or mark_of(lines) != request.form.get("seen"):
        flash("Nothing was recorded: check the preview below, then record it.", "error")
        return _page(lines)
    recorded = dispute_store.record_refunds(
        backend().database, chosen, current_actor().name, may_exceed="exceed" in request.form
    )
    dollars = money(sum(refund.amount for refund in chosen))
    describe(refunds=recorded, dollars=dollars)
    flash(f"{plural(recorded, 'refund')} recorded, {dollars}.", "good")
    return go_to("disputes.listing", state=DisputeState.REFUNDED)


def _lines() -> list[RefundLine]:
    """Return the lines of the form with what is known of them."""
    lines = read_lines(request.form.get("list", ""))[:MOST_LINES]
    known = dispute_queries.by_order_id(backend().database, {line.order_id for line in lines if line.order_id})
    return matched(lines, known, "exceed" in request.form)


def _page(lines: list[RefundLine]) -> str:
    recorded = [line for line in lines if line.is_recorded]
    problems = [line for line in lines if not line.is_recorded]
    return render_template(
        "refunds.html",
        recorded=recorded,
        problems=problems,
        total=sum(line.amount for line in recorded),
        mark=mark_of(lines),
        text=request.form.get("list", ""),
        exceed="exceed" in request.form,
        day=read_day(request.form.get("day", "")) or utc_now().date(),
        shown=SHOWN,
        most=MOST_LINES,
    )
