"""The batches: their list, one of them live, what people do to it, what they take away, and what is in doubt."""

from collections.abc import Iterator
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue

import batch_older_copy
import batch_queries
import batch_store
import order_queries
import settlement
from database import IMEIDatabase, utc_now
from orders import Outcome, Progress
from spreadsheets_out import export_name
from web_context import backend, batch_or_404
from web_exports import columns_asked, csv_download, xlsx_download
from web_format import outcome_label, plural
from web_plan import VOLATILE
from web_stream import chunk_cells, chunk_words, stream, whole_snapshot

batches = Blueprint("batches", __name__, url_prefix="/batches")

LISTED = 50
#: Items in doubt on one page, and in one decision.
DOUBTFUL_SHOWN, MOST_DOUBTFUL = 50, 1_000_000
BY_HAND = "Paused by hand."


@batches.get("")
def listing() -> ResponseReturnValue:
    """The newest batches."""
    before = request.args.get("before", type=int)
    found = order_queries.listed_batches(backend().database, LISTED, before)
    return render_template("batches.html", batches=found, more=len(found) == LISTED)


@batches.get("/<int:batch_id>")
def live(batch_id: int) -> ResponseReturnValue:
    """One batch as it goes."""
    progress, database = batch_or_404(batch_id), backend().database
    return render_template(
        "live.html",
        batch=progress,
        data=whole_snapshot(database, progress),
        cells=chunk_cells(database, batch_id),
        chunk_words=chunk_words(progress),
    )


@batches.get("/<int:batch_id>/events")
def events(batch_id: int) -> Response:
    """Its progress as server-sent events."""
    batch_or_404(batch_id)
    if not backend().streams.acquire(blocking=False):
        abort(503, "Too many streams are open; the page asks for its progress instead.")
    return stream(backend(), batch_id)


@batches.get("/<int:batch_id>/progress.json")
def progress(batch_id: int) -> Response:
    """Its progress once, for a page without a stream."""
    return jsonify(whole_snapshot(backend().database, batch_or_404(batch_id)))


@batches.post("/<int:batch_id>/pause")
def pause(batch_id: int) -> ResponseReturnValue:
    """Send nothing more of it until it is resumed."""
    batch_or_404(batch_id)
    with backend().database.write() as connection:
        done = batch_store.pause(connection, batch_id, BY_HAND)
    flash("Paused: what is on the wire is still answered." if done else "It was not running.")
    return _back(batch_id)


@batches.post("/<int:batch_id>/resume")
def resume(batch_id: int) -> ResponseReturnValue:
    """Go on with it."""
    batch_or_404(batch_id)
    objection = batch_older_copy.objection(backend().database) if backend().may_spend else VOLATILE
    if objection:
        flash(objection, "error")
        return _back(batch_id)
    with backend().database.write() as connection:
        done = batch_store.resume(connection, batch_id)
    flash("Running again." if done else "It was not paused.")
    return _back(batch_id)


@batches.post("/<int:batch_id>/cancel")
def cancel(batch_id: int) -> ResponseReturnValue:
    """Take back what was not sent."""
    batch_or_404(batch_id)
    with backend().database.write() as connection:
        taken = batch_store.cancel_rest(connection, batch_id)
    flash(f"Cancelled {plural(taken, 'IMEI')} that had not been sent.")
    return _back(batch_id)


@batches.get("/<int:batch_id>/results.csv")
def results_csv(batch_id: int) -> Response:
    """Every IMEI of it in the provider's format, or with ?format=extended with all that is known."""
    progress = batch_or_404(batch_id)
    rows = result_rows(backend().database, progress)
    return csv_download(rows, columns_asked(), _file_name(progress, "csv"))


@batches.get("/<int:batch_id>/results.xlsx")
def results_xlsx(batch_id: int) -> ResponseReturnValue:
    """The same as a workbook; a long one is built in the background."""
    progress = batch_or_404(batch_id)
    rows = result_rows(backend().database, progress)
    return xlsx_download(rows, columns_asked(), _file_name(progress, "xlsx"), progress.total)


@batches.get("/<int:batch_id>/doubt")
def doubt(batch_id: int) -> ResponseReturnValue:
    """What may have been charged, what is at stake, and the three things to do."""
    return _doubt_page(batch_id, "")


@batches.post("/<int:batch_id>/doubt/ask")
def ask(batch_id: int) -> ResponseReturnValue:
    """Ask the provider again."""
    batch_or_404(batch_id)
    settlement.ask_again(backend().database)
    flash("The provider is being asked. What its list shows appears here within a minute.")
    return redirect(url_for("batches.doubt", batch_id=batch_id), 303)


@batches.post("/<int:batch_id>/doubt/not-placed")
def not_placed(batch_id: int) -> ResponseReturnValue:
    """A person says that nothing was placed: send the chosen ones again."""
    batch_or_404(batch_id)
    doubtful = batch_queries.doubtful_items(backend().database, batch_id, limit=MOST_DOUBTFUL)
    ticked = set(request.form.getlist("item_id", type=int))
    every = "all" in request.form
    chosen = [row["item_id"] for row in doubtful if every or row["item_id"] in ticked]
    if not chosen:
        return _doubt_page(batch_id, "Nothing was sent: tick the IMEIs that were not placed."), 400
    if "sure" not in request.form:
        return _doubt_page(batch_id, "Nothing was sent: tick that you looked at the provider's site."), 400
    try:
        sent = settlement.was_not_placed(backend().database, chosen, backend().settings.settle_quiet)
    except ValueError as error:
        return _doubt_page(batch_id, f"Nothing was sent. {error}"), 400
    flash(f"{plural(sent, 'IMEI')} will be sent again.", "good")
    return _back(batch_id)


@batches.post("/<int:batch_id>/doubt/placed")
def placed(batch_id: int) -> ResponseReturnValue:
    """A person found the order: adopt it."""
    batch_or_404(batch_id)
    item_id, order_id = request.form.get("item_id", type=int), request.form.get("order_id", "")
    if item_id is None:
        abort(400, "It is not clear which IMEI the order belongs to.")
    try:
        settlement.was_placed(backend().database, item_id, order_id)
    except ValueError as error:
        return _doubt_page(batch_id, str(error)), 400
    flash(f"Order {order_id.strip()} is recorded.", "good")
    return redirect(url_for("batches.doubt", batch_id=batch_id), 303)


def result_rows(database: IMEIDatabase, progress: Progress) -> Iterator[dict[str, Any]]:
    """Each IMEI of a batch as an export row; what has no order says its outcome instead."""
    for item in order_queries.result_items(database, progress.batch_id):
        yield item | {
            "service_name": item["service_name"] or progress.service_name,
            "status": item["status"] or outcome_label(item["outcome"]),
            "result_code_display": item["result_code_display"] or item["message"],
            "batch_id": progress.batch_id,
            "error": item["message"],
        }


def _file_name(progress: Progress, ending: str) -> str:
    return export_name(progress.batch_id, progress.label, "results", utc_now(), ending)


def _back(batch_id: int) -> ResponseReturnValue:
    return redirect(url_for("batches.live", batch_id=batch_id), 303)


def _doubt_page(batch_id: int, error: str) -> str:
    progress = batch_or_404(batch_id)
    doubtful = batch_queries.doubtful_items(backend().database, batch_id, limit=DOUBTFUL_SHOWN)
    count = progress.outcomes[Outcome.IN_DOUBT]
    return render_template("doubt.html", batch=progress, items=doubtful, count=count, error=error)
