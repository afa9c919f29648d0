"""A filter that cannot be read is an error with its reason, wherever it stands; what fits is counted."""

import pytest
from flask import Flask
from simulated_provider import imeis
from web_client import CARRIER, Browser, words

from database import IMEIDatabase

CARRIERS = ["US Verizon", "Verizon Wireless", "T-Mobile USA", None]


@pytest.fixture(name="orders")
def orders_fixture(database: IMEIDatabase) -> list[str]:
    """Eight completed orders with findings, and one that the provider words in its own way."""
    numbers = imeis(9)
    for n, imei in enumerate(numbers[:8]):
        found = {"carrier": CARRIERS[n % 4], "fmi": ("ON", "Off")[n % 2], "model": f"iPhone {12 + n % 2} Pro"}
        found |= {"blacklist": ("Clean", "Reported stolen")[n % 2], "serial": f"F17X{n}"}
        database.insert_order({"order_id": str(n + 1), "imei": imei, "status": "Completed", **found})
    database.insert_order({"order_id": "9", "imei": numbers[8], "status": "Waiting", "fmi": "See notes"})
    return numbers


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("since=2026-13-45", "“2026-13-45” in “From” is not a date such as 2026-11-25."),
        ("until=yesterday", "“yesterday” in “To” is not a date"),
        ("since=2026-03-02&until=2026-03-01", "“To” (2026-03-01) is before “From” (2026-03-02)."),
        ("batch=x", "“x” is not a batch number such as 41."),
        ("batch=-1", "“-1” is not a batch number"),
        ("status=Done", "“Done” is not a status. Choose one of Pending, Completed, Rejected, In Process."),
        ("fmi=maybe", "“maybe” is not a value of Find My. Choose ON or OFF."),
        ("simlock=ON", "Choose Locked or Unlocked."),
        ("blacklist=x", "Choose Clean or Blacklisted."),
        ("mismatch=x", "“mismatch” must be 0 or 1, not “x”."),
    ],
)
def test_a_filter_that_cannot_be_read_lists_exports_and_orders_nothing(
    browser: Browser, orders: list[str], query: str, why: str
) -> None:
    """It used to be left out, so that everything was listed, exported, or checked again for money."""
    page = browser.get(f"/history?{query}")
    assert page.status_code == 400
    assert "The filter is not valid, so no orders are listed." in words(page)
    assert why in words(page)
    assert orders[0] not in page.text
    search = browser.post("/history/search", {"imeis": "\n".join(orders)}).location
    for url in ("/history.csv", "/history.xlsx", "/history/recheck", f"{search}/found.csv", f"{search}/found.xlsx"):
        refused = browser.get(f"{url}?{query}")
        assert refused.status_code == 400, url
        assert why in words(refused), url
    assert browser.get(f"{search}?{query}").status_code == 400
    again = browser.post(f"/history/recheck?{query}", {"service_id": CARRIER.package_id})
    assert again.status_code == 400
    assert browser.post(f"/history/sync?{query}").status_code == 400


def test_what_was_typed_stays_in_its_field_beside_the_reason(browser: Browser, orders: list[str]) -> None:
    page = browser.get("/history?batch=4x&carrier=verizon&fmi=on").text
    assert 'value="4x" aria-invalid="true" aria-describedby="batch-error"' in page
    assert '<p class="error" id="batch-error">“4x” is not a batch number' in page
    assert 'list="carrier-values" value="verizon"' in page
    assert '<option value="ON" selected>ON (4)</option>' in page


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("carrier=verizon", 4),
        ("carrier=VERIZON+us", 2),
        ("blacklist=Blacklisted", 4),
        ("blacklist=clean", 4),
        ("model=iphone+13", 4),
        ("serial=f17x3", 1),
        ("fmi=See+notes", 1),
        ("status=Waiting", 1),
        ("carrier=verizon&blacklist=Clean&model=12", 2),
    ],
)
def test_the_history_and_a_search_find_and_count_what_fits(
    browser: Browser, orders: list[str], query: str, count: int
) -> None:
    search = browser.post("/history/search", {"imeis": "\n".join(orders)}).location
    shown = f"{count} order matches this filter" if count == 1 else f"{count} orders match this filter"
    page = browser.get(f"/history?{query}")
    assert page.text.count("<tr data-order=") == count
    assert shown in words(page)
    found = browser.get(f"{search}?{query}")
    assert found.text.count("<tr data-order=") == count
    assert f"{count} {'order' if count == 1 else 'orders'} of this list" in words(found)


def test_carriers_and_models_are_suggested_with_their_counts(app: Flask, browser: Browser, orders: list[str]) -> None:
    page = browser.get("/history").text
    assert '<option value="US Verizon">2 orders</option>' in page
    assert '<option value="iPhone 12 Pro">4 orders</option>' in page
    assert '<option value="Blacklisted">Blacklisted (4)</option>' in page


def test_blacklist_and_serial_are_columns(browser: Browser, orders: list[str]) -> None:
    text = words(browser.get("/history"))
    assert "Find My Blacklist Serial" in text
    assert "Reported stolen F17X7" in text
