"""The child that appends columns is followed to its end: whatever it does, the parent gets a file or a sentence."""

import json
import logging
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Timer

import openpyxl
import pytest
from added_columns import COLUMNS, MOMENT, add
from golden_sheets import saved, two_imei_columns

from workbooks import AddedRow, Addition, UnreadableFileError, add_columns, added
from workbooks.limits import REFUSED, TOO_BIG

#: Starts as the child does, with the plan as its first argument.
ANSWER = """
import json, os, sys
plan = os.fdopen(int(sys.argv[1]), "rb").read()
"""
Run = Callable[[str], tuple[bytes, tuple[str, ...], list[int]]]


@pytest.fixture(name="run")
def run_fixture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Let another program answer in the place of the child; return its file, its sentences and its progress."""

    def run(program: str) -> tuple[bytes, tuple[str, ...], list[int]]:
        path = tmp_path / "child.py"
        path.write_text(ANSWER + program, encoding="utf-8")
        monkeypatch.setattr(added, "COMMAND", (sys.executable, str(path)))
        rows = [AddedRow(2, ("Pass", MOMENT, "0015", ""), "pass"), AddedRow(9, ("", "", "", "é"))]
        addition = Addition("Phones", 1, COLUMNS, rows, {"pass": ("E1F3E9", "14683F")}, ["Ours."])
        progress = list[int]()
        with tempfile.TemporaryFile() as out:
            sentences = add_columns(b"the workbook", addition, out, progress.append)
            out.seek(0)
            return out.read(), sentences, progress

    return run


def test_the_child_gets_the_workbook_and_the_plan_line_by_line(run: Run) -> None:
    written, sentences, _ = run("sys.stdout.buffer.write(sys.stdin.buffer.read() + b'|' + plan)")
    workbook, _, plan = written.partition(b"|")
    assert (workbook, sentences) == (b"the workbook", ())
    head, *rows = map(json.loads, plan.splitlines())
    assert head == {
        "sheet": "Phones",
        "header_row": 1,
        "columns": [
            ["Verdict", 10, "tone"],
            ["Checked on", 17, "moment"],
            ["Order id", 14, "digits"],
            ["Note", 60, ""],
        ],
        "tones": {"pass": ["E1F3E9", "14683F"]},
        "notes": ["Ours."],
    }
    assert rows[0][:2] == [2, "pass"]
    assert rows[0][2][0::2] == ["Pass", "0015"]
    assert rows[1] == [9, "", ["", "", "", "é"]]


@pytest.mark.parametrize(
    ("moment", "days"),
    [
        (datetime(1900, 1, 1), 2.0),
        (datetime(2026, 11, 3, 12, 0, 0, 999_999), 46329.5),
        (datetime(2026, 11, 3, 12, tzinfo=UTC), 46329.5),
        (datetime(2026, 11, 3, 12, tzinfo=timezone(timedelta(hours=6))), 46329.25),
    ],
)
def test_a_moment_is_counted_in_days_of_utc_to_the_second(moment: datetime, days: float) -> None:
    assert added._plain(moment) == days


def test_numbers_are_progress_and_texts_are_sentences_and_a_traceback_is_logged(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        _, sentences, progress = run(
            "for line in ('1000', '\"Macros are left out.\"', 'Traceback (most recent call last):', '500'):\n"
            "    print(line, file=sys.stderr)\n"
        )
    assert sentences == ("Macros are left out.",)
    assert progress == [1000, 500]
    assert [record.getMessage() for record in caplog.records] == ["Traceback (most recent call last):"]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (f"print('\"An odd sheet.\"', file=sys.stderr, flush=True); os._exit({REFUSED})", r"^An odd sheet\.$"),
        (f"os._exit({REFUSED})", "needs more memory or time"),
        (f"print('\"An odd sheet.\"', file=sys.stderr, flush=True); os._exit({TOO_BIG})", "needs more memory or time"),
        ("os.abort()", "needs more memory or time"),
    ],
)
def test_a_child_that_fails_gives_one_sentence(run: Run, end: str, words: str) -> None:
    with pytest.raises(UnreadableFileError, match=words):
        run(end)


def test_a_child_that_takes_too_long_is_ended(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(added, "Timer", lambda seconds, end: Timer(seconds / 1000, end))
    with pytest.raises(UnreadableFileError, match="needs more memory or time"):
        run("import time; time.sleep(60)")


def test_an_exception_of_the_progress_ends_the_child() -> None:
    """An exception of the progress ends the work at once, and the next workbook gets its turn."""

    def stop(rows: int) -> None:
        raise InterruptedError

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Phones")
    for number in range(3000):
        sheet.append([number])
    addition = Addition("Phones", 0, COLUMNS, (), {})
    with tempfile.TemporaryFile() as out, pytest.raises(InterruptedError):
        add_columns(saved(book), addition, out, stop)
    add(two_imei_columns(), "Phones", 1, 2)
