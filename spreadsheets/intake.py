"""The contents of a file or a paste as they were understood, for the preview.

Frozen types only. This module must not know files or how they are read.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import eq
from typing import TypeVar, overload

from amounts import plural
from imei import Kind
from workbooks import FileKind

ALL_COLUMNS = -1  #: the choice for a list whose IMEIs are side by side

#: The end of every warning about numbers that are in the file but in no bucket.
NOT_TAKEN = "which are not taken"

T = TypeVar("T")

#: "Second" in the languages of the known labels, and what phones have a second IMEI for.
_SECOND_WORDS = r"second|2nd|zweit|segund|secund|deuxi|втор|drug|ikinci|e-?sim"
_SECOND = re.compile(
    rf"imei\D{{0,8}}(?:2(?!\d)|ii|{_SECOND_WORDS})|(?:{_SECOND_WORDS}|other|alt|dual).{{0,8}}imei"
    r"|(?:^|sim|slot) ?2\W{0,2}imei",
    re.IGNORECASE,
)
_FIRST = re.compile(r"imei\W{0,3}1(?!\d)", re.IGNORECASE)


def names_second(header: str) -> bool:
    """Whether a header names the second IMEI of a phone, and not both as "IMEI 1 / IMEI 2" does."""
    return _SECOND.search(header) is not None and not _FIRST.search(header)


def long_numbers(imeis: int, others: int) -> str:
    """Return the counts of IMEIs and of other numbers of 14 to 17 digits as words."""
    if not others:
        return plural(imeis, "IMEI")
    more = plural(others, "other number" if imeis else "number") + " of 14 to 17 digits"
    return f"{plural(imeis, 'IMEI')} and {more}" if imeis else more


@dataclass(frozen=True, slots=True)
class Column:
    """One column that can be chosen."""

    index: int  #: from 0
    header: str
    filled: int  #: cells that are not blank, the header included
    imeis: int  #: IMEIs with a right check digit of their own
    others: int  #: IMEIs with a wrong one or without, and other numbers of 14 to 17 digits
    samples: tuple[str, ...]

    @property
    def contents(self) -> str:
        """What the column holds, such as "8 IMEIs and 2 other numbers of 14 to 17 digits"."""
        return long_numbers(self.imeis, self.others)

    @property
    def is_second(self) -> bool:
        """Whether the header names the second IMEI of a phone."""
        return names_second(self.header)

    @property
    def title(self) -> str:
        """The name of the column for people, such as "Column C (IMEI 2)"."""
        letters, number = "", self.index + 1
        while number:
            number, rest = divmod(number - 1, 26)
            letters = chr(65 + rest) + letters
        return f"Column {letters}" + (f" ({self.header})" if self.header else "")


@dataclass(frozen=True, slots=True)
class Choice:
    """How a file is read; None means "find it". The choice of an Intake holds what was found, and can be used again."""

    sheet: str | None = None
    column: int | None = None  #: index from 0, or ALL_COLUMNS
    header_row: int | None = None  #: row number from 1; 0 means "no header"; rows above it are not read
    delimiter: str | None = None
    encoding: str | None = None
    hidden_rows: bool = True  #: whether rows that the sheet hides or filters out are taken too
    second_imeis: bool = False  #: whether the second IMEI of a phone is taken too

    @property
    def reading(self) -> str:
        """A key that is equal for choices that one parse of the file can serve."""
        return json.dumps([self.sheet, self.column, self.header_row, self.delimiter, self.encoding])


FIND_IT = Choice()


@dataclass(frozen=True, slots=True)
class Ready:
    """An IMEI that can be ordered."""

    imei: str
    row: int  #: from 1
    note: str = ""  #: "" or what was repaired, or what is wrong with the check digit
    text: str = ""  #: the cell as it came where it was repaired


@dataclass(frozen=True, slots=True)
class Rejected:
    """A value that is not sent."""

    row: int
    text: str  #: at most 200 characters of the cell
    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """An IMEI that is in an earlier row too; only the first is taken."""

    row: int
    imei: str
    first_row: int


@dataclass(frozen=True, slots=True)
class SheetSummary:
    """One sheet that can be chosen, with its columns. A text file is one sheet without a name."""

    name: str
    hidden: bool
    imeis: int  #: IMEIs with a right check digit, all columns together
    columns: tuple[Column, ...]

    @property
    def holds_numbers(self) -> bool:
        """Whether any column holds a number of 14 to 17 digits."""
        return any(column.imeis or column.others for column in self.columns)


class Rows(Sequence[T]):
    """A frozen sequence that makes its members when they are asked for, and so needs 12 bytes a row, not 200."""

    def __init__(self, length: int, make: Callable[[int], T]) -> None:
        self._length, self._make = length, make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> "Rows[T]": ...
    def __getitem__(self, index: int | slice) -> "T | Rows[T]":
        places = range(self._length)[index]
        if isinstance(places, int):
            return self._make(places)
        make = self._make
        return Rows(len(places), lambda place: make(places[place]))

    def __iter__(self) -> Iterator[T]:
        return map(self._make, range(self._length))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<{self._length} rows>"


class ReadyRows(Rows[Ready]):
    """Rows of IMEIs, which can also be taken without rows, notes and texts."""

    def __init__(self, numbers: Sequence[int], places: Sequence[int], make: Callable[[int], Ready]) -> None:
        super().__init__(len(places), lambda index: make(places[index]))
        self._numbers, self._places = numbers, places

    def imeis(self) -> Iterator[str]:
        """Yield the IMEIs without their rows, several times faster than the members."""
        return (f"{self._numbers[place]:015d}" for place in self._places)


@dataclass(frozen=True, slots=True)
class Intake:
    """The contents of a file, divided into buckets.

    ready + luhn_failed + rejected + repeated + seconds are all values of the chosen column. Numbers of 14 to 17 digits
    elsewhere in the file are announced in the warnings, with their place and count.
    """

    kind: FileKind
    chosen: Choice
    sheets: tuple[SheetSummary, ...]
    warnings: tuple[str, ...]
    rows_read: int  #: rows below the header that hold anything in any column
    blank: int  #: of these, rows whose cell in the chosen column is blank
    ready: ReadyRows
    luhn_failed: ReadyRows
    rejected: Rows[Rejected]
    repeated: Rows[Repeated]
    seconds: ReadyRows  #: second IMEIs of phones in the cells of their first, not taken
    more_phones: int  #: different second IMEIs that taking them would add, those in columns of their own included

    @property
    def announced(self) -> tuple[str, ...]:
        """The warnings that name numbers of 14 to 17 digits which are not taken."""
        return tuple(warning for warning in self.warnings if NOT_TAKEN in warning)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the chosen sheet."""
        return columns_of(self.sheets, self.chosen)


def columns_of(sheets: Sequence[SheetSummary], chosen: Choice) -> tuple[Column, ...]:
    """Return the columns of the chosen sheet."""
    return next((sheet.columns for sheet in sheets if sheet.name == chosen.sheet), ())


def second_columns(chosen: Choice, columns: Sequence[Column]) -> tuple[int, ...]:
    """Return the columns of second IMEIs beside the chosen one."""
    if chosen.column == ALL_COLUMNS:
        return ()
    return tuple(
        each.index for each in columns if each.is_second and (each.imeis or each.others) and each.index != chosen.column
    )
