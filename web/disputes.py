"""Disputes with the provider: what can be disputed, what was, the page of one dispute, and files to send."""

from typing import Any

from flask import Blueprint, abort, flash, render_template, request
from flask.typing import ResponseReturnValue

from amounts import exceeds, money, plural
from backend import backend
from database import utc_now
from orders import DisputeKind, DisputeState, OrderStatus
from people import Role
from spreadsheets import OutColumn
from storage import disputable, dispute_queries, dispute_store, order_queries
from storage.disputable import FOUND, Disputable
from storage.dispute_store import COMES_FROM, LONGEST_NOTE, Refund, Step
from storage.rows import Dispute
from web.access import allow, current_actor, describe
from web.context import PAGE, at_one_moment, batch_of_url, order_or_404, row_number
from web.downloads import dated, report_file
from web.redirects import go_to, refuse
from web.refund_list import read_day, read_dollars

blueprint = Blueprint("disputes", __name__, url_prefix="/reports")

KIND_WORDS = {
    DisputeKind.IN_DOUBT: "in doubt",
    DisputeKind.MISMATCHED: "about another IMEI",
    DisputeKind.REJECTED: "rejected",
    DisputeKind.OTHER: "for another reason",
}
#: The value of ?state= for disputes in any state.
ALL = "all"
#: What a button of the list does → the words of the button.
BULK_STEPS = {
    DisputeState.SENT: "Mark as sent",
    DisputeState.REFUSED: "Mark as refused",
    DisputeState.CLOSED: "Close",
    DisputeState.OPEN: "Open again",
}
DISPUTABLE_COLUMNS = (
    OutColumn("ORDER ID", "order_id", 14, "digits"),
    OutColumn("IMEI NO.", "imei", 17, "digits"),
    OutColumn("SERVICE", "service_name", 34),
    OutColumn("CREDITS", "credits", 9, "money"),
    OutColumn("ORDER DATE", "order_date", 20, "moment"),
    OutColumn("STATUS", "status", 11),
    OutColumn("WHY", "why", 40),
    OutColumn("BATCH", "batch_id", 9),
    OutColumn("CODE", "said", 60),
)
#: The first seven are what the provider needs.
DISPUTE_COLUMNS = (
    OutColumn("ORDER ID", "order_id", 14, "digits"),
    OutColumn("IMEI NO.", "imei", 17, "digits"),
    OutColumn("SERVICE", "service_name", 34),
    OutColumn("PRICE", "price", 9, "money"),
    OutColumn("ORDER DATE", "ordered_at", 20, "moment"),
    OutColumn("REASON", "reason", 40),
    OutColumn("TEXT", "text", 60),
    OutColumn("STATE", "state", 10),
    OutColumn("REFUND", "refund", 9, "money"),
    OutColumn("REFUND DATE", "refunded_on", 12),
    OutColumn("DISPUTE", "id", 9),
)


@blueprint.get("/disputes")
@allow(Role.VIEWER)
@at_one_moment
def listing() -> ResponseReturnValue:
    """Show disputes of ?state= and ?kind=; without a state, what can be disputed."""
    state, sums = _state(), dispute_queries.sums(backend().database)
    shared = {
        "sums": sums,
        "state": state or request.args.get("state", ""),
        "states": {one: sum(part.count for part in sums if part.state is one) for one in DisputeState},
        "kind_words": KIND_WORDS,
        "most": dispute_store.MOST_AT_ONCE,
        "before": request.args.get("before", type=row_number),
    }
    return _recorded(state, shared) if state or request.args.get("state") == ALL else _to_dispute(shared)


def _to_dispute(shared: dict[str, Any]) -> str:
    """Return the page of what can be disputed: of ?kind=, else of the first kind with any."""
    database, batch, service = backend().database, batch_of_url(), request.args.get("service", "").strip()
    counts = disputable.counts(database, batch, service)
    kind = _kind(FOUND) or next((one for one, count in counts.items() if count), DisputeKind.IN_DOUBT)
    rows = disputable.page(database, Disputable(kind, batch, service), shared["before"], PAGE + 1)
    with database.read() as connection:
        services = order_queries.ordered_services(connection)
    more = len(rows) > PAGE and kind is not DisputeKind.IN_DOUBT
    return render_template(
        "disputes.html",
        kind=kind,
        counts=counts,
        rows=rows[:PAGE],
        next_before=rows[PAGE - 1].id if more else None,
        services=services,
        filters={name: value for name, value in {"batch": batch, "service": service}.items() if value},
        **shared,
    )


