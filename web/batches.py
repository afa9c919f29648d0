"""Batches: the list, the page of one batch with its progress, its actions and its downloads."""

from dataclasses import astuple, replace
from typing import Any

from flask import Blueprint, Response, abort, flash, jsonify, render_template, request, url_for
from flask.typing import ResponseReturnValue

import web.drafts as drafts
from amounts import exceeds, money
from backend import backend
from orders import Outcome, Progress
from people import Role
from results import SheetNotPossibleError, SheetStore, prepare_sheet, request_sync, result_rows
from spreadsheets import UnreadableFileError
from storage import batch_queries, order_pages, order_queries
from storage.batch_uploads import rename_batch, rename_upload
from storage.customer_store import find_customer
from storage.order_counts import Count
from storage.order_pages import WORST_FIRST, Sort
from storage.order_queries import ListedBatches
from storage.order_terms import OrderFilter
from storage.tag_store import tag_words, tags_of_batches
from web.access import allow, describe
from web.batch_fields import LONGEST_NAME, names_from
from web.batch_moves import pause_batch, resume_at, stop_batch
from web.context import PAGE, at_one_moment, batch_or_404, row_number
from web.downloads import columns_asked, file_download, is_workbook, named_after, named_by_columns, sheet_download
from web.filters import SHOWN, suggested_tags
from web.format import plural
from web.order_columns import OrderTable, headings, shown_columns
from web.redirects import go_to, refuse
from web.stream import chunk_words, stop_now, stream, whole_snapshot

blueprint = Blueprint("batches", __name__, url_prefix="/batches")

LIVE = "batches.live"
LISTED = 50
#: Outcomes without an order: sending these IMEIs again pays nothing twice.
SAFE_AGAIN = (Outcome.REFUSED, Outcome.CANCELLED)
NOT_RUNNING, NOT_PAUSED = "The batch was not running.", "The batch was not paused."


@blueprint.get("")
@allow(Role.VIEWER)
@at_one_moment
def listing() -> ResponseReturnValue:
    """Show the newest batches: with the words of ?q= in name, customer or note, by ?person=, ?tag= and ?customer=."""
    before, database = request.args.get("before", type=row_number), backend().database
    asked = {name: request.args.get(name, "").strip()[:LONGEST_NAME] for name in ("q", "person", "tag", "customer")}
    customer = find_customer(database, asked["customer"]) if asked["customer"] else None
    writings = customer.writings if customer else (asked["customer"],) if asked["customer"] else ()
    wanted = ListedBatches(asked["q"], asked["person"], asked["tag"], writings)
    found = order_queries.listed_batches(database, wanted, LISTED, before)
    with database.read() as connection:
        people, known_tags = order_queries.people_who_ordered(connection), suggested_tags(connection)
    return render_template(
        "batches.html",
        batches=found,
        more=len(found) == LISTED,
        asked={name: value for name, value in asked.items() if value},
        people=people,
        tags=tags_of_batches(database, [batch.batch_id for batch in found]),
        known_tags=known_tags,
    )


@blueprint.get("/<int:batch_id>")
@allow(Role.VIEWER)
@at_one_moment
def live(batch_id: int) -> ResponseReturnValue:
    """Show one batch: its progress, and its results of ?verdict=, worst first or with ?sort=newest."""
    progress = batch_or_404(batch_id)
    return render_template(
        "live.html",
        batch=progress,
        data=whole_snapshot(backend().database, progress),
        chunk_words=chunk_words(progress),
        again=sum(progress.outcomes[outcome] for outcome in SAFE_AGAIN),
        tags=tags_of_batches(backend().database, [batch_id]).get(batch_id, []),
        known_tags=tag_words(backend().database, SHOWN),
        **_listed(progress),
    )


@blueprint.get("/<int:batch_id>/events")
@allow(Role.VIEWER)
def events(batch_id: int) -> Response:
    """Stream the progress of a batch as server-sent events."""
    batch_or_404(batch_id)
    if not backend().streams.acquire(blocking=False):
        abort(503, "Too many streams are open; the page asks for its progress instead.")
    return stream(backend(), batch_id)


