"""The pages of automations: saved rules that order by themselves, with their trials and the log of their runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qsl

from flask import Blueprint, Response, abort, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from automation import LOOKED_AT, MustWaitError, run_by_hand, schedule_of, token_of, try_out
from backend import backend
from database import Transaction, utc_now
from orders import AutomationKind, NotPossibleError, RunKind
from people import Role
from spreadsheets import OutColumn
from storage import automation_change_store, automation_store, batch_queries
from storage.automation_change_store import Changed
from storage.automation_store import Automation, ChangedMeanwhileError, Run
from storage.batch_creation import NotOrderedError
from storage.batch_uploads import batch_of_token
from web.access import allow, current_actor, describe, record_nothing
from web.automation_form import (
    ZONES,
    does,
    filter_objection,
    filter_words,
    read_terms,
    require_free_name,
    stored_text,
    typed_as,
)
from web.context import PAGE, at_one_moment, row_number, row_of_form
from web.downloads import csv_download, dated
from web.filters import asked, read_filter
from web.format import money, plural
from web.forms import keep_typed, typed_into
from web.ordering import typing_objection
from web.picker import preselected
from web.redirects import go_to, refuse

blueprint = Blueprint("automations", __name__, url_prefix="/automations")

SHOW = "automations.show"
#: Runs that a page lists.
LISTED = 50
COLUMNS = (
    OutColumn("IMEI NO.", "imei", 17, "digits"),
    OutColumn("ORDER ID", "order_id", 14),
    OutColumn("WHAT", "what", 14),
    OutColumn("BEFORE", "before", 20),
    OutColumn("NOW", "now", 20),
)


@dataclass(frozen=True, slots=True)
class ListedAutomation:
    """An automation with what the list shows beside it."""

    automation: Automation
    sentence: str  #: what it does
    spent: float  #: US dollars of this UTC day, promises included
    last: Run | None


@blueprint.get("")
@allow(Role.VIEWER)
@at_one_moment
def listing() -> str:
    """Show all automations: what each does, what it spent today and its last run."""
    with backend().database.read() as connection:
        found = automation_store.all_automations(connection)
        spent, last = automation_store.spent_today(connection), automation_store.last_runs(connection)
        titles = automation_store.service_titles(connection, (one.terms.service_id for one in found))
    listed = [
        ListedAutomation(
            one,
            does(one, titles[one.terms.service_id]),
            spent.get(one.automation_id, 0.0),
            last.get(one.automation_id),
        )
        for one in found
    ]
    return render_template("automations.html", listed=listed)


@blueprint.get("/new")
@allow(Role.OPERATOR)
def new() -> ResponseReturnValue:
    """Show the form of a new automation over the filter of the URL; ?kind=recheck for a scheduled re-check."""
    wanted = asked()
    objection = filter_objection(wanted)
    if objection:
        return refuse(objection, "orders.history", **wanted.chosen.arguments())
    kind = request.args.get("kind", AutomationKind.FOLLOW_UP, type=AutomationKind)
    filter, catalogue = stored_text(wanted.chosen), backend().catalog.current()
    tomorrow = (utc_now() + timedelta(days=1)).date().isoformat()
    usual = MultiDict({"every_days": "7", "hour": "8", "time_zone": "UTC", "first_day": tomorrow})
    typed = typed_into(url_for("automations.create")) or usual
    return render_template(
        "automation_new.html",
        kind=kind,
        kinds=list(AutomationKind),
        filter=filter,
        filter_words=filter_words(filter),
        arguments=wanted.chosen.arguments(),
        typed=typed,
        zones=ZONES,
        catalogue=catalogue,
        service_id=typed.get("service_id") or preselected(catalogue, ""),
    )


@blueprint.post("")
@allow(Role.OPERATOR, "automation.create")
def create() -> ResponseReturnValue:
    """Save a new automation, which is off."""
    form = request.form
    kind, filter = form.get("kind", AutomationKind.FOLLOW_UP, type=AutomationKind), form.get("filter", "")
    wanted = read_filter(backend().database, dict(parse_qsl(filter)))
    if filter_objection(wanted) or stored_text(wanted.chosen) != filter:
        abort(400, f"The filter is not valid. {filter_objection(wanted)}")
    try:
        terms = read_terms(form, kind, filter)
        with backend().database.write() as connection:
            require_free_name(connection, terms.name)
            made = automation_store.create(connection, kind, terms, current_actor())
    except NotPossibleError as error:
        keep_typed()
        return refuse(f"Not saved: {error}", "automations.new", kind=kind, **wanted.chosen.arguments())
    describe(f"automation {made}", kind=kind, **_described(terms))
    flash("Saved. It is off: look at what it would order, then turn it on.", "good")
    return go_to(SHOW, automation_id=made)


@blueprint.get("/<int:automation_id>")
@allow(Role.VIEWER)
def show(automation_id: int) -> str:
    """Show one automation with its newest trial, its form and the log of its runs."""
    catalogue = backend().catalog.current(patience=1.0)
    with backend().database.snapshot() as connection:
        found = _automation_or_404(automation_id)
        runs = automation_store.runs_of(connection, automation_id, LISTED)
        spent = automation_store.spent_on_day(connection, automation_id)
        titles = automation_store.service_titles(connection, [found.terms.service_id])
        trial = runs[0] if runs and runs[0].kind is RunKind.TRIAL else None
        return render_template(
            "automation.html",
            automation=found,
            sentence=does(found, titles[found.terms.service_id]),
            spent=spent,
            runs=runs,
            trial=trial,
            must_type=trial is not None and trial.cost > backend().settings.confirm_above,
            looked_at=LOOKED_AT,
            typed=typed_into(url_for("automations.change", automation_id=automation_id)) or typed_as(found),
            zones=ZONES,
            catalogue=catalogue,
        )


@blueprint.post("/<int:automation_id>")
@allow(Role.OPERATOR, "automation.change")
def change(automation_id: int) -> ResponseReturnValue:
    """Save other terms and turn the automation off."""
    found = _as_shown(automation_id)
    try:
        terms = read_terms(request.form, found.kind, found.terms.filter)
        with backend().database.write() as connection:
            require_free_name(connection, terms.name, automation_id)
            notice = f"Changed by {current_actor().name}. Look at what it would order, then turn it on."
            automation_store.change(connection, found, terms, notice)
    except (NotPossibleError, ChangedMeanwhileError) as error:
        keep_typed()
        return refuse(f"Not saved: {error}", SHOW, automation_id=automation_id)
    describe(old=_described(found.terms), new=_described(terms))
    flash("Saved. It is off until you turn it on.", "good")
    return go_to(SHOW, automation_id=automation_id)


@blueprint.post("/<int:automation_id>/trial")
@allow(Role.OPERATOR, "automation.trial")
def trial(automation_id: int) -> ResponseReturnValue:
    """Look at what it would order now, and order nothing."""
    try_out(backend(), _automation_or_404(automation_id), current_actor())
    return go_to(SHOW, automation_id=automation_id, _anchor="trial")


@blueprint.post("/<int:automation_id>/on")
@allow(Role.OPERATOR, "automation.on")
def turn_on(automation_id: int) -> ResponseReturnValue:
    """Let it order by itself, within the daily limit of who turns it on."""
    found = _as_shown(automation_id)
    if "sure" not in request.form:
        why = "Not turned on: tick that it may place paid orders by itself."
        return refuse(why, SHOW, automation_id=automation_id)
    due = schedule_of(found.terms).next_after(utc_now()) if found.rechecks else None
    describe("", **_described(found.terms))
    words = "It is on. Results that arrive from now on are ordered." if due is None else "It is on."
    return _moved(found, lambda c: automation_store.turn_on(c, found, current_actor(), due), words)


@blueprint.post("/<int:automation_id>/off")
@allow(Role.OPERATOR, "automation.off")
def turn_off(automation_id: int) -> ResponseReturnValue:
    """Let it order nothing more by itself; batches that it made go on."""
    found = _automation_or_404(automation_id)
    why = f"Turned off by {current_actor().name}."
    words = "It is off. Batches that it made go on: pause them on their pages."
    return _moved(found, lambda c: automation_store.turn_off(c, found, why), words)


@blueprint.post("/<int:automation_id>/run")
@allow(Role.OPERATOR, "batch.confirm")
def run(automation_id: int) -> ResponseReturnValue:
    """Order what the trial of the form has shown, at the price that it has shown."""
    found, shown = _automation_or_404(automation_id), _run_or_404(row_of_form("trial") or 0)
    if shown.automation_id != automation_id or shown.kind is not RunKind.TRIAL:
        abort(400)
    batch_id = batch_of_token(backend().database, token_of(shown))
    if batch_id is not None:
        record_nothing()
        flash("This trial was confirmed before. Nothing more was sent: this is the batch that it made.")
        return go_to("batches.live", batch_id=batch_id)
    must_type = shown.cost > backend().settings.confirm_above
    if must_type and (objection := typing_objection(shown.sent)):
        return refuse(objection, SHOW, automation_id=automation_id, _anchor="trial")
    try:
        batch_id = run_by_hand(backend(), found, shown, current_actor())
    except (MustWaitError, NotOrderedError, ChangedMeanwhileError) as error:
        return refuse(f"Nothing was sent. {error}", SHOW, automation_id=automation_id, _anchor="trial")
    cost = {"imeis": shown.sent, "cost": money(shown.cost)}
    describe(f"batch {batch_id}", automation=automation_id, service=found.terms.service_id, **cost)
    flash(f"Batch {batch_id} has started: {plural(shown.sent, 'IMEI')} to send.", "good")
    return go_to("batches.live", batch_id=batch_id)


@blueprint.get("/runs/<int:run_id>")
@allow(Role.VIEWER)
@at_one_moment
def changes(run_id: int) -> str:
    """Show what changed since the last check of the phones of a re-check."""
    found = _run_or_404(run_id)
    after = request.args.get("after", 0, type=row_number)
    with backend().database.read() as connection:
        phones = automation_change_store.changed_phones(connection, run_id, after, PAGE + 1)
    batch = batch_queries.progress(backend().database, found.batch_id) if found.batch_id else None
    return render_template(
        "automation_run.html",
        run=found,
        automation=_automation_or_404(found.automation_id),
        batch=batch,
        phones=phones[:PAGE],
        first=not after,
        following=phones[PAGE - 1].order_row if len(phones) > PAGE else None,
    )


@blueprint.get("/runs/<int:run_id>/changes.csv")
@allow(Role.VIEWER, "export")
def changes_csv(run_id: int) -> Response:
    """Download what changed, one line for each finding."""
    found = _run_or_404(run_id)
    describe(f"run {run_id} of automation {found.automation_id}", phones=found.changed)
    with backend().database.read() as connection:
        phones = automation_change_store.changed_phones(connection, run_id)
    return csv_download(_lines(phones), COLUMNS, f"{dated(f'changes-{run_id}')}.csv")


def _lines(phones: list[Changed]) -> Iterator[dict[str, object]]:
    for phone in phones:
        for what, before, now in phone.differences:
            yield {"imei": phone.imei, "order_id": phone.order_id, "what": what, "before": before, "now": now}


def _automation_or_404(automation_id: int) -> Automation:
    with backend().database.read() as connection:
        found = automation_store.find_automation(connection, automation_id)
        return found or abort(404, f"There is no automation {automation_id}.")


def _run_or_404(run_id: int) -> Run:
    with backend().database.read() as connection:
        found = automation_store.find_run(connection, run_id)
        return found or abort(404, f"There is no run {run_id} of an automation.")


def _as_shown(automation_id: int) -> Automation:
    """Return an automation as the page of the form showed it. Answers 409 where it was changed since."""
    found = _automation_or_404(automation_id)
    if row_of_form("revision") != found.revision:
        abort(409, "The automation was changed or has run meanwhile. Go back, reload the page and look at it again.")
    return found


def _moved(automation: Automation, move: Callable[[Transaction], None], words: str) -> ResponseReturnValue:
    """Write a change and show the words, or why it was not possible."""
    try:
        with backend().database.write() as connection:
            move(connection)
    except ChangedMeanwhileError as error:
        return refuse(str(error), SHOW, automation_id=automation.automation_id)
    flash(words, "good")
    return go_to(SHOW, automation_id=automation.automation_id)


def _described(terms: automation_store.Terms) -> dict[str, object]:
    """Return terms as the audit log keeps them."""
    limits = {"max_price": money(terms.max_price), "daily_limit": money(terms.daily_limit)}
    when = {"schedule": f"{terms.every_days} days, {terms.hour}:00 {terms.time_zone}"} if terms.first_day else {}
    return {"name": terms.name, "filter": terms.filter, "service": terms.service_id, **limits, **when}
