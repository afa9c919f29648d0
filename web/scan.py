"""Scan mode: one phone after the other, each ordered at once from the service on top of the page, or known already.

A scan is a batch of one IMEI, made by the same plan, objections and token as any other order. Its batch has the source
"scan", which lists of batches leave out; the table of scans says which scans belong to one session.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, Response, flash, jsonify, render_template, request, session
from flask.typing import ResponseReturnValue

from backend import backend
from devices import fits
from grading import Verdict
from imei import COMPLETIONS
from orders import BatchNames, BatchState, OrderStatus, Outcome, ServiceInfo, is_awaited
from people import Role
from results import ask_for_result
from spreadsheets import UnreadableFileError, read_text
from storage import scan_store
from storage.batch_creation import NotOrderedError
from storage.batch_uploads import batch_of_token
from storage.model_store import TAC, models_of
from storage.rows import Order
from storage.scan_store import NewScan, Scan
from submission import Again, shown_orders
from web.access import allow, current_actor, describe, may, record_nothing
from web.context import row_number
from web.format import ago, money, sentence
from web.lots import article, model_words, service_words
from web.ordering import must_type, plan_few, price_list, shown_price, start_batch
from web.picker import preselected
from web.redirects import go_to

blueprint = Blueprint("scan", __name__, url_prefix="/scan")

SHOWN, SESSIONS_SHOWN = 50, 100
SOURCE = "scan"
#: The name in the cookie of the session that this browser goes on with.
CURRENT = "scan"
#: Characters of one scan; a label with two IMEIs and a serial number has fewer.
LONGEST = 500
#: What a scanner that names the kind of barcode sends before it (ISO/IEC 15424), and two IMEIs without a gap.
SYMBOLOGY = re.compile(r"^\s*\][A-Za-z][0-9A-Za-z]")
TWO_IN_ONE = re.compile(r"(?<!\d)(\d{15})(\d{15})(?!\d)")
NO_CHECK_DIGIT = "It came without its check digit, so a wrong digit would not be noticed. Scan or type all 15 digits."
GONE = "Its result came from a file whose import was undone. Scan the phone again."
#: Verdict → its icon and tone; the same names as the CSS classes.
TONES = {Verdict.PASS: "pass", Verdict.REVIEW: "review", Verdict.FAIL: "fail"}


@dataclass(frozen=True, slots=True)
class ScanForm:
    """The fields of the form."""

    text: str
    service_id: str
    session: str
    token: str  #: orders one phone from one service once
    again: bool
    seen: int | None  #: row id of the order that the card with the button "Check again" shows; None: it shows none
    any_brand: bool  #: although the phone is of another brand than the service
    shown_price: float | None  #: US dollars an IMEI on the page; None where the form does not say

    def confirm_token(self, imei: str) -> str:
        """Return the confirm token of the batch: after Back, a page sends the next phone with the same token."""
        return f"{self.token}/{self.service_id}/{imei}"


@dataclass(frozen=True, slots=True)
class Read:
    """What one scan says: an IMEI, or why it is none."""

    imei: str
    note: str = ""  #: what the user should know of it
    title: str = ""  #: the problem in a few words, where there is one
    problem: str = ""  #: and in a sentence


@dataclass(frozen=True, slots=True)
class Card:
    """A scan as the page shows it."""

    imei: str  #: or what was scanned
    tone: str  #: "pass", "review", "fail", "checked", "open" or "problem": colour, icon and sound
    word: str  #: the verdict, or what is instead of it
    details: tuple[str, ...] = ()  #: sentences
    scan: Scan | None = None  #: None where nothing was stored
    service: ServiceInfo | None = None  #: of the scan; None where the provider never listed it
    token: str = ""  #: of another check of this phone, which is paid again; "" where it cannot be checked again
    model: str = ""  #: by the first 8 digits of the IMEI, where there is no result
    is_misfit: bool = False  #: it was not ordered because the service is for other brands; a button does it anyway

    @property
    def is_open(self) -> bool:
        """Whether an answer may still come."""
        return self.tone == "open"


@blueprint.get("")
@allow(Role.OPERATOR)
def page() -> ResponseReturnValue:
    """Show the field and the session's scans; ?session= goes on with an earlier session."""
    name = request.args.get("session", "")[:40] or session.get(CURRENT) or secrets.token_urlsafe(9)
    session[CURRENT] = name
    catalogue = backend().catalog.current()
    chosen = request.args.get("service_id", "") or scan_store.last_service(backend().database, name)
    cards = _cards(scan_store.scans_of(backend().database, name, SHOWN))
    return render_template(
        "scan.html",
        session_name=name,
        cards=cards,
        waits=any(card.is_open for card in cards),
        totals=totals(name),
        catalogue=catalogue,
        service_id=preselected(catalogue, chosen),
        prices=price_list(catalogue.services),
        token=secrets.token_urlsafe(18),
    )


