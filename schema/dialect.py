"""SQL that both databases understand: statements in words, and the few functions that they have under other names.

`sql()` takes a statement in words, as sqlalchemy.text() does, with two additions for one parameter that is a JSON list:

- `each(:ids AS INTEGER)`: the values of the list, as a subquery with the columns `key` and `value`;
- `rows(:rows AS id INTEGER, state TEXT)`: a list of lists, as a subquery with these columns and `key`.

`key` counts from 0, in the order of the list. `json_list(column)` is the other direction: the values of all rows as one
JSON list. `CROSS JOIN … ON` keeps SQLite to this order of the tables; PostgreSQL chooses its own.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Table, Text, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

__all__ = [
    "day_of",
    "each_of",
    "greatest",
    "insert_rows",
    "last_id",
    "least",
    "place_in",
    "skip_ids",
    "sql",
    "upsert",
]

EACH = re.compile(r"\beach\(:(\w+) AS (\w+)\)")
ROWS = re.compile(r"\brows\(:(\w+) AS ([\w ,]+)\)")
JSON_LIST = re.compile(r"\bjson_list\(([\w.]+)\)")
SQLITE, POSTGRESQL = "sqlite", "postgresql"
#: How each database keeps the last id of a table.
LAST_IDS = {
    SQLITE: "SELECT seq FROM sqlite_sequence WHERE name = '{}'",
    POSTGRESQL: "SELECT last_value FROM {}_id_seq WHERE is_called",
}
SKIPPED = {
    SQLITE: (
        "DELETE FROM sqlite_sequence WHERE name = '{}'",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('{}', :last)",
    ),
    POSTGRESQL: ("SELECT setval('{}_id_seq', :last)",),
}
#: The types of SQLite that have half as many digits on PostgreSQL.
WIDER = {"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION"}


class _Words(TextClause):
    """A statement with each() and rows(), written for each database when it is compiled."""

    inherit_cache = True


def sql(words: str) -> TextClause:
    """Return a statement in words that both databases understand."""
    statement = text(words)
    statement.__class__ = _Words
    return statement


@compiles(_Words, SQLITE)
def _for_sqlite(element: TextClause, compiler: SQLCompiler, **given: Any) -> str:
    words = JSON_LIST.sub(r"json_group_array(\1)", element.text)
    return _written(element, compiler, ROWS.sub(_sqlite_rows, EACH.sub(_sqlite_each, words)), given)


@compiles(_Words, POSTGRESQL)
def _for_postgresql(element: TextClause, compiler: SQLCompiler, **given: Any) -> str:
    words = JSON_LIST.sub(r"CAST(coalesce(json_agg(\1), '[]') AS TEXT)", element.text).replace("CROSS JOIN", "JOIN")
    return _written(element, compiler, ROWS.sub(_postgresql_rows, EACH.sub(_postgresql_each, words)), given)


def _written(element: TextClause, compiler: SQLCompiler, words: str, given: dict[str, Any]) -> str:
    plain = element._clone()
    plain.__class__ = TextClause
    plain.text = words
    return str(compiler.visit_textclause(plain, **given))  # type: ignore[no-untyped-call]


def _sqlite_each(found: re.Match[str]) -> str:
    return f"(SELECT key, value FROM json_each(:{found[1]}))"


def _sqlite_rows(found: re.Match[str]) -> str:
    columns = (f"value ->> {place} AS {name}" for place, (name, _) in enumerate(_columns(found[2])))
    return f"(SELECT key, {', '.join(columns)} FROM json_each(:{found[1]}))"


def _postgresql_each(found: re.Match[str]) -> str:
    wanted = WIDER.get(found[2], found[2])
    return (
        f"(SELECT position - 1 AS key, CAST(word AS {wanted}) AS value FROM json_array_elements_text("
        f"CAST(:{found[1]} AS JSON)) WITH ORDINALITY AS listed (word, position))"
    )


def _postgresql_rows(found: re.Match[str]) -> str:
    columns = (
        f"CAST(line ->> {place} AS {WIDER.get(kind, kind)}) AS {name}"
        for place, (name, kind) in enumerate(_columns(found[2]))
    )
    return (
        f"(SELECT position - 1 AS key, {', '.join(columns)} FROM json_array_elements("
        f"CAST(:{found[1]} AS JSON)) WITH ORDINALITY AS listed (line, position))"
    )


def _columns(declared: str) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in (column.split(maxsplit=1) for column in declared.split(","))]


def each_of(values: Iterable[int | str], kind: str = "TEXT") -> TextClause:
    """Return a subquery of one column with these values, for in_(): a list of any length as one bound text."""
    listed = json.dumps(list(values))
    return sql(f"SELECT value FROM each(:listed AS {kind}) listed").bindparams(bindparam("listed", listed, unique=True))


def insert_rows(connection: Connection, words: str, rows: Sequence[Sequence[int | str | None]], **given: Any) -> int:
    """Run an INSERT that takes rows(:rows AS …), with these other values. Return how many rows it wrote.

    SQLite gets bound values: to read the rows from JSON would take it as long as to insert them.
    """
    if connection.dialect.name == POSTGRESQL:
        return connection.execute(_cached(words), {"rows": json.dumps(rows), **given}).rowcount
    values = (value.isoformat(" ") if isinstance(value, datetime) else value for value in given.values())
    bound = _bound(words, tuple(given), len(rows))
    return connection.exec_driver_sql(bound, (*values, *chain.from_iterable(rows))).rowcount


@cache
def _cached(words: str) -> TextClause:
    return sql(words)


@cache
def _bound(words: str, names: tuple[str, ...], count: int) -> str:
    """Return a statement of SQLite with numbered places for these names, and with this number of rows."""
    for place, name in enumerate(names, start=1):
        words = re.sub(rf":{name}\b", f"?{place}", words)
    columns = [name for found in ROWS.finditer(words) for name, _ in _columns(found[2])]
    named = ", ".join(f"column{place} AS {name}" for place, name in enumerate(columns, start=1))
    line = f"({', '.join('?' * len(columns))})"
    return ROWS.sub(f"(SELECT {named} FROM (VALUES {', '.join([line] * count)}))", words)


def last_id(connection: Connection, table: Table) -> int:
    """Return the largest id that a table ever gave, also to a row that was deleted since; 0 before the first."""
    return int(connection.execute(text(LAST_IDS[connection.dialect.name].format(table.name))).scalar() or 0)


def skip_ids(connection: Connection, table: Table, last: int) -> None:
    """Let the next row of a table have the id after `last`."""
    for statement in SKIPPED[connection.dialect.name]:
        connection.execute(text(statement.format(table.name)), {"last": last} if ":last" in statement else {})


class day_of(GenericFunction[str]):
    """The UTC day of a time, such as 2026-11-25."""

    type = Text()
    inherit_cache = True


class greatest(GenericFunction[Any]):
    """The largest of several values of one row, none of which may be NULL."""

    inherit_cache = True


class least(GenericFunction[Any]):
    """The smallest of several values of one row, none of which may be NULL."""

    inherit_cache = True


class place_in(GenericFunction[int]):
    """Where the second text begins in the first one, from 1; 0: nowhere."""

    type = Integer()
    inherit_cache = True


def _called(element: ColumnElement[Any], compiler: SQLCompiler, name: str, given: dict[str, Any]) -> str:
    return f"{name}({compiler.process(element.clauses, **given)})"


@compiles(day_of, SQLITE)
def _sqlite_day(element: day_of, compiler: SQLCompiler, **given: Any) -> str:
    return _called(element, compiler, "date", given)


@compiles(day_of, POSTGRESQL)
def _postgresql_day(element: day_of, compiler: SQLCompiler, **given: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **given)}, 'YYYY-MM-DD')"


@compiles(greatest, SQLITE)
def _sqlite_greatest(element: greatest, compiler: SQLCompiler, **given: Any) -> str:
    return _called(element, compiler, "max", given)


@compiles(least, SQLITE)
def _sqlite_least(element: least, compiler: SQLCompiler, **given: Any) -> str:
    return _called(element, compiler, "min", given)


@compiles(place_in, SQLITE)
def _sqlite_place(element: place_in, compiler: SQLCompiler, **given: Any) -> str:
    return _called(element, compiler, "instr", given)


@compiles(place_in, POSTGRESQL)
def _postgresql_place(element: place_in, compiler: SQLCompiler, **given: Any) -> str:
    return _called(element, compiler, "strpos", given)
