"""Files and texts that people bring: from bytes to an Intake in which every cell is accounted for.

    kind and encoding -> survey of all sheets and columns -> choice -> every cell of it into exactly one bucket

The file is walked twice, once to choose and once to sort, so that a million rows need no more memory than their
IMEIs. This module must not know orders, HTTP or the database.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from amounts import plural
from spreadsheets.buckets import Sorter
from spreadsheets.cells import NO_VALUE
from spreadsheets.columns import Survey, choose_column, find_header_row, survey
from spreadsheets.delimited import DELIMITER_NAMES, Delimited, LongCellError, decoded, find_delimiter, find_encoding
from spreadsheets.intake import (
    ALL_COLUMNS,
    FIND_IT,
    NOT_TAKEN,
    Choice,
    Column,
    Intake,
    Ready,
    Rejected,
    Repeated,
    Rows,
    Sheet,
    long_numbers,
)
from workbooks import Deadline, FileKind, Row, UnreadableFileError, Workbook, Worksheet, find_kind

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


def read_file(
    data: bytes | Path, choice: Choice = FIND_IT, limit: int = 100_000, seconds: float = MAX_SECONDS
) -> Intake:
    """What a CSV, TSV, TXT, XLSX, XLS, XLSB or ODS file holds, at most `limit` IMEIs. Raises UnreadableFileError."""
    deadline = Deadline(seconds)
    content = read_content(data)
    kind = find_kind(content)
    if kind is not FileKind.CSV:
        return _read_workbook(content, kind, choice, limit, deadline)
    return _read_delimited(content, FileKind.CSV, choice, limit, deadline)


def read_text(text: str, choice: Choice = FIND_IT, limit: int = 100_000, seconds: float = MAX_SECONDS) -> Intake:
    """What pasted text holds: a list in any shape, or a table copied from a sheet. Raises UnreadableFileError."""
    if not text.strip():
        raise UnreadableFileError("Nothing was pasted: paste one IMEI a line.")
    content = read_content(text.encode("utf-8", "replace"))
    chosen = replace(choice, encoding="utf-8")
    return _read_delimited(content, FileKind.TEXT, chosen, limit, Deadline(seconds))


def read_content(data: bytes | Path) -> bytes:
    """The bytes of a file of at most 25 MB. Raises UnreadableFileError."""
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
    _check(choice, data)
    encoding = choice.encoding or find_encoding(data)
    table = Delimited(data, encoding, choice.delimiter or find_delimiter(data, encoding))
    table, found = _survey_delimited(table, _most_rows(limit), deadline)
    if table.delimiter == "," and not found.score:
        table, found = _with_thousands(table, found, _most_rows(limit), deadline)
    warnings = [] if table.quoted else ["A double quote is never closed, so all of them are read as plain signs."]
    warnings += ["Commas between the thousands of a number are read as parts of it."] if table.thousands else []
    chosen = replace(choice, sheet="", encoding=encoding, delimiter=table.delimiter)
    loose = kind is FileKind.TEXT and table.delimiter != "\t"
    chosen = _choose(chosen, found, loose, f"{DELIMITER_NAMES.get(table.delimiter, 'sign')}-separated text")
    sheets = (_sheet("", False, found, chosen),)
    return _sort(kind, chosen, sheets, warnings, table.rows(deadline), limit)


def _survey_delimited(table: Delimited, most_rows: int, deadline: Deadline) -> tuple[Delimited, Survey]:
    """The survey, with quotes read as plain signs where one that is never closed would swallow rows."""
    try:
        found = survey(table.rows(deadline), most_rows)
    except LongCellError:
        found = None
    if found is not None and not (found.long_cells and table.has_open_quote(deadline)):
        return table, found
    plain = replace(table, quoted=False)
    return plain, survey(plain.rows(deadline), most_rows)


def _with_thousands(table: Delimited, found: Survey, most_rows: int, deadline: Deadline) -> tuple[Delimited, Survey]:
    """The survey with commas read as thousands signs, where that finds IMEIs and nothing else did."""
    joined = replace(table, thousands=True)
    again = survey(joined.rows(deadline), most_rows)
    return (joined, again) if again.score else (table, found)


def _check(choice: Choice, data: bytes) -> None:
    """Raises UnreadableFileError for an encoding or a delimiter that is none, or does not fit."""
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


def _read_workbook(data: bytes, kind: FileKind, choice: Choice, limit: int, deadline: Deadline) -> Intake:
    workbook = Workbook(data, kind, deadline)
    surveys = {sheet: survey(workbook.rows(sheet), _most_rows(limit)) for sheet in workbook.sheets}
    if not surveys:
        raise UnreadableFileError("The workbook has no sheet with cells: bring another file.")
    sheet = _choose_sheet(surveys, choice.sheet)
    chosen = replace(choice, sheet=sheet.name, encoding="", delimiter="")
    chosen = _choose(chosen, surveys[sheet], False, f"sheet {sheet.name!r}")
    sheets = tuple(_sheet(each.name, each.hidden, found, chosen) for each, found in surveys.items())
    warnings = [_other_sheet(other) for other in sheets if other.name != sheet.name and other.holds_numbers]
    return _sort(kind, chosen, sheets, warnings, workbook.rows(sheet), limit)


def _choose_sheet(surveys: dict[Worksheet, Survey], name: str | None) -> Worksheet:
    """The sheet of that name, else the visible one with the best score, else the hidden one with the best."""
    if name is not None:
        named = next((sheet for sheet in surveys if sheet.name == name), None)
        if named is None:
            raise UnreadableFileError(f"The workbook has no sheet {name!r}: choose another.")
        return named
    scores = {sheet: found.score for sheet, found in surveys.items()}
    return max(surveys, key=lambda sheet: (scores[sheet] > 0, not sheet.hidden, scores[sheet]))


def _other_sheet(sheet: Sheet) -> str:
    hidden = "hidden " if sheet.hidden else ""
    others = sum(column.others for column in sheet.columns)
    return f"The {hidden}sheet {sheet.name!r} also holds {long_numbers(sheet.imeis, others)}, {NOT_TAKEN}."


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
    if found.formulas:
        return f"No IMEI was found in {what}, but {plural(found.formulas, 'formula')}. {NO_VALUE}"
    first = next((str(cell).strip() for _, cells, _ in found.top for cell in cells if cell), "")
    seen = f" that begins with {first[:40]!r}" if first else ""
    held = f", but {long_numbers(0, found.others)}" if found.others else ""
    rows = plural(found.rows, "row")
    return f"No IMEI was found in {rows} of {what}{seen}{held}: an IMEI has 15 digits; check the file."


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
    columns = next(sheet.columns for sheet in sheets if sheet.name == chosen.sheet)
    sorter = Sorter(chosen, _second_columns(chosen, columns))
    for number, cells, hidden in rows:
        sorter.take_row(number, cells, hidden)
    if len(sorter.ready) > limit:
        raise UnreadableFileError(
            f"The file holds {len(sorter.ready):,} different IMEIs, and a batch takes {limit:,}: split it."
        )
    return Intake(
        kind=kind,
        chosen=chosen,
        sheets=sheets,
        warnings=(*warnings, *_column_warnings(chosen, columns), *sorter.warnings()),
        rows_read=sorter.rows_read,
        blank=sorter.blank,
        ready=sorter.ready.frozen(),
        luhn_failed=sorter.luhn_failed.frozen(),
        rejected=sorter.rejected(),
        repeated=sorter.repeated(),
        seconds=sorter.seconds(),
        more_phones=sorter.more_phones(),
    )


def _second_columns(chosen: Choice, columns: tuple[Column, ...]) -> tuple[int, ...]:
    """The columns of second IMEIs beside the chosen one."""
    if chosen.column == ALL_COLUMNS:
        return ()
    return tuple(
        each.index for each in columns if each.is_second and (each.imeis or each.others) and each.index != chosen.column
    )


def _column_warnings(chosen: Choice, columns: tuple[Column, ...]) -> Iterator[str]:
    if chosen.column == ALL_COLUMNS:
        yield "The IMEIs are side by side: every cell is taken."
        return
    taken = {chosen.column, *(_second_columns(chosen, columns) if chosen.second_imeis else ())}
    for column in columns:
        if column.index not in taken and (column.imeis or column.others):
            yield f"{column.title} also holds {column.contents}, {NOT_TAKEN}."
