"""The page of IMEIs in doubt: what happened, why it is not settled, what the provider lists, and three choices."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from flask import Blueprint, abort, flash, render_template, request
from flask.typing import ResponseReturnValue

from backend import backend
from database import utc_now
from gsm_fusion_client import GSMFusionAPIError
from orders import SAYS_IT_EXISTS, IMEIOrder, NotPossibleError, Progress
from people import Role
from settings import MAIN_ACCOUNT
from storage import batch_doubt, call_queries
from storage.account_chunks import account_of_item, accounts_in_doubt
from storage.batch_doubt import CallInDoubt, Doubt
from storage.batch_undo import named_by_person
from submission import (
    ListFindings,
    account_objection,
    ask_again,
    certain_labels,
    compare_list,
    find_order,
    read_order_id,
    rest_before_decision,
    take_back_clearing,
    take_back_order,
    was_not_placed,
    was_placed,
)
from web.access import allow, describe
from web.context import batch_or_404, row_number
from web.format import plural
from web.redirects import go_to, refuse

blueprint = Blueprint("doubt", __name__, url_prefix="/batches/<int:batch_id>/doubt")

SHOW = "doubt.show"
#: Items in doubt on one page.
SHOWN = 25
#: Most rows of the lists of reasons and of replies.
GROUPS = 12
NO_WORDS = "sent, but no reply was recorded"
CHANGED = "Nothing was sent: the IMEIs in doubt have changed. Check the list and try again."
NOT_SURE = "Nothing was sent: tick the box to confirm that you checked the provider's site."
NOT_LOOKED = "The program has not checked the provider's list for these IMEIs yet."


@dataclass(frozen=True, slots=True)
class Wait:
    """How long the provider may still process the calls in doubt. Nothing is decided before that time has passed."""

    earliest: datetime  #: UTC; for the call that was sent first
    latest: datetime  #: for the one that was sent last
    seconds: float  #: until the earliest; 0 when it has passed
    is_over: bool  #: for every call


@blueprint.before_request
def _refuse_other_account() -> ResponseReturnValue | None:
    """Refuse decisions about IMEIs of another account: this account cannot read that account's order list."""
    objection = account_objection(backend().database, backend().settings) if request.method == "POST" else ""
    if not objection:
        return None
    return refuse(objection, SHOW, **(request.view_args or {}))


@blueprint.get("")
@allow(Role.VIEWER)
def show(batch_id: int) -> ResponseReturnValue:
    """Show the page. With ?look=1 the provider's list is read first, for browsers without JavaScript."""
    progress, database = batch_or_404(batch_id), backend().database
    with database.read() as connection:
        newest = call_queries.newest_attempt(connection)
        doubt = batch_doubt.doubt_of(connection, batch_id)
        named = named_by_person(connection, batch_id, SHOWN)
    calls = batch_doubt.calls_in_doubt(database, batch_id)
    found, list_error = _look(progress) if "look" in request.args else (None, "")
    return render_template(
        "doubt.html",
        batch=progress,
        count=doubt.count,
        undecided=doubt.undecided,
        cleared_count=doubt.cleared,
        seen=doubt.mark,
        newest=newest,
        items=batch_doubt.undecided_items(database, batch_id, SHOWN),
        cleared=batch_doubt.cleared_imeis(database, batch_id, SHOWN),
        happened=_happened(doubt, calls),
        reasons=_reasons(call for call in calls if not call.cleared),
        cleared_reasons=_reasons(call for call in calls if call.cleared and call.reason),
        wait=_wait([call.sent_at for call in calls if not call.cleared]),
        settled=batch_doubt.settled(database, batch_id),
        exists=SAYS_IT_EXISTS,
        named=named,
        typed=(request.args.get("item", type=row_number), request.args.get("order_id", "")),
        look=found,
        list_error=list_error,
    )


@blueprint.get("/listed")
@allow(Role.OPERATOR)
def listed(batch_id: int) -> ResponseReturnValue:
    """Return the part of the page that compares the provider's list, for the page's script."""
    progress = batch_or_404(batch_id)
    found, error = _look(progress)
    return render_template("listed.html", batch=progress, look=found, list_error=error)


@blueprint.post("/ask")
@allow(Role.OPERATOR, "results.request")
def ask(batch_id: int) -> ResponseReturnValue:
    """Request that the leader reads the provider's list and settles what it proves."""
    batch_or_404(batch_id)
    ask_again(backend().database)
    flash("The app is asking the provider. IMEIs that are settled disappear from this page automatically.")
    return go_to(SHOW, batch_id=batch_id)


@blueprint.post("/not-placed")
@allow(Role.OPERATOR, "doubt.not_placed", prove=True)
def not_placed(batch_id: int) -> ResponseReturnValue:
    """Record that the chosen IMEIs were not placed, so that they are sent again."""
    batch_or_404(batch_id)
    ticked = set(request.form.getlist("item_id", type=int))
    every = "all" in request.form
    with backend().database.read() as connection:
        undecided = batch_doubt.undecided_ids(connection, batch_id)
        mark = batch_doubt.doubt_of(connection, batch_id).mark
    chosen = [item_id for item_id in undecided if every or item_id in ticked]
    if every and request.form.get("seen") != mark:
        return refuse(CHANGED, SHOW, batch_id=batch_id)
    if not chosen:
        return refuse("Nothing was sent: tick the IMEIs that were not placed.", SHOW, batch_id=batch_id)
    if "sure" not in request.form:
        return refuse(NOT_SURE, SHOW, batch_id=batch_id)
    newest = None if every else request.form.get("newest", 0, type=row_number)  # every: the mark is compared
    try:
        sent = was_not_placed(backend().database, chosen, _rest(), newest)
    except NotPossibleError as error:
        return refuse(f"Nothing was sent. {error}", SHOW, batch_id=batch_id)
    describe(imeis=sent)
    flash(f"{plural(sent, 'IMEI')} will be sent again after one more check of the provider's list.", "good")
    return go_to("batches.live", batch_id=batch_id)


