"""Checking orders again: by a filter, by a batch or one by one, by way of a preview that shows what is known."""

import pytest
from simulated_provider import imeis
from sqlalchemy import insert
from stored_orders import all_orders
from web_client import SERVICES, Browser, answer_chunks, words
from web_scenes import ordered

from database import IMEIDatabase, utc_now
from orders import Outcome
from schema import orders


def test_the_preview_of_a_recheck_shows_what_other_services_said(browser: Browser, database: IMEIDatabase) -> None:
    """Of each IMEI the newest result, also where this service was never asked; what is sent stays the same."""
    with database.write() as connection:
        old = {"imei": imeis(1)[0], "service_id": "269", "service_name": "T-Mobile Status", "status": "Completed"}
        for order_id, carrier in (("1", "Sprint"), ("2", "T-Mobile")):
            connection.execute(insert(orders).values(old | {"order_id": order_id, "carrier": carrier}))
        connection.execute(insert(orders).values(old | {"order_id": "3", "status": "Rejected", "carrier": "none"}))
    text = words(browser.get(browser.paste(imeis(2))))
    assert "1 IMEI has a result of another service" in text
    assert "T-Mobile Status T-Mobile" in text
    assert "Sprint" not in text
    assert "IMEIs to send 2" in text
    assert "another service" not in words(browser.get(browser.paste(imeis(2, 700))))


def test_the_orders_of_a_filter_are_checked_again_by_way_of_the_preview(
    browser: Browser, database: IMEIDatabase
) -> None:
    ordered(database, 60)
    database.insert_order(
        {"order_id": "7", "imei": imeis(1)[0], "service_id": "1739", "status": "Completed", "order_date": utc_now()}
    )
    shown = browser.post("/history/recheck?fmi=ON", {"service_id": "1739"}).location
    text = words(browser.get(shown))
    assert "30 ready" in text
    assert "Nothing has been sent." in text
    one = browser.post("/history/recheck", {"service_id": "1739", "imei": imeis(1)[0]}).location
    assert "sent and paid again" in words(browser.get(one))
    started = browser.confirm(one)
    assert started.location == "/batches/1"
    answer_chunks(database, lambda imei: (Outcome.DUPLICATE, "IMEI already exists!"))
    assert "IMEI already exists!" in words(browser.get("/batches/1"))


def test_the_imeis_of_a_batch_with_find_my_on_are_checked_again(browser: Browser, database: IMEIDatabase) -> None:
    """However the provider words it, and of this batch only; the preview says what is known and how old it is."""
    before = utc_now()
    numbers = imeis(6)
    browser.start(numbers[:5])
    answer_chunks(database)
    said = ["ON", "Enabled", "OFF", "Lost Mode", "Not found"]
    order_of = {order["imei"]: order["order_id"] for order in all_orders(database)}
    for imei, fmi in zip(numbers, said, strict=False):
        database.update_order_status(order_of[imei], "Completed", {"fmi": fmi, "model": "iPhone 12"})
    database.insert_order({"order_id": "7", "imei": numbers[5], "status": "Completed", "fmi": "ON"})
    shown = browser.post("/history/recheck?batch=1&fmi=ON", {"service_id": SERVICES[0].package_id}).location
    text = words(browser.get(shown))
    assert "3 ready" in text
    assert "3 IMEIs with a result: sent and paid again" in text
    assert "Completed iPhone 12 · FMI Lost Mode" in text
    assert any(f"{day:%d %b %Y}" in text for day in (before, utc_now()))
    assert database.count_orders() == 6


@pytest.mark.parametrize(("query", "service"), [("serial=NONE", "1739"), ("", "404"), ("", ""), ("", "102")])
def test_nothing_is_checked_again_without_orders_or_a_service(
    browser: Browser, database: IMEIDatabase, query: str, service: str
) -> None:
    ordered(database, 10)
    assert browser.post(f"/history/recheck?{query}", {"service_id": service}).location.startswith("/history")
    assert browser.get("/orders/1001").status_code == 200
