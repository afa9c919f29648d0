"""XLSX in: from bytes to rows of cells, streamed, with everything a hostile workbook can do bounded.

The sheets are read with expat directly because three things must be known that openpyxl's read-only mode does
not tell: which rows are hidden, which formulas have no stored value, and how much was unpacked so far. A workbook
with broken styles or drawings is read too. Source: ECMA-376, part 1, sections 18.2 (workbook), 18.3 (sheets),
18.4 (shared strings) and 18.8 (styles).
This module must not know what an IMEI is.
"""

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from io import BytesIO
from xml.parsers import expat

from file_kinds import Deadline, Row, UnreadableFileError, damaged_workbook

MAX_UNPACKED = 400 * 1024 * 1024  #: bytes of XML, all read parts together
MAX_STRINGS_KEPT = 96 * 1024 * 1024  #: characters of shared strings, counting 50 for each string's own cost
MAX_TOKEN = 8 * 1024 * 1024  #: bytes that one tag or attribute may take before expat would keep too much
MAX_MEMBERS = 10_000  #: files in the archive
MAX_COLUMNS = 16_384  #: Excel's own limit
MAX_CELL = 32_767  #: characters, Excel's own limit

_CHUNK = 64 * 1024
_TOO_BIG = "Unpacked, the workbook is larger than it may be: keep only the sheet with the IMEIs."
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_PADDED = re.compile(r"0{14,16}")
_NOT_DATES = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|general', re.IGNORECASE)
_DATE_LETTERS = re.compile(r"[dmyhs]", re.IGNORECASE)
_BUILT_IN_DATES = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)

#: How a number is shown: "" as it is, "date", or the width it is padded to with zeros.
Style = str | int


@dataclass(frozen=True)
class Sheet:
    """One worksheet of a workbook."""

    name: str
    hidden: bool
    part: str  #: its file inside the archive


class _LocalNames(dict[str, str]):
    """Element names without their prefix, so that any prefix or none will do."""

    def __missing__(self, name: str) -> str:
        local = self[name] = name.rpartition(":")[2]
        return local


class _Columns(dict[str, int]):
    """Column letters to their index from 0; -1 where they are none."""

    def __missing__(self, letters: str) -> int:
        index = 0
        for letter in letters.upper():
            index = index * 26 + ord(letter) - 64 if "A" <= letter <= "Z" else -MAX_COLUMNS
        self[letters] = index = index - 1 if 0 < index <= MAX_COLUMNS else -1
        return index


