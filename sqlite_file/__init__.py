"""The database as a file: the library that opens it, the lock of those who use it, copies, and another in its place."""

from sqlite_file.copying import SECRETS, SPARE, Copy, damage, read_copy, rotate, write_copy
from sqlite_file.library import dbapi
from sqlite_file.replacing import fold, replace
from sqlite_file.use_lock import InUseError, alone, share

__all__ = [
    "SECRETS",
    "SPARE",
    "Copy",
    "InUseError",
    "alone",
    "damage",
    "dbapi",
    "fold",
    "read_copy",
    "replace",
    "rotate",
    "share",
    "write_copy",
]
