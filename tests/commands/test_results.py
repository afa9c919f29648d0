"""`flask results`: the same files as the page, by the id of a batch or the name of its file."""

import csv
import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from click.testing import Result
from flask import Flask
from golden_sheets import differences, two_imei_columns
from web_client import Browser, answer_chunks

from database import IMEIDatabase


@pytest.fixture
def batch(browser: Browser, database: IMEIDatabase) -> None:
    """A finished batch of a workbook, whose results are pending."""
    browser.confirm(browser.upload(two_imei_columns(), "phones.xlsx").location)
    answer_chunks(database)


def run(app: Flask, *words: str | Path) -> Result:
    return app.test_cli_runner().invoke(args=["results", *map(str, words)])


@pytest.mark.parametrize("name", ["1", "phones.xlsx", "../lists/phones.xlsx"])
def test_the_sheet_of_a_batch_is_written(app: Flask, batch: None, tmp_path: Path, name: str) -> None:
    out = tmp_path / "back.xlsx"
    result = run(app, name, "--out", out)
    assert result.exit_code == 0, result.output
    assert "batch 1, 7 IMEIs\n7 of 7 pending" in result.stderr
    assert differences(two_imei_columns(), out.read_bytes(), 4) == []
    assert list(tmp_path.glob("*.part")) == []


def test_the_other_formats_are_those_of_the_page(app: Flask, browser: Browser, batch: None, tmp_path: Path) -> None:
    text, workbook = tmp_path / "all.csv", tmp_path / "all.xlsx"
    assert run(app, "1", "--format", "csv", "--out", text).exit_code == 0
    assert run(app, "1", "--format", "xlsx", "--out", workbook).exit_code == 0
    assert text.read_bytes() == browser.get("/batches/1/results.csv").data
    sheet: Any = openpyxl.load_workbook(workbook).active
    rows = list(csv.reader(io.StringIO(text.read_text(encoding="utf-8-sig"))))
    assert [row[1] for row in sheet.iter_rows(values_only=True)] == [row[1] for row in rows]


def test_without_a_batch_or_its_file_nothing_is_written(app: Flask, batch: None, tmp_path: Path) -> None:
    out = tmp_path / "mine.xlsx"
    out.write_text("kept", encoding="utf-8")
    unknown = run(app, "other.xlsx", "--out", out)
    assert (unknown.exit_code, "There is no batch other.xlsx" in unknown.output) == (2, True)
    for path in app.extensions["backend"].uploads.iterdir():
        path.unlink()
    gone = run(app, "1", "--out", out)
    assert (gone.exit_code, "no longer kept" in gone.output) == (2, True)
    assert out.read_text(encoding="utf-8") == "kept"
