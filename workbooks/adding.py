"""A program that appends columns to one sheet of a workbook; run as a child process only.

It reads the workbook from stdin and what to add from a file, and writes the new workbook to stdout. On stderr it
writes JSON lines: a number of rows that were read or written, or a sentence about what was left out.

    python -E -s -m workbooks.adding FILE_NUMBER SECONDS < workbook > workbook
"""

import gc
import json
import re
import sys
import traceback
import warnings
import zipfile
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import Cell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.dimensions import ColumnDimension

from workbooks.fidelity import AddedCells, cell_xml, load, plain_text, save
from workbooks.kinds import Deadline, UnreadableFileError
from workbooks.limits import REFUSED, TOO_BIG, limit_process
from workbooks.parts import MAX_COLUMNS, Parts
from workbooks.titles import find_titles

CPU_SECONDS = 120
NOTES = "My sheet notes"  #: the sheet of the notices
_LINKED = re.compile(r"\[\d+\][^\[\]!]*!")  #: how a formula names another workbook
_UNSUPPORTED = re.compile(r"(.+) extension is not supported")
_NOT_CHANGED = (
    "openpyxl cannot change this workbook: open it in Excel, save it as Excel workbook (.xlsx), upload it again."
)
_TOO_WIDE = "The sheet has no room for more columns: delete the empty columns at its right end."


@dataclass(frozen=True, slots=True)
class GivenPlan:
    """What is added, as the parent process wrote it."""

    sheet: str
    header_row: int  #: from 1; 0 where the sheet has no row for titles
    columns: list[tuple[str, float, str]]  #: title, width in characters, and kind: "", "digits", "moment" or "tone"
    tones: dict[str, tuple[str, str]]  #: fill and text colour, as RRGGBB, of the cells of the kind "tone"
    notes: list[str]


def main() -> int:
    """Write the workbook with its added columns, and return the exit code."""
    limit_process(CPU_SECONDS)
    gc.disable()  # the cells live until the end
    warnings.simplefilter("ignore")
    try:
        with open(int(sys.argv[1]), "rb") as given:  # noqa: PTH123 - a number of an open file
            first, *lines = given.read().splitlines()
        _change(sys.stdin.buffer.read(), GivenPlan(**json.loads(first)), lines, Deadline(float(sys.argv[2])))
    except UnreadableFileError as error:
        _write_line(str(error))
        return REFUSED
    except (MemoryError, OSError):
        return TOO_BIG
    except Exception:  # noqa: BLE001 - a process ends here; openpyxl raises anything for an odd workbook
        traceback.print_exc()
        _write_line(_NOT_CHANGED)
        return REFUSED
    return 0


def _write_line(line: str | int) -> None:
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()


