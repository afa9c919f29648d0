"""What people do with results on the pages: ask for them, take them away, bring them back."""

from collections.abc import Iterator
from io import BytesIO

import pytest
from flask import Flask
from web_fixture import SERVICES, Browser, Provider, make_app, words
from werkzeug.test import TestResponse

import order_sync
from database import IMEIDatabase
from settings import Settings


@pytest.fixture
def app(settings: Settings, database: IMEIDatabase) -> Iterator[Flask]:
    made = make_app(settings, database, Provider(list(SERVICES)))
    yield made
    made.extensions["stopping"].set()


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


def test_the_history_page_has_a_button_that_asks_for_results(browser: Browser, database: IMEIDatabase) -> None:
    assert browser.post("/history/sync?status=Pending").location == "/history?status=Pending"
    assert order_sync.is_requested(database)
    assert browser.get("/status").status_code == 200


EXPORT = (
    b"SERVICE,IMEI NO.,CREDITS,STATUS,CODE,IMEI 2,CARRIER,SIMLOCK,MODEL,FMI,ORDER DATE\r\n"
    b"Old service,353370080089458,$0.08,Completed,Model: <b>iPhone</b>,,T-Mobile,Locked,iPhone,ON,2025-11-14 3:33\r\n"
    b"Old service,hello,$0.08,Completed,,,,,,,2025-11-14 3:33:00\r\n"
)


def bring(browser: Browser, data: bytes, name: str = "export.csv") -> TestResponse:
    return browser.post("/database/import", {"file": (BytesIO(data), name)})


def test_an_import_is_shown_then_done_then_undone(browser: Browser, database: IMEIDatabase) -> None:
    shown = bring(browser, EXPORT).location
    text = words(browser.get(shown))
    assert "1 new 0 updated 0 unchanged 1 not understood" in text
    assert "'hello' is not an IMEI" in text.replace("&#34;", "'")
    assert database.count_orders() == 0
    assert browser.post(shown).location == "/database"
    assert "Import 1: 1 new, 0 updated, 0 unchanged, 1 not understood." in words(browser.get("/database"))
    browser.post(shown)
    assert database.count_orders() == 1
    browser.post("/database/import/1/undo")
    assert "Import 1 is undone: 1 order restored" in words(browser.get("/database"))
    assert database.count_orders() == 0


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "empty"),
        (b"IMEI\n353370080089458\n", "not an export of orders"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "damaged"),
    ],
)
def test_a_file_that_is_no_export_gets_a_sentence(browser: Browser, data: bytes, sentence: str) -> None:
    assert bring(browser, data).location == "/database"
    assert sentence in words(browser.get("/database"))


def test_an_import_needs_a_token(browser: Browser, database: IMEIDatabase) -> None:
    shown = bring(browser, EXPORT).location
    assert browser.client.post(shown).status_code == 400
    assert browser.client.post("/database/import").status_code == 400
    assert browser.get("/database/import/unknown").status_code == 404
    assert database.count_orders() == 0
