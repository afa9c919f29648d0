"""The filter in a URL, read or refused with reasons, and what its fields suggest.

A filter that cannot be read is an error: to leave it out would show, export or order something else than was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice
from types import MappingProxyType

from flask import abort, request

from backend import backend
from database import IMEIDatabase
from orders import OrderStatus
from storage.order_filters import OrderFilter
from storage.order_wordings import COUNTED, MEANT, NAMES, VERDICTS, read_verdict, stored_words
from web.context import row_number

#: The verdicts that can be chosen, by the name of their field.
CHOICES = MappingProxyType(
    {"simlock": ("Locked", "Unlocked"), "fmi": ("ON", "OFF"), "blacklist": ("Clean", "Blacklisted")}
)
#: Fields as pages call them.
LABELS = MappingProxyType(
    {
        "batch": "Batch",
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
FIELDS = ("q", "status", "service", *LABELS, "mismatch")
#: Values that one field suggests.
SHOWN = 200

Suggestions = Mapping[str, list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter as it was asked for."""

    entered: Mapping[str, str]  #: every field as it was typed
    objections: Mapping[str, str]  #: field → why it cannot be read
    chosen: OrderFilter  #: what could be read: not to be used while there are objections

    @property
    def further(self) -> int:
        """How many of the fields are filled in that a page shows only when asked."""
        return sum(bool(self.entered[name]) for name in LABELS)

    @property
    def sentence(self) -> str:
        """Every objection in one text."""
        return " ".join(self.objections.values())


def asked() -> Asked:
    """The filter in the URL of this request."""
    return read_filter(backend().database, request.args)


def filter_asked() -> OrderFilter:
    """The filter in the URL; one that cannot be read ends the request with its reasons."""
    found = asked()
    if found.objections:
        abort(400, f"The filter is not valid. {found.sentence}")
    return found.chosen


def read_filter(database: IMEIDatabase, given: Mapping[str, str]) -> Asked:
    """The filter that these fields make, with an objection to each that cannot be read."""
    entered = {name: given.get(name, "").strip() for name in FIELDS}
    found: dict[str, str] = {}
    status = _status(database, entered["status"], found)
    for name in VERDICTS:
        _check_verdict(database, name, entered[name], found)
    since, until = _day("since", entered["since"], found), _day("until", entered["until"], found)
    if since and until and since > until:
        found["until"] = f"“To” ({until}) is before “From” ({since})."
    words = {name: entered[name] for name in ("q", "service", "serial", *MEANT)}
    chosen = OrderFilter(
        **words,
        status=status,
        batch=_batch(entered["batch"], found),
        since=since,
        until=until,
        mismatch=_mark("mismatch", entered["mismatch"], "mismatch" in given, found),
    )
    return Asked(entered, found, chosen)


def suggested() -> Suggestions:
    """For each field that suggests something: (value, how many orders have it)."""
    counts = backend().filter_values()
    found = {name: [(word, _at_least(n)) for word, n in islice(counts[name].items(), SHOWN)] for name in NAMES}
    for name, choices in CHOICES.items():
        found[name] = [(choice, _at_least(counts[name].get(choice, 0))) for choice in choices]
    return found


def _at_least(count: int) -> str:
    return f"{count:,}+" if count >= COUNTED else f"{count:,}"


def _status(database: IMEIDatabase, text: str, found: dict[str, str]) -> str:
    """The status as orders have it: one of ours in any case, or the provider's own word for one."""
    known = {status.casefold(): str(status) for status in OrderStatus}
    if not text or text.casefold() in known:
        return known.get(text.casefold(), "")
    if text not in _stored(database, "status"):
        found["status"] = f"“{text[:40]}” is not a status. Choose one of {', '.join(OrderStatus)}."
    return text


def _check_verdict(database: IMEIDatabase, name: str, text: str, found: dict[str, str]) -> None:
    """Object to words that are neither a verdict nor a stored wording of one."""
    if text and not read_verdict(name, text) and text not in _stored(database, name):
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


def _day(name: str, text: str, found: dict[str, str]) -> date | None:
    """A day that has a next one."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.max
    if day == date.max:
        found[name] = f"“{text[:40]}” in “{LABELS[name]}” is not a date such as 2026-11-25."
        return None
    return day


def _mark(name: str, text: str, given: bool, found: dict[str, str]) -> bool:
    if text not in ("", "0", "1"):
        found[name] = f"“{name}” must be 0 or 1, not “{text[:40]}”."
    return given and text != "0"
