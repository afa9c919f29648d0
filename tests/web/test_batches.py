"""From a file to a finished batch through the pages: preview, confirmation, progress, controls, doubt, downloads."""

import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import openpyxl
import pytest
from flask import Flask
from handmade_calls import read_balance, record_outcomes
from simulated_provider import imeis
from sqlalchemy import select, update
from stored_orders import all_orders
from web_client import CARRIER, SERVICES, Browser, Provider, answer_chunks, confirm_fields, send_chunk, words
from werkzeug.test import TestResponse

from backend import Backend
from database import IMEIDatabase, utc_now
from orders import BatchState, ChunkState, IMEIOrder, ItemOutcome, Outcome, Progress
from schema import attempts, items
from settings import Settings
from storage import batch_creation, batch_queries, call_queries
from submission.price_check import apply_prices
from web import ordering as web_ordering
from web.format import stop_words
from web.stream import Pace, events


@pytest.fixture
def backend(app: Flask) -> Backend:
    found: Backend = app.extensions["backend"]
    return found


def csv_of(numbers: list[str]) -> bytes:
    return ("Stock,,\nIMEI,Model\n" + "".join(f"{n},iPhone\n" for n in numbers)).encode()


def batch_count(database: IMEIDatabase) -> int:
    return len(batch_queries.unfinished_and_recent(database, 1000)[1])


def with_settings(app: Flask, **changed: object) -> Browser:
    """A browser on the same database under other settings."""
    backend: Backend = app.extensions["backend"]
    app.extensions["backend"] = replace(backend, settings=replace(backend.settings, **changed))  # type: ignore[arg-type]
    return Browser(app)


# Bringing a file


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
    assert "Finished" in words(browser.get("/batches/1"))
    assert database.count_orders() == 250


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


@pytest.mark.parametrize(
    ("form", "file", "sentence"),
    [
        ({"imeis": "353370080089458"}, None, "Choose a service first."),
        ({"imeis": "353370080089458", "service_id": "404"}, None, "does not list a service 404"),
        ({"imeis": "353370080089458", "service_id": "102"}, None, "needs more than an IMEI (Email)"),
        ({"service_id": "1739"}, None, "Choose a file or paste IMEIs."),
        ({"service_id": "1739", "imeis": "no numbers at all"}, None, "no IMEI"),
        ({"service_id": "1739"}, b"%PDF-1.7 stuff", "PDF"),
        ({"service_id": "1739"}, b"", "empty"),
        ({"service_id": "1739"}, b"a,b\n1,2\n", "no IMEI"),
        ({"service_id": "1739"}, b"PK\x03\x04broken", "damaged"),
        ({"service_id": "1739", "imeis": "1"}, b"x", "one of them at a time"),
    ],
)
def test_a_bad_upload_gets_a_sentence_and_leaves_nothing(
    browser: Browser, backend: Backend, form: dict[str, str], file: bytes | None, sentence: str
) -> None:
    sent = {} if file is None else {"file": (io.BytesIO(file), "list.csv")}
    page = browser.led_back(browser.post("/batch", form | sent))
    said = re.search(r'<p class="flash error" role="alert">([^<]+)</p>', page.text)
    assert said
    assert sentence.lower() in said[1].replace("&#39;", "'").lower()
    pasted = form.get("imeis", "")
    assert f">{pasted}</textarea>" in page.text  # what was pasted is there again
    kept = [path.read_text() for path in backend.uploads.glob("*")]
    assert kept == ([pasted] if pasted else [])


def test_an_upload_over_the_limit_is_refused_with_the_number(app: Flask, database: IMEIDatabase) -> None:
    browser = with_settings(app, max_batch_imeis=20)
    page = browser.led_back(browser.upload(csv_of(imeis(30))))
    said = re.search(r'<p class="flash error" role="alert">([^<]+)</p>', page.text)
    assert said
    assert "20" in said[1]
    assert batch_count(database) == 0