def _change(data: bytes, plan: GivenPlan, lines: list[bytes], deadline: Deadline) -> None:
    Parts(data, deadline)  # refuses what is too large when it is unpacked
    found = _Contents(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        book = load(BytesIO(data), found.has_rich_text, _write_line)
    notices = [*found.notices, *_unsupported(str(warning.message) for warning in caught)]
    if found.has_links:
        notices += _drop_links(book)
    rows = {int(line[1 : line.index(b",")]): line for line in lines}
    added = _ResultCells(book, plan, rows)
    _write_notes(book, [*plan.notes, *notices])
    if book.calculation is not None:
        book.calculation.fullCalcOnLoad = True
    for notice in notices:
        _write_line(notice)
    save(book, sys.stdout.buffer, plan.sheet, added, _write_line)


class _Contents:
    """What the archive of a workbook holds besides cells."""

    def __init__(self, data: bytes) -> None:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = "\n".join(archive.namelist()).lower()
            is_drawn = any(_holds(archive, name, b":sp>", b":pic>") for name in _named(archive, "drawings/drawing"))
            texts = [*_named(archive, "sharedstrings"), *_named(archive, "worksheets/sheet")]
            self.has_rich_text = any(_holds(archive, name, b"<rPr", b":rPr") for name in texts)
        self.has_links = "externallinks/" in names
        notices = {
            "The workbook's macros are left out.": "vbaproject.bin" in names,
            "Pictures and shapes are left out.": is_drawn,
            "Buttons and embedded objects are left out.": any(
                part in names for part in ("ctrlprops/", "embeddings/", "activex/")
            ),
            "Charts are kept, but may look different.": "charts/chart" in names,
            "Threads of comments come back as notes.": "threadedcomments/" in names,
        }
        self.notices = [sentence for sentence, holds in notices.items() if holds]


def _named(archive: zipfile.ZipFile, part: str) -> list[str]:
    return [name for name in archive.namelist() if part in name.lower() and name.lower().endswith(".xml")]


def _holds(archive: zipfile.ZipFile, name: str, *marks: bytes) -> bool:
    """Whether a part holds one of these marks; a mark on the border of two blocks is found too."""
    with archive.open(name) as stream:
        end = b""
        while block := stream.read(256 * 1024):
            if any(mark in end + block for mark in marks):
                return True
            end = block[-8:]
    return False


def _unsupported(messages: Iterable[str]) -> list[str]:
    found = {match[1] for message in messages if (match := _UNSUPPORTED.match(message))}
    named = ", ".join(sorted(found - {"Unknown"})) or "unknown ones"
    return [f"Newer features of Excel are left out: {named}."] if found else []


def _drop_links(book: Workbook) -> list[str]:
    """Put the last values in place of formulas that read other workbooks, and drop names and rules that do."""
    replaced = 0
    sheets: list[Any] = list(book.worksheets)
    for sheet in sheets:
        for cell in sheet._cells.values():
            value = cell._value
            if cell.data_type == "f" and _LINKED.search(getattr(value, "text", None) or str(value)):
                cell.data_type, cell._value = _stored(value)
                replaced += 1
        _drop_linked(sheet.defined_names)
        sheet.kept_extensions = [each for each in sheet.kept_extensions if not _LINKED.search("".join(each.itertext()))]
        rules = sheet.data_validations
        rules.dataValidation = [
            rule for rule in rules.dataValidation if not _LINKED.search(f"{rule.formula1} {rule.formula2}")
        ]
    _drop_linked(book.defined_names)
    formulas = f" {replaced:,} formulas that read them have their last values instead." if replaced else ""
    return [f"Links to other workbooks are left out.{formulas}"]


def _stored(formula: Any) -> tuple[str, str | None]:
    kind, text = getattr(formula, "stored", ("n", None))
    return ("s" if kind == "str" else kind), text


def _drop_linked(names: Any) -> None:
    for name in [name for name, defined in names.items() if _LINKED.search(defined.attr_text or "")]:
        del names[name]


class _ResultCells(AddedCells):
    """The added columns of the chosen sheet."""

    def __init__(self, book: Workbook, plan: GivenPlan, rows: dict[int, bytes]) -> None:
        self._sheet: Any = book[plan.sheet]
        self._plan, self._rows = plan, rows
        self._earlier = find_titles(self._titles_row(), [title for title, _, _ in plan.columns])
        self.first = self._earlier + 1 if self._earlier is not None else self._last_used() + 1
        self.last = self.first + len(plan.columns) - 1
        if self.last > MAX_COLUMNS:
            raise UnreadableFileError(_TOO_WIDE)
        self._first_day = 1462 if book.epoch.year == 1904 else 0  #: days between the two calendars of Excel
        self._letters = [get_column_letter(column) for column in range(self.first, self.last + 1)]
        lowest = max(rows, default=plan.header_row or 1)
        self.ignored = f"{self._letters[0]}1:{self._letters[-1]}{lowest}"
        self._make_styles()
        self._make_room()

    def rows(self) -> Iterable[int]:
        return self._rows.keys() | ({self._plan.header_row} - {0})

    def replaces(self, row: int) -> bool:
        return self._earlier is not None and row >= self._plan.header_row

    def xml(self, row: int) -> str:
        if row == self._plan.header_row:
            titles = [(title, self._header) for title, _, _ in self._plan.columns]
            return self._cells(row, [("s", style, title) for title, style in titles])
        line = self._rows.get(row)
        if line is None:
            return ""
        _, tone, values = json.loads(line)
        kinds = [kind for _, _, kind in self._plan.columns]
        return self._cells(row, [self._typed(*pair, tone) for pair in zip(kinds, values, strict=True)])

    def _cells(self, row: int, cells: list[tuple[str, int, str | float]]) -> str:
        placed = zip(self._letters, cells, strict=True)
        return "".join(
            cell_xml(f"{letter}{row}", style, kind, value) for letter, (kind, style, value) in placed if value != ""
        )

    def _typed(self, kind: str, value: str | float, tone: str) -> tuple[str, int, str | float]:
        """Return type, style and value of a cell: a number is a date in days, everything else is text."""
        if isinstance(value, str):
            return "s", self._tones.get(tone, self._text) if kind == "tone" else self._styles[kind], plain_text(value)
        return "n", self._styles[kind], value - self._first_day

    def _titles_row(self) -> list[str]:
        row = self._plan.header_row
        values = {column: str(cell._value) for (at, column), cell in self._sheet._cells.items() if at == row and row}
        return [values.get(column, "") for column in range(1, max(values, default=0) + 1)]

    def _last_used(self) -> int:
        """Return the last column with a value or in a merged range; a range to the end of the sheet is left out."""
        filled = (column for (_, column), cell in self._sheet._cells.items() if cell._value is not None)
        merged = (area.max_col for area in self._sheet.merged_cells.ranges if area.max_col < MAX_COLUMNS)
        return max([*filled, *merged], default=0)

    def _neighbour(self, row: int) -> Any:
        """Return the last filled cell of a row before the added columns, or None."""
        columns = range(self.first - 1, 0, -1)
        found = (self._sheet._cells.get((row, column)) for column in columns)
        return next((cell for cell in found if cell is not None and cell._value is not None), None)

    def _make_styles(self) -> None:
        """Make the styles: titles as their neighbour, other cells with the font and borders of theirs."""
        title, data = self._neighbour(self._plan.header_row), self._neighbour(min(self._rows, default=1))
        font = Font(name=data.font.name, sz=data.font.sz, family=data.font.family) if data is not None else Font()
        plain: dict[str, Any] = {"font": font} | ({"border": copy(data.border)} if data is not None else {})
        moment = {"number_format": "yyyy-mm-dd hh:mm", "alignment": Alignment(horizontal="left")}
        self._header = 0 if title is None else title.style_id
        self._text = self._style(**plain)
        self._styles = {
            "": self._text,
            "digits": self._style(number_format="@", **plain),
            "moment": self._style(**moment, **plain),
        }
        self._tones: dict[str, int] = {}
        for tone, (fill, colour) in self._plan.tones.items():
            toned = {
                "fill": PatternFill("solid", fgColor=f"FF{fill}"),
                "font": Font(name=font.name, sz=font.sz, family=font.family, b=True, color=f"FF{colour}"),
            }
            self._tones[tone] = self._style(**plain | toned)

    def _style(self, **parts: Any) -> int:
        """Return the number of a style with these parts, in a new cell: openpyxl keeps the style of the cell itself."""
        cell = Cell(self._sheet, row=1, column=1)
        for name, part in parts.items():
            setattr(cell, name, part)
        return int(cell.style_id)

    def _make_room(self) -> None:
        """Give the added columns their widths, and cut them out of ranges of columns that share one width."""
        dimensions = self._sheet.column_dimensions
        for shared in list(dimensions.values()):
            shared.reindex()
            if shared.max < self.first or shared.min > self.last:
                continue
            del dimensions[shared.index]
            for low, high in ((shared.min, self.first - 1), (self.last + 1, shared.max)):
                if low <= high:
                    kept = {"width": shared.width, "hidden": shared.hidden, "style": copy(shared._style)}
                    dimensions[get_column_letter(low)] = ColumnDimension(
                        self._sheet, get_column_letter(low), min=low, max=high, **kept
                    )
        for letter, (_, width, _) in zip(self._letters, self._plan.columns, strict=True):
            dimensions[letter] = ColumnDimension(self._sheet, letter, width=width)


def _write_notes(book: Workbook, notes: list[str]) -> None:
    """Write the notices into a last sheet, instead of that of an earlier download."""
    if NOTES in book.sheetnames:
        book.remove(book[NOTES])
    if not notes:
        return
    sheet = book.create_sheet(NOTES)
    sheet.column_dimensions["A"].width = 110
    for row, note in enumerate(notes, 1):
        cell = sheet.cell(row, 1)
        cell.value = plain_text(note)
        cell.data_type = "s"
        cell.alignment = Alignment(wrap_text=True, vertical="top")


if __name__ == "__main__":
    sys.exit(main())
