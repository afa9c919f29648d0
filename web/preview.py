"""From a file or a paste to a confirmed batch: nothing is sent before the preview is confirmed.

The upload's token is the confirm token of its batch, so that a second click gives the same batch.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, Response, abort, flash, render_template, request
from flask.typing import ResponseReturnValue

import web.drafts as drafts
from backend import backend
from orders import BatchNames, Catalogue
from people import Role
from results import CHOICES, FILE, PASTE, reading_choice
from spreadsheets import Choice, Intake, UnreadableFileError, rejects_csv
from storage.batch_creation import NotOrderedError
from storage.batch_uploads import Upload, batch_of_token, change_upload, part_batches, rename_upload
from storage.customer_store import known_customers
from submission import Plan, service_objection, unchecked
from web.access import allow, current_actor, describe, record_nothing
from web.batch_fields import names_from, one_line
from web.customers_seen import seen_elsewhere
from web.downloads import csv_attachment
from web.lots import BrandPart, asked_again, chosen_imeis, misfit_words, misfits, models_in, parts_of
from web.ordering import Shown, must_type, price_mark, start_batch, started, typing_objection
from web.picker import offered, preselected
from web.redirects import go_to, refuse

blueprint = Blueprint("preview", __name__)

#: Rows shown of each bucket.
SAMPLES = 8
#: Customers that the form suggests.
SUGGESTED = 200
TEMPLATE = b"\xef\xbb\xbfIMEI\r\n"
#: Options that include more IMEIs than the ready ones, and the one that leaves out those of other brands.
TICKS = ("include_luhn", "recheck", "resend_rejected", "fitting_only")
CHANGED = "Nothing was sent: the service or the reading of the file was changed. Check the new cost, then confirm."
DELIMITERS = {",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Bar"}
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a mark",
    "cp1252": "Windows (western)",
    "utf-16": "UTF-16 with a mark",
    "utf-16-le": "UTF-16, little-endian",
    "utf-16-be": "UTF-16, big-endian",
    "cp1250": "Windows (central European)",
    "cp1251": "Windows (Cyrillic)",
    "gb18030": "Chinese (GB 18030)",
    "shift_jis": "Japanese (Shift JIS)",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Cells with the same reason."""

    reason: str
    count: int
    rows: tuple[int, ...]  #: the first row numbers
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Previewed:
    """What an upload holds, and what would be sent of it."""

    intake: Intake
    plan: Plan | None = None  #: None where the provider does not list the service
    others: tuple[BrandPart, ...] = ()  #: of other brands than those of the service, left out by an option


@blueprint.get("/batch")
@allow(Role.OPERATOR)
def batch() -> ResponseReturnValue:
    """Ask for a file or a paste, and a service; with ?draft= the text that was pasted before."""
    catalogue = backend().catalog.current()
    names = names_from(request.args, BatchNames(""))
    return render_template(
        "batch.html",
        service_id=preselected(catalogue, request.args.get("service_id", ""), names.customer),
        names=names,
        customers=known_customers(backend().database)[:SUGGESTED],
        text=drafts.form_text(request.args.get("draft", "")),
        catalogue=catalogue,
        limit=backend().settings.max_batch_imeis,
    )


@blueprint.post("/batch")
@allow(Role.OPERATOR, "upload")
def upload() -> ResponseReturnValue:
    """Store the file or paste if it holds IMEIs, and redirect to the preview."""
    service_id, text = request.form.get("service_id", "").strip(), request.form.get("imeis", "")
    file = request.files.get("file")
    name = (file.filename or "") if file else ""
    data = file.read() if file else b""
    objection = service_objection(backend().catalog.current().find(service_id), service_id)
    if not objection and name and text.strip():
        objection = "A file and a paste came together: bring one of them at a time."
    if not objection and not name and not text.strip():
        objection = "Choose a file or paste IMEIs."
    if objection:
        return _ask_again(objection, service_id, text)
    kind, content = (FILE, data) if name else (PASTE, text.encode("utf-8", "replace"))
    try:
        token, _ = drafts.read_and_keep(kind, content, _label(name), service_id, Choice())
    except UnreadableFileError as error:
        return _ask_again(str(error), service_id, text)
    rename_upload(backend().database, token, names_from(request.form, BatchNames(_label(name))))
    describe(_label(name), service=service_id, size=len(content))
    return go_to("preview.show", token=token)


@blueprint.errorhandler(UnreadableFileError)
def unreadable(error: UnreadableFileError) -> ResponseReturnValue:
    """Redirect to the form where a stored upload cannot be read any more, such as after a limit was lowered."""
    return _ask_again(str(error), "", "")


