"""Read each workbook in a child process with limits, because the file may break its reader.

The child gets the bytes and no environment; however it ends, the result is rows or one sentence for the user. One
workbook is read at a time on a machine, so that several cannot exhaust its memory together.
"""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import IO

from workbooks.kinds import Deadline, FileKind, Row, UnreadableFileError, Worksheet
from workbooks.limits import REFUSED

PROGRAM = Path(__file__).with_name("child.py")
#: What a child runs: a module of this package without the façade, which imports what only the parent needs. That would
#: take a quarter of the start.
_START = """
import sys, types
package = sys.modules["workbooks"] = types.ModuleType("workbooks")
package.__path__ = ["workbooks"]
from workbooks.{} import main
sys.exit(main())
"""


def command_of(child: str) -> tuple[str, ...]:
    """Return how a child is started by the name of its module, in the folder that holds this package."""
    return (sys.executable, "-E", "-s", "-c", _START.format(child))


COMMAND = command_of("child")

_TOO_BIG = (
    "The workbook is damaged, or needs more memory than it may have: "
    "open it and save it as Excel workbook (.xlsx) or CSV."
)
_BUSY = "Other workbooks are being read: try again in a minute."
_BLOCK = 256 * 1024  #: bytes of lines taken at once
_PAUSE = 0.005  #: seconds until the file is looked at again for new lines
_TURN = 0.02  #: seconds between two attempts to take the lock
_SHEET = b'["'  #: how the line of a sheet begins; a line of rows begins with [[


class Workbook:
    """A workbook whose rows can be read while the child still writes them to a temporary file.

    Raises UnreadableFileError, also while sheets and rows are taken.
    """

    def __init__(self, data: bytes, kind: FileKind, deadline: Deadline) -> None:
        self._deadline = deadline
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it is deleted with this object
        lock = take_turn(PROGRAM, deadline)
        self._ended = Event()
        self._error: Exception | None = None
        Thread(target=self._run, args=(data, kind, lock), daemon=True).start()

    @property
    def sheets(self) -> Iterator[Worksheet]:
        """Yield the sheets in the order of the file; after the last one, raise the error of a damaged workbook."""
        for position, line in self._lines(0):
            if line.startswith(_SHEET):
                name, hidden = json.loads(line)
                yield Worksheet(name, hidden, str(position))

    def rows(self, sheet: Worksheet) -> Iterator[Row]:
        """Yield the rows of a sheet with their numbers, blank rows left out; blank cells are None, dates are text.

        A formula without a stored value gives its text, which begins with `=`.
        """
        for _, line in self._lines(int(sheet.part)):
            if line.startswith(_SHEET):
                return
            yield from map(tuple, json.loads(line))

    def _lines(self, position: int) -> Iterator[tuple[int, bytes]]:
        """Yield each line from a position of the file on, with the position behind it.

        pread leaves the position of the file alone, which the child shares.
        """
        size = _BLOCK
        while True:
            self._deadline.check()
            ended = self._ended.is_set()
            block = os.pread(self._file.fileno(), size, position)
            *lines, rest = block.split(b"\n")
            for line in lines:
                position += len(line) + 1
                yield position, line
            if ended and len(block) < size:
                break
            if len(rest) == size:  # a line is longer than the block
                size *= 2
            elif not lines:
                self._ended.wait(_PAUSE)
        if self._error is not None:
            raise self._error

    def _run(self, data: bytes, kind: FileKind, lock: IO[bytes]) -> None:
        try:
            _run_child(data, kind, self._deadline, self._file, lock)
        except Exception as error:  # noqa: BLE001 - raised again where the lines are read
            self._error = error
        finally:
            self._ended.set()


def take_turn(program: Path, deadline: Deadline) -> IO[bytes]:
    """Wait until no other process on this machine runs this program of a child; return the lock, which ends its turn.

    Raises UnreadableFileError when time is up.
    """
    last = time.monotonic() + deadline.seconds
    lock = program.open("rb")
    while not _locked(lock):
        if time.monotonic() > last:
            lock.close()
            raise UnreadableFileError(_BUSY)
        time.sleep(_TURN)
    deadline.restart()
    return lock


def _locked(file: IO[bytes]) -> bool:
    """Whether this process holds the lock, or the file cannot be locked at all; closing the file ends the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _run_child(data: bytes, kind: FileKind, deadline: Deadline, lines: IO[bytes], lock: IO[bytes]) -> None:
    """Let the child write the lines of the workbook; close the lock at its end. Raises UnreadableFileError."""
    with lock, tempfile.TemporaryFile() as given:
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
            raise UnreadableFileError(deadline.sentence) from error
    if done.returncode != 0:
        words = done.stderr[:1000].decode("utf-8", "replace") if done.returncode == REFUSED else ""
        raise UnreadableFileError(words or _TOO_BIG)
