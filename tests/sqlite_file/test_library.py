"""The SQLite library: the one in which two processes cannot corrupt a file, and Python's own where it is missing."""

import sqlite3
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from engines import SAFE_WAL_VERSION
from sqlite_file import library


def loaded_again() -> ModuleType:
    """Load the module once more, beside the one that the program has."""
    spec = spec_from_file_location("library_again", library.__file__)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_safe_library_is_used_where_it_is_installed() -> None:
    if find_spec("pysqlite3") is None:
        assert library.dbapi is sqlite3
    else:
        assert library.dbapi.__name__.startswith("pysqlite3")
        assert library.dbapi.sqlite_version_info >= SAFE_WAL_VERSION


def test_on_a_platform_without_it_pythons_own_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysqlite3", None)  # its import fails
    assert loaded_again().dbapi is sqlite3