@blueprint.get("/<int:batch_id>/progress.json")
@allow(Role.VIEWER)
@at_one_moment
def progress(batch_id: int) -> Response:
    """Return the progress of a batch as JSON, for a page without a stream."""
    return jsonify(whole_snapshot(backend().database, batch_or_404(batch_id)))


@blueprint.post("/<int:batch_id>/names")
@allow(Role.OPERATOR, "batch.rename")
def rename(batch_id: int) -> ResponseReturnValue:
    """Change name, customer and note of a batch."""
    before = batch_or_404(batch_id).names
    names = names_from(request.form, before)
    rename_batch(backend().database, batch_id, names)
    describe(old=" · ".join(astuple(before)), new=" · ".join(astuple(names)))
    flash("Batch details saved.", "good")
    return go_to(LIVE, batch_id=batch_id)


@blueprint.post("/<int:batch_id>/pause")
@allow(Role.OPERATOR, "batch.pause")
def pause(batch_id: int) -> ResponseReturnValue:
    """Pause a batch: no further call is sent until it is resumed."""
    batch_or_404(batch_id)
    done = pause_batch(backend(), batch_id)
    if not done:
        describe(refused=NOT_RUNNING)
    flash("Paused. Requests already sent will finish." if done else NOT_RUNNING)
    return go_to(LIVE, batch_id=batch_id)


@blueprint.post("/<int:batch_id>/resume")
@allow(Role.OPERATOR, "batch.resume")
def resume(batch_id: int) -> ResponseReturnValue:
    """Resume a batch. A higher price applies only if it is the price that the page showed."""
    progress = batch_or_404(batch_id)
    resumed = resume_at(backend(), progress, request.form.get("price", type=float))
    if resumed.objection:
        return refuse(resumed.objection, LIVE, batch_id=batch_id)
    if not resumed.done:
        describe(refused=NOT_PAUSED)
    flash(_resumed(progress.unit_price, resumed.price) if resumed.done else NOT_PAUSED)
    return go_to(LIVE, batch_id=batch_id)


@blueprint.post("/<int:batch_id>/results")
@allow(Role.OPERATOR, "results.request")
def ask_for_results(batch_id: int) -> ResponseReturnValue:
    """Request all pending results. The process that calls the provider fetches them; the page shows them later."""
    batch_or_404(batch_id)
    request_sync(backend().database)
    flash("The app is asking the provider for all pending results. They appear here automatically.")
    return go_to(LIVE, batch_id=batch_id)


@blueprint.get("/<int:batch_id>/cancel")
@allow(Role.OPERATOR)
def ask_to_cancel(batch_id: int) -> ResponseReturnValue:
    """Show the question before a batch is stopped. The batch page shows the same question in a dialog."""
    progress = batch_or_404(batch_id)
    return render_template("cancel.html", batch=progress, **stop_now(backend().database, progress))


@blueprint.post("/<int:batch_id>/cancel")
@allow(Role.OPERATOR, "batch.stop")
def cancel(batch_id: int) -> ResponseReturnValue:
    """Stop a batch: cancel the IMEIs that are not sent yet."""
    batch_or_404(batch_id)
    taken = stop_batch(backend(), batch_id)
    flash(_stopped(batch_or_404(batch_id), taken))
    return go_to(LIVE, batch_id=batch_id)


@blueprint.post("/<int:batch_id>/retry")
@allow(Role.OPERATOR, "batch.retry")
def retry(batch_id: int) -> ResponseReturnValue:
    """Redirect to the preview of a new batch with the refused and cancelled IMEIs of this one."""
    progress, database = batch_or_404(batch_id), backend().database
    failures = batch_queries.batch_failures(database, batch_id)
    imeis = [failed["imei"] for failed in failures if failed["outcome"] in SAFE_AGAIN]
    if not imeis:
        words = "No IMEI of this batch was refused or cancelled, so there is nothing to send again."
        describe(refused=words)
        flash(words)
        return go_to(LIVE, batch_id=batch_id)
    label = f"Again: {progress.label}"[:100]
    # The provider took them before, so a wrong check digit is no reason to leave one out.
    token = drafts.from_imeis(imeis, label, progress.service_id, ["include_luhn"])
    rename_upload(database, token, replace(progress.names, name=label))
    describe(imeis=len(imeis), service=progress.service_id)
    return go_to("preview.show", token=token)


