"""The two databases that the program runs on: how each is opened, begins a transaction, and cannot be used."""

from engines.direct import Direct, read_prepared
from engines.errors import (
    REPLACED,
    DatabaseReplacedError,
    DatabaseUnavailableError,
    UnusableDatabaseError,
    why_unusable,
)
from engines.migrations import revisions
from engines.opening import Engines, is_address, open_engines
from engines.postgresql_copies import NOT_INSTALLED, is_installed, libpq_address
from engines.postgresql_server import READ_COMMITTED, PostgreSQLServer
from engines.sqlite_engine import BUSY_TIMEOUT_MS, SAFE_WAL_VERSION, SQLiteEngine
