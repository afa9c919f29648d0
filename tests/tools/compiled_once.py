"""What the apps and databases of a test process share: compiled templates, rules and queries, and the empty schema.

To make them takes longer than most tests.
"""

from collections.abc import Callable, Iterator
from types import CodeType, MethodType
from typing import Any, ClassVar, cast

from flask import Flask
from flask.templating import Environment
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy import Connection, Engine, create_engine
from werkzeug.routing import Rule

import database
from engines import sqlite_engine
from sqlite_file import dbapi as driver


class CompiledTemplates(BytecodeCache):
    """The code of each template by its name and source, in memory."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._codes[bucket.key, bucket.checksum] = bucket.code


class ParsedOnce(Rule):
    """A rule that is parsed once for all apps, and compiled when the first of them builds an address of it."""

    _parsed: ClassVar[dict[tuple[Any, ...], "ParsedOnce"]] = {}  #: by what decides how a rule is parsed

    def compile(self) -> None:
        assert self.map is not None
        key = (self.rule, self.subdomain, self.merge_slashes, repr(self.defaults), *self.map.converters.values())
        known = self._parsed.setdefault(key, self)
        if known is self:
            super().compile()
            return
        self._parts, self._trace, self._converters = known._parts, known._trace, known._converters
        self.arguments.update(self._converters)
        self._build = MethodType(cast(MethodType, known._build).__func__, self)
        self._build_unknown = MethodType(cast(MethodType, known._build_unknown).__func__, self)

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compile_now = super()._compile_builder
        made: list[Callable[..., tuple[str, str]]] = []

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            if not made:
                made.append(compile_now(append_unknown))
            return made[0](rule, **values)

        return build


class CopiedSchema:
    """Runs the migrations once, and gives each further empty database the tables and rows that they made."""

    def __init__(self, upgrade: Callable[[Connection], None]) -> None:
        self._upgrade = upgrade
        self._made: list[tuple[str, tuple[Any, ...]]] = []

    def __call__(self, connection: Connection) -> None:
        if connection.dialect.name != "sqlite":
            self._upgrade(connection)
            return
        is_empty = not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
        if is_empty and self._made:
            for statement, values in self._made:
                connection.exec_driver_sql(statement, values)
            return
        self._upgrade(connection)
        if is_empty:
            self._made = list(_written(connection))


def _written(connection: Connection) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield statements with their values that make an empty database like this one; triggers come after the rows."""
    made = "SELECT sql, name FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    tables, others = ([*connection.exec_driver_sql(f"{made} AND type {which} 'table'")] for which in ("=", "!="))
    yield from ((table.sql, ()) for table in tables)
    for table in tables:
        for row in connection.exec_driver_sql(f"SELECT * FROM {table.name}"):
            yield f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(row))})", tuple(row)
    yield from ((other.sql, ()) for other in others)


def compile_once() -> None:
    """Let all apps and databases that this process opens from now on share what they compile."""
    compiled, engine = CompiledTemplates(), create_engine("sqlite://", module=driver, query_cache_size=5000)
    engine.connect().close()  # its dialect learns the version of SQLite

    class SharingEnvironment(Environment):
        def __init__(self, app: Flask, **options: Any) -> None:
            super().__init__(app, **{"bytecode_cache": compiled, **options})

    def sharing_engine(url: str, **options: Any) -> Engine:
        made = create_engine(url, **options)
        made.dialect, made._compiled_cache = engine.dialect, engine._compiled_cache
        return made

    Flask.jinja_environment = SharingEnvironment  # type: ignore[assignment]
    Flask.url_rule_class = ParsedOnce
    database._upgrade = CopiedSchema(database._upgrade)
    sqlite_engine.create_engine = sharing_engine  # type: ignore[assignment, attr-defined]
