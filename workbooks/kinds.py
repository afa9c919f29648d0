"""Find the kind of a file, by its bytes and never by its name.

This module must not read tables or know what an IMEI is.
"""

import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

#: (number from 1, cells, whether the row is hidden or filtered out)
Row = tuple[int, Sequence[object], bool]


@dataclass(frozen=True, slots=True)
class Worksheet:
    """One sheet of a workbook."""

    name: str
    hidden: bool
    part: str  #: where it is in the workbook


class UnreadableFileError(Exception):
    """The file cannot be read; the message is one sentence with what was found and what to do."""


class FileKind(StrEnum):
    """What can be read."""

    CSV = "csv"  #: any delimited text
    XLSX = "xlsx"
    XLS = "xls"  #: Excel 97 to 2003
    XLSB = "xlsb"
    ODS = "ods"  #: OpenDocument
    TEXT = "text"  #: pasted
    LIST = "list"  #: IMEIs that are known already, such as those of another batch


class Deadline:
    """The seconds that one file may take to read."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def restart(self) -> None:
        """Start again, after a wait that the file did not cause."""
        self._end = time.monotonic() + self.seconds

    def check(self) -> None:
        """Raise UnreadableFileError when time is up."""
        if time.monotonic() > self._end:
            raise UnreadableFileError(self.sentence)

    @property
    def sentence(self) -> str:
        """The message when time is up."""
        return (
            f"The file takes longer than {self.seconds:g} seconds to read: "
            "bring only the sheet with the IMEIs, or split it."
        )


SAVE_AS_XLSX = "open it and save it as Excel workbook (.xlsx) or CSV"
DAMAGED = "The Excel workbook is damaged: open it in Excel, save it again and upload the new file."
PROTECTED = "The workbook is protected with a password: save it without one and upload it again."

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OLE_START = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_XLS_STARTS = (b"\x09\x08\x10\x00", b"\x09\x08\x08\x00", b"\x09\x04\x06\x00", b"\x09\x02\x06\x00")
_OTHER_STARTS = (
    (b"%PDF", "a PDF document: copy the IMEIs out of it and paste them, or ask for the Excel file"),
    (b"\x89PNG", "a picture: type or paste the IMEIs"),
    (b"\xff\xd8\xff", "a picture: type or paste the IMEIs"),
    (b"GIF8", "a picture: type or paste the IMEIs"),
    (b"RIFF", "a media file: bring a CSV or Excel file"),
    (b"\x1f\x8b", "a gzip archive: unpack it and bring the file inside"),
    (b"Rar!", "a RAR archive: unpack it and bring the file inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it and bring the file inside"),
    (b"{\\rtf", f"a rich text document: {SAVE_AS_XLSX}"),
    (b"SQLite format 3", "a database: bring a CSV or Excel file"),
)
_MARKUP_STARTS = (b"<!doctype", b"<html", b"<?xml", b"<table", b"<head", b"<meta", b"<style", b"<div")
#: Control characters that no text has; scanners write \x02 to \x04 and \x1c to \x1f around and between numbers.
_CONTROL_SIGNS = bytes(set(range(32)) - set(b"\t\n\r\v\f\x00\x1a\x1b\x02\x03\x04\x1c\x1d\x1e\x1f"))
_UTF16_STARTS = (b"\xff\xfe", b"\xfe\xff")


def find_kind(data: bytes) -> FileKind:
    """Return CSV or a kind of workbook. Raises UnreadableFileError for every other kind and for an empty file."""
    if not data.strip(b" \t\r\n\0\xef\xbb\xbf\xff\xfe"):
        raise UnreadableFileError("The file is empty: save it again and upload the new file.")
    if data.startswith(_ZIP_STARTS):
        return _kind_of_zip(data)
    if data.startswith(_OLE_START):
        return _kind_of_ole(data)
    if data.startswith(_XLS_STARTS):
        raise UnreadableFileError(f"The file is a very old Excel workbook (.xls): {SAVE_AS_XLSX}.")
    for start, sentence in _OTHER_STARTS:
        if data.startswith(start):
            raise UnreadableFileError(f"The file is {sentence}.")
    if _text_start(data).lower().startswith(_MARKUP_STARTS):
        raise UnreadableFileError(f"The file is a web page or XML, whatever its name says: {SAVE_AS_XLSX}.")
    if _is_binary(data[:65536]):
        raise UnreadableFileError("The file is neither text nor an Excel workbook: bring CSV or .xlsx.")
    return FileKind.CSV


def _text_start(data: bytes) -> bytes:
    """Return how a text begins, without a byte order mark, blanks and the NULs of UTF-16."""
    return data[:256].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:16]


def _kind_of_zip(data: bytes) -> FileKind:
    """Return the kind of workbook that an archive is. Raises UnreadableFileError unless it is one."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = {name.lower().replace("\\", "/").lstrip("/") for name in archive.namelist()}
            mimetype = archive.read("mimetype")[:100] if "mimetype" in archive.namelist() else b""
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise UnreadableFileError(DAMAGED) from error
    if "xl/workbook.bin" in names:
        return FileKind.XLSB
    if "encrypted-package" in names:
        raise UnreadableFileError(PROTECTED)
    if "content.xml" in names and b"opendocument" in mimetype and b"spreadsheet" not in mimetype:
        raise UnreadableFileError(f"The file is a document and not a table: {SAVE_AS_XLSX}.")
    if "content.xml" in names:
        return FileKind.ODS
    sentence = _zip_sentence(names)
    if sentence:
        raise UnreadableFileError(sentence)
    return FileKind.XLSX


def _zip_sentence(names: set[str]) -> str:
    if any(name.endswith("word/document.xml") for name in names):
        return "The file is a Word document: copy the IMEIs out of it and paste them."
    if "index/document.iwa" in names or "index.zip" in names:
        return "The file is an Apple Numbers sheet: export it as Excel or CSV."
    if "[content_types].xml" in names and any(name.endswith("workbook.xml") for name in names):
        return ""
    return "The file is a ZIP archive and not an Excel workbook: unpack it and bring the file inside."


def _kind_of_ole(data: bytes) -> FileKind:
    """Return XLS for a container with an Excel workbook. Raises UnreadableFileError without one or with a password."""
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise UnreadableFileError(PROTECTED)
    if any(name.encode("utf-16-le") in data for name in ("Workbook", "WORKBOOK", "Book", "BOOK")):
        return FileKind.XLS
    raise UnreadableFileError(f"The file is an old Office document: {SAVE_AS_XLSX}.")


def _is_binary(sample: bytes) -> bool:
    if sample.startswith(_UTF16_STARTS) or sample.count(0) * 10 > len(sample) * 3:
        return not _is_utf16_like(sample)
    controls = len(sample) - len(sample.translate(None, _CONTROL_SIGNS))
    return controls * 20 > len(sample)


def _is_utf16_like(sample: bytes) -> bool:
    """Whether one half of the byte pairs is nearly all NUL, as in UTF-16 text of digits, or a mark is there."""
    if sample.startswith(_UTF16_STARTS):
        return True
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    return max(even, odd) > 0.6 * len(sample) / 2 and min(even, odd) < 0.1 * len(sample) / 2
