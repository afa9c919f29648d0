"""A program that reads one old workbook (XLS, XLSB, ODS) and writes its rows as JSON lines; to be run by itself.

The library it uses can abort the whole process on a file of some kilobytes, so this runs apart from the rest, and
takes limits of memory, time and output upon itself before it looks at the file. Imports nothing of ours.

    python -I spreadsheets_child.py < workbook > rows
"""

import json
import resource
import sys
from datetime import date, datetime, time, timedelta
from io import BytesIO

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

MEMORY = 1024 * 1024 * 1024  #: bytes of address space
CPU_SECONDS = 25
OUTPUT = 256 * 1024 * 1024  #: bytes
#: Exit codes that the parent knows.
DAMAGED, TOO_BIG = 3, 4


def main() -> int:
    """Write ["sheet", name, hidden] and then [row number, cells] for each of its rows, sheet by sheet."""
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, OUTPUT),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    try:
        book = CalamineWorkbook.from_filelike(BytesIO(sys.stdin.buffer.read()))
        for sheet in book.sheets_metadata:
            if sheet.typ is SheetTypeEnum.WorkSheet:
                _say(["sheet", sheet.name, sheet.visible is not SheetVisibleEnum.Visible])
                _write(book.get_sheet_by_name(sheet.name))
        sys.stdout.flush()
    except CalamineError:
        return DAMAGED
    except (MemoryError, OSError):
        return TOO_BIG
    return 0


def _write(sheet: CalamineSheet) -> None:
    if sheet.start is None:
        return
    first, left = sheet.start
    for number, cells in enumerate(sheet.to_python(skip_empty_area=True), first + 1):
        if any(cell != "" for cell in cells):
            _say([number, [None] * left + [_plain(cell) for cell in cells]])


def _plain(cell: object) -> object:
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}"
    if isinstance(cell, date | time | timedelta):
        return str(cell)
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 10**15:
        return int(cell)
    return None if cell == "" else cell


def _say(line: list[object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
