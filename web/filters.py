"""Read the filter of a URL, or refuse it with reasons; suggest values for its fields.

An invalid filter is an error: ignoring it would show, export or order other IMEIs than the user selected.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from types import MappingProxyType
from typing import Any

from flask import abort, request

from backend import backend
from database import IMEIDatabase, Transaction, utc_now
from devices import STATE_OF
from grading import PENDING, Verdict
from orders import OrderStatus
from storage.order_queries import people_who_ordered
from storage.order_terms import OrderFilter
from storage.order_wordings import COUNTED, MEANT, NAMES, read_finding, stored_words
from storage.tag_store import Tag, is_tag, known_tags
from web.context import row_number

#: The findings that can be chosen, by the name of their field.
CHOICES = MappingProxyType(
    {"simlock": ("Locked", "Unlocked"), "fmi": ("ON", "OFF"), "blacklist": ("Clean", "Blacklisted")}
)
#: Labels of the fields on pages.
LABELS = MappingProxyType(
    {
        "batch": "Batch",
        "person": "Ordered by",
        "tag": "Tag",
        "carrier": "Carrier",
        "simlock": "SIM lock",
        "fmi": "Find My",
        "blacklist": "Blacklist",
        "model": "Model",
        "serial": "Serial number",
        "since": "From",
        "until": "To",
    }
)
FIELDS = ("q", "status", "verdict", "service", *LABELS, "mismatch")
#: Most values that one field suggests, and most orders that are selected one by one.
SHOWN, MOST_ROWS = 200, 100
#: Days by a word, which mean another day tomorrow: the field of the filter keeps the word.
PERIODS = MappingProxyType({"today": "Today", "7d": "Last 7 days", "30d": "Last 30 days", "month": "This month"})
LAST_DAYS = re.compile(r"([1-9][0-9]{0,3})d")

Suggestions = Mapping[str, list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter as the user entered it."""

    entered: Mapping[str, str]  #: field → text as entered
    objections: Mapping[str, str]  #: field → why it is not valid
    chosen: OrderFilter  #: the valid part; not to be used while there are objections

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the valid filter as a URL holds it. A day by a word stays a word, which means another day later."""
        found = self.chosen.arguments()
        return found | {name: self.entered[name] for name in ("since", "until") if name in found}

    @property
    def further(self) -> int:
        """Return the number of filled fields under "More filters"."""
        return sum(bool(self.entered[name]) for name in LABELS)

    @property
    def sentence(self) -> str:
        """Return all objections in one text."""
        return " ".join(self.objections.values())


def asked(selectable: bool = False) -> Asked:
    """Return the filter in the URL of this request. selectable: or the orders that were selected in a list.

    A list sends its filter and the selected rows; all=1 chooses everything that the filter finds.
    """
    is_selected = "chosen" in request.args or "row" in request.args
    if not (selectable and is_selected) or request.args.get("all") == "1":
        return read_filter(backend().database, request.args)
    objections: dict[str, str] = {}
    rows = _rows(request.args.getlist("row"), objections)
    return Asked(dict.fromkeys(FIELDS, ""), objections, OrderFilter(row=rows))


def filter_asked(selectable: bool = False) -> OrderFilter:
    """Return what asked() finds. Answers 400 with the reasons if it is not valid."""
    found = asked(selectable)
    if found.objections:
        abort(400, f"The filter is not valid. {found.sentence}")
    return found.chosen


def read_filter(database: IMEIDatabase, given: Mapping[str, str]) -> Asked:
    """Return the filter of these fields, with an objection to each invalid field."""
    entered = {name: given.get(name, "").strip() for name in FIELDS}
    found: dict[str, str] = {}
    status = _status(database, entered["status"], found)
    for name in STATE_OF:
        _check_finding(database, name, entered[name], found)
    since, until = _day("since", entered["since"], found), _day("until", entered["until"], found)
    if since and until and since > until:
        found["until"] = f"“To” ({until}) is before “From” ({since})."
    words: dict[str, Any] = {name: entered[name] for name in ("q", "service", "serial", *MEANT)}
    chosen = OrderFilter(
        **words,
        status=status,
        verdict=_verdict(entered["verdict"], found),
        batch=_batch(entered["batch"], found),
        person=_person(database, entered["person"], found),
        tag=_tag(database, entered["tag"], found),
        since=since,
        until=until,
        mismatch=_mismatch(entered["mismatch"], "mismatch" in given, found),
    )
    return Asked(entered, found, chosen)


def suggested() -> Suggestions:
    """Return (value, number of orders) pairs for each field with suggestions; for persons the name twice.

    For tags, the second is what has them.
    """
    counts = backend().filter_values()
    found = {name: [(word, _at_least(n)) for word, n in islice(counts[name].items(), SHOWN)] for name in NAMES}
    for name, choices in CHOICES.items():
        found[name] = [(choice, _at_least(counts[name].get(choice, 0))) for choice in choices]
    with backend().database.read() as connection:
        found["person"] = [(name, name) for name in people_who_ordered(connection)]
        found["tag"] = suggested_tags(connection)
    return found | {"verdict": [(word, f"{count:,}") for word, count in counts["verdict"].items()]}


def suggested_tags(connection: Transaction) -> list[tuple[str, str]]:
    """Return each tag with what has it, such as ("sold", "2 batches, 1 order")."""
    return [(tag.word, _uses(tag)) for tag in known_tags(connection, SHOWN)]


def _uses(tag: Tag) -> str:
    counts = ((tag.batches, "batch", "batches"), (tag.orders, "order", "orders"))
    return ", ".join(f"{_at_least(n)} {one if n == 1 else many}" for n, one, many in counts if n)


def _at_least(count: int) -> str:
    return f"{count:,}+" if count >= COUNTED else f"{count:,}"


def _rows(texts: Sequence[str], found: dict[str, str]) -> tuple[int, ...]:
    """Return the row ids of selected orders."""
    if not 0 < len(texts) <= MOST_ROWS:
        found["row"] = f"Select at least one order, and at most {MOST_ROWS}."
        return ()
    try:
        return tuple(sorted({row_number(text) for text in texts}))
    except ValueError:
        found["row"] = "A selected order has no row number."
        return ()


def _status(database: IMEIDatabase, text: str, found: dict[str, str]) -> str:
    """Return the stored status: one of OrderStatus, whatever its upper or lower case, or a stored provider status."""
    known = {status.casefold(): str(status) for status in OrderStatus}
    if not text or text.casefold() in known:
        return known.get(text.casefold(), "")
    if text not in _stored(database, "status"):
        found["status"] = f"“{text[:40]}” is not a status. Choose one of {', '.join(OrderStatus)}."
    return text


def _verdict(text: str, found: dict[str, str]) -> str:
    choices = [*Verdict, PENDING]
    if text and text.casefold() not in choices:
        found["verdict"] = f"“{text[:40]}” is not a verdict. Choose one of {', '.join(choices)}."
    return text.casefold()


def _check_finding(database: IMEIDatabase, name: str, text: str, found: dict[str, str]) -> None:
    """Object to a text that is neither a finding nor a stored provider wording."""
    if text and not read_finding(name, text) and text not in _stored(database, name):
        choices = " or ".join(CHOICES[name])
        found[name] = f"“{text[:40]}” is not a value of {LABELS[name]}. Choose {choices}."


def _stored(database: IMEIDatabase, name: str) -> frozenset[str]:
    with database.read() as connection:
        return frozenset(connection.execute(stored_words(name)).scalars())


def _batch(text: str, found: dict[str, str]) -> int | None:
    if not text:
        return None
    try:
        return row_number(text.lstrip("#"))
    except ValueError:
        found["batch"] = f"“{text[:40]}” is not a batch number such as 41."
        return None


def _person(database: IMEIDatabase, text: str, found: dict[str, str]) -> str:
    if text:
        with database.read() as connection:
            if text not in people_who_ordered(connection):
                found["person"] = f"Nobody named “{text[:40]}” has ordered. Choose one of the list."
    return text


def _tag(database: IMEIDatabase, text: str, found: dict[str, str]) -> str:
    if text and not is_tag(database, text):
        found["tag"] = f"No batch or order has the tag “{text[:40]}”. Choose one of the list."
    return text


def _day(name: str, text: str, found: dict[str, str]) -> date | None:
    """Return the day, or None. The last representable day is invalid because it has no next day."""
    if not text:
        return None
    try:
        day = _relative_day(text.casefold()) or date.fromisoformat(text)
    except ValueError:
        day = date.max
    if day == date.max:
        found[name] = f"“{text[:40]}” in “{LABELS[name]}” is not a date such as 2026-11-25. Or use today, 7d or month."
        return None
    return day


def _relative_day(word: str) -> date | None:
    """Return the UTC day of a word: today, the first of the last days ("7d": today is the seventh), or of the month."""
    today = utc_now().date()
    if last := LAST_DAYS.fullmatch(word):
        return today - timedelta(days=int(last[1]) - 1)
    return {"today": today, "month": today.replace(day=1)}.get(word)


def _mismatch(text: str, is_given: bool, found: dict[str, str]) -> bool:
    if text not in ("", "0", "1"):
        found["mismatch"] = f"“mismatch” must be 0 or 1, not “{text[:40]}”."
    return is_given and text != "0"
