"""Many IMEIs at once: from the paste to found and missing, with filters, files, and the way to order the rest."""

import csv
import io
import re
from collections.abc import Iterator

import pytest
from flask import Flask
from simulated_provider import imeis
from stored_orders import all_orders
from web_client import CARRIER, SERVICES, Browser, Provider, answer_chunks, make_app, words
from werkzeug.test import TestResponse

from database import IMEIDatabase
from settings import Settings


@pytest.fixture(name="app")
def app_fixture(settings: Settings, database: IMEIDatabase) -> Iterator[Flask]:
    made = make_app(settings, database, Provider(list(SERVICES), credits=100_000.0))
    yield made
    made.extensions["stopping"].set()


@pytest.fixture(name="ordered")
def ordered_fixture(browser: Browser, database: IMEIDatabase) -> list[str]:
    """150 IMEIs with an order each; every third has a result."""
    numbers = imeis(150)
    browser.start(numbers)
    answer_chunks(database)
    for order in all_orders(database):
        if order["id"] % 3 == 0:
            database.update_order_status(order["order_id"], "Completed", {"carrier": "T-Mobile"})
    return numbers


def look_up(browser: Browser, text: str) -> str:
    """Paste it; the address of the search."""
    answer = browser.post("/history/search", {"imeis": text})
    assert answer.status_code == 303, words(answer)
    return answer.location


def column(answer: TestResponse) -> list[str]:
    """The IMEIs of a CSV file."""
    return [row["IMEI NO."].strip('="') for row in csv.DictReader(io.StringIO(answer.get_data().decode("utf-8-sig")))]


def on_page(browser: Browser, url: str) -> list[str]:
    """The IMEIs of all pages from this one on."""
    found: list[str] = []
    while url:
        page = browser.get(url).text
        found += re.findall(r"<code>(\d{15})</code>", page)
        more = re.search(r'rel="next" href="([^"]+)"', page)
        url = more[1].replace("&amp;", "&") if more else ""
    return found


def test_a_paste_is_split_into_found_and_missing(browser: Browser, ordered: list[str]) -> None:
    new = imeis(700, first=10_000)
    url = look_up(browser, "\n".join([*reversed(ordered), *new, "n/a", ordered[0]]))
    assert "850 IMEIs looked up" in words(browser.get(url))
    assert on_page(browser, url) == list(reversed(ordered))
    assert on_page(browser, url + "?show=missing") == new
    assert column(browser.get(url + "/found.csv")) == list(reversed(ordered))
    assert column(browser.get(url + "/missing.csv")) == new


def test_a_search_is_narrowed_and_exported_by_the_filter(browser: Browser, ordered: list[str]) -> None:
    url = look_up(browser, "\n".join(ordered[:90]))
    shown = on_page(browser, url + "?carrier=T-Mobile")
    assert 0 < len(shown) < 90
    page = browser.get(url + "?carrier=T-Mobile").text
    file = re.search(r'href="([^"]+/found\.csv\?carrier=T-Mobile)"', page)
    assert file
    assert column(browser.get(file[1])) == shown
    assert browser.get(url + "/found.xlsx?carrier=T-Mobile").data.startswith(b"PK")


def test_what_is_missing_leads_to_a_preview_of_exactly_that(browser: Browser, ordered: list[str]) -> None:
    new = imeis(5, first=10_000)
    url = look_up(browser, "\n".join([*ordered, *new]))
    answer = browser.post(url + "/order", {"service_id": CARRIER.package_id})
    assert answer.status_code == 303
    text = words(browser.get(answer.location))
    assert "5 ready" in text
    assert "0 already checked" in text


def test_what_cannot_be_looked_up_gets_a_sentence(browser: Browser, ordered: list[str]) -> None:
    for text in ("", "no number at all"):
        answer = browser.post("/history/search", {"imeis": text}, follow_redirects=True)
        assert "Nothing was looked up" in words(answer)
    url = look_up(browser, "\n".join(ordered[:3]))
    assert "Choose a service first." in words(browser.post(url + "/order", {}, follow_redirects=True))
    none = browser.post(url + "/order", {"service_id": CARRIER.package_id}, follow_redirects=True)
    assert "No IMEIs are missing any more" in words(none)
    assert browser.get("/history/search/99").status_code == 404


def test_the_history_is_sorted_as_the_url_says(browser: Browser, ordered: list[str]) -> None:
    assert on_page(browser, "/history?sort=imei") == sorted(ordered)
    assert on_page(browser, "/history?sort=oldest") == list(reversed(on_page(browser, "/history")))
    assert on_page(browser, "/history?sort=nonsense") == on_page(browser, "/history")
    assert len(on_page(browser, "/history?sort=oldest&carrier=T-Mobile")) == 50


def test_numbers_and_dates_beyond_everything_are_not_asked_for(browser: Browser, ordered: list[str]) -> None:
    huge = "9" * 40
    url = look_up(browser, "\n".join(ordered[:3]))
    for query in (f"before={huge}", f"sort=imei&before=3~{huge}"):
        assert browser.get(f"/history?{query}").status_code == 200, query
        assert browser.get(f"{url}?{query}").status_code == 200, query
    for query in (f"batch={huge}", "until=9999-12-31", "since=9999-12-31"):
        assert browser.get(f"/history?{query}").status_code == 400, query
        assert browser.get(f"{url}?{query}").status_code == 400, query
    for query in (f"after={huge}&row={huge}", f"show=missing&after={huge}", f"after={2**61}&row=1"):
        assert browser.get(f"{url}?{query}").status_code == 200, query
