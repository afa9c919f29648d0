"""What every table is made with: the collection of all tables, and columns that hold one of a few words."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, MetaData

metadata = MetaData()


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """Return the constraint that a column holds one of these words."""
    known = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({known})", name=f"{column}_is_known")
