"""What is in doubt in a batch: what happened, why it is not settled, what the provider lists, and three choices."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from backend import backend
from database import utc_now
from gsm_fusion_client import GSMFusionAPIError
from orders import SAYS_IT_EXISTS, IMEIOrder, NotPossibleError, Progress
from storage import batch_doubt, batch_queries, call_queries
from storage.batch_doubt import CallInDoubt
from submission import (
    ListFindings,
    account_objection,
    ask_again,
    compare_list,
    find_order,
    read_order_id,
    rest_before_decision,
    take_back_clearing,
    take_back_order,
    was_not_placed,
    was_placed,
)
from web.context import batch_or_404, row_number
from web.format import plural

blueprint = Blueprint("doubt", __name__, url_prefix="/batches/<int:batch_id>/doubt")

#: Items in doubt on one page, and in one decision.
SHOWN, MOST = 25, 1_000_000
#: Different reasons or answers that one list shows.
GROUPS = 12
NO_WORDS = "sent, but no answer was recorded"
NOT_LOOKED = "The program has not looked at the provider's list for these yet."


@dataclass(frozen=True, slots=True)
class Wait:
    """How long the provider may still work on calls in doubt: nothing is decided before."""

    earliest: datetime  #: UTC; for the call that was sent first
    latest: datetime  #: for the one that was sent last
    seconds: float  #: until the earliest; 0 when it has passed
    is_over: bool  #: for every call


@blueprint.before_request
def _refuse_other_account() -> ResponseReturnValue | None:
    """Decide nothing about the doubt of another account: what its list shows is not to be had here."""
    objection = account_objection(backend().database, backend().settings) if request.method == "POST" else ""
    if not objection:
        return None
    flash(objection, "error")
    return redirect(url_for("doubt.show", **(request.view_args or {})), 303)


@blueprint.get("")
def show(batch_id: int) -> ResponseReturnValue:
    """Everything about it; with ?look=1 the provider is asked first, for pages without a script."""
    return _page(batch_id, looked="look" in request.args)


@blueprint.get("/listed")
def listed(batch_id: int) -> ResponseReturnValue:
    """What the provider's list says now, as the part of the page that its script fetches."""
    progress = batch_or_404(batch_id)
    found, error = _look(progress)
    return render_template("listed.html", batch=progress, look=found, unheard=error)


@blueprint.post("/ask")
def ask(batch_id: int) -> ResponseReturnValue:
    """Have the runner ask the provider and settle what its list proves."""
    batch_or_404(batch_id)
    ask_again(backend().database)
    flash("The provider is being asked. What its list settles disappears from this page by itself.")
    return redirect(url_for("doubt.show", batch_id=batch_id), 303)


@blueprint.post("/not-placed")
def not_placed(batch_id: int) -> ResponseReturnValue:
    """A person says that nothing was placed: send the chosen ones again."""
    batch_or_404(batch_id)
    doubtful = _undecided(batch_id)
    ticked = set(request.form.getlist("item_id", type=int))
    every = "all" in request.form
    chosen = [row["item_id"] for row in doubtful if every or row["item_id"] in ticked]
    if every and request.form.get("seen") != _mark(doubtful):
        return _refused(batch_id, "Nothing was sent: what is in doubt has changed since. Look at these once more.")
    if not chosen:
        return _refused(batch_id, "Nothing was sent: tick the IMEIs that were not placed.")
    if "sure" not in request.form:
        return _refused(batch_id, "Nothing was sent: tick that you looked at the provider's site.")
    try:
        sent = was_not_placed(backend().database, chosen, _rest())
    except NotPossibleError as error:
        return _refused(batch_id, f"Nothing was sent. {error}")
    flash(f"{plural(sent, 'IMEI')} will be sent again after one more look at the provider's list.", "good")
    return redirect(url_for("batches.live", batch_id=batch_id), 303)


@blueprint.post("/placed")
def placed(batch_id: int) -> ResponseReturnValue:
    """A person found the order: adopt it, if the provider shows it as one of this IMEI and service."""
    progress = batch_or_404(batch_id)
    item_id, given = request.form.get("item_id", type=row_number), request.form.get("order_id", "")
    if item_id is None:
        abort(400, "It is not clear which IMEI the order belongs to.")
    try:
        order = _order_of(progress, item_id, given)
        was_placed(backend().database, item_id, order.order_id, batch_id, order.status)
    except (NotPossibleError, GSMFusionAPIError) as error:
        return _refused(batch_id, f"Nothing was recorded. {error}", item=item_id, order_id=given.strip()[:40])
    flash(f"Order {order.order_id} is recorded. It can be undone below until it has its result.", "good")
    return redirect(url_for("doubt.show", batch_id=batch_id), 303)


@blueprint.post("/undo")
def undo(batch_id: int) -> ResponseReturnValue:
    """Take back an order id that a person gave: its IMEI is in doubt again."""
    batch_or_404(batch_id)
    order_id = request.form.get("order_id", "")
    try:
        take_back_order(backend().database, batch_id, order_id)
    except NotPossibleError as error:
        return _refused(batch_id, str(error))
    flash(f"Order {order_id} is no longer recorded. Its IMEI is in doubt again.", "good")
    return redirect(url_for("doubt.show", batch_id=batch_id), 303)


