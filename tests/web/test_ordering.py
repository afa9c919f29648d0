"""A confirmed plan becomes one batch, however often and from wherever it is confirmed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from batch_checks import outcomes
from flask import Flask
from plain_sql import run
from simulated_provider import imeis
from web_client import CARRIER, Browser, answer_chunks, confirm_fields, order_batch, words
from web_scenes import batch_count, with_settings

from backend import Backend
from database import IMEIDatabase
from orders import BatchState, Outcome
from storage import batch_creation, batch_queries
from web import ordering as web_ordering


@pytest.fixture
def backend(app: Flask) -> Backend:
    found: Backend = app.extensions["backend"]
    return found


def test_a_second_click_on_confirm_gives_the_same_batch(browser: Browser, database: IMEIDatabase) -> None:
    preview = browser.paste(imeis(10))
    first, second = browser.confirm(preview), browser.post(preview, {"price": "0.080000", "count": "10"})
    assert first.location == second.location == "/batches/1"
    assert batch_count(database) == 1


def test_clicks_at_the_same_instant_give_one_batch(app: Flask, database: IMEIDatabase) -> None:
    browser = Browser(app)
    preview = browser.paste(imeis(300))
    clients = [Browser(app) for _ in range(6)]
    tokens = [client.token() for client in clients]
    fields = confirm_fields(browser.get(preview).text)
    barrier = threading.Barrier(6)

    def click(place: int) -> str:
        barrier.wait()
        return clients[place].client.post(preview, data=fields | {"csrf_token": tokens[place]}).location

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(click, range(6))) == {"/batches/1"}
    assert batch_count(database) == 1


def test_a_confirmed_preview_leads_to_its_batch(browser: Browser) -> None:
    preview = browser.paste(imeis(3))
    browser.confirm(preview)
    assert browser.get(preview).location == "/batches/1"


def test_the_same_file_continues_its_unfinished_batch(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(40))
    browser.post(f"/batches/{batch_id}/pause")
    preview = browser.paste(imeis(40))
    assert f"Continue batch {batch_id}" in words(browser.get(preview))
    assert browser.confirm(preview).location == f"/batches/{batch_id}"
    progress = batch_queries.progress(database, batch_id)
    assert progress is not None
    assert progress.state is BatchState.RUNNING
    assert batch_count(database) == 1


def test_the_rest_of_a_list_is_ordered_while_one_imei_of_it_is_in_doubt(
    browser: Browser, database: IMEIDatabase
) -> None:
    """The page offered to continue the first batch, in which nothing is left to send."""
    doubtful, refused, ordered = imeis(3)
    fates = {doubtful: (Outcome.IN_DOUBT, ""), refused: (Outcome.REFUSED, "no"), ordered: (Outcome.ORDERED, "")}
    browser.start(imeis(3))
    answer_chunks(database, fates.__getitem__)
    preview = browser.paste(imeis(3))
    assert "Confirm and send 1 IMEI" in words(browser.get(preview))
    assert browser.confirm(preview).location == "/batches/2"
    assert outcomes(database, 2) == {"duplicate": 2, "waiting": 1}


@pytest.mark.parametrize("tick", ["recheck", "resend_rejected"])
def test_what_somebody_else_has_checked_since_the_preview_is_not_paid_again_unseen(
    browser: Browser, database: IMEIDatabase, tick: str
) -> None:
    """The preview counted it as new; the number of IMEIs to send did not change, and it was paid twice."""
    status = {"recheck": "Completed", "resend_rejected": "Rejected"}[tick]
    for first in (0, 50):
        preview = browser.paste([*imeis(2), *imeis(2, first=50)])
        browser.post(f"{preview}/options", confirm_fields(browser.get(preview).text) | {tick: "on"})
        shown = confirm_fields(browser.get(preview).text)
        order_batch(database, imeis(2, first=first))
        with database.write() as connection:
            run(connection, "UPDATE orders SET status = ?", status)
        before = batch_count(database)
        refused = browser.led_back(browser.post(preview, shown))
        assert "the IMEIs have changed since" in words(refused)
        assert batch_count(database) == before
    assert browser.confirm(preview).location == f"/batches/{before + 1}"  # the page shows now what is paid again


def test_imeis_of_another_unfinished_batch_are_left_out(browser: Browser) -> None:
    browser.start(imeis(3))
    text = words(browser.get(browser.paste(imeis(5))))
    assert "3 being sent now" in text
    assert "IMEIs to send 2" in text


def test_two_confirmed_at_the_same_instant_do_not_spend_the_budget_twice(
    app: Flask, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = with_settings(app, daily_budget=2.0)
    previews = [browser.paste(imeis(20, first=first)) for first in (0, 100)]
    create, second = batch_creation.create_batch, Browser(app)

    def overtaken(*given: Any) -> int:
        monkeypatch.setattr(web_ordering, "create_batch", create)
        assert second.confirm(previews[1]).status_code == 303
        return create(*given)

    monkeypatch.setattr(web_ordering, "create_batch", overtaken)
    refused = browser.led_back(browser.confirm(previews[0]))
    assert "Another batch has taken what was left of today's budget" in words(refused)
    assert batch_count(database) == 1
    form = {"imeis": imeis(1, first=500)[0], "service_id": CARRIER.package_id}
    assert browser.post("/submit", form).status_code == 303  # $0.40 is left


def test_no_paid_orders_on_a_disk_that_will_be_lost(app: Flask, database: IMEIDatabase) -> None:
    browser = Browser(app)
    preview = browser.paste(imeis(2))
    backend: Backend = app.extensions["backend"]
    app.extensions["backend"] = replace(
        backend, settings=replace(backend.settings, volatile_disk=True, api_key="K", username="u")
    )
    refused = browser.led_back(browser.confirm(preview))
    assert "lost at the next deploy" in words(refused)
    assert batch_count(database) == 0
