"""The results of a batch by value, and its report."""

from simulated_provider import imeis
from stored_orders import all_orders
from web_client import Browser, answer_chunks, words
from web_scenes import csv_rows

from database import IMEIDatabase


def test_the_findings_of_a_batch_are_counted(browser: Browser, database: IMEIDatabase) -> None:
    browser.start(imeis(4))
    answer_chunks(database)
    for n, order in enumerate(all_orders(database)):
        result = {"carrier": "T-Mobile" if n else "AT&T", "fmi": "ON", "simlock": "Locked"}
        database.update_order_status(order["order_id"], "Completed", result)
    assert "T-Mobile 3 75 %" in words(browser.get("/batches/1/findings"))
    rows = csv_rows(browser.get("/batches/1/findings.csv"))
    assert {"FIELD": "carrier", "VALUE": "AT&T", "ORDERS": "1"} in rows
    assert {"FIELD": "blacklist", "VALUE": "", "ORDERS": "4"} in rows
