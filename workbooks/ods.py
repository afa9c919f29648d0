"""Read ODS: from bytes to the rows of all sheets, streamed in the order of the file, with the limits of XLSX.

python-calamine is not used because it refuses archives without a mimetype entry and cells that are repeated, and
shows a formula without a stored value as a blank cell. Source: OpenDocument 1.3, part 3, sections 9 (tables) and 19.
This module must not know what an IMEI is.
"""

from collections.abc import Iterator, Mapping

from workbooks.kinds import PROTECTED, SAVE_AS_XLSX, Deadline, Row, UnreadableFileError, Worksheet
from workbooks.parts import (
    MAX_CELL,
    MAX_COLUMNS,
    MAX_NAME,
    MAX_PADDING,
    MAX_SHEETS,
    TOO_MANY_SHEETS,
    TOO_WIDE,
    LocalNames,
    Parts,
    new_parser,
)

_CONTENT = "content.xml"
_MANIFEST = "META-INF/manifest.xml"
_HIDDEN_ROWS = ("collapse", "filter")
_SPACES = {"s": " ", "tab": "\t", "line-break": "\n"}


def read_ods(data: bytes, deadline: Deadline) -> Iterator[Worksheet | Row]:
    """Yield each sheet and then its rows; blank rows left out, blank cells None, dates as text.

    A formula without a stored value gives its text, which begins with `=`. Raises UnreadableFileError.
    """
    parts = Parts(data, deadline)
    if _MANIFEST in parts and any(name == "encryption-data" for name, _ in parts.elements(_MANIFEST)):
        raise UnreadableFileError(PROTECTED)
    reader = _ContentReader()
    for _ in parts.parse(_CONTENT, reader.parser):
        yield from reader.taken()
    if not reader.is_spreadsheet:
        raise UnreadableFileError(f"The file is a document and not a table: {SAVE_AS_XLSX}.")


