"""SQL that both databases understand: statements in words, and the few functions that they have under other names.

`sql()` takes a statement in words, as sqlalchemy.text() does, with two additions for one parameter that is a JSON list:

- `each(:ids AS INTEGER)`: the values of the list, as a subquery with the columns `key` and `value`; the list may also
  be the column of an earlier table of the FROM clause, such as `each(search.imeis AS TEXT)`;
- `rows(:rows AS id INTEGER, state TEXT)`: a list of lists, as a subquery with these columns and `key`.

`key` counts from 0, in the order of the list. `json_list(column)` is the other direction: the values of all rows as one
JSON list. Three more words tell SQLite how to find rows, which PostgreSQL decides itself:

- `CROSS JOIN … ON` keeps to this order of the tables;
- `by_index(idx_imei)` behind the name of a table;
- `in_index(idx_status, status, :status)`: whether the order has this value, or one of `each(:words AS TEXT)`, which is
  of the type WordList. SQLite looks into the index for it; PostgreSQL has read the order anyway.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from functools import cache
from itertools import chain
from typing import Any, ClassVar

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    BindParameter,
    Boolean,
    Connection,
    Dialect,
    Integer,
    Table,
    Text,
    TextClause,
    TypeDecorator,
    bindparam,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeEngine

EACH = re.compile(r"\beach\((:\w+|\w+\.\w+) AS (\w+)\)")
IN_INDEX = re.compile(r"\bin_index\((\w+), (\w+), (:\w+|each\(:\w+ AS \w+\))\)")
BY_INDEX = re.compile(r"\bby_index\((\w+)\)")
ROWS = re.compile(r"\brows\(:(\w+) AS ([\w ,]+)\)")
JSON_LIST = re.compile(r"\bjson_list\(([\w.]+)\)")
SQLITE, POSTGRESQL = "sqlite", "postgresql"
#: Rows that one INSERT takes at most: SQLite compiles each bound value, PostgreSQL begins and plans each statement.
ROWS_AT_ONCE = {SQLITE: 200, POSTGRESQL: 2000}
#: How many times as long as SQLite each database reads an entry of an index, and a row.
SLOWER = {SQLITE: 1, POSTGRESQL: 4}
SLOWER_ROWS = {SQLITE: 1, POSTGRESQL: 8}
#: INSERT … ON CONFLICT, as both databases write it.
upsert = postgresql.insert
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


@cache
def sql(words: str) -> TextClause:
    """Return a statement in words that both databases understand."""
    statement = text(words)
    statement.__class__ = _Words
    return statement


@compiles(_Words, SQLITE)
def _for_sqlite(element: TextClause, compiler: SQLCompiler, **given: Any) -> str:
    words = JSON_LIST.sub(r"json_group_array(\1)", IN_INDEX.sub(_sqlite_in_index, element.text))
    words = BY_INDEX.sub(r"INDEXED BY \1", words)
    return _written(element, compiler, ROWS.sub(_sqlite_rows, EACH.sub(_sqlite_each, words)), given)


@compiles(_Words, POSTGRESQL)
def _for_postgresql(element: TextClause, compiler: SQLCompiler, **given: Any) -> str:
    words = JSON_LIST.sub(r"CAST(coalesce(json_agg(\1), '[]') AS TEXT)", element.text).replace("CROSS JOIN", "JOIN")
    words = BY_INDEX.sub("", IN_INDEX.sub(_postgresql_in_index, words))
    return _written(element, compiler, ROWS.sub(_postgresql_rows, EACH.sub(_postgresql_each, words)), given)


def _written(element: TextClause, compiler: SQLCompiler, words: str, given: dict[str, Any]) -> str:
    plain = element._clone()
    plain.__class__ = TextClause
    plain.text = words
    return str(compiler.visit_textclause(plain, **given))  # type: ignore[no-untyped-call]


def _sqlite_each(found: re.Match[str]) -> str:
    if not found[1].startswith(":"):
        return f"json_each({found[1]})"
    return f"(SELECT key, value FROM json_each({found[1]}))"


def _sqlite_rows(found: re.Match[str]) -> str:
    columns = (f"value ->> {place} AS {name}" for place, (name, _) in enumerate(_columns(found[2])))
    return f"(SELECT key, {', '.join(columns)} FROM json_each(:{found[1]}))"


def _postgresql_each(found: re.Match[str]) -> str:
    wanted = WIDER.get(found[2], found[2])
    return (
        f"{'' if found[1].startswith(':') else 'LATERAL '}"
        f"(SELECT position - 1 AS key, CAST(word AS {wanted}) AS value FROM json_array_elements_text("
        f"CAST({found[1]} AS JSON)) WITH ORDINALITY AS listed (word, position))"
    )


def _postgresql_rows(found: re.Match[str]) -> str:
    columns = (
        f"CAST(line ->> {place} AS {WIDER.get(kind, kind)}) AS {name}"
        for place, (name, kind) in enumerate(_columns(found[2]))
    )
    return (
        f"(SELECT position - 1 AS key, {', '.join(columns)} FROM jsonb_array_elements("
        f"CAST(:{found[1]} AS JSONB)) WITH ORDINALITY AS listed (line, position))"
    )


def _sqlite_in_index(found: re.Match[str]) -> str:
    index, column, words = found[1], found[2], found[3]
    words = words if words.startswith(":") else f"SELECT value FROM {words} listed"
    return f"EXISTS (SELECT 1 FROM orders AS o INDEXED BY {index} WHERE o.{column} IN ({words}) AND o.id = orders.id)"


def _postgresql_in_index(found: re.Match[str]) -> str:
    is_one = found[3].startswith(":")
    return f"orders.{found[2]} = {found[3]}" if is_one else f"orders.{found[2]} = ANY({EACH.sub(_given, found[3])})"


def _given(found: re.Match[str]) -> str:
    return found[1]


def _columns(declared: str) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in (column.split(maxsplit=1) for column in declared.split(","))]


def each_of(values: Iterable[int | str], kind: str = "TEXT") -> TextClause:
    """Return a subquery of one column with these values, for in_(): a list of any length as one bound text."""
    listed = json.dumps(list(values))
    return sql(f"SELECT value FROM each(:listed AS {kind}) listed").bindparams(bindparam("listed", listed, unique=True))


def insert_rows(connection: Connection, words: str, rows: Sequence[Sequence[int | str | None]], **given: Any) -> int:
    """Run an INSERT that takes rows(:rows AS …), with these other values. Return how many rows it wrote.

    It is one statement for as many rows as the database takes well at once.
    """
    insert = _insert_json if connection.dialect.name == POSTGRESQL else _insert_bound
    most = ROWS_AT_ONCE[connection.dialect.name]
    return sum(insert(connection, words, rows[first : first + most], given) for first in range(0, len(rows), most))


def _insert_json(connection: Connection, words: str, rows: Sequence[Sequence[Any]], given: Mapping[str, Any]) -> int:
    return connection.execute(sql(words), {"rows": json.dumps(rows), **given}).rowcount


def _insert_bound(connection: Connection, words: str, rows: Sequence[Sequence[Any]], given: Mapping[str, Any]) -> int:
    """Insert with bound values: to read the rows from JSON would take SQLite as long as to insert them."""
    values = (value.isoformat(" ") if isinstance(value, datetime) else value for value in given.values())
    bound = _bound(words, tuple(given), len(rows))
    return connection.exec_driver_sql(bound, (*values, *chain.from_iterable(rows))).rowcount


@cache
def _bound(words: str, names: tuple[str, ...], count: int) -> str:
    """Return a statement of SQLite with numbered places for these names, and with this number of rows."""
    for place, name in enumerate(names, start=1):
        words = re.sub(rf":{name}\b", f"?{place}", words)
    columns = [name for found in ROWS.finditer(words) for name, _ in _columns(found[2])]
    named = ", ".join(f"column{place} AS {name}" for place, name in enumerate(columns, start=1))
    line = f"({', '.join('?' * len(columns))})"
    return ROWS.sub(f"(SELECT {named} FROM (VALUES {', '.join([line] * count)}))", words)


def run_together(connection: Connection, statements: Sequence[TextClause], values: Mapping[str, Any]) -> list[int]:
    """Run statements that change rows of different tables. Return how many rows each has changed.

    PostgreSQL takes them as one, which saves a round trip for each: none of them sees what the others change.
    """
    if connection.dialect.name == POSTGRESQL:
        return list(connection.execute(_as_one(tuple(statements)), values).one())
    return [connection.execute(statement, values).rowcount for statement in statements]


@cache
def _as_one(statements: tuple[TextClause, ...]) -> TextClause:
    parts = ", ".join(f"part{place} AS ({one.text} RETURNING 1)" for place, one in enumerate(statements))
    counts = ", ".join(f"(SELECT count(*) FROM part{place})" for place in range(len(statements)))
    given = [bind for one in statements for bind in one.get_children() if isinstance(bind, BindParameter)]
    return sql(f"WITH {parts} SELECT {counts}").bindparams(*given)


def last_id(connection: Connection, table: Table) -> int:
    """Return the largest id that a table ever gave, also to a row that was deleted since; 0 before the first."""
    return int(connection.execute(text(LAST_IDS[connection.dialect.name].format(table.name))).scalar() or 0)


def skip_ids(connection: Connection, table: Table, last: int) -> None:
    """Let the next row of a table have the id after `last`."""
    for statement in SKIPPED[connection.dialect.name]:
        connection.execute(text(statement.format(table.name)), {"last": last} if ":last" in statement else {})


def slowness(connection: Connection, of_rows: bool = False) -> int:
    """Return how many times as long as SQLite a database reads an entry of an index, or a row."""
    return (SLOWER_ROWS if of_rows else SLOWER)[connection.dialect.name]


class WordList(TypeDecorator[list[Any]]):
    """The type of a parameter that is a list of words, for is_one_of(): PostgreSQL plans by the words of an array."""

    impl = Text
    cache_ok = True
    of: ClassVar[type[TypeEngine[Any]]] = Text

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return postgresql.ARRAY(self.of()) if dialect.name == POSTGRESQL else Text()

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> Any:
        return value if dialect.name == POSTGRESQL else json.dumps(value)


class NumberList(WordList):
    """The type of a parameter that is a list of whole numbers, for is_one_of(): one statement for all lengths."""

    cache_ok = True
    of = BigInteger


class DayStart(TypeDecorator[date]):
    """The type of a parameter that is a UTC day, to compare a time with its beginning.

    SQLite compares texts, and the text of a day sorts before every moment of it: older moments have no fraction.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return TIMESTAMP() if dialect.name == POSTGRESQL else Text()

    def process_bind_param(self, value: date | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == POSTGRESQL:
            return value and datetime.combine(value, time())
        return value.isoformat()


class day_of(GenericFunction[str]):
    """The UTC day of a time, such as 2026-11-25."""

    type = Text()
    inherit_cache = True


class place_in(GenericFunction[int]):
    """Where the second text begins in the first one, from 1; 0: nowhere."""

    type = Integer()
    inherit_cache = True


class is_one_of(GenericFunction[Any]):
    """Whether a column has one of the words of a parameter of the type WordList.

    Without a type: SQLite would be asked whether it is 1, and would use no index.
    """

    inherit_cache = True


class unindexed(GenericFunction[Any]):
    """A column in an expression for which SQLite uses no index. PostgreSQL knows better which index to use."""

    inherit_cache = True


class has_any_value(GenericFunction[bool]):
    """True, whatever a column holds. SQLite uses an index of the column for it; PostgreSQL needs no such hint."""

    type = Boolean()
    inherit_cache = True


class total(GenericFunction[int]):
    """The sum of whole numbers; NULL for no rows. The sum of PostgreSQL is no whole number in Python."""

    type = Integer()
    inherit_cache = True


class whole(GenericFunction[int]):
    """A number without its fraction. Both databases round a half in their own way."""

    type = Integer()
    inherit_cache = True


class json_length(GenericFunction[int]):
    """How many values a text has that is a JSON list."""

    type = Integer()
    inherit_cache = True


class newest_number(GenericFunction[int]):
    """The highest number that was ever given to an entry of the audit log, also where it was removed; NULL: none."""

    type = Integer()
    inherit_cache = True


#: What each function is on each database, with {} for its arguments. Where there is none, the name is the same.
WRITTEN: tuple[tuple[type[GenericFunction[Any]], str, str], ...] = (
    (day_of, SQLITE, "date({})"),
    (day_of, POSTGRESQL, "to_char({}, 'YYYY-MM-DD')"),
    (place_in, SQLITE, "instr({})"),
    (place_in, POSTGRESQL, "strpos({})"),
    (unindexed, SQLITE, "coalesce({}, NULL)"),
    (unindexed, POSTGRESQL, "{}"),
    (has_any_value, SQLITE, "coalesce(CAST({} AS TEXT), '') >= ''"),
    (has_any_value, POSTGRESQL, "true"),
    (total, SQLITE, "sum({})"),
    (total, POSTGRESQL, "CAST(sum({}) AS BIGINT)"),
    (whole, SQLITE, "CAST({} AS BIGINT)"),
    (whole, POSTGRESQL, "CAST(trunc({}) AS BIGINT)"),
    (json_length, SQLITE, "json_array_length({})"),
    (json_length, POSTGRESQL, "json_array_length(CAST({} AS JSON))"),
    (newest_number, SQLITE, "(SELECT seq FROM sqlite_sequence WHERE name = 'audit_entries')"),
    (newest_number, POSTGRESQL, "(SELECT given FROM audit_counter)"),
)


def _write(function: type[GenericFunction[Any]], dialect: str, words: str) -> None:
    @compiles(function, dialect)
    def _written_as(element: GenericFunction[Any], compiler: SQLCompiler, **given: Any) -> str:
        return words.format(compiler.process(element.clauses, **given))


for _one in WRITTEN:
    _write(*_one)


@compiles(is_one_of, SQLITE)
def _sqlite_is_one_of(element: is_one_of, compiler: SQLCompiler, **given: Any) -> str:
    column, words = (compiler.process(part, **given) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({words}))"


@compiles(is_one_of, POSTGRESQL)
def _postgresql_is_one_of(element: is_one_of, compiler: SQLCompiler, **given: Any) -> str:
    column, words = (compiler.process(part, **given) for part in element.clauses)
    return f"{column} = ANY({words})"
