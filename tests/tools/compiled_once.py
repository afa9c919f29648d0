"""What the apps and databases of a test process share: compiled templates, addresses and queries, and the empty schema.

To make them takes longer than most tests.
"""

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from pathlib import Path
from types import CodeType
from typing import Any, ClassVar

from flask import Flask
from flask.templating import Environment
from jinja2.bccache import Bucket, FileSystemBytecodeCache
from sqlalchemy import URL, Connection, Engine, create_engine, event
from werkzeug.routing import Map, Rule, RuleFactory

from engines import migrations, postgresql_server, sqlite_engine


class CompiledTemplates(FileSystemBytecodeCache):
    """The code of each template by its name and source, in memory, and in a folder for the other processes."""

    def __init__(self, folder: str | None) -> None:
        super().__init__(folder)
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))
        if bucket.code is None:
            super().load_bytecode(bucket)
            self._keep(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._keep(bucket)
        super().dump_bytecode(bucket)

    def _keep(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._codes[bucket.key, bucket.checksum] = bucket.code


class SharedMap(Map):
    """A map of addresses that binds its rules when it is first used, once for all apps with the same rules."""

    _bound: ClassVar[dict[tuple[Any, ...], Map]] = {}  #: the first map with these rules and converters

    def add(self, rulefactory: RuleFactory) -> None:
        self.__dict__.setdefault("_given", []).extend(rulefactory.get_rules(self))
        self._remap = True

    def update(self) -> None:
        if not self._remap:
            return
        with self._remap_lock:
            if self._remap:
                given = self.__dict__.get("_given", [])
                key = (self.host_matching, *self.converters.values(), *map(_identity, given))
                known = self._bound.get(key) or self._bound.setdefault(key, _bound_map(self, given))
                self._matcher, self._rules_by_endpoint = known._matcher, known._rules_by_endpoint
                self._remap = False


def _identity(rule: Rule) -> tuple[Any, ...]:
    """Return what decides how a rule of an app is matched and built."""
    options = {**rule.get_empty_kwargs(), "methods": frozenset(rule.methods or ()), "defaults": repr(rule.defaults)}
    return (rule.rule, getattr(rule, "provide_automatic_options", None), *options.values())


def _bound_map(like: Map, rules: Sequence[Rule]) -> Map:
    """Return a map with these rules."""
    made = Map(converters=like.converters, host_matching=like.host_matching)
    for rule in rules:
        made.add(copy(rule))
    made.update()
    return made


class CopiedSchema:
    """Runs the migrations once, and gives each further empty database the tables and rows that they made.

    folder: where the other processes of a run find them: all migrations take most of a second.
    """

    def __init__(self, upgrade: Callable[[Connection], None], folder: str | None = None) -> None:
        self._upgrade = upgrade
        self._made: list[tuple[str, tuple[Any, ...]]] = []
        self._shared = Path(folder) / "schema" if folder else None

    def __call__(self, connection: Connection) -> None:
        if connection.dialect.name != "sqlite":
            self._upgrade(connection)
            return
        is_empty = not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
        if is_empty and not self._made and self._shared is not None and self._shared.exists():
            self._made = pickle.loads(self._shared.read_bytes())
        if is_empty and self._made:
            for statement, values in self._made:
                connection.exec_driver_sql(statement, values)
            return
        self._upgrade(connection)
        if is_empty:
            self._made = list(_written(connection))
            self._share()

    def _share(self) -> None:
        """Write what was made, at once as a whole."""
        if self._shared is not None:
            written = self._shared.with_suffix(f".{os.getpid()}")
            written.write_bytes(pickle.dumps(self._made))
            written.replace(self._shared)


def _written(connection: Connection) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield statements with their values that make an empty database like this one; triggers come after the rows."""
    made = "SELECT sql, name FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    tables, others = ([*connection.exec_driver_sql(f"{made} AND type {which} 'table'")] for which in ("=", "!="))
    yield from ((table.sql, ()) for table in tables)
    for table in tables:
        for row in connection.exec_driver_sql(f"SELECT * FROM {table.name}"):
            yield f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(row))})", tuple(row)
    yield from ((other.sql, ()) for other in others)


class SharedDialect:
    """Creates engines that share what the first of them that connected learned of its database, and compiled.

    How transactions are begun is kept in the dialect, so only engines that begin them alike share one.
    """

    def __init__(self) -> None:
        self._firsts: dict[str | None, Engine] = {}

    def __call__(self, url: str | URL, **options: Any) -> Engine:
        level = options.get("isolation_level")
        first = self._firsts.get(level)
        if first is None or first.dialect.server_version_info is None:  # it has not connected
            first = self._firsts[level] = create_engine(url, query_cache_size=5000, **options)
            return first
        made = create_engine(url, _initialize=False, **options)
        made.dialect, made._compiled_cache = first.dialect, first._compiled_cache
        _prepare_as_create_engine(made)
        return made


def _prepare_as_create_engine(engine: Engine) -> None:
    """Let connections of an engine be prepared by its dialect, which create_engine() does only where it initializes."""
    prepare, isolate = engine.dialect.on_connect(), engine.dialect._builtin_onconnect()
    if prepare is not None:
        event.listen(engine, "connect", lambda connection, _: prepare(connection))
    if isolate is not None:
        event.listen(engine, "connect", isolate)


def compile_once(templates: str | None) -> None:
    """Let all apps and databases that this process opens from now on share what they compile.

    templates: a folder for the code of templates and the empty schema, which other processes of this run use as well;
    None: that of Jinja for templates, and none for the schema.
    """
    compiled = CompiledTemplates(templates)

    class SharingEnvironment(Environment):
        def __init__(self, app: Flask, **options: Any) -> None:
            super().__init__(app, **{"bytecode_cache": compiled, **options})

    Flask.jinja_environment = SharingEnvironment  # type: ignore[assignment]
    Flask.url_map_class = SharedMap
    migrations.upgrade = CopiedSchema(migrations.upgrade, templates)
    for engines in (sqlite_engine, postgresql_server):
        engines.create_engine = SharedDialect()  # type: ignore[attr-defined]
