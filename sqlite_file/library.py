"""Choose the SQLite library: one in which two processes cannot corrupt a WAL file, where there is one."""

try:
    from pysqlite3 import dbapi2 as dbapi
except ImportError:  # no wheel for this platform
    import sqlite3 as dbapi

__all__ = ["dbapi"]
