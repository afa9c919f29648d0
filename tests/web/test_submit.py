"""One or a few IMEIs from one page, or as a stream for programs."""

import json
import re
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from batch_checks import outcomes
from plain_sql import run
from simulated_provider import imeis
from sqlalchemy import update
from web_client import CARRIER, SERVICES, Browser, Provider, answer_chunks, fields_of, order_batch, words
from web_scenes import aged, batch_count, events_of

from database import IMEIDatabase, utc_now
from schema import orders
from storage import batch_queries


def test_what_is_known_of_typed_imeis_is_told(browser: Browser, database: IMEIDatabase) -> None:
    first, second = imeis(2)
    order_batch(database, [first])
    query = f"/submit/known.json?imei={first}&imei={second}&imei=x"
    [known] = json.loads(browser.get(query).text)
    assert (known["imei"], known["age"], known["url"]) == (first, "just now", "/orders/15000001")


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
    with database.read() as connection:
        assert batch_queries.unfinished_batches(connection)[0].unit_price == 0.48


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


def test_one_imei_is_ordered_at_once(browser: Browser, database: IMEIDatabase) -> None:
    number = imeis(1)[0]
    form = {"imei": number, "service_id": "1739", "token": "once"}
    assert browser.post("/submit", form).location == "/batches/1"
    assert browser.post("/submit", form).location == "/batches/1"
    other = browser.post("/submit", form | {"imei": imeis(2)[1]})  # after Back, into the form with the used token
    assert "Nothing more was sent" in words(browser.led_back(other))
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
    again = {"imei": number, "service_id": "1739", "recheck": "on"}
    assert browser.post("/submit", fields_of(page.text, "/submit") | again).location == "/batches/2"


def checked(database: IMEIDatabase) -> None:
    """All orders have their results."""
    with database.write() as connection:
        run(connection, "UPDATE orders SET status = 'Completed', model = 'iPhone 12' || id")


def test_what_was_checked_since_the_form_was_opened_is_shown_before_it_is_paid_again(
    browser: Browser, database: IMEIDatabase
) -> None:
    """Two people have the page with the first result open, and one of them checks again."""
    [number] = imeis(1)
    order_batch(database, [number])
    checked(database)
    asked = {"imei": number, "service_id": CARRIER.package_id}
    first, second = (browser.led_back(browser.post("/submit", asked)) for _ in range(2))
    assert "iPhone 121" in words(first)
    again = [fields_of(page.text, "/submit") | asked | {"recheck": "on"} for page in (first, second)]
    assert browser.post("/submit", again[0]).location == "/batches/2"
    answer_chunks(database)
    checked(database)
    refused = browser.led_back(browser.post("/submit", again[1]))
    assert "Nothing was sent" in words(refused)
    assert "iPhone 122" in words(refused)
    assert batch_count(database) == 2
    shown = fields_of(refused.text, "/submit") | asked | {"recheck": "on"}
    assert browser.post("/submit", shown).location == "/batches/3"


def test_a_form_that_showed_no_earlier_result_pays_for_none_again(browser: Browser, database: IMEIDatabase) -> None:
    known, fresh = imeis(2)
    order_batch(database, [known])
    checked(database)
    asked = {"imei": f"{known}\n{fresh}", "service_id": CARRIER.package_id, "recheck": "on"}
    refused = browser.led_back(browser.post("/submit", asked))
    assert f"{known} was checked before. See the result below" in words(refused)
    assert "iPhone 121" in words(refused)
    assert batch_count(database) == 1
    assert browser.post("/submit", asked | {"seen": "1"}).location == "/batches/2"
    assert outcomes(database, 2) == {"waiting": 2}


def test_the_stream_pays_again_for_old_results_and_for_orders_that_it_names(
    browser: Browser, database: IMEIDatabase
) -> None:
    [number] = imeis(1)
    order_batch(database, [number])
    checked(database)
    asked = {"imei": number, "service_id": CARRIER.package_id, "recheck": "on"}
    for more in ({}, {"known_orders": "14"}):
        refused = browser.post("/submit-stream", asked | more)
        assert (refused.status_code, batch_count(database)) == (400, 1)
        assert refused.get_json()["error"].startswith(f"Nothing was sent: {number} has the order 15000001.")
    with database.write() as connection:
        run(connection, "UPDATE orders SET order_id = NULL")  # as of a file
    refused = browser.post("/submit-stream", asked | {"known_orders": "15000001"})
    assert "an order without an id. To pay again, send no known_orders" in refused.get_json()["error"]
    with database.write() as connection:
        run(connection, "UPDATE orders SET order_id = '15000001'")
    browser.post("/submit-stream", asked | {"known_orders": "15000001"}).close()
    assert batch_count(database) == 2
    answer_chunks(database)
    checked(database)
    yesterday = utc_now() - timedelta(hours=13)
    with database.write() as connection:
        connection.execute(update(orders).values(updated_at=yesterday, created_at=yesterday))
    browser.post("/submit-stream", asked).close()
    assert batch_count(database) == 3


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
