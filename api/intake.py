"""The IMEIs of a request: a list, a text or a file, read as the pages read them, with what became of each value."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from api.problems import MOST_ERRORS, Problem, ProblemKind
from backend import backend
from spreadsheets import Choice, Intake, UnreadableFileError, parsed_list
from web import read_and_keep

BLANK = "It is blank."


@dataclass(frozen=True, slots=True)
class Source:
    """Where the IMEIs are. Exactly one of imeis and content is given."""

    imeis: tuple[str, ...] = field(default=(), repr=False)
    content: bytes = field(default=b"", repr=False)  #: of a file, or a text
    kind: str = ""  #: of the content
    name: str = ""  #: of the file
    choice: Choice = field(default_factory=Choice)

    @property
    def digest(self) -> str:
        """A name for exactly this content."""
        return hashlib.sha256(self.content or "\n".join(self.imeis).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Taken:
    """What was read."""

    imeis: Sequence[tuple[str, int | None]]  #: that can be ordered, with their rows
    report: dict[str, Any]  #: of the answer
    token: str | None  #: of the stored upload; None for a list
    source: str  #: what the batch is made of


def take(source: Source, label: str, service_id: str, takes_wrong: bool, skips: bool) -> Taken:
    """Read the IMEIs; takes_wrong: those with a wrong check digit too, skips: leave out what is not valid.

    Raises Problem for values that are not valid, unless they are skipped, and for a file that cannot be read.
    """
    try:
        token, intake = _read(source, label, service_id)
    except UnreadableFileError as error:
        raise Problem(ProblemKind.INVALID_REQUEST, str(error)) from error
    rejected = [(bad.row, bad.text, "", bad.reason) for bad in intake.rejected]
    rejected += [(row, text, "", BLANK) for row, text in enumerate(source.imeis, 1) if not text.strip()]
    rejected += [] if takes_wrong else [(bad.row, bad.text, bad.imei, bad.note) for bad in intake.luhn_failed]
    if rejected and not skips:
        raise _invalid(sorted(rejected), is_list=not source.kind)
    ready = list(intake.ready)
    read = {
        "repaired": [(one.row, one.text, one.imei, one.note) for one in ready if one.note],
        "repeated": [(one.row, one.imei, one.imei, f"Same IMEI as row {one.first_row}.") for one in intake.repeated],
        "second_imeis": [(one.row, one.text or one.imei, one.imei, "IMEI 2 of a phone.") for one in intake.seconds],
        "rejected": sorted(rejected),
    }
    report: dict[str, Any] = {name: _values(rows) for name, rows in read.items()}
    report |= {"counts": {name: len(rows) for name, rows in read.items()}, "warnings": list(intake.warnings)}
    taken = [*ready, *intake.luhn_failed] if takes_wrong else ready
    return Taken([(one.imei, one.row) for one in taken], report, token, source.kind or "api")


def _read(source: Source, label: str, service_id: str) -> tuple[str | None, Intake]:
    if not source.kind:
        return None, parsed_list(source.imeis).intake(source.choice, backend().settings.max_batch_imeis)
    return read_and_keep(source.kind, source.content, label, service_id, source.choice)


def _values(rows: Iterable[tuple[int, str, str, str]]) -> list[dict[str, Any]]:
    names = ("row", "text", "imei", "reason")
    return [dict(zip(names, row, strict=True)) for row in islice(rows, MOST_ERRORS)]


def _invalid(rejected: Sequence[tuple[int, str, str, str]], is_list: bool) -> Problem:
    """Return the refusal that names what is not valid, by its pointer in the list or its row in the file."""
    errors = [
        {"detail": reason, "text": text, "row": row, **({"pointer": f"#/imeis/{row - 1}"} if is_list else {})}
        for row, text, _, reason in rejected[:MOST_ERRORS]
    ]
    count = len(rejected)
    words = f"{count:,} {'value is' if count == 1 else 'values are'} not valid, so nothing was ordered."
    return Problem(ProblemKind.INVALID_IMEIS, words, errors)
