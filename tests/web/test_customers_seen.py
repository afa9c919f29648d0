"""The preview warns of phones that other customers had, and blocks nothing; the order page names them."""

from dataclasses import replace
from datetime import datetime

from simulated_provider import imeis
from web_client import CARRIER, Browser, confirm_fields, order_batch, words

from database import IMEIDatabase
from orders import BatchNames
from storage import order_filters
from storage.batch_uploads import rename_batch
from storage.customers_seen import SeenBatch
from storage.order_terms import OrderFilter
from web.customers_seen import CUSTOMERS, SAMPLES, grouped_by_customer

NUMBERS, MOMENT = imeis(8), datetime(2026, 11, 25)


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


def test_batches_are_grouped_by_customer_whatever_its_capitals_those_with_most_phones_first() -> None:
    """Each phone counts once; the newest batch stands for its customer."""
    seen = [SeenBatch(3, "acme", MOMENT, "A", NUMBERS[:2]), SeenBatch(2, "Berlin", MOMENT, "A", NUMBERS[1:6])]
    found = grouped_by_customer([*seen, SeenBatch(1, "ACME", MOMENT, "A", NUMBERS[:1])])
    assert found
    assert [(one.newest.batch_id, len(one.imeis)) for one in found.customers] == [(2, 5), (3, 2)]
    assert (found.imeis, found.more) == (6, 0)
    assert found.customers[0].samples == NUMBERS[1 : 1 + SAMPLES]
    assert grouped_by_customer([]) is None


def test_more_customers_than_a_page_shows_are_counted() -> None:
    seen = [SeenBatch(number, f"Customer {number}", MOMENT, "A", NUMBERS[:1]) for number in range(CUSTOMERS + 3)]
    found, all_shown = grouped_by_customer(seen), grouped_by_customer(seen[:CUSTOMERS])
    assert found
    assert all_shown
    assert (len(found.customers), found.more, found.imeis) == (CUSTOMERS, 3, 1)
    assert all_shown.more == 0