class _ContentReader:
    """Collects sheets and rows as expat finds them; a table inside a cell is no sheet."""

    def __init__(self) -> None:
        self.parser = new_parser()
        self.is_spreadsheet = False
        self._names = LocalNames()
        self._found: list[Worksheet | Row] = []
        self._hidden_styles: set[str] = set()
        self._style = ""
        self._sheets = self._depth = self._number = self._padding = 0
        self._cells: list[object] = []
        self._blanks = 0  #: cells before the next one that is filled
        self._row: Mapping[str, str] = {}
        self._cell: Mapping[str, str] | None = None
        self._text: list[str] = []
        self._paragraphs = self._skipped = 0
        self._starts = {
            "table-cell": self._start_cell,
            "covered-table-cell": self._start_cell,
            "p": self._start_paragraph,
            "s": self._start_blank,
            "tab": self._start_blank,
            "line-break": self._start_blank,
            "table-row": self._start_row,
            "table": self._start_table,
            "style": self._start_style,
            "table-properties": self._start_properties,
            "spreadsheet": self._start_spreadsheet,
        }
        self._ends = {
            "table-cell": self._end_cell,
            "covered-table-cell": self._end_cell,
            "table-row": self._end_row,
            "table": self._end_table,
        }
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def taken(self) -> list[Worksheet | Row]:
        """Return what was completed since the last call."""
        found, self._found = self._found, []
        return found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = self._names[name]
        if local == "annotation" or self._skipped:
            self._skipped += 1
        elif local in self._starts:
            self._starts[local](local, self._local(attributes))

    def _start_cell(self, _: str, attributes: Mapping[str, str]) -> None:
        if self._depth == 1:
            self._cell, self._text, self._paragraphs = attributes, [], 0

    def _start_paragraph(self, _: str, __: Mapping[str, str]) -> None:
        if self._cell is not None:
            self._text.append("\n" if self._paragraphs else "")
            self._paragraphs += 1

    def _start_blank(self, name: str, attributes: Mapping[str, str]) -> None:
        if self._paragraphs:
            self._text.append(_SPACES[name] * min(_times(attributes.get("c", "1")), MAX_CELL))

    def _start_row(self, _: str, attributes: Mapping[str, str]) -> None:
        if self._depth == 1:
            self._row, self._cells, self._blanks = attributes, [], 0

    def _start_style(self, _: str, attributes: Mapping[str, str]) -> None:
        self._style = attributes.get("name", "")

    def _start_properties(self, _: str, attributes: Mapping[str, str]) -> None:
        if attributes.get("display") == "false":
            self._hidden_styles.add(self._style)

    def _start_spreadsheet(self, _: str, __: Mapping[str, str]) -> None:
        self.is_spreadsheet = True

    def _local(self, attributes: Mapping[str, str]) -> dict[str, str]:
        return {self._names[name]: value for name, value in attributes.items()}

    def _start_table(self, _: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        self._sheets += 1
        if self._sheets > MAX_SHEETS:
            raise UnreadableFileError(TOO_MANY_SHEETS)
        hidden = attributes.get("style-name", "") in self._hidden_styles
        self._found.append(Worksheet(attributes.get("name", "")[:MAX_NAME], hidden, str(self._sheets)))
        self._number = 0

    def _characters(self, text: str) -> None:
        if self._paragraphs and not self._skipped:
            self._text.append(text)

    def _end(self, name: str) -> None:
        if self._skipped:
            self._skipped -= 1
        elif (local := self._names[name]) in self._ends:
            self._ends[local]()

    def _end_table(self) -> None:
        self._depth -= 1

    def _end_cell(self) -> None:
        if self._depth != 1 or self._cell is None:
            return
        cell, self._cell, self._paragraphs = self._cell, None, 0
        value = _value(cell, "".join(self._text)[:MAX_CELL])
        times = _times(cell.get("number-columns-repeated", "1"))
        if value is None:
            self._blanks += times
            return
        if len(self._cells) + self._blanks + times > MAX_COLUMNS:
            raise UnreadableFileError(TOO_WIDE)
        self._pad(self._blanks + times - 1)
        self._cells += [None] * self._blanks + [value] * times
        self._blanks = 0

    def _end_row(self) -> None:
        if self._depth != 1:
            return
        times = _times(self._row.get("number-rows-repeated", "1"))
        if self._cells:
            self._pad((times - 1) * len(self._cells))
            hidden = self._row.get("visibility") in _HIDDEN_ROWS
            self._found += [(self._number + place, self._cells, hidden) for place in range(1, times + 1)]
        self._number += times

    def _pad(self, cells: int) -> None:
        """Count blank and repeated cells, which need no bytes in the file. Raises UnreadableFileError."""
        self._padding += cells
        if self._padding > MAX_PADDING:
            raise UnreadableFileError(TOO_WIDE)


def _times(text: str) -> int:
    return int(text) if text.isdecimal() and 0 < len(text) < 9 else 1


def _value(cell: Mapping[str, str], text: str) -> object:
    """Return the stored value of a cell, as text where it is neither a number nor true or false."""
    kind, formula = cell.get("value-type", ""), cell.get("formula")
    stored = cell.get("value", "") if kind in ("float", "percentage", "currency") else ""
    if formula is not None and (stored == "0" or not (stored or text or cell.get("string-value"))):
        return "=" + formula.partition("=")[2][:200] if "=" in formula else "=…"
    if kind == "boolean":
        return cell.get("boolean-value") == "true"
    if kind == "date" and cell.get("date-value"):
        return cell["date-value"].removesuffix("T00:00:00").replace("T", " ")[:30]
    if stored:
        return _number(stored, text)
    return cell.get("string-value", "")[:MAX_CELL] or text or None


def _number(stored: str, text: str) -> object:
    """Return a number, or its digits where its format shows leading zeros."""
    try:
        number = int(stored) if stored.isdecimal() and len(stored) < 40 else float(stored)
    except ValueError:
        return text or stored
    if text.startswith("0") and text.isdecimal() and len(text) <= 16 and int(text) == number:
        return text
    return int(number) if isinstance(number, float) and number.is_integer() and abs(number) < 10**15 else number
