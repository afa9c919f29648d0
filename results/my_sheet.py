"""Give users their own sheet back, with the results of its batch in appended columns.

A workbook is changed in the child process of `workbooks`; a text keeps its bytes; a paste, a list, and a workbook of
which only the values can be read become a new workbook. This module must not know requests or who downloads the sheet.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeVar

from amounts import plural
from database import IMEIDatabase, utc_now
from orders import NotPossibleError, Outcome, Progress
from results.batch_rows import phone_results
from results.uploaded import FILE, read_upload, reading_choice
from spreadsheets import (
    OPEN_QUOTE,
    SHEET_COLUMNS,
    THOUSANDS,
    TONES,
    Choice,
    Delimited,
    OutTable,
    Parsed,
    PhoneResult,
    TableForm,
    TextForm,
    added_rows,
    append_cells,
    append_fields,
    export_name,
    parsed_list,
    write_tables,
)
from storage import batch_queries
from storage.batch_uploads import batches_beside, upload_of_batch
from workbooks import AddedRow, Addition, Deadline, FileKind, Row, Workbook, add_columns

#: Rows of an XLSX workbook that openpyxl changes; more would need more memory than a small server has.
MOST_ROWS = 50_000
READ_SECONDS = 60.0  #: to read the values of an old workbook or a text
REPORTED = 1000  #: rows between two reports of the progress
NEW_SHEET, NOTES = "IMEIs", "My sheet notes"  #: the sheets of a new workbook: the IMEIs, and the notices
#: Sources of batches whose file a user has; anything else was typed, pasted or listed.
FILE_SOURCES = frozenset({FILE, "command"})
TEXT_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
OLD_KINDS = frozenset({FileKind.XLS, FileKind.XLSB, FileKind.ODS})

INSTEAD = "The Excel and CSV exports of this batch hold all results."
GONE = f"The uploaded file of this batch is no longer kept. {INSTEAD}"
TOO_LONG = f"My sheet takes workbooks of up to {MOST_ROWS:,} rows, and this one has {{}}. {INSTEAD}"
NO_TITLES = (
    "The sheet has no row for titles. The added columns are: " + ", ".join(each.title for each in SHEET_COLUMNS) + "."
)

NO_SIGNS = "The file's encoding ({}) does not have all signs of the results, which are ? here: download it as Excel."

#: Gets the number of rows that were read or written since the last call; what it raises ends the work.
Report = Callable[[int], None]
T = TypeVar("T")


class SheetNotPossibleError(NotPossibleError):
    """My sheet cannot be given; the other exports can. The message is a sentence for the page."""


@dataclass(frozen=True, slots=True)
class SheetStore:
    """Where batches and their uploads are."""

    database: IMEIDatabase
    folder: Path  #: of the uploads
    limit: int  #: the most IMEIs of a batch


@dataclass(frozen=True, slots=True)
class MySheet:
    """A sheet that can be written."""

    name: str  #: of the file, with the suffix of its format
    rows: int  #: in the chosen sheet
    notices: tuple[str, ...]  #: what is known before it is written
    data: bytes  #: of the uploaded file; b"" for a list
    parsed: Parsed
    added: tuple[AddedRow, ...]
    header_row: int  #: from 1; 0 where there is no row for titles

    @property
    def is_text(self) -> bool:
        """Whether it is written as text."""
        return not self.name.endswith(".xlsx")

    def write(self, path: Path, report: Report) -> tuple[str, ...]:
        """Write the file; return all notices. Raises UnreadableFileError, OSError, and what report raises."""
        if self.is_text:
            form, added = self._text_form(), _reported(self.added, report)
            with path.open("wb") as out:
                out.writelines(append_fields(self.data, form, SHEET_COLUMNS, added))
            return (*self.notices, *([] if _fits(self.added, form.encoding) else [NO_SIGNS.format(form.encoding)]))
        if self.parsed.kind is FileKind.XLSX:
            return self._change_workbook(path, report)
        notes = [(number, [notice]) for number, notice in enumerate(self.notices, 1)]
        tables = [*self._tables(report), *([OutTable(NOTES, False, notes, [110.0])] if notes else [])]
        write_tables(path, tables, TONES)
        return self.notices

    def _change_workbook(self, path: Path, report: Report) -> tuple[str, ...]:
        addition = Addition(
            sheet=self.parsed.chosen.sheet or "",
            header_row=self.header_row,
            columns=SHEET_COLUMNS,
            rows=self.added,
            tones=TONES,
            notes=self.notices,
        )
        with path.open("wb") as out:
            # Each row is read once and written once.
            return (*self.notices, *add_columns(self.data, addition, out, lambda rows: report(rows // 2)))

    def _text_form(self) -> TextForm:
        chosen = self.parsed.chosen
        quoted = OPEN_QUOTE not in self.parsed.warnings
        return TextForm(chosen.encoding or "utf-8", chosen.delimiter or ",", quoted, self.header_row)

    def _tables(self, report: Report) -> Iterator[OutTable]:
        """Yield the sheets of a new workbook, in the order of the file."""
        chosen, deadline = self.parsed.chosen, Deadline(READ_SECONDS)
        form = TableForm(self.header_row, chosen.column or 0)
        added = _reported(self.added, report)
        if self.parsed.kind not in OLD_KINDS:
            yield append_cells(NEW_SHEET, self._rows(deadline), form, SHEET_COLUMNS, added)
            return
        book = Workbook(self.data, self.parsed.kind, deadline)
        for sheet in list(book.sheets):
            if sheet.name == chosen.sheet:
                yield append_cells(sheet.name, book.rows(sheet), form, SHEET_COLUMNS, added)
            else:
                rows = ((number, cells) for number, cells, _ in book.rows(sheet))
                yield OutTable(sheet.name, sheet.hidden, rows)

    def _rows(self, deadline: Deadline) -> Iterator[Row]:
        """Yield the rows of a text or a list."""
        if self.parsed.kind is FileKind.LIST:
            for value in self.parsed.placed(Choice()):
                yield value.row, [value.imei or value.text], False
            return
        form, thousands = self._text_form(), THOUSANDS in self.parsed.warnings
        yield from Delimited(self.data, form.encoding, form.delimiter, form.quoted, thousands).rows(deadline)


def prepare_sheet(store: SheetStore, progress: Progress, as_workbook: bool) -> MySheet:
    """Return the sheet of a batch, as it is known now, ready to be written: with the batches of its other parts.

    as_workbook: write a text as an Excel workbook too. Raises SheetNotPossibleError, UnreadableFileError.
    """
    source, upload = upload_of_batch(store.database, store.folder, progress.batch_id)
    if upload is None and source in FILE_SOURCES:
        raise SheetNotPossibleError(GONE)
    results = phone_results(store.database, progress)
    for other in batches_beside(store.database, progress.batch_id) if upload else ():
        if (part := batch_queries.progress(store.database, other)) is not None:
            results = phone_results(store.database, part) | results
    choice = reading_choice(upload.choice) if upload else Choice()
    parsed = read_upload(upload, choice, store.limit) if upload else parsed_list(results)
    if parsed.kind is FileKind.XLSX and parsed.counts.rows_read > MOST_ROWS:
        raise SheetNotPossibleError(TOO_LONG.format(f"{parsed.counts.rows_read:,}"))
    header_row = _header_row(parsed)
    added = tuple(added_rows(parsed.placed(choice), results, header_row))
    suffix = _suffix(parsed.kind, upload.label if upload else "", as_workbook)
    return MySheet(
        name=export_name(progress.batch_id, f"{progress.customer} {progress.label}", "sheet", utc_now()) + suffix,
        rows=parsed.counts.rows_read,
        notices=tuple(_notices(parsed, results, header_row)),
        data=upload.path.read_bytes() if upload and parsed.kind is not FileKind.LIST else b"",
        parsed=parsed,
        added=added,
        header_row=header_row,
    )


def _suffix(kind: FileKind, name: str, as_workbook: bool) -> str:
    if kind is not FileKind.CSV or as_workbook:
        return ".xlsx"
    suffix = PurePath(name.lower()).suffix
    return suffix if suffix in TEXT_SUFFIXES else ".csv"


def _header_row(parsed: Parsed) -> int:
    """Return the row of the titles: that of the file, or in a workbook the row above its first IMEI; 0 for none."""
    if parsed.chosen.header_row or parsed.kind is not FileKind.XLSX:
        return parsed.chosen.header_row or 0
    return max(min(parsed.values.rows, default=1) - 1, 0)


def _notices(parsed: Parsed, results: Mapping[str, PhoneResult], header_row: int) -> Iterator[str]:
    """Yield a sentence for each thing that a reader of the sheet must know."""
    pending = sum(result.is_pending for result in results.values())
    in_doubt = sum(result.status == Outcome.IN_DOUBT.label for result in results.values())
    if pending:
        yield f"{pending:,} of {len(results):,} pending: download the sheet again when these results are here."
    if in_doubt:
        yield f"{plural(in_doubt, 'IMEI')} in doubt: settle them on the page of the batch."
    if parsed.kind in OLD_KINDS:
        yield f"The .{parsed.kind} workbook comes back as a new .xlsx workbook of its values, without their formats."
    if parsed.kind is FileKind.XLSX and not header_row:
        yield NO_TITLES


def _fits(rows: Iterable[AddedRow], encoding: str) -> bool:
    """Return whether the encoding of a text has all signs of the added values."""
    try:
        for row in rows:
            "".join(value for value in row.values if isinstance(value, str)).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _reported(rows: Iterable[T], report: Report) -> Iterator[T]:
    """Yield the rows, and report them from time to time."""
    for number, row in enumerate(rows, 1):
        if not number % REPORTED:
            report(REPORTED)
        yield row
