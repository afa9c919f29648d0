"""The history of orders with its exports, and the page of one order."""

from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request, url_for
from flask.typing import ResponseReturnValue

import web.drafts as drafts
from backend import backend
from database import count_orders
from devices import read_report
from orders import OrderStatus
from people import Role
from results import request_sync, state_of_sync
from storage import (
    batch_queries,
    dispute_queries,
    order_counts,
    order_filters,
    order_pages,
    order_queries,
    tag_store,
    verdict_store,
)
from storage.order_counts import Count
from storage.order_pages import Listed, Sort
from storage.rows import Order, read_id
from submission import leader_alive, service_objection
from web.access import allow, describe
from web.context import PAGE, at_one_moment, order_or_404
from web.customers_seen import also_seen
from web.downloads import (
    columns_asked,
    dated,
    describe_orders,
    exported_rows,
    file_download,
    is_workbook,
    named_by_columns,
)
from web.filter_chips import chips, saved_query
from web.filters import PERIODS, SHOWN, Asked, asked, filter_asked, suggested
from web.format import synced
from web.order_columns import OrderTable, headings, shown_columns
from web.picker import preselected
from web.redirects import go_to, refuse

blueprint = Blueprint("orders", __name__)

#: The list of a page whose filter is not valid.
NOTHING = Listed([], Count(0, is_all=True), Sort.NEWEST, frozenset())


@blueprint.get("/history")
@allow(Role.VIEWER)
@at_one_moment
def history() -> ResponseReturnValue:
    """Show the orders that match the filter, newest first or in the order of ?sort=."""
    wanted = asked(selectable=True)
    return _history_page(wanted, request.args.get("before", "")), 400 if wanted.objections else 200


def _history_page(wanted: Asked, before: str) -> str:
    """Return the page of the orders of a filter that follow a key."""
    database, sort = backend().database, request.args.get("sort", Sort.NEWEST, type=Sort)
    listed = NOTHING if wanted.objections else order_pages.listed(database, wanted.chosen, sort, before, PAGE + 1)
    columns, arguments = shown_columns(OrderTable.HISTORY), wanted.arguments

    def address(sort: Sort, before: str | None = None) -> str:
        return url_for("orders.history", **arguments, sort=None if sort is Sort.NEWEST else sort, before=before)

    with database.read() as connection:
        services = order_queries.ordered_services(connection)
        mismatched, total = order_filters.mismatched_count(connection), count_orders(connection)
    following = order_pages.key(listed.orders[PAGE - 1], listed.sort) if len(listed.orders) > PAGE else None
    return render_template(
        "history.html",
        asked=wanted,
        arguments=arguments,
        listed=listed,
        orders=listed.orders[:PAGE],
        columns=columns,
        headings=headings(columns, listed.sort, listed.sorts, address),
        first_page=address(listed.sort) if before else "",
        next_page=address(listed.sort, following) if following else "",
        periods=_periods(wanted),
        saved=chips(database, saved_query(arguments, listed.sort)),
        statuses=list(OrderStatus),
        services=services,
        suggested=suggested(),
        total=total,
        mismatched=mismatched,
        sync=_sync_state(),
    )


@blueprint.get("/history/rows")
@allow(Role.VIEWER)
def rows() -> str:
    """Return the table rows of shown orders (?seen=row:status, repeated) whose status has changed."""
    seen = _seen()
    changed = [order for order in order_queries.orders_of_rows(backend().database, list(seen)) if _is_news(order, seen)]
    return render_template("rows.html", orders=changed, columns=shown_columns(OrderTable.HISTORY))


@blueprint.post("/history/sync")
@allow(Role.OPERATOR, "results.request")
def sync_now() -> ResponseReturnValue:
    """Request all pending results. The process that calls the provider fetches them; the history shows the outcome."""
    request_sync(backend().database)
    return go_to("orders.history", **filter_asked(selectable=True).arguments())


@blueprint.get("/history/sync.json")
@allow(Role.VIEWER)
def sync_state() -> Response:
    """Return whether a result sync is requested, and a sentence about the last one."""
    return jsonify(_sync_state())


@blueprint.get("/history/recheck")
@allow(Role.OPERATOR)
def recheck() -> ResponseReturnValue:
    """Show the form that selects the service for checking the IMEIs of the filter again."""
    chosen, catalogue = filter_asked(selectable=True), backend().catalog.current()
    return render_template(
        "recheck.html",
        chosen=chosen,
        count=order_filters.count(backend().database, chosen),
        catalogue=catalogue,
        service_id=preselected(catalogue, chosen.service),
    )


