"""Read and change workbooks in child processes with limits. This package must not know what an IMEI is."""

from workbooks.added import AddedColumn, AddedRow, Addition, add_columns
from workbooks.guarded import Workbook
from workbooks.kinds import Deadline, FileKind, Row, UnreadableFileError, Worksheet, find_kind
from workbooks.titles import find_titles
