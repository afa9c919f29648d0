"""The child process that reads a workbook."""

import subprocess
import sys
from pathlib import Path

import pytest
from hostile_workbooks import FIVE, GOOD_ROWS
from sample_files import raw_workbook

from spreadsheets.reading import read_file
from workbooks import guarded as spreadsheets_guarded
from workbooks.kinds import UnreadableFileError


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


@pytest.mark.parametrize("child", ["child", "adding"])
def test_a_child_imports_nothing_that_only_its_parent_needs(child: str) -> None:
    python, *arguments = spreadsheets_guarded.command_of(child)
    folder = spreadsheets_guarded.PROGRAM.parents[1]
    command = [python, "-X", "importtime", *arguments, "xlsx", "5"]
    done = subprocess.run(command, input=b"", cwd=folder, env={}, capture_output=True, check=False)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert f"workbooks.{child}" in imported
    assert {"workbooks", "workbooks.added", "workbooks.guarded"} & imported == set()


def test_the_bytes_of_a_workbook_are_not_run_as_a_program_of_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert len(read_file(raw_workbook(GOOD_ROWS)).ready) == 5