def _recorded(state: DisputeState | None, shared: dict[str, Any]) -> str:
    """Return the page of disputes of a state, or of all."""
    kind = _kind(tuple(DisputeKind))
    rows = dispute_queries.page(backend().database, state, kind, shared["before"], PAGE + 1)
    parts = [part for part in shared["sums"] if state in (None, part.state)]
    return render_template(
        "recorded_disputes.html",
        kind=kind,
        counts={one: sum(part.count for part in parts if part.kind is one) for one in DisputeKind},
        rows=rows[:PAGE],
        next_before=rows[PAGE - 1].id if len(rows) > PAGE else None,
        steps={to: words for to, words in BULK_STEPS.items() if state in COMES_FROM[to]},
        **shared,
    )


@blueprint.get("/disputes.csv", endpoint="as_csv")
@blueprint.get("/disputes.xlsx", endpoint="as_xlsx")
@allow(Role.VIEWER, "export")
def as_file() -> ResponseReturnValue:
    """Download disputes of ?state= and ?kind=; without a state, all that can be disputed."""
    state, database = _state(), backend().database
    if state is None and request.args.get("state") != ALL:
        return report_file(disputable.walk(database), DISPUTABLE_COLUMNS, dated("disputable"))
    rows = dispute_queries.walk(database, state, _kind(tuple(DisputeKind)))
    return report_file(rows, DISPUTE_COLUMNS, dated(f"disputes-{state or ALL}"))


@blueprint.post("/disputes")
@allow(Role.OPERATOR, "dispute.open")
def open_disputes() -> ResponseReturnValue:
    """Open disputes for the selected rows, for one (one=), or for all that a filter finds (all=)."""
    form, database, person, note = request.form, backend().database, current_actor().name, _note()
    kind = _kind_of_form()
    rows = form.getlist("one", type=row_number) or form.getlist("row", type=row_number)
    if "all" in form:
        chosen = Disputable(kind, form.get("batch", type=row_number), form.get("service", ""))
        opened = dispute_store.open_all(database, chosen, person, note)
    elif kind is DisputeKind.IN_DOUBT:
        opened = dispute_store.open_items(database, rows, person, note)
    else:
        opened = dispute_store.open_orders(database, rows, person, note)
    describe("disputes", kind=kind, opened=opened)
    is_one_order = "one" in form and "all" not in form and kind is not DisputeKind.IN_DOUBT
    if opened and is_one_order and (dispute := dispute_queries.of_order(database, rows[0])):
        flash("Dispute opened.", "good")
        return go_to("disputes.show", dispute_id=dispute.id)
    if opened:
        flash(f"{plural(opened, 'dispute')} opened.", "good")
    else:
        flash("No dispute was opened: select rows that are not disputed yet.", "error")
    return go_to("disputes.listing", kind=kind)


@blueprint.post("/disputes/order/<order_id>")
@allow(Role.OPERATOR, "dispute.open")
def open_of_order(order_id: str) -> ResponseReturnValue:
    """Open a dispute for one order from its page. Without a reason that the app knows, it needs a note."""
    order, note = order_or_404(order_id), _note()
    is_known = bool(order.other_imei) or order.status == OrderStatus.REJECTED
    opened = (is_known or note) and dispute_store.open_orders(
        backend().database, [order.id], current_actor().name, note
    )
    dispute = dispute_queries.of_order(backend().database, order.id)
    if dispute is None:
        return refuse("No dispute was opened: write what is wrong with a result.", "orders.order", order_id=order_id)
    if opened:
        flash("Dispute opened.", "good")
    else:
        describe(refused="The order is disputed already.")
    return go_to("disputes.show", dispute_id=dispute.id)


@blueprint.post("/disputes/steps")
@allow(Role.OPERATOR, "dispute.change")
def take_steps() -> ResponseReturnValue:
    """Bring the selected disputes, or all of a state and kind (all=), into the state of the button."""
    form, database = request.form, backend().database
    to, state = _state_of_form("to"), _state_of_form("state")
    kind = _kind_of_form() if form.get("kind") else None
    step = Step(to, current_actor().name, _note())
    if "all" in form:
        moved = dispute_store.take_step_of_all(database, state, kind, step)
    else:
        moved = dispute_store.take_step(database, form.getlist("row", type=row_number), step)
    describe("disputes", state=to, changed=moved)
    if moved:
        flash(f"{plural(moved, 'dispute is', 'disputes are')} {to} now.", "good")
    else:
        flash("Nothing was changed: select disputes first.", "error")
    return go_to("disputes.listing", state=state, kind=kind)


