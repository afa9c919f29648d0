"""The columns that "My sheet" appends: from the values of a file and what is known of each IMEI to one row each.

Pure. This module must not know files, or where the results come from.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from grading import Verdict
from spreadsheets.buckets import Bucket, PlacedValue
from workbooks import AddedColumn, AddedRow

SHEET_COLUMNS = (
    AddedColumn("Verdict", 10, "tone"),
    AddedColumn("Model", 26),
    AddedColumn("Carrier", 18),
    AddedColumn("SIM lock", 12),
    AddedColumn("FMI", 8),
    AddedColumn("Blacklist", 12),
    AddedColumn("IMEI 2", 17, "digits"),
    AddedColumn("Serial", 16, "digits"),
    AddedColumn("Status", 13),
    AddedColumn("Checked on", 17, "moment"),
    AddedColumn("Order id", 14, "digits"),
    AddedColumn("Note", 60),
)
#: The texts of a phone that are shown as they are, in the order of the columns.
PHONE_TEXTS = ("model", "carrier", "simlock", "fmi", "blacklist", "imei2", "serial", "status", "order_id")
#: Verdict → fill and text colour, the red, green and amber of static/app.css.
TONES: Mapping[str, tuple[str, str]] = {
    Verdict.PASS: ("E1F3E9", "14683F"),
    Verdict.REVIEW: ("FBEFD8", "7D4A00"),
    Verdict.FAIL: ("FCE8E6", "A8201A"),
}
NOT_CHECKED = "Not checked"  #: the status of a row without an IMEI of the batch
SECOND = "Second IMEI not checked: one check answers for the phone."
#: Between the values of the phones of one row.
SEPARATOR = "; "
_WORST_FIRST = (Verdict.FAIL, Verdict.REVIEW, Verdict.PASS)
_SECONDS = frozenset({Bucket.SECOND, Bucket.PAIRED})


@dataclass(frozen=True, slots=True)
class PhoneResult:
    """What is known about one IMEI of a batch; "" is not known."""

    verdict: Verdict | None  #: None until there is a result
    model: str = ""
    carrier: str = ""
    simlock: str = ""
    fmi: str = ""
    blacklist: str = ""
    imei2: str = ""
    serial: str = ""
    status: str = ""  #: of the order, or the outcome of an IMEI without an order
    checked_on: datetime | None = None  #: UTC; when the order was placed
    order_id: str = ""
    note: str = ""  #: why it was not ordered, or what is odd about the result
    is_pending: bool = False  #: a result may still come


def added_rows(
    placed: Iterable[PlacedValue], results: Mapping[str, PhoneResult], header_row: int
) -> Iterator[AddedRow]:
    """Yield the added values of each row with a value, except the row of the titles.

    results: IMEI → what is known, of every IMEI of the batch.
    """
    numbers = (value for value in placed if value.imei or value.bucket is not Bucket.PAIRED)
    for number, values in groupby(numbers, attrgetter("row")):
        if number != header_row:
            yield _sheet_row(number, list(values), results)


def _sheet_row(number: int, values: Sequence[PlacedValue], results: Mapping[str, PhoneResult]) -> AddedRow:
    """Return the values of one row.

    A row with several phones has the worst verdict, or none while a result is missing and none of them fails. Its other
    columns name the values of the phones in their order, or the one value that all have, and the date of the oldest.
    """
    checked = [value for value in values if value.imei in results and not _is_left_out(value)]
    phones = [results[value.imei] for value in checked]
    left_out = [value for value in values if value not in checked and (value.bucket not in _SECONDS or not phones)]
    several = len(phones) + len(left_out) > 1
    notes = [(value.imei, _note(value, results[value.imei].note)) for value in checked]
    notes += [(value.imei or value.text, _reason(value)) for value in left_out]
    verdict = row_verdict(phones)
    columns = [_joined([getattr(phone, name) for phone in phones]) for name in PHONE_TEXTS]
    dates = [phone.checked_on for phone in phones if phone.checked_on is not None]
    row = [verdict.label if verdict else "", *columns[:7], columns[7] if phones else NOT_CHECKED]
    row_note = " ".join(f"{name}: {note}" if several and name else note for name, note in notes if note)
    return AddedRow(number, (*row, min(dates) if dates else "", columns[8], row_note), verdict or "")


def row_verdict(phones: Sequence[PhoneResult]) -> Verdict | None:
    """Return the worst verdict of the phones of a row; None while a better one could still become worse."""
    found = {phone.verdict for phone in phones}
    if Verdict.FAIL in found:
        return Verdict.FAIL
    return None if None in found else next((verdict for verdict in _WORST_FIRST if verdict in found), None)


def _is_left_out(value: PlacedValue) -> bool:
    """Whether the file's own choice left the value out, although the batch may hold its IMEI from another row."""
    return value.bucket in (Bucket.REJECTED, *_SECONDS)


def _joined(values: Sequence[str]) -> str:
    """Return the values of the phones of a row, or the one that all have."""
    if len(set(values)) <= 1:
        return values[0] if values else ""
    return SEPARATOR.join(value or "–" for value in values)


def _note(value: PlacedValue, note: str) -> str:
    """Return the notes of an IMEI of the batch: an equal one before it, what was repaired, what is odd about it."""
    repeated = f"Same IMEI as row {value.first_row}." if value.bucket is Bucket.REPEATED else ""
    repaired = f"Checked as {value.imei}: {value.note}" if value.note and value.text else ""
    mistyped = value.note if value.bucket is Bucket.LUHN_FAILED else ""
    return " ".join(filter(None, (repeated, repaired or mistyped, note)))


def _reason(value: PlacedValue) -> str:
    """Return why a value is not in the batch."""
    if value.bucket in _SECONDS:
        return SECOND
    if value.bucket is Bucket.REPEATED:
        return f"Same IMEI as row {value.first_row}, which was not checked."
    return value.note or "It was not part of the batch."
