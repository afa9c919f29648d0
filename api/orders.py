"""Orders by filter, by id, and for a list of IMEIs."""

import re
from collections.abc import Mapping
from typing import Any

from flask import abort, url_for
from flask.typing import ResponseReturnValue
from marshmallow import fields, validate

from api.answers import MissingList, OrderAnswer, OrderList, SearchAnswer
from api.fields import CURSOR_WORDS, FormSchema, Several, TextLine, Whole, cursor_field, limit_field
from api.filters import FilterForm, filter_of, invalid, page_of_orders
from api.operations import next_page, operation, operations
from api.problems import Problem, ProblemKind
from backend import backend
from people import Role
from spreadsheets import Choice, UnreadableFileError, parsed_list
from storage import order_pages, order_queries, order_searches
from storage.order_pages import Sort
from storage.order_searches import SavedSearch
from storage.rows import Order
from web import LONGEST_SEARCH, allow

blueprint = operations("orders", "Orders at the provider with their results.")

PLACE = re.compile(r"([0-9]{1,18})~([0-9]{1,18})")
LONGEST_IMEI = 64


class OrderQuery(FilterForm):
    """Which orders, and how many at once."""

    sort = fields.String(validate=validate.OneOf([Sort.NEWEST, Sort.OLDEST]), load_default=Sort.NEWEST)
    cursor = cursor_field()
    limit = limit_field(500, 100)


class SearchForm(FormSchema):
    """IMEIs to look up."""

    imeis = Several(TextLine(LONGEST_IMEI), 1, LONGEST_SEARCH, required=True)


class SearchQuery(FilterForm):
    """Which orders of a search, and how many at once."""

    cursor = cursor_field()
    limit = limit_field(500, 100)


class MissingQuery(FormSchema):
    """How many IMEIs at once."""

    cursor = Whole(metadata={"description": CURSOR_WORDS})
    limit = limit_field(5000, 1000)


@operation(blueprint, "GET", "/orders", OrderList, query=OrderQuery)
@allow(Role.VIEWER)
def listing(query: Mapping[str, Any]) -> Any:
    """List orders, newest first."""
    chosen, sort = filter_of(query), Sort(query["sort"])
    if sort not in order_pages.sorts(chosen):
        raise invalid("sort", "This filter is sorted by the newest only.")
    return page_of_orders(chosen, sort, query["cursor"], query["limit"])


@operation(blueprint, "GET", "/orders/<order_id>", OrderAnswer)
@allow(Role.VIEWER)
def show(order_id: str) -> Order:
    """Show one order."""
    return order_queries.find_order(backend().database, order_id) or abort(404, "There is no order with this id.")


@operation(blueprint, "POST", "/searches", SearchAnswer, takes=SearchForm, status=201)
@allow(Role.VIEWER)
def search(form: Mapping[str, Any]) -> ResponseReturnValue:
    """Look up many IMEIs at once. The list is kept for thirty days, and shows what is known when it is read."""
    try:
        intake = parsed_list(form["imeis"]).intake(Choice(second_imeis=True), LONGEST_SEARCH)
    except UnreadableFileError as error:
        raise Problem(ProblemKind.INVALID_REQUEST, str(error)) from error
    found = [*intake.ready.imeis(), *intake.luhn_failed.imeis()]
    search_id = order_searches.save_search(backend().database, found, len(intake.rejected))
    location = url_for("api_orders.show_search", search_id=search_id)
    return _search_answer(search_or_404(search_id)), 201, {"Location": location}


@operation(blueprint, "GET", "/searches/<int:search_id>", SearchAnswer)
@allow(Role.VIEWER)
def show_search(search_id: int) -> Mapping[str, Any]:
    """Show how many IMEIs of a search are known."""
    return _search_answer(search_or_404(search_id))


@operation(blueprint, "GET", "/searches/<int:search_id>/orders", OrderList, query=SearchQuery)
@allow(Role.VIEWER)
def found_orders(query: Mapping[str, Any], search_id: int) -> Any:
    """List the orders of a search in the order of its list."""
    search_or_404(search_id)
    place = PLACE.fullmatch(query["cursor"])
    if query["cursor"] and not place:
        raise invalid("cursor", "Not a cursor of this list.")
    after, limit = (int(place[1]), int(place[2])) if place else None, query["limit"]
    found = order_searches.found_page(backend().database, search_id, filter_of(query), after, limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    cursor = f"{last.place}~{last.order.id}" if last else None
    return {"orders": [one.order for one in found[:limit]], "next_cursor": cursor}, next_page(cursor)


@operation(blueprint, "GET", "/searches/<int:search_id>/missing", MissingList, query=MissingQuery)
@allow(Role.VIEWER)
def missing(query: Mapping[str, Any], search_id: int) -> Any:
    """List the IMEIs of a search that have no order."""
    known, limit = order_searches.known_imeis(backend().database, search_id), query["limit"]
    found = search_or_404(search_id).missing(known, query.get("cursor"), limit + 1)
    cursor = str(found[limit - 1][0]) if len(found) > limit else None
    return {"imeis": [imei for _, imei in found[:limit]], "next_cursor": cursor}, next_page(cursor)


def search_or_404(search_id: int) -> SavedSearch:
    """Return a search, or answer 404."""
    found = order_searches.find_search(backend().database, search_id)
    return found or abort(404, "There is no such search. Lists are kept for thirty days, unless there are very many.")


def _search_answer(found: SavedSearch) -> Mapping[str, Any]:
    search_id = found.search_id
    return {
        "id": search_id,
        "imeis": len(found.imeis),
        "known": len(order_searches.known_imeis(backend().database, search_id)),
        "rejected": found.rejected,
        "links": {
            "orders": url_for("api_orders.found_orders", search_id=search_id),
            "missing": url_for("api_orders.missing", search_id=search_id),
        },
    }