def test_wrong_check_digits_are_left_out_until_they_are_ticked(browser: Browser) -> None:
    good, bad = imeis(2)
    bad = bad[:-1] + str((int(bad[-1]) + 1) % 10)
    preview = browser.upload(csv_of([good, bad])).location
    assert "IMEIs to send 1" in words(browser.get(preview))
    browser.post(preview + "/options", {"include_luhn": "on"})
    assert "IMEIs to send 2" in words(browser.get(preview))
    browser.post(preview + "/options")
    assert "IMEIs to send 1" in words(browser.get(preview))


def test_another_column_can_be_chosen(browser: Browser) -> None:
    one, two = imeis(5), imeis(5, first=100)
    table = "IMEI,IMEI 2\n" + "".join(f"{a},{b}\n" for a, b in zip(one, two, strict=True))
    preview = browser.upload(table.encode()).location
    page = browser.get(preview).text
    was = re.search(r'name="was_column" value="(-?\d+)"', page)
    assert was
    browser.post(preview + "/options", {"was_column": was[1], "column": "1"})
    assert browser.confirm(preview).status_code == 303
    answer = browser.get("/batches/1/results.csv?bom=0").text
    assert two[0] in answer
    assert one[0] not in answer


def test_a_column_without_imeis_cannot_be_confirmed(browser: Browser) -> None:
    preview = browser.upload(csv_of(imeis(4))).location
    browser.post(preview + "/options", {"was_column": "0", "column": "1"})
    assert "There is no IMEI to send" in words(browser.get(preview))
    assert browser.confirm(preview).location == preview
    assert browser.post(preview, {"price": "0.080000", "count": "0"}).location == preview


@pytest.mark.parametrize("column", ["9", "x"])
def test_an_impossible_choice_is_not_kept(browser: Browser, column: str) -> None:
    preview = browser.upload(csv_of(imeis(4))).location
    browser.post(preview + "/options", {"was_column": "0", "column": column})
    assert "IMEIs to send 4" in words(browser.get(preview))


def test_the_rejects_can_be_taken_away(browser: Browser) -> None:
    preview = browser.upload(csv_of([*imeis(2), "3.5337E+14", "=cmd()"]), "büro liste.csv").location
    answer = browser.get(preview + "/rejects.csv")
    assert answer.status_code == 200
    assert "3.5337E+14" in answer.text
    assert "attachment" in answer.headers["Content-Disposition"]


def test_an_unknown_preview_is_a_404(browser: Browser) -> None:
    assert browser.get("/batch/preview/nothing").status_code == 404
    assert browser.post("/batch/preview/nothing").status_code == 404


# What must not be sent twice


def test_what_was_checked_is_left_out_unless_ticked(browser: Browser, database: IMEIDatabase) -> None:
    browser.start(imeis(3))
    answer_chunks(database)
    for order in all_orders(database):
        database.update_order_status(order["order_id"], "Completed", {"carrier": "Verizon"})
    preview = browser.paste(imeis(5))
    text = words(browser.get(preview))
    assert "3 already checked" in text
    assert "Verizon" in text
    assert "IMEIs to send 2" in text
    browser.post(preview + "/options", {"recheck": "on"})
    assert "IMEIs to send 5" in words(browser.get(preview))


def test_a_pending_order_is_never_checked_again(browser: Browser, database: IMEIDatabase) -> None:
    browser.start(imeis(3))
    answer_chunks(database)
    preview = browser.paste(imeis(3))
    browser.post(preview + "/options", {"recheck": "on"})
    refused = browser.led_back(browser.confirm(preview))
    assert "Nothing is left to send" in words(refused)
    assert batch_count(database) == 1


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


def test_imeis_of_another_unfinished_batch_are_left_out(browser: Browser) -> None:
    browser.start(imeis(3))
    text = words(browser.get(browser.paste(imeis(5))))
    assert "3 being sent now" in text
    assert "IMEIs to send 2" in text


# Money


