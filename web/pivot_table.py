"""Lay counts of results out as a table: lines, under them more lines, and columns, the commonest first. Pure.

A cell says what its results have in common, in the words of the history's filter, where that can find them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

from devices import STATE_OF
from grading import verdict_label
from storage.order_wordings import read_finding

#: Fields of the table by their names in a URL, with their labels.
LABELS = MappingProxyType({
    "model": "Model", "carrier": "Carrier", "simlock": "SIM lock", "fmi": "Find My", "blacklist": "Blacklist",
    "verdict": "Verdict", "service": "Service",
})  # fmt: skip
#: Values whose meaning is remembered: a table asks for few again and again.
MEANINGS = 4096
NOT_REPORTED, TOTAL = "Not reported", "Total"

Key = TypeVar("Key", bound="tuple[str, ...] | str")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which fields, names of LABELS, are lines, further lines under each of them, and columns."""

    rows: str
    then: str = ""  #: "": no further lines
    columns: str = ""  #: "": totals only

    @property
    def lines(self) -> tuple[str, ...]:
        """The fields of a line."""
        return tuple(filter(None, (self.rows, self.then)))

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields, as the counts have them."""
        return tuple(filter(None, (self.rows, self.then, self.columns)))


@dataclass(frozen=True, slots=True)
class Most:
    """How much of a table is shown; what is beyond is added up as "others"."""

    groups: int
    lines: int  #: under each group
    columns: int


@dataclass(frozen=True, slots=True)
class PivotLine:
    """One line of the table, or its totals."""

    words: tuple[str, ...]  #: for each field of the line; () for the totals
    values: tuple[str, ...] | None  #: what its results say; None for others
    results: int
    cells: tuple[int, ...]  #: for each column

    @property
    def depth(self) -> int:
        """1 for a line, 2 for one under it, 0 for the totals."""
        return len(self.words)


@dataclass(frozen=True, slots=True)
class PivotColumn:
    """One column of the table."""

    words: str
    value: str | None  #: what its results say; None for others


@dataclass(frozen=True, slots=True)
class PivotTable:
    """Counts of results as lines and columns."""

    columns: tuple[PivotColumn, ...]
    lines: tuple[PivotLine, ...]
    totals: PivotLine


def lay_out(counts: Mapping[tuple[str, ...], int], layout: Layout, most: Most) -> PivotTable:
    """Return the table of counts whose keys are the values of layout.fields."""
    merged: Counter[tuple[str, ...]] = Counter()
    for values, results in counts.items():
        merged[tuple(meaning(name, value) for name, value in zip(layout.fields, values, strict=True))] += results
    depth = len(layout.lines)
    grid = defaultdict[tuple[str, ...], Counter[str]](Counter)
    for values, results in merged.items():
        column = values[depth] if layout.columns else ""
        for length in range(depth + 1):
            grid[values[:length]][column] += results
    columns = ranked(grid[()]) if layout.columns else []
    builder = _Builder(grid, columns[: most.columns], columns[most.columns :])
    return PivotTable(
        tuple(_columns(layout.columns, builder)),
        tuple(_lines(layout, builder, most)),
        builder.line((), (), [()]),
    )


@lru_cache(MEANINGS)
def meaning(name: str, value: str) -> str:
    """Return the finding that a stored value means ("Lost Mode" is ON), or the value itself."""
    state = str(STATE_OF[name](value)) if name in STATE_OF and value else ""
    return state if state and read_finding(name, state) else value


def label(name: str, value: str) -> str:
    """Return the words of a value for people."""
    return (verdict_label(value) if name == "verdict" else value) or NOT_REPORTED


def ranked(totals: Mapping[Key, int]) -> list[Key]:
    """Return keys, those with most results first; values that are not reported come last."""
    return sorted(totals, key=lambda key: (not (key if isinstance(key, str) else key[-1]), -totals[key], key))


@dataclass(frozen=True, slots=True)
class _Builder:
    """Makes lines of a grid: values of a line → value of a column → results."""

    grid: Mapping[tuple[str, ...], Counter[str]]
    columns: Sequence[str]  #: that are shown
    others: Sequence[str]  #: columns that are added up

    def line(
        self, words: tuple[str, ...], values: tuple[str, ...] | None, parts: Iterable[tuple[str, ...]]
    ) -> PivotLine:
        """Return the line that adds up some lines of the grid."""
        found: Counter[str] = Counter()
        for part in parts:
            found.update(self.grid[part])
        cells = [found[column] for column in self.columns]
        if self.others:
            cells.append(sum(found[column] for column in self.others))
        return PivotLine(words, values, found.total(), tuple(cells))


def _columns(name: str, builder: _Builder) -> Iterable[PivotColumn]:
    for value in builder.columns:
        yield PivotColumn(label(name, value), value)
    if builder.others:
        yield PivotColumn(f"{len(builder.others):,} others", None)


def _lines(layout: Layout, builder: _Builder, most: Most) -> Iterable[PivotLine]:
    """Yield each line, and those under it behind it."""
    totals = {values: counted.total() for values, counted in builder.grid.items()}
    groups = ranked({values: results for values, results in totals.items() if len(values) == 1})
    under = defaultdict[tuple[str, ...], dict[tuple[str, ...], int]](dict)
    for values, results in totals.items():
        if len(values) == 2:
            under[values[:1]][values] = results
    for group in groups[: most.groups]:
        words = (label(layout.rows, group[0]),)
        yield builder.line(words, group, [group])
        lines = ranked(under[group])
        for line in lines[: most.lines]:
            yield builder.line((*words, label(layout.then, line[1])), line, [line])
        if rest := lines[most.lines :]:
            yield builder.line((*words, f"{len(rest):,} others"), None, rest)
    if others := groups[most.groups :]:
        yield builder.line((f"{len(others):,} others",), None, others)
