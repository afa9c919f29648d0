"""Put each value of a column into exactly one bucket, by the choices of the user.

Nothing is read here, so another choice about hidden rows or second IMEIs needs no second parse of the file.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain

from amounts import plural
from imei import ORDERABLE, Kind, passes_luhn
from spreadsheets.intake import NOT_TAKEN, Choice, Ready, ReadyRows, Rejected, Repeated, Rows, long_numbers
from spreadsheets.values import CellMark, Counts, Values

_HIDDEN_ROW = "Its row is hidden or filtered out in the sheet."


class Bucket(IntEnum):
    """The fate of a value."""

    READY = 0
    LUHN_FAILED = 1
    SECOND = 2  #: a second IMEI of a phone, in the cell of the first, not taken
    REJECTED = 3
    REPEATED = 4  #: equal to a value that is taken before it
    PAIRED = 5  #: in a column of second IMEIs, not taken


@dataclass(frozen=True, slots=True)
class PlacedValue:
    """One value of a file, and what became of it."""

    row: int  #: from 1, as the file counts
    imei: str  #: 15 digits, or "" where it holds none
    bucket: Bucket
    note: str  #: what was repaired, or why it is not taken
    text: str  #: the cell as it came where that is not the IMEI itself
    first_row: int  #: the row in which an equal IMEI was taken, its own included; 0 where none was


class Buckets:
    """The values of one column, divided by one choice; of equal IMEIs the first is taken."""

    def __init__(self, values: Values, choice: Choice) -> None:
        self._values, self._choice = values, choice
        self._marks = values.marks
        self._buckets = [_bucket(mark, choice) for mark in self._marks]
        self._places = [array("I") for _ in Bucket]
        #: Different second IMEIs with a right check digit, in cells and in columns of their own, that are not taken.
        self.more_phones = self._fill()

    def _fill(self) -> int:
        """Put the place of each value into its bucket; return the number of more_phones."""
        taken: set[int] = set()
        for place, (imei, number) in enumerate(zip(self._values.imeis, self._values.mark_numbers, strict=True)):
            bucket = self._buckets[number]
            if bucket <= Bucket.SECOND and imei in taken:
                bucket = Bucket.REPEATED
            elif bucket < Bucket.SECOND:
                taken.add(imei)
            self._places[bucket].append(place)
        seconds = chain(self._places[Bucket.PAIRED], self._places[Bucket.SECOND])
        return sum(map(passes_luhn, {self._values.imeis[place] for place in seconds} - taken - {0}))

    @property
    def ready(self) -> ReadyRows:
        """IMEIs with a right check digit, those that were repaired included."""
        return self._imeis(Bucket.READY)

    @property
    def luhn_failed(self) -> ReadyRows:
        """IMEIs whose check digit is wrong."""
        return self._imeis(Bucket.LUHN_FAILED)

    @property
    def seconds(self) -> ReadyRows:
        """Second IMEIs in the cells of the first, not taken."""
        return self._imeis(Bucket.SECOND)

    @property
    def rejected(self) -> Rows[Rejected]:
        """Values that are not sent, with the reason."""
        places = self._places[Bucket.REJECTED]
        return Rows(len(places), lambda index: self._reject(places[index]))

    @property
    def repeated(self) -> Rows[Repeated]:
        """IMEIs that are already taken from an earlier row."""
        values, places = self._values, self._places[Bucket.REPEATED]
        wanted = {values.imeis[place] for place in places}
        taken = chain(self._places[Bucket.READY], self._places[Bucket.LUHN_FAILED]) if wanted else ()
        first = {values.imeis[place]: values.rows[place] for place in taken if values.imeis[place] in wanted}

        def make(index: int) -> Repeated:
            place = places[index]
            return Repeated(values.rows[place], values.imei(place), first[values.imeis[place]])

        return Rows(len(places), make)

    def placed(self) -> Iterator[PlacedValue]:
        """Yield every value with its bucket, in the order of the file."""
        values, first = self._values, dict[int, int]()
        for place, bucket in sorted((place, each) for each in Bucket for place in self._places[each]):
            imei, row = values.imeis[place], values.rows[place]
            if bucket in (Bucket.READY, Bucket.LUHN_FAILED):
                first.setdefault(imei, row)
            note = (
                self._reject(place).reason
                if bucket is Bucket.REJECTED
                else self._marks[values.mark_numbers[place]].note
            )
            name = values.imei(place) if imei else ""
            yield PlacedValue(row, name, bucket, note, values.text(place), first.get(imei, 0) if imei else 0)

    def warnings(self, counts: Counts) -> Iterator[str]:
        """Yield the warnings about the values, one sentence each."""
        if counts.above_imeis or counts.above_others:
            above = long_numbers(counts.above_imeis, counts.above_others)
            yield f"The rows above the data hold {above}, {NOT_TAKEN}."
        if hidden := self._count_hidden():
            fate = "taken too" if self._choice.hidden_rows else "left out"
            yield f"Hidden or filtered rows also hold {plural(hidden, 'IMEI')}, which are {fate}."
        lists = counts.lists_with_seconds if self._choice.second_imeis else counts.lists
        if lists:
            yield f"{plural(lists, 'cell')} with several IMEIs: each of them is taken."
        if seconds := len(self._places[Bucket.SECOND]):
            yield (
                f"{plural(seconds, 'second IMEI')} of phones whose first IMEI is in the same cell, "
                f"{NOT_TAKEN}: one check answers for the phone."
            )

    def _imeis(self, bucket: Bucket) -> ReadyRows:
        places: Sequence[int] = self._places[bucket]
        return ReadyRows(self._values.imeis, places, self._make_ready)

    def _make_ready(self, place: int) -> Ready:
        values = self._values
        note = self._marks[values.mark_numbers[place]].note
        return Ready(values.imei(place), values.rows[place], note, values.text(place) if note else "")

    def _reject(self, place: int) -> Rejected:
        values = self._values
        mark, row = self._marks[values.mark_numbers[place]], values.rows[place]
        if mark.hidden and not self._choice.hidden_rows:
            text = values.text(place) or (values.imei(place) if values.imeis[place] else "")
            return Rejected(row, text, Kind.HIDDEN, _HIDDEN_ROW)
        return Rejected(row, values.text(place), mark.kind, mark.note)

    def _count_hidden(self) -> int:
        """Count the IMEIs in hidden rows, those in columns of second IMEIs only where these are taken."""
        counted = {
            number
            for number, mark in enumerate(self._marks)
            if mark.hidden and mark.kind in ORDERABLE and self._buckets[number] is not Bucket.PAIRED
        }
        return sum(number in counted for number in self._values.mark_numbers) if counted else 0


def _bucket(mark: CellMark, choice: Choice) -> Bucket:
    """Return the bucket of values with this mark, unless they are repeated."""
    if mark.apart and not choice.second_imeis:
        return Bucket.PAIRED
    if mark.kind not in ORDERABLE or (mark.hidden and not choice.hidden_rows):
        return Bucket.REJECTED
    if mark.second and not choice.second_imeis:
        return Bucket.SECOND
    return Bucket.LUHN_FAILED if mark.kind is Kind.LUHN_FAILED else Bucket.READY
