"""Read workbooks in a child process with limits: from bytes to rows. This package must not know what an IMEI is."""

from workbooks.guarded import Workbook
from workbooks.kinds import Deadline, FileKind, Row, UnreadableFileError, Worksheet, find_kind

__all__ = ["Deadline", "FileKind", "Row", "UnreadableFileError", "Workbook", "Worksheet", "find_kind"]