@blueprint.get("/batch/template.csv")
@allow(Role.VIEWER)
def template() -> Response:
    """Return an empty file with the one column that is needed."""
    return csv_attachment(TEMPLATE, "imei-template.csv")


@blueprint.get("/batch/preview/<token>")
@allow(Role.OPERATOR)
def show(token: str) -> ResponseReturnValue:
    """Show what was read, what would be sent and what it costs."""
    batch_id = batch_of_token(backend().database, token)
    if batch_id is not None:
        return go_to("batches.live", batch_id=batch_id)
    if part_batches(backend().database, token):
        return go_to("split.show", token=token)
    return _preview_page(drafts.upload_or_404(token))


@blueprint.post("/batch/preview/<token>/options")
@allow(Role.OPERATOR)
def options(token: str) -> ResponseReturnValue:
    """Change how the file is read, or which IMEIs are included."""
    _keep_options(drafts.upload_or_404(token))
    return go_to("preview.show", token=token)


@blueprint.post("/batch/preview/<token>")
@allow(Role.OPERATOR, "batch.confirm")
def confirm(token: str) -> ResponseReturnValue:
    """Create the batch of the preview, once; redirect to the preview if something has changed since."""
    batch_id = batch_of_token(backend().database, token)
    if batch_id is None and part_batches(backend().database, token):
        record_nothing()
        return go_to("split.show", token=token)
    if batch_id is not None:
        record_nothing()
    else:
        found = drafts.upload_or_404(token)
        describe(file=found.label)
        if _asks_for_another(found):
            _keep_options(found)
            return refuse(CHANGED, "preview.show", token=token)
        batch_id, objection = _confirmed(found)
        if batch_id is None:
            return refuse(objection, "preview.show", token=token)
    return go_to("batches.live", batch_id=batch_id)


@blueprint.get("/batch/preview/<token>/rejects.csv")
@allow(Role.OPERATOR, "export")
def rejects(token: str) -> Response:
    """Return every value that is not sent, with its row and the reason."""
    found = drafts.upload_or_404(token)
    read = _read_and_plan(found, backend().catalog.current())
    others = [(row or 0, imei, f"A phone of {part.brand}.") for part in read.others for imei, row in part.imeis]
    return csv_attachment(rejects_csv(read.intake, others), f"{found.label.rsplit('.', 1)[0]}_rejects.csv")


def chosen_options(form: dict[str, str], before: dict[str, Any]) -> dict[str, Any]:
    """Return the options form as choices to store; another sheet, encoding or delimiter drops the chosen column."""
    choice = {name: before[name] for name in CHOICES if name in before}
    for name in ("sheet", "encoding", "delimiter", "column", "header_row"):
        value = form.get(name)
        if value is not None and value != form.get(f"was_{name}"):
            if name in ("sheet", "encoding", "delimiter"):
                choice = {key: choice[key] for key in choice if key not in ("column", "header_row")}
            if name == "column":
                choice.pop("header_row", None)
            choice[name] = _whole(value) if name in ("column", "header_row") else value
    for name in ("hidden_rows", "second_imeis"):
        if f"was_{name}" in form:
            choice[name] = name in form
    # The form of the page lists the options that it offered; any other form lists all that are set.
    whole = "options" in form
    offered = [tick for tick in TICKS if not whole or tick in form or f"was_{tick}" in form]
    kept = {tick: before[tick] for tick in TICKS if tick in before}
    return choice | kept | {tick: tick in form for tick in offered}


def grouped(entries: Iterable[tuple[int, str, str]]) -> list[Group]:
    """Group (row, text, reason) triples by reason, the most frequent first."""
    found: dict[str, list[Any]] = {}
    for row, text, reason in entries:
        group = found.setdefault(reason, [0, [], []])
        group[0] += 1
        if len(group[1]) < SAMPLES:
            group[1].append(row)
            group[2].append(text)
    groups = [Group(reason, n, tuple(rows), tuple(texts)) for reason, (n, rows, texts) in found.items()]
    return sorted(groups, key=lambda group: -group.count)


def _label(file_name: str) -> str:
    """Return the name of a file on one line, or the name of a paste."""
    return one_line(file_name) or "Pasted IMEIs"


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        abort(400, f"“{text}” is not a number of a row or column.")


def _keep_options(found: Upload) -> None:
    """Store the service and the choices of the form, unless the file cannot be read that way."""
    choice = chosen_options(request.form.to_dict(), found.choice)
    try:
        drafts.read(found, reading_choice(choice))
    except UnreadableFileError as error:
        flash(f"Not changed: {error}", "error")
        return
    change_upload(backend().database, found.token, request.form.get("service_id") or found.service_id, choice)
    rename_upload(backend().database, found.token, names_from(request.form, found.names))