def test_a_batch_dearer_than_the_balance_is_refused(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    provider.credits = 1.0
    preview = browser.paste(imeis(20))
    refused = browser.led_back(browser.confirm(preview))
    assert "This costs $1.60, but the account holds $1.00." in words(refused)
    assert batch_count(database) == 0


def test_what_running_batches_may_spend_is_not_spent_twice(browser: Browser, provider: Provider) -> None:
    provider.credits = 2.0
    browser.start(imeis(20))
    refused = browser.led_back(browser.confirm(browser.paste(imeis(20, first=100))))
    assert "$1.60 is promised to unfinished batches" in words(refused)


def test_an_unknown_balance_stops_nobody(browser: Browser, provider: Provider) -> None:
    provider.credits = None
    assert browser.confirm(browser.paste(imeis(20))).status_code == 303


def test_the_daily_budget_counts_what_was_spent_and_promised(app: Flask, database: IMEIDatabase) -> None:
    browser = with_settings(app, daily_budget=2.0)
    browser.start(imeis(20))
    answer_chunks(database)
    refused = browser.led_back(browser.confirm(browser.paste(imeis(10, first=50))))
    assert "$0.40 of today's budget is left" in words(refused)
    assert browser.confirm(browser.paste(imeis(5, first=50))).status_code == 303


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


def test_a_dear_batch_wants_its_number_typed(app: Flask, database: IMEIDatabase) -> None:
    browser = with_settings(app, confirm_above=1.0)
    preview = browser.paste(imeis(20))
    for typed in ("", "19", "yes"):
        refused = browser.led_back(browser.confirm(preview, typed=typed))
        assert "type the number of IMEIs, 20" in words(refused)
    assert batch_count(database) == 0
    assert browser.confirm(preview, typed="20").status_code == 303


def test_a_price_that_changed_shows_the_preview_again(browser: Browser, database: IMEIDatabase) -> None:
    preview = browser.paste(imeis(4))
    fields = confirm_fields(browser.get(preview).text)
    database.store_services([replace(CARRIER, price=0.5), *SERVICES[1:]], time.time())
    refused = browser.led_back(browser.post(preview, fields))
    assert f"The price of “{CARRIER.title}” rose from $0.08 to $0.50. Check the new cost" in words(refused)
    assert "Cost $2.00" in words(refused)
    assert browser.confirm(preview).status_code == 303


def aged(database: IMEIDatabase, seconds: float) -> None:
    """Let the stored service list be so old."""
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE services SET refreshed_at = ?", (time.time() - seconds,))


def test_a_price_that_rose_within_the_age_of_the_list_is_seen_before_anything_is_charged(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    """The list was two minutes old: 105 IMEIs that the page showed for $8.40 would have cost $50.40."""
    preview = browser.paste(imeis(105))
    aged(database, 120)
    assert "Cost $8.40" in words(browser.get(preview))
    provider.services = [replace(CARRIER, price=0.48), *SERVICES[1:]]
    refused = browser.led_back(browser.confirm(preview))
    assert "rose from $0.08 to $0.48. Check the new cost and confirm again." in words(refused)
    assert "Cost $50.40" in words(refused)
    assert batch_count(database) == 0
    assert browser.post(preview, confirm_fields(refused.text)).status_code == 303
    assert batch_queries.unfinished_batches(database)[0].unit_price == 0.48


def test_a_price_that_fell_is_shown_again_too(browser: Browser, provider: Provider, database: IMEIDatabase) -> None:
    preview = browser.paste(imeis(5))
    aged(database, 60)
    provider.services = [replace(CARRIER, price=0.05), *SERVICES[1:]]
    assert "fell from $0.08 to $0.05." in words(browser.led_back(browser.confirm(preview)))
    assert batch_count(database) == 0


def test_a_young_list_is_not_asked_for_again(browser: Browser, provider: Provider) -> None:
    browser.start(imeis(5))
    browser.start(imeis(5, first=50))
    assert provider.asked == 1


@pytest.mark.parametrize(("age", "enough"), [(240.0, True), (320.0, False)])
def test_without_an_answer_a_list_of_less_than_five_minutes_is_good_enough(
    browser: Browser, provider: Provider, database: IMEIDatabase, age: float, enough: bool
) -> None:
    preview = browser.paste(imeis(5))
    fields = confirm_fields(browser.get(preview).text)
    aged(database, age)
    provider.down = True
    answer = browser.led_back(browser.post(preview, fields))
    assert batch_count(database) == enough
    if not enough:
        assert "The price could not be checked, so nothing was ordered." in words(answer)
        assert "The provider is in maintenance." in words(answer)


def single(page: str) -> dict[str, str]:
    """The form of one IMEI as a page holds it."""
    prices = re.search(r'name="prices" value="([^"]*)"', page)
    assert prices
    return {"imei": imeis(1)[0], "service_id": CARRIER.package_id, "prices": prices[1]}


def test_the_form_of_one_imei_orders_at_the_price_that_it_showed(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    form = single(browser.get("/submit").text)
    assert "102:" not in form["prices"]  # cannot be ordered
    provider.services = [replace(CARRIER, price=0.48), *SERVICES[1:]]
    aged(database, 60)
    refused = browser.led_back(browser.post("/submit", form))
    assert "rose from $0.08 to $0.48. Check the new cost and confirm again." in words(refused)
    assert batch_count(database) == 0
    browser.post("/submit", form)  # the page of before, while the list is young
    assert batch_count(database) == 0
    assert browser.post("/submit", single(refused.text)).location == "/batches/1"
    assert batch_queries.unfinished_batches(database)[0].unit_price == 0.48


@pytest.mark.parametrize("path", ["/submit", "/submit-stream"])
def test_what_names_no_price_is_ordered_at_the_one_that_was_known(
    browser: Browser, provider: Provider, database: IMEIDatabase, path: str
) -> None:
    browser.get("/services")
    provider.services = [replace(CARRIER, price=0.48), *SERVICES[1:]]
    aged(database, 60)
    refused = browser.post(path, {"imei": imeis(1)[0], "service_id": CARRIER.package_id})
    told = browser.led_back(refused) if path == "/submit" else refused  # the stream is for programs
    assert "rose from $0.08 to $0.48. Check the new cost and confirm again." in told.text
    assert batch_count(database) == 0


def test_one_imei_is_not_ordered_at_a_price_that_nobody_can_check(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    form = single(browser.get("/submit").text)
    provider.down = True
    aged(database, 400)
    for path in ("/submit", "/submit-stream"):
        refused = browser.post(path, form)
        told = browser.led_back(refused) if path == "/submit" else refused
        assert "The price could not be checked" in told.text
    assert batch_count(database) == 0


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


def test_a_service_chosen_in_another_tab_shows_the_preview_again(browser: Browser, database: IMEIDatabase) -> None:
    """Also where it costs the same: what was confirmed is what is ordered."""
    database.store_services([CARRIER, replace(CARRIER, package_id="1740", title="Another")], time.time())
    preview = browser.paste(imeis(4))
    fields = confirm_fields(browser.get(preview).text)
    browser.post(f"{preview}/options", {"service_id": "1740"})
    refused = browser.led_back(browser.post(preview, fields))
    assert "have changed since" in words(refused)
    assert batch_count(database) == 0


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


# One or a few


def test_one_imei_is_ordered_at_once(browser: Browser, database: IMEIDatabase) -> None:
    number = imeis(1)[0]
    form = {"imei": number, "service_id": "1739", "token": "once"}
    assert browser.post("/submit", form).location == "/batches/1"
    assert browser.post("/submit", form).location == "/batches/1"
    assert batch_count(database) == 1
    answer_chunks(database)
    assert len(database.get_orders_by_imei(number)) == 1


def test_the_earlier_result_is_shown_instead_of_ordering_again(browser: Browser, database: IMEIDatabase) -> None:
    number = imeis(1)[0]
    browser.post("/submit", {"imei": number, "service_id": "1739"})
    answer_chunks(database)
    order = database.get_orders_by_imei(number)[0]
    database.update_order_status(order["order_id"], "Completed", {"model": "iPhone 12"})
    page = browser.led_back(browser.post("/submit", {"imei": number, "service_id": "1739"}))
    assert "iPhone 12" in words(page)
    assert "Nothing is left to send" in words(page)
    assert f">{number}</textarea>" in page.text
    assert browser.post("/submit", {"imei": number, "service_id": "1739", "recheck": "on"}).status_code == 303


@pytest.mark.parametrize("text", ["", "353370080089459", "hello", "123"])
def test_a_mistyped_imei_gets_a_sentence(browser: Browser, database: IMEIDatabase, text: str) -> None:
    page = browser.led_back(browser.post("/submit", {"imei": text, "service_id": "1739"}))
    assert 'role="alert"' in page.text
    assert f">{text}</textarea>" in page.text
    assert batch_count(database) == 0


def test_many_imeis_go_through_the_preview(browser: Browser, database: IMEIDatabase) -> None:
    answer = browser.post("/submit", {"imei": "\n".join(imeis(60)), "service_id": "1739"})
    assert answer.location.startswith("/batch/preview/")
    assert batch_count(database) == 0


# Streams


def events_of(text: str) -> list[tuple[str, str, dict[str, object]]]:
    """(id, name, data) of each event."""
    found = re.findall(r"id: (\d+)\nevent: (\w+)\ndata: (.+)\n\n", text)
    return [(number, name, json.loads(data)) for number, name, data in found]


def test_a_finished_batch_streams_its_snapshot_and_ends(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(120))
    answer_chunks(database)
    answer = browser.get(f"/batches/{batch_id}/events")
    assert answer.mimetype == "text/event-stream"
    (_, first, data), (_, last, _) = events_of(answer.text)
    assert (first, last) == ("progress", "end")
    assert data["done"] == data["total"] == 120
    assert data["map"] == "aa"
    assert sum(data["outcomes"].values()) == 120  # type: ignore[attr-defined]


def test_a_stream_shows_changes_with_growing_ids_and_a_reconnect_starts_with_the_snapshot(
    browser: Browser, backend: Backend, database: IMEIDatabase
) -> None:
    batch_id = browser.start(imeis(120))
    stream = events(backend, batch_id)
    assert next(stream).startswith("retry:")
    (before, _, waiting) = events_of(next(stream))[0]
    assert waiting["done"] == 0
    answer_chunks(database)
    (after, _, finished) = events_of(next(stream))[0]
    assert int(after) > int(before)
    assert finished["done"] == 120
    again = events(backend, batch_id)
    next(again)
    assert events_of(next(again))[0][2]["done"] == 120


def test_a_stream_ends_when_the_process_stops(browser: Browser, backend: Backend, database: IMEIDatabase) -> None:
    stream = events(backend, browser.start(imeis(2)))
    next(stream), next(stream)
    backend.stopping.set()
    assert list(stream) == []


def test_a_silent_stream_sends_a_comment(browser: Browser, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.stream.HEARTBEAT", 0.1)
    stream = events(backend, browser.start(imeis(2)))
    next(stream), next(stream)
    assert next(stream).startswith(":")


def test_streams_are_limited_and_given_back(browser: Browser, backend: Backend, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(2))
    answer_chunks(database)
    taken = 0
    while backend.streams.acquire(blocking=False):
        taken += 1
    assert browser.get(f"/batches/{batch_id}/events").status_code == 503
    assert browser.get(f"/batches/{batch_id}/progress.json").get_json()["percent"] == 100
    backend.streams.release()
    for _ in range(3):
        answer = browser.get(f"/batches/{batch_id}/events")
        assert answer.status_code == 200
        answer.close()
    assert taken == 12


def test_submit_stream_orders_and_follows_to_the_end(browser: Browser, database: IMEIDatabase) -> None:
    def answer_soon() -> None:
        while not database.count_orders():
            answer_chunks(database)
            time.sleep(0.05)

    runner = threading.Thread(target=answer_soon)
    runner.start()
    answer = browser.post("/submit-stream", {"imeis": "\n".join(imeis(3)), "service_id": "1739"})
    runner.join()
    assert answer.status_code == 200
    found = events_of(answer.text)
    assert found[-1][1] == "end"
    assert found[-2][2]["outcomes"]["ordered"] == 3  # type: ignore[index]


def test_submit_stream_says_why_not(browser: Browser, database: IMEIDatabase) -> None:
    answer = browser.post("/submit-stream", {"imei": imeis(1)[0]})
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "Choose a service first."
    assert batch_count(database) == 0


def test_a_rate_is_measured_over_the_last_half_minute() -> None:
    pace = Pace()
    assert pace.rate(0, 0, None) is None
    assert pace.rate(1, 100, 5.0) == 5.0
    assert pace.rate(10, 1000, 5.0) == 100
    assert pace.rate(100, 1000, 5.0) == 5.0


# Controls


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
    assert "Finished" not in text


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
    assert (found["state_label"], found["percent"], found["done"]) == ("Stopped", 40, 100)
    for page in ("/batches", "/", f"/batches/{batch_id}", f"/batches/{batch_id}/report"):
        text = words(browser.get(page))
        assert "Stopped" in text, page
        assert "Finished" not in text, page
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


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "doubt/ask", "doubt/not-placed", "doubt/placed"])
def test_an_unknown_batch_cannot_be_moved(browser: Browser, action: str) -> None:
    assert browser.post(f"/batches/9/{action}").status_code == 404


def test_numbers_that_no_row_can_have_lead_nowhere(browser: Browser) -> None:
    huge = "9" * 25
    for path in (f"/batches/{huge}", f"/batches/{huge}/progress.json", f"/batches/{huge}/doubt"):
        assert browser.get(path).status_code == 404, path
    assert browser.get(f"/batches?before={huge}").status_code == 200
    batch_id = browser.start(imeis(1))
    assert browser.post(f"/batches/{batch_id}/doubt/placed", {"item_id": huge, "order_id": "1"}).status_code == 400


# Downloads


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


# The balance


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


# In doubt


@pytest.fixture
def doubtful(browser: Browser, database: IMEIDatabase) -> int:
    batch_id = browser.start(imeis(3))
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, "no readable answer"))
    with database.write() as connection:  # long enough ago for the provider to be done with it
        connection.exec_driver_sql("UPDATE attempts SET sent_at = '2026-01-01', ended_at = '2026-01-01'")
    return batch_id


def item_ids(database: IMEIDatabase, batch_id: int) -> list[int]:
    with database.read() as connection:
        query = select(items.c.id).where(items.c.batch_id == batch_id, items.c.outcome == Outcome.IN_DOUBT)
        return list(connection.execute(query.order_by(items.c.id)).scalars())


def test_doubt_says_what_is_at_stake(browser: Browser, doubtful: int) -> None:
    text = words(browser.get(f"/batches/{doubtful}/doubt"))
    assert "3 IMEIs in doubt" in text
    assert "May have been charged $0.24" in text
    assert browser.post(f"/batches/{doubtful}/doubt/ask").status_code == 303


def test_an_order_found_by_hand_is_adopted(
    browser: Browser, provider: Provider, database: IMEIDatabase, doubtful: int
) -> None:
    first = item_ids(database, doubtful)[0]
    provider.orders = (IMEIOrder("15990001", imeis(1)[0], "Pending", "", CARRIER.package_id),)
    answer = browser.post(f"/batches/{doubtful}/doubt/placed", {"item_id": first, "order_id": "  "})
    assert "Give the provider's order id" in words(browser.led_back(answer))
    answer = browser.post(f"/batches/{doubtful}/doubt/placed", {"item_id": first, "order_id": "15990001"})
    assert "Order 15990001 is recorded." in words(browser.led_back(answer))
    assert database.get_order("15990001") is not None
    assert len(item_ids(database, doubtful)) == 2


def seen_of(browser: Browser, batch_id: int) -> str:
    found = re.search(r'name="seen" value="(\w+)"', browser.get(f"/batches/{batch_id}/doubt").text)
    assert found
    return found[1]


def send_all_again(browser: Browser, batch_id: int, seen: str) -> TestResponse:
    return browser.post(f"/batches/{batch_id}/doubt/not-placed", {"all": "on", "sure": "on", "seen": seen})


def cleared_ids(database: IMEIDatabase) -> list[int]:
    """The items that the runner may repeat after one more look at the provider's list, as a person decided."""
    query = "SELECT items.id FROM items JOIN chunks ON chunks.id = chunk_id WHERE cleared AND outcome = 'in_doubt'"
    with database.read() as connection:
        return list(connection.exec_driver_sql(f"{query} ORDER BY items.id").scalars())


def test_all_can_be_sent_again_at_once(browser: Browser, database: IMEIDatabase, doubtful: int) -> None:
    """All are cleared, and stay in doubt until the runner has looked at the list once more; a second click is late."""
    ids, seen = item_ids(database, doubtful), seen_of(browser, doubtful)
    assert cleared_ids(database) == []
    assert send_all_again(browser, doubtful, seen).status_code == 303
    assert cleared_ids(database) == ids
    assert "the IMEIs in doubt have changed" in words(browser.led_back(send_all_again(browser, doubtful, seen)))
    assert item_ids(database, doubtful) == ids


def test_all_are_those_that_the_page_showed(browser: Browser, database: IMEIDatabase, doubtful: int) -> None:
    """A call that came into doubt after somebody had looked at the provider's site is not sent again with the rest."""
    seen = seen_of(browser, doubtful)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE attempts SET sent_at = datetime(sent_at, '+2 minutes')")
    refused = browser.led_back(send_all_again(browser, doubtful, seen))
    assert "the IMEIs in doubt have changed" in words(refused)
    assert len(item_ids(database, doubtful)) == 3


def test_nothing_is_sent_again_while_the_provider_may_still_work_on_it(
    browser: Browser, database: IMEIDatabase, settings: Settings, doubtful: int
) -> None:
    """Its deadline and the quiet time count from the moment when it was sent."""
    rest = settings.call_timeout + settings.settle_quiet
    sent_ago(database, rest - 5)
    answer = browser.led_back(send_all_again(browser, doubtful, seen_of(browser, doubtful)))
    assert "Nothing was sent. The provider may still be working on it." in words(answer)
    assert cleared_ids(database) == []
    sent_ago(database, rest + 1)
    assert send_all_again(browser, doubtful, seen_of(browser, doubtful)).status_code == 303
    assert len(cleared_ids(database)) == 3


def sent_ago(database: IMEIDatabase, seconds: float) -> None:
    """Have every call sent so many seconds ago."""
    with database.write() as connection:
        connection.execute(update(attempts).values(sent_at=utc_now() - timedelta(seconds=seconds)))


def test_only_ticked_items_are_sent_again_and_only_when_sure(
    browser: Browser, database: IMEIDatabase, doubtful: int
) -> None:
    ids = item_ids(database, doubtful)
    url = f"/batches/{doubtful}/doubt/not-placed"
    assert "tick the IMEIs that were not placed" in words(browser.led_back(browser.post(url, {"sure": "on"})))
    assert "tick the box to confirm" in words(browser.led_back(browser.post(url, {"item_id": ids[:1]})))
    assert cleared_ids(database) == []
    assert browser.post(url, {"item_id": [*ids[:2], 999], "sure": "on"}).status_code == 303
    assert cleared_ids(database) == ids[:2]
    progress = batch_queries.progress(database, doubtful)
    assert progress is not None
    assert progress.outcomes[Outcome.IN_DOUBT] == 3  # until they are repeated
