"""Read XLS and XLSB with python-calamine, which can abort the process: only the child process may import this."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from io import BytesIO

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from workbooks.biff import Marks, is_protected, read_marks
from workbooks.kinds import DAMAGED, PROTECTED, Row, UnreadableFileError, Worksheet
from workbooks.parts import MAX_CELL, MAX_SHEETS, TOO_MANY_SHEETS

_NO_RESULT = ("", 0, None)  #: values of programs that do not compute formulas


def read_old(data: bytes) -> Iterator[Worksheet | Row]:
    """Yield each sheet and then its rows; blank rows left out, blank cells None, dates as text.

    A formula without a stored value gives `=…`. Raises UnreadableFileError.
    """
    if is_protected(data):
        raise UnreadableFileError(PROTECTED)
    try:
        book = CalamineWorkbook.from_filelike(BytesIO(data))
        sheets = [sheet for sheet in book.sheets_metadata if sheet.typ is SheetTypeEnum.WorkSheet]
        if len(sheets) > MAX_SHEETS:
            raise UnreadableFileError(TOO_MANY_SHEETS)
        marks = read_marks(data)
        for number, sheet in enumerate(sheets):
            yield Worksheet(sheet.name, sheet.visible is not SheetVisibleEnum.Visible, str(number))
            yield from _rows(book.get_sheet_by_name(sheet.name), marks[number] if number < len(marks) else Marks())
    except PasswordError as error:
        raise UnreadableFileError(PROTECTED) from error
    except CalamineError as error:
        raise UnreadableFileError(DAMAGED) from error


def _rows(sheet: CalamineSheet, marks: Marks) -> Iterator[Row]:
    columns: dict[int, list[int]] = {}
    for row, column in sorted(marks.formulas):
        columns.setdefault(row, []).append(column)
    if sheet.start is not None:
        top, left = sheet.start
        for row, cells in enumerate(sheet.to_python(skip_empty_area=True), top):
            filled = _with_formulas([None] * left + [_plain(cell) for cell in cells], columns.pop(row, ()))
            if any(cell is not None for cell in filled):
                yield row + 1, filled, row in marks.hidden
    for row, places in columns.items():
        yield row + 1, _with_formulas([], places), row in marks.hidden


def _with_formulas(cells: list[object], columns: Sequence[int]) -> list[object]:
    """Return the cells of a row with `=…` where a formula has no value."""
    for column in columns:
        cells += [None] * (column + 1 - len(cells))
        if cells[column] in _NO_RESULT:
            cells[column] = "=…"
    return cells


def _plain(cell: object) -> object:
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}"
    if isinstance(cell, date | time | timedelta):
        return str(cell)
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 10**15:
        return int(cell)
    return (cell[:MAX_CELL] or None) if isinstance(cell, str) else cell
