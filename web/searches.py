"""Look up many IMEIs at once. The pasted list becomes a saved search with a URL, and shows found and missing IMEIs."""

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue

import web.drafts as drafts
from backend import backend
from orders import OrderStatus
from people import Role
from spreadsheets import Choice, OutColumn, UnreadableFileError, read_text
from storage import order_queries, order_searches
from storage.order_counts import Count
from storage.order_searches import SavedSearch
from storage.order_terms import OrderFilter
from submission import service_objection
from web.access import allow, describe
from web.context import PAGE, row_number
from web.downloads import columns_asked, csv_download, dated, describe_orders, exported_rows, file_download
from web.filters import asked, filter_asked, suggested
from web.format import plural
from web.order_columns import OrderTable, plain_headings, shown_columns
from web.redirects import go_to, refuse

blueprint = Blueprint("searches", __name__, url_prefix="/history/search")

MISSING_COLUMNS = (OutColumn("IMEI NO.", "imei", 17, "digits"),)
#: Most IMEIs of one list.
MOST = 100_000
MISSING_SHOWN = 500
#: The list of a page whose filter is not valid.
NOTHING: Mapping[str, Any] = MappingProxyType({"orders": [], "following": {}, "first_page": True})


@blueprint.post("")
@allow(Role.VIEWER)
def save() -> ResponseReturnValue:
    """Store the pasted list and redirect to its page."""
    try:
        intake = read_text(request.form.get("imeis", ""), Choice(second_imeis=True), limit=MOST)
    except UnreadableFileError as error:
        return refuse(f"Nothing was looked up: {error}", "orders.history")
    found = [*intake.ready.imeis(), *intake.luhn_failed.imeis()]  # without duplicates
    search_id = order_searches.save_search(backend().database, found, len(intake.rejected))
    return go_to("searches.show", search_id=search_id)


@blueprint.get("/<int:search_id>")
@allow(Role.VIEWER)
def show(search_id: int) -> ResponseReturnValue:
    """Show the orders of the list that match the filter, or with ?show=missing the IMEIs without an order."""
    search, wanted = _search_or_404(search_id), asked()
    known = order_searches.known_imeis(backend().database, search_id)
    missing = request.args.get("show") == "missing"
    count, listed = None, NOTHING
    if missing:
        listed = _missing(search, known)
    elif not wanted.objections:
        listed, count = _found(search_id, wanted.chosen), _count(search_id, wanted.chosen)
    columns = shown_columns(OrderTable.HISTORY)
    with backend().database.read() as connection:
        services = order_queries.ordered_services(connection)
    page = render_template(
        "searches.html",
        columns=columns,
        headings=plain_headings(columns),
        search=search,
        known=len(known),
        asked=wanted,
        chosen=wanted.chosen,
        count=count,
        suggested=suggested(),
        missing=missing,
        statuses=list(OrderStatus),
        services=services,
        catalogue=backend().catalog.current(patience=1.0) if missing else None,
        **listed,
    )
    return page, 400 if wanted.objections else 200


@blueprint.get("/<int:search_id>/found.csv", endpoint="found_csv")
@blueprint.get("/<int:search_id>/found.xlsx", endpoint="found_xlsx")
@allow(Role.VIEWER, "export")
def found_file(search_id: int) -> ResponseReturnValue:
    """Download the orders of the list that match the filter, with the columns of ?format=."""
    _search_or_404(search_id)
    database, chosen = backend().database, filter_asked()
    count = Count(order_searches.count_found(database, search_id, chosen), is_all=True)
    describe_orders(chosen, count)
    describe(f"search {search_id}")
    found = order_searches.walk_found(database, search_id, chosen)
    rows = exported_rows(database, (one.order for one in found))
    return file_download(rows, columns_asked(), f"{dated(f'search-{search_id}')}_found", count.found)


@blueprint.get("/<int:search_id>/missing.csv")
@allow(Role.VIEWER, "export")
def missing_csv(search_id: int) -> Response:
    """Download the IMEIs of the list without an order as CSV."""
    search = _search_or_404(search_id)
    rows = [{"imei": imei} for _, imei in search.missing(order_searches.known_imeis(backend().database, search_id))]
    describe(rows=len(rows))
    return csv_download(rows, MISSING_COLUMNS, f"{dated(f'search-{search_id}')}_missing.csv")


@blueprint.post("/<int:search_id>/order")
@allow(Role.OPERATOR, "upload")
def order_missing(search_id: int) -> ResponseReturnValue:
    """Redirect to the preview of a batch with the IMEIs without an order."""
    search = _search_or_404(search_id)
    service_id = request.form.get("service_id", "").strip()
    imeis = [imei for _, imei in search.missing(order_searches.known_imeis(backend().database, search_id))]
    objection = service_objection(backend().catalog.current().find(service_id), service_id)
    if not objection and not imeis:
        objection = "No IMEIs are missing any more: every IMEI of this list has an order."
    describe(service=service_id, imeis=len(imeis))
    if objection:
        return refuse(objection, "searches.show", search_id=search_id, show="missing")
    token = drafts.from_imeis(imeis, f"Search {search_id}: {plural(len(imeis), 'IMEI')}", service_id)
    return go_to("preview.show", token=token)


def _search_or_404(search_id: int) -> SavedSearch:
    found = order_searches.find_search(backend().database, search_id)
    return found or abort(404, "This search no longer exists. Paste the IMEIs again.")


def _count(search_id: int, chosen: OrderFilter) -> Count | None:
    """Return how many orders of the list match the filter, or None without a filter."""
    if not chosen.arguments():
        return None
    return Count(order_searches.count_found(backend().database, search_id, chosen), is_all=True)


def _found(search_id: int, chosen: OrderFilter) -> dict[str, Any]:
    """Return one page of orders and the key of the next page."""
    place, row = request.args.get("after", type=row_number), request.args.get("row", type=row_number)
    after = None if place is None or row is None else (place, row)
    found = order_searches.found_page(backend().database, search_id, chosen, after, PAGE + 1)
    last = found[PAGE - 1] if len(found) > PAGE else None
    following = {"after": last.place, "row": last.order.id} if last else {}
    return {"orders": [one.order for one in found[:PAGE]], "following": following, "first_page": after is None}


def _missing(search: SavedSearch, known: Set[str]) -> dict[str, Any]:
    after = request.args.get("after", type=row_number)
    found = search.missing(known, after, MISSING_SHOWN + 1)
    following = {"after": found[MISSING_SHOWN - 1][0]} if len(found) > MISSING_SHOWN else {}
    return {"imeis": [imei for _, imei in found[:MISSING_SHOWN]], "following": following, "first_page": after is None}
