"""Find one table in a file of any kind, and take its rows: from bytes to cells.

The caller's test of a row decides which sheet is meant. This module must not know orders or IMEIs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from spreadsheets.delimited import DELIMITERS, Delimited, LongCellError, find_encoding
from spreadsheets.reading import MAX_SECONDS, content_of
from workbooks import Deadline, FileKind, Row, UnreadableFileError, Workbook, find_kind

TOP_ROWS = 20  #: rows that may hold the titles

#: Gets the cells of a row; returns the place of each column that they name, {} where they are not the titles.
FindColumns = Callable[[Sequence[object]], dict[str, int]]


def rows_below_titles(
    data: bytes | Path, find_columns: FindColumns, missing: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and cells, by column, of each row with content below the titles.

    Raises UnreadableFileError with the words of missing for a file without such titles.
    """
    rows = find_table(data, find_columns)
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


def find_table(data: bytes | Path, find_columns: FindColumns) -> Iterator[Row] | None:
    """Return the rows of the first table with the titles near its top, including the titles; None without one.

    Raises UnreadableFileError, also while the rows are taken.
    """
    deadline = Deadline(MAX_SECONDS)
    content = content_of(data)
    kind = find_kind(content)
    if kind is not FileKind.CSV:
        return _in_workbook(Workbook(content, kind, deadline), find_columns)
    return _in_text(content, find_columns, deadline)


def _in_workbook(book: Workbook, find_columns: FindColumns) -> Iterator[Row] | None:
    for sheet in sorted(book.sheets, key=lambda sheet: sheet.hidden):
        if _has_titles(book.rows(sheet), find_columns):
            return book.rows(sheet)
    return None


def _in_text(content: bytes, find_columns: FindColumns, deadline: Deadline) -> Iterator[Row] | None:
    encoding = find_encoding(content)
    tables = (Delimited(content, encoding, delimiter) for delimiter in DELIMITERS)
    for reading in (reading for table in tables for reading in (table, replace(table, quoted=False))):
        try:
            if _has_titles(reading.rows(deadline), find_columns):
                return reading.rows(deadline)
        except LongCellError:
            continue
    return None


def _has_titles(rows: Iterator[Row], find_columns: FindColumns) -> bool:
    return any(find_columns(cells) for _, cells, _ in islice(rows, TOP_ROWS))
