"""A program that reads one workbook and writes its rows as JSON lines; run as a child process only.

A workbook can be made to exhaust its reader, and one library can abort the process on a file of a few kilobytes.
This program therefore limits its own memory, time and output before it looks at the file.

    python -E -s -m workbooks.child KIND SECONDS < workbook > rows
"""

import json
import sys
from collections.abc import Iterable, Iterator

from workbooks.kinds import Deadline, FileKind, Row, UnreadableFileError, Worksheet
from workbooks.legacy import read_old
from workbooks.limits import REFUSED, TOO_BIG, limit_process
from workbooks.ods import read_ods
from workbooks.xlsx import read_xlsx

CPU_SECONDS = 25
CELLS_OF_A_LINE = 1000  #: many, because each line costs as much time as some rows

_ENCODE = json.JSONEncoder(default=str).encode  #: dates become text


def main() -> int:
    """Write each sheet as a line [name, hidden], then its rows as lines [[row number, cells, hidden], ...]."""
    limit_process(CPU_SECONDS)
    kind, seconds = FileKind(sys.argv[1]), float(sys.argv[2])
    try:
        for line in _lines(_read(kind, sys.stdin.buffer.read(), Deadline(seconds))):
            sys.stdout.write(line)
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


def _lines(found: Iterable[Worksheet | Row]) -> Iterator[str]:
    """Yield a line for each sheet, and lines of several rows each."""
    rows: list[Row] = []
    cells = 0
    for each in found:
        if isinstance(each, Worksheet) or cells > CELLS_OF_A_LINE:
            yield from _lines_of(rows)
            rows, cells = [], 0
        if isinstance(each, Worksheet):
            yield _ENCODE([each.name, each.hidden]) + "\n"
        else:
            rows.append(each)
            cells += len(each[1])
    yield from _lines_of(rows)


def _lines_of(rows: list[Row]) -> Iterator[str]:
    if rows:
        yield _ENCODE(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