@blueprint.post("/not-placed/undo")
def undo_not_placed(batch_id: int) -> ResponseReturnValue:
    """Take back the decision to send again, for what was not sent yet."""
    batch_or_404(batch_id)
    moved = take_back_clearing(backend().database, batch_id)
    flash(f"{plural(moved, 'IMEI')} will not be sent again by this decision." if moved else "Nothing was left to undo.")
    return redirect(url_for("doubt.show", batch_id=batch_id), 303)


def _refused(batch_id: int, why: str, **kept: Any) -> ResponseReturnValue:
    """Back to the page with the reason, and what was typed."""
    flash(why, "error")
    return redirect(url_for("doubt.show", batch_id=batch_id, **kept), 303)


def _order_of(progress: Progress, item_id: int, given: str) -> IMEIOrder:
    """The order that a person names for an item in doubt. Raises NotPossibleError, GSMFusionAPIError."""
    database, order_id = backend().database, read_order_id(given)
    imei = batch_doubt.imei_in_doubt(database, progress.batch_id, item_id)
    if imei is None:
        raise NotPossibleError("This IMEI is no longer in doubt in this batch.")
    with database.read() as connection:
        labels = call_queries.service_labels(connection)
    return find_order(backend().find_order, order_id, imei, progress.service_id, labels)


def _page(batch_id: int, looked: bool = False) -> str:
    progress, database = batch_or_404(batch_id), backend().database
    rows = batch_queries.doubtful_items(database, batch_id, limit=MOST)
    calls = batch_doubt.calls_in_doubt(database, batch_id)
    doubtful = [row for row in rows if not row["cleared"]]
    found, unheard = _look(progress) if looked else (None, "")
    return render_template(
        "doubt.html",
        batch=progress,
        count=len(rows),
        items=sorted(doubtful, key=lambda row: row["message"] != SAYS_IT_EXISTS)[:SHOWN],
        undecided=len(doubtful),
        cleared=[row["imei"] for row in rows if row["cleared"]],
        shown=SHOWN,
        seen=_mark(doubtful),
        happened=_happened(doubtful, calls),
        reasons=_reasons(call for call in calls if not call.cleared),
        cleared_reasons=_reasons(call for call in calls if call.cleared and call.reason),
        wait=_wait([call.sent_at for call in calls if not call.cleared]),
        settled=batch_doubt.settled(database, batch_id),
        exists=SAYS_IT_EXISTS,
        named=batch_doubt.named(database, batch_id, SHOWN),
        typed=(request.args.get("item", type=row_number), request.args.get("order_id", "")),
        look=found,
        unheard=unheard,
    )


def _undecided(batch_id: int) -> list[dict[str, Any]]:
    """Every item in doubt of a batch that no person has cleared."""
    rows = batch_queries.doubtful_items(backend().database, batch_id, limit=MOST)
    return [row for row in rows if not row["cleared"]]


def _happened(doubtful: Sequence[dict[str, Any]], calls: Sequence[CallInDoubt]) -> list[tuple[str, int]]:
    """(words, IMEIs): what is known of the answers, the most frequent first."""
    words = {call.chunk_id: call.message for call in calls}
    counted = Counter(row["message"] or words.get(row["chunk_id"]) or NO_WORDS for row in doubtful)
    return counted.most_common(GROUPS)


def _reasons(calls: Iterable[CallInDoubt]) -> list[tuple[str, int]]:
    """(words, IMEIs): why calls are not settled yet, the most frequent first."""
    counted = Counter[str]()
    for call in calls:
        counted[call.reason or NOT_LOOKED] += call.imeis
    return counted.most_common(GROUPS)


def _wait(sent: Sequence[datetime]) -> Wait | None:
    """What remains of the call timeout and the quiet time; None without a call."""
    if not sent:
        return None
    rest, now = timedelta(seconds=_rest()), utc_now()
    earliest, latest = min(sent) + rest, max(sent) + rest
    return Wait(earliest, latest, max(0.0, (earliest - now).total_seconds()), is_over=latest <= now)


def _rest() -> float:
    """Seconds after a call in which nobody may decide that it placed nothing."""
    database, settings = backend().database, backend().settings
    return rest_before_decision(database, settings.call_timeout, settings.settle_quiet, settings.chunk_size)


def _mark(doubtful: Sequence[dict[str, Any]]) -> str:
    """A name for exactly these calls in doubt: "all" means those that the page spoke of, and none that came later."""
    digest = hashlib.sha256()
    for item in doubtful:
        digest.update(f"{item['item_id']} {item['sent_at']},".encode())
    return digest.hexdigest()


def _look(progress: Progress) -> tuple[ListFindings | None, str]:
    """What the provider lists now, or why it cannot be said."""
    database = backend().database
    doubtful = batch_queries.doubtful_items(database, progress.batch_id, limit=MOST)
    try:
        return compare_list(database, doubtful, progress.service_id, backend().recent_orders()), ""
    except GSMFusionAPIError as error:
        return None, str(error)
