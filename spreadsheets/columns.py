"""Find the column of a table that holds the IMEIs, and its header row.

A survey counts in one walk how many cells of each column are IMEIs; header names only decide between columns that
are alike. This module must not know files.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from itertools import chain, repeat
from typing import TypeGuard

from imei import COMPLETIONS, ORDERABLE, REPORTING_BODIES, Found, Kind, plain_number
from spreadsheets.cells import NO_DIGITS, NO_VALUE, classify, many_digits, maybe, runs
from spreadsheets.intake import ALL_COLUMNS, Column, names_second
from workbooks import Row, UnreadableFileError

TOP_ROWS = 20  #: rows with content that may be the header
MOST_COLUMNS = 256  #: columns that can be chosen; all columns further right are counted as one more
FURTHER_RIGHT = "and all further right"  #: the header of that one
SAMPLES = 3
MOST_DULL = 1000  #: different texts that are remembered
_LEAST_OF_TWO = 29  #: characters that two runs of 14 digits take

_NAMES = frozenset(
    {
        *("imei", "imeis", "imeino", "imeinumber", "imeinr", "imeicode", "imei1", "imeino1", "imeinumber1", "imeimeid"),
        *("imeiesn", "imeisn", "imeiorserial", "imeiserial", "serialimei", "imeisv", "deviceimei", "primaryimei"),
        *("phoneimei", "esn", "esnimei", "meidimei", "deviceid", "device"),
    }
)
#: Header names of other numbers; such a column is taken only where no other column fits.
_EXCLUDED = re.compile(
    r"(?<![a-z])(?:imsi|iccid|eid|sim|serial|s/?n|phone|msisdn|mobile|order|tracking|gtin|ean|upc|carton|time|date"
    r"|invoice|po)(?:[ _.-]?(?:no|nr|num|number|id|code|[0-9]))*(?![a-z])"
)
_SURE = frozenset({Kind.READY, Kind.REPAIRED})
_EXCLUSION = 0.6  #: factor for the score of a column with such a header
_NAMED = 1.3  #: factor for the score of a column whose header names the IMEI


@dataclass(slots=True)
class Tally:
    """What was counted in one column."""

    filled: int = 0
    cells: int = 0  #: cells that hold an IMEI, with a right check digit or a wrong one
    imeis: int = 0  #: IMEIs with a right check digit of their own
    others: int = 0  #: IMEIs with a wrong one or without, and other numbers of 14 to 17 digits
    formulas: int = 0  #: formulas without a stored value
    weight: float = 0.0  #: good IMEIs count 1, doubtful ones less
    samples: list[str] = field(default_factory=list)

    def add(self, cell: str | int | float) -> None:
        """Count the values of a cell that may hold some."""
        values = classify(cell)
        if not values:
            return
        good = sum(value.imei != "" and value.note not in COMPLETIONS for value in values if value.kind in _SURE)
        carriers = sum(value.imei != "" for value in values)
        self.weight += max(map(_weight, values))
        self.cells += carriers > 0
        self.imeis += good
        self.others += max(carriers, _runs(cell, carriers)) - good
        self.formulas += values[0].note == NO_VALUE

    @property
    def share(self) -> float:
        """The share of IMEIs among the filled cells, 0 to 1; lower where few cells are filled."""
        return self.weight / (self.filled + 2)


@dataclass(slots=True)
class Survey:
    """What was counted in one table."""

    tallies: list[Tally] = field(default_factory=list)
    top: list[Row] = field(default_factory=list)
    rows: int = 0  #: rows with any cell
    long_cells: bool = False  #: a cell of several lines holds digits
    #: Texts without an IMEI that were met before, as many columns repeat a few words.
    dull: set[str] = field(default_factory=set)

    def add(self, row: Row) -> None:
        """Count the cells of one row."""
        cells, tallies = row[1], self.tallies
        if len(self.top) < TOP_ROWS and any(cells):
            self.top.append(row)
        while len(tallies) < len(cells) and len(tallies) <= MOST_COLUMNS:
            tallies.append(Tally())
        for tally, cell in zip(_repeat_last(tallies, len(cells)), cells, strict=False):
            if cell is None or cell == "":
                continue
            tally.filled += 1
            if tally.filled <= SAMPLES + 1:
                tally.samples.append(str(cell)[:60])
            if cell not in self.dull:
                self._weigh(tally, cell)

    def _weigh(self, tally: Tally, cell: object) -> None:
        """Count what a cell says about its column."""
        if plain_number(cell) >= 0:
            tally.weight += 1 if str(cell)[:2] in REPORTING_BODIES else 0.3
            tally.cells += 1
            tally.imeis += 1
        elif _worth_a_look(cell):
            self.long_cells |= isinstance(cell, str) and ("\n" in cell or "\r" in cell)
            tally.add(cell)
        elif isinstance(cell, str) and len(self.dull) < MOST_DULL:
            self.dull.add(cell)

    @property
    def score(self) -> float:
        """The weight of the best column: higher for more IMEIs, and for IMEIs that are more certain."""
        return max((tally.weight * _score(self, index) for index, tally in enumerate(self.tallies)), default=0.0)

    @property
    def others(self) -> int:
        """Numbers of 14 to 17 digits, all columns together."""
        return sum(tally.imeis + tally.others for tally in self.tallies)

    @property
    def formulas(self) -> int:
        """Formulas without a stored value, all columns together."""
        return sum(tally.formulas for tally in self.tallies)

    def columns(self, header_row: int | None) -> Iterator[Column]:
        """Yield the columns with any content; without a header row, each with the header that would be found for it."""
        for index, tally in enumerate(self.tallies):
            if tally.filled:
                row = find_header_row(self.top, index) if header_row is None else header_row
                header = _text(self.top, row, index) if index < MOST_COLUMNS else FURTHER_RIGHT
                samples = tuple(text for text in tally.samples if text != header)[:SAMPLES]
                yield Column(index, header, tally.filled, tally.imeis, tally.others, samples)


def survey(rows: Iterable[Row], most_rows: int) -> Survey:
    """Count all columns. Raises UnreadableFileError past most_rows."""
    found = Survey()
    for row in rows:
        if not row[1]:
            continue
        found.rows += 1
        if found.rows > most_rows:
            raise UnreadableFileError(f"The table has more than {most_rows:,} rows: split it.")
        found.add(row)
    return found


def choose_column(found: Survey, loose: bool) -> int | None:
    """Return the index of the column with the IMEIs, ALL_COLUMNS for a list side by side, None without any IMEI.

    loose: two IMEIs side by side are enough for a list, as in pasted text.
    """
    tallies = found.tallies
    if not any(tally.weight for tally in tallies):
        return None
    headers = [_header(found.top, index) if tally.weight else "" for index, tally in enumerate(tallies)]
    candidates = [index for index, tally in enumerate(tallies[:MOST_COLUMNS]) if tally.weight]
    if not candidates or _is_list(found, headers, loose):
        return ALL_COLUMNS
    candidates = [index for index in candidates if not _is_excluded(headers[index]) or _is_sure(tallies[index])]
    if not candidates:
        return None
    named = [index for index in candidates if _is_named(headers[index])]
    firsts = [index for index in candidates if not names_second(headers[index])]
    if any(tallies[index].imeis for index in named):
        firsts = [index for index in firsts if not _is_excluded(headers[index])]
    serious = [index for index in firsts if tallies[index].cells >= 0.5 * tallies[index].filled]
    scores = {index: _score(found, index) for index in dict.fromkeys(named + serious) or candidates}
    best = max(scores.values())
    tied = [index for index, score in scores.items() if score >= 0.9 * best]
    return min(tied, key=lambda index: (_title(headers[index]), index))


class _Title(IntEnum):
    """What a title says about its column; of columns that are alike the lowest is taken."""

    KNOWN = 0  #: a known name of a column of IMEIs
    MENTIONS_IMEI = 1
    OTHER = 2
    SECOND_IMEI = 3  #: of a phone


def _score(found: Survey, index: int) -> float:
    """Return how well a column fits: the share of its cells that are IMEIs, times a factor for its header."""
    share = found.tallies[index].share
    header = _header(found.top, index) if share else ""
    if _is_named(header):
        return share * _NAMED
    return share * _EXCLUSION if _is_excluded(header) else share


def _is_sure(tally: Tally) -> bool:
    """Whether most cells of a column are IMEIs, so that its header must be wrong."""
    return tally.weight >= 0.5 * tally.filled


def _is_named(header: str) -> bool:
    return _title(header) in (_Title.KNOWN, _Title.MENTIONS_IMEI)


def _is_excluded(header: str) -> bool:
    return _title(header) is _Title.OTHER and _EXCLUDED.search(header.lower()) is not None


def find_header_row(top: Sequence[Row], column: int) -> int:
    """Return the number of the row above the first value of the column that names it; 0 where there is none.

    A known name wins, then a text that mentions IMEIs, then the first of the fullest rows that hold plain words there
    above all values. A cell of ten or more digits is a value, whatever else is in it.
    """
    named = words = width = 0
    values = False
    for number, cells, cell in _cells_of(top, column):
        kind = _top_cell(cell)
        if kind is _TopCell.NAME:
            return number
        if kind is _TopCell.IMEI:
            break
        values |= kind is _TopCell.VALUE
        if kind is _TopCell.MENTIONS_IMEI:
            named = named or number
        elif kind is _TopCell.WORDS and not values and _filled(cells) > width:
            words, width = number, _filled(cells)
    return named or words


class _TopCell(Enum):
    """What a cell near the top of a table may be."""

    NAME = auto()  #: a known name of a column of IMEIs
    MENTIONS_IMEI = auto()  #: another text that mentions IMEIs
    IMEI = auto()  #: an IMEI, MEID or damaged number: the data has begun
    VALUE = auto()  #: ten or more digits that are not an IMEI
    WORDS = auto()  #: plain words
    OTHER = auto()  #: anything else, such as a short number or a blank


def _cells_of(top: Sequence[Row], column: int) -> Iterator[tuple[int, Sequence[object], object]]:
    """Yield the cells of a column with the number and all cells of their row."""
    for number, cells, _ in top:
        for cell in _of_list(cells) if column == ALL_COLUMNS else cells[column : column + 1]:
            yield number, cells, cell


def _of_list(cells: Sequence[object]) -> Sequence[object]:
    """Return the cells of a row that hold an IMEI, or all where none does: a row of values names no column."""
    return [cell for cell in cells if _top_cell(cell) is _TopCell.IMEI] or cells


def _top_cell(cell: object) -> _TopCell:
    found = classify(cell)
    if any(value.kind in ORDERABLE for value in found):
        return _TopCell.IMEI
    if not found:
        return _TopCell.OTHER
    if many_digits(str(cell)):
        return _TopCell.VALUE
    title = _title(str(cell))
    if title is _Title.KNOWN:
        return _TopCell.NAME
    if title is not _Title.OTHER:
        return _TopCell.MENTIONS_IMEI
    if any(value.kind is not Kind.NOT_AN_IMEI for value in found):
        return _TopCell.IMEI
    return _TopCell.WORDS if _is_words(cell, found[0]) else _TopCell.OTHER


def _repeat_last(tallies: Sequence[Tally], count: int) -> Iterable[Tally]:
    """Return a tally for each of count cells; those far to the right share the last."""
    return tallies if count <= len(tallies) else chain(tallies, repeat(tallies[-1], count - len(tallies)))


def _filled(cells: Sequence[object]) -> int:
    return sum(cell is not None and cell != "" for cell in cells)


def _worth_a_look(cell: object) -> TypeGuard[str | int | float]:
    if isinstance(cell, str):
        return cell[0] == "=" or (len(cell) >= 5 and maybe(cell))
    return isinstance(cell, (int, float)) and cell >= 10**13


def _runs(cell: str | int | float, carriers: int) -> int:
    """Count the runs of 14 to 17 digits in a cell; a short cell with an IMEI has no room for another."""
    text = str(cell)
    return 1 if carriers == 1 and len(text) < _LEAST_OF_TWO else runs(text)


def _weight(value: Found) -> float:
    """Return how strongly a value shows that its column holds IMEIs: weakly with a wrong check digit or without one."""
    if value.kind in _SURE:
        if value.imei[:2] not in REPORTING_BODIES:
            return 0.3
        return 0.5 if value.note in COMPLETIONS else 1.0
    if value.kind is Kind.LUHN_FAILED:
        return 0.25 if value.imei[:2] in REPORTING_BODIES else 0.05
    return 0.1 if value.kind in (Kind.DAMAGED, Kind.MEID) else 0.0


def _is_list(found: Survey, headers: list[str], loose: bool) -> bool:
    """Whether nearly every cell is an IMEI and no headers say that the columns differ."""
    if sum(map(bool, headers)) > 1 or any(_title(header) is not _Title.OTHER for header in headers):
        return False
    filled, imeis = sum(t.filled for t in found.tallies), sum(t.cells for t in found.tallies)
    wide = sum(1 for tally in found.tallies if tally.cells)
    return imeis >= 0.8 * filled and imeis > 1 and (found.rows == 1 or wide >= (2 if loose else 3)) and wide > 1


def _header(top: Sequence[Row], column: int) -> str:
    return _text(top, find_header_row(top, column), column)


def _text(top: Sequence[Row], row: int, column: int) -> str:
    cells: Sequence[object] = next((cells for number, cells, _ in top if number == row), ())
    if not 0 <= column < len(cells) or cells[column] is None:
        return ""
    return " ".join(str(cells[column]).split())[:60]


def _title(header: str) -> _Title:
    if names_second(header):
        return _Title.SECOND_IMEI
    bare = "".join(sign for sign in header.lower() if sign.isalnum())
    if bare in _NAMES:
        return _Title.KNOWN
    return _Title.MENTIONS_IMEI if "imei" in bare and not many_digits(bare) else _Title.OTHER


def _is_words(cell: object, found: Found) -> bool:
    return isinstance(cell, str) and found.note == NO_DIGITS and any(sign.isalpha() for sign in cell)
