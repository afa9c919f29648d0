"""Read XLSX: from bytes to rows of cells, streamed, with limits against hostile workbooks.

The sheets are read with expat directly because three things must be known that openpyxl's read-only mode does
not report: which rows are hidden, which formulas have no stored value, and how much was unpacked so far. A workbook
with broken styles or drawings is read too. Source: ECMA-376, part 1, sections 18.2 (workbook), 18.3 (sheets),
18.4 (shared strings) and 18.8 (styles).
This module must not know what an IMEI is.
"""

import posixpath
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice

from workbooks.kinds import Deadline, Row, UnreadableFileError, Worksheet
from workbooks.parts import (
    MAX_CELL,
    MAX_COLUMNS,
    MAX_NAME,
    MAX_PADDING,
    MAX_SHEETS,
    TOO_BIG,
    TOO_MANY_SHEETS,
    TOO_WIDE,
    LocalNames,
    Parts,
    new_parser,
)

MAX_STRINGS_KEPT = 96 * 1024 * 1024  #: characters of shared strings, counting 50 for each string's own cost
MAX_ROW = 1_048_576  #: Excel's own limit
_FAR_RIGHT = 256  #: columns that cost nothing; blanks further right are counted

_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_NO_RESULT = ("", "0")  #: values of programs that do not compute formulas
_SURROGATES = range(0xD800, 0xE000)
_PADDED = re.compile(r"0{14,16}")
_NOT_DATES = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|general', re.IGNORECASE)
_DATE_LETTERS = re.compile(r"[dmyhs]", re.IGNORECASE)
_BUILT_IN_DATES = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})

_STYLE_LISTS = frozenset({"cellXfs", "cellStyleXfs", "cellStyles", "dxfs"})

#: How a number is shown: "" as it is, "date", or the width it is padded to with zeros.
Style = str | int


class _Columns(dict[str, int]):
    """Column letters and their index from 0; -1 for letters that name no column."""

    def __missing__(self, letters: str) -> int:
        index = 0
        for letter in letters.upper() if len(letters) <= 3 else "!":
            index = index * 26 + ord(letter) - 64 if "A" <= letter <= "Z" else -MAX_COLUMNS
        self[letters] = index = index - 1 if 0 < index <= MAX_COLUMNS else -1
        return index


def read_xlsx(data: bytes, deadline: Deadline) -> Iterator[Worksheet | Row]:
    """Yield each sheet and then its rows, blank rows left out, blank cells None. Raises UnreadableFileError."""
    book = _XlsxBook(data, deadline)
    for sheet in book.sheets:
        yield sheet
        yield from book.rows(sheet)


class _XlsxBook:
    """An open XLSX workbook. Raises UnreadableFileError for a damaged, protected or oversized one."""

    def __init__(self, data: bytes, deadline: Deadline) -> None:
        self._parts = Parts(data, deadline)
        self._main = self._target("", "/officedocument") or "xl/workbook.xml"
        self.epoch_1904 = False
        self.sheets = tuple(islice(self._read_sheets(), MAX_SHEETS + 1))
        if len(self.sheets) > MAX_SHEETS:
            raise UnreadableFileError(TOO_MANY_SHEETS)
        self._styles = self._read_styles()
        self._strings: list[str] | None = None

    def rows(self, sheet: Worksheet) -> Iterator[Row]:
        """Yield the rows of a sheet with their numbers in Excel, blank rows left out; blank cells are None.

        A formula without a stored value gives its text, which begins with `=`.
        """
        if self._strings is None:
            self._strings = self._read_strings()
        reader = _SheetReader(self._strings, self._styles, self.epoch_1904)
        for _ in self._parts.parse(sheet.part, reader.parser):
            yield from reader.taken()
        yield from reader.last()

    def _read_sheets(self) -> Iterator[Worksheet]:
        targets = dict(self._targets(self._main))
        seen: set[str] = set()
        for name, attributes in self._parts.elements(self._main):
            if name == "workbookPr":
                self.epoch_1904 = attributes.get("date1904") in ("1", "true")
            if name != "sheet":
                continue
            link = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            kind, part = targets.get(link, ("", ""))
            if kind.endswith("/worksheet") and part in self._parts and part not in seen:
                seen.add(part)
                state = attributes.get("state", "visible")
                yield Worksheet(attributes.get("name", "")[:MAX_NAME], state != "visible", part)

    def _targets(self, part: str) -> Iterator[tuple[str, tuple[str, str]]]:
        """Yield the relations of a part: id, and (type, target part)."""
        folder, name = posixpath.split(part)
        links = posixpath.join(folder, "_rels", f"{name}.rels")
        if links not in self._parts:
            return
        for element, attributes in self._parts.elements(links):
            if element == "Relationship":
                target = attributes.get("Target", "").replace("\\", "/")
                path = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                yield attributes.get("Id", ""), (attributes.get("Type", "").lower(), path)

    def _target(self, part: str, kind: str) -> str:
        """Return the part of the given kind that part points to, or ""."""
        return next((path for _, (type_, path) in self._targets(part) if type_.endswith(kind)), "")

    def _read_styles(self) -> list[Style]:
        part = self._target(self._main, "/styles")
        if part not in self._parts:
            return []
        codes: dict[str, str] = {}
        styles: list[Style] = []
        inside = False
        for name, attributes in self._parts.elements(part):
            if name == "numFmt":
                codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
            inside = name == "cellXfs" if name in _STYLE_LISTS else inside
            if name == "xf" and inside:
                styles.append(_style(attributes.get("numFmtId", "0"), codes))
        return styles

    def _read_strings(self) -> list[str]:
        part = self._target(self._main, "/sharedstrings")
        if part not in self._parts:
            return []
        reader = _StringsReader()
        for _ in self._parts.parse(part, reader.parser):
            if reader.kept > MAX_STRINGS_KEPT:
                raise UnreadableFileError(TOO_BIG)
        return reader.strings