@blueprint.post("")
@allow(Role.OPERATOR, "batch.confirm")
def scan() -> ResponseReturnValue:
    """Take one scan from a page without a script."""
    card = _take(_posted())
    if card.scan is None:
        more = ("To check it anyway, use “Check a few”.",) if card.is_misfit else ()
        flash(" ".join((f"{card.imei}: {card.word}.", *card.details, *more)), "error")
    return go_to("scan.page", service_id=request.form.get("service_id") or None)


@blueprint.post("/check.json")
@allow(Role.OPERATOR, "batch.confirm")
def check() -> Response:
    """Take one scan and return its card."""
    posted = _posted()
    card = _take(posted)
    return jsonify(card=_json(card), totals=totals(posted.session))


@blueprint.get("/cards.json")
@allow(Role.OPERATOR)
def cards() -> Response:
    """Return the cards of the session's scans ?id=…, and ask for results that they wait for."""
    name, ids = request.args.get("session", ""), request.args.getlist("id", type=row_number)[:SHOWN]
    found = _cards(scan_store.scans_of(backend().database, name, SHOWN, ids))
    return jsonify(cards=[_json(card) for card in found], totals=totals(name))


@blueprint.post("/new")
@allow(Role.OPERATOR)
def new_session() -> ResponseReturnValue:
    """Begin a new session with the service of the last one."""
    before = session.get(CURRENT, "")
    session[CURRENT] = secrets.token_urlsafe(9)
    return go_to("scan.page", service_id=scan_store.last_service(backend().database, before) or None)


@blueprint.get("/sessions")
@allow(Role.OPERATOR)
def sessions() -> ResponseReturnValue:
    """Show the newest scan sessions of this user, a line each; an admin sees those of all users."""
    person = "" if may(Role.ADMIN) else current_actor().name
    found = scan_store.sessions(backend().database, SESSIONS_SHOWN, person)
    return render_template("scan_sessions.html", sessions=found, are_own=bool(person))


def read_scan(text: str) -> Read:
    """Return the IMEI of one scan: of a barcode, a label with two IMEIs, or digits that were typed."""
    shown = " ".join(text.split())[:60]
    try:
        intake = read_text(TWO_IN_ONE.sub(r"\1 \2", SYMBOLOGY.sub("", text)), limit=LONGEST)
    except UnreadableFileError:
        digits = sum(sign.isdigit() for sign in text)
        return Read(shown, title="Not an IMEI", problem=f"An IMEI has 15 digits; this has {digits}. Scan it again.")
    if intake.luhn_failed:
        first = intake.luhn_failed[0]
        return Read(first.imei, title="Wrong check digit", problem=f"A digit was misread. {first.note}")
    if not intake.ready:
        reason = intake.rejected[0].reason if intake.rejected else "An IMEI has 15 digits."
        return Read(shown, title="Not an IMEI", problem=sentence(reason))
    first, others = intake.ready[0], [*intake.ready[1:], *intake.seconds]
    if first.note in COMPLETIONS:
        return Read(shown, title="Not a whole IMEI", problem=NO_CHECK_DIGIT)
    return Read(first.imei, f"IMEI 2 of this label, {others[0].imei}, was not checked." if others else "")


def totals(name: str) -> str:
    """Return how many phones a session has scanned and what it has spent."""
    found = scan_store.session_of(backend().database, name)
    if found is None:
        return "No scans yet"
    return f"{found.scans:,} scanned · {money(found.spent)} spent"


def _posted() -> ScanForm:
    form = request.form
    service_id = form.get("service_id", "").strip()
    return ScanForm(
        text=form.get("imei", "").strip()[:LONGEST],
        service_id=service_id,
        session=form.get("session", "")[:40] or secrets.token_urlsafe(9),
        token=form.get("token", "")[:60] or secrets.token_urlsafe(18),
        again="again" in form,
        seen=form.get("seen", type=row_number),
        any_brand="any_brand" in form,
        shown_price=shown_price(form.get("prices", ""), service_id),
    )


def _take(posted: ScanForm) -> Card:
    """Order the phone of one scan, once, unless it is known; return its card."""
    read = read_scan(posted.text)
    if read.problem:
        record_nothing()
        return Card(read.imei, "problem", read.title, (read.problem, "Nothing was sent."))
    found = _known(posted, read.imei) or _misfit(posted, read.imei) or _ordered(posted, read.imei)
    if isinstance(found, Card):
        return found
    scan_id = scan_store.record(backend().database, replace(found, scanned_by=current_actor().name))
    stored = scan_store.scans_of(backend().database, found.session, 1, [scan_id])
    is_repeated = stored[0].is_new and not found.is_new
    notes = (read.note, "Scanned twice: it is checked once." if is_repeated else "")
    return _cards(stored, tuple(filter(None, notes)))[0]


def _known(posted: ScanForm, imei: str) -> NewScan | None:
    """Return what is stored for a phone that must not be ordered: this scan came before, or its answer is known."""
    database, who = backend().database, (posted.session, imei, posted.service_id)
    batch_id = batch_of_token(database, posted.confirm_token(imei))
    if batch_id is not None:
        record_nothing()
        return NewScan(*who, batch_id=batch_id, is_new=True)
    known = scan_store.known(database, posted.service_id, imei)
    if known is None:
        return None
    is_shown = posted.seen == known.order_row  # else another desk has checked it since
    if posted.again and known.has_result and is_shown:
        return None
    record_nothing()
    return NewScan(*who, batch_id=known.batch_id, order_row=known.order_row)


