"""Workbooks in: each is read by a child process with limits, because the file may break its reader.

The child gets the bytes and no environment; whatever becomes of it, what is left is rows or one sentence. One workbook
is read at a time on a machine, so that several cannot take its memory together.
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
_TURN = 0.02  #: seconds between two looks whether another workbook is done


class Workbook:
    """A workbook, read in full to a temporary file that ends with this object. Raises UnreadableFileError."""

    def __init__(self, data: bytes, kind: FileKind, deadline: Deadline) -> None:
        self._deadline = deadline
        with _turn(deadline):
            self._lines = _read_apart(data, kind, deadline)
        self._starts: dict[str, int] = {}
        self.sheets = tuple(self._find_sheets())

    def rows(self, sheet: Worksheet) -> Iterator[Row]:
        """The rows of a sheet with their numbers, blank rows left out; blank cells are None, dates are text.

        A formula without a stored value gives its text, which begins with `=`.
        """
        position = self._starts[sheet.part]
        while True:
            self._deadline.check()
            self._lines.seek(position)
            lines = self._lines.readlines(_BLOCK)
            position = self._lines.tell()
            for line in lines:
                if line.startswith(b'["sheet"'):
                    return
                number, hidden, cells = json.loads(line)
                yield number, cells, hidden
            if not lines:
                return

    def _find_sheets(self) -> Iterator[Worksheet]:
        self._lines.seek(0)
        position = 0
        for line in self._lines:
            position += len(line)
            if line.startswith(b'["sheet"'):
                _, name, hidden = json.loads(line)
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
    """Whether the file is ours alone, or cannot be locked at all; closing it ends the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _read_apart(data: bytes, kind: FileKind, deadline: Deadline) -> IO[bytes]:
    """What the child wrote about the workbook."""
    lines = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the workbook
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as sentence:
        given.write(data)
        given.seek(0)
        try:
            done = subprocess.run(
                [*COMMAND, kind, str(deadline.seconds)],
                cwd=PROGRAM.parents[1],
                stdin=given,
                stdout=lines,
                stderr=sentence,
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
        sentence.seek(0)
        words = sentence.read(1000).decode("utf-8", "replace") if done.returncode == REFUSED else ""
        raise UnreadableFileError(words or _TOO_BIG)
