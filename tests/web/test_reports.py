"""The spend as a page and a file."""

import pytest
from web_client import Browser, words
from web_scenes import csv_rows, ordered

from database import IMEIDatabase


def test_spend_is_summed_up_by_day_service_and_batch(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 60)
    assert "60 orders, $6.00" in words(browser.get("/reports"))
    by_day = csv_rows(browser.get("/reports/spend.csv?by=day"))
    assert len(by_day) == 20
    counts = {"ORDERS": "3", "COMPLETED": "2", "REJECTED": "1", "PASS": "0", "REVIEW": "0", "FAIL": "0"}
    assert by_day[0] == {"KEY": "2026-01-20", **counts, "SPENT": "$0.30"}
    assert [row["SPENT"] for row in csv_rows(browser.get("/reports/spend.csv?by=service"))] == ["$6.00"]
    assert [row["ORDERS"] for row in csv_rows(browser.get("/reports/spend.csv?by=batch&since=2026-01-20"))] == ["3"]
    assert browser.get("/reports?by=colour").status_code == 400


@pytest.mark.parametrize("query", ["since=2026-02-30", "by=week", "by=batch&since=soon"])
def test_a_report_of_what_cannot_be_read_is_an_error_and_not_one_of_everything(browser: Browser, query: str) -> None:
    for page in ("/reports", "/reports/spend.csv"):
        assert browser.get(f"{page}?{query}").status_code == 400
    assert "“soon” is not a date" in words(browser.get("/reports?since=soon"))
