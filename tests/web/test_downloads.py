"""Files of orders hold what the filter shows, with real dates and every digit."""

from datetime import datetime
from io import BytesIO

import openpyxl
import pytest
from simulated_provider import imeis
from web_client import Browser, answer_chunks, words
from web_scenes import bring, csv_rows, ordered

from database import IMEIDatabase
from orders import Outcome
from spreadsheets.writing import EXTENDED_COLUMNS


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 60),
        ("carrier=T-Mobile", 30),
        ("fmi=ON&status=Rejected", 10),
        ("since=2026-01-02&until=2026-01-03", 6),
        ("mismatch=1", 6),
        ("q=1005", 1),
        ("service=269&carrier=AT%26T", 30),
    ],
)
def test_an_export_holds_exactly_what_the_filter_shows(
    browser: Browser, database: IMEIDatabase, query: str, count: int
) -> None:
    ordered(database, 60)
    assert len(csv_rows(browser.get(f"/history.csv?{query}"))) == count
    sheet = openpyxl.load_workbook(BytesIO(browser.get(f"/history.xlsx?{query}").data)).active
    assert sheet
    assert sheet.max_row == count + 1


def test_a_workbook_has_real_dates_and_blacklist_serial_and_order_id(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 3)
    for path in ("/history.xlsx", "/history.xlsx?format=extended"):
        sheet = openpyxl.load_workbook(BytesIO(browser.get(path).data)).active
        assert sheet
        titles = [cell.value for cell in sheet[1]]
        row = {title: cell.value for title, cell in zip(titles, sheet[2], strict=True)}
        assert {"BLACKLIST", "VERDICT", "SERIAL", "ORDER ID"} <= set(titles)
        assert row["ORDER DATE"] == datetime(2026, 1, 3, 12)
        assert (row["SERIAL"], row["ORDER ID"]) == ("F4GK00000002", "1002")
        assert sheet.auto_filter.ref


def test_the_extended_format_says_all_that_is_known(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 3)
    [_, _, row] = csv_rows(browser.get("/history.csv?format=extended"))
    assert list(row) == [column.title for column in EXTENDED_COLUMNS]
    assert (row["ORDER ID"], row["SERIAL"], row["OUTCOME"]) == ("1000", "F4GK00000000", "ordered")


def test_a_batch_is_exported_extended_with_what_was_not_ordered(browser: Browser, database: IMEIDatabase) -> None:
    numbers = imeis(4)
    browser.start(numbers)
    refuse = (Outcome.REFUSED, "no such phone")
    answer_chunks(database, lambda imei: refuse if imei == numbers[1] else (Outcome.ORDERED, ""))
    rows = csv_rows(browser.get("/batches/1/results.csv?format=extended"))
    assert [row["OUTCOME"] for row in rows] == ["ordered", "refused", "ordered", "ordered"]
    assert rows[1]["ERROR"] == "no such phone"
    assert {row["BATCH"] for row in rows} == {"1"}
    assert all(row["ORDER ID"] for row in rows if row["OUTCOME"] == "ordered")
    again = bring(browser, browser.get("/batches/1/results.csv?format=extended").data).location
    assert "0 new 0 updated 3 unchanged 1 not understood" in words(browser.get(again))
