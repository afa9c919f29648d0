"""Reports: spend, findings of a batch, and disputes."""

import pytest
from simulated_provider import imeis
from stored_orders import all_orders
from web_client import Browser, answer_chunks, words
from web_scenes import csv_rows, ordered

from database import IMEIDatabase
from orders import Outcome


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
    assert browser.get("/reports/disputes?kind=lost").status_code == 400
    assert "“soon” is not a date" in words(browser.get("/reports?since=soon"))


def test_the_findings_of_a_batch_are_counted(browser: Browser, database: IMEIDatabase) -> None:
    browser.start(imeis(4))
    answer_chunks(database)
    for n, order in enumerate(all_orders(database)):
        result = {"carrier": "T-Mobile" if n else "AT&T", "fmi": "ON", "simlock": "Locked"}
        database.update_order_status(order["order_id"], "Completed", result)
    assert "T-Mobile 3" in words(browser.get("/batches/1/findings"))
    rows = csv_rows(browser.get("/batches/1/findings.csv"))
    assert {"FIELD": "carrier", "VALUE": "AT&T", "ORDERS": "1"} in rows
    assert {"FIELD": "blacklist", "VALUE": "", "ORDERS": "4"} in rows


def test_the_disputes_name_what_was_rejected_in_doubt_or_about_another_imei(
    browser: Browser, database: IMEIDatabase
) -> None:
    ordered(database, 30)
    doubtful = imeis(2, 500)
    browser.start(doubtful)
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, "no answer"))
    rows = csv_rows(browser.get("/reports/disputes.csv"))
    assert sum(row["STATUS"] == "In doubt" for row in rows) == 2
    assert sum(row["WHY"].startswith("The result is about IMEI") for row in rows) == 3
    assert sum(row["STATUS"] == "Rejected" for row in rows) == 10
    assert all(row["ORDER ID"] for row in rows if row["STATUS"] != "In doubt")
    first = words(browser.get("/reports/disputes"))
    assert "2 in doubt 3 about another IMEI 10 rejected" in first
    assert all(f"{imei} " in first for imei in doubtful)
    assert "no answer" in first
    assert words(browser.get("/reports/disputes?kind=mismatched")).count("The result is about IMEI") == 3
    rejected = browser.get("/reports/disputes?kind=rejected").text
    assert all(f"/orders/{row['ORDER ID']}" in rejected for row in rows if row["WHY"] == "Rejected")