class _StringsReader:
    """Collects the shared strings; phonetic runs (rPh) are left out."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self.kept = 0
        self.parser = new_parser()
        self._names = LocalNames()
        self._text = ""
        self._inside = self._phonetic = False
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _start(self, name: str, _: dict[str, str]) -> None:
        local = self._names[name]
        if local == "si":
            self._text = ""
        elif local == "t":
            self._inside = not self._phonetic
        elif local == "rPh":
            self._phonetic = True

    def _characters(self, text: str) -> None:
        if self._inside and len(self._text) < MAX_CELL:
            self._text += text

    def _end(self, name: str) -> None:
        local = self._names[name]
        if local == "t":
            self._inside = False
        elif local == "rPh":
            self._phonetic = False
        elif local == "si":
            self.strings.append(_unescape(self._text))
            self.kept += len(self._text) + 50


class _SheetReader:
    """Collects the rows of a sheet as expat finds them."""

    def __init__(self, strings: list[str], styles: list[Style], epoch_1904: bool) -> None:
        self.parser = new_parser()
        self._strings, self._styles, self._epoch_1904 = strings, styles, epoch_1904
        self._names, self._columns = LocalNames(), _Columns()
        self._rows: list[Row] = []
        self._number, self._hidden = 0, False
        self._cells: list[object] = []
        self._column, self._padding = -1, 0
        self._cell: dict[str, str] = {}  #: the attributes of the cell
        self._value: str | None = None
        self._formula: str | None = None
        self._text = ""  #: since the start of the newest element that may hold text
        self._phonetic = False  #: inside a phonetic run, whose text is left out
        #: What to do at the start and at the end of elements besides the most frequent two, "c" and "v".
        self._starts = {"t": self._start_text, "f": self._start_text, "row": self._start_row, "rPh": self._start_run}
        self._ends = {"t": self._end_shown, "f": self._end_formula, "row": self._end_row, "rPh": self._end_run}
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def taken(self) -> list[Row]:
        """Return the rows that were completed since the last call, except the newest, which may continue."""
        rows, self._rows = self._rows[:-1], self._rows[-1:]
        return rows

    def last(self) -> list[Row]:
        """Return the row that no other has followed."""
        return self._rows

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = self._names[name]
        if local == "c":
            letters = attributes.get("r", "").rstrip("0123456789")
            self._column = self._columns[letters] if letters else self._column + 1
            self._cell = attributes
            self._value = self._formula = None
        elif local == "v":
            self._text = ""
        elif local in self._starts:
            self._starts[local](attributes)

    def _start_text(self, _: dict[str, str]) -> None:
        self._text = ""

    def _start_run(self, _: dict[str, str]) -> None:
        self._phonetic = True

    def _start_row(self, attributes: dict[str, str]) -> None:
        """Begin a row, or continue the newest one where a program writes a row for each cell."""
        given = attributes.get("r", "")
        number = int(given) if given.isdecimal() and len(given) < 9 else 0
        self._number = number if 0 < number <= MAX_ROW else self._number + 1
        self._hidden = attributes.get("hidden") in ("1", "true")
        self._cells, self._column = [], -1
        if self._rows and self._rows[-1][0] == self._number:
            _, cells, hidden = self._rows.pop()
            self._cells, self._hidden = cells if isinstance(cells, list) else list(cells), hidden or self._hidden
            self._column = len(self._cells) - 1

    def _characters(self, text: str) -> None:
        if len(self._text) < MAX_CELL:
            self._text += text

    def _end(self, name: str) -> None:
        local = self._names[name]
        if local == "v":
            self._end_text()
        elif local == "c":
            value = self._cell_value()
            if value is not None:
                self._place(value)
        elif local in self._ends:
            self._ends[local]()

    def _end_text(self) -> None:
        if not self._value:
            self._value = self._text
        elif len(self._value) < MAX_CELL:
            self._value += self._text

    def _end_shown(self) -> None:
        if not self._phonetic:
            self._end_text()

    def _end_formula(self) -> None:
        self._formula = self._text[:200]

    def _end_run(self) -> None:
        self._phonetic = False

    def _end_row(self) -> None:
        if self._cells:
            self._rows.append((self._number, self._cells, self._hidden))

    def _place(self, value: object) -> None:
        """Put a value at the end of the row, after blank cells, or into an earlier cell."""
        column, cells = self._column, self._cells
        missing = column - len(cells)
        if not 0 <= column < MAX_COLUMNS:
            return
        if missing > 0:
            self._pad(missing)
        if missing < 0 and cells[column] is None:
            cells[column] = value
        else:  # a second value for the same cell is kept too
            cells.append(value)

    def _pad(self, missing: int) -> None:
        """Add blank cells to the row. Raises UnreadableFileError for too many of them far to the right."""
        if self._column > _FAR_RIGHT:
            self._padding += missing
        if self._padding > MAX_PADDING:
            raise UnreadableFileError(TOO_WIDE)
        self._cells.extend([None] * missing)

    def _cell_value(self) -> object:
        text, kind = self._value, self._cell.get("t", "n")
        if text is None or (self._formula is not None and kind == "n" and text in _NO_RESULT):
            return None if self._formula is None else f"={self._formula or '…'}"
        if kind == "s":
            if text.isdecimal() and (place := int(text)) < len(self._strings):
                return self._strings[place] or None
            return f"#shared string {text} is missing"
        if kind == "n":
            return self._number_value(text)
        if kind == "b":
            return text.strip() == "1"
        return _unescape(text) or None

    def _number_value(self, text: str) -> object:
        given = self._cell.get("s", "0")
        place = int(given) if given.isdecimal() else 0
        style = self._styles[place] if place < len(self._styles) else ""
        try:
            number = int(text) if text.isdecimal() else float(text)
        except ValueError:
            return text or None
        if style == "":
            return number
        if isinstance(style, int):
            return str(int(number)).zfill(style) if number >= 0 and float(number).is_integer() else number
        return _as_date(number, self._epoch_1904)


def _unescape(text: str) -> str:
    """Replace _xHHHH_ by the sign that XML cannot hold (ECMA-376, part 1, 22.9.2.19)."""
    return _ESCAPED.sub(_escaped_sign, text) if "_x" in text else text


def _escaped_sign(code: re.Match[str]) -> str:
    number = int(code[1], 16)
    return "\ufffd" if number in _SURROGATES else chr(number)


def _style(format_id: str, codes: dict[str, str]) -> Style:
    code = codes.get(format_id)
    if code is None:
        return "date" if format_id.isdigit() and int(format_id) in _BUILT_IN_DATES else ""
    if _PADDED.fullmatch(code):
        return len(code)
    return "date" if _DATE_LETTERS.search(_NOT_DATES.sub("", code.partition(";")[0])) else ""


def _as_date(number: float, epoch_1904: bool) -> object:
    """Return the date of a serial number of days; a number that is not a date stays a number."""
    if not 0 <= number < 2_958_466:
        return number
    try:
        moment = (datetime(1904, 1, 1) if epoch_1904 else datetime(1899, 12, 30)) + timedelta(days=number)
    except OverflowError:
        return number
    return date(moment.year, moment.month, moment.day) if number == int(number) else moment
