"""Files and pastes: from bytes to an Intake in which every cell is accounted for.

    kind and encoding -> survey of all sheets and columns -> choice -> the values of the chosen column -> buckets

The rows are walked once: the column is guessed by the first rows, and its values are read in the same walk as the
survey. A file is walked again only where the later rows show that the guess was wrong.
This module must not know orders, HTTP or the database.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from pathlib import Path

from amounts import plural
from spreadsheets.cells import NO_VALUE
from spreadsheets.columns import Survey, choose_column, find_header_row, survey
from spreadsheets.delimited import DELIMITER_NAMES, Delimited, LongCellError, decoded, find_delimiter, find_encoding
from spreadsheets.intake import (
    ALL_COLUMNS,
    FIND_IT,
    NOT_TAKEN,
    Choice,
    Intake,
    SheetSummary,
    columns_of,
    long_numbers,
    second_columns,
)
from spreadsheets.parsed import Parsed
from spreadsheets.values import ColumnReader
from workbooks import Deadline, FileKind, Row, UnreadableFileError, Workbook, Worksheet, find_kind

MAX_BYTES = 25 * 1024 * 1024
MAX_SECONDS = 30.0
#: Rows with content: slightly above Excel's own limit; more only where a batch may hold more IMEIs.
MOST_ROWS = 1_100_000
#: Warnings about how the rows of a text are read.
OPEN_QUOTE = "A double quote is never closed, so all of them are read as plain signs."
THOUSANDS = "Commas between the thousands of a number are read as parts of it."
GUESSED_BY = 50  #: rows that the column is guessed by

#: Begins a new walk over the rows of one table.
RowSource = Callable[[], Iterator[Row]]


def read_file(
    data: bytes | Path, choice: Choice = FIND_IT, limit: int = 100_000, seconds: float = MAX_SECONDS
) -> Intake:
    """Return what a CSV, TSV, TXT, XLSX, XLS, XLSB or ODS file holds. Raises UnreadableFileError.

    limit: the most IMEIs; seconds: the longest time.
    """
    return parse_file(data, choice, limit, seconds).intake(choice, limit)


def read_text(text: str, choice: Choice = FIND_IT, limit: int = 100_000) -> Intake:
    """Return what pasted text holds: a list in any shape, or a table copied from a sheet. Raises UnreadableFileError.

    limit: the most IMEIs.
    """
    return parse_text(text, choice, limit).intake(choice, limit)


def parse_file(
    data: bytes | Path, choice: Choice = FIND_IT, limit: int = 100_000, seconds: float = MAX_SECONDS
) -> Parsed:
    """Return what a file holds, before it is decided which values are taken. Raises UnreadableFileError."""
    deadline = Deadline(seconds)
    content = content_of(data)
    kind = find_kind(content)
    if kind is not FileKind.CSV:
        return _parse_workbook(content, kind, choice, _most_rows(limit), deadline)
    return _parse_delimited(content, kind, choice, _most_rows(limit), deadline)


def parse_text(text: str, choice: Choice = FIND_IT, limit: int = 100_000) -> Parsed:
    """Return what pasted text holds, before it is decided which values are taken. Raises UnreadableFileError."""
    if not text.strip():
        raise UnreadableFileError("Nothing was pasted: paste one IMEI a line.")
    content = content_of(text.encode("utf-8", "replace"))
    chosen = replace(choice, encoding="utf-8")
    return _parse_delimited(content, FileKind.TEXT, chosen, _most_rows(limit), Deadline(MAX_SECONDS))


def content_of(data: bytes | Path) -> bytes:
    """Return the bytes of a file of at most 25 MB. Raises UnreadableFileError."""
    try:
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableFileError(
                f"The file has {size / 1024 / 1024:,.0f} MB, and 25 MB is the most: split it, or keep only the IMEIs."
            )
        return data if isinstance(data, bytes) else data.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"The file cannot be opened: {error.strerror}.") from error


@dataclass(frozen=True, slots=True)
class _Walk:
    """One walk over the rows of a table: the survey, and the values of the column that was guessed."""

    rows: RowSource
    found: Survey
    reader: ColumnReader | None  #: None where the first rows did not show the column

    def reader_of(self, chosen: Choice, seconds: tuple[int, ...]) -> ColumnReader:
        """Return the reader of the chosen column and the columns of second IMEIs; walk again after a wrong guess."""
        reader = ColumnReader(chosen.column or 0, chosen.header_row or 0, seconds)
        if self.reader is not None and self.reader.reads_as(reader):
            return self.reader
        for row in self.rows():
            reader.read_row(*row)
        return reader


def _walk(rows: RowSource, choice: Choice, loose: bool, most_rows: int) -> _Walk:
    """Survey a table and read the values of its column at once. Raises UnreadableFileError past most_rows."""
    first = survey(islice(rows(), GUESSED_BY), most_rows)
    guess = _completed(choice, first, loose)
    if guess is None:
        return _Walk(rows, survey(rows(), most_rows), None)
    seconds = second_columns(guess, tuple(first.columns(guess.header_row)))
    reader = ColumnReader(guess.column or 0, guess.header_row or 0, seconds)
    return _Walk(rows, survey(reader.passing(rows()), most_rows), reader)


def _parse_delimited(data: bytes, kind: FileKind, choice: Choice, most_rows: int, deadline: Deadline) -> Parsed:
    _check(choice, data)
    encoding = choice.encoding or find_encoding(data)
    table = Delimited(data, encoding, choice.delimiter or find_delimiter(data, encoding))
    loose = kind is FileKind.TEXT and table.delimiter != "\t"

    def walk(reading: Delimited) -> _Walk:
        return _walk(lambda: reading.rows(deadline), choice, loose, most_rows)

    table, walked = _walk_delimited(table, walk, deadline)
    warnings = [] if table.quoted else [OPEN_QUOTE]
    warnings += [THOUSANDS] if table.thousands else []
    chosen = replace(choice, sheet="", encoding=encoding, delimiter=table.delimiter)
    chosen = _choose(chosen, walked.found, loose, f"{DELIMITER_NAMES.get(table.delimiter, 'sign')}-separated text")
    return _parsed(kind, chosen, (_summary("", False, walked.found, chosen),), warnings, walked)


def _walk_delimited(
    table: Delimited, walk: Callable[[Delimited], _Walk], deadline: Deadline
) -> tuple[Delimited, _Walk]:
    """Walk a text as it is, else with quotes as plain signs, else with commas as thousands signs.

    Quotes are plain signs where one that is never closed would swallow rows; commas are thousands signs where that
    finds IMEIs and nothing else does.
    """
    try:
        walked = walk(table)
    except LongCellError:
        walked = None
    if walked is None or (walked.found.long_cells and table.has_open_quote(deadline)):
        table = replace(table, quoted=False)
        walked = walk(table)
    if table.delimiter != "," or walked.found.score:
        return table, walked
    joined = replace(table, thousands=True)
    again = walk(joined)
    return (joined, again) if again.found.score else (table, walked)


def _check(choice: Choice, data: bytes) -> None:
    """Raise UnreadableFileError for an encoding or a delimiter that does not exist or does not fit."""
    encoding = choice.encoding or "cp1252"
    try:
        decoded(data, encoding, 1)
    except LookupError as error:
        raise UnreadableFileError(f"{encoding!r} is not a text encoding: choose another.") from error
    except UnicodeError as error:
        raise UnreadableFileError(f"The file is not text in the encoding {encoding!r}: choose another.") from error
    delimiter = choice.delimiter or ","
    if len(delimiter) != 1 or delimiter in '\r\n"\0':
        raise UnreadableFileError(f"The delimiter {delimiter!r} is not one sign: choose another.")


def _parse_workbook(data: bytes, kind: FileKind, choice: Choice, most_rows: int, deadline: Deadline) -> Parsed:
    workbook = Workbook(data, kind, deadline)
    walks = {sheet: _walk_sheet(workbook, sheet, choice, most_rows) for sheet in workbook.sheets}
    if not walks:
        raise UnreadableFileError("The workbook has no sheet with cells: bring another file.")
    sheet = _choose_sheet({sheet: walk.found for sheet, walk in walks.items()}, choice.sheet)
    chosen = replace(choice, sheet=sheet.name, encoding="", delimiter="")
    chosen = _choose(chosen, walks[sheet].found, False, f"sheet {sheet.name!r}")
    sheets = tuple(_summary(each.name, each.hidden, walk.found, chosen) for each, walk in walks.items())
    warnings = [_other_sheet(other) for other in sheets if other.name != sheet.name and other.holds_numbers]
    return _parsed(kind, chosen, sheets, warnings, walks[sheet])


def _walk_sheet(workbook: Workbook, sheet: Worksheet, choice: Choice, most_rows: int) -> _Walk:
    """Walk one sheet; a sheet that is not the chosen one is only surveyed."""

    def rows() -> Iterator[Row]:
        return workbook.rows(sheet)

    if choice.sheet not in (None, sheet.name):
        return _Walk(rows, survey(rows(), most_rows), None)
    return _walk(rows, choice, False, most_rows)


def _choose_sheet(surveys: dict[Worksheet, Survey], name: str | None) -> Worksheet:
    """Return the sheet of that name, else the visible one with the best score, else the hidden one with the best."""
    if name is not None:
        named = next((sheet for sheet in surveys if sheet.name == name), None)
        if named is None:
            raise UnreadableFileError(f"The workbook has no sheet {name!r}: choose another.")
        return named
    scores = {sheet: found.score for sheet, found in surveys.items()}
    return max(surveys, key=lambda sheet: (scores[sheet] > 0, not sheet.hidden, scores[sheet]))


def _other_sheet(sheet: SheetSummary) -> str:
    hidden = "hidden " if sheet.hidden else ""
    others = sum(column.others for column in sheet.columns)
    return f"The {hidden}sheet {sheet.name!r} also holds {long_numbers(sheet.imeis, others)}, {NOT_TAKEN}."


def _choose(choice: Choice, found: Survey, loose: bool, what: str) -> Choice:
    """Return the choice with column and header row filled in. Raises UnreadableFileError where there is no IMEI."""
    chosen = _completed(choice, found, loose)
    if chosen is not None:
        return chosen
    if choice.column is None:
        raise UnreadableFileError(_nothing_found(found, what))
    raise UnreadableFileError(f"There is no column {choice.column + 1} in this file: choose another.")


def _completed(choice: Choice, found: Survey, loose: bool) -> Choice | None:
    """Return the choice with column and header row filled in, or None where the table has no such column."""
    column = choice.column if choice.column is not None else choose_column(found, loose)
    if column is None or (column != ALL_COLUMNS and not 0 <= column < len(found.tallies)):
        return None
    header = choice.header_row if choice.header_row is not None else find_header_row(found.top, column)
    return replace(choice, column=column, header_row=header)


def _nothing_found(found: Survey, what: str) -> str:
    if found.formulas:
        return f"No IMEI was found in {what}, but {plural(found.formulas, 'formula')}. {NO_VALUE}"
    first = next((str(cell).strip() for _, cells, _ in found.top for cell in cells if cell), "")
    seen = f" that begins with {first[:40]!r}" if first else ""
    held = f", but {long_numbers(0, found.others)}" if found.others else ""
    rows = plural(found.rows, "row")
    return f"No IMEI was found in {rows} of {what}{seen}{held}: an IMEI has 15 digits; check the file."


def _summary(name: str, hidden: bool, found: Survey, chosen: Choice) -> SheetSummary:
    header = chosen.header_row if name == chosen.sheet else None
    columns = tuple(found.columns(header))
    return SheetSummary(name, hidden, sum(map(attrgetter("imeis"), columns)), columns)


def _most_rows(limit: int) -> int:
    return max(MOST_ROWS, 2 * limit)


def _parsed(
    kind: FileKind, chosen: Choice, sheets: tuple[SheetSummary, ...], warnings: list[str], walked: _Walk
) -> Parsed:
    reader = walked.reader_of(chosen, second_columns(chosen, columns_of(sheets, chosen)))
    return Parsed(kind, chosen, sheets, tuple(warnings), reader.counts, reader.values)
