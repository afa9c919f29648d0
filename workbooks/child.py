"""A program that reads one workbook and writes its rows as JSON lines; to be run by itself.

A workbook may be made to use up its reader, and one library can abort the process on a file of some kilobytes. So
this runs apart from the rest, and takes limits of memory, time and output upon itself before it looks at the file.

    python -E -s -m workbooks.child KIND SECONDS < workbook > rows
"""

import json
import resource
import sys
from collections.abc import Iterator

from workbooks.kinds import Deadline, FileKind, Row, UnreadableFileError, Worksheet
from workbooks.legacy import read_old
from workbooks.ods import read_ods
from workbooks.xlsx import read_xlsx

MEMORY = 1024 * 1024 * 1024  #: bytes of address space
CPU_SECONDS = 25
OUTPUT = 256 * 1024 * 1024  #: bytes
#: Exit codes that the parent knows: the sentence is in stderr; the limits were reached.
REFUSED, TOO_BIG = 3, 4

_ENCODE = json.JSONEncoder(default=str).encode  #: dates become text


def main() -> int:
    """Write ["sheet", name, hidden] and then [row number, hidden, cells] for each of its rows, sheet by sheet."""
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, OUTPUT),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    kind, seconds = FileKind(sys.argv[1]), float(sys.argv[2])
    try:
        for found in _read(kind, sys.stdin.buffer.read(), Deadline(seconds)):
            sys.stdout.write(_line(found))
        sys.stdout.flush()
    except UnreadableFileError as error:
        sys.stderr.write(str(error))
        return REFUSED
    except (MemoryError, OSError):
        return TOO_BIG
    return 0


def _read(kind: FileKind, data: bytes, deadline: Deadline) -> Iterator[Worksheet | Row]:
    if kind is FileKind.XLSX:
        return read_xlsx(data, deadline)
    return read_ods(data, deadline) if kind is FileKind.ODS else read_old(data)


def _line(found: Worksheet | Row) -> str:
    if isinstance(found, Worksheet):
        return _ENCODE(["sheet", found.name, found.hidden]) + "\n"
    number, cells, hidden = found
    return _ENCODE([number, hidden, cells]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
