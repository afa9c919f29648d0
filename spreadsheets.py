"""Files and texts that people bring: from bytes to an Intake in which every cell is accounted for.

    kind and encoding -> survey of all sheets and columns -> choice -> every cell of it into exactly one bucket

The file is walked twice, once to choose and once to sort, so that a million rows need no more memory than their
IMEIs. This module must not know orders, HTTP or the database.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from operator import attrgetter
from pathlib import Path

from file_kinds import Deadline, FileKind, Row, UnreadableFileError, find_kind
from imei import ORDERABLE, Found, Kind, classify, plain_number
from intake import ALL_COLUMNS, FIND_IT, Choice, Column, Intake, Ready, Rejected, Repeated, Rows, Sheet
from spreadsheets_columns import Survey, choose_column, find_header_row, survey
from spreadsheets_csv import DELIMITER_NAMES, Delimited, find_delimiter, find_encoding
from spreadsheets_xlsx import Sheet as Worksheet
from spreadsheets_xlsx import Workbook

__all__ = [
    "ALL_COLUMNS",
    "Choice",
    "Column",
    "FileKind",
    "Intake",
    "Ready",
    "Rejected",
    "Repeated",
    "Rows",
    "Sheet",
    "UnreadableFileError",
    "read_file",
    "read_text",
]

MAX_BYTES = 25 * 1024 * 1024
MAX_SECONDS = 30.0
MOST_ROWS = 1_100_000  #: rows with content: Excel's own limit and some, more only where more IMEIs may come
MAX_TEXT = 200  #: characters of a rejected cell that are kept


def read_file(
    data: bytes | Path, choice: Choice = FIND_IT, limit: int = 100_000, seconds: float = MAX_SECONDS
) -> Intake:
    """What a CSV, TSV, TXT or XLSX file holds, at most `limit` IMEIs. Raises UnreadableFileError."""
    deadline = Deadline(seconds)
    content = _content(data)
    kind = find_kind(content)
    if kind is FileKind.XLSX:
        return _read_workbook(content, choice, limit, deadline)
    return _read_delimited(content, FileKind.CSV, choice, limit, deadline)


def read_text(text: str, choice: Choice = FIND_IT, limit: int = 100_000, seconds: float = MAX_SECONDS) -> Intake:
    """What pasted text holds: a list in any shape, or a table copied from a sheet. Raises UnreadableFileError."""
    if not text.strip():
        raise UnreadableFileError("Nothing was pasted: paste one IMEI a line.")
    content = _content(text.encode("utf-8", "replace"))
    chosen = replace(choice, encoding="utf-8")
    return _read_delimited(content, FileKind.TEXT, chosen, limit, Deadline(seconds))


def _content(data: bytes | Path) -> bytes:
    try:
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableFileError(
                f"The file has {size / 1024 / 1024:,.0f} MB, and 25 MB is the most: split it, or keep only the IMEIs."
            )
        return data if isinstance(data, bytes) else data.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"The file cannot be opened: {error.strerror}.") from error


def _read_delimited(data: bytes, kind: FileKind, choice: Choice, limit: int, deadline: Deadline) -> Intake:
    _check(choice)
    encoding = choice.encoding or find_encoding(data)
    table = Delimited(data, encoding, choice.delimiter or find_delimiter(data, encoding))
    found = survey(table.rows(deadline), _most_rows(limit))
    warnings = []
    if found.open_quote:
        table = replace(table, quoted=False)
        found = survey(table.rows(deadline), _most_rows(limit))
        warnings.append("A double quote is never closed, so all double quotes are read as plain signs.")
    chosen = replace(choice, sheet="", encoding=encoding, delimiter=table.delimiter)
    loose = kind is FileKind.TEXT and table.delimiter != "\t"
    chosen = _choose(chosen, found, loose, f"{DELIMITER_NAMES.get(table.delimiter, 'sign')}-separated text")
    sheets = (_sheet("", False, found, chosen),)
    return _sort(kind, chosen, sheets, warnings, table.rows(deadline), limit)


def _check(choice: Choice) -> None:
    """Raises UnreadableFileError for an encoding or a delimiter that is none."""
    try:
        "".encode(choice.encoding or "utf-8")
    except LookupError as error:
        raise UnreadableFileError(f"{choice.encoding!r} is not a text encoding: choose another.") from error
    delimiter = choice.delimiter or ","
    if len(delimiter) != 1 or delimiter in '\r\n"\0':
        raise UnreadableFileError(f"The delimiter {delimiter!r} is not one sign: choose another.")


def _read_workbook(data: bytes, choice: Choice, limit: int, deadline: Deadline) -> Intake:
    workbook = Workbook(data, deadline)
    surveys = {sheet: survey(workbook.rows(sheet), _most_rows(limit)) for sheet in workbook.sheets}
    if not surveys:
        raise UnreadableFileError("The workbook has no sheet with cells: bring another file.")
    sheet = _choose_sheet(surveys, choice.sheet)
    chosen = replace(choice, sheet=sheet.name, encoding="", delimiter="")
    chosen = _choose(chosen, surveys[sheet], False, f"sheet {sheet.name!r}")
    sheets = tuple(_sheet(each.name, each.hidden, found, chosen) for each, found in surveys.items())
    warnings = [_other_sheet(other) for other in sheets if other.name != sheet.name and other.imeis]
    return _sort(FileKind.XLSX, chosen, sheets, warnings, workbook.rows(sheet), limit)


def _choose_sheet(surveys: dict[Worksheet, Survey], name: str | None) -> Worksheet:
    """The sheet of that name, else the visible one with the most IMEIs, else the hidden one with the most."""
    if name is not None:
        named = next((sheet for sheet in surveys if sheet.name == name), None)
        if named is None:
            raise UnreadableFileError(f"The workbook has no sheet {name!r}: choose another.")
        return named
    return max(surveys, key=lambda sheet: (surveys[sheet].weight > 0, not sheet.hidden, surveys[sheet].weight))


def _other_sheet(sheet: Sheet) -> str:
    hidden = "hidden " if sheet.hidden else ""
    return f"The {hidden}sheet {sheet.name!r} also holds {_count(sheet.imeis, 'IMEI')}, which are not taken."


def _choose(choice: Choice, found: Survey, loose: bool, what: str) -> Choice:
    """The choice with column and header row filled in. Raises UnreadableFileError where there is no IMEI."""
    column = choice.column if choice.column is not None else choose_column(found, loose)
    if column is None:
        raise UnreadableFileError(_nothing_found(found, what))
    if column != ALL_COLUMNS and not 0 <= column < len(found.tallies):
        raise UnreadableFileError(f"There is no column {column + 1} in this file: choose another.")
    header = choice.header_row if choice.header_row is not None else find_header_row(found.top, column)
    return replace(choice, column=column, header_row=header)


def _nothing_found(found: Survey, what: str) -> str:
    first = next((str(cell).strip() for _, cells, _ in found.top for cell in cells if cell), "")
    seen = f" that begins with {first[:40]!r}" if first else ""
    return f"No IMEI was found in {_count(found.rows, 'row')} of {what}{seen}: an IMEI has 15 digits; check the file."


def _sheet(name: str, hidden: bool, found: Survey, chosen: Choice) -> Sheet:
    header = chosen.header_row if name == chosen.sheet else None
    columns = tuple(found.columns(header))
    return Sheet(name, hidden, sum(map(attrgetter("imeis"), columns)), columns)


def _most_rows(limit: int) -> int:
    return max(MOST_ROWS, 2 * limit)


def _sort(
    kind: FileKind,
    chosen: Choice,
    sheets: tuple[Sheet, ...],
    warnings: list[str],
    rows: Iterable[Row],
    limit: int,
) -> Intake:
    """Every value of the chosen column into its bucket. Raises UnreadableFileError past the limit."""
    sorter = _Sorter(chosen)
    for number, cells, hidden in rows:
        sorter.take_row(number, cells, hidden)
    if len(sorter.ready) > limit:
        raise UnreadableFileError(
            f"The file holds {len(sorter.ready):,} different IMEIs, and a batch takes {limit:,}: split it."
        )
    columns = next(sheet.columns for sheet in sheets if sheet.name == chosen.sheet)
    return Intake(
        kind=kind,
        chosen=chosen,
        sheets=sheets,
        warnings=(*warnings, *_column_warnings(chosen, columns), *sorter.warnings()),
        rows_read=sorter.rows_read,
        blank=sorter.blank,
        ready=sorter.ready.frozen(),
        luhn_failed=sorter.luhn_failed.frozen(),
        rejected=tuple(sorter.rejected),
        repeated=sorter.repeated(),
    )


def _column_warnings(chosen: Choice, columns: tuple[Column, ...]) -> Iterator[str]:
    if chosen.column == ALL_COLUMNS:
        yield "The IMEIs stand side by side: every cell is taken."
        return
    for column in columns:
        if column.index != chosen.column and column.imeis and column.share >= 0.5:
            yield f"{column.title} also holds {_count(column.imeis, 'IMEI')}, which are not taken."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class _Bucket:
    """IMEIs with their rows, kept as numbers; notes only where there are any."""

    def __init__(self) -> None:
        self.imeis, self.rows = array("Q"), array("Q")
        self.notes: dict[int, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self.imeis)

    def add(self, imei: int, row: int, note: str = "", text: str = "") -> None:
        if note:
            self.notes[len(self.imeis)] = (note, text)
        self.imeis.append(imei)
        self.rows.append(row)

    def frozen(self) -> Rows[Ready]:
        imeis, rows, notes = self.imeis, self.rows, self.notes
        nothing = ("", "")
        return Rows(len(imeis), lambda i: Ready(f"{imeis[i]:015d}", rows[i], *notes.get(i, nothing)))


class _Sorter:
    """Puts each value of the chosen column into exactly one bucket; the first of equal IMEIs is taken."""

    def __init__(self, chosen: Choice) -> None:
        self._column, self._header_row = chosen.column or 0, chosen.header_row or 0
        self._hidden_rows = chosen.hidden_rows
        self._seen: set[int] = set()
        self.ready, self.luhn_failed, self._again = _Bucket(), _Bucket(), _Bucket()
        self.rejected: list[Rejected] = []
        self.rows_read = self.blank = self._hidden = self._several = 0

    def take_row(self, row: int, cells: Sequence[object], hidden: bool) -> None:
        if row <= self._header_row or not cells:
            return
        if self._column >= 0:
            taken = self._take(row, cells[self._column], hidden) if self._column < len(cells) else 0
            filled = taken or _any_filled(cells)
        else:
            taken = sum(self._take(row, cell, hidden) for cell in cells)
            filled = taken
        if filled:
            self.rows_read += 1
            self.blank += not taken

    def _take(self, row: int, cell: object, hidden: bool) -> int:
        """How many values the cell gave; 0 for a blank one."""
        number = plain_number(cell)
        if number >= 0 and not hidden:
            if number in self._seen:
                self._again.add(number, row)
            else:
                self._seen.add(number)
                self.ready.add(number, row)
            return 1
        values = classify(cell)
        for found in values:
            self._put(row, found, hidden)
        self._several += len(values) > 1
        return len(values)

    def _put(self, row: int, found: Found, hidden: bool) -> None:
        orderable = found.kind in ORDERABLE
        self._hidden += hidden and orderable
        if hidden and not self._hidden_rows:
            self._reject(row, found.text, Kind.HIDDEN, "Its row is hidden or filtered out in the sheet.")
        elif not orderable:
            self._reject(row, found.text, found.kind, found.note)
        elif int(found.imei) in self._seen:
            self._again.add(int(found.imei), row)
        else:
            self._seen.add(int(found.imei))
            bucket = self.luhn_failed if found.kind is Kind.LUHN_FAILED else self.ready
            bucket.add(int(found.imei), row, found.note, found.text if found.text != found.imei else "")

    def _reject(self, row: int, text: str, kind: Kind, reason: str) -> None:
        self.rejected.append(Rejected(row, text[:MAX_TEXT], kind, reason))

    def repeated(self) -> Rows[Repeated]:
        imeis, rows = self._again.imeis, self._again.rows
        wanted = set(imeis)
        taken = chain(
            zip(self.ready.imeis, self.ready.rows, strict=True),
            zip(self.luhn_failed.imeis, self.luhn_failed.rows, strict=True),
        )
        first = {imei: row for imei, row in taken if imei in wanted} if wanted else {}
        return Rows(len(imeis), lambda i: Repeated(rows[i], f"{imeis[i]:015d}", first[imeis[i]]))

    def warnings(self) -> Iterator[str]:
        if self._hidden:
            fate = "taken too" if self._hidden_rows else "left out"
            yield f"Hidden or filtered rows also hold {_count(self._hidden, 'IMEI')}, which are {fate}."
        if self._several:
            yield f"{_count(self._several, 'cell')} with several IMEIs: each of them is taken."


def _any_filled(cells: Sequence[object]) -> bool:
    return any(map(classify, cells))