@blueprint.post("/history/recheck")
@allow(Role.OPERATOR, "recheck")
def preview_recheck() -> ResponseReturnValue:
    """Redirect to the preview of a batch with the IMEIs of the filter, or with the one IMEI of the form."""
    chosen, service_id = filter_asked(selectable=True), request.form.get("service_id", "").strip()
    objection = service_objection(backend().catalog.current().find(service_id), service_id)
    one = request.form.get("imei", "").strip()
    imeis = [one] if one else order_filters.imeis_of(backend().database, chosen, _most() + 1)
    if not objection and not imeis:
        objection = "No orders match this filter, so there is nothing to check again."
    if len(imeis) > _most():
        objection = f"More than {_most():,} IMEIs match this filter. Narrow the filter."
    describe_orders(chosen)
    describe(service=service_id, imeis=len(imeis))
    if objection:
        return refuse(objection, "orders.history", **chosen.arguments())
    label = imeis[0] if len(imeis) == 1 else f"Checked again: {len(imeis):,} IMEIs"
    # The provider took them before, so a wrong check digit is no reason to leave one out.
    token = drafts.from_imeis(imeis, label, service_id, ["recheck", "resend_rejected", "include_luhn"])
    return go_to("preview.show", token=token)


@blueprint.get("/history.csv", endpoint="history_csv")
@blueprint.get("/history.xlsx", endpoint="history_xlsx")
@allow(Role.VIEWER, "export")
def history_file() -> ResponseReturnValue:
    """Download the orders that match the filter, with the columns of ?format=. Only a workbook needs an exact count."""
    chosen, database = filter_asked(selectable=True), backend().database
    exact = Count(order_filters.count(database, chosen), is_all=True) if is_workbook() else None
    count = exact or order_counts.counted(database, chosen)
    describe_orders(chosen, count)
    rows = exported_rows(database, order_filters.walk(database, chosen))
    return file_download(rows, columns_asked(), dated(named_by_columns("orders")), count.found)


@blueprint.get("/orders/<order_id>")
@allow(Role.VIEWER)
def order(order_id: str) -> ResponseReturnValue:
    """Show one order."""
    database, catalogue = backend().database, backend().catalog.current(patience=1.0)
    with database.snapshot():
        found = order_or_404(order_id)
        both = (found.imei, found.imei if found.other_imei else found.imei2 or found.imei)
        others = [other for other in order_queries.orders_of_phone(database, both) if other.id != found.id]
        return render_template(
            "order.html",
            others=others,
            catalogue=catalogue,
            dispute=dispute_queries.of_order(database, found.id),
            tags=tag_store.tags_of_orders(database, [found.id]).get(found.id, []),
            batch_tags=tag_store.tags_of_batches(database, filter(None, [found.batch_id])).get(found.batch_id or 0, []),
            known_tags=tag_store.tag_words(database, SHOWN),
            seen=also_seen(found, batch_queries.customer_of(database, found.batch_id)),
            **_result(found),
        )


@blueprint.get("/orders/<order_id>/result")
@allow(Role.VIEWER)
def result(order_id: str) -> str:
    """Return the parts of the order page that a result changes, or "" if the status is still that of ?seen=."""
    found = order_queries.find_order(backend().database, order_id)
    return render_template("result.html", **_result(found)) if found and _is_news(found, _seen()) else ""


def _periods(wanted: Asked) -> list[tuple[str, str, bool]]:
    """Return links to the filter with other days: their words, the address, and whether they are chosen."""
    others = {name: value for name, value in wanted.arguments.items() if name not in ("since", "until", "row")}
    current = wanted.entered["since"] if not wanted.entered["until"] else ""
    return [
        (words, url_for("orders.history", **others, since=since), since == current) for since, words in PERIODS.items()
    ]


def _result(order: Order) -> dict[str, Any]:
    text = order.result_code or order.result_code_display or ""
    timeline = batch_queries.order_timeline(backend().database, order)
    decided = verdict_store.decision(backend().database, order)
    by = batch_queries.who_ordered(backend().database, order.batch_id)
    return {"order": order, "report": read_report(text), "timeline": timeline, "decided": decided, "ordered_by": by}


def _seen() -> dict[int, str]:
    """Return row id → status of the orders that the page shows, from ?seen=."""
    pairs = (given.split(":", 1) for given in request.args.getlist("seen")[:PAGE] if given.count(":") == 1)
    return {row: status for text, status in pairs if (row := read_id(text)) is not None}


def _is_news(order: Order, seen: dict[int, str]) -> bool:
    return seen.get(order.id) != (order.status or "")


def _sync_state() -> dict[str, Any]:
    state = state_of_sync(backend().database)
    if not state.is_requested:
        return {"asking": False, "words": synced(state.last), "pending": state.pending}
    when = "now" if leader_alive(backend().database, backend().settings.data_dir) else "as soon as a runner is active"
    return {
        "asking": True,
        "words": f"The app asks the provider for all pending results {when}…",
        "pending": state.pending,
    }


def _most() -> int:
    return backend().settings.max_batch_imeis
