"""Workbooks that are built in the background."""

import json
import os
import time
from io import BytesIO

import openpyxl
import pytest
from waiting import wait_until
from web_client import Browser, words
from web_scenes import ordered

from database import IMEIDatabase
from settings import Settings
from web import downloads as web_downloads


def wait_for(browser: Browser, page: str, sentence: str) -> None:
    wait_until(lambda: sentence in words(browser.get(page)), sentence)


def test_a_long_workbook_is_built_in_the_background(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(database, 60)
    monkeypatch.setattr(web_downloads, "AT_ONCE", 50)
    page = browser.get("/history.xlsx").location
    wait_for(browser, page, "Ready to download")
    assert "Ready to download: 60 rows." in words(browser.get(page))
    sheet = openpyxl.load_workbook(BytesIO(browser.get(f"{page}/file").data)).active
    assert sheet
    assert sheet.max_row == 61
    assert browser.get("/exports/unknown").status_code == 404
    assert browser.get("/exports/..%2Fsecret").status_code == 404


def test_an_export_that_died_says_so(browser: Browser, settings: Settings) -> None:
    folder = settings.data_dir / "exports"
    folder.mkdir()
    state = {"token": "a1", "name": "x.xlsx", "total": 9, "rows": 4, "at": 0}
    (folder / "a1.json").write_text(json.dumps(state))
    assert "The export was interrupted. Start it again." in words(browser.get("/exports/a1"))
    assert browser.get("/exports/a1/file").status_code == 303


def test_an_export_ends_before_it_takes_the_space_that_orders_need(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(database, 60)
    monkeypatch.setattr(web_downloads, "AT_ONCE", 50)
    monkeypatch.setattr(web_downloads, "SPARE", 2**62)
    page = browser.get("/history.xlsx").location
    wait_for(browser, page, "The disk has too little free space")


def test_the_oldest_of_too_many_exports_are_deleted(
    browser: Browser, database: IMEIDatabase, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(database, 60)
    monkeypatch.setattr(web_downloads, "AT_ONCE", 50)
    monkeypatch.setattr(web_downloads, "MOST_FILES", 2)
    folder = settings.data_dir / "exports"
    folder.mkdir()
    for name, age in (("old.json", 300), ("old.xlsx", 300), ("new.json", 10), ("new.xlsx", 10)):
        (folder / name).write_text("")
        os.utime(folder / name, (time.time() - age,) * 2)
    wait_for(browser, browser.get("/history.xlsx").location, "Ready to download")
    assert {path.name for path in folder.iterdir()} >= {"new.json", "new.xlsx"}
    assert not list(folder.glob("old.*"))
