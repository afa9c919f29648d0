"""What statements share: the error for rows that were moved meanwhile, and lists in parts."""

from collections.abc import Iterable, Sequence
from typing import Any

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
