"""From a file or a paste to a confirmed batch: nothing is sent before the second page's button.

The upload's token is the confirm token of its batch, so that a second click gives the same batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue

from backend import Backend, backend
from orders import Catalogue
from spreadsheets import Choice, Intake, UnreadableFileError, read_file, read_text, rejects_csv
from storage.batch_creation import NewBatch, OverBudgetError, create_batch
from storage.batch_uploads import Upload, batch_of_token, change_upload, find_upload, store_upload
from submission import Again, Plan, price_objection, service_objection, unchecked
from web.format import plural

blueprint = Blueprint("preview", __name__)

#: Kinds of uploads: what may become a batch, and what a refused form held.
SENDABLE, DRAFT = ("upload", "paste"), "draft"
#: Rows shown of each bucket.
SAMPLES = 8
TEMPLATE = b"\xef\xbb\xbfIMEI\r\n"
CHOICES = ("sheet", "column", "header_row", "delimiter", "encoding", "hidden_rows", "second_imeis")
#: Which IMEIs are counted in beside the ready ones.
TICKS = ("include_luhn", "recheck", "resend_rejected")
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
    """Cells that the same thing would repair."""

    reason: str
    count: int
    rows: tuple[int, ...]  #: the first row numbers
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the confirm button was pressed on: the price, the number, and the service with its IMEIs.

    Another tab may have chosen another service of the same price, or another column of as many IMEIs, since.
    """

    price: str
    count: str
    fingerprint: str

    def fits(self, plan: Plan) -> bool:
        """Whether the page told the truth about this plan."""
        return self.price == price_mark(plan) and self._holds_the_same(plan)

    def price_objection(self, plan: Plan) -> str:
        """Return the sentence about a price that alone has changed since, or ""."""
        try:
            shown = float(self.price)
        except ValueError:
            return ""
        return price_objection(plan.service.title, shown, plan.service.price) if self._holds_the_same(plan) else ""

    def _holds_the_same(self, plan: Plan) -> bool:
        return (self.count, self.fingerprint) == (str(plan.count), plan.fingerprint)


@blueprint.get("/batch")
def batch() -> ResponseReturnValue:
    """Ask for a file or a paste, and a service; with ?draft= what was pasted before."""
    return render_template(
        "batch.html",
        service_id=request.args.get("service_id", ""),
        text=draft_text(request.args.get("draft", "")),
        catalogue=backend().catalog.current(),
        limit=backend().settings.max_batch_imeis,
    )


@blueprint.post("/batch")
def upload() -> ResponseReturnValue:
    """Keep what was brought, if IMEIs can be read from it, and lead to the preview."""
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
    kind, content = ("upload", data) if name else ("paste", text.encode("utf-8", "replace"))
    try:
        read_intake(backend(), kind, content, Choice())
    except UnreadableFileError as error:
        return _ask_again(str(error), service_id, text)
    token = keep(kind, content, _label(name), service_id)
    return redirect(url_for("preview.show", token=token), 303)


@blueprint.get("/batch/template.csv")
def template() -> Response:
    """An empty file with the one column that is needed."""
    return _download(TEMPLATE, "imei-template.csv")


@blueprint.get("/batch/preview/<token>")
def show(token: str) -> ResponseReturnValue:
    """What was read, what would be sent, what it costs."""
    batch_id = batch_of_token(backend().database, token)
    if batch_id is not None:
        return redirect(url_for("batches.live", batch_id=batch_id), 303)
    return _preview_page(_upload_or_404(token))


@blueprint.post("/batch/preview/<token>/options")
def options(token: str) -> ResponseReturnValue:
    """Read the file another way, or count other IMEIs in."""
    _keep_options(_upload_or_404(token))
    return _back(token)


@blueprint.post("/batch/preview/<token>")
def confirm(token: str) -> ResponseReturnValue:
    """Make the batch that the preview showed, once; lead back to the preview if it is no longer true."""
    batch_id = batch_of_token(backend().database, token)
    if batch_id is None:
        found = _upload_or_404(token)
        if _asks_for_another(found):
            _keep_options(found)
            flash(CHANGED, "error")
            return _back(token)
        batch_id, objection = _confirmed(found)
        if batch_id is None:
            flash(objection, "error")
            return _back(token)
    return redirect(url_for("batches.live", batch_id=batch_id), 303)


