"""What every table is made with: the collection of all tables, and columns that hold one of a few words."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, MetaData

metadata = MetaData()


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """Return the constraint that a column holds one of these words.

    It is no IN list: at each row that it writes, SQLite would make a temporary index of more than two words.
    """
    known = " OR ".join(f"{column} = '{word}'" for word in words)
    return CheckConstraint(known, name=f"{column}_is_known")
