"""What people chose on pages, such as the columns of a table: one JSON value for each person and name."""

import json
from typing import Any

from sqlalchemy import bindparam, delete, select

from database import IMEIDatabase
from engines import read_prepared
from schema import preferences, upsert

OF_PERSON = (preferences.c.person == bindparam("by"), preferences.c.name == bindparam("wanted"))
#: A query of every page with a table, made once.
WANTED = select(preferences.c.value).where(*OF_PERSON)


def preference(database: IMEIDatabase, person: str, name: str) -> Any:
    """Return what a person chose under this name; None where there is nothing."""
    with database.read() as connection:
        found = read_prepared(connection, WANTED, {"by": person, "wanted": name}).scalar()
    return None if found is None else json.loads(found)


def prefer(database: IMEIDatabase, person: str, name: str, value: Any) -> None:
    """Store what a person chose under this name, over an earlier choice. None deletes it."""
    with database.write() as connection:
        if value is None:
            connection.execute(delete(preferences).where(*OF_PERSON), {"by": person, "wanted": name})
            return
        new = {"value": json.dumps(value)}
        statement = upsert(preferences).values(person=person, name=name, **new)
        connection.execute(statement.on_conflict_do_update(index_elements=["person", "name"], set_=new))
