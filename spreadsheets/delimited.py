"""Delimited text in: from bytes to rows of cells, whatever the encoding, the delimiter or the line ends.

This module must not know what an order is, and about IMEIs only whether a cell is one, to find the delimiter.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from imei import plain_number
from spreadsheets.cells import ONE_OF_SEVERAL, TAKEN_OUT, classify, maybe
from workbooks import Deadline, Row, UnreadableFileError

MOST_CELLS = 1_500_000  #: in one row, which may hold a whole list side by side
DELIMITERS = (",", ";", "\t", "|")
DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

#: Byte order mark, the encoding that reads it, and the one of the text behind it.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32", "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16", "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16", "utf-16-be"),
)
_SAMPLE = 32 * 1024  #: characters that the delimiter is chosen by
_BLOCK = 1024 * 1024  #: bytes a step of the UTF-8 check
_SEP_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?\s*", re.IGNORECASE)
#: The thousands of 15 digits on lines of their own.
_THOUSANDS = re.compile(r"(?m)^ ?[0-9]{3}(?:\n[0-9]{3}){4} ?$")
_WORDS = frozenset({TAKEN_OUT, ONE_OF_SEVERAL})


class LongCellError(UnreadableFileError):
    """A cell is longer than the csv module takes, as when a quote is never closed."""


@dataclass(frozen=True)
class Delimited:
    """A delimited text and how it is read."""

    data: bytes
    encoding: str
    delimiter: str
    quoted: bool = True  #: whether a double quote opens a quoted cell
    thousands: bool = False  #: whether the delimiter is between the thousands of numbers, too

    def rows(self, deadline: Deadline) -> Iterator[Row]:
        """Yield the rows, numbered from 1; a quoted cell with line ends counts as part of one row.

        Raises LongCellError, and UnreadableFileError when a row has too many cells or time is up.
        """
        stream = _stream(self.data, self.encoding)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        number = 0
        try:
            for number, cells in enumerate(csv.reader(stream, delimiter=self.delimiter, quoting=quoting), 1):
                if not number & 4095:
                    deadline.check()
                if len(cells) > MOST_CELLS:
                    raise UnreadableFileError(f"Row {number:,} has more than {MOST_CELLS:,} cells: split the file.")
                if number == 1 and _is_sep_line(cells, self.delimiter):
                    continue
                yield number, self._joined(cells) if self.thousands else cells, False
        except csv.Error as error:
            raise LongCellError(
                f"A cell after row {number} is longer than 131,072 characters: this is not a list of IMEIs."
            ) from error

    def _joined(self, cells: list[str]) -> list[str]:
        """Return the cells with the groups of three digits of one number joined again."""
        return _THOUSANDS.sub(lambda found: found[0].replace("\n", ""), "\n".join(cells)).split("\n")

    def has_open_quote(self, deadline: Deadline) -> bool:
        """Whether a quote is never closed, or is closed in the middle of a cell after other cells."""
        stream = _stream(self.data, self.encoding)
        try:
            for number, _ in enumerate(csv.reader(stream, delimiter=self.delimiter, strict=True)):
                if not number & 4095:
                    deadline.check()
        except csv.Error as error:
            return "end of data" in str(error) or any(map(self._holds_rows, self.rows(deadline)))
        return False

    def _holds_rows(self, row: Row) -> bool:
        texts = (cell for cell in row[1] if isinstance(cell, str) and self.delimiter in cell)
        return any("\n" in text or "\r" in text for text in texts)


def find_encoding(data: bytes) -> str:
    """Return the encoding by byte order mark, NUL bytes or strict UTF-8; otherwise Windows' western encoding."""
    for mark, name, _ in MARKS:
        if data.startswith(mark):
            return name
    sample = data[:4096]
    if sample.count(0) * 10 > len(sample) * 3:
        return "utf-16-be" if sample[::2].count(0) > sample[1::2].count(0) else "utf-16-le"
    return "utf-8" if data.isascii() or _is_utf8(data) else "cp1252"


def find_delimiter(data: bytes, encoding: str) -> str:
    """Return the delimiter that yields most cells that look like an IMEI, in a sample or a larger one."""
    sample = decoded(data, encoding, _SAMPLE)
    declared = _SEP_LINE.match(sample)
    if declared is not None:
        return declared[1]
    for text in (sample, decoded(data, encoding, 64 * _SAMPLE)):
        scores = {delimiter: _score(text, delimiter) for delimiter in DELIMITERS}
        if any(scores.values()):
            return max(DELIMITERS, key=lambda delimiter: scores[delimiter])
    return max(DELIMITERS, key=sample.count)


def _score(text: str, delimiter: str) -> int:
    """Return 10 for each IMEI that is a cell or part of a list, and 1 for each that is taken out of words."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return sum(_cell_score(cell) for cells in reader for cell in islice(cells, 256))
    except csv.Error:
        return 0


def _cell_score(cell: str) -> int:
    if plain_number(cell) >= 0:
        return 10
    if not maybe(cell):
        return 0
    each = 10 if "\n" in cell or "\r" in cell else 1
    return sum(each if found.note in _WORDS else 10 for found in classify(cell) if found.imei)


def decoded(data: bytes, encoding: str, characters: int) -> str:
    """Return the first characters of a text. Raises LookupError, or UnicodeError for a wrong encoding."""
    with _stream(data, encoding) as stream:
        return stream.read(characters)


def _stream(data: bytes, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding, errors="replace", newline="")


def _is_utf8(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _BLOCK):
            decoder.decode(data[start : start + _BLOCK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_sep_line(cells: list[str], delimiter: str) -> bool:
    return _SEP_LINE.fullmatch(delimiter.join(cells)) is not None
