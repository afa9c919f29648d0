"""Import of order files: dry run, confirmation and undo."""

from datetime import datetime
from io import BytesIO

import pytest
from simulated_provider import imeis
from web_client import Browser, words
from web_scenes import bring, ordered

from database import IMEIDatabase
from storage.order_queries import statistics

EXPORT = (
    b"SERVICE,IMEI NO.,CREDITS,STATUS,CODE,IMEI 2,CARRIER,SIMLOCK,MODEL,FMI,ORDER DATE\r\n"
    b"Old service,353370080089458,$0.08,Completed,Model: <b>iPhone</b>,,T-Mobile,Locked,iPhone,ON,2025-11-14 3:33\r\n"
    b"Old service,hello,$0.08,Completed,,,,,,,2025-11-14 3:33:00\r\n"
)


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


def test_rows_that_are_not_matched_are_listed_before_and_after_the_import(
    browser: Browser, database: IMEIDatabase
) -> None:
    [imei] = imeis(1)
    more = {"service_name": "Old service", "credits": 0.08, "order_date": datetime(2025, 11, 14, 8, 33)}
    database.insert_order({"order_id": "1", "imei": imei, "status": "Pending", **more})
    titles, *_ = EXPORT.splitlines()
    line = f"Old service,{imei},$0.08,Completed,Model: iPhone,,T-Mobile,Locked,iPhone,ON,2025-11-14 "
    shown = bring(browser, b"\n".join([titles, f"{line}3:33:00".encode(), f"{line}1:33:00".encode()])).location
    text = words(browser.get(shown))
    assert "0 new 1 updated 0 unchanged 0 not understood 1 not matched" in text
    assert "1 row without an order id matched with recorded orders" in text
    assert "Import 1 order" in text
    done = browser.post(shown).location
    after = words(browser.get(done))
    assert "Import 1: 0 new, 1 updated, 0 unchanged, 0 not understood, 1 not matched; 1 found by IMEI" in after
    for page in (text, after):
        assert f"3 {imei[:2]}" in page and "within 36 hours of it are matched with row 2." in page
    assert "Import 1 is complete." in after and "Nothing has been saved" not in after
    assert (database.count_orders(), statistics(database).total_credits) == (1, 0.08)


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


def test_a_file_that_changes_nothing_offers_no_import_of_0_orders(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 3)
    export = browser.get("/history.csv?format=extended").data
    page = browser.led_back(browser.post("/database/import", {"file": (BytesIO(export), "orders.csv")}))
    assert "There is nothing to import: none of the 3 rows is new" in words(page)
    assert "Import 0 orders" not in words(page)
