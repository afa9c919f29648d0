"""Find one table in a file of any kind, and take its rows: from bytes to cells.

The caller's test of a row decides which sheet is meant. This module must not know orders or IMEIs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from spreadsheets.delimited import DELIMITERS, Delimited, LongCellError, find_encoding
from spreadsheets.reading import MAX_SECONDS, read_content
from workbooks import Deadline, FileKind, Row, UnreadableFileError, Workbook, find_kind

TOP_ROWS = 20  #: rows that may hold the titles

#: Whether the cells of a row are the titles that are looked for.
IsHeader = Callable[[Row], bool]
#: Gets the cells of a row; returns the place of each column that they name, {} where they are not the titles.
FindColumns = Callable[[Sequence[object]], dict[str, int]]


def rows_below_titles(
    data: bytes | Path, find_columns: FindColumns, missing: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and cells, by column, of each row with content below the titles.

    Raises UnreadableFileError with the words of missing for a file without such titles.
    """
    rows = find_table(data, lambda row: bool(find_columns(row[1])))
    if rows is None:
        raise UnreadableFileError(missing)
    return _below_titles(rows, find_columns)


def _below_titles(rows: Iterator[Row], find_columns: FindColumns) -> Iterator[tuple[int, dict[str, Any]]]:
    places: dict[str, int] = {}
    for number, cells, _ in rows:
        if not places:
            places = find_columns(cells)
        elif any(cell not in (None, "") for cell in cells):
            yield number, {name: cells[at] for name, at in places.items() if at < len(cells)}


def find_table(data: bytes | Path, is_header: IsHeader) -> Iterator[Row] | None:
    """Return the rows of the first table with the titles near its top, including the titles; None without one.

    Raises UnreadableFileError, also while the rows are taken.
    """
    deadline = Deadline(MAX_SECONDS)
    content = read_content(data)
    kind = find_kind(content)
    if kind is not FileKind.CSV:
        return _in_workbook(Workbook(content, kind, deadline), is_header)
    return _in_text(content, is_header, deadline)


def _in_workbook(book: Workbook, is_header: IsHeader) -> Iterator[Row] | None:
    for sheet in sorted(book.sheets, key=lambda sheet: sheet.hidden):
        if _has_header(book.rows(sheet), is_header):
            return book.rows(sheet)
    return None


def _in_text(content: bytes, is_header: IsHeader, deadline: Deadline) -> Iterator[Row] | None:
    encoding = find_encoding(content)
    tables = (Delimited(content, encoding, delimiter) for delimiter in DELIMITERS)
    for reading in (reading for table in tables for reading in (table, replace(table, quoted=False))):
        try:
            if _has_header(reading.rows(deadline), is_header):
                return reading.rows(deadline)
        except LongCellError:
            continue
    return None


def _has_header(rows: Iterator[Row], is_header: IsHeader) -> bool:
    return any(is_header(row) for row in islice(rows, TOP_ROWS))
