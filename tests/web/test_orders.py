"""The history of orders, what open pages learn of it, and the page of one order."""

import csv
import io
import json
import re
import time
from dataclasses import asdict

import pytest
from simulated_provider import imeis
from sqlalchemy import insert, update
from web_client import CARRIER, SERVICES, Browser, answer_chunks, order_batch, words
from web_scenes import csv_rows, ordered

from database import IMEIDatabase
from results import sync as order_sync
from results.batch_rows import phone_results
from schema import orders
from storage import batch_queries


@pytest.fixture(name="orders")
def orders_fixture(database: IMEIDatabase) -> list[str]:
    numbers = imeis(250)
    order_batch(database, numbers)
    order_batch(database, imeis(5, first=1000), SERVICES[2])
    database.update_order_status("15000001", "Completed", {"carrier": "T-Mobile", "model": "iPhone 13"})
    return numbers


def rows_on(page: str) -> list[str]:
    return re.findall(r"data-copy>(?:<a [^>]+>)?<code>(\d{15})<", page)


def test_history_pages_by_key_and_misses_none(browser: Browser, orders: list[str]) -> None:
    url, seen = "/history", []
    while url:
        page = browser.get(url).text
        seen += rows_on(page)
        more = re.search(r'rel="next" href="([^"]+)"', page)
        url = more[1].replace("&amp;", "&") if more else ""
    assert len(seen) == len(set(seen)) == 255


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("status=Completed", 1),
        ("service=269", 5),
        ("batch=2", 5),
        ("q=15000001", 1),
        ("batch=1&status=Completed", 1),
        ("batch=2&status=Completed", 0),
        ("q=no-such-thing-at-all", 0),
        ("before=y", 50),
        ("status=completed", 1),
        ("mismatch=0", 50),
    ],
)
def test_history_filters_live_in_the_url(browser: Browser, orders: list[str], query: str, count: int) -> None:
    assert len(rows_on(browser.get(f"/history?{query}").text)) == count


def test_history_finds_an_imei(browser: Browser, orders: list[str]) -> None:
    assert rows_on(browser.get(f"/history?q={orders[7]}").text) == [orders[7]]


def test_the_export_holds_exactly_the_filter(browser: Browser, orders: list[str]) -> None:
    text = browser.get("/history.csv?service=269").data.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 5
    assert list(rows[0])[:4] == ["SERVICE", "IMEI NO.", "CREDITS", "STATUS"]
    assert len(browser.get("/history.csv?bom=0").data.decode().splitlines()) == 256


def test_an_order_shows_its_fields_and_keeps_hostile_text_harmless(
    browser: Browser, database: IMEIDatabase, orders: list[str]
) -> None:
    hostile = "Model: iPhone 11<br>Carrier: <script>alert(1)</script>T-Mobile<img src=x onerror=alert(2)>"
    database.update_order_status("15000002", "Completed", {"result_code": hostile, "model": "<b>iPhone</b>"})
    page = browser.get("/orders/15000002")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "<b>iPhone" not in page.text


def test_the_history_page_has_a_button_that_asks_for_results(browser: Browser, database: IMEIDatabase) -> None:
    assert browser.post("/history/sync?status=Pending").location == "/history?status=Pending"
    assert order_sync.is_requested(database)
    assert browser.get("/status").status_code == 200


def test_the_history_says_whether_results_are_asked_for_and_what_came(browser: Browser, database: IMEIDatabase) -> None:
    assert browser.get("/history/sync.json").json == {"asking": False, "words": "", "pending": 0}
    browser.post("/history/sync")
    state = browser.get("/history/sync.json").json
    assert state is not None
    assert state["asking"]
    assert "as soon as a runner is active" in words(browser.get("/history"))
    wish = database.get_setting(order_sync.REQUESTED)
    assert wish is not None
    report = order_sync.SyncReport(asked=30, updated=12, pending=18, error="It is in maintenance.", at=time.time())
    database.set_setting(order_sync.LAST, json.dumps(asdict(report)))
    database.set_setting(order_sync.DONE, wish)
    told = "Results last requested just now: 12 of 30 orders updated, 18 still pending. It is in maintenance."
    assert browser.get("/history/sync.json").json == {"asking": False, "words": told, "pending": 0}
    assert told in words(browser.get("/history"))
    assert told in words(browser.get("/status"))


