"""The reader of workbooks in this process, for tests that read many workbooks of their own and are about the cells.

The start of a child process takes fifty times as long as the work in it. What the child keeps off is tested in
tests/workbooks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from unittest.mock import patch

from workbooks import child, guarded
from workbooks.kinds import Deadline, FileKind


@contextmanager
def read_in_this_process() -> Iterator[None]:
    """Read workbooks without a child process until the block ends."""
    with patch.object(guarded, "_run_child", _read):
        yield


def _read(data: bytes, kind: FileKind, deadline: Deadline, lines: IO[bytes], lock: IO[bytes]) -> None:
    with lock:
        lines.writelines(line.encode() for line in child._lines(child._read(kind, data, deadline)))
        lines.flush()
