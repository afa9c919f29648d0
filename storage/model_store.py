"""Models of phones by TAC: what our own results say, and the list that an administrator imported.

Own results win: the model that most of them name, or the first by name of several. This module reads no result texts
and no files.
"""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

from sqlalchemy import Connection, bindparam, delete, func, select

from database import IMEIDatabase, utc_now
from devices import brand_of
from schema import imported_models, sql, tac_models

#: Digits of a TAC.
TAC = 8
#: Rows of an import that are written in one transaction, so that orders are recorded between two of them.
WRITTEN_AT_ONCE = 20_000
#: Orders of one TAC that are looked at for the services that its phones are ordered with.
LOOKED_AT = 50

KNOWN = sql(
    "SELECT m.tac, '' AS brand, m.model, m.orders FROM each(:tacs AS TEXT) given"
    " JOIN tac_models m ON m.tac = given.value"
    " UNION ALL"
    " SELECT i.tac, i.brand, i.model, 0 FROM each(:tacs AS TEXT) given JOIN imported_models i ON i.tac = given.value"
)
#: The orders of each TAC lie side by side in the index of IMEIs.
SERVICES_OF = sql(
    "SELECT value AS tac, (SELECT json_list(service_id) FROM (SELECT service_id FROM orders"
    "  WHERE imei >= given.value AND imei < given.value || ':' AND service_id IS NOT NULL LIMIT :most) first) AS used"
    " FROM each(:tacs AS TEXT) given"
)
INSERT_IMPORTED = sql(
    "INSERT INTO imported_models (tac, brand, model, imported_at)"
    " SELECT tac, brand, model, :now FROM rows(:rows AS tac TEXT, brand TEXT, model TEXT) given WHERE true"
    " ON CONFLICT (tac)"
    " DO UPDATE SET brand = excluded.brand, model = excluded.model, imported_at = excluded.imported_at"
).bindparams(bindparam("now", type_=imported_models.c.imported_at.type))


class PhoneModel(NamedTuple):
    """What is known of the phones of one TAC."""

    tac: str
    brand: str  #: "" where it is unknown
    model: str  #: "" where only the brand is known
    results: int  #: our results that name this model; 0: it is known from the imported list
    of_all: int  #: our results that name any model

    @classmethod
    def from_words(cls, tac: str, named: Mapping[str, int], brand: str, model: str) -> Self:
        """Make one of our results by model, and of the brand and model that were imported."""
        if not named:
            return cls(tac, brand_of(brand) or brand_of(model) or brand, model, 0, 0)
        best = min(named, key=lambda one: (-named[one], one))
        return cls(tac, brand_of(best) or brand_of(brand) or brand, best, named[best], sum(named.values()))


class TacRow(NamedTuple):
    """One line of a list of TACs."""

    tac: str
    brand: str
    model: str


class Imported(NamedTuple):
    """What an import of a list did with its TACs."""

    new: int
    changed: int
    unchanged: int


class TacCounts(NamedTuple):
    """How many TACs are known."""

    own: int  #: from our results
    imported: int


def models_of(database: IMEIDatabase, imeis: Iterable[str]) -> dict[str, PhoneModel]:
    """Return TAC → what is known of its phones, for those TACs of these IMEIs that are known."""
    with database.read() as connection:
        return models_in(connection, {imei[:TAC] for imei in imeis})


def models_in(connection: Connection, tacs: Iterable[str]) -> dict[str, PhoneModel]:
    """Return TAC → what is known of its phones, inside a transaction."""
    named: dict[str, dict[str, int]] = {}
    imported: dict[str, tuple[str, str]] = {}
    for tac, brand, model, count in connection.execute(KNOWN, {"tacs": json.dumps(sorted(tacs))}):
        own = named.setdefault(tac, {})
        if count:
            own[model] = count
        else:
            imported[tac] = brand, model
    return {tac: PhoneModel.from_words(tac, own, *imported.get(tac, ("", ""))) for tac, own in named.items()}


def named_models(database: IMEIDatabase, tac: str) -> list[tuple[str, int]]:
    """Return each model that our results name for a TAC, with their number, the most frequent first."""
    query = select(tac_models.c.model, tac_models.c.orders).where(tac_models.c.tac == tac)
    with database.read() as connection:
        rows = connection.execute(query.order_by(tac_models.c.orders.desc(), tac_models.c.model)).all()
    return [(row.model, row.orders) for row in rows]


def imported_row(database: IMEIDatabase, tac: str) -> TacRow | None:
    """Return what the imported list has for a TAC."""
    columns = (imported_models.c[name] for name in TacRow._fields)
    with database.read() as connection:
        row = connection.execute(select(*columns).where(imported_models.c.tac == tac)).first()
    return TacRow._make(row) if row else None


def tac_counts(database: IMEIDatabase) -> TacCounts:
    """Return how many TACs are known."""
    own = select(func.count(tac_models.c.tac.distinct())).scalar_subquery()
    imported = select(func.count()).select_from(imported_models).scalar_subquery()
    with database.read() as connection:
        return TacCounts._make(connection.execute(select(own, imported)).one())


def services_ordered(database: IMEIDatabase, tacs: Iterable[str]) -> dict[str, list[str]]:
    """Return TAC → the services of some of its orders, one for each order."""
    given = {"tacs": json.dumps(list(tacs)), "most": LOOKED_AT}
    with database.read() as connection:
        return {row.tac: json.loads(row.used) for row in connection.execute(SERVICES_OF, given)}


def import_models(database: IMEIDatabase, rows: Iterable[TacRow]) -> Imported:
    """Take these TACs into the imported list, over earlier lines of the same TACs; the last line of a TAC counts."""
    given = {row.tac: row for row in rows}
    query = select(*(imported_models.c[name] for name in TacRow._fields))
    with database.read() as connection:
        stored = {row[0]: row for row in connection.execute(query)}
    new = [row for tac, row in given.items() if tac not in stored]
    changed = [row for tac, row in given.items() if tac in stored and row != tuple(stored[tac])]
    written = [*new, *changed]
    for start in range(0, len(written), WRITTEN_AT_ONCE):
        with database.write() as connection:
            part = json.dumps(written[start : start + WRITTEN_AT_ONCE])
            connection.execute(INSERT_IMPORTED, {"rows": part, "now": utc_now()})
    return Imported(len(new), len(changed), len(given) - len(new) - len(changed))


def forget_imported(database: IMEIDatabase) -> int:
    """Delete the imported list; return how many TACs it had."""
    with database.write() as connection:
        return connection.execute(delete(imported_models)).rowcount
