"""Append columns to delimited text: every byte stays as it is, and fields are added at the end of its rows.

This module must not know what the added fields mean.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from spreadsheets.delimited import MARKS
from spreadsheets.writing import guarded
from workbooks import AddedColumn, AddedRow, find_titles

#: An encoding that reads a byte order mark → that of a text without one.
_WITHOUT_MARK = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}


@dataclass(frozen=True, slots=True)
class TextForm:
    """How a delimited text is written."""

    encoding: str
    delimiter: str
    quoted: bool  #: whether a double quote opens a quoted field
    header_row: int  #: from 1; 0 where the text has no titles


@dataclass(frozen=True, slots=True)
class _Record:
    """One row of the text."""

    number: int  #: from 1
    raw: str  #: with its line end
    cells: list[str]


def append_fields(
    data: bytes, form: TextForm, columns: Sequence[AddedColumn], rows: Iterable[AddedRow]
) -> Iterator[bytes]:
    """Yield the text with the added fields behind its last column, or in place of those of an earlier download."""
    text = _Text(data, form)
    titles = [column.title for column in columns]
    survey = text.survey(titles)
    writer = _FieldWriter(form, columns, survey.quotes_all)
    added = {row.number: writer.values(row) for row in rows} | {form.header_row: writer.line(titles)}
    yield text.mark
    for record in text.records():
        body, end = _parted(record.raw)
        filled = len(record.cells)
        if survey.earlier and filled > survey.width and record.number >= form.header_row:
            body, filled = text.cut(body, survey.width), survey.width
        fields = added.get(record.number, "") if record.cells else ""
        padding = form.delimiter * max(survey.width - filled + 1, 1) if fields else ""
        if fields and text.is_open(body):
            padding = '"' + padding
        yield text.encode(body + padding) + fields.encode(text.encoding, "replace") + text.encode(end)


@dataclass(frozen=True, slots=True)
class _Survey:
    """What must be known of a text before a field is added."""

    width: int  #: fields before the added ones
    earlier: bool  #: whether an earlier download has its fields behind these
    quotes_all: bool  #: whether every field is quoted


class _Text:
    """A delimited text whose bytes can be restored."""

    def __init__(self, data: bytes, form: TextForm) -> None:
        self._form = form
        found = next(((mark, name) for mark, _, name in MARKS if data.startswith(mark)), None)
        marked = found is not None and form.encoding.startswith(found[1][:5])
        self.mark, self.encoding = found if found and marked else (b"", form.encoding)
        self.encoding = _WITHOUT_MARK.get(self.encoding, self.encoding)
        self._data = data[len(self.mark) :]
        self._errors = _restoring(self._data, self.encoding)

    def records(self) -> Iterator[_Record]:
        """Yield the rows, numbered as spreadsheets.delimited numbers them."""
        stream = io.TextIOWrapper(io.BytesIO(self._data), self.encoding, self._errors, newline="")
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self._form.quoted else csv.QUOTE_NONE
        taken: list[str] = []

        def lines() -> Iterator[str]:
            for line in stream:
                taken.append(line)
                yield line

        for number, cells in enumerate(csv.reader(lines(), delimiter=self._form.delimiter, quoting=quoting), 1):
            yield _Record(number, "".join(taken), cells)
            taken.clear()

    def survey(self, titles: Sequence[str]) -> _Survey:
        """Walk the text once."""
        width, earlier, quotes_all = 0, None, False
        for record in self.records():
            width = max(width, len(record.cells))
            if record.number == self._form.header_row:
                earlier = find_titles(record.cells, titles)
            if record.number == max(self._form.header_row, 1):
                quotes_all = _parted(record.raw)[0] == self._form.delimiter.join(map(_quoted, record.cells))
        return _Survey(width if earlier is None else earlier, earlier is not None, quotes_all and self._form.quoted)

    def cut(self, body: str, width: int) -> str:
        """Return the first fields of a row."""
        sign = re.escape(self._form.delimiter)
        quoted = r'(?:"(?:[^"]|"")*(?:"|\Z))?' if self._form.quoted else ""
        found = re.match(f"(?:{quoted}[^{sign}]*{sign}){{{width - 1}}}{quoted}[^{sign}]*", body) if width else None
        return found[0] if found else ""

    def is_open(self, body: str) -> bool:
        """Whether a quote of the last row is never closed: added fields would be read as a part of its field."""
        if not self._form.quoted or '"' not in body:
            return False
        more = csv.reader([f"{body}{self._form.delimiter}-"], delimiter=self._form.delimiter)
        return next(more)[-1] != "-"

    def encode(self, text: str) -> bytes:
        """Return the bytes that a part of the text was decoded from."""
        return text.encode(self.encoding, self._errors)


class _FieldWriter:
    """Writes added fields in the style of the text."""

    def __init__(self, form: TextForm, columns: Sequence[AddedColumn], quotes_all: bool) -> None:
        self._form, self._columns = form, columns
        self._quoting: Literal[0, 1] = csv.QUOTE_ALL if quotes_all else csv.QUOTE_MINIMAL

    def values(self, row: AddedRow) -> str:
        """Return the fields of a row."""
        return self.line([_field(*pair) for pair in zip(self._columns, row.values, strict=True)])

    def line(self, fields: Sequence[str]) -> str:
        """Return fields with delimiters between them; where quotes are plain signs, no field needs one."""
        if not self._form.quoted:
            sign = re.escape(self._form.delimiter)
            return self._form.delimiter.join(re.sub(rf"[{sign}\r\n]+", " ", field) for field in fields)
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=self._form.delimiter, quoting=self._quoting, lineterminator="").writerow(fields)
        return out.getvalue()


def _field(column: AddedColumn, value: str | datetime) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return value if column.kind == "digits" and value.isdigit() else guarded(value.replace("\0", ""))


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _parted(raw: str) -> tuple[str, str]:
    """Return a row and its line end."""
    body = raw.removesuffix("\n").removesuffix("\r")
    return body, raw[len(body) :]


def _restoring(data: bytes, encoding: str) -> str:
    """Return the error handler with which decoding loses no byte, where there is one."""
    for errors in ("strict", "surrogateescape", "surrogatepass"):
        try:
            if data.decode(encoding, errors).encode(encoding, errors) == data:
                return errors
        except UnicodeError:
            continue
    return "replace"
