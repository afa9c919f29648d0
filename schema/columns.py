"""What every table is made with: the collection of all tables, and types of columns that both databases have.

PostgreSQL's INTEGER and REAL have half the digits of SQLite's, and its texts are sorted by the rules of a language.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import REAL as SHORT_REAL
from sqlalchemy import BigInteger, CheckConstraint, ColumnElement, Double, Integer, MetaData, Text, TextClause
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

metadata = MetaData()

#: 64 bits, on both databases.
INTEGER = Integer().with_variant(BigInteger(), "postgresql")
#: A float of 64 bits, on both databases.
REAL: TypeEngine[float] = SHORT_REAL().with_variant(Double(), "postgresql")
#: Sorted and compared by code points, on both databases.
TEXT = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """Return the constraint that a column holds one of these words.

    It is no IN list: at each row that it writes, SQLite would make a temporary index of more than two words.
    """
    known = " OR ".join(f"{column} = '{word}'" for word in words)
    return CheckConstraint(known, name=f"{column}_is_known")


def only(condition: ColumnElement[Any] | TextClause) -> dict[str, Any]:
    """Return the options of an index that holds only the rows with this condition."""
    return {"sqlite_where": condition, "postgresql_where": condition}
