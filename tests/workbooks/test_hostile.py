"""Workbooks made to break their reader: each is read or refused with a sentence in time, one at a time."""

import io
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from hostile_workbooks import FIVE, GOOD_ROWS, READ, REFUSED, many_sheets
from sample_files import raw_workbook, text_workbook

from spreadsheets.reading import read_file
from workbooks import guarded as spreadsheets_guarded
from workbooks.guarded import Workbook
from workbooks.kinds import Deadline, FileKind, UnreadableFileError

LONGEST = 2.0  #: seconds


@pytest.mark.parametrize("what", REFUSED)
def test_a_hostile_workbook_is_refused_in_time(what: str) -> None:
    data = REFUSED[what]()
    began = time.monotonic()
    with pytest.raises(UnreadableFileError) as caught:
        read_file(data)
    assert time.monotonic() - began < LONGEST
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("what", READ)
def test_an_odd_workbook_is_read_without_losing_an_imei(what: str) -> None:
    data = READ[what]()
    began = time.monotonic()
    intake = read_file(data)
    assert time.monotonic() - began < LONGEST
    assert [ready.imei for ready in intake.ready] == FIVE
    for rejected in intake.rejected:
        rejected.text.encode()


def test_a_part_that_is_listed_many_times_is_read_once() -> None:
    intake = read_file(many_sheets(900, 1))
    assert (len(intake.sheets), len(intake.ready)) == (1, 5)


def test_one_workbook_is_read_at_a_time() -> None:
    """While one is read another waits; when its time is up it is told so, and a free reader takes the next."""
    data = text_workbook([["IMEI"], *([number] for number in FIVE)])
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with spreadsheets_guarded.take_turn(spreadsheets_guarded.PROGRAM, Deadline(5)):
            inside.set()
            go_on.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    assert inside.wait(5)
    with pytest.raises(UnreadableFileError, match="Other workbooks are being read"):
        Workbook(data, FileKind.XLSX, Deadline(0.1))
    go_on.set()
    holder.join()
    assert [sheet.name for sheet in Workbook(data, FileKind.XLSX, Deadline(20)).sheets] == ["Stock"]


def test_a_reader_that_dies_gives_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "dies.py"
    program.write_text("import os\nos.abort()\n", encoding="utf-8")
    monkeypatch.setattr(spreadsheets_guarded, "COMMAND", (sys.executable, str(program)))
    with pytest.raises(UnreadableFileError, match="damaged, or needs more memory"):
        read_file(raw_workbook(GOOD_ROWS))


HALF = f"""
import os, sys, time
print('["Stock", false]')
print('[[1, ["IMEI"], false]]')
for number, imei in enumerate({FIVE}, 2):
    print(f'[[{{number}}, ["{{imei}}"], false]]', flush=True)
    time.sleep(0.02)
"""


CUT_LINE = "print('[[9, [', end='', flush=True); os.abort()"
PIECES = r"""
for piece in ('[[7, [', '"x', 'y"], false]', ']\n'):
    print(piece, end="", flush=True)
    time.sleep(0.02)
"""


@pytest.mark.parametrize("end", ["os.abort()", "sys.exit(3)", "sys.exit(4)", CUT_LINE])
def test_rows_of_a_reader_that_fails_later_are_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str
) -> None:
    program = tmp_path / "fails.py"
    program.write_text(HALF + end + "\n", encoding="utf-8")
    monkeypatch.setattr(spreadsheets_guarded, "COMMAND", (sys.executable, str(program)))
    with pytest.raises(UnreadableFileError, match="damaged, or needs more memory"):
        read_file(raw_workbook(GOOD_ROWS))


def test_rows_that_a_slow_reader_writes_piece_by_piece_are_all_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "slow.py"
    program.write_text(HALF + PIECES, encoding="utf-8")
    monkeypatch.setattr(spreadsheets_guarded, "COMMAND", (sys.executable, str(program)))
    monkeypatch.setattr(spreadsheets_guarded, "_BLOCK", 4)
    intake = read_file(raw_workbook(GOOD_ROWS))
    assert [ready.imei for ready in intake.ready] == FIVE
    assert [(bad.row, bad.text) for bad in intake.rejected] == [(7, "xy")]


def test_an_error_of_ours_while_a_workbook_is_read_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets_guarded, "COMMAND", ("/nothing/here",))
    with pytest.raises(FileNotFoundError):
        read_file(raw_workbook(GOOD_ROWS))


def test_the_bytes_of_a_workbook_are_not_run_as_a_program_of_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert len(read_file(raw_workbook(GOOD_ROWS)).ready) == 5


def test_a_bad_name_in_the_archive_does_no_harm() -> None:
    out = io.BytesIO(raw_workbook(GOOD_ROWS))
    with zipfile.ZipFile(out, "a") as file:
        file.writestr("../../x.xml", "x")
    assert len(read_file(out.getvalue()).ready) == 5
