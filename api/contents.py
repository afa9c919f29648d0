"""What belongs to a batch: its IMEIs, its results, the user's own sheet, and its progress as events."""

from collections.abc import Mapping
from typing import Any

from flask import Response, abort
from flask.typing import ResponseReturnValue
from marshmallow import fields, validate

from api.answers import FILES, VERDICTS, BatchAnswer, ExportAnswer, ItemList, OrderList, accepted, batch_links
from api.fields import CURSOR_WORDS, FormSchema, Whole, cursor_field, limit_field
from api.filters import page_of_orders
from api.operations import next_page, operation, operations
from api.problems import Problem, ProblemKind
from backend import backend
from orders import Outcome, Progress
from people import Role, Scope
from results import SheetNotPossibleError, SheetStore, prepare_sheet
from spreadsheets import UnreadableFileError
from storage.order_pages import Sort
from storage.order_queries import items_with_orders
from storage.order_terms import OrderFilter
from web import allow, batch_or_404, begin_sheet, describe, progress_stream, take_export

blueprint = operations("contents", "What is in a batch: its IMEIs, its results, its file and its progress.")


class ItemQuery(FormSchema):
    """Which IMEIs of a batch."""

    outcome = fields.String(validate=validate.OneOf(list(map(str, Outcome))))
    cursor = Whole(1, 2**62 - 1, metadata={"description": CURSOR_WORDS})
    limit = limit_field(1000, 100)


class ResultQuery(FormSchema):
    """Which orders of a batch."""

    verdict = fields.String(validate=validate.OneOf(VERDICTS), load_default="")
    sort = fields.String(validate=validate.OneOf([Sort.NEWEST, Sort.WORST]), load_default=Sort.WORST)
    cursor = cursor_field()
    limit = limit_field(500, 100)


class SheetQuery(FormSchema):
    """In which form."""

    format = fields.String(
        validate=validate.OneOf(["same", "xlsx"]),
        load_default="same",
        metadata={"description": "As the file came, or as an Excel workbook."},
    )


@operation(blueprint, "GET", "/batches/<int:batch_id>/items", ItemList, query=ItemQuery)
@allow(Role.VIEWER)
def items(query: Mapping[str, Any], batch_id: int) -> Any:
    """List the IMEIs of a batch with outcome, order, verdict and findings."""
    batch, limit = batch_or_404(batch_id), query["limit"]
    found = items_with_orders(backend().database, batch, query.get("cursor", 0), limit + 1, query.get("outcome"))
    cursor = str(found[limit - 1].item_id) if len(found) > limit else None
    return {"items": found[:limit], "next_cursor": cursor}, next_page(cursor)


@operation(blueprint, "GET", "/batches/<int:batch_id>/results", OrderList, query=ResultQuery)
@allow(Role.VIEWER)
def results(query: Mapping[str, Any], batch_id: int) -> Any:
    """List the orders of a batch, failed phones first."""
    batch_or_404(batch_id)
    chosen = OrderFilter(batch=batch_id, verdict=query["verdict"])
    return page_of_orders(chosen, Sort(query["sort"]), query["cursor"], query["limit"])


@operation(
    blueprint,
    "GET",
    "/batches/<int:batch_id>/sheet",
    FILES,
    query=SheetQuery,
    refusals=(409,),
    also={202: ExportAnswer},
)
@allow(Role.VIEWER, "export", scope=Scope.EXPORT)
def sheet(query: Mapping[str, str], batch_id: int) -> ResponseReturnValue:
    """Download the user's own file with the results, as they are known now.

    One that takes longer is built in the background: 202 with the address of its export in `Location`.
    """
    progress = batch_or_404(batch_id)
    store = SheetStore(backend().database, backend().uploads, backend().settings.max_batch_imeis)
    try:
        prepared = prepare_sheet(store, progress, query["format"] == "xlsx")
    except (SheetNotPossibleError, UnreadableFileError) as error:
        raise Problem(ProblemKind.NOT_POSSIBLE, str(error)) from error
    describe(file=prepared.name, rows=prepared.rows)
    export = begin_sheet(prepared, batch_id)
    return take_export(export) if export.state == "done" else accepted(export)


@operation(blueprint, "GET", "/batches/<int:batch_id>/events", {"text/event-stream": {"type": "string"}})
@allow(Role.VIEWER)
def events(batch_id: int) -> Response:
    """Follow a batch as server-sent events.

    `progress` has the data of `GET /batches/{batch_id}`; `end` comes when nothing changes any more, and `quiet` when
    nothing has changed for two minutes.
    """
    batch_or_404(batch_id)
    if not backend().streams.acquire(blocking=False):
        abort(503, "Too many streams are open. Ask for the batch instead.")
    links, parts = batch_links(batch_id), BatchAnswer(exclude=["links"])  # links need the request

    def data_of(batch: Progress) -> dict[str, Any]:
        return {**parts.dump(batch), "links": links}

    return progress_stream(backend(), batch_id, data_of=data_of)