@blueprint.get("/disputes/<int:dispute_id>")
@allow(Role.VIEWER)
@at_one_moment
def show(dispute_id: int) -> ResponseReturnValue:
    """Show one dispute with its history."""
    dispute = _dispute_or_404(dispute_id)
    return render_template(
        "dispute.html",
        dispute=dispute,
        events=dispute_queries.events(backend().database, dispute_id),
        kind_words=KIND_WORDS,
        steps={to: words for to, words in BULK_STEPS.items() if dispute.state in COMES_FROM[to]},
        may_refund=dispute.state in COMES_FROM[DisputeState.REFUNDED],
        today=utc_now().date(),
    )


@blueprint.post("/disputes/<int:dispute_id>")
@allow(Role.OPERATOR, "dispute.change")
def change(dispute_id: int) -> ResponseReturnValue:
    """Bring a dispute into the state of the button, with a note; without a state, add the note."""
    _dispute_or_404(dispute_id)
    note, person = _note(), current_actor().name
    if request.form.get("to"):
        to = _state_of_form("to")
        done = dispute_store.take_step(backend().database, [dispute_id], Step(to, person, note)) == 1
        describe(state=to)
    else:
        done = bool(note) and dispute_store.add_note(backend().database, dispute_id, person, note)
    if done:
        flash("Dispute saved.", "good")
    else:
        flash("Nothing was changed: write a note, or reload the page for the steps that are possible now.", "error")
    return go_to("disputes.show", dispute_id=dispute_id)


@blueprint.post("/disputes/<int:dispute_id>/refund")
@allow(Role.OPERATOR, "dispute.refund")
def refund(dispute_id: int) -> ResponseReturnValue:
    """Record what the provider paid back; more than the price only with exceed=1."""
    dispute, form = _dispute_or_404(dispute_id), request.form
    amount, day = read_dollars(form.get("amount", "")), read_day(form.get("day", ""))
    describe(amount=form.get("amount", "")[:20], day=form.get("day", "")[:20])
    if not amount or day is None:
        flash("The refund was not recorded: enter dollars such as 0.50, and a date such as 2026-11-25.", "error")
    elif dispute_store.record_refunds(
        backend().database, [Refund(dispute_id, amount, day)], current_actor().name, _note(), "exceed" in form
    ):
        flash(f"Refund of {money(amount)} recorded.", "good")
    elif exceeds(amount, dispute.price) and "exceed" not in form:
        more = f"it is more than the price of {money(dispute.price)}. Tick the box to record it all the same."
        flash(f"The refund was not recorded: {more}", "error")
    else:
        flash("The refund was not recorded: the dispute has changed. Reload the page for its state.", "error")
    return go_to("disputes.show", dispute_id=dispute_id)


def _dispute_or_404(dispute_id: int) -> Dispute:
    return dispute_queries.find(backend().database, dispute_id) or abort(404, f"There is no dispute {dispute_id}.")


def _state() -> DisputeState | None:
    """Return ?state=; None without one and for all. Answers 400 for anything else."""
    text = request.args.get("state", "")
    if text not in ("", ALL, *DisputeState):
        abort(400, f"“{text[:40]}” is not a state of a dispute.")
    return None if text in ("", ALL) else DisputeState(text)


def _kind(known: tuple[DisputeKind, ...]) -> DisputeKind | None:
    text = request.args.get("kind", "")
    if text and text not in known:
        abort(400, f"“{text[:40]}” is not a kind of dispute.")
    return DisputeKind(text) if text else None


def _kind_of_form() -> DisputeKind:
    return request.form.get("kind", type=DisputeKind) or abort(400, "Choose a kind of dispute.")


def _state_of_form(name: str) -> DisputeState:
    return request.form.get(name, type=DisputeState) or abort(400, "Choose a state.")


def _note() -> str:
    return request.form.get("note", "").strip()[:LONGEST_NOTE]
