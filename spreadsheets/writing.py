"""Write CSV and Excel: orders in the provider's format or with all columns, and the rejects of a file.

Rows are mappings with the names of the orders table and are written one by one, so that any number of them
needs the same memory. Texts of the provider are hostile: they must never become a formula.
This module must not know where the rows come from.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain, count, islice
from os import PathLike
from typing import IO, Any, Literal

import xlsxwriter

from imei import Kind
from spreadsheets.intake import Intake

#: What a column holds: text, US dollars, digits that stay text (an IMEI), a date and time in UTC, a day, or a number.
#: Excel gets real numbers and dates where the values are such.
CellKind = Literal["", "money", "digits", "moment", "day", "count"]
_TYPED = frozenset({"money", "moment", "day", "count"})


@dataclass(frozen=True, slots=True)
class OutColumn:
    """One column of an export."""

    title: str
    key: str  #: the name in the orders table
    width: int  #: characters, in Excel
    kind: CellKind = ""


#: Exactly the provider's own export, in its order.
PROVIDER_COLUMNS = (
    OutColumn("SERVICE", "service_name", 34),
    OutColumn("IMEI NO.", "imei", 17, "digits"),
    OutColumn("CREDITS", "credits", 9, "money"),
    OutColumn("STATUS", "status", 11),
    OutColumn("CODE", "result_code_display", 60),
    OutColumn("IMEI 2", "imei2", 17, "digits"),
    OutColumn("CARRIER", "carrier", 20),
    OutColumn("SIMLOCK", "simlock", 11),
    OutColumn("MODEL", "model", 30),
    OutColumn("FMI", "fmi", 7),
    OutColumn("ORDER DATE", "order_date", 20, "moment"),
)
ORDER_ID, SERIAL = OutColumn("ORDER ID", "order_id", 14, "digits"), OutColumn("SERIAL", "serial", 16)
BLACKLIST, VERDICT = OutColumn("BLACKLIST", "blacklist", 12), OutColumn("VERDICT", "verdict", 9)

#: A workbook has four more columns that people look for.
WORKBOOK_COLUMNS = (*PROVIDER_COLUMNS, BLACKLIST, VERDICT, SERIAL, ORDER_ID)

EXTENDED_COLUMNS = (
    *PROVIDER_COLUMNS,
    ORDER_ID,
    OutColumn("BATCH", "batch_id", 9),
    SERIAL,
    BLACKLIST,
    OutColumn("WARRANTY", "warranty", 20),
    OutColumn("OUTCOME", "outcome", 11),
    OutColumn("ERROR", "error", 40),
    OutColumn("CREATED", "created_at", 20, "moment"),
    OutColumn("UPDATED", "updated_at", 20, "moment"),
    VERDICT,
    OutColumn("TAGS", "tags", 20),
)

MAX_CELL = 32_767  #: UTF-16 units, Excel's own limit
MAX_SHEET_ROWS = 1_048_575  #: below the header, Excel's own limit
FIRST_YEAR = 1901  #: Excel counts 1900 as a leap year, and knows nothing before

LONG_NUMBER = 10**11  #: from here on Excel shows a number as 1E+11

CUT_MARK = " … (cut)"
_BLOCK = 100
_FORMULA_START = frozenset("=+-@＝＋－＠")
_INVISIBLE_START = re.compile("^[\\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\x00-\x1f]*")
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_LINE_END = re.compile("\r\n?")
_SHEET_SIGNS = re.compile(r"[\[\]:*?/\\\x00-\x1f]")
_NAME_SIGNS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Written:
    """The counts of an Excel export."""

    rows: int
    cut: int  #: cells that were longer than Excel takes
    cleaned: int  #: cells with characters that Excel does not take, which were left out


def guarded(text: str) -> str:
    """Return the text with a leading ' if a spreadsheet could read it as a formula (OWASP, CSV injection)."""
    if not text or text[0].isalnum():
        return text
    if text[0] in "\t\r" or _INVISIBLE_START.sub("", text)[:1] in _FORMULA_START:
        return "'" + text
    return text