@blueprint.get("/<int:batch_id>/results.csv", endpoint="results_csv")
@blueprint.get("/<int:batch_id>/results.xlsx", endpoint="results_xlsx")
@allow(Role.VIEWER, "export")
def results_file(batch_id: int) -> ResponseReturnValue:
    """Download every IMEI of a batch, with the columns of ?format=."""
    progress = batch_or_404(batch_id)
    describe(imeis=progress.total)
    rows, stem = result_rows(backend().database, progress), named_after(progress, named_by_columns("results"))
    return file_download(rows, columns_asked(OrderTable.BATCH), stem, progress.total)


@blueprint.get("/<int:batch_id>/sheet", endpoint="sheet")
@blueprint.get("/<int:batch_id>/sheet.xlsx", endpoint="sheet_workbook")
@allow(Role.VIEWER, "export")
def my_sheet(batch_id: int) -> ResponseReturnValue:
    """Download the user's own file with the results of its batch: in its format, or as an Excel workbook."""
    store = SheetStore(backend().database, backend().uploads, backend().settings.max_batch_imeis)
    try:
        prepared = prepare_sheet(store, batch_or_404(batch_id), is_workbook())
    except (SheetNotPossibleError, UnreadableFileError) as error:
        return refuse(str(error), LIVE, batch_id=batch_id)
    return sheet_download(prepared, batch_id)


def _listed(progress: Progress) -> dict[str, Any]:
    """Return one page of the orders of a batch, how it was chosen, and the addresses of other pages.

    After an upgrade, orders that are not graded yet have no place among the verdicts: then the newest come first.
    """
    verdict, before = request.args.get("verdict", ""), request.args.get("before", "")
    if verdict not in ("", *WORST_FIRST):
        abort(404, f"“{verdict[:40]}” is not a verdict. Choose one of {', '.join(WORST_FIRST)}.")
    counts = progress.verdicts.by_word()
    present = [word for word in WORST_FIRST if counts[word]]
    chosen = OrderFilter(batch=progress.batch_id, verdict=verdict if present != [verdict] else "")
    are_graded = progress.verdicts.results == progress.results - progress.withheld
    usual = Sort.WORST if are_graded else Sort.NEWEST
    total = Count(counts[verdict] if verdict else progress.verdicts.total, is_all=True)
    possible = order_pages.sorts(chosen, total, before) - order_pages.BY_VERDICT
    possible |= order_pages.BY_VERDICT if are_graded else frozenset()
    wanted = request.args.get("sort", usual, type=Sort)
    sort = wanted if wanted in possible else usual
    found = order_pages.page(backend().database, chosen, sort, before, PAGE + 1, present)

    def address(sort: Sort, before: str | None = None) -> str:
        asked: dict[str, Any] = {"verdict": verdict or None, "sort": None if sort is usual else sort, "before": before}
        return url_for("batches.live", batch_id=progress.batch_id, **asked)

    columns, is_last = shown_columns(OrderTable.BATCH), len(found) <= PAGE
    return {
        "orders": found[:PAGE],
        "verdict": verdict,
        "sort": sort,
        "total": total,
        "columns": columns,
        "headings": headings(columns, sort, possible, address),
        "first_page": address(sort) if before else "",
        "next_page": "" if is_last else address(sort, order_pages.key(found[PAGE - 1], sort)),
    }


def _stopped(progress: Progress, taken: int) -> str:
    """Return a sentence about what stopping saved and what was paid before."""
    paid = f"{plural(progress.outcomes[Outcome.ORDERED], 'IMEI')} ordered, {money(progress.spent)} paid"
    if not taken:
        return f"Nothing was left to stop. {paid}."
    saved = money(taken * progress.unit_price)
    return f"Stopped. {plural(taken, 'IMEI was', 'IMEIs were')} not sent, {saved} saved. {paid}."


def _resumed(before: float, now: float) -> str:
    return f"Resumed at {money(now)} per IMEI." if exceeds(now, before) else "Resumed."