def _misfit(posted: ScanForm, imei: str) -> Card | None:
    """Return the card of a phone that the service is not for, unless it was asked for anyway."""
    wanted = posted.service_id
    service = backend().database.get_service(wanted) or backend().catalog.current().find(wanted)
    found = models_of(backend().database, [imei]).get(imei[:TAC])
    if posted.any_brand or posted.again or service is None or found is None or fits(found.brand, service.title):
        return None
    words = f"This is {article(model_words(found))}. {service_words(service.title)}"
    describe(refused=words)
    details, token = (words, "Nothing was sent."), secrets.token_urlsafe(18)
    return Card(
        imei, "problem", "Other brand", details, service=service, token=token, model=found.model, is_misfit=True
    )


def _ordered(posted: ScanForm, imei: str) -> NewScan | Card:
    """Order a phone; a card says why it was not ordered."""
    again = Again(posted.again, posted.again, shown_orders({posted.seen} if posted.seen is not None else ()))
    plan, objections = plan_few(backend(), posted.service_id, [imei], posted.shown_price, again, current_actor())
    if plan is not None and not objections and must_type(backend(), plan):
        objections = (f"A check for {money(plan.cost)} asks for a typed confirmation. Use “Check a few” for it.",)
    if plan is None or objections:
        describe(refused=" ".join(objections))
        return Card(imei, "problem", "Not sent", objections)
    token = posted.confirm_token(imei)
    try:
        batch_id = start_batch(backend(), plan, BatchNames(f"Scan {imei}"), SOURCE, token)
    except NotOrderedError as error:
        describe(refused=str(error))
        return Card(imei, "problem", "Not sent", (str(error),))
    is_new = batch_of_token(backend().database, token) == batch_id  # not the batch of another desk
    return NewScan(posted.session, imei, posted.service_id, batch_id=batch_id, is_new=is_new)


def _cards(found: Sequence[Scan], notes: tuple[str, ...] = ()) -> list[Card]:
    """Return the cards of stored scans, and ask for the results that they wait for."""
    services = {name: backend().database.get_service(name) for name in {scan.service_id for scan in found}}
    for scan in found:
        ask_for_result(backend().database, scan.order)
    unanswered = [scan.imei for scan in found if scan.order is None or not scan.order.model]
    models = {tac: known.model for tac, known in models_of(backend().database, unanswered).items()}
    return [
        replace(_card(scan, notes), service=services[scan.service_id], model=models.get(scan.imei[:TAC], ""))
        for scan in found
    ]


def _card(scan: Scan, notes: tuple[str, ...]) -> Card:
    if scan.order is None:
        return _card_without_order(scan, notes)
    order, age = scan.order, ago(scan.order.updated_at or scan.order.created_at)
    if is_awaited(order.status):
        words = "Ordered, waiting for the result." if scan.is_new else "Ordered before, waiting for the result."
        return Card(scan.imei, "open", "Checking", (words, *notes), scan)
    known = () if scan.is_new else (f"Already checked {age}. Nothing was paid.",)
    notes = (f"This is IMEI 2 of {order.imei}.", *notes) if order.imei != scan.imei else notes
    rejected = ("The provider rejected this order.", order.words) if order.status == OrderStatus.REJECTED else ()
    verdict = verdict_of(order)
    word = verdict.label if verdict else order.status or "Checked"
    tone = TONES[verdict] if verdict else "checked"
    details = tuple(filter(None, (*rejected, *known, *notes)))
    return Card(scan.imei, tone, word, details, scan, token=secrets.token_urlsafe(18))


def _card_without_order(scan: Scan, notes: tuple[str, ...]) -> Card:
    """Return the card of a phone that has no order yet, or will have none."""
    details = tuple(filter(None, (sentence(scan.message), *notes)))
    if scan.outcome is Outcome.WAITING:
        if scan.state is BatchState.PAUSED:
            return Card(scan.imei, "open", "Paused", (sentence(scan.notice), *notes), scan)
        return Card(scan.imei, "open", "Checking", ("Sending the order.", *notes), scan)
    if scan.outcome is Outcome.IN_DOUBT:
        return Card(scan.imei, "open", "In doubt", (Outcome.IN_DOUBT.hint, *details), scan)
    if scan.outcome is None:
        return Card(scan.imei, "problem", "Not known any more", (GONE, *notes), scan)
    return Card(scan.imei, "problem", scan.outcome.label, (scan.outcome.hint, *details), scan)


def verdict_of(order: Order) -> Verdict | None:
    """Return the verdict on an order; None before its result."""
    return Verdict(order.verdict) if order.verdict else None


def _json(card: Card) -> Mapping[str, object]:
    return {
        "id": card.scan.scan_id if card.scan else None,
        "tone": card.tone,
        "word": card.word,
        "is_open": card.is_open,
        "html": render_template("_scan_card.html", card=card),
    }
