"""In which stored words orders say what a filter asks for. Reads only.

Providers write On, Enabled, Yes or Lost Mode for ON; "verizon" is in "US Verizon" and "Verizon Wireless".
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from sqlalchemy import Column, CompoundSelect, Connection, Select, func, literal_column, select, union_all

from devices import STATE_OF, SimState
from engines import read_prepared
from schema import orders

#: The columns in which a filter finds its words in any place.
NAMES = ("carrier", "model")
#: Every column whose stored words are looked through for what a filter means.
MEANT = (*STATE_OF, *NAMES)
#: Different values of a column that are looked at; sentences could make their number endless.
MOST_WORDINGS = 20_000
#: Letters of a word that is looked for without regard to blanks and signs: "tmobile" is in "T-Mobile".
JOINED = 4
#: Orders of one value that are counted for a suggestion.
COUNTED = 1_000


def wordings(connection: Connection, name: str, wanted: str) -> list[str]:
    """Return every stored value of a column of MEANT that means what is wanted; else the wanted words themselves."""
    means = _names(wanted) if name in NAMES else _is_finding(name, wanted)
    if means is None:
        return [wanted]
    words = (row.word for row in read_prepared(connection, stored_words(name)))
    return [word for word in words if word and means(word)] or [wanted]


def suggestions(connection: Connection) -> dict[str, list[tuple[str, int]]]:
    """Return for each column of MEANT (value, orders) of its stored values, the most frequent first.

    Orders are counted up to COUNTED. One statement, because five would take longer to start than to answer.
    """
    found: dict[str, list[tuple[str, int]]] = {name: [] for name in MEANT}
    for name, word, count in read_prepared(connection, _counted_words()):
        if word:
            found[name].append((word, int(count)))
    return {name: sorted(pairs, key=lambda pair: (-pair[1], pair[0].casefold())) for name, pairs in found.items()}


def finding_counts(name: str, counted: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the orders of each finding, from the counted wordings of a column of STATE_OF."""
    found: dict[str, int] = {}
    for word, count in counted:
        state = STATE_OF[name](word)
        found[state] = found.get(state, 0) + count
    return found


def stored_words(name: str) -> Select[Any]:
    """Return the SELECT of the different values of an indexed column of orders, as distinct_words() does."""
    return distinct_words(orders.c[name])


@cache  # a query is slower to put together than to answer
def distinct_words(column: Column[Any]) -> Select[Any]:
    """Return the SELECT of the different values of an indexed column, by one look into the index for each."""
    first = select(func.min(column).label("word")).where(column > "").cte(f"stored_{column.name}", recursive=True)
    after = select(func.min(column)).where(column > first.c.word).scalar_subquery()
    words = first.union_all(select(after).where(first.c.word.is_not(None)))
    return select(words.c.word).limit(MOST_WORDINGS)


@cache
def _counted_words() -> CompoundSelect[Any]:
    """Return the SELECT of each column of MEANT, its different values, and the orders of each value up to COUNTED."""
    return union_all(*map(_counted_words_of, MEANT))


def _counted_words_of(name: str) -> Select[Any]:
    words = stored_words(name).subquery()
    few = select(orders.c.id).where(orders.c[name] == words.c.word).limit(COUNTED).correlate(words).subquery()
    counted = select(func.count()).select_from(few).correlate(words).scalar_subquery()
    return select(literal_column(f"'{name}'"), words.c.word, counted)


def read_finding(name: str, text: str) -> str:
    """Return the finding that a text names in a column of STATE_OF, without regard to case; "" if it names none."""
    meant = STATE_OF[name](text)
    return "" if meant == SimState.UNKNOWN or meant.casefold() != text.casefold() else str(meant)


def _is_finding(name: str, wanted: str) -> Callable[[str], bool] | None:
    """Return a test whether words mean the wanted finding, or None if there is no such finding."""
    meant, state_of = read_finding(name, wanted), STATE_OF[name]
    return (lambda word: state_of(word) == meant) if meant else None


def _names(wanted: str) -> Callable[[str], bool]:
    """Return a test whether a name holds each wanted word, without regard to case and to signs between letters."""
    parts = wanted.casefold().split()

    def holds(name: str) -> bool:
        folded = name.casefold()
        return all(part in folded or _is_in_letters(part, folded) for part in parts)

    return holds


def _is_in_letters(part: str, folded: str) -> bool:
    letters = _letters(part)
    return len(letters) >= JOINED and letters in _letters(folded)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)
