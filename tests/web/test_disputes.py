"""Disputes with the provider: opened from lists and orders, changed, refunded, and as files."""

import io

import openpyxl
import pytest
from simulated_provider import imeis
from web_client import Browser, answer_chunks, words
from web_scenes import csv_rows, ordered

from database import IMEIDatabase
from orders import DisputeKind, Outcome
from storage import audit_log, disputable, dispute_queries
from storage.audit_log import AuditFilter
from storage.disputable import Disputable


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


def test_disputes_are_opened_sent_and_exported_for_the_provider(browser: Browser, database: IMEIDatabase) -> None:
    """What an operator does with some rejected orders, without a script; the audit log has it."""
    ordered(database, 30)
    rows = [row.id for row in disputable.page(database, Disputable(DisputeKind.REJECTED), None, 9)]
    browser.post("/reports/disputes", {"kind": "rejected", "one": rows[0], "row": rows[1:3]})
    browser.post("/reports/disputes", {"kind": "rejected", "row": rows[1:3], "note": "Please pay back"})
    again = browser.post("/reports/disputes", {"kind": "rejected", "row": rows[:3]})
    assert "No dispute was opened" in words(browser.led_back(again))
    browser.post("/reports/disputes", {"kind": "mismatched", "all": "1"})
    opened = words(browser.get("/reports/disputes?state=open&kind=rejected"))
    assert "6 open" in opened
    assert "Please pay back" in opened
    browser.post("/reports/disputes/steps", {"state": "open", "kind": "rejected", "to": "sent", "all": "1"})
    sheet = openpyxl.load_workbook(io.BytesIO(browser.get("/reports/disputes.xlsx?state=sent").data)).worksheets[0]
    assert [cell.value for cell in sheet[1]][:7] == [
        "ORDER ID", "IMEI NO.", "SERVICE", "PRICE", "ORDER DATE", "REASON", "TEXT"
    ]  # fmt: skip
    sent = csv_rows(browser.get("/reports/disputes.csv?state=sent"))
    assert sorted(row["TEXT"] for row in sent) == ["", "Please pay back", "Please pay back"]
    assert sheet.max_row == 4
    assert len(csv_rows(browser.get("/reports/disputes.csv?state=all"))) == 6
    assert {"dispute.open", "dispute.open.refused", "dispute.change", "export"} <= actions(database)


def actions(database: IMEIDatabase) -> set[str]:
    return {entry.action for entry in audit_log.walk(database, AuditFilter())}


def test_a_dispute_of_an_order_is_refunded_up_to_its_price(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 3)
    good = "/reports/disputes/order/1001"
    assert "write what is wrong" in words(browser.led_back(browser.post(good)))
    page = browser.post(good, {"note": "It is locked, the result says unlocked"}).location
    assert "Dispute 1 : open" in words(browser.get("/orders/1001"))
    browser.post(page, {"to": "sent"})
    too_much = browser.post(f"{page}/refund", {"amount": "0.11", "day": "2026-11-25"})
    assert "more than the price of $0.10" in words(browser.led_back(too_much))
    unreadable = browser.post(f"{page}/refund", {"amount": "-1", "day": "2026-11-25"})
    assert "enter dollars" in words(browser.led_back(unreadable))
    browser.post(f"{page}/refund", {"amount": "$0,11", "day": "2026-11-25", "exceed": "1"})
    assert "Refund $0.11 on 2026-11-25" in (shown := words(browser.get(page)))
    assert "Refunded $0.11" in shown
    assert "Nothing was changed" in words(browser.led_back(browser.post(page, {"to": "refused"})))
    browser.post(page, {"note": "Thank you"})
    assert [event.note for event in dispute_queries.events(database, 1)][-1] == "Thank you"
    assert {"dispute.refund", "dispute.refund.refused"} <= actions(database)
    assert browser.get("/reports/disputes/2").status_code == 404


@pytest.mark.parametrize(
    "query", ["state=lost", "kind=lost", "state=open&kind=lost", "kind=other", "batch=x", "state=open&before=-1"]
)
def test_a_list_of_what_cannot_be_read_is_an_error(browser: Browser, query: str) -> None:
    assert browser.get(f"/reports/disputes?{query}").status_code == (200 if "before" in query else 400)