class Workbook:
    """An open XLSX workbook. Raises UnreadableFileError for a damaged, protected or oversized one."""

    def __init__(self, data: bytes, deadline: Deadline) -> None:
        self._deadline = deadline
        self._unpacked = 0
        try:
            self._archive = zipfile.ZipFile(BytesIO(data))
        except _BROKEN as error:
            raise UnreadableFileError(damaged_workbook()) from error
        members = self._archive.infolist()
        if len(members) > MAX_MEMBERS or sum(m.file_size for m in members if _is_xml(m)) > MAX_UNPACKED:
            raise UnreadableFileError(_TOO_BIG)
        self._names = {m.filename.replace("\\", "/").lstrip("/").lower(): m.filename for m in members}
        self._main = self._target("", "/officedocument") or "xl/workbook.xml"
        self.epoch_1904 = False
        self.sheets = tuple(self._read_sheets())
        self._styles = self._read_styles()
        self._strings: list[str] | None = None

    def rows(self, sheet: Sheet) -> Iterator[Row]:
        """The rows of a sheet with their numbers in Excel, blank rows left out; blank cells are None.

        A formula without a stored value gives its text, which begins with `=`.
        """
        if self._strings is None:
            self._strings = self._read_strings()
        reader = _SheetReader(self._strings, self._styles, self.epoch_1904)
        for _ in self._parse(sheet.part, reader.parser):
            yield from reader.taken()

    def _read_sheets(self) -> Iterator[Sheet]:
        targets = dict(self._targets(self._main))
        for name, attributes in self._elements(self._main):
            if name == "workbookPr":
                self.epoch_1904 = attributes.get("date1904") in ("1", "true")
            if name != "sheet":
                continue
            link = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            kind, part = targets.get(link, ("", ""))
            if kind.endswith("/worksheet") and part.lower() in self._names:
                state = attributes.get("state", "visible")
                yield Sheet(attributes.get("name", ""), state != "visible", part)

    def _targets(self, part: str) -> Iterator[tuple[str, tuple[str, str]]]:
        """Relation id -> (type, part) of what a part points to."""
        folder, name = posixpath.split(part)
        links = posixpath.join(folder, "_rels", f"{name}.rels")
        if links.lower() not in self._names:
            return
        for element, attributes in self._elements(links):
            if element == "Relationship":
                target = attributes.get("Target", "").replace("\\", "/")
                path = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                yield attributes.get("Id", ""), (attributes.get("Type", "").lower(), path)

    def _target(self, part: str, kind: str) -> str:
        """The part of the given kind that part points to, or ""."""
        return next((path for _, (type_, path) in self._targets(part) if type_.endswith(kind)), "")

    def _read_styles(self) -> list[Style]:
        part = self._target(self._main, "/styles")
        if part.lower() not in self._names:
            return []
        codes: dict[str, str] = {}
        styles: list[Style] = []
        inside = False
        for name, attributes in self._elements(part):
            if name == "numFmt":
                codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
            elif name in ("cellXfs", "cellStyleXfs", "cellStyles", "dxfs"):
                inside = name == "cellXfs"
            elif name == "xf" and inside:
                styles.append(_style(attributes.get("numFmtId", "0"), codes))
        return styles

    def _read_strings(self) -> list[str]:
        part = self._target(self._main, "/sharedstrings")
        if part.lower() not in self._names:
            return []
        reader = _StringsReader()
        for _ in self._parse(part, reader.parser):
            if reader.kept > MAX_STRINGS_KEPT:
                raise UnreadableFileError(_TOO_BIG)
        return reader.strings

    def _elements(self, part: str) -> list[tuple[str, dict[str, str]]]:
        """Every element of a small part, by local name, in the order of their start tags."""
        elements: list[tuple[str, dict[str, str]]] = []
        names = _LocalNames()
        parser = _new_parser()
        parser.StartElementHandler = lambda name, attributes: elements.append((names[name], attributes))
        for _ in self._parse(part, parser):
            if len(elements) > 1_000_000:
                raise UnreadableFileError(_TOO_BIG)
        return elements

    def _parse(self, part: str, parser: expat.XMLParserType) -> Iterator[None]:
        """Feeds a part to the parser chunk by chunk, and stops after each, so that rows can be taken."""
        fed = 0
        try:
            with self._archive.open(self._names.get(part.lower(), part)) as stream:
                while chunk := stream.read(_CHUNK):
                    fed += len(chunk)
                    self._count(len(chunk), fed - max(parser.CurrentByteIndex, 0))
                    parser.Parse(chunk, False)
                    yield
                parser.Parse(b"", True)
                yield
        except (expat.ExpatError, LookupError, *_BROKEN) as error:
            raise UnreadableFileError(_sentence_for(error)) from error

    def _count(self, size: int, pending: int) -> None:
        self._deadline.check()
        self._unpacked += size
        if self._unpacked > 2 * MAX_UNPACKED or pending > MAX_TOKEN:
            raise UnreadableFileError(_TOO_BIG)


