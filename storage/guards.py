"""What statements share: the error for rows that were moved meanwhile, lists in parts, and a write without a wait."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from database import IMEIDatabase

#: How many values go into one IN list.
IN_LIST = 500
#: The values of one row of a statement that takes its rows as one JSON text.
Row = tuple[int | str | None, ...]


class WrongStateError(Exception):
    """Another process moved the row first; what was decided on its old state must not be written."""


def expect(condition: bool, message: str) -> None:
    """Raise WrongStateError with this message unless the condition holds."""
    if not condition:
        raise WrongStateError(message)


def parts(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Return values in pieces that fit one IN list."""
    return (values[start : start + IN_LIST] for start in range(0, len(values), IN_LIST))


@contextmanager
def write_if_free(database: IMEIDatabase) -> Iterator[Connection]:
    """Open a connection as database.write() does, for what may be left out: a page must not wait for it.

    Raises DatabaseUnavailableError after a moment where another connection writes.
    """
    with database.write(is_hurried=True) as connection:
        yield connection
