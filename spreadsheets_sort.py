"""Every value of the chosen column into exactly one bucket, in few bytes each.

An IMEI is kept as a number and its text only where it was repaired, so that a million of them need 25 MB and not
250. This module must not know files.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain

from imei import ORDERABLE, Found, Kind, classify, plain_number
from intake import Choice, Ready, ReadyRows, Rejected, Repeated, Rows

MAX_TEXT = 200  #: characters of a cell that are kept
_HIDDEN_ROW = "Its row is hidden or filtered out in the sheet."


class Sorter:
    """Takes rows one by one; the first of equal IMEIs is taken, the others are repeats."""

    def __init__(self, chosen: Choice) -> None:
        self._column, self._header_row = chosen.column or 0, chosen.header_row or 0
        self._hidden_rows = chosen.hidden_rows
        self._seen: set[int] = set()
        self.ready, self.luhn_failed, self._again = _Imeis(), _Imeis(), _Imeis()
        self._rejected = _Rejects()
        self.rows_read = self.blank = self._hidden = self._several = 0

    def take_row(self, row: int, cells: Sequence[object], hidden: bool) -> None:
        if row <= self._header_row or not cells:
            return
        if self._column >= 0:
            taken = self._take(row, cells[self._column], hidden) if self._column < len(cells) else 0
            filled = taken or _any_filled(cells)
        else:
            taken = sum(self._take(row, cell, hidden) for cell in cells)
            filled = taken
        if filled:
            self.rows_read += 1
            self.blank += not taken

    def rejected(self) -> Rows[Rejected]:
        return self._rejected.frozen()

    def repeated(self) -> Rows[Repeated]:
        imeis, rows = self._again.imeis, self._again.rows
        wanted = set(imeis)
        taken = chain(self.ready.numbers_and_rows(), self.luhn_failed.numbers_and_rows())
        first = {imei: row for imei, row in taken if imei in wanted} if wanted else {}
        return Rows(len(imeis), lambda i: Repeated(rows[i], f"{imeis[i]:015d}", first[imeis[i]]))

    def warnings(self) -> Iterator[str]:
        if self._hidden:
            fate = "taken too" if self._hidden_rows else "left out"
            yield f"Hidden or filtered rows also hold {counted(self._hidden, 'IMEI')}, which are {fate}."
        if self._several:
            yield f"{counted(self._several, 'cell')} with several IMEIs: each of them is taken."

    def _take(self, row: int, cell: object, hidden: bool) -> int:
        """How many values the cell gave; 0 for a blank one."""
        number = plain_number(cell)
        if number >= 0 and not hidden:
            if number in self._seen:
                self._again.add(number, row)
            else:
                self._seen.add(number)
                self.ready.add(number, row)
            return 1
        values = classify(cell)
        for found in values:
            self._put(row, found, hidden)
        self._several += len(values) > 1
        return len(values)

    def _put(self, row: int, found: Found, hidden: bool) -> None:
        orderable = found.kind in ORDERABLE
        self._hidden += hidden and orderable
        if hidden and not self._hidden_rows:
            self._rejected.add(row, found.text, Kind.HIDDEN, _HIDDEN_ROW)
        elif not orderable:
            self._rejected.add(row, found.text, found.kind, found.note)
        elif int(found.imei) in self._seen:
            self._again.add(int(found.imei), row)
        else:
            self._seen.add(int(found.imei))
            bucket = self.luhn_failed if found.kind is Kind.LUHN_FAILED else self.ready
            bucket.add(int(found.imei), row, found.note, found.text if found.text != found.imei else "")


def counted(number: int, noun: str) -> str:
    """The number with its noun, such as "1 row" or "2,000 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class _Texts:
    """Short texts in one block of bytes; nearly all are empty."""

    def __init__(self) -> None:
        self._block, self._ends = bytearray(), array("Q")

    def add(self, text: str) -> None:
        if text:
            self._block += text[:MAX_TEXT].encode("utf-8", "surrogatepass")
        self._ends.append(len(self._block))

    def __getitem__(self, index: int) -> str:
        start = self._ends[index - 1] if index else 0
        return self._block[start : self._ends[index]].decode("utf-8", "surrogatepass")


class _Imeis:
    """IMEIs with row, note and original text."""

    def __init__(self) -> None:
        self.imeis, self.rows = array("Q"), array("Q")
        self._notes: dict[str, int] = {"": 0}  #: a note and its number
        self._note_numbers, self._texts = array("B"), _Texts()

    def __len__(self) -> int:
        return len(self.imeis)

    def add(self, imei: int, row: int, note: str = "", text: str = "") -> None:
        self.imeis.append(imei)
        self.rows.append(row)
        self._note_numbers.append(self._notes.setdefault(note, len(self._notes)) if note else 0)
        self._texts.add(text)

    def numbers_and_rows(self) -> Iterator[tuple[int, int]]:
        return zip(self.imeis, self.rows, strict=True)

    def frozen(self) -> ReadyRows:
        notes = tuple(self._notes)

        def make(i: int) -> Ready:
            note = self._note_numbers[i]
            return Ready(f"{self.imeis[i]:015d}", self.rows[i], notes[note], self._texts[i] if note else "")

        return ReadyRows(self.imeis, make)


class _Rejects:
    """Rejected values with row, text, kind and reason."""

    def __init__(self) -> None:
        self._rows, self._texts = array("Q"), _Texts()
        self._why: dict[tuple[Kind, str], int] = {}  #: kind and reason, and their number
        self._why_numbers = array("L")

    def add(self, row: int, text: str, kind: Kind, reason: str) -> None:
        self._rows.append(row)
        self._texts.add(text)
        self._why_numbers.append(self._why.setdefault((kind, reason), len(self._why)))

    def frozen(self) -> Rows[Rejected]:
        why = tuple(self._why)
        return Rows(
            len(self._rows),
            lambda i: Rejected(self._rows[i], self._texts[i], *why[self._why_numbers[i]]),
        )


def _any_filled(cells: Sequence[object]) -> bool:
    return any(map(classify, cells))