def test_a_page_is_sent_only_the_orders_that_are_no_longer_as_it_shows_them(
    browser: Browser, database: IMEIDatabase
) -> None:
    browser.start(imeis(3))
    answer_chunks(database)
    page = browser.get("/history").text
    seen = re.findall(r'data-seen="([^"]+)"', page)
    assert len(seen) == 3
    query = "&".join(f"seen={one}" for one in seen)
    assert browser.get(f"/history/rows?{query}").text.strip() == ""
    order = database.get_orders_by_imei(imeis(3)[1])[0]
    single = f"/orders/{order['order_id']}"
    assert browser.get(f"{single}/result?seen={order['id']}:Pending").text == ""
    with database.write() as connection:
        done = {"status": "Completed", "carrier": "Vodafone"}
        connection.execute(update(orders).where(orders.c.id == order["id"]).values(done))
    rows = browser.get(f"/history/rows?{query}").text
    assert re.findall(r'data-order="(\d+)"', rows) == [str(order["id"])]
    assert "Vodafone" in rows
    assert "data-seen" not in rows
    result = browser.get(f"{single}/result?seen={order['id']}:Pending").text
    assert "Vodafone" in result
    assert "data-seen" not in result


@pytest.mark.parametrize("seen", ["", "1", "x:Pending", "1:a:b", f"{'9' * 40}:Pending"])
def test_what_no_page_shows_is_not_answered(browser: Browser, database: IMEIDatabase, seen: str) -> None:
    browser.start(imeis(1))
    answer_chunks(database)
    answer = browser.get("/history/rows", query_string={"seen": seen})
    assert (answer.status_code, answer.text.strip()) == (200, "")


def test_an_odd_order_id_still_leads_to_its_order(browser: Browser, database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "15 #7?<b>&", "imei": imeis(1)[0], "status": "Pending"})
    link = re.search(r'data-copy><a href="(/orders/[^"]+)">', browser.get("/history").text)
    assert link is not None
    page = browser.get(link[1])
    assert page.status_code == 200
    assert "15 #7?&lt;b&gt;&amp;" in page.text


def test_an_imei_is_found_by_its_second_number(browser: Browser, database: IMEIDatabase) -> None:
    numbers = ordered(database, 10)
    found = csv_rows(browser.get(f"/history.csv?q={numbers[2]}"))
    assert {row["IMEI NO."] for row in found} == {numbers[2], numbers[7]}


def test_the_history_counts_results_about_another_imei(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 30)
    assert "3 results about another IMEI" in words(browser.get("/history"))


def test_the_second_imei_of_a_checked_phone_is_that_phone_on_every_page(
    browser: Browser, database: IMEIDatabase
) -> None:
    first, second, third = imeis(3)
    order_batch(database, [first])
    result = {"status": "Completed", "model": "iPhone 14", "fmi": "OFF", "imei2": second, "verdict": "pass"}
    with database.write() as connection:
        connection.execute(update(orders).values(**result))
    upload = browser.upload(f"IMEI\n{second}\n{third}".encode()).location
    preview = words(browser.get(upload))
    assert "1 ready to send" in preview
    assert f"{second} IMEI 2 of {first}" in preview
    [known] = browser.get(f"/submit/known.json?imei={second}").get_json()
    assert (known["imei"], known["second_of"], known["services"]) == (second, first, CARRIER.package_id)
    progress = batch_queries.progress(database, int(browser.confirm(upload).location.removeprefix("/batches/")))
    assert progress
    found = phone_results(database, progress)[second]
    assert (found.model, f"as IMEI 2 of {first}" in found.note) == ("iPhone 14", True)
    with database.write() as connection:
        connection.execute(insert(orders).values(order_id="77", imei=second, service_id="269", status="Pending"))
    assert f"{second} Other IMEI" in words(browser.get("/orders/15000001"))
    assert f"{first} Other IMEI" in words(browser.get("/orders/77"))
