"""Load and save a workbook with openpyxl so that cells come back as they came: only a child process imports this.

openpyxl alone drops the stored results of formulas, rounds numbers, and needs 400 bytes for each cell that is added.
Here numbers and dates keep their text, formulas keep their results, and added cells are written without being kept.
This module knows cells and styles, and must not know what the added columns mean.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile

from openpyxl import Workbook
from openpyxl.cell.rich_text import CellRichText
from openpyxl.comments.comment_sheet import CommentRecord
from openpyxl.compat import safe_string
from openpyxl.drawing.spreadsheet_drawing import SpreadsheetDrawing
from openpyxl.reader.excel import ExcelReader
from openpyxl.utils import coordinate_to_tuple, get_column_letter
from openpyxl.worksheet import _reader
from openpyxl.worksheet._reader import VALUE_TAG, WorkSheetParser
from openpyxl.worksheet._writer import WorksheetWriter
from openpyxl.worksheet.formula import DataTableFormula
from openpyxl.writer.excel import ExcelWriter
from openpyxl.xml.functions import Element, tostring

#: Rows between two reports of the progress.
REPORTED = 1000
#: Extensions that are kept as they are: lists to choose from on other sheets, and sparklines.
_KEPT_EXTENSIONS = frozenset({"{CCE6A557-97BC-4B89-ADB6-D9C93CAAB3DF}", "{05C60535-1F16-4FD2-B633-F4F36F0B64E0}"})
#: Cell types that are read here: texts, and what keeps its text exactly: numbers, truth values, errors, ISO dates.
_PLAIN = frozenset({"s", "n", "b", "e", "d"})
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPE = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
_MOST = 32_767  #: UTF-16 units of a cell, Excel's own limit

#: Gets the number of rows that were read or written since the last call.
Report = Callable[[int], None]


class Formula(str):
    """The text of a formula, with the type and the text of its stored result."""

    stored: tuple[str, str | None] = ("n", None)


class AddedCells:
    """What is added to one sheet. This one adds nothing."""

    first, last = 0, -1  #: columns from 1
    ignored = ""  #: the range whose numbers stored as text get no warning sign

    def rows(self) -> Iterable[int]:
        """Return the numbers of the rows with added cells."""
        return ()

    def replaces(self, row: int) -> bool:
        """Whether the cells of the added columns that are in this row are dropped."""
        return False

    def xml(self, row: int) -> str:
        """Return the added cells of a row, or ""."""
        return ""


class _Parser(WorkSheetParser):
    """Keeps the text of numbers, the stored results of formulas, and extensions that point to no other part."""

    def __init__(self, report: Report, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.extensions: list[Any] = []
        self._report = report

    def parse_row(self, row: Any) -> Any:
        if self.row_counter % REPORTED == REPORTED - 1:
            self._report(REPORTED)
        return super().parse_row(row)

    def parse_cell(self, element: Any) -> Any:
        kind, value = element.get("t", "n"), None
        if len(element):
            if kind not in _PLAIN or len(element) > 1 or element[0].tag != VALUE_TAG:
                return super().parse_cell(element)
            value = element[0].text or None
            if kind == "s" and value is not None:
                value = self.shared_strings[int(value)]
        coordinate = element.get("r")
        row, column = coordinate_to_tuple(coordinate) if coordinate else (self.row_counter, self.col_counter + 1)
        self.col_counter = column
        style = int(element.get("s", 0))
        return {"row": row, "column": column, "value": value, "data_type": kind, "style_id": style}

    def parse_formula(self, element: Any) -> Any:
        value: Any = super().parse_formula(element)  # type: ignore[no-untyped-call]
        value = Formula(value) if isinstance(value, str) else value
        kind, result = element.get("t", "n"), element.findtext(VALUE_TAG, None)
        if kind == "s" and result:
            kind, result = "str", str(self.shared_strings[int(result)])
        value.stored = (kind, result)
        return value

    def parse_extensions(self, element: Any) -> None:
        kept = [each for each in element if each.get("uri", "").upper() in _KEPT_EXTENSIONS]
        for extension in kept:
            element.remove(extension)
            for each in extension.iter():
                for name in [name for name in each.attrib if "/revision" in name]:
                    del each.attrib[name]
        self.extensions += kept
        super().parse_extensions(element)


def load(file: IO[bytes], rich_text: bool, report: Report) -> Workbook:
    """Load a workbook without its macros and external links. Raises whatever openpyxl raises."""
    parsers: list[_Parser] = []

    def make_parser(*given: Any, **more: Any) -> _Parser:
        parsers.append(_Parser(report, *given, **more))
        return parsers[-1]

    setattr(_reader, "WorkSheetParser", make_parser)  # noqa: B010 - openpyxl takes no parser as an argument
    reader = ExcelReader(file, keep_vba=False, keep_links=False, rich_text=rich_text)
    reader.read()
    reader.wb.template = False
    sheets: list[Any] = reader.wb.worksheets
    for sheet, parser in zip(sheets, parsers, strict=True):
        sheet.kept_extensions = parser.extensions
    return reader.wb


def save(book: Workbook, file: IO[bytes], title: str, added: AddedCells, report: Report) -> None:
    """Write the workbook, with these added cells in the sheet of this title."""
    with ZipFile(file, "w", ZIP_DEFLATED, allowZip64=True) as archive:
        _BookWriter(book, archive, {title: added}, report).write_data()


class _BookWriter(ExcelWriter):
    """Writes each sheet with its cells as they came."""

    def __init__(self, book: Workbook, archive: ZipFile, added: dict[str, AddedCells], report: Report) -> None:
        super().__init__(book, archive)
        self._given, self._added, self._report = archive, added, report

    def write_worksheet(self, ws: Any) -> None:
        ws._drawing = SpreadsheetDrawing()
        ws._drawing.charts, ws._drawing.images = ws._charts, ws._images
        writer = _CellWriter(ws, self._added.get(ws.title, AddedCells()), self._report)
        writer.write()
        ws._rels = writer._rels  # type: ignore[attr-defined]
        self._given.write(str(writer.out), ws.path[1:])
        self.manifest.append(ws)
        writer.cleanup()


class _CellWriter(WorksheetWriter):
    """Writes the rows of one sheet as text: an element for each cell would take three times as long."""

    def __init__(self, ws: Any, added: AddedCells, report: Report) -> None:
        super().__init__(ws)
        self._sheet, self._added, self._report = ws, added, report

    def write_dimensions(self) -> None:
        rows = max([self._sheet.max_row, *self._added.rows()])
        last = get_column_letter(max(self._sheet.max_column, self._added.last))
        self.xf.send(Element("dimension", {"ref": f"A1:{last}{rows}"}))

    def write_rows(self) -> None:
        xf: Any = self.xf.send(True)
        with xf.element("sheetData"):
            write = xf._file  # the text as it is; xf.write() escapes it
            for done, (row, columns) in enumerate(self._numbers(), 1):
                write(self._row(row, columns))
                if not done % REPORTED:
                    self._report(REPORTED)
        self.xf.send(None)

    def write_breaks(self) -> None:
        super().write_breaks()
        if self._added.ignored:
            errors = Element("ignoredErrors", {})
            errors.append(Element("ignoredError", {"sqref": self._added.ignored, "numberStoredAsText": "1"}))
            self.xf.send(errors)

    def write_tables(self) -> None:
        super().write_tables()
        if extensions := getattr(self._sheet, "kept_extensions", []):
            listed = Element("extLst", {})
            listed.extend(extensions)
            self.xf.send(listed)

    def _numbers(self) -> Iterator[tuple[int, list[int]]]:
        """Yield each row that has cells, added cells or a format, with the columns of its cells."""
        cells = {
            row: [place[1] for place in found] for row, found in groupby(sorted(self._sheet._cells), itemgetter(0))
        }
        for row in sorted(cells.keys() | self._sheet.row_dimensions.keys() | set(self._added.rows())):
            yield row, cells.get(row, [])

    def _row(self, row: int, columns: list[int]) -> str:
        dimension = dict(self._sheet.row_dimensions[row]) if row in self._sheet.row_dimensions else {}
        attributes = "".join(f' {name}="{escape(str(value))}"' for name, value in dimension.items())
        added, first, last = self._added.xml(row), self._added.first, self._added.last
        if added or self._added.replaces(row):
            columns = [column for column in columns if not first <= column <= last]
        before = "".join(self._cell(row, column) for column in columns if column < first)
        after = "".join(self._cell(row, column) for column in columns if column >= first)
        return f'<row r="{row}"{attributes}>{before}{added}{after}</row>'

    def _cell(self, row: int, column: int) -> str:
        """Return a cell as XML; "" for one that holds nothing and has no format."""
        cell = self._sheet._cells[row, column]
        if cell._comment is not None:
            self._sheet._comments.append(CommentRecord.from_cell(cell))
        if cell.hyperlink:
            self._sheet._hyperlinks.append(cell.hyperlink)
        if cell._value is None and not cell.has_style:
            return ""
        style = cell.style_id if cell.has_style else 0
        return cell_xml(f"{get_column_letter(column)}{row}", style, cell.data_type, cell._value)


def cell_xml(place: str, style: int, kind: str, value: Any) -> str:
    """Return a cell as XML: kind "s" is text whatever it looks like, "f" a formula, "n" a number."""
    start = f'<c r="{place}" s="{style}"' if style else f'<c r="{place}"'
    if value is None or value == "":
        return start + "/>"
    if kind == "f":
        return start + _formula_xml(value)
    if kind != "s":
        given = "" if kind == "n" else f' t="{kind}"'
        return f"{start}{given}><v>{escape(safe_string(value), quote=False)}</v></c>"
    if isinstance(value, CellRichText):
        tree: Any = tostring(value.to_tree())
        return f'{start} t="inlineStr">{tree.decode()}</c>'
    kept = ' xml:space="preserve"' if value != value.strip() or "\n" in value else ""
    return f'{start} t="inlineStr"><is><t{kept}>{escape(value, quote=False)}</t></is></c>'


def _formula_xml(formula: Any) -> str:
    """Return the rest of a cell with a formula and its stored result."""
    kind, result = getattr(formula, "stored", ("n", None))
    text = formula if isinstance(formula, str) else getattr(formula, "text", None) or ""
    attributes = {} if isinstance(formula, str) else dict(formula)
    shown = "" if isinstance(formula, DataTableFormula) else escape(text[1:], quote=False)
    given = "".join(f' {name}="{escape(str(value))}"' for name, value in attributes.items())
    stored = "" if result is None else f"<v>{escape(result, quote=False)}</v>"
    typed = "" if kind == "n" else f' t="{kind}"'
    return f"{typed}><f{given}>{shown}</f>{stored}</c>"


def plain_text(text: str) -> str:
    """Return a text as a cell can hold it: no control signs, at most 32,767 UTF-16 units, no sign read as an escape."""
    clean = _ESCAPE.sub("_x005F_", _NOT_XML.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    if len(clean) * 2 <= _MOST:
        return clean
    return clean.encode("utf-16-le")[: 2 * _MOST].decode("utf-16-le", "ignore")
