"""Files through the app: what is taken away comes back unchanged, and what would break a reader breaks nothing."""

import io
import re
import time
from collections.abc import Callable
from datetime import datetime
from io import BytesIO

import openpyxl
import pytest
from old_workbooks import far_cell, ods, xlsb
from sample_files import OLE, raw_workbook
from simulated_provider import imeis
from sqlalchemy import insert
from stored_orders import all_orders
from waiting import wait_until
from web_client import Browser, answer_chunks, words

from database import IMEIDatabase
from schema import orders
from web import downloads as web_downloads

TITLES = ["SERVICE", "IMEI NO.", "CREDITS", "STATUS", "CODE", "IMEI 2", "CARRIER", "SIMLOCK", "MODEL", "FMI"]


@pytest.fixture
def stored(database: IMEIDatabase) -> list[str]:
    """Thirty orders with results that a spreadsheet would gladly misread."""
    odd = ["=1+1", "-", "+49 123", "@x", " padded ", "a\nb", "ü–漢", "\x07bell", "'quoted", "01/02/2024", "1E5"]
    rows = [
        {
            "order_id": f"00{n}",
            "imei": imei,
            "imei2": imeis(1, 900 + n)[0] if n % 2 else None,
            "status": ("Completed", "Rejected", "Pending")[n % 3],
            "service_name": f"Service {n % 4}",
            "credits": 0.085,
            "order_date": datetime(2026, 3, 1 + n % 9, 4, 5, n, 999),
            "result_code": None if n % 3 == 2 else f"Model: {odd[n % 11]}",
            "result_code_display": None if n % 3 == 2 else f"Model: {odd[n % 11]}",
            "model": odd[n % 11] if n % 3 < 2 else None,
            "carrier": odd[(n + 3) % 11] if n % 3 < 2 else None,
            "fmi": "ON" if n % 2 else "OFF",
            "serial": f"00{n}E5",
        }
        for n, imei in enumerate(imeis(30))
    ]
    with database.write() as connection:
        connection.execute(insert(orders), rows)
    return [str(row["imei"]) for row in rows]


def bring(browser: Browser, data: bytes, name: str) -> str:
    """Upload a file of orders; what the page after it says."""
    answer = browser.post("/database/import", {"file": (BytesIO(data), name)})
    return words(browser.get(answer.location))


@pytest.mark.parametrize("query", ["", "?bom=0", "?format=extended"])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_what_the_history_gives_away_comes_back_unchanged(
    browser: Browser, database: IMEIDatabase, stored: list[str], kind: str, query: str
) -> None:
    before = [dict(row) for row in all_orders(database)]
    taken = browser.get(f"/history.{kind}{query}")
    name = re.search(r"filename=(\S+)", taken.headers["Content-Disposition"])
    assert name
    assert re.fullmatch(rf"orders{'-extended' if 'extended' in query else ''}_\d{{8}}T\d{{4}}Z\.{kind}", name[1])
    said = bring(browser, taken.data, name[1])
    assert f"0 new 0 updated {len(stored)} unchanged 0 not understood" in said
    assert [dict(row) for row in all_orders(database)] == before


def test_a_filtered_export_of_one_installation_is_new_in_another_and_then_the_same(
    browser: Browser, database: IMEIDatabase, stored: list[str]
) -> None:
    """Only blanks around a text are lost on the way."""
    taken = browser.get("/history.xlsx?format=extended&status=Rejected").data
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM orders")
    shown = browser.post("/database/import", {"file": (BytesIO(taken), "orders.xlsx")}).location
    assert "10 new" in words(browser.get(shown))
    browser.post(shown)
    assert database.count_orders() == 10
    assert {row["order_id"] for row in all_orders(database)} == {f"00{n}" for n in range(1, 30, 3)}
    again = browser.get("/history.xlsx?format=extended").data
    assert values(again, "R") == values(taken, "R")


def values(data: bytes, last: str) -> list[tuple[str, ...]]:
    """The cells of a workbook up to a column, row by row in any order, without blanks around them."""
    sheet = openpyxl.load_workbook(io.BytesIO(data)).worksheets[0]
    rows = sheet[f"A2:{last}{sheet.max_row}"]
    return sorted((tuple(" ".join(str(cell.value).split()) for cell in row) for row in rows), key=str)


@pytest.mark.parametrize("columns", [TITLES, [*TITLES, "ORDER DATE"], [*TITLES, "ORDER DATE", "NOTES"]])
@pytest.mark.parametrize("pack", [ods, xlsb])
def test_an_advanced_export_in_an_old_format_is_imported_below_its_titles(
    browser: Browser, database: IMEIDatabase, columns: list[str], pack: Callable[[list[list[str]]], bytes]
) -> None:
    row = ["A", imeis(1)[0], "$0.08", "Completed", "Model: X", "", "T-Mobile", "Locked", "X", "ON"]
    row += ["2025-11-14 3:33:00", "for Bob"][: len(columns) - len(row)]
    data = pack([["Advanced Export"], [""], columns, row])
    shown = browser.post("/database/import", {"file": (BytesIO(data), "export.dat")}).location
    assert "1 new 0 updated 0 unchanged 0 not understood" in words(browser.get(shown))
    browser.post(shown)
    assert [order["carrier"] for order in all_orders(database)] == ["T-Mobile"]
    assert "0 new 0 updated 1 unchanged" in bring(browser, data, "export.dat")


BOMBS: dict[str, Callable[[], bytes]] = {
    "an ODS of a few kilobytes that claims 17 thousand million cells": far_cell,
    "a small workbook that unpacks to more than the limit": lambda: raw_workbook(
        "<row/>", extra=dict.fromkeys((f"xl/{number}.xml" for number in range(10)), b" " * 45_000_000)
    ),
    "an encrypted workbook": lambda: OLE + "EncryptedPackage".encode("utf-16-le"),
    "a PDF named .csv": lambda: b"%PDF-1.7\n1 0 obj",
    "an empty file": lambda: b"",
    "a table without IMEIs": lambda: b"Name,Price\nA,5\n",
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_file_that_cannot_be_taken_gets_a_sentence_and_leaves_nothing(
    browser: Browser, database: IMEIDatabase, what: str
) -> None:
    """Whether it was meant as a batch or as an import; the app answers the next request as before."""
    data = BOMBS[what]()
    began = time.monotonic()
    refused = browser.led_back(browser.upload(data, "stock.csv"))
    assert re.search(r'class="flash error"[^>]*>[^<]{20,400}\.<', refused.text), words(refused)
    assert "Not imported: " in bring(browser, data, "orders.csv")
    assert time.monotonic() - began < 60
    assert database.count_orders() == 0
    assert browser.get("/health").status_code == 200


def test_a_batch_of_many_rows_is_built_in_the_background_too(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its progress and its link, named like the download that a request gives; a third must wait."""
    browser.start(imeis(30))
    answer_chunks(database)
    monkeypatch.setattr(web_downloads, "AT_ONCE", 20)
    monkeypatch.setattr(web_downloads, "REPORTED", 5)
    page = browser.get("/batches/1/results.xlsx?format=extended").location
    wait_until(lambda: "Ready to download" in words(browser.get(page)), "the file is built")
    done = browser.get(f"{page}/file")
    assert re.search(r"filename=batch-1_\S+_results-extended_\d{8}T\d{4}Z\.xlsx", done.headers["Content-Disposition"])
    assert len(values(done.data, "T")) == 30
    monkeypatch.setattr(web_downloads, "MOST_AT_ONCE", 0)
    assert browser.get("/batches/1/results.xlsx").status_code == 503
