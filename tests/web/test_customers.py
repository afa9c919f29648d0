"""Customers have a page, a default service that forms begin with and the preview offers, and other names."""

import pytest
from simulated_provider import imeis
from web_client import CARRIER, MAIL, Browser, confirm_fields, order_batch, words

from database import IMEIDatabase
from orders import BatchNames
from storage.batch_uploads import rename_batch

NUMBERS = imeis(3)


@pytest.fixture(autouse=True)
def named(database: IMEIDatabase) -> None:
    """A batch of ACME with the first service, which is the one that was used last."""
    rename_batch(database, order_batch(database, [NUMBERS[0]]), BatchNames("stock", "ACME"))


def selected(page: str) -> str:
    """The service that a form shows at first."""
    fields = page.split('name="service_id"')[1].split("</select>")[0].split("<option ")
    chosen = [option for option in fields if " selected" in option]
    return chosen[0].split('value="')[1].split('"')[0] if chosen else ""


def test_the_default_of_a_customer_comes_before_that_of_the_person_and_the_last_service(browser: Browser) -> None:
    assert selected(browser.get("/batch?customer=acme").text) == CARRIER.package_id
    browser.post("/account/service", {"service_id": "269"})
    assert [selected(browser.get(path).text) for path in ("/batch", "/submit", "/scan", "/account")] == ["269"] * 4
    browser.post("/customers/default", {"customer": "acme", "service_id": CARRIER.package_id})
    assert selected(browser.get("/batch?customer=Acme").text) == CARRIER.package_id
    assert selected(browser.get("/batch?customer=Acme&service_id=269").text) == "269"
    assert f'<option value="ACME" data-service="{CARRIER.package_id}">' in browser.get("/batch").text
    assert ' list="customers"' in browser.get("/batch").text
    browser.post("/account/service")
    assert selected(browser.get("/submit").text) == CARRIER.package_id
    refused = browser.led_back(browser.post("/account/service", {"service_id": MAIL.package_id}))
    assert "needs more than an IMEI" in words(refused)


def test_the_preview_offers_the_default_of_the_customer_and_changes_nothing_by_itself(browser: Browser) -> None:
    browser.post("/customers/default", {"customer": "ACME", "service_id": "269"})
    form = {"imeis": NUMBERS[1], "customer": "Acme", "service_id": CARRIER.package_id}
    preview = browser.post("/batch", form).location
    page = browser.get(preview)
    assert "T-Mobile USA - Status Check ($0.10) is the default of Acme." in words(page)
    assert confirm_fields(page.text)["service_id"] == CARRIER.package_id
    page = browser.led_back(browser.post(f"{preview}/customer-service"))
    assert confirm_fields(page.text)["service_id"] == "269"
    assert "is the default of" not in words(page)


def test_customers_are_listed_renamed_and_link_to_their_batches(browser: Browser) -> None:
    assert "ACME 1 1 $0.08 – batch 1" in words(browser.get("/customers"))
    page = browser.led_back(browser.post("/customers/rename", {"customer": "acme", "new": "Acme <Ltd>"}))
    assert "Acme &lt;Ltd&gt;" in page.text
    assert 'href="/batches/1"' in browser.get("/batches?customer=acme+<ltd>").text
    assert "No batch for ACME is listed" in words(browser.get("/batches?customer=ACME"))
    assert browser.get("/customers/one?name=ACME").status_code == 404
    assert browser.post("/customers/rename", {"customer": "Acme <Ltd>", "new": " "}).status_code == 303
    assert browser.get("/customers/one?name=Acme+<Ltd>").status_code == 200