def _asks_for_another(found: Upload) -> bool:
    """Whether the confirming form holds another service or other choices than its page showed."""
    if "options" not in request.form:
        return False
    asked = chosen_options(request.form.to_dict(), found.choice)
    same_choice = _effect(asked) == _effect(found.choice)
    return not same_choice or (request.form.get("service_id") or found.service_id) != found.service_id


def _effect(choice: dict[str, Any]) -> tuple[Choice, list[bool]]:
    """Return what a stored choice means, with the defaults of what it does not name."""
    return reading_choice(choice), [bool(choice.get(tick)) for tick in TICKS]


def _confirmed(found: Upload) -> tuple[int | None, str]:
    """Return the batch of an upload, or None and the reason why nothing was sent."""
    catalogue = backend().catalog.for_confirmation()
    plan = _read_and_plan(found, catalogue).plan
    objection = unchecked(catalogue) or _reason_to_look_again(plan)
    batch_id = batch_of_token(backend().database, found.token)  # a first click may have finished meanwhile
    if batch_id is not None or objection or plan is None:
        return batch_id, objection
    try:
        batch_id = start_batch(backend(), plan, names_from(request.form, found.names), found.kind, found.token)
    except NotOrderedError as error:
        return None, f"Nothing was sent. {error}"
    flash(started(plan, batch_id), "good")
    return batch_id, ""


def _read_and_plan(found: Upload, catalogue: Catalogue) -> Previewed:
    intake = drafts.read(found, reading_choice(found.choice))
    service = catalogue.find(found.service_id)
    if service is None:
        return Previewed(intake)
    imeis = chosen_imeis(intake, found.choice)
    others = misfits(parts_of(imeis), service.title) if found.choice.get("fitting_only") else ()
    if others:
        gone = {imei for part in others for imei, _ in part.imeis}
        imeis = [pair for pair in imeis if pair[0] not in gone]
    return Previewed(intake, backend().plan(service, imeis, current_actor(), asked_again(found.choice)), others)


def _reason_to_look_again(plan: Plan | None) -> str:
    """Return why nothing was confirmed; "" when there is no reason."""
    if plan is None:
        return "Nothing was sent: the provider no longer lists this service. Choose another service."
    shown = Shown(*(request.form.get(name, "") for name in ("price", "count", "mark")))
    if changed := shown.price_objection(plan):
        return changed
    if plan.objections:
        return "Nothing was sent. " + " ".join(plan.objections)
    if not shown.fits(plan):
        return "Nothing was sent: the service, its price or the IMEIs have changed since. Please look again."
    return typing_objection(plan.count) if must_type(backend(), plan) else ""


def _preview_page(found: Upload) -> str:
    catalogue = backend().catalog.current()
    read = _read_and_plan(found, catalogue)
    intake, plan = read.intake, read.plan
    lot = parts_of(plan.to_send) if plan else ()
    wrong = misfits(lot, plan.service.title) if plan else ()
    sheet = next((sheet for sheet in intake.sheets if sheet.name == intake.chosen.sheet), None)
    return render_template(
        "preview.html",
        upload=found,
        intake=intake,
        plan=plan,
        sheet=sheet,
        catalogue=catalogue,
        service_id=found.service_id,
        delimiters=DELIMITERS,
        encodings={intake.chosen.encoding or "": intake.chosen.encoding or ""} | ENCODINGS,
        seconds=intake.seconds[:SAMPLES],
        repaired=grouped((r.row, f"{r.text} → {r.imei}", r.note) for r in intake.ready if r.note),
        rejected=grouped((r.row, r.text, r.reason) for r in intake.rejected),
        luhn=intake.luhn_failed[:SAMPLES],
        repeated=intake.repeated[:SAMPLES],
        price=price_mark(plan) if plan else "",
        must_type=must_type(backend(), plan) if plan else False,
        more_cost=plan.service.price * intake.more_phones if plan else None,
        chosen=asdict(intake.chosen),
        offered=offered(catalogue, found.customer, found.service_id),
        seen=seen_elsewhere(found, intake),
        lot=lot,
        models=models_in(lot),
        wrong=sum(part.count for part in wrong),
        warning=misfit_words(wrong, plan.service.title) if plan else "",
        others=sum(part.count for part in read.others),
    )


def _ask_again(objection: str, service_id: str, text: str) -> ResponseReturnValue:
    """Redirect to the form with the reason and the pasted text."""
    flash(objection, "error")
    draft = drafts.from_form(text, service_id)
    typed = {name: value for name in ("name", "customer", "note") if (value := request.form.get(name))}
    fields: dict[str, Any] = {"service_id": service_id or None, "draft": draft, **typed}
    return go_to("preview.batch", **fields)
