"""Values of a file of SQLite as PostgreSQL takes them. Pure.

SQLite lets a column hold anything; PostgreSQL holds the column's type, and no NUL in a text. A value that the program
reads from SQLite is read from PostgreSQL as the same value, or it is refused by name. One repair is made, and reported:
a NUL in a text that identifies nothing becomes U+FFFD.
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Column, Double, Float, Integer, LargeBinary, Table, Text
from sqlalchemy.types import TIMESTAMP, TypeEngine

from amounts import HIGHEST_PRICE
from schema import orders

NUL, REPLACEMENT = "\0", "\ufffd"
TRUTH = {None: None, 0: False, 1: True}
#: Tables whose texts stay as they are, sign for sign: the digests of the audit log cover them.
EXACT = frozenset({"audit_entries"})
#: Columns of US dollars that an order has cost. More than one can cost would break every sum of them on the server.
PRICES = frozenset({orders.c.credits})

#: The values of one column of some rows → the same values for PostgreSQL. Raises ValueError, TypeError, KeyError.
Conversion = Callable[[Sequence[Any]], Sequence[Any]]


def conversion_of(column: Column[Any]) -> Conversion:
    """Return how the values of a column are converted. Raises KeyError for a type that no table has."""
    if column in PRICES:
        return _price
    if isinstance(column.type, Text) and not is_exact(column):
        return _repaired
    return next(conversion for kind, conversion in CONVERSIONS if isinstance(column.type, kind))


def is_exact(column: Column[Any]) -> bool:
    """Whether a text of this column identifies something, or a digest covers it: then it is never repaired."""
    table: Table = column.table
    is_key = column.primary_key or column.unique or any(i.unique and column.name in i.columns for i in table.indexes)
    return is_key or table.name in EXACT


def repair(text: str) -> str:
    """Return a text without NUL."""
    return text.replace(NUL, REPLACEMENT)


def fits(conversion: Conversion, value: object) -> bool:
    """Whether a single value can be converted."""
    try:
        conversion([value])
    except (ValueError, TypeError, KeyError):
        return False
    return True


def _only(values: Sequence[Any], *types: type) -> Sequence[Any]:
    """Return the values. Raises TypeError unless each is NULL or of these types."""
    if not set(map(type, values)) <= {*types, type(None)}:
        raise TypeError
    return values


def _real(values: Sequence[Any]) -> Sequence[Any]:
    if math.inf in _only(values, float, int) or -math.inf in values:
        raise ValueError
    return values


def _price(values: Sequence[Any]) -> Sequence[Any]:
    if not all(abs(value) <= HIGHEST_PRICE for value in _only(values, float, int) if value is not None):
        raise ValueError
    return values


def _truth(values: Sequence[Any]) -> Sequence[Any]:
    return [TRUTH[value] for value in _only(values, int)]


def _moments(values: Sequence[Any]) -> Sequence[Any]:
    """The program reads such a text with fromisoformat, and no time with a time zone."""
    found = [None if value is None else datetime.fromisoformat(value) for value in values]
    if any(moment is not None and moment.tzinfo for moment in found):
        raise ValueError
    return found


def _exact(values: Sequence[Any]) -> Sequence[Any]:
    if NUL in "".join(filter(None, _only(values, str))):
        raise ValueError
    return values


def _repaired(values: Sequence[Any]) -> Sequence[Any]:
    if NUL not in "".join(filter(None, _only(values, str))):
        return values
    return [repair(value) if value else value for value in values]


CONVERSIONS: tuple[tuple[type[TypeEngine[Any]] | tuple[type[TypeEngine[Any]], ...], Conversion], ...] = (
    (Boolean, _truth),
    (Integer, lambda values: _only(values, int)),
    ((Double, Float), _real),
    (TIMESTAMP, _moments),
    (LargeBinary, lambda values: _only(values, bytes)),
    (Text, _exact),
)
