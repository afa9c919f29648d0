"""Append columns to tables of plain values, for a workbook that is written from the beginning.

Such are pastes, texts, and workbooks of which only the values can be read. This module must not know what the added
columns mean.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from spreadsheets.writing import OutCell, OutTable
from workbooks import AddedColumn, AddedRow, Row, find_titles

#: Characters of a column that was there.
WIDTH = 18.0


@dataclass(frozen=True, slots=True)
class TableForm:
    """Where the added columns belong."""

    header_row: int  #: from 1; 0 where the table has no titles, which are then put above it
    column: int  #: of the IMEIs, from 0; below 0 where there is no single one


def append_cells(
    name: str,
    table: Iterable[Row],
    form: TableForm,
    columns: Sequence[AddedColumn],
    added: Iterable[AddedRow],
) -> OutTable:
    """Return the table with the added columns behind its last one, or in place of those of an earlier download."""
    rows = {number: list(cells) for number, cells, _ in table}
    titles = [column.title for column in columns]
    header = rows.get(form.header_row, [])
    earlier = find_titles(header, titles)
    width = max(map(_filled, rows.values()), default=0) if earlier is None else earlier
    cells = {row.number: _added_cells(columns, row) for row in added}
    cells[form.header_row] = [OutCell(title, "title") for title in titles]
    if not form.header_row:
        rows[0] = ["" if place != form.column else OutCell("IMEI", "title") for place in range(width)]
    return OutTable(
        name,
        hidden=False,
        rows=_joined(rows, cells, width, 0 if form.header_row else 1),
        widths=[WIDTH] * width + [column.width for column in columns],
    )


def _joined(
    rows: dict[int, list[object]], cells: dict[int, list[object]], width: int, moved: int
) -> Iterator[tuple[int, Sequence[object]]]:
    for number in sorted(rows.keys() | cells.keys()):
        kept = rows.get(number, [])[:width]
        yield number + moved, [*kept, *[None] * (width - len(kept)), *cells.get(number, [])]


def _filled(cells: Sequence[object]) -> int:
    """Return the number of cells up to the last that holds something."""
    return next((place for place in range(len(cells), 0, -1) if cells[place - 1] not in (None, "")), 0)


def _added_cells(columns: Sequence[AddedColumn], row: AddedRow) -> list[object]:
    return [
        OutCell(value, row.tone if column.kind == "tone" else column.kind)
        if value and isinstance(value, str)
        else value
        for column, value in zip(columns, row.values, strict=True)
    ]
