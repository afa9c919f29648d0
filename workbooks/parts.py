"""The XML parts of a zipped workbook, unpacked and parsed piece by piece, with limits.

This module knows neither XLSX nor ODS. It must not know what an IMEI is.
"""

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from xml.parsers import expat

from workbooks.kinds import DAMAGED, PROTECTED, Deadline, UnreadableFileError

MAX_UNPACKED = 400 * 1024 * 1024  #: bytes of XML, all read parts together
MAX_TOKEN = 8 * 1024 * 1024  #: bytes that one tag or attribute may take before expat would keep too much
MAX_MEMBERS = 10_000  #: files in the archive
MAX_ELEMENTS = 1_000_000  #: in a part that is read as a whole
MAX_COLUMNS = 16_384  #: Excel's own limit
MAX_CELL = 32_767  #: characters, Excel's own limit
MAX_SHEETS = 300
MAX_NAME = 255  #: characters of the name of a sheet
MAX_PADDING = 4_000_000  #: cells of a workbook that are blank or repeated, far to the right of others

TOO_BIG = "Unpacked, the workbook is larger than it may be: keep only the sheet with the IMEIs."
TOO_MANY_SHEETS = f"The workbook has more than {MAX_SHEETS:,} sheets: keep only the sheet with the IMEIs."
TOO_WIDE = "The sheet has cells far to the right or repeated without end: delete the empty columns and rows."

_CHUNK = 64 * 1024
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
    OverflowError,
)


class LocalNames(dict[str, str]):
    """Names of elements and attributes without their prefix, so that any prefix or none will do."""

    def __missing__(self, name: str) -> str:
        local = self[name] = name.rpartition(":")[2]
        return local


class Parts:
    """An open archive. Raises UnreadableFileError for a damaged, protected or oversized one."""

    def __init__(self, data: bytes, deadline: Deadline) -> None:
        self._deadline = deadline
        self._unpacked = 0
        try:
            self._archive = zipfile.ZipFile(BytesIO(data))
        except _BROKEN as error:
            raise UnreadableFileError(DAMAGED) from error
        members = self._archive.infolist()
        if len(members) > MAX_MEMBERS or sum(m.file_size for m in members if _is_xml(m)) > MAX_UNPACKED:
            raise UnreadableFileError(TOO_BIG)
        self._names = {m.filename.replace("\\", "/").lstrip("/").lower(): m.filename for m in members}

    def __contains__(self, part: str) -> bool:
        return part.lower() in self._names

    def elements(self, part: str) -> list[tuple[str, dict[str, str]]]:
        """Return every element of a small part, by local name, in the order of their start tags."""
        elements: list[tuple[str, dict[str, str]]] = []
        names = LocalNames()
        parser = new_parser()
        parser.StartElementHandler = lambda name, attributes: elements.append((names[name], attributes))
        for _ in self.parse(part, parser):
            if len(elements) > MAX_ELEMENTS:
                raise UnreadableFileError(TOO_BIG)
        return elements

    def parse(self, part: str, parser: expat.XMLParserType) -> Iterator[None]:
        """Feed a part to the parser chunk by chunk, and stop after each, so that rows can be taken."""
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
            raise UnreadableFileError(TOO_BIG)


def new_parser() -> expat.XMLParserType:
    """Return a parser that joins the text between two tags and refuses a DOCTYPE."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*_: object) -> None:
    raise UnreadableFileError(DAMAGED)


def _is_xml(member: zipfile.ZipInfo) -> bool:
    return member.filename.lower().endswith((".xml", ".rels"))


def _sentence_for(error: Exception) -> str:
    return PROTECTED if isinstance(error, RuntimeError) and "password" in str(error) else DAMAGED
