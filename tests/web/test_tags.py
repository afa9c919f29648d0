"""Tags: put on and taken off on pages and for selected rows, found in lists and exports, renamed and deleted."""

import csv
import io
import re

import pytest
from simulated_provider import imeis
from web_client import Browser, order_batch, words

from database import IMEIDatabase
from storage import order_filters
from storage.order_terms import OrderFilter


@pytest.fixture(name="order_ids")
def order_ids_fixture(database: IMEIDatabase) -> list[str]:
    """The order ids of two batches of two phones each."""
    for number in range(2):
        order_batch(database, imeis(4)[2 * number : 2 * number + 2])
    newest_first = order_filters.page(database, OrderFilter())
    return [order.order_id or "" for order in reversed(newest_first)]


def tagged(browser: Browser, tag: str) -> int:
    """How many orders the history finds by a tag."""
    return browser.get("/history", query_string={"tag": tag}).text.count("<tr data-order=")


def test_tags_of_a_batch_and_of_an_order_are_found_and_exported(browser: Browser, order_ids: list[str]) -> None:
    page = browser.led_back(browser.post("/batches/1/tags", {"tag": "  Sold\nnow , <b>, sold NOW"})).text
    assert page.count('aria-label="Remove tag') == 2
    assert "&lt;b&gt;" in page
    order = browser.led_back(browser.post(f"/orders/{order_ids[2]}/tags", {"tag": "sold now"}))
    assert "Sold now" in words(order)
    assert "of the batch" in words(browser.get(f"/orders/{order_ids[0]}"))
    assert (tagged(browser, "SOLD now"), tagged(browser, "<b>")) == (3, 2)
    assert '<option value="Sold now">Sold now (1 batch, 1 order)</option>' in browser.get("/history").text
    found = browser.get("/batches?tag=sold+now").text
    assert ('href="/batches/1"' in found, 'href="/batches/2"' in found) == (True, False)
    for url in ("/history.csv?format=extended&tag=sold+now", "/batches/1/results.csv?format=extended"):
        rows = list(csv.DictReader(io.StringIO(browser.get(url).data.decode("utf-8-sig"))))
        assert [row["TAGS"] for row in rows][-2:] == ["<b>, Sold now"] * 2, url
    search = browser.post("/history/search", {"imeis": "\n".join(imeis(4))}).location
    assert browser.get(f"{search}?tag=sold+now").text.count("<tr data-order=") == 3
    browser.post("/batches/1/tags", {"remove": "SOLD NOW"})
    assert tagged(browser, "Sold now") == 1
    assert "Enter a tag" in words(browser.led_back(browser.post("/batches/1/tags", {"tag": " , "})))


def test_an_unknown_tag_is_an_error_and_no_empty_list(browser: Browser, order_ids: list[str]) -> None:
    page = browser.get("/history?tag=lost")
    assert page.status_code == 400
    assert "No batch or order has the tag “lost”." in words(page)
    assert "No batch with the tag “lost”" in words(browser.get("/batches?tag=lost"))


def test_selected_rows_get_a_tag_at_once(browser: Browser, order_ids: list[str]) -> None:
    answer = browser.post("/tags/rows?status=Pending", {"row": ["1", "3", "999"], "tag": "return"})
    assert answer.location == "/history?status=Pending"
    assert tagged(browser, "return") == 2
    assert browser.post("/tags/rows?page_of=2", {"row": "2", "tag": "return"}).location == "/batches/2"
    assert "Select rows first" in words(browser.led_back(browser.post("/tags/rows", {"tag": "return"})))


def test_a_tag_is_renamed_and_deleted_on_the_page_of_tags(browser: Browser, order_ids: list[str]) -> None:
    assert "No tags yet" in words(browser.get("/tags"))
    browser.post("/batches/1/tags", {"tag": "hold"})
    browser.post("/tags/rows", {"row": "3", "tag": "keep"})
    browser.post("/tags/rename", {"old": "hold", "tag": "Keep"})
    assert re.search(r"keep 1 1", words(browser.get("/tags")))
    assert browser.post("/tags/rename", {"old": "hold", "tag": "x"}).status_code == 404
    browser.post("/tags/delete", {"old": "KEEP"})
    assert "No tags yet" in words(browser.get("/tags"))