def write_csv(
    rows: Iterable[Mapping[str, object]], columns: tuple[OutColumn, ...] = PROVIDER_COLUMNS, bom: bool = True
) -> Iterator[bytes]:
    """Yield CSV with these columns (RFC 4180, CRLF, UTF-8), in pieces of some hundred rows."""
    out = io.StringIO(newline="")
    write = csv.writer(out, lineterminator="\r\n").writerow
    write([guarded(column.title) for column in columns])
    remaining = iter(rows)
    encoding = "utf-8-sig" if bom else "utf-8"
    while True:
        count = 0
        for count, row in enumerate(islice(remaining, _BLOCK), 1):  # noqa: B007
            write([_csv_text(row.get(column.key), column) for column in columns])
        if out.tell():
            yield out.getvalue().encode(encoding, "replace")
        if count < _BLOCK:
            return
        encoding = "utf-8"
        out.seek(0)
        out.truncate()


def write_xlsx(
    rows: Iterable[Mapping[str, object]],
    path_or_file: str | PathLike[str] | IO[bytes],
    columns: tuple[OutColumn, ...] = PROVIDER_COLUMNS,
) -> Written:
    """Write an Excel workbook: text cells (IMEIs keep their 15 digits), credits as dollars, frozen header, filter.

    Rows past Excel's limit continue in further sheets. Cells that were cut or cleaned are counted, and listed in a
    sheet "Notes".
    """
    with xlsxwriter.Workbook(path_or_file, {"constant_memory": True}) as book:
        writer = _SheetWriter(book, columns)
        for row in rows:
            writer.write(row)
        return writer.finish()


@dataclass(frozen=True, slots=True)
class OutCell:
    """A text with a format of its own."""

    text: str
    form: str  #: "title", "digits", or the name of a tone


@dataclass(frozen=True, slots=True)
class OutTable:
    """One sheet of a workbook of plain values."""

    name: str
    hidden: bool
    rows: Iterable[tuple[int, Sequence[object]]]  #: row numbers from 1, growing; cells may be OutCells
    widths: Sequence[float] = ()  #: characters, of the first columns


def write_tables(
    path_or_file: str | PathLike[str] | IO[bytes], tables: Iterable[OutTable], tones: Mapping[str, tuple[str, str]]
) -> None:
    """Write sheets of values: long numbers are text, and no text becomes a formula.

    tones: name → fill and text colour as RRGGBB.
    """
    with xlsxwriter.Workbook(path_or_file, {"constant_memory": True}) as book:
        writer = _TableWriter(book, tones)
        for table in tables:
            writer.write(table)


class _TableWriter:
    """Writes sheets of values into one workbook."""

    def __init__(self, book: xlsxwriter.Workbook, tones: Mapping[str, tuple[str, str]]) -> None:
        self._book, self._names = book, set[str]()
        self._digits = book.add_format({"num_format": "@"})
        self._moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm", "align": "left"})
        self._formats = {"title": book.add_format({"bold": True, "bottom": 1}), "digits": self._digits}
        for tone, (fill, colour) in tones.items():
            self._formats[tone] = book.add_format({"bold": True, "bg_color": f"#{fill}", "font_color": f"#{colour}"})

    def write(self, table: OutTable) -> None:
        sheet = self._book.add_worksheet(_sheet_name(table.name, self._names))
        for column, width in enumerate(table.widths):
            sheet.set_column(column, column, width)
        for number, cells in table.rows:
            for column, cell in enumerate(cells):
                self._write_cell(sheet, (number - 1, column), cell)
        sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
        if table.hidden:
            sheet.hide()

    def _write_cell(self, sheet: Any, place: tuple[int, int], cell: object) -> None:
        if cell is None or cell == "":
            return
        if isinstance(cell, bool):
            sheet.write_boolean(*place, cell)
        elif isinstance(cell, datetime):
            sheet.write_datetime(*place, _utc(cell).replace(microsecond=0), self._moment)
        elif isinstance(cell, OutCell):
            sheet.write_string(*place, _cell_text(cell.text), self._formats.get(cell.form))
        else:
            self._write_value(sheet, place, cell)

    def _write_value(self, sheet: Any, place: tuple[int, int], cell: object) -> None:
        if isinstance(cell, int | float) and abs(cell) < LONG_NUMBER:
            sheet.write_number(*place, cell)
        else:
            sheet.write_string(*place, _cell_text(str(cell)), self._digits)


