"""The page of what is in doubt: what the provider lists now, and what is safe to send again."""

from dataclasses import replace

import pytest
from flask import Flask
from provider_fixture import imeis
from web_fixture import (  # noqa: F401 - the fixtures are asked for by name
    CARRIER,
    Browser,
    answer_chunks,
    app_fixture,
    provider_fixture,
    words,
)

from database import IMEIDatabase
from gsm_fusion_client import NotSentError
from orders import Outcome, ProviderOrder


def lists(app: Flask, *listed: ProviderOrder) -> None:
    """Let the provider list these orders from now on."""
    app.extensions["backend"] = replace(app.extensions["backend"], recent_orders=lambda: list(listed))


def order(order_id: str, imei: str, service: str = CARRIER.service_id) -> ProviderOrder:
    return ProviderOrder(order_id, imei, "Pending", "", service, "2026-11-25 10:00:00")


@pytest.fixture(name="doubtful")
def doubtful_fixture(app: Flask, database: IMEIDatabase) -> list[str]:
    """Batch 1 is ordered, batch 2 in doubt."""
    browser, numbers = Browser(app), imeis(3, first=50)
    browser.start(imeis(2))
    answer_chunks(database)
    browser.start(numbers)
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, "The connection broke."))
    return numbers


def test_what_the_provider_lists_now_is_shown_and_can_be_recorded(
    app: Flask, database: IMEIDatabase, doubtful: list[str]
) -> None:
    known = database.get_orders_by_imei(imeis(1)[0])[0]["order_id"]
    lists(app, order(known, imeis(1)[0]), order("777", doubtful[0]), order("778", doubtful[1], "269"))
    browser = Browser(app)
    text = words(browser.get("/batches/2/doubt/listed"))
    assert "holds 3 orders, 1 of them known to us, the newest from 2026-11-25 10:00:00" in text
    assert "Of the 3 in doubt, 1 are on it and 2 are not" in text
    assert "778 Pending 269 2026-11-25 10:00:00 another service" in text
    page = browser.get("/batches/2/doubt?look=1")
    assert "777" in words(page)
    item = database.read
    with item() as connection:
        item_id = connection.exec_driver_sql("SELECT id FROM items WHERE imei = ?", (doubtful[0],)).scalar_one()
    assert f'name="item_id" value="{item_id}"><input type="hidden" name="order_id" value="777"' in page.text
    browser.post("/batches/2/doubt/placed", {"item_id": str(item_id), "order_id": "777"})
    assert database.get_order("777")
    assert "2 IMEIs in doubt" in words(browser.get("/batches/2/doubt"))


def test_a_provider_that_lists_nothing_or_does_not_answer_is_told_as_such(app: Flask, doubtful: list[str]) -> None:
    lists(app)
    assert "says nothing about these IMEIs" in words(Browser(app).get("/batches/2/doubt/listed"))

    def fail() -> list[ProviderOrder]:
        raise NotSentError("The provider is in maintenance.")

    app.extensions["backend"] = replace(app.extensions["backend"], recent_orders=fail)
    answer = Browser(app).get("/batches/2/doubt?look=1")
    assert answer.status_code == 200
    assert "cannot be read now: The provider is in maintenance." in words(answer)


def test_only_what_was_certainly_not_placed_is_offered_again(app: Flask, database: IMEIDatabase) -> None:
    """Refused and cancelled IMEIs lead to a preview; ordered and doubtful ones never do."""
    numbers, browser = imeis(4), Browser(app)
    fates = dict(zip(numbers, [Outcome.ORDERED, Outcome.IN_DOUBT, Outcome.REFUSED, Outcome.REFUSED], strict=True))
    browser.start(numbers)
    answer_chunks(database, lambda imei: (fates[imei], "no"))
    cancelled = imeis(2, first=70)
    browser.start(cancelled)
    browser.post("/batches/2/cancel")
    assert "Send 2 again" in words(browser.get("/batches/1"))
    answer = browser.post("/batches/1/retry")
    assert answer.status_code == 303
    text = words(browser.get(answer.location))
    assert "2 ready" in text
    assert "IMEIs to send 2" in text
    assert "2 ready" in words(browser.get(browser.post("/batches/2/retry").location))
    browser.start(imeis(1, first=90))
    assert "nothing is sent again" in words(browser.post("/batches/3/retry", follow_redirects=True))
