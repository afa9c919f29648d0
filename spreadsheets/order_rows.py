"""Import of orders: the provider's "Advanced Export" and our own exports, row by row.

A row becomes values for columns of the orders table, or one sentence with the reason why it is not understood.
This module must not know which orders exist already.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from amounts import HIGHEST_PRICE
from devices import INDEXED_FINDINGS, MAX_VALUE
from imei import ORDERABLE
from orders import OrderStatus, Outcome
from spreadsheets.cells import classify
from spreadsheets.tables import rows_below_titles
from spreadsheets.writing import CUT_MARK, EXTENDED_COLUMNS, NOT_XML, guarded

#: Title without blanks and points, in capitals → the name in the orders table.
TITLES = MappingProxyType(
    {re.sub(r"[\W_]+", "", column.title).upper(): column.key for column in EXTENDED_COLUMNS}
    | {"NOTES": "notes", "IMEI": "imei", "IMEI1": "imei"}
)
#: Columns that a file of orders must have.
NEEDED = frozenset({"imei", "status"})
NO_EXPORT = (
    "The file is not an export of orders: no row has the titles SERVICE, IMEI NO. and STATUS, "
    "as the provider's Advanced Export has."
)
#: Columns that are set by this program only, and not taken from a file.
NOT_TAKEN = frozenset({"batch_id", "outcome", "error", "created_at", "updated_at", "verdict", "tags"})
#: Columns that filters find by an index, which holds MAX_VALUE bytes of each.
FOUND_BY = frozenset({"order_id", "service_id", "status", *INDEXED_FINDINGS})
STATUSES = MappingProxyType({status.lower(): status for status in OrderStatus})
#: Texts of our own exports in the status column of an IMEI without an order.
NO_ORDER = frozenset({outcome.replace("_", " ") for outcome in Outcome if outcome is not Outcome.ORDERED})

#: Years of the date of an order: reports count no other months.
YEARS = range(1970, 3000)
#: Bytes of the name of a service: sums are kept by it in an index, which takes 2,700 bytes for all its columns.
LONGEST_SERVICE = 800

_DATE = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)(?:[ T](\d\d?):(\d\d?)(?::(\d\d?))?(?:\.(\d{1,9}))?)?")
_DECIMAL_COMMA = r"0,\d+|\d+,(?:\d\d?|\d{4,})"
_MONEY = re.compile(
    rf"(-?)\$?\s*(?:({_DECIMAL_COMMA})|((?:[1-9]\d{{0,2}}(?:,\d{{3}})+|\d+)(?:\.\d+)?|\.\d+))(?:\s*USD)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One row of a file of orders."""

    number: int  #: from 1, as the sheet counts
    values: Mapping[str, Any]  #: columns of the orders table; only what the row states
    failure: str = ""  #: why it is not understood; then values holds nothing


class NotUnderstoodError(ValueError):
    """A cell does not fit its column; the message names both."""


def read_orders(data: bytes | Path) -> Iterator[ImportRow]:
    """Yield each row with content below the titles. Raises UnreadableFileError for a file that is not an export."""
    return (_row(number, cells) for number, cells in rows_below_titles(data, _columns, NO_EXPORT))


def _columns(titles: Sequence[object]) -> dict[str, int]:
    """Return where each orders column is, of two equal titles the first; {} where they are not those of an export."""
    found: dict[str, int] = {}
    for place, title in enumerate(titles):
        name = TITLES.get(re.sub(r"[\W_]+", "", str(title or "")).upper())
        if name:
            found.setdefault(name, place)
    return found if found.keys() >= NEEDED and found.keys() & {"service_name", "order_id"} else {}


def _row(number: int, cells: dict[str, Any]) -> ImportRow:
    try:
        return ImportRow(number, _values(cells))
    except NotUnderstoodError as error:
        return ImportRow(number, {}, str(error))


