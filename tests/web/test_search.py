"""One field finds everything, and opens what it finds where that is one thing."""

import pytest
from simulated_provider import imeis
from web_client import CARRIER, Browser, order_batch, words

from database import IMEIDatabase
from orders import BatchNames
from storage import order_filters
from storage.batch_uploads import rename_batch
from storage.order_terms import OrderFilter
from storage.saved_filter_store import save_filter
from storage.tag_store import tag_batches

NUMBERS = imeis(3)


@pytest.fixture(name="order_id")
def order_id_fixture(database: IMEIDatabase) -> str:
    """The id of the order of NUMBERS[0], one of a batch of two; a second batch is not finished."""
    batch_id = order_batch(database, NUMBERS[:2])
    rename_batch(database, batch_id, BatchNames("Berlin <b>", "ACME", "Box 3"))
    tag_batches(database, [batch_id], "Hold")
    database.store_services([CARRIER], 0)
    return order_filters.page(database, OrderFilter(q=NUMBERS[0]))[0].order_id or ""


def spaced(imei: str) -> str:
    return f"{imei[:2]}-{imei[2:8]} {imei[8:14]}.{imei[14]}"


@pytest.mark.parametrize("write", [str, spaced, lambda imei: f" {imei}\u2013"])
def test_a_whole_imei_with_one_order_opens_the_order(browser: Browser, order_id: str, write: object) -> None:
    text = write(NUMBERS[0])  # type: ignore[operator]
    assert browser.get("/search", query_string={"q": text}).location == f"/orders/{order_id}"


@pytest.mark.parametrize(
    ("text", "address"),
    [("#1", "/batches/1"), ("box 3", "/batches/1"), ("hold", "/history?tag=Hold"), ("fmi simlock", "/services?q=1739")],
)
def test_one_match_is_opened(browser: Browser, order_id: str, text: str, address: str) -> None:
    assert browser.get("/search", query_string={"q": text}).location == address


def test_saved_filters_are_found_by_their_names(browser: Browser, order_id: str, database: IMEIDatabase) -> None:
    for person, name, is_shared in (("demo", "To return", False), ("anna", "Returned", False), ("anna", "Sold", True)):
        save_filter(database, person, name, f"verdict=fail&q={name[:2]}", is_shared)
    assert browser.get("/search?q=RETURN").location == "/history?verdict=fail&q=To"
    assert browser.get("/search?q=sold").location == "/history?verdict=fail&q=So"
    tag_batches(database, [1], "Sold")
    assert "Saved filters 1 Sold saved by anna" in words(browser.get("/search?q=sold"))


def test_several_matches_are_listed_in_groups(browser: Browser, order_id: str) -> None:
    page = browser.get("/search?q=acme")
    assert "Berlin &lt;b&gt;" in page.text
    assert all(title in words(page) for title in ("Batches 1", "Customers 1"))
    assert NUMBERS[0] in browser.get("/search", query_string={"q": NUMBERS[0][:6]}).text


def test_what_is_unknown_can_be_checked_and_what_waits_is_opened(browser: Browser, order_id: str) -> None:
    unknown = browser.get("/search", query_string={"q": NUMBERS[2]})
    assert "No order and no unfinished batch has the IMEI" in words(unknown)
    assert f'href="/submit?imei={NUMBERS[2]}"' in unknown.text
    batch_id = browser.start([NUMBERS[2]])
    assert browser.get("/search", query_string={"q": NUMBERS[2]}).location == f"/batches/{batch_id}"
    for text in ("", "%", "' OR 1=1", "#", "#x", "9" * 99, "\x00", "٣٥٣"):
        assert browser.get("/search", query_string={"q": text}).status_code == 200, text
