"""Old workbooks in (XLS, XLSB, ODS): read by a child process with limits, because the file may break its reader.

The child gets the bytes and no environment; whatever becomes of it, what is left is rows or one sentence.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from file_kinds import Deadline, Row, UnreadableFileError, damaged_workbook
from spreadsheets_xlsx import MAX_CELL, Sheet

PROGRAM = Path(__file__).with_name("spreadsheets_child.py")
#: The child's exit code for a file that its reader says is damaged.
DAMAGED = 3

_REFUSED = (
    "The workbook is damaged, or needs more memory than it may have: "
    "open it and save it as Excel workbook (.xlsx) or CSV."
)


class OldWorkbook:
    """An old workbook, read in full to a temporary file that ends with this object. Raises UnreadableFileError."""

    def __init__(self, data: bytes, deadline: Deadline) -> None:
        self._deadline = deadline
        self._lines = _read_apart(data, deadline)
        self._starts: dict[str, int] = {}
        self.sheets = tuple(self._find_sheets())

    def rows(self, sheet: Sheet) -> Iterator[Row]:
        """The rows of a sheet with their numbers, blank rows left out; blank cells are None, dates are text."""
        position = self._starts[sheet.part]
        while True:
            self._deadline.check()
            self._lines.seek(position)
            line = self._lines.readline()
            position = self._lines.tell()
            if not line or line.startswith(b'["sheet"'):
                return
            number, cells = json.loads(line)
            yield number, [cell[:MAX_CELL] if isinstance(cell, str) else cell for cell in cells], False

    def _find_sheets(self) -> Iterator[Sheet]:
        self._lines.seek(0)
        while line := self._lines.readline():
            if line.startswith(b'["sheet"'):
                _, name, hidden = json.loads(line)
                part = str(len(self._starts))
                self._starts[part] = self._lines.tell()
                yield Sheet(name, hidden, part)


def _read_apart(data: bytes, deadline: Deadline) -> IO[bytes]:
    """What the child wrote about the workbook."""
    lines = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the workbook
    with tempfile.TemporaryFile() as given:
        given.write(data)
        given.seek(0)
        try:
            done = subprocess.run(
                [sys.executable, "-I", PROGRAM],
                stdin=given,
                stdout=lines,
                stderr=subprocess.DEVNULL,
                timeout=deadline.seconds,
                env={},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            lines.close()
            raise UnreadableFileError(deadline.sentence) from error
    if done.returncode != 0:
        lines.close()
        raise UnreadableFileError(damaged_workbook() if done.returncode == DAMAGED else _REFUSED)
    return lines
