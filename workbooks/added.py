"""Append columns to one sheet of an XLSX workbook, in a child process with limits; one workbook at a time.

The child gets the bytes and no environment; however it ends, the result is a workbook or one sentence for the user.
"""

import json
import logging
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import IO

from workbooks.guarded import command_of, take_turn
from workbooks.kinds import Deadline, UnreadableFileError
from workbooks.limits import REFUSED

logger = logging.getLogger(__name__)

PROGRAM = Path(__file__).with_name("adding.py")
COMMAND = command_of("adding")
#: openpyxl must write with its own serialiser, also where lxml is installed.
ENVIRONMENT = {"OPENPYXL_LXML": "False"}
MAX_SECONDS = 150.0

_TOO_BIG = "The workbook needs more memory or time than it may have: keep only the sheet with the IMEIs."
_FIRST_DAY = datetime(1899, 12, 30)  #: of Excel's calendar


@dataclass(frozen=True, slots=True)
class AddedColumn:
    """One column that is appended."""

    title: str
    width: float  #: characters
    kind: str = ""  #: "" is text, "digits" text of digits, "moment" a date and time, "tone" text on a colour


@dataclass(frozen=True, slots=True)
class AddedRow:
    """The values that one row gets."""

    number: int  #: from 1, as the sheet counts
    values: Sequence[str | datetime]  #: one for each column; "" for none; times are UTC
    tone: str = ""  #: one of the tones, for the columns of the kind "tone"


@dataclass(frozen=True, slots=True)
class Addition:
    """Columns that are appended to one sheet."""

    sheet: str
    header_row: int  #: from 1; 0 where the sheet has no row for titles
    columns: Sequence[AddedColumn]
    rows: Iterable[AddedRow] = field(repr=False)
    tones: Mapping[str, tuple[str, str]]  #: name → fill and text colour as RRGGBB
    notes: Sequence[str] = ()  #: sentences for the sheet of notices


def add_columns(data: bytes, addition: Addition, out: IO[bytes], progress: Callable[[int], None]) -> tuple[str, ...]:
    """Write the workbook with its added columns; return a sentence for each thing that was left out.

    progress gets the number of rows that were read or written since the last call; an exception of it ends the child.
    Raises UnreadableFileError.
    """
    deadline = Deadline(MAX_SECONDS)
    with take_turn(PROGRAM, deadline), tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as plan:
        given.write(data)
        given.seek(0)
        plan.writelines(_lines(addition))
        plan.seek(0)
        return _run(given, plan, out, progress)


def _lines(addition: Addition) -> Iterable[bytes]:
    columns = [(column.title, column.width, column.kind) for column in addition.columns]
    head = {"sheet": addition.sheet, "header_row": addition.header_row, "columns": columns}
    yield _line(head | {"tones": dict(addition.tones), "notes": list(addition.notes)})
    for row in addition.rows:
        yield _line([row.number, row.tone, [_plain(value) for value in row.values]])


def _line(content: object) -> bytes:
    return json.dumps(content).encode("ascii") + b"\n"


def _plain(value: str | datetime) -> str | float:
    """Return a text, or a moment as Excel counts it: in days."""
    if isinstance(value, str):
        return value
    utc = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return (utc.replace(microsecond=0) - _FIRST_DAY).total_seconds() / 86_400


def _run(given: IO[bytes], plan: IO[bytes], out: IO[bytes], progress: Callable[[int], None]) -> tuple[str, ...]:
    child = subprocess.Popen(
        [*COMMAND, str(plan.fileno()), str(MAX_SECONDS)],
        cwd=PROGRAM.parents[1],
        stdin=given,
        stdout=out,
        stderr=subprocess.PIPE,
        pass_fds=(plan.fileno(),),
        env=ENVIRONMENT,
    )
    alarm = Timer(MAX_SECONDS, child.kill)
    alarm.start()
    try:
        sentences = _follow(child.stderr or (), progress)
    finally:
        alarm.cancel()
        child.kill()
        code = child.wait()
    if code:
        raise UnreadableFileError(sentences[-1] if code == REFUSED and sentences else _TOO_BIG)
    return tuple(sentences)


def _follow(lines: Iterable[bytes], progress: Callable[[int], None]) -> list[str]:
    """Pass on the progress until the child ends; return its sentences."""
    sentences = []
    for line in lines:
        try:
            content = json.loads(line)
        except ValueError:  # a traceback
            logger.warning("%s", line.decode("utf-8", "replace").rstrip())
            continue
        if isinstance(content, int):
            progress(content)
        else:
            sentences.append(str(content))
    return sentences
