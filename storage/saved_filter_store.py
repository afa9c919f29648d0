"""Filters of the history that people saved: their own, and those that are shared with everybody."""

from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import bindparam, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from database import IMEIDatabase, utc_now
from engines import read_prepared
from schema import saved_filters, upsert

COLUMNS = saved_filters.c
SAVED = select(COLUMNS.id, COLUMNS.person, COLUMNS.name, COLUMNS.query, COLUMNS.is_shared)
#: Those that a person sees.
SEEN = SAVED.where(or_(COLUMNS.person == bindparam("by"), COLUMNS.is_shared))
#: Filters that one person may save.
MOST = 100


@dataclass(frozen=True, slots=True)
class SavedFilter:
    """A filter of the history under a name."""

    filter_id: int
    person: str  #: who saved it
    name: str
    query: str  #: as the URL of the history has it, such as "verdict=fail&since=7d"
    is_shared: bool  #: everybody sees it

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Make one of a row of SAVED."""
        return cls(row.id, row.person, row.name, row.query, row.is_shared)


def filters_of(database: IMEIDatabase, person: str) -> list[SavedFilter]:
    """Return the filters that a person sees: their own and the shared ones, by name."""
    with database.read() as connection:
        found = [SavedFilter.from_row(row) for row in read_prepared(connection, SEEN, {"by": person})]
    return sorted(found, key=lambda one: (one.name.casefold(), one.filter_id))


def find_filter(database: IMEIDatabase, filter_id: int) -> SavedFilter | None:
    """Return one filter; None for an unknown id."""
    with database.read() as connection:
        row = connection.execute(SAVED.where(COLUMNS.id == filter_id)).first()
    return SavedFilter.from_row(row) if row else None


def save_filter(database: IMEIDatabase, person: str, name: str, query: str, is_shared: bool) -> bool:
    """Save a filter, in the place of the person's filter of this name. Return False for one that is too many."""
    new = {"query": query, "is_shared": is_shared, "saved_at": utc_now()}
    statement = upsert(saved_filters).values(person=person, name=name, **new)
    theirs = select(func.count()).where(COLUMNS.person == person, COLUMNS.name != name)
    with database.write() as connection:
        if connection.execute(theirs).scalar_one() >= MOST:
            return False
        connection.execute(statement.on_conflict_do_update(index_elements=["person", "name"], set_=new))
    return True


def change_filter(database: IMEIDatabase, filter_id: int, name: str, is_shared: bool) -> bool:
    """Rename a filter, and share it or not. Return False where its person has another filter of this name."""
    changed = update(saved_filters).where(COLUMNS.id == filter_id).values(name=name, is_shared=is_shared)
    try:
        with database.write() as connection:
            connection.execute(changed)
    except IntegrityError:
        return False
    return True


def delete_filter(database: IMEIDatabase, filter_id: int) -> None:
    """Delete a filter."""
    with database.write() as connection:
        connection.execute(delete(saved_filters).where(COLUMNS.id == filter_id))
