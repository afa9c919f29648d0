"""Order one or a few IMEIs from one page, or as a stream for programs that wait for the outcome."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, flash, jsonify, render_template, request, url_for
from flask.typing import ResponseReturnValue

import web.drafts as drafts
from backend import backend
from database import utc_now
from devices import fits
from orders import BatchNames
from people import Role
from spreadsheets import UnreadableFileError, read_text
from storage import order_queries
from storage.batch_creation import NotOrderedError
from storage.batch_uploads import batch_of_token
from storage.model_store import TAC, PhoneModel, models_of
from storage.rows import EarlierOrder, Order
from submission import NOTHING_LEFT, WITHOUT_ID, Again, Knows, Plan, known_to_program, shown_orders
from web.access import allow, current_actor, record_nothing
from web.context import row_number
from web.format import ago, plural, result_words
from web.lots import model_words, service_words
from web.ordering import must_type, plan_few, price_list, shown_price, start_batch, started
from web.picker import preselected
from web.redirects import go_to
from web.stream import is_sent, stream

blueprint = Blueprint("submit", __name__)

#: More IMEIs than this need the preview of a batch.
FEW = 20
SENT_BEFORE = "This form was sent before. Nothing more was sent: this is the batch that it made."


@dataclass(frozen=True, slots=True)
class Posted:
    """The fields of the form."""

    text: str
    service_id: str
    token: str | None  #: one token makes one batch
    recheck: bool
    shown_price: float | None = None  #: US dollars an IMEI on the page; None where the form does not say
    seen: frozenset[int] = frozenset()  #: row ids of the earlier orders that the page showed


@blueprint.get("/submit")
@allow(Role.OPERATOR)
def form() -> ResponseReturnValue:
    """Ask for IMEIs and a service; with ?draft= show the text of a refused form and its plan."""
    args = request.args
    draft = drafts.form_text(args.get("draft", ""))
    posted = Posted(draft or args.get("imei", ""), args.get("service_id", ""), None, "recheck" in args)
    return _page(posted, _known_plan(posted) if draft else None)


@blueprint.get("/submit/known.json")
@allow(Role.OPERATOR)
def known() -> Response:
    """Return what is known of each typed IMEI: its newest order with any service, and its model with a warning."""
    typed = dict.fromkeys(imei for imei in request.args.getlist("imei")[:FEW] if imei.isdecimal())
    service, models = _service_title(), models_of(backend().database, typed)
    found = [
        _known(imei, order_queries.orders_of_phone(backend().database, [imei]))
        | _model(models.get(imei[:TAC]), service)
        for imei in typed
    ]
    return jsonify([known for known in found if len(known) > 1])


@blueprint.post("/submit")
@allow(Role.OPERATOR, "batch.confirm")
def order() -> ResponseReturnValue:
    """Order the IMEIs at once, or redirect to the preview when they are many or expensive."""
    posted = _posted()
    batch_id = batch_of_token(backend().database, posted.token) if posted.token else None
    if batch_id is not None:
        record_nothing()
        flash(SENT_BEFORE)
        return go_to("batches.live", batch_id=batch_id)
    plan, objections = _plan(posted, shown_orders(posted.seen), _not_shown)
    if plan is not None and (len(plan.imeis) > FEW or must_type(backend(), plan)):
        record_nothing()
        token = drafts.from_imeis([imei for imei, _ in plan.imeis], _label(plan.imeis), posted.service_id)
        return go_to("preview.show", token=token)
    if plan is None or objections:
        return _ask_again(posted, objections)
    try:
        batch_id = start_batch(backend(), plan, BatchNames(_label(plan.imeis)), "single", posted.token)
    except NotOrderedError as error:
        return _ask_again(posted, [str(error)])
    flash(started(plan, batch_id), "good")
    return go_to("batches.live", batch_id=batch_id)


@blueprint.post("/submit-stream")
@allow(Role.OPERATOR, "batch.confirm", takes_token=True)
def order_and_follow() -> Response:
    """Order the posted IMEIs and stream their progress until all have an outcome."""
    posted, named = _posted(), request.form.getlist("known_orders") or None
    plan, objections = _plan(posted, known_to_program(named, utc_now()), _not_named)
    if plan is None or objections:
        abort(400, " ".join(objections))
    if not backend().streams.acquire(blocking=False):
        abort(503, "Too many streams are open: nothing was sent. Try again in a minute.")
    try:
        batch_id = start_batch(backend(), plan, BatchNames(_label(plan.imeis)), "single", posted.token)
    except NotOrderedError as error:
        backend().streams.release()
        abort(400, str(error))
    except BaseException:
        backend().streams.release()
        raise
    return stream(backend(), batch_id, is_sent)


def _known(imei: str, found: Sequence[Order]) -> dict[str, str]:
    """Return what the page shows of the orders of one phone, newest first."""
    if not found:
        return {"imei": imei}
    order = found[0]
    return {
        "services": " ".join(sorted({one.service_id for one in found if one.service_id})),
        "imei": imei,
        "second_of": order.imei if order.imei != imei else "",
        "service": order.service_name or "",
        "says": result_words(order),
        "age": ago(order.order_date or order.created_at),
        "url": url_for("orders.order", order_id=order.order_id) if order.order_id else "",
    }


def _service_title() -> str:
    """Return the title of the service of the page; "" while none is selected."""
    service = backend().database.get_service(request.args.get("service_id", ""))
    return service.title if service else ""


def _model(found: PhoneModel | None, title: str) -> dict[str, str]:
    """Return what the page shows of the model of a phone, with a warning where the service is for other brands."""
    if found is None:
        return {}
    warning = "" if fits(found.brand, title) else f"{service_words(title)} The provider will probably reject it."
    return {"model": model_words(found), "warning": warning}


def _posted() -> Posted:
    form = request.form
    text = "\n".join(form.getlist("imei") + form.getlist("imeis"))
    service_id = form.get("service_id", "").strip()
    price = shown_price(form.get("prices", ""), service_id)
    seen = frozenset(form.getlist("seen", type=row_number))
    return Posted(text.strip(), service_id, form.get("token") or None, "recheck" in form, price, seen)


def _plan(
    posted: Posted, knows: Knows, objection: Callable[[EarlierOrder], str]
) -> tuple[Plan | None, tuple[str, ...]]:
    """Return what would be sent, and the objections.

    knows: the earlier orders that are paid again; objection: the sentence about another one that would be.
    """
    try:
        intake = read_text(posted.text, limit=backend().settings.max_batch_imeis)
    except UnreadableFileError as error:
        return None, (str(error),)
    wrong = [f"{bad.text or bad.imei}: {bad.note}" for bad in intake.luhn_failed[:3]]
    wrong += [f"{bad.text}: {bad.reason}" for bad in intake.rejected[:3]]
    wrong += intake.announced[:3]
    if wrong:
        return None, tuple(wrong)
    again, numbers = Again(posted.recheck, posted.recheck, knows), list(intake.ready.imeis())
    plan, objections = plan_few(backend(), posted.service_id, numbers, posted.shown_price, again, current_actor())
    if plan is None or not plan.unseen:
        return plan, objections
    return plan, (*(one for one in objections if one != NOTHING_LEFT), *map(objection, plan.unseen[:3]))


def _not_shown(order: EarlierOrder) -> str:
    return f"Nothing was sent: {order.imei} was checked before. See the result below, then order again."


def _not_named(order: EarlierOrder) -> str:
    if not order.order_id:
        return f"Nothing was sent: {order.imei} has an order without an id. To pay again, {WITHOUT_ID}"
    found = f"Nothing was sent: {order.imei} has the order {order.order_id}."
    return f"{found} To pay again, look at it and send its id as known_orders."


def _ask_again(posted: Posted, objections: Sequence[str]) -> ResponseReturnValue:
    """Redirect to the form with the objections and its fields."""
    for objection in objections:
        flash(objection, "error")
    return go_to(
        "submit.form",
        service_id=posted.service_id or None,
        draft=drafts.from_form(posted.text, posted.service_id),
        recheck=1 if posted.recheck else None,
    )


def _known_plan(posted: Posted) -> Plan | None:
    """Return what would be sent by the stored prices, or None where that is not known."""
    service = backend().catalog.current(patience=1.0).find(posted.service_id)
    try:
        intake = read_text(posted.text, limit=FEW)
    except UnreadableFileError:
        return None
    again = Again(posted.recheck, posted.recheck)
    numbers = [(imei, None) for imei in intake.ready.imeis()]
    return backend().plan(service, numbers, current_actor(), again) if service and numbers else None


def _label(imeis: Sequence[tuple[str, Any]]) -> str:
    return imeis[0][0] if len(imeis) == 1 else plural(len(imeis), "IMEI")


def _page(posted: Posted, plan: Plan | None = None) -> str:
    catalogue = backend().catalog.current()
    return render_template(
        "submit.html",
        posted=posted,
        service_id=preselected(catalogue, posted.service_id),
        plan=plan,
        token=posted.token or secrets.token_urlsafe(18),
        prices=price_list(catalogue.services),
        catalogue=catalogue,
    )
