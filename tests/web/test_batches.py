"""From a file to a finished batch through the pages: preview, confirmation, progress, controls, doubt, downloads."""

import io
import re
import time
from dataclasses import replace
from datetime import datetime

import openpyxl
import pytest
from flask import Flask
from handmade_calls import read_balance, record_outcomes
from simulated_provider import imeis
from sqlalchemy import update
from web_client import CARRIER, SERVICES, Browser, Provider, answer_chunks, send_chunk, words
from web_scenes import aged, batch_count, csv_of, with_settings

from backend import Backend
from database import IMEIDatabase, utc_now
from orders import BatchState, ChunkState, ItemOutcome, Outcome, Progress
from results import sync as order_sync
from schema import orders
from storage import batch_queries, call_queries
from submission.price_check import apply_prices
from web.format import stop_words


@pytest.fixture
def backend(app: Flask) -> Backend:
    found: Backend = app.extensions["backend"]
    return found


def test_a_file_leads_through_the_preview_to_the_live_page(browser: Browser, database: IMEIDatabase) -> None:
    numbers = imeis(250)
    answer = browser.upload(csv_of([*numbers, numbers[0], "n/a"]))
    assert answer.status_code == 303
    text = words(browser.get(answer.location))
    assert "250 ready" in text
    assert "1 repeated in the file" in text
    assert "1 not an IMEI" in text
    assert "Cost $20.00" in text
    assert "Balance after $130.00" in text
    assert batch_count(database) == 0
    confirmed = browser.confirm(answer.location)
    assert confirmed.location == "/batches/1"
    assert "0 of 250" in words(browser.get("/batches/1"))
    assert browser.get("/batches/1").text.count('<i class="planned"></i>') == 3 + 1  # each call, and the legend
    answer_chunks(database)
    assert "250 of 250" in words(browser.get("/batches/1"))
    assert browser.get("/batches/1").text.count('<i class="answered"></i>') == 3 + 1
    assert "Waiting for results" in words(browser.get("/batches/1"))
    assert database.count_orders() == 250


def paused_by_price(browser: Browser, database: IMEIDatabase, price: float) -> int:
    """A batch of ten that a higher price has paused."""
    batch_id = browser.start(imeis(10))
    dearer = [replace(CARRIER, price=price), *SERVICES[1:]]
    database.store_services(dearer, time.time())
    with database.write() as connection:
        assert apply_prices(connection, dearer) == [batch_id]
    return batch_id


