"""What the apps and databases of a test process share: compiled templates, rules and queries.

To compile them takes longer than most tests.
"""

from collections.abc import Callable
from types import CodeType
from typing import Any

from flask import Flask
from flask.templating import Environment
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy import Engine, create_engine
from werkzeug.routing import Rule

import database
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


class LateRule(Rule):
    """A rule that compiles the function that builds its addresses when the first address is built."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compile_now = super()._compile_builder
        made: list[Callable[..., tuple[str, str]]] = []

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            if not made:
                made.append(compile_now(append_unknown))
            return made[0](rule, **values)

        return build


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
    Flask.url_rule_class = LateRule
    database.create_engine = sharing_engine  # type: ignore[assignment, attr-defined]
