"""Disputes with the provider as a page and a file."""

from simulated_provider import imeis
from web_client import Browser, answer_chunks, words
from web_scenes import csv_rows, ordered

from database import IMEIDatabase
from orders import Outcome


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
    assert browser.get("/reports/disputes?kind=lost").status_code == 400
