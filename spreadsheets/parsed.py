"""The result of parsing a file once, and its compact form as bytes.

Whether hidden rows, second IMEIs and wrong check digits are taken is decided later, by the values that are kept here.
This module must not know files or where the bytes are stored.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from imei import Kind
from spreadsheets.buckets import Buckets, PlacedValue
from spreadsheets.intake import ALL_COLUMNS, NOT_TAKEN, Choice, Column, Intake, SheetSummary, columns_of, second_columns
from spreadsheets.values import CellMark, ColumnReader, Counts, Values
from workbooks import FileKind, UnreadableFileError

#: The number of the byte format and of the parsing rules; bytes with another number are parsed again.
VERSION = 1


class DamagedParseError(ValueError):
    """Kept bytes are damaged or of another version; the file must be parsed again."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Everything that one parse of a file found."""

    kind: FileKind
    chosen: Choice  #: with sheet, column, header row, delimiter and encoding filled in
    sheets: tuple[SheetSummary, ...]
    warnings: tuple[str, ...]  #: about the file as a whole
    counts: Counts
    values: Values

    def intake(self, choice: Choice, limit: int) -> Intake:
        """Divide the values into buckets by a choice. Raises UnreadableFileError for more than limit IMEIs."""
        chosen = replace(self.chosen, hidden_rows=choice.hidden_rows, second_imeis=choice.second_imeis)
        buckets = Buckets(self.values, chosen)
        ready = buckets.ready
        if len(ready) > limit:
            raise UnreadableFileError(
                f"The file holds {len(ready):,} different IMEIs, and a batch takes {limit:,}: split it."
            )
        columns = columns_of(self.sheets, chosen)
        return Intake(
            kind=self.kind,
            chosen=chosen,
            sheets=self.sheets,
            warnings=(*self.warnings, *_column_warnings(chosen, columns), *buckets.warnings(self.counts)),
            rows_read=self.counts.rows_read,
            blank=self.counts.blank,
            ready=ready,
            luhn_failed=buckets.luhn_failed,
            rejected=buckets.rejected,
            repeated=buckets.repeated,
            seconds=buckets.seconds,
            more_phones=buckets.more_phones,
        )

    def placed(self, choice: Choice) -> Iterator[PlacedValue]:
        """Yield every value with its bucket by a choice, in the order of the file."""
        chosen = replace(self.chosen, hidden_rows=choice.hidden_rows, second_imeis=choice.second_imeis)
        return Buckets(self.values, chosen).placed()

    def to_bytes(self) -> bytes:
        """Return the compact form, with a check sum."""
        values = self.values
        fields = {
            "version": VERSION,
            "kind": self.kind,
            "chosen": asdict(self.chosen),
            "sheets": [asdict(sheet) for sheet in self.sheets],
            "warnings": self.warnings,
            "counts": asdict(self.counts),
            "marks": [asdict(mark) for mark in values.marks],
            "imeis": values.imeis.tolist(),
            "rows": values.rows.tolist(),
            "mark_numbers": values.mark_numbers.tolist(),
            "texts": list(values.texts()),
        }
        return zlib.compress(json.dumps(fields, separators=(",", ":")).encode("ascii"), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Parsed":
        """Return the object that to_bytes was called on. Raises DamagedParseError."""
        try:
            fields: dict[str, Any] = json.loads(zlib.decompress(data))
            if fields["version"] != VERSION:
                raise DamagedParseError(f"version {fields['version']} instead of {VERSION}")
            return cls(
                FileKind(fields["kind"]),
                Choice(**fields["chosen"]),
                tuple(map(_summary, fields["sheets"])),
                tuple(fields["warnings"]),
                Counts(**fields["counts"]),
                _values(fields),
            )
        except (zlib.error, ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            raise DamagedParseError(str(error)) from error


def parsed_list(imeis: Iterable[str]) -> Parsed:
    """Return a list of known IMEIs as a parsed file; rows count from 1."""
    reader = ColumnReader(0, 0)
    for row, imei in enumerate(imeis, 1):
        reader.read_row(row, [imei], hidden=False)
    return Parsed(FileKind.LIST, Choice(sheet="", column=0), (), (), reader.counts, reader.values)


def _column_warnings(chosen: Choice, columns: tuple[Column, ...]) -> Iterator[str]:
    if chosen.column == ALL_COLUMNS:
        yield "The IMEIs are side by side: every cell is taken."
        return
    taken = {chosen.column, *(second_columns(chosen, columns) if chosen.second_imeis else ())}
    for column in columns:
        if column.index not in taken and (column.imeis or column.others):
            yield f"{column.title} also holds {column.contents}, {NOT_TAKEN}."


def _summary(fields: dict[str, Any]) -> SheetSummary:
    columns = tuple(Column(**column | {"samples": tuple(column["samples"])}) for column in fields["columns"])
    return SheetSummary(**fields | {"columns": columns})


def _values(fields: dict[str, Any]) -> Values:
    marks = [CellMark(**mark | {"kind": Kind(mark["kind"])}) for mark in fields["marks"]]
    parallel = (fields[name] for name in ("imeis", "rows", "mark_numbers", "texts"))
    values = Values(marks)
    for imei, row, number, text in zip(*parallel, strict=True):
        values.add(imei, row, number, text)
    return values
