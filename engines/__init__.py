"""The two databases that the program runs on: how each is opened, begins a transaction, and cannot be used."""

from engines.direct import Direct
from engines.errors import (
    REPLACED,
    DatabaseReplacedError,
    DatabaseUnavailableError,
    UnusableDatabaseError,
    why_unusable,
)
from engines.opening import Engines, is_address, open_engines
from engines.postgresql_copies import NOT_INSTALLED, is_installed
from engines.postgresql_server import PostgreSQLServer
from engines.sqlite_engine import BUSY_TIMEOUT_MS, SAFE_WAL_VERSION, SQLiteEngine

__all__ = [
    "BUSY_TIMEOUT_MS",
    "NOT_INSTALLED",
    "REPLACED",
    "SAFE_WAL_VERSION",
    "DatabaseReplacedError",
    "DatabaseUnavailableError",
    "Direct",
    "Engines",
    "PostgreSQLServer",
    "SQLiteEngine",
    "UnusableDatabaseError",
    "is_address",
    "is_installed",
    "open_engines",
    "why_unusable",
]
