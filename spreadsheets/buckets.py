"""Every value of the chosen column into exactly one bucket, in few bytes each.

An IMEI is kept as a number and its text only where it was repaired, so that a million of them need 25 MB and not
250. This module must not know files.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from amounts import plural
from imei import (
    COMPLETED,
    COMPLETED_NUMBER,
    COMPLETIONS,
    ORDERABLE,
    Found,
    Kind,
    is_plausible,
    passes_luhn,
    plain_number,
)
from spreadsheets.cells import BESIDE, classify, many_digits
from spreadsheets.intake import NOT_TAKEN, Choice, Ready, ReadyRows, Rejected, Repeated, Rows, long_numbers

MAX_TEXT = 200  #: characters of a cell that are kept
_HIDDEN_ROW = "Its row is hidden or filtered out in the sheet."
_BODIES = frozenset({COMPLETED, COMPLETED_NUMBER})  #: notes of 14 digits that were completed


class Sorter:
    """Takes rows one by one; the first of equal IMEIs is taken, the others are repeats."""

    def __init__(self, chosen: Choice, second_columns: Sequence[int] = ()) -> None:
        self._chosen = chosen
        self._column, self._header_row = chosen.column or 0, chosen.header_row or 0
        self._second_columns = second_columns
        self._seen: set[int] = set()
        self.ready, self.luhn_failed, self._again = _Imeis(), _Imeis(), _Imeis()
        self._seconds = _Imeis()
        self._paired: set[int] = set()  #: IMEIs of columns of second IMEIs, not taken
        self._rejected = _Rejects()
        self.rows_read = self.blank = self._hidden = self._lists = 0
        self._above_imeis = self._above_others = 0
        self._first_slot = 0  #: the newest row with a value that is labelled as the first IMEI of its phone

    def take_row(self, row: int, cells: Sequence[object], hidden: bool) -> None:
        if row <= self._header_row or not cells:
            self._pass_by(row, cells)
            return
        if self._column >= 0:
            taken = self._take(row, cells, self._column, hidden) if self._column < len(cells) else 0
            filled = taken or _any_filled(cells)
        else:
            taken = sum(self._take(row, cells, index, hidden) for index in range(len(cells)))
            filled = taken
        for index in self._second_columns:
            self._take_second(row, cells, index, hidden)
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

    def seconds(self) -> ReadyRows:
        return self._seconds.frozen()

    def more_phones(self) -> int:
        """Different second IMEIs with a right check digit, in cells and in columns of their own, that are not ready."""
        return sum(map(passes_luhn, self._paired.union(self._seconds.imeis) - self._seen))

    def warnings(self) -> Iterator[str]:
        if self._above_imeis or self._above_others:
            yield f"The rows above the data hold {long_numbers(self._above_imeis, self._above_others)}, {NOT_TAKEN}."
        if self._hidden:
            fate = "taken too" if self._chosen.hidden_rows else "left out"
            yield f"Hidden or filtered rows also hold {plural(self._hidden, 'IMEI')}, which are {fate}."
        if self._lists:
            yield f"{plural(self._lists, 'cell')} with several IMEIs: each of them is taken."
        if len(self._seconds):
            yield (
                f"{plural(len(self._seconds), 'second IMEI')} of phones whose first IMEI is in the same cell, "
                f"{NOT_TAKEN}: one check answers for the phone."
            )

    def _pass_by(self, row: int, cells: Sequence[object]) -> None:
        """Announce the IMEIs above the data in the column, and reject what may be a mistyped one."""
        for cell in cells if self._column < 0 else cells[self._column : self._column + 1]:
            for found in classify(cell) if _is_value(cell) else ():
                if found.imei:
                    self._above_imeis += found.kind is not Kind.LUHN_FAILED
                    self._above_others += found.kind is Kind.LUHN_FAILED
                else:
                    self._rejected.add(row, found.text, found.kind, found.note)

    def _take(self, row: int, cells: Sequence[object], index: int, hidden: bool) -> int:
        """How many values the cell gave; 0 for a blank one."""
        cell = cells[index]
        number = plain_number(cell)
        if number >= 0 and not hidden:
            if number in self._seen:
                self._again.add(number, row)
            else:
                self._seen.add(number)
                self.ready.add(number, row)
            return 1
        values = classify(cell)
        firsts = 0
        for found in values:
            if found.note in _BODIES and _has_full_imei(cells, index):
                found = replace(found, kind=Kind.NOT_AN_IMEI, imei="", note=BESIDE)
            self._put(row, self._beside(row, found), hidden)
            firsts += found.imei != "" and (not found.second or self._chosen.second_imeis)
        self._lists += firsts > 1
        return len(values)

    def _beside(self, row: int, found: Found) -> Found:
        """The value, marked where its label is that of a second IMEI and a first one is in a cell before it."""
        if found.slot == 1 and found.imei:
            self._first_slot = row
        return replace(found, second=True) if found.slot == 2 and self._first_slot == row else found

    def _take_second(self, row: int, cells: Sequence[object], index: int, hidden: bool) -> None:
        """Take a cell of a column of second IMEIs where they are wanted, else only count it."""
        for found in classify(cells[index]) if index < len(cells) else ():
            if self._chosen.second_imeis:
                self._put(row, found, hidden)
            elif found.imei:
                self._paired.add(int(found.imei))

    def _put(self, row: int, found: Found, hidden: bool) -> None:
        orderable = found.kind in ORDERABLE
        self._hidden += hidden and orderable
        if hidden and not self._chosen.hidden_rows:
            self._rejected.add(row, found.text, Kind.HIDDEN, _HIDDEN_ROW)
        elif not orderable:
            self._rejected.add(row, found.text, found.kind, found.note)
        elif int(found.imei) in self._seen:
            self._again.add(int(found.imei), row)
        else:
            self._keep(row, found)

    def _keep(self, row: int, found: Found) -> None:
        """Put an IMEI that is not in the file before into its bucket; a second one that is not taken may come again."""
        number, text = int(found.imei), found.text if found.text != found.imei else ""
        if found.second and not self._chosen.second_imeis:
            self._seconds.add(number, row, found.note, text)
            return
        self._seen.add(number)
        bucket = self.luhn_failed if found.kind is Kind.LUHN_FAILED else self.ready
        bucket.add(number, row, found.note, text)


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


def _is_value(cell: object) -> bool:
    """Whether a cell above the data may be a number of a phone: a word of it has ten or more digits."""
    return any(many_digits(word) and ":" not in word for word in ("" if cell is None else str(cell)).split())


def _has_full_imei(cells: Sequence[object], index: int) -> bool:
    """Whether another cell of the row holds an IMEI with its own check digit."""
    others = (cell for place, cell in enumerate(cells) if place != index and cell is not None)
    return any(
        is_plausible(found.imei) and found.note not in COMPLETIONS for cell in others for found in classify(cell)
    )