@blueprint.post("/placed")
@allow(Role.OPERATOR, "doubt.placed")
def placed(batch_id: int) -> ResponseReturnValue:
    """Record the order id that a person found, if the provider confirms its IMEI and service."""
    progress = batch_or_404(batch_id)
    item_id, given = request.form.get("item_id", type=row_number), request.form.get("order_id", "")
    if item_id is None:
        abort(400, "The request does not name an IMEI in doubt. Go back and try again.")
    try:
        order = _order_of(progress, item_id, given)
        was_placed(backend().database, item_id, order.id, batch_id, order.status)
    except (NotPossibleError, GSMFusionAPIError) as error:
        return refuse(
            f"Nothing was recorded. {error}", SHOW, batch_id=batch_id, item=item_id, order_id=given.strip()[:40]
        )
    describe(order=order.id, imei=order.imei)
    flash(f"Order {order.id} is recorded. You can undo this below until it has a result.", "good")
    return go_to(SHOW, batch_id=batch_id)


@blueprint.post("/undo")
@allow(Role.OPERATOR, "doubt.undo")
def undo(batch_id: int) -> ResponseReturnValue:
    """Undo an order id that was recorded by hand. Its IMEI is in doubt again."""
    batch_or_404(batch_id)
    order_id = request.form.get("order_id", "")
    try:
        take_back_order(backend().database, batch_id, order_id)
    except NotPossibleError as error:
        return refuse(str(error), SHOW, batch_id=batch_id)
    describe(order=order_id)
    flash(f"Order {order_id} is no longer recorded. Its IMEI is in doubt again.", "good")
    return go_to(SHOW, batch_id=batch_id)


@blueprint.post("/not-placed/undo")
@allow(Role.OPERATOR, "doubt.undo")
def undo_not_placed(batch_id: int) -> ResponseReturnValue:
    """Undo the decision to send again, for IMEIs that are not sent yet."""
    batch_or_404(batch_id)
    moved = take_back_clearing(backend().database, batch_id)
    describe(imeis=moved)
    flash(f"{plural(moved, 'IMEI')} will not be sent again." if moved else "There was nothing to undo.")
    return go_to(SHOW, batch_id=batch_id)


def _order_of(progress: Progress, item_id: int, given: str) -> IMEIOrder:
    """Return the order that a person entered for an item in doubt. Raises NotPossibleError, GSMFusionAPIError."""
    database, order_id = backend().database, read_order_id(given)
    imei = batch_doubt.imei_in_doubt(database, progress.batch_id, item_id)
    if imei is None:
        raise NotPossibleError("This IMEI is no longer in doubt in this batch.")
    with database.read() as connection:
        labels = call_queries.service_labels(connection)
        account = account_of_item(connection, item_id)
    ask = partial(backend().requests.find_order, account=account)

    def certain() -> Mapping[str, str]:
        try:
            return certain_labels(database, backend().requests.recent_orders(account))
        except GSMFusionAPIError:  # then the services are as we know them
            return labels

    return find_order(ask, order_id, imei, progress.service_id, labels, certain)


def _happened(doubt: Doubt, calls: Sequence[CallInDoubt]) -> list[tuple[str, int]]:
    """Return (message, number of IMEIs) for each kind of reply, the most frequent first."""
    words = {call.chunk_id: call.message for call in calls}
    counted = Counter[str]()
    for chunk_id, message, imeis in doubt.answers:
        counted[message or words.get(chunk_id) or NO_WORDS] += imeis
    return counted.most_common(GROUPS)


def _reasons(calls: Iterable[CallInDoubt]) -> list[tuple[str, int]]:
    """Return (reason, number of IMEIs): why calls are not settled yet, the most frequent first."""
    counted = Counter[str]()
    for call in calls:
        counted[call.reason or NOT_LOOKED] += call.imeis
    return counted.most_common(GROUPS)


def _wait(sent: Sequence[datetime]) -> Wait | None:
    """Return what remains of the call timeout and the quiet time, or None without a call."""
    if not sent:
        return None
    rest, now = timedelta(seconds=_rest()), utc_now()
    earliest, latest = min(sent) + rest, max(sent) + rest
    return Wait(earliest, latest, max(0.0, (earliest - now).total_seconds()), is_over=latest <= now)


def _rest() -> float:
    """Return the seconds after a call in which nobody may decide that it placed nothing."""
    database, settings = backend().database, backend().settings
    return rest_before_decision(database, settings.call_timeout, settings.settle_quiet, settings.chunk_size)


def _look(progress: Progress) -> tuple[ListFindings | None, str]:
    """Return what the provider lists now, or None and the reason why its list cannot be read."""
    database, requests = backend().database, backend().requests
    try:
        with database.read() as connection:
            accounts = accounts_in_doubt(connection, progress.batch_id)
        listed = [order for account in accounts or [MAIN_ACCOUNT] for order in requests.recent_orders(account)]
        return compare_list(database, progress.batch_id, progress.service_id, listed), ""
    except GSMFusionAPIError as error:
        return None, str(error)