@blueprint.get("/batch/preview/<token>/rejects.csv")
def rejects(token: str) -> Response:
    """Every value that is not sent, with its row and the reason."""
    found = _upload_or_404(token)
    intake = read_intake(backend(), found.kind, found.path.read_bytes(), _choice(found.choice))
    return _download(rejects_csv(intake), f"{found.label.rsplit('.', 1)[0]}_rejects.csv")


def read_intake(backend: Backend, kind: str, content: bytes, choice: Choice) -> Intake:
    """What an upload or paste holds. Raises UnreadableFileError."""
    limit = backend.settings.max_batch_imeis
    if kind == "paste":
        return read_text(content.decode("utf-8", "replace"), choice, limit)
    return read_file(content, choice, limit)


def keep(kind: str, content: bytes, label: str, service_id: str) -> str:
    """Store an upload for its preview; returns its token."""
    return store_upload(backend().database, backend().uploads, content, label=label, kind=kind, service_id=service_id)


def keep_draft(text: str, service_id: str) -> str | None:
    """Store what a refused form held, for the form that follows; returns its token, or None for nothing."""
    return keep(DRAFT, text.encode("utf-8", "replace"), "Draft", service_id) if text.strip() else None


def draft_text(token: str) -> str:
    """What keep_draft stored, or ""."""
    found = find_upload(backend().database, backend().uploads, token) if token else None
    return found.path.read_bytes().decode("utf-8", "replace") if found and found.kind == DRAFT else ""


def start_batch(backend: Backend, plan: Plan, label: str, source: str, token: str | None) -> int:
    """Write the batch that a plan describes, or continue the unfinished one; its id. Raises OverBudgetError."""
    new = NewBatch(
        label=label,
        source=source,
        service_id=plan.service.package_id,
        service_name=plan.service.title,
        unit_price=plan.service.price,
        imeis=plan.imeis,
        fingerprint=plan.fingerprint,
        confirm_token=token,
        recheck=plan.recheck,
        resend_rejected=plan.resend_rejected,
        budget=backend.settings.daily_budget,
        held=plan.balance.credits if plan.balance.trusted else None,
    )
    return create_batch(backend.database, new, backend.settings.chunk_size)


def price_mark(plan: Plan) -> str:
    """The price as the confirm form carries it."""
    return f"{plan.service.price:.6f}"


def must_type(backend: Backend, plan: Plan) -> bool:
    """Whether confirming asks for the number of IMEIs, typed."""
    return plan.continues is None and plan.cost > backend.settings.confirm_above


def chosen_options(form: dict[str, str], before: dict[str, Any]) -> dict[str, Any]:
    """Return the options form as choices to store; another sheet, encoding or delimiter has its column found again."""
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
    whole = "options" in form  # the page's own form says which ticks it offered; another one says all that is set
    offered = [tick for tick in TICKS if not whole or tick in form or f"was_{tick}" in form]
    kept = {tick: before[tick] for tick in TICKS if tick in before}
    return choice | kept | {tick: tick in form for tick in offered}


def grouped(entries: Iterable[tuple[int, str, str]]) -> list[Group]:
    """(row, text, reason) triples by reason, the most frequent first."""
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
    """A file's name without what would break a line or a header."""
    return " ".join("".join(c if c.isprintable() else " " for c in file_name).split())[:100] or "Pasted IMEIs"


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        abort(400, f"“{text}” is not a number of a row or column.")


def _upload_or_404(token: str) -> Upload:
    found = find_upload(backend().database, backend().uploads, token)
    if found is None or found.kind not in SENDABLE:
        abort(404, "This upload is not there any more. Upload the file again.")
    return found


def _back(token: str) -> ResponseReturnValue:
    return redirect(url_for("preview.show", token=token), 303)


def _keep_options(found: Upload) -> None:
    """Remember the service and the choices of the form, unless the file cannot be read that way."""
    choice = chosen_options(request.form.to_dict(), found.choice)
    try:
        read_intake(backend(), found.kind, found.path.read_bytes(), _choice(choice))
    except UnreadableFileError as error:
        flash(f"Not changed: {error}", "error")
        return
    change_upload(backend().database, found.token, request.form.get("service_id") or found.service_id, choice)