def _cell_text(text: str) -> str:
    return _shortened(NOT_XML.sub("", _LINE_END.sub("\n", text)))


def _sheet_name(name: str, taken: set[str]) -> str:
    """Return a name that Excel takes and no other sheet has, and note it."""
    plain = _SHEET_SIGNS.sub(" ", name).strip("' ")[:31] or "Sheet"
    names = chain([plain], (f"{plain[:27]} {number}" for number in count(2)))
    found = next(each for each in names if each.lower() not in taken)
    taken.add(found.lower())
    return found


def export_name(batch_id: int, label: str, what: str, moment: datetime) -> str:
    """Return a file name without its ending: `batch-41_november-stock_results_20261123T2210Z`.

    label: the name of the uploaded file, or another name of the batch; moment: UTC if it has no time zone.
    """
    parts = (
        f"batch-{batch_id}",
        _name_part(label.rsplit(".", 1)[0]) or "imeis",
        _name_part(what),
        f"{_utc(moment):%Y%m%dT%H%MZ}",
    )
    return "_".join(filter(None, parts))


def rejects_csv(intake: Intake, others: Iterable[tuple[int, str, str]] = ()) -> bytes:
    """Return as CSV what is not ordered, by row with the reason: rejects, wrong check digits, repeats, second IMEIs.

    others: (row, IMEI, reason) of IMEIs that the service is not for. UTF-8 with BOM.
    """
    out = io.StringIO(newline="")
    write = csv.writer(out).writerow
    write(("ROW", "VALUE", "KIND", "REASON"))
    for row, text, kind, reason in sorted(
        [*_rejects(intake), *((row, imei, "other_brand", why) for row, imei, why in others)]
    ):
        write((row, guarded(text), kind, reason))
    return out.getvalue().encode("utf-8-sig", "replace")


def _rejects(intake: Intake) -> Iterator[tuple[int, str, str, str]]:
    for rejected in intake.rejected:
        yield rejected.row, rejected.text, rejected.kind, rejected.reason
    for failed in intake.luhn_failed:
        yield failed.row, failed.text or failed.imei, Kind.LUHN_FAILED, failed.note
    for repeated in intake.repeated:
        yield repeated.row, repeated.imei, "repeated", f"Already in row {repeated.first_row}."
    for second in intake.seconds:
        yield second.row, second.imei, "second_imei", "The second IMEI of a phone: one check answers for both."


