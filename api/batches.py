"""Batches: create, list, rename, start, pause, resume and stop them."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import partial
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import fields, post_load, validate

from amounts import plural
from api.answers import BatchAnswer, BatchList, NewBatchAnswer, batch_links
from api.fields import CURSOR_WORDS, Dollars, Flag, FormSchema, Several, TextLine, Whole, limit_field
from api.intake import Source, Taken, take
from api.once import KEY_HEADER, Keep, KeptReply, reply_once
from api.operations import next_page, operation, operations
from api.ordering import OrderTerms, Paid, cost_of, plan_order, problem_of, unseen_words
from api.problems import Problem, ProblemKind
from backend import backend
from database import Transaction
from orders import BatchNames, Progress
from people import Role
from results import FILE, PASTE
from spreadsheets import Choice
from storage import batch_states, order_queries
from storage.batch_creation import NotOrderedError
from storage.batch_queries import planned_imeis
from storage.batch_states import unit_price
from storage.batch_uploads import rename_batch
from storage.order_queries import ListedBatches
from submission import Plan
from web import (
    LONGEST_NOTE,
    Start,
    allow,
    batch_or_404,
    describe,
    names_from,
    one_line,
    pause_batch,
    resume_at,
    start_batch,
    stop_batch,
)

blueprint = operations("batches", "One batch is one list of IMEIs, ordered from one service.")

#: Characters of one IMEI as it was typed, and of a pasted text.
LONGEST_IMEI, LONGEST_TEXT = 64, 8_000_000
EXAMPLE = {
    "service_id": "269",
    "imeis": ["353370080000011", "353370080000029"],
    "label": "Invoice 4711",
    "start": True,
    "max_cost": "0.20",
}


class NewBatchForm(Paid):
    """A batch to create: exactly one of `imeis`, `text` and a file."""

    takes_forms = True
    imeis = Several(
        TextLine(LONGEST_IMEI),
        1,
        5_000_000,
        metadata={"description": "Each a text of 15 digits: a number would lose its leading zero."},
    )
    text = TextLine(LONGEST_TEXT, metadata={"description": "IMEIs in any text, such as a pasted list."})
    label = TextLine(load_default="", metadata={"description": "Without it, the name of the file."})
    customer = TextLine(load_default="", metadata={"description": "Customer or purchase order."})
    note = TextLine(LONGEST_NOTE, load_default="", metadata={"description": "For people."})
    start = Flag(load_default=True, metadata={"description": "false: it is paused until it is started."})
    invalid = fields.String(
        validate=validate.OneOf(["refuse", "skip"]),
        load_default="refuse",
        metadata={"description": "What to do where some values are not valid: order nothing, or the others."},
    )
    take_wrong_check_digits = Flag(
        load_default=False, metadata={"description": "Also order IMEIs whose check digit is wrong."}
    )
    second_imeis = Flag(load_default=False, metadata={"description": "Also order IMEI 2 of each phone."})
    hidden_rows = Flag(load_default=True, metadata={"description": "Also order rows that the sheet hides."})
    sheet = TextLine(metadata={"description": "Its name. Without it, the sheet with the most IMEIs."})
    column = Whole(0, 16_384, metadata={"description": "From 1; 0 takes all. Without it, the one with IMEIs."})
    header_row = Whole(0, metadata={"description": "From 1; 0 for none."})

    @post_load
    def _read(self, data: dict[str, Any], **_: Any) -> "WantedBatch":
        choice = Choice(
            sheet=data.get("sheet"),
            column=data["column"] - 1 if "column" in data else None,
            header_row=data.get("header_row"),
            hidden_rows=data["hidden_rows"],
            second_imeis=data["second_imeis"],
        )
        names = {"name": data["label"], "customer": data["customer"], "note": data["note"]}
        return WantedBatch(
            OrderTerms.from_form(data),
            _source(data, choice),
            names_from(names, BatchNames(_label(data))),
            data["start"],
            data["take_wrong_check_digits"],
            data["invalid"] == "skip",
        )


class NewBatchUpload(NewBatchForm):
    """A batch to create from a file."""

    file = fields.Raw(metadata={"type": "string", "format": "binary", "description": "CSV, Excel or text."})


class BatchQuery(FormSchema):
    """Which batches."""

    q = TextLine(load_default="", metadata={"description": "Words of label, customer or note, or an id."})
    person = TextLine(load_default="", metadata={"description": "Who ordered."})
    tag = TextLine(load_default="", metadata={"description": "A tag of the batch, in any capitals."})
    cursor = Whole(1, 2**62 - 1, metadata={"description": CURSOR_WORDS})
    limit = limit_field(100, 50)


class NamesForm(FormSchema):
    """What a batch is called. What is left out stays."""

    label = TextLine()
    customer = TextLine()
    note = TextLine(LONGEST_NOTE)


class ResumeForm(FormSchema):
    """How to go on."""

    unit_price = Dollars(metadata={"description": "Go on up to this price of an IMEI. Without it, up to its own."})


#: The example of the JSON body, and the body of an upload.
BODIES = {"application/json": {"example": EXAMPLE}, "multipart/form-data": {"schema": NewBatchUpload}}


@dataclass(frozen=True, slots=True)
class WantedBatch:
    """A batch to create."""

    order: OrderTerms
    source: Source
    names: BatchNames
    at_once: bool
    takes_wrong: bool  #: IMEIs with a wrong check digit too
    skips: bool  #: what is not valid

    @property
    def key(self) -> object:
        """What tells two requests apart."""
        source = self.source
        return *self.order.key, self.names, self.at_once, self.takes_wrong, self.skips, source.digest, source.choice


@operation(blueprint, "GET", "/batches", BatchList, query=BatchQuery)
@allow(Role.VIEWER)
def listing(query: Mapping[str, Any]) -> Any:
    """List the newest batches."""
    limit, wanted = query["limit"], ListedBatches(query["q"], query["person"], query["tag"])
    found = order_queries.listed_batches(backend().database, wanted, limit + 1, query.get("cursor"))
    cursor = str(found[limit - 1].batch_id) if len(found) > limit else None
    return {"batches": found[:limit], "next_cursor": cursor}, next_page(cursor)


@operation(
    blueprint,
    "POST",
    "/batches",
    NewBatchAnswer,
    takes=NewBatchForm,
    status=201,
    also={200: NewBatchAnswer},
    refusals=(402, 409),
    doc={"parameters": [KEY_HEADER], "requestBody": {"content": BODIES}},
)
@allow(Role.OPERATOR, "batch.confirm")
def create(asked: WantedBatch) -> ResponseReturnValue:
    """Create a batch, and start it.

    Nothing is ordered twice: IMEIs that are known or under way are left out, and the same IMEIs under way give their
    batch back. With an `Idempotency-Key`, the same request gets the same answer for seven days.
    """
    return reply_once(asked.key, partial(_create, asked))


@operation(blueprint, "GET", "/batches/<int:batch_id>", BatchAnswer)
@allow(Role.VIEWER)
def show(batch_id: int) -> Progress:
    """Show a batch. Its ETag changes with it: send it as If-None-Match."""
    return batch_or_404(batch_id)


@operation(blueprint, "PATCH", "/batches/<int:batch_id>", BatchAnswer, takes=NamesForm)
@allow(Role.OPERATOR, "batch.rename")
def rename(names: Mapping[str, str], batch_id: int) -> Progress:
    """Change what a batch is called."""
    before = batch_or_404(batch_id)
    given = {"name": names["label"]} if "label" in names else {}
    after = names_from({**names, **given}, before.names)
    rename_batch(backend().database, batch_id, after)
    describe(old=" · ".join(astuple(before.names)), new=" · ".join(astuple(after)))
    return batch_or_404(batch_id)


@operation(blueprint, "POST", "/batches/<int:batch_id>/pause", BatchAnswer)
@allow(Role.OPERATOR, "batch.pause")
def pause(batch_id: int) -> Progress:
    """Send nothing more until the batch is resumed. One that does not run stays as it is."""
    batch_or_404(batch_id)
    if not pause_batch(backend(), batch_id):
        describe(refused="The batch was not running.")
    return batch_or_404(batch_id)


@operation(blueprint, "POST", "/batches/<int:batch_id>/start", BatchAnswer, takes=ResumeForm, refusals=(402, 409))
@operation(blueprint, "POST", "/batches/<int:batch_id>/resume", BatchAnswer, takes=ResumeForm, refusals=(402, 409))
@allow(Role.OPERATOR, "batch.resume")
def resume(form: Mapping[str, Any], batch_id: int) -> Progress:
    """Start or resume a paused batch. A price above its own must be accepted."""
    progress = batch_or_404(batch_id)
    resumed = resume_at(backend(), progress, form.get("unit_price", progress.unit_price))
    for kind, words in (
        (ProblemKind.ORDERS_BLOCKED, resumed.blocked),
        (ProblemKind.PRICE_CHANGED, resumed.dearer),
        (ProblemKind.NOT_ENOUGH_MONEY, resumed.too_dear),
    ):
        if words:
            raise Problem(kind, words)
    if not resumed.done:
        describe(refused="The batch was not paused.")
    return batch_or_404(batch_id)


@operation(blueprint, "POST", "/batches/<int:batch_id>/stop", BatchAnswer)
@allow(Role.OPERATOR, "batch.stop")
def stop(batch_id: int) -> Progress:
    """Cancel the IMEIs of a batch that are not sent yet."""
    batch_or_404(batch_id)
    stop_batch(backend(), batch_id)
    return batch_or_404(batch_id)


def _create(asked: WantedBatch, keep: Keep) -> KeptReply:
    taken = take(asked.source, asked.names.name, asked.order.service_id, asked.takes_wrong, asked.skips)
    plan = plan_order(asked.order, taken.imeis)
    replies: list[KeptReply] = []

    def keep_reply(connection: Transaction, batch_id: int, is_new: bool) -> None:
        body = _body(connection, batch_id, plan, taken, asked) | {"is_continued": not is_new}
        location = url_for("api_batches.show", batch_id=batch_id)
        replies.append(KeptReply(201 if is_new else 200, location, dict(NewBatchAnswer().dump(body))))
        keep(connection, batch_id, replies[-1])

    start = Start(asked.at_once, keep_reply)
    try:
        start_batch(backend(), plan, asked.names, taken.source, taken.token, start)
    except NotOrderedError as error:
        raise problem_of(error) from error
    return replies[-1]


def _body(connection: Transaction, batch_id: int, plan: Plan, taken: Taken, asked: WantedBatch) -> dict[str, Any]:
    """Return the answer about a batch that is created in this transaction. Raises Problem where it costs too much."""
    return {
        "id": batch_id,
        "state": batch_states.state_of(connection, batch_id),
        "label": asked.names.name,
        "service_id": plan.service.package_id,
        "unit_price": unit_price(connection, batch_id),
        "total": len(plan.imeis),
        "to_send": planned_imeis(connection, batch_id),
        "cost": cost_of(connection, batch_id, asked.order),
        "links": batch_links(batch_id),
        **taken.report,
        "warnings": [*taken.report["warnings"], *unseen_words(plan)],
    }


def _label(data: Mapping[str, Any]) -> str:
    """Return what a batch without a label is called."""
    file, imeis = request.files.get("file"), data.get("imeis", [])
    if file is not None and one_line(file.filename or ""):
        return one_line(file.filename or "")
    return imeis[0] if len(imeis) == 1 else plural(len(imeis), "IMEI") if imeis else "Pasted IMEIs"


def _source(data: Mapping[str, Any], choice: Choice) -> Source:
    """Return where the IMEIs of a request are."""
    file = request.files.get("file")
    given = [name for name in ("imeis", "text") if name in data] + ["file"] * len(request.files)
    if len(given) != 1 or set(request.files) - {"file"}:
        raise Problem(ProblemKind.INVALID_REQUEST, "Send exactly one of imeis, text and a file named “file”.")
    if file is not None:
        return Source(content=file.read(), kind=FILE, name=file.filename or "", choice=choice)
    if "text" in data:
        return Source(content=data["text"].encode(), kind=PASTE, choice=choice)
    return Source(imeis=tuple(data["imeis"]), choice=choice)