def _asks_for_another(found: Upload) -> bool:
    """Whether the form that confirms holds another service or other choices than the page that it was on."""
    if "options" not in request.form:
        return False
    asked = chosen_options(request.form.to_dict(), found.choice)
    same_choice = _made(asked) == _made(found.choice)
    return not same_choice or (request.form.get("service_id") or found.service_id) != found.service_id


def _made(choice: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in choice.items() if value is not False}


def _confirmed(found: Upload) -> tuple[int | None, str]:
    """The batch of an upload, or None and the reason why nothing was sent."""
    catalogue = backend().catalog.for_confirmation()
    plan = _read_and_plan(found, catalogue)[1]
    objection = unchecked(catalogue) or _reason_to_look_again(plan)
    batch_id = batch_of_token(backend().database, found.token)  # a first click may have ended meanwhile
    if batch_id is not None or objection or plan is None:
        return batch_id, objection
    try:
        batch_id = start_batch(backend(), plan, found.label, found.kind, found.token)
    except OverBudgetError as error:
        return None, f"Nothing was sent. {error}"
    flash(started(plan, batch_id), "good")
    return batch_id, ""


def _choice(choice: dict[str, Any]) -> Choice:
    return Choice(**{name: choice[name] for name in CHOICES if name in choice})


def _read_and_plan(found: Upload, catalogue: Catalogue) -> tuple[Intake, Plan | None]:
    intake = read_intake(backend(), found.kind, found.path.read_bytes(), _choice(found.choice))
    service = catalogue.find(found.service_id)
    if service is None:
        return intake, None
    chosen = [*intake.ready, *intake.luhn_failed] if found.choice.get("include_luhn") else intake.ready
    imeis = [(ready.imei, ready.row) for ready in chosen]
    again = Again(bool(found.choice.get("recheck")), bool(found.choice.get("resend_rejected")))
    return intake, backend().plan(service, imeis, again)


def _reason_to_look_again(plan: Plan | None) -> str:
    """Why confirming did nothing; "" when there is no reason."""
    if plan is None:
        return "Nothing was sent: the provider does not list this service any more. Choose another one."
    shown = Shown(*(request.form.get(name, "") for name in ("price", "count", "fingerprint")))
    if changed := shown.price_objection(plan):
        return changed
    if plan.objections:
        return "Nothing was sent. " + " ".join(plan.objections)
    if not shown.fits(plan):
        return "Nothing was sent: the service, its price or the IMEIs have changed since. Please look again."
    typed = request.form.get("typed", "").replace(",", "").replace(" ", "")
    if must_type(backend(), plan) and typed != str(plan.count):
        return f"Nothing was sent: to confirm, type the number of IMEIs, {plan.count}."
    return ""


def started(plan: Plan, batch_id: int) -> str:
    """What confirming did, in numbers."""
    if plan.continues is not None:
        return f"Batch {batch_id} continues where it stopped."
    return f"Batch {batch_id} has started: {plural(plan.count, 'IMEI')} to send."


def _preview_page(found: Upload) -> str:
    catalogue = backend().catalog.current()
    intake, plan = _read_and_plan(found, catalogue)
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
        repaired=_repaired(intake),
        rejected=grouped((r.row, r.text, r.reason) for r in intake.rejected),
        luhn=intake.luhn_failed[:SAMPLES],
        repeated=intake.repeated[:SAMPLES],
        price=price_mark(plan) if plan else "",
        must_type=must_type(backend(), plan) if plan else False,
        more_cost=plan.service.price * intake.more_phones if plan else None,
        chosen=asdict(intake.chosen),
    )


def _repaired(intake: Intake) -> Sequence[Group]:
    return grouped((r.row, f"{r.text} → {r.imei}", r.note) for r in intake.ready if r.note)


def _ask_again(objection: str, service_id: str, text: str) -> ResponseReturnValue:
    """Back to the form with the reason, and with what was pasted."""
    flash(objection, "error")
    return redirect(url_for("preview.batch", service_id=service_id or None, draft=keep_draft(text, service_id)), 303)


def _download(data: bytes, name: str) -> Response:
    response = Response(data, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response