class _StringsReader:
    """Collects the shared strings; what a phonetic run (rPh) says is left out."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self.kept = 0
        self.parser = _new_parser()
        self._names = _LocalNames()
        self._text = ""
        self._inside = self._phonetic = False
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _start(self, name: str, attributes: dict[str, str]) -> None:
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
    """Collects the rows of a sheet as expat comes upon them."""

    def __init__(self, strings: list[str], styles: list[Style], epoch_1904: bool) -> None:
        self.parser = _new_parser()
        self._strings, self._styles, self._epoch_1904 = strings, styles, epoch_1904
        self._names, self._columns = _LocalNames(), _Columns()
        self._rows: list[Row] = []
        self._number, self._hidden = 0, False
        self._cells: list[object] = []
        self._column = -1
        self._type, self._style = "n", 0
        self._value: str | None = None
        self._formula: str | None = None
        self._into = ""  #: "v" or "f" while its text comes, "rPh" inside a phonetic run
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def taken(self) -> list[Row]:
        """The rows that were completed since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = self._names[name]
        if local == "v" or (local == "t" and self._into != "rPh"):
            self._into = "v"
            self._value = self._value or ""
        elif local == "c":
            self._start_cell(attributes)
        elif local == "row":
            given = attributes.get("r", "")
            self._number = int(given) if given.isascii() and given.isdigit() else self._number + 1
            self._hidden = attributes.get("hidden") in ("1", "true")
            self._cells, self._column = [], -1
        elif local == "f":
            self._into = "f"
            self._formula = ""
        elif local == "rPh":
            self._into = "rPh"

    def _start_cell(self, attributes: dict[str, str]) -> None:
        reference = attributes.get("r")
        letters = reference.rstrip("0123456789") if reference else ""
        self._column = self._columns[letters] if letters else self._column + 1
        self._type = attributes.get("t", "n")
        style = attributes.get("s", "0")
        self._style = int(style) if style.isdigit() else 0
        self._value = self._formula = None

    def _characters(self, text: str) -> None:
        if self._into == "v":
            if len(self._value or "") < MAX_CELL:
                self._value = (self._value or "") + text
        elif self._into == "f" and len(self._formula or "") < 200:
            self._formula = (self._formula or "") + text

    def _end(self, name: str) -> None:
        local = self._names[name]
        if local == "c":
            self._end_cell()
        elif local == "row":
            if self._cells:
                self._rows.append((self._number, self._cells, self._hidden))
        elif local in ("v", "f", "rPh") or (local == "t" and self._into == "v"):
            self._into = ""

    def _end_cell(self) -> None:
        value = self._cell_value()
        if value is None or not 0 <= self._column < MAX_COLUMNS:
            return
        missing = self._column - len(self._cells)
        if missing >= 0:
            self._cells.extend([None] * missing)
            self._cells.append(value)
        else:
            self._cells[self._column] = value

    def _cell_value(self) -> object:
        text = self._value
        if text is None or (text == "" and self._formula is not None and self._type == "n"):
            return None if self._formula is None else f"={self._formula or '…'}"
        if self._type == "s":
            return self._shared(text)
        if self._type == "b":
            return text.strip() == "1"
        if self._type == "n":
            return self._number_value(text)
        return _unescape(text) or None

    def _shared(self, text: str) -> object:
        if text.isascii() and text.isdigit() and int(text) < len(self._strings):
            return self._strings[int(text)] or None
        return f"#shared string {text} is missing"

    def _number_value(self, text: str) -> object:
        style = self._styles[self._style] if self._style < len(self._styles) else ""
        try:
            number = int(text) if text.isdigit() else float(text)
        except ValueError:
            return text or None
        if isinstance(style, int):
            return str(int(number)).zfill(style) if number >= 0 and float(number).is_integer() else number
        return _as_date(number, self._epoch_1904) if style == "date" else number


def _unescape(text: str) -> str:
    """Signs that XML cannot hold come as _xHHHH_ (ECMA-376, part 1, 22.9.2.19)."""
    return _ESCAPED.sub(lambda code: chr(int(code[1], 16)), text) if "_x" in text else text


def _style(format_id: str, codes: dict[str, str]) -> Style:
    code = codes.get(format_id)
    if code is None:
        return "date" if format_id.isdigit() and int(format_id) in _BUILT_IN_DATES else ""
    if _PADDED.fullmatch(code):
        return len(code)
    return "date" if _DATE_LETTERS.search(_NOT_DATES.sub("", code.partition(";")[0])) else ""


def _as_date(number: float, epoch_1904: bool) -> object:
    """The date of a serial number of days; a number that is none stays a number, whatever its format."""
    if not 0 <= number < 2_958_466:
        return number
    moment = (datetime(1904, 1, 1) if epoch_1904 else datetime(1899, 12, 30)) + timedelta(days=number)
    return date(moment.year, moment.month, moment.day) if number == int(number) else moment


def _new_parser() -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*_: object) -> None:
    raise UnreadableFileError(damaged_workbook())


def _is_xml(member: zipfile.ZipInfo) -> bool:
    return member.filename.lower().endswith((".xml", ".rels"))


def _sentence_for(error: Exception) -> str:
    if isinstance(error, RuntimeError) and "password" in str(error):
        return "The workbook is protected with a password: save it without one and bring it again."
    return damaged_workbook()
