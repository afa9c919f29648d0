"""Workbooks in: each is read by a child process with limits, because the file may break its reader.

The child gets the bytes and no environment; however it ends, the result is rows or one sentence for the user. One
workbook is read at a time on a machine, so that several cannot exhaust its memory together.
"""

import fcntl
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from workbooks.kinds import Deadline, FileKind, Row, UnreadableFileError, Worksheet

PROGRAM = Path(__file__).with_name("child.py")
#: How the child is started, in the folder that holds this package.
COMMAND = (sys.executable, "-E", "-s", "-m", "workbooks.child")
#: The child's exit code where its stderr holds the sentence for the user.
REFUSED = 3

_TOO_BIG = (
    "The workbook is damaged, or needs more memory than it may have: "
    "open it and save it as Excel workbook (.xlsx) or CSV."
)
_BUSY = "Other workbooks are being read: try again in a minute."
_BLOCK = 256 * 1024  #: bytes of lines taken at once
_TURN = 0.02  #: seconds between two attempts to take the lock
_SHEET = b'["'  #: how the line of a sheet begins; a line of rows begins with [[


class Workbook:
    """A workbook, read in full to a temporary file that is deleted with this object. Raises UnreadableFileError."""

    def __init__(self, data: bytes, kind: FileKind, deadline: Deadline) -> None:
        self._deadline = deadline
        with _turn(deadline):
            self._lines = _read_apart(data, kind, deadline)
        self._starts: dict[str, int] = {}
        self.sheets = tuple(self._find_sheets())

    def rows(self, sheet: Worksheet) -> Iterator[Row]:
        """Yield the rows of a sheet with their numbers, blank rows left out; blank cells are None, dates are text.

        A formula without a stored value gives its text, which begins with `=`.
        """
        position = self._starts[sheet.part]
        while True:
            self._deadline.check()
            self._lines.seek(position)
            lines = self._lines.readlines(_BLOCK)
            position = self._lines.tell()
            for line in lines:
                if line.startswith(_SHEET):
                    return
                yield from map(tuple, json.loads(line))
            if not lines:
                return

    def _find_sheets(self) -> Iterator[Worksheet]:
        self._lines.seek(0)
        position = 0
        for line in self._lines:
            position += len(line)
            if line.startswith(_SHEET):
                name, hidden = json.loads(line)
                part = str(len(self._starts))
                self._starts[part] = position
                yield Worksheet(name, hidden, part)


@contextmanager
def _turn(deadline: Deadline) -> Iterator[None]:
    """Wait until no other workbook is read on this machine. Raises UnreadableFileError when time is up."""
    last = time.monotonic() + deadline.seconds
    with PROGRAM.open("rb") as program:
        while not _locked(program):
            if time.monotonic() > last:
                raise UnreadableFileError(_BUSY)
            time.sleep(_TURN)
        deadline.restart()
        yield


def _locked(file: IO[bytes]) -> bool:
    """Whether this process holds the lock, or the file cannot be locked at all; closing the file ends the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _read_apart(data: bytes, kind: FileKind, deadline: Deadline) -> IO[bytes]:
    """Return what the child wrote about the workbook. Raises UnreadableFileError."""
    lines = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the workbook
    with tempfile.TemporaryFile() as given:
        given.write(data)
        given.seek(0)
        try:
            done = subprocess.run(
                [*COMMAND, kind, str(deadline.seconds)],
                cwd=PROGRAM.parents[1],
                stdin=given,
                stdout=lines,
                stderr=subprocess.PIPE,  # its end shows at once that the child is done
                timeout=deadline.seconds,
                env={},
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            lines.close()
            raise UnreadableFileError(deadline.sentence) from error
    if done.returncode == 0:
        return lines
    lines.close()
    words = done.stderr[:1000].decode("utf-8", "replace") if done.returncode == REFUSED else ""
    raise UnreadableFileError(words or _TOO_BIG)
