"""From the bytes of a workbook to its rows, read by a child process with limits. This room knows no IMEI."""

from workbooks.guarded import Workbook
from workbooks.kinds import Deadline, FileKind, Row, UnreadableFileError, Worksheet, find_kind

__all__ = ["Deadline", "FileKind", "Row", "UnreadableFileError", "Workbook", "Worksheet", "find_kind"]
