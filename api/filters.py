"""Filters of orders in requests, and pages of orders. No routes."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import fields, validate

from api.fields import FormSchema, TextLine
from api.operations import next_page
from api.problems import Problem, ProblemKind
from backend import backend
from storage import order_pages
from storage.order_pages import Sort
from storage.order_terms import OrderFilter
from web import read_filter

CURSOR = re.compile(r"(([0-9]{15}|[a-z]{4,7})~)?[0-9]{1,18}")


class FilterForm(FormSchema):
    """Which orders. All that is given must hold."""

    imei = fields.String(validate=validate.Regexp("^[0-9]{14,16}$"), metadata={"description": "A whole IMEI."})
    q = TextLine(metadata={"description": "An IMEI or its beginning, an IMEI 2, or an order id."})
    status = TextLine(metadata={"description": "Pending, In Process, Completed or Rejected."})
    verdict = TextLine(metadata={"description": "pass, review, fail or pending."})
    service = TextLine(metadata={"description": "The id of a service."})
    batch = TextLine(metadata={"description": "The id of a batch."})
    carrier = TextLine()
    simlock = TextLine(metadata={"description": "Locked or Unlocked."})
    fmi = TextLine(metadata={"description": "ON or OFF."})
    blacklist = TextLine(metadata={"description": "Clean or Blacklisted."})
    model = TextLine()
    serial = TextLine(metadata={"description": "A serial number or its beginning."})
    since = TextLine(metadata={"description": "First UTC day, such as 2026-11-25."})
    until = TextLine(metadata={"description": "Last UTC day."})
    person = TextLine(metadata={"description": "Who ordered: a user, or a token as in `ordered_by`."})
    tag = TextLine(metadata={"description": "A tag of the order or of its batch, in any capitals."})
    mismatch = TextLine(metadata={"description": "1: only results about another IMEI."})


def page_of_orders(chosen: OrderFilter, sort: Sort, cursor: str, limit: int) -> Any:
    """Return one page of orders with the cursor of the next one."""
    if cursor and not CURSOR.fullmatch(cursor):
        raise invalid("cursor", "Not a cursor of this list.")
    found = order_pages.page(backend().database, chosen, sort, cursor, limit + 1)
    following = order_pages.key(found[limit - 1], sort) if len(found) > limit else None
    return {"orders": found[:limit], "next_cursor": following}, next_page(following)


def filter_of(given: Mapping[str, Any]) -> OrderFilter:
    """Return the filter of a request. Raises Problem for one that is not valid."""
    if given.get("imei") and given.get("q"):
        raise invalid("q", "Send imei or q, not both.")
    asked = read_filter(backend().database, {**given, "q": given.get("imei") or given.get("q", "")})
    if asked.objections:
        errors = [{"detail": words, "parameter": name} for name, words in asked.objections.items()]
        raise Problem(ProblemKind.INVALID_REQUEST, "The filter is not valid.", errors)
    return asked.chosen


def invalid(parameter: str, words: str) -> Problem:
    """Return the refusal of one parameter of a query."""
    return Problem(ProblemKind.INVALID_REQUEST, words, [{"detail": words, "parameter": parameter}])
