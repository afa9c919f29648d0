"""The preview warns of phones that other customers had, and blocks nothing; the order page names them."""

from dataclasses import replace

from simulated_provider import imeis
from web_client import CARRIER, Browser, confirm_fields, order_batch, words

from database import IMEIDatabase
from orders import BatchNames
from storage import order_filters
from storage.batch_uploads import rename_batch
from storage.order_terms import OrderFilter

NUMBERS = imeis(8)


def test_phones_of_other_customers_are_announced_on_the_preview_and_on_the_order(
    browser: Browser, database: IMEIDatabase
) -> None:
    rename_batch(database, order_batch(database, NUMBERS[:6]), BatchNames("", "ACME"))
    rename_batch(database, order_batch(database, [NUMBERS[6]]), BatchNames("", "Berlin <b>"))
    form = {"imeis": "\n".join(NUMBERS), "customer": "Paris", "service_id": "269"}
    preview = browser.post("/batch", form).location
    page = browser.get(preview)
    assert "7 IMEIs were in batches of other customers." in words(page)
    assert "6 of ACME ( batch 1 , just now)" in words(page)
    assert "Berlin &lt;b&gt;" in page.text
    assert confirm_fields(page.text)["count"] == "8"
    lines = browser.get(f"{preview}/other-customers.csv").text.splitlines()
    assert len(lines) == 8
    assert lines[1].startswith(f"{NUMBERS[6]},Berlin <b>,2,{CARRIER.title}")
    same = browser.get(browser.post("/batch", form | {"customer": "acme", "imeis": NUMBERS[0]}).location)
    assert "batches of" not in words(same)


def test_the_order_page_names_the_other_customers(browser: Browser, database: IMEIDatabase) -> None:
    for service, name in ((CARRIER, "ACME"), (replace(CARRIER, package_id="269"), "Berlin")):
        rename_batch(database, order_batch(database, [NUMBERS[0]], service), BatchNames("", name))
    order_id = order_filters.page(database, OrderFilter())[0].order_id
    assert "Also seen for ACME ( batch 1 , just now)" in words(browser.get(f"/orders/{order_id}"))