def test_resuming_accepts_the_new_price_that_the_page_shows(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = paused_by_price(browser, database, 0.48)
    page = browser.get(f"/batches/{batch_id}")
    assert "The price rose from $0.08 to $0.48 an IMEI. Resume the batch to order the other 10" in words(page)
    assert "Resume batch at $0.48 each" in words(page)
    data = browser.get(f"/batches/{batch_id}/progress.json").get_json()
    assert (data["unit_price"], data["price"], data["spent"]) == (0.08, 0.48, 0.0)
    answer = browser.post(f"/batches/{batch_id}/resume", {"price": str(data["price"])}, follow_redirects=True)
    assert "Resumed at $0.48 per IMEI." in words(answer)
    batch = batch_queries.progress(database, batch_id)
    assert batch is not None
    assert (batch.state, batch.unit_price, round(batch.cost, 4)) == (BatchState.RUNNING, 0.48, 4.8)


def test_a_price_that_rose_again_since_the_page_was_shown_is_shown_first(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    batch_id = paused_by_price(browser, database, 0.48)
    provider.services = [replace(CARRIER, price=0.96), *SERVICES[1:]]
    aged(database, 60)
    refused = browser.post(f"/batches/{batch_id}/resume", {"price": "0.48"}, follow_redirects=True)
    assert "rose from $0.48 to $0.96. Check the new cost and confirm again." in words(refused)
    assert "Resume batch at $0.96 each" in words(refused)
    browser.post(f"/batches/{batch_id}/resume", {"price": "0.96"})
    batch = batch_queries.progress(database, batch_id)
    assert batch is not None
    assert (batch.state, batch.unit_price) == (BatchState.RUNNING, 0.96)


def test_a_resume_that_the_budget_or_the_balance_does_not_hold_is_refused_with_a_sentence(
    app: Flask, browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    batch_id = paused_by_price(browser, database, 0.48)
    frugal = with_settings(app, daily_budget=4.0)
    refused = frugal.post(f"/batches/{batch_id}/resume", follow_redirects=True)
    sentence = f"Not resumed. At the new price of $0.48 an IMEI the rest of batch {batch_id} costs $4.80, but"
    assert f"{sentence} $4.00 of today's budget is left." in words(refused)
    provider.credits = 1.5
    database.set_setting("account", "{}")
    poor = with_settings(app, daily_budget=None)
    refused = poor.post(f"/batches/{batch_id}/resume", follow_redirects=True)
    assert f"{sentence} $1.50 of the account's balance is left." in words(refused)
    batch = batch_queries.progress(database, batch_id)
    assert batch is not None
    assert (batch.state, batch.unit_price) == (BatchState.PAUSED, 0.08)


def test_an_order_that_existed_before_our_call_shows_no_price(browser: Browser, database: IMEIDatabase) -> None:
    number = imeis(1)[0]
    order = {"order_id": "1599", "imei": number, "status": "Completed", "credits": 0, "existed": True}
    database.insert_order(order)
    database.insert_order({**order, "order_id": "1600", "credits": 0.08, "existed": False})
    assert "already existed, not charged" in words(browser.get("/orders/1599"))
    assert "already existed" not in words(browser.get("/orders/1600"))
    listed = words(browser.get("/history"))
    assert listed.count("already existed") == 1
    assert "$0.08" in listed


def test_pause_resume_and_cancel(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(250))
    browser.post(f"/batches/{batch_id}/pause")
    answer_chunks(database)
    assert database.count_orders() == 0
    assert "Paused by hand." in words(browser.get(f"/batches/{batch_id}"))
    browser.post(f"/batches/{batch_id}/resume")
    browser.post(f"/batches/{batch_id}/cancel")
    text = words(browser.get(f"/batches/{batch_id}"))
    assert "Stopped. 250 IMEIs were not sent, $20.00 saved. 0 IMEIs ordered, $0.00 paid." in text
    assert "stock.csv Stopped" in text or "Pasted IMEIs Stopped" in text
    assert "Complete" not in text


def test_stopping_says_what_is_paid_and_what_is_saved_and_a_stopped_batch_is_not_finished(
    browser: Browser, database: IMEIDatabase
) -> None:
    """It used to end as "Finished 100 %", as if everything had been ordered."""
    batch_id = browser.start(imeis(250))
    send(database, batch_id, 1)
    wanted = "100 already ordered, $8.00 paid. Stop the other 150 and save $12.00?"
    assert wanted in words(browser.get(f"/batches/{batch_id}"))
    assert wanted in words(browser.get(f"/batches/{batch_id}/cancel"))
    assert browser.get(f"/batches/{batch_id}/progress.json").get_json()["stop"] == wanted
    answer = browser.led_back(browser.post(f"/batches/{batch_id}/cancel"))
    assert "Stopped. 150 IMEIs were not sent, $12.00 saved. 100 IMEIs ordered, $8.00 paid." in words(answer)
    found = browser.get(f"/batches/{batch_id}/progress.json").get_json()
    assert (found["stage_label"], found["percent"], found["done"]) == ("Stopped", 40, 100)
    for page in ("/batches", "/", f"/batches/{batch_id}", f"/batches/{batch_id}/report"):
        text = words(browser.get(page))
        assert "Stopped" in text, page
        assert "Complete" not in text, page
    assert "Nothing was left to stop" in words(browser.led_back(browser.post(f"/batches/{batch_id}/cancel")))


def send(database: IMEIDatabase, batch_id: int, count: int) -> None:
    """Have so many planned calls of a batch answered in full."""
    with database.write() as connection:
        for chunk_id, _ in call_queries.planned_chunks(connection, batch_id, count):
            chunk = send_chunk(connection, chunk_id, batch_id, CARRIER.package_id)
            placed = [ItemOutcome(i.item_id, i.imei, Outcome.ORDERED, f"15{i.item_id:06d}") for i in chunk.items]
            record_outcomes(connection, chunk, placed)


def test_what_is_on_the_wire_is_counted_apart_from_what_can_be_stopped() -> None:
    outcomes = dict.fromkeys(Outcome, 0) | {Outcome.ORDERED: 5, Outcome.WAITING: 4, Outcome.IN_DOUBT: 1}
    states = dict.fromkeys(ChunkState, 0)
    batch = Progress(1, "x", BatchState.RUNNING, "1", "S", 2.0, 10, outcomes, states, 1, 10.0)
    assert stop_words(batch, 3) == (
        "5 already ordered, $10.00 paid. 1 in doubt, which may have cost $2.00. 1 being sent now; these cannot be"
        " stopped. Stop the other 3 and save $6.00?"
    )
    assert stop_words(batch, 0).endswith("There is nothing else to stop.")


def test_results_hold_one_row_an_imei_with_its_outcome(browser: Browser, database: IMEIDatabase) -> None:
    numbers = imeis(4)
    batch_id = browser.start(numbers)
    answer_chunks(
        database,
        lambda imei: (Outcome.REFUSED, "Invalid IMEI") if imei == numbers[0] else (Outcome.ORDERED, ""),
    )
    before = utc_now()
    answer = browser.get(f"/batches/{batch_id}/results.csv")
    assert answer.data.startswith(b"\xef\xbb\xbfSERVICE,IMEI NO.,CREDITS,STATUS,CODE")
    lines = answer.data.decode("utf-8-sig").splitlines()
    assert len(lines) == 5
    assert "Refused" in lines[1]
    assert "Invalid IMEI" in lines[1]
    name = re.search(r"_results_(\w+Z)\.csv", answer.headers["Content-Disposition"])
    assert name
    assert before.replace(second=0, microsecond=0) <= datetime.strptime(name[1], "%Y%m%dT%H%MZ") <= utc_now()
    extended = browser.get(f"/batches/{batch_id}/results.csv?format=extended")
    assert "_results-extended_" in extended.headers["Content-Disposition"]


def test_results_of_several_pages_keep_the_order_of_the_file(browser: Browser, database: IMEIDatabase) -> None:
    browser.start(imeis(10, first=9000))
    numbers = imeis(1200)
    batch_id = browser.start(numbers)
    browser.start(imeis(10, first=8000))
    answer_chunks(database)
    lines = browser.get(f"/batches/{batch_id}/results.csv?bom=0").text.splitlines()[1:]
    assert [line.split(",")[1] for line in lines] == numbers


def test_the_workbook_keeps_imeis_as_text(browser: Browser, database: IMEIDatabase) -> None:
    numbers = imeis(3)
    batch_id = browser.start(numbers)
    answer_chunks(database)
    answer = browser.get(f"/batches/{batch_id}/results.xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.data)).worksheets[0]
    assert [row[1] for row in sheet.iter_rows(min_row=2, values_only=True)] == numbers


def test_the_page_shows_how_the_balance_changed_over_the_calls(browser: Browser, database: IMEIDatabase) -> None:
    read_balance(database, 100.0)
    batch_id = browser.start(imeis(200))
    answer_chunks(database)
    assert "Balance $100.00" not in words(browser.get(f"/batches/{batch_id}"))
    read_balance(database, 84.0)
    page = browser.get(f"/batches/{batch_id}")
    assert "Balance $100.00 → $84.00: $16.00 less. The orders of that time cost $16.00." in words(page)
    assert "than our orders" not in words(page)
    assert "other batches" not in words(page)


def test_a_charge_that_no_order_explains_is_a_visible_warning(browser: Browser, database: IMEIDatabase) -> None:
    read_balance(database, 100.0)
    batch_id = browser.start(imeis(200))
    answer_chunks(database)
    other = browser.start(imeis(50, first=500))
    answer_chunks(database)
    read_balance(database, 78.0)
    page = browser.get(f"/batches/{batch_id}")
    warning = (
        "The account was charged $2.00 more than our orders explain:"
        " a price rise, an order placed elsewhere, or a charge of a call in doubt."
    )
    assert f'<p class="note warn" data-balance-warning>{warning}</p>' in page.text
    assert "$22.00 less. The orders of that time cost $20.00. Orders of other batches are included" in words(page)
    data = browser.get(f"/batches/{other}/progress.json").get_json()
    assert data["balance"]["warning"] == warning


def test_a_top_up_during_a_batch_is_no_warning(browser: Browser, database: IMEIDatabase) -> None:
    read_balance(database, 100.0)
    batch_id = browser.start(imeis(200))
    answer_chunks(database)
    read_balance(database, 134.0)
    page = browser.get(f"/batches/{batch_id}")
    assert "Balance $100.00 → $134.00: $34.00 more. The orders of that time cost $16.00." in words(page)
    assert "$50.00 less was charged than our orders cost: a top-up or a refund." in words(page)
    assert '<p class="note warn" data-balance-warning hidden></p>' in page.text


def test_a_batch_has_the_button_too_while_results_are_pending(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(3))
    form = f'action="/batches/{batch_id}/results" data-refresh'
    assert f"{form} hidden>" in browser.get(f"/batches/{batch_id}").text
    answer_chunks(database)
    assert f"{form}>" in browser.get(f"/batches/{batch_id}").text
    assert browser.post(f"/batches/{batch_id}/results").location == f"/batches/{batch_id}"
    assert order_sync.is_requested(database)
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed"))
    assert f"{form} hidden>" in browser.get(f"/batches/{batch_id}").text
    assert browser.get(f"/batches/{batch_id}/progress.json").get_json()["pending"] == 0
    assert "data-sync-now hidden>" in browser.get("/history").text