class _SheetWriter:
    """Writes rows from top to bottom, as constant memory needs, and starts a new sheet where one is full."""

    def __init__(self, book: xlsxwriter.Workbook, columns: tuple[OutColumn, ...]) -> None:
        self._book, self._columns = book, columns
        self._bold = book.add_format({"bold": True, "bottom": 1})
        self._text = book.add_format({"num_format": "@"})
        self._money = book.add_format({"num_format": '"$"0.00##'})
        self._moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss", "align": "left"})
        self._day = book.add_format({"num_format": "yyyy-mm-dd", "align": "left"})
        self._sheets = 0
        self._total = self._cut = self._cleaned = 0
        self._begin()

    def write(self, row: Mapping[str, object]) -> None:
        if self._row == MAX_SHEET_ROWS:
            self._end()
            self._begin()
        self._row += 1
        self._total += 1
        for index, column in enumerate(self._columns):
            self._write_cell(index, column, row.get(column.key))

    def finish(self) -> Written:
        self._end()
        if self._cut or self._cleaned:
            notes = self._book.add_worksheet("Notes")
            notes.write_string(0, 0, f"{self._cut:,} cells were cut: Excel takes 32,767 characters a cell.")
            notes.write_string(1, 0, f"{self._cleaned:,} cells had control characters, which were left out.")
        return Written(self._total, self._cut, self._cleaned)

    def _begin(self) -> None:
        self._sheets += 1
        self._sheet = self._book.add_worksheet("Orders" if self._sheets == 1 else f"Orders {self._sheets}")
        self._row = 0
        self._sheet.freeze_panes(1, 0)
        for index, column in enumerate(self._columns):
            self._sheet.set_column(index, index, column.width)
            self._sheet.write_string(0, index, column.title, self._bold)

    def _end(self) -> None:
        self._sheet.autofilter(0, 0, self._row, len(self._columns) - 1)
        self._sheet.ignore_errors({"number_stored_as_text": f"A1:T{self._row + 1}"})

    def _write_cell(self, index: int, column: OutColumn, value: object) -> None:
        if value is None or value == "" or (column.kind in _TYPED and self._write_typed(index, column.kind, value)):
            return
        text = _LINE_END.sub("\n", _plain_text(value))
        clean = NOT_XML.sub("", text)
        short = _shortened(clean)
        self._cleaned += clean != text
        self._cut += short != clean
        self._sheet.write_string(self._row, index, short, self._text if column.kind == "digits" else None)

    def _write_typed(self, index: int, kind: CellKind, value: object) -> bool:
        """Write a number or a date. Return whether the value is one that fits its column."""
        match kind:
            case "money" if isinstance(value, (int, float, Decimal)) and value == value:
                self._sheet.write_number(self._row, index, value, self._money)
            case "count" if isinstance(value, int):
                self._sheet.write_number(self._row, index, value)
            case "day" if isinstance(value, date) and value.year >= FIRST_YEAR:
                self._sheet.write_datetime(self._row, index, value, self._day)
            case "moment" if isinstance(value, datetime) and value.year >= FIRST_YEAR:
                self._sheet.write_datetime(self._row, index, _utc(value).replace(microsecond=0), self._moment)
            case _:
                return False
        return True


def _csv_text(value: object, column: OutColumn) -> str:
    if value is None:
        return ""
    if column.kind == "money" and isinstance(value, (int, float, Decimal)):
        return _dollars(value)
    text = _plain_text(value)
    return text if column.kind == "digits" and text.isdigit() else guarded(text.replace("\0", ""))


def _dollars(value: int | float | Decimal) -> str:
    """Return the amount as the provider writes it: $0.08, with more decimals only where it has them."""
    amount = Decimal(str(value))
    if not amount.is_finite():
        return ""
    sign, amount = ("-" if amount < 0 else ""), abs(amount)
    text = f"{amount:.6f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{sign}${whole}.{fraction:0<2}"


def _utc(moment: datetime) -> datetime:
    """Return a moment in UTC without its time zone; one without a zone is UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _plain_text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{_utc(value) if value.tzinfo else value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def _shortened(text: str) -> str:
    """Return at most 32,767 UTF-16 units of a text, with a mark where it was cut."""
    if len(text) * 2 <= MAX_CELL or len(text.encode("utf-16-le")) <= 2 * MAX_CELL:
        return text
    kept = text.encode("utf-16-le")[: 2 * (MAX_CELL - len(CUT_MARK))]
    return kept.decode("utf-16-le", "ignore") + CUT_MARK


def _name_part(text: str) -> str:
    return _NAME_SIGNS.sub("-", text.lower()).strip("-")[:40]
