"""Dates of the provider's lists, read from texts whose form and time zone are not documented.

A list is read as a whole, because `03/11/2026` is decided only by a neighbour such as `28/11/2026`. What stays
ambiguous is None: a wrong date would hide a charge, a missing one does not. This module has no I/O.
"""

import re
from collections.abc import Sequence
from datetime import datetime

CLOCK = r"(?:(?:[ ]+|T)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?[ ]*(?P<half>[ap]m)?)?"
ZONE = r"(?:[ ]*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
YEAR_FIRST = re.compile(rf"(?P<year>\d{{4}})([-/.])(?P<month>\d{{1,2}})\2(?P<day>\d{{1,2}}){CLOCK}{ZONE}", re.A | re.I)
YEAR_LAST = re.compile(rf"(?P<one>\d{{1,2}})([-/.])(?P<two>\d{{1,2}})\2(?P<year>\d{{4}}){CLOCK}{ZONE}", re.A | re.I)
#: The largest number that can be a month.
DECEMBER = 12
#: Years of an order. Panels write the first moment of a calendar, such as 1970-01-01 or 0001-01-01, for "no date".
YEARS = range(2000, 3000)


def read_dates(texts: Sequence[str]) -> list[datetime | None]:
    """Return the moment of each text of one list, in the same order; None where it cannot be read for certain.

    Reads `2025-11-14 03:33:00`, with or without leading zeros, and `11/28/2026 3:33 PM` or `28/11/2026 15:33` where
    another text of the list shows which of the two numbers is the day. A time zone is dropped: no moment has one.
    """
    words = [" ".join(text.split()) for text in texts]
    day_first = _is_day_first([found for word in words if (found := YEAR_LAST.fullmatch(word))])
    return [_read(word, day_first) for word in words]


def _is_day_first(found: Sequence[re.Match[str]]) -> bool | None:
    """Return whether the day comes before the month in a list; None where nothing shows it, or both orders occur."""
    numbers = [(int(match["one"]), int(match["two"])) for match in found]
    shown = {one > two for one, two in numbers if (one > DECEMBER) != (two > DECEMBER)}
    return shown.pop() if len(shown) == 1 else None


def _read(word: str, day_first: bool | None) -> datetime | None:
    if found := YEAR_FIRST.fullmatch(word):
        return _moment(found, int(found["month"]), int(found["day"]))
    found = YEAR_LAST.fullmatch(word)
    if found is None or (day_first is None and found["one"] != found["two"]):
        return None
    one, two = int(found["one"]), int(found["two"])
    return _moment(found, two, one) if day_first else _moment(found, one, two)


def _moment(found: re.Match[str], month: int, day: int) -> datetime | None:
    """Return the moment of these parts; None where the calendar or the clock has no such moment, or no order has it."""
    if int(found["year"]) not in YEARS:
        return None
    hour, half = int(found["hour"] or 0), (found["half"] or "").lower()
    if half:
        hour = hour % 12 + 12 * (half == "pm") if 1 <= hour <= 12 else -1
    try:
        return datetime(int(found["year"]), month, day, hour, int(found["minute"] or 0), int(found["second"] or 0))
    except ValueError:
        return None