def _values(cells: dict[str, Any]) -> dict[str, Any]:
    """Return the values that a row states, blanks left out. Raises NotUnderstoodError."""
    values: dict[str, Any] = {}
    outcome = plain(cells.get("outcome")).lower()
    status = plain(cells.get("status")).lower()
    dated = plain(cells.get("order_date")) or plain(cells.get("order_id"))
    if outcome not in ("", Outcome.ORDERED) or (status in NO_ORDER and not dated):
        raise NotUnderstoodError(f"No order was placed for it: {plain(cells.get('status'))}.")
    for name, cell in cells.items():
        if name not in NOT_TAKEN:
            read = READERS.get(name, plain)
            value = read(cell)
            if name in FOUND_BY and len(str(value).encode()) > MAX_VALUE:
                raise NotUnderstoodError(f"{str(value)[:40]!r} … is too long for the column {name}.")
            if value not in (None, ""):
                values[name] = value
    if "imei" not in values:
        raise NotUnderstoodError("It has no IMEI.")
    if "status" not in values:
        raise NotUnderstoodError("It has no status.")
    return values


def plain(cell: object) -> str:
    """Return a cell as text, without the guard against formulas and without characters that a sheet cannot hold."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}"
    text = str(cell)
    return cleaned(text[1:] if text.startswith("'") and guarded(text[1:]) == text else text)


def cleaned(text: str) -> str:
    """Return text as it is after an export to CSV or Excel."""
    return NOT_XML.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def says_the_same(stored: object, value: object) -> bool:
    """Whether a value of a file equals the stored one, apart from changes that CSV or Excel make."""
    if isinstance(value, float):
        return isinstance(stored, int | float) and abs(stored - value) < 0.0000005
    if isinstance(value, datetime):
        return isinstance(stored, datetime) and stored.replace(microsecond=0) == value
    before, after = cleaned(str(stored or "")), str(value)
    if after.endswith(CUT_MARK):
        return before.startswith(after.removesuffix(CUT_MARK))
    return before == after or plain(before) == after


def _imei(cell: object) -> str:
    text = plain(cell)
    if len(text) == 15 and text.isascii() and text.isdigit():
        return text
    found = classify(cell)
    if len(found) == 1 and found[0].kind in ORDERABLE:
        return found[0].imei
    if not text:
        return ""
    raise NotUnderstoodError(f"{text[:40]!r} is not an IMEI. {found[0].note if found else ''}".strip())


def _status(cell: object) -> str:
    text = plain(cell)
    return STATUSES.get(text.lower(), text)


def _service(cell: object) -> str:
    text = plain(cell)
    if len(text.encode(errors="replace")) > LONGEST_SERVICE:
        raise NotUnderstoodError(f"{text[:40]!r} … is too long for the name of a service.")
    return text


def _credits(cell: object) -> float | None:
    text = plain(cell)
    if not text:
        return None
    price = cell if isinstance(cell, int | float) else _dollars(text)
    if not abs(price) <= HIGHEST_PRICE:
        raise NotUnderstoodError(f"{text[:40]!r} is not a price in US dollars.")
    return float(price)


def _dollars(text: str) -> float:
    """Return the number in a text such as $1,234.50, or 0,08 where a comma can only be decimal; NaN for others."""
    found = _MONEY.fullmatch(text)
    if found is None:
        return math.nan
    sign, decimal, grouped = found.groups()
    return float(sign + (decimal.replace(",", ".") if decimal else grouped.replace(",", "")))


def _moment(cell: object) -> datetime | None:
    text = plain(cell)
    if not text:
        return None
    try:
        moment = _read_moment(cell, text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.year not in YEARS:
        raise NotUnderstoodError(f"{text[:40]!r} is not a date such as 2025-11-14 11:46:39.")
    return moment


def _read_moment(cell: object, text: str) -> datetime | None:
    """Return the moment in a cell, to the second; None for a text that is no date."""
    if isinstance(cell, datetime):
        # A sheet counts days, so a moment is off by some microseconds either way.
        return (cell.replace(tzinfo=None) + timedelta(milliseconds=500)).replace(microsecond=0)
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    *parts, fraction = found.groups()
    moment = datetime(*(int(part or 0) for part in parts))  # type: ignore[arg-type]
    return moment + timedelta(seconds=round(float(f"0.{fraction or 0}")))


#: Columns that are more than plain text. An IMEI 2 may be masked, and is only shown.
READERS: Mapping[str, Callable[[object], Any]] = MappingProxyType(
    {"imei": _imei, "status": _status, "service_name": _service, "credits": _credits, "order_date": _moment}
)
