"""In which words the stored orders say a verdict: providers write On, Enabled, Yes or Lost Mode for ON. Reads only."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Select, func, select

from device_states import SimState, fmi_state, sim_state
from schema import orders

#: The columns that hold a verdict in the provider's words, and what reads them.
VERDICTS: Mapping[str, Callable[[str], StrEnum]] = MappingProxyType({"simlock": sim_state, "fmi": fmi_state})
#: Wordings that are looked at; sentences could make their number endless.
MOST_WORDINGS = 2000


def wordings(connection: Connection, name: str, wanted: str) -> list[str]:
    """Every stored wording that means the verdict, such as "ON"; else the wanted words themselves.

    name is one of VERDICTS.
    """
    state_of = VERDICTS[name]
    meant = state_of(wanted)
    if meant == SimState.UNKNOWN or meant.casefold() != wanted.casefold():
        return [wanted]
    words = connection.execute(stored_words(name)).scalars()
    return [word for word in words if word and state_of(word) == meant] or [wanted]


@cache  # a query is slower to put together than to answer
def stored_words(name: str) -> Select[Any]:
    """The different values of an indexed column, by one look into the index for each."""
    column = orders.c[name]
    first = select(func.min(column).label("word")).where(column > "").cte("stored", recursive=True)
    after = select(func.min(column)).where(column > first.c.word).scalar_subquery()
    words = first.union_all(select(after).where(first.c.word.is_not(None)))
    return select(words.c.word).limit(MOST_WORDINGS)
