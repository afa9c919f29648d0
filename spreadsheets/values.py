"""The values of one column as they were judged, in few bytes each, before it is decided which of them are taken.

An IMEI is kept as a number, and its text only where it was written in another way: a million of them need 25 MB
instead of 250. This module must not know files.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from imei import COMPLETED, COMPLETED_NUMBER, COMPLETIONS, Found, Kind, is_plausible, plain_number
from spreadsheets.cells import BESIDE, classify, many_digits
from workbooks import Row

MAX_TEXT = 200  #: characters of a cell that are kept
_BODIES = frozenset({COMPLETED, COMPLETED_NUMBER})  #: notes of 14 digits that were completed


@dataclass(frozen=True, slots=True)
class CellMark:
    """What is known about a value besides its digits, its row and its text."""

    kind: Kind = Kind.READY
    note: str = ""  #: what was repaired, or why the value is not taken
    second: bool = False  #: another IMEI of the phone whose first IMEI is in the same cell
    apart: bool = False  #: in a column of second IMEIs beside the chosen column
    hidden: bool = False  #: in a row that the sheet hides or filters out


@dataclass(slots=True)
class Counts:
    """What was counted while the values were read."""

    rows_read: int = 0  #: rows below the header that hold anything in any column
    blank: int = 0  #: of these, rows whose cell in the chosen column is blank
    lists: int = 0  #: cells with several IMEIs, second IMEIs of phones not counted
    lists_with_seconds: int = 0  #: cells with several IMEIs, second IMEIs of phones counted
    above_imeis: int = 0  #: IMEIs above the header
    above_others: int = 0  #: IMEIs above the header whose check digit is wrong


class Values:
    """Judged values in the order of the file, as parallel arrays."""

    def __init__(self, marks: Sequence[CellMark] = (CellMark(),)) -> None:
        self.imeis = array("Q")  #: 0 where the value has no IMEI
        self.rows = array("I")  #: from 1
        self.mark_numbers = array("I")  #: the place of each value's mark in `marks`
        self._marks = {mark: number for number, mark in enumerate(marks)}
        self._texts = _Texts()

    def __len__(self) -> int:
        return len(self.imeis)

    @property
    def marks(self) -> tuple[CellMark, ...]:
        """The different marks; the first is that of an IMEI that is taken exactly as it is written."""
        return tuple(self._marks)

    def add(self, imei: int, row: int, mark_number: int = 0, text: str = "") -> None:
        """Add a value; without the last two, an IMEI that is taken exactly as it is written. Raises IndexError."""
        if mark_number >= len(self._marks):
            raise IndexError(f"there is no mark {mark_number}")
        self.imeis.append(imei)
        self.rows.append(row)
        self.mark_numbers.append(mark_number)
        self._texts.add(text)

    def add_found(self, found: Found, row: int, hidden: bool, apart: bool) -> None:
        """Add a value as it was judged."""
        mark = CellMark(found.kind, found.note, found.second, apart, hidden)
        number = self._marks.setdefault(mark, len(self._marks))
        self.add(int(found.imei or 0), row, number, found.text if found.text != found.imei else "")

    def imei(self, place: int) -> str:
        """Return the 15 digits of a value that has an IMEI."""
        return f"{self.imeis[place]:015d}"

    def text(self, place: int) -> str:
        """Return the cell or the part of it that holds the value, "" where that is the IMEI itself."""
        return self._texts[place]

    def texts(self) -> Iterator[str]:
        """Yield the text of each value."""
        return map(self._texts.__getitem__, range(len(self)))


class ColumnReader:
    """Reads and judges the cells of the chosen column, and of columns of second IMEIs, row by row."""

    def __init__(self, column: int, header_row: int, second_columns: Sequence[int] = ()) -> None:
        self.column, self.header_row, self.second_columns = column, header_row, tuple(second_columns)
        self.values, self.counts = Values(), Counts()
        self._first_row = 0  #: the newest row with an IMEI that is not labelled as the second of its phone

    def reads_as(self, other: "ColumnReader") -> bool:
        """Whether the other reader would find the same values in the same rows."""
        mine = (self.column, self.header_row, self.second_columns)
        return mine == (other.column, other.header_row, other.second_columns)

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows unchanged, each after its values were read."""
        for row in rows:
            self.read_row(*row)
            yield row

    def read_row(self, row: int, cells: Sequence[object], hidden: bool) -> None:
        """Read the values of one row, or count the IMEIs of a row above the data."""
        if row <= self.header_row or not cells:
            self._read_above(row, cells)
            return
        if self.column >= 0:
            taken = self._read_cell(row, cells, self.column, hidden) if self.column < len(cells) else 0
            filled = taken or any(map(classify, cells))
        else:
            taken = sum(self._read_cell(row, cells, index, hidden) for index in range(len(cells)))
            filled = taken
        for index in self.second_columns:
            for found in classify(cells[index]) if index < len(cells) else ():
                self.values.add_found(found, row, hidden, apart=True)
        if filled:
            self.counts.rows_read += 1
            self.counts.blank += not taken

    def _read_above(self, row: int, cells: Sequence[object]) -> None:
        """Count the IMEIs above the data in the column, and add what may be a mistyped one."""
        for cell in cells if self.column < 0 else cells[self.column : self.column + 1]:
            for found in classify(cell) if _is_value(cell) else ():
                if found.imei:
                    self.counts.above_imeis += found.kind is not Kind.LUHN_FAILED
                    self.counts.above_others += found.kind is Kind.LUHN_FAILED
                else:
                    self.values.add_found(found, row, hidden=False, apart=False)

    def _read_cell(self, row: int, cells: Sequence[object], index: int, hidden: bool) -> int:
        """Add the values of a cell; return their number, 0 for a blank cell."""
        cell = cells[index]
        number = plain_number(cell)
        if number >= 0 and not hidden:
            self.values.add(number, row)
            return 1
        found = classify(cell)
        imeis = seconds = 0
        for value in found:
            checked = self._checked(row, cells, index, value)
            self.values.add_found(checked, row, hidden, apart=False)
            imeis += checked.imei != ""
            seconds += checked.imei != "" and value.second
        self.counts.lists += imeis - seconds > 1
        self.counts.lists_with_seconds += imeis > 1
        return len(found)

    def _checked(self, row: int, cells: Sequence[object], index: int, value: Found) -> Found:
        """Return the value, changed where other cells of its row change its meaning.

        14 digits beside a full IMEI are not an IMEI. A value that is labelled as the second IMEI is one only where
        another IMEI is in its row before it.
        """
        if value.note in _BODIES and _has_full_imei(cells, index):
            return replace(value, kind=Kind.NOT_AN_IMEI, imei="", note=BESIDE)
        if value.slot != 2 and value.imei:
            self._first_row = row
        return replace(value, second=True) if value.slot == 2 and self._first_row == row else value


class _Texts:
    """Short texts in one block of bytes; most are empty."""

    def __init__(self) -> None:
        self._block, self._ends = bytearray(), array("I")

    def add(self, text: str) -> None:
        if text:
            self._block += text[:MAX_TEXT].encode("utf-8", "surrogatepass")
        self._ends.append(len(self._block))

    def __getitem__(self, index: int) -> str:
        start = self._ends[index - 1] if index else 0
        return self._block[start : self._ends[index]].decode("utf-8", "surrogatepass")


def _is_value(cell: object) -> bool:
    """Whether a cell above the data may be a number of a phone: a word of it has ten or more digits."""
    return any(many_digits(word) and ":" not in word for word in ("" if cell is None else str(cell)).split())


def _has_full_imei(cells: Sequence[object], index: int) -> bool:
    """Whether another cell of the row holds an IMEI with its own check digit."""
    others = (cell for place, cell in enumerate(cells) if place != index and cell is not None)
    return any(
        is_plausible(found.imei) and found.note not in COMPLETIONS for cell in others for found in classify(cell)
    )
