"""Which column of a table holds the IMEIs, and where its header stands.

A survey walks all rows once and weighs each column by how many of its cells are IMEIs; header names only break
ties. This module must not know files.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from file_kinds import Row, UnreadableFileError
from imei import (
    COMPLETED,
    COMPLETED_NUMBER,
    IMEISV,
    NO_DIGITS,
    ORDERABLE,
    Found,
    Kind,
    classify,
    maybe,
    plain_number,
)
from intake import ALL_COLUMNS, Column
from spreadsheets_csv import swallows_lines

TOP_ROWS = 20  #: rows with content in which a header may stand
MOST_COLUMNS = 256  #: columns that can be chosen; what stands further right is counted as one more
SAMPLES = 3

_NAMES = frozenset(
    {
        *("imei", "imeis", "imeino", "imeinumber", "imeinr", "imeicode", "imei1", "imeino1", "imeinumber1", "imeimeid"),
        *("imeiesn", "imeisn", "imeiorserial", "imeiserial", "serialimei", "imeisv", "deviceimei", "primaryimei"),
        *("phoneimei", "esn", "esnimei", "meidimei", "deviceid", "device"),
    }
)
_SECOND = re.compile(r"imei.{0,8}(2|ii|second)|(second|2nd).{0,8}imei", re.IGNORECASE)
_COMPLETIONS = frozenset({COMPLETED, COMPLETED_NUMBER, IMEISV})


@dataclass(slots=True)
class Tally:
    """What was counted in one column."""

    filled: int = 0
    imeis: int = 0
    weight: float = 0.0  #: good IMEIs count 1, doubtful ones less
    samples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Survey:
    """What was counted in one table."""

    tallies: list[Tally] = field(default_factory=list)
    top: list[Row] = field(default_factory=list)
    rows: int = 0  #: rows with any cell
    open_quote: bool = False  #: a quote that is never closed swallowed rows

    @property
    def weight(self) -> float:
        """The weight of the best column."""
        return max((tally.weight for tally in self.tallies), default=0.0)

    def columns(self, header_row: int | None) -> Iterator[Column]:
        """The columns with any content; without a header row each has the header that would be found for it."""
        for index, tally in enumerate(self.tallies[:MOST_COLUMNS]):
            if tally.filled:
                row = find_header_row(self.top, index) if header_row is None else header_row
                header = _text(self.top, row, index)
                samples = tuple(text for text in tally.samples if text != header)[:SAMPLES]
                yield Column(index, header, tally.filled, tally.imeis, samples)


def survey(rows: Iterable[Row], most_rows: int) -> Survey:
    """Counts all columns. Raises UnreadableFileError past most_rows."""
    found = Survey()
    tallies = found.tallies
    for row in rows:
        cells = row[1]
        if not cells:
            continue
        found.rows += 1
        if found.rows > most_rows:
            raise UnreadableFileError(f"The table has more than {most_rows:,} rows: split it.")
        if len(found.top) < TOP_ROWS and any(cells):
            found.top.append(row)
        while len(tallies) < len(cells) and len(tallies) <= MOST_COLUMNS:
            tallies.append(Tally())
        for index, cell in enumerate(cells):
            if cell is None or cell == "":
                continue
            tally = tallies[index if index < MOST_COLUMNS else MOST_COLUMNS]
            tally.filled += 1
            if tally.filled <= SAMPLES + 1:
                tally.samples.append(str(cell)[:60])
            if plain_number(cell) >= 0:
                tally.weight += 1
                tally.imeis += 1
            elif _worth_a_look(cell):
                found.open_quote |= isinstance(cell, str) and swallows_lines(cell)
                _weigh(tally, classify(cell))
    return found


def choose_column(found: Survey, loose: bool) -> int | None:
    """The index of the column with the IMEIs, ALL_COLUMNS for a list side by side, None where there is no IMEI.

    loose: two IMEIs side by side are enough for a list, as in pasted text.
    """
    weights = [tally.weight for tally in found.tallies]
    if not any(weights):
        return None
    headers = [_header(found.top, index) if weight else "" for index, weight in enumerate(weights)]
    candidates = [index for index, weight in enumerate(weights[:MOST_COLUMNS]) if weight]
    if not candidates or _is_list(found, headers, loose):
        return ALL_COLUMNS
    firsts = [index for index in candidates if not _SECOND.search(headers[index])]
    serious = [index for index in firsts if _share(found.tallies[index]) >= 0.5]
    candidates = serious or candidates
    best = max(weights[index] for index in candidates)
    tied = [index for index in candidates if weights[index] >= 0.9 * best]
    return min(tied, key=lambda index: (_name_rank(headers[index]), index))


def find_header_row(top: Sequence[Row], column: int) -> int:
    """The number of the row above the first value of the column that names it; 0 where there is none.

    A known name wins; else it is the first cell if that is plain words.
    """
    words = 0
    for number, cells, _ in top:
        for cell in cells if column == ALL_COLUMNS else cells[column : column + 1]:
            found = classify(cell)
            if not found:
                continue
            if any(value.kind in ORDERABLE for value in found):
                return words
            if _name_rank(str(cell)) != 2:
                return number
            if any(value.kind is not Kind.NOT_AN_IMEI for value in found):
                return words
            if not words and _is_words(cell, found[0]):
                words = number
    return words


def _worth_a_look(cell: object) -> bool:
    if isinstance(cell, str):
        return len(cell) >= 5 and maybe(cell)
    return isinstance(cell, (int, float)) and cell >= 10**13


def _weigh(tally: Tally, values: tuple[Found, ...]) -> None:
    weights = [_weight(value) for value in values]
    if weights:
        tally.weight += max(weights)
        tally.imeis += any(value.imei for value in values)


def _weight(value: Found) -> float:
    """How much a value says that its column holds IMEIs: 14 and 16 digits and a wrong check digit say less."""
    if value.kind in (Kind.READY, Kind.REPAIRED):
        return 0.5 if value.note in _COMPLETIONS else 1.0
    if value.kind is Kind.LUHN_FAILED:
        return 0.25
    return 0.1 if value.kind in (Kind.DAMAGED, Kind.MEID) else 0.0


def _is_list(found: Survey, headers: list[str], loose: bool) -> bool:
    """Whether nearly every cell is an IMEI and no headers say that the columns differ."""
    if sum(map(bool, headers)) > 1 or any(_name_rank(header) != 2 for header in headers):
        return False
    filled, imeis = sum(t.filled for t in found.tallies), sum(t.imeis for t in found.tallies)
    wide = sum(1 for tally in found.tallies if tally.imeis)
    return imeis >= 0.8 * filled and imeis > 1 and (found.rows == 1 or wide >= (2 if loose else 3)) and wide > 1


def _share(tally: Tally) -> float:
    return tally.imeis / tally.filled if tally.filled else 0.0


def _header(top: Sequence[Row], column: int) -> str:
    return _text(top, find_header_row(top, column), column)


def _text(top: Sequence[Row], row: int, column: int) -> str:
    cells: Sequence[object] = next((cells for number, cells, _ in top if number == row), ())
    if not 0 <= column < len(cells) or cells[column] is None:
        return ""
    return " ".join(str(cells[column]).split())[:60]


def _name_rank(header: str) -> int:
    """0 for a known name, 1 for another that begins with IMEI, 2 for none, 3 for that of a second IMEI."""
    if _SECOND.search(header):
        return 3
    bare = "".join(sign for sign in header.lower() if sign.isalnum())
    if bare in _NAMES:
        return 0
    return 1 if bare.startswith("imei") and not bare[4:].isdigit() else 2


def _is_words(cell: object, found: Found) -> bool:
    return isinstance(cell, str) and found.note == NO_DIGITS and any(sign.isalpha() for sign in cell)
