"""The database as a file: the library that opens it, the lock of those who use it, copies, and another in its place."""

from sqlite_file.copying import (
    NAME_FORMAT,
    SECRETS,
    SPARE,
    UNFINISHED,
    Copy,
    damage,
    moment_of,
    read_copy,
    remove_left_behind,
    rotate,
    sync,
    write_copy,
)
from sqlite_file.library import dbapi
from sqlite_file.replacing import fold, replace
from sqlite_file.use_lock import InUseError, alone, hold_alone, share
