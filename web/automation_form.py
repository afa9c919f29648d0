"""What a person enters about an automation, read and checked; and what it does, in one sentence."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from werkzeug.datastructures import MultiDict

from amounts import exceeds, money, read_dollars
from automation import MOST_DAYS, is_time_zone
from backend import backend
from database import Transaction
from orders import AutomationKind, NotPossibleError, OrderStatus
from storage.automation_store import (
    Automation,
    Terms,
    UnreadableFilterError,
    filter_text,
    is_name_taken,
    read_stored_filter,
)
from storage.order_terms import OrderFilter
from submission import service_objection
from web.filters import LABELS, Asked

#: Characters of a name, and the most that a price or a daily limit may be, in US dollars.
LONGEST_NAME, HIGHEST = 60, 1e6
#: The years in which a schedule may begin.
YEARS = range(2020, 2100)
#: Time zones that the form suggests.
ZONES = (
    *("UTC", "Europe/London", "Europe/Berlin", "Europe/Athens", "Africa/Lagos", "Africa/Johannesburg", "Asia/Dubai"),
    *("Asia/Karachi", "Asia/Kolkata", "Asia/Shanghai", "Asia/Hong_Kong", "Asia/Tokyo", "Australia/Sydney"),
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Sao_Paulo"),
)


def filter_words(text: str) -> str:
    """Return a stored filter in words: "Find My is OFF and Carrier is AT&T"."""
    try:
        found = read_stored_filter(text).arguments()
    except UnreadableFilterError:
        return text
    names = LABELS | {"q": "IMEI or order id", "verdict": "Verdict", "service": "Service id", "mismatch": "other IMEI"}
    return " and ".join(f"{names.get(name, name)} is {value}" for name, value in found.items() if name != "status")


def does(automation: Automation, title: str) -> str:
    """Return what an automation does in one sentence; title: of its service."""
    terms, where = automation.terms, filter_words(automation.terms.filter)
    if automation.kind is AutomationKind.FOLLOW_UP:
        return f"Orders “{title}” for each phone with a new result where {where}."
    pause = "day" if terms.every_days == 1 else f"{terms.every_days} days"
    at = f"every {pause} at {terms.hour:02}:00 {terms.time_zone}"
    return f"Orders “{title}” again for each phone where {where}, {at}."


def filter_objection(asked: Asked) -> str:
    """Return why an automation cannot work on a filter, or ""."""
    if asked.objections:
        return asked.sentence
    chosen = asked.chosen
    if chosen.status not in ("", OrderStatus.COMPLETED) or chosen.verdict == "pending":
        return "An automation works on completed results. Remove the status or the verdict from the filter."
    return "" if chosen != OrderFilter(status=chosen.status) else "Choose a filter in the history first."


def stored_text(chosen: OrderFilter) -> str:
    """Return a filter as an automation stores it: without its status."""
    return filter_text(replace(chosen, status=""))


def read_terms(form: MultiDict[str, str], kind: AutomationKind, filter: str) -> Terms:
    """Return what was entered in a form. Raises NotPossibleError with a sentence."""
    name, service_id = " ".join(form.get("name", "").split()), form.get("service_id", "")
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise NotPossibleError(f"Enter a name of at most {LONGEST_NAME} characters.")
    service = backend().catalog.current().find(service_id)
    objection = service_objection(service, service_id)
    if service is None or objection:
        raise NotPossibleError(objection)
    given = form.get("max_price", "").strip()
    max_price = _dollars("highest price", given) if given else service.price
    if exceeds(service.price, max_price):
        raise NotPossibleError(f"“{service.title}” costs {money(service.price)}, more than your highest price.")
    terms = Terms(name, filter, service_id, max_price, _dollars("daily limit", form.get("daily_limit", "")))
    return _with_schedule(terms, form) if kind is AutomationKind.RECHECK else terms


def _with_schedule(terms: Terms, form: Mapping[str, str]) -> Terms:
    every = _whole("number of days", form.get("every_days", ""), 1, MOST_DAYS)
    hour, zone = _whole("hour", form.get("hour", ""), 0, 23), form.get("time_zone", "").strip()
    if not is_time_zone(zone):
        raise NotPossibleError(f"“{zone[:40]}” is not a time zone such as Europe/Berlin.")
    try:
        first = date.fromisoformat(form.get("first_day", "").strip())
    except ValueError:
        first = date.min
    if first.year not in YEARS:
        raise NotPossibleError("Enter the first day as a date such as 2026-12-06.")
    return replace(terms, every_days=every, hour=hour, time_zone=zone, first_day=first.isoformat())


def _dollars(what: str, text: str) -> float:
    """Return an amount above zero. Raises NotPossibleError."""
    amount = read_dollars(text)
    if not 0 < amount <= HIGHEST:
        raise NotPossibleError(f"Enter the {what} in US dollars, such as 25 or 0.08.")
    return amount


def _whole(what: str, text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text.strip()) or not least <= int(text) <= most:
        raise NotPossibleError(f"Enter the {what} as a whole number from {least} to {most}.")
    return int(text)


def require_free_name(connection: Transaction, name: str, automation_id: int | None = None) -> None:
    """Raise NotPossibleError where another automation has this name: lists of batches show it."""
    if is_name_taken(connection, name, automation_id):
        raise NotPossibleError(f"There is an automation named “{name}” already. Enter another name.")


def typed_as(automation: Automation) -> MultiDict[str, str]:
    """Return the fields of the form of an automation as it is."""
    terms = automation.terms
    fields = {name: getattr(terms, name) for name in Terms.__slots__}
    # Twelve digits: without them "g" would round $123,456.78, and write a million as 1e+06.
    shown = ((name, f"{value:.12g}" if isinstance(value, float) else str(value)) for name, value in fields.items())
    return MultiDict(shown)
