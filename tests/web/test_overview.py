"""The overview pages: dashboard, services, database and status."""

import time
from dataclasses import replace
from datetime import datetime

from flask import Flask
from simulated_provider import imeis
from stored_orders import all_orders
from web_client import SERVICES, Browser, Provider, order_batch, words

from database import IMEIDatabase, utc_now
from storage.result_store import Withheld, note_withheld


def test_the_empty_dashboard_leads_to_the_first_batch(browser: Browser) -> None:
    text = words(browser.get("/"))
    assert "No orders yet" in text
    assert "Start first batch" in text


def test_the_dashboard_shows_balance_orders_and_doubt(browser: Browser, database: IMEIDatabase) -> None:
    order_batch(database, imeis(3))
    text = words(browser.get("/"))
    assert "$150.00" in text
    assert "Checked today 0 0 passed , 0 failed , 3 ordered" in text
    assert "Spent today $0.24" in text


def test_the_dashboard_says_of_how_many_results_it_speaks(browser: Browser, database: IMEIDatabase) -> None:
    order_batch(database, imeis(1))
    order_id = database.get_orders_by_imei(imeis(1)[0])[0]["order_id"]
    assert order_id
    database.update_order_status(order_id, "Completed", {"carrier": "T-Mobile"})
    assert "The newest results, 2,000 at most" in words(browser.get("/"))


def test_the_status_page_lists_the_orders_that_get_no_result(browser: Browser, database: IMEIDatabase) -> None:
    """With the provider's words, which are shown as text, and without those that have a result meanwhile."""
    assert "Orders without a result" not in words(browser.get("/status"))
    batch_id = order_batch(database, imeis(3))
    odd, given, _ = [row["order_id"] for row in all_orders(database, batch_id=batch_id)]
    since = datetime(2026, 11, 25, 10, 5)
    results = [Withheld(name, since, utc_now(), 3, "No IMEI Found <b>", spoils_lists=True) for name in (odd, given)]
    note_withheld(database, results, [])
    database.update_order_status(given, "Completed", {})
    page = browser.get("/status")
    assert "Orders without a result" in words(page)
    assert f'<a href="/orders/{odd}">{odd}</a>' in page.text
    assert f"/orders/{given}" not in page.text
    assert "25 Nov 2026 10:05 UTC" in words(page)
    assert "No IMEI Found &lt;b&gt;" in page.text


def test_the_database_page_names_the_file_in_its_commands(browser: Browser, database: IMEIDatabase) -> None:
    assert f'sqlite3 "{database.path}" "SELECT COUNT(*) FROM orders"' in words(browser.get("/database"))


def test_services_search_in_the_url(browser: Browser) -> None:
    text = words(browser.get("/services?q=status+check"))
    assert "T-Mobile USA - Status Check" in text
    assert "1 of 3" in text
    assert "1 of 3" in words(browser.get("/services?category=Unlock"))


def test_every_page_counts_the_services_alike(browser: Browser, provider: Provider) -> None:
    """One is listed no more, and one needs more than an IMEI."""
    provider.services = [*SERVICES, replace(SERVICES[0], package_id="7", title="Gone")]
    browser.get("/services")
    provider.services = list(SERVICES)
    with browser_database(browser).write() as connection:
        connection.exec_driver_sql("UPDATE services SET refreshed_at = 0")
    assert "3 services, 2 need only an IMEI" in words(browser.get("/services"))
    assert "3 services, 2 need only an IMEI" in words(browser.get("/status"))
    assert "2 of 3 services can be ordered by IMEI alone" in words(browser.get("/"))
    assert "Services 3" in words(browser.get("/database"))


def browser_database(browser: Browser) -> IMEIDatabase:
    database: IMEIDatabase = browser.client.application.extensions["database"]
    return database


def test_a_service_that_needs_more_cannot_be_used(browser: Browser) -> None:
    assert "needs Email" in words(browser.get("/services"))


def test_a_changed_price_is_marked(app: Flask, browser: Browser, database: IMEIDatabase) -> None:
    database.store_services(SERVICES, 1.0)
    database.store_services([replace(SERVICES[0], price=0.09), *SERVICES[1:]], time.time())
    assert "was $0.08" in words(browser.get("/services"))


def test_the_database_page_counts_checks_and_backs_up(browser: Browser, database: IMEIDatabase) -> None:
    order_batch(database, imeis(2))
    assert "Orders 2" in words(browser.get("/database"))
    assert "no damage found" in words(browser.led_back(browser.post("/database/check")))
    copy = browser.post("/database/backup")
    assert copy.status_code == 200
    assert copy.data.startswith(b"SQLite format 3")
    assert copy.headers["Content-Disposition"].startswith("attachment")
    page = words(browser.get("/database"))
    assert "1 file in the backup folder imei_orders-" in page
    assert "B, just now" in page
