"""SQL that both databases understand: statements in words, and the few functions that they have under other names.

`sql()` takes a statement in words, as sqlalchemy.text() does, with two additions for one parameter that is a JSON list:

- `each(:ids AS INTEGER)`: the values of the list, as a subquery with the columns `key` and `value`;
- `rows(:rows AS id INTEGER, state TEXT)`: a list of lists, as a subquery with these columns and `key`.

`key` counts from 0, in the order of the list.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Integer, Text, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

__all__ = ["day_of", "each_of", "greatest", "least", "place_in", "sql", "upsert"]

EACH = re.compile(r"\beach\(:(\w+) AS (\w+)\)")
ROWS = re.compile(r"\brows\(:(\w+) AS ([\w ,]+)\)")
SQLITE, POSTGRESQL = "sqlite", "postgresql"
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
    return _written(element, compiler, _sqlite_each, _sqlite_rows, given)


@compiles(_Words, POSTGRESQL)
def _for_postgresql(element: TextClause, compiler: SQLCompiler, **given: Any) -> str:
    return _written(element, compiler, _postgresql_each, _postgresql_rows, given)


def _written(element: TextClause, compiler: SQLCompiler, each: Any, rows: Any, given: dict[str, Any]) -> str:
    plain = element._clone()
    plain.__class__ = TextClause
    plain.text = ROWS.sub(rows, EACH.sub(each, element.text))
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
