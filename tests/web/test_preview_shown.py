"""What a preview shows is what is ordered, and every IMEI of a file is in exactly one of its buckets."""

import re

import pytest
from simulated_provider import imeis
from web_client import CARRIER, SERVICES, Browser, answer_chunks, words

from database import IMEIDatabase
from orders import Outcome
from storage import batch_queries, order_queries


def whole_form(page: str) -> dict[str, str]:
    """Every field of the one form of a preview, as a browser sends it."""
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    for name, options in re.findall(r'<select id="\w+" name="(\w+)".*?>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)"[^>]* selected', options)
        fields[name] = chosen[1] if chosen else ""
    ticks = re.findall(r'<input type="checkbox" name="(\w+)" checked', page)
    del fields["csrf_token"]
    return fields | dict.fromkeys(ticks, "on")


def buckets(page: str) -> dict[str, int]:
    found = re.findall(r'<li[^>]*><b class="num">([\d,]+)</b><span>([^<]+)</span>', page)
    return {name.partition(",")[0]: int(count.replace(",", "")) for count, name in found}


def batch_count(database: IMEIDatabase) -> int:
    with database.read() as connection:
        return len(batch_queries.unfinished_batches(connection))


def test_a_confirmed_form_with_another_service_orders_nothing_and_shows_its_cost(
    browser: Browser, database: IMEIDatabase
) -> None:
    """Without a script the service can be changed beside the button; it is shown first and never ordered unseen."""
    preview = browser.paste(imeis(3))
    form = whole_form(browser.get(preview).text) | {"service_id": SERVICES[2].package_id}
    page = browser.led_back(browser.post(preview, form))
    assert "Nothing was sent: the service or the reading of the file was changed." in words(page)
    assert "Cost $0.30" in words(page)
    assert batch_count(database) == 0
    assert browser.post(preview, whole_form(page.text)).location == "/batches/1"
    found = batch_queries.progress(database, 1)
    assert found is not None
    assert (found.service_id, found.total) == (SERVICES[2].package_id, 3)


@pytest.mark.parametrize("changed", [{"include_luhn": "on"}, {"header_row": "2"}])
def test_a_confirmed_form_with_another_choice_shows_what_it_means_first(
    browser: Browser, database: IMEIDatabase, changed: dict[str, str]
) -> None:
    good, other, bad = imeis(3)
    bad = bad[:-1] + str((int(bad[-1]) + 1) % 10)
    preview = browser.upload("\r\n".join(["IMEI", good, other, bad]).encode()).location
    page = browser.led_back(browser.post(preview, whole_form(browser.get(preview).text) | changed))
    assert batch_count(database) == 0
    assert browser.post(preview, whole_form(page.text)).location == "/batches/1"


def test_a_choice_that_the_page_does_not_offer_is_kept_and_not_taken_for_a_change(
    browser: Browser, database: IMEIDatabase
) -> None:
    """What was refused is sent again with wrong check digits allowed, where there are none to tick."""
    browser.start(imeis(2))
    answer_chunks(database, lambda imei: (Outcome.REFUSED, "no"))
    preview = browser.post("/batches/1/retry").location
    assert browser.post(preview, whole_form(browser.get(preview).text)).location == "/batches/2"


def test_ready_is_what_is_sent_and_each_earlier_order_is_in_a_bucket_of_its_own(
    browser: Browser, database: IMEIDatabase
) -> None:
    completed, rejected, pending, flying, fresh = (imeis(n, first=first) for n, first in zip(
        (2, 3, 1, 2, 4), (0, 10, 20, 30, 40), strict=True))  # fmt: skip
    browser.start([*completed, *rejected, *pending])
    answer_chunks(database)
    for imei in completed:
        values = {"model": "iPhone 12", "blacklist": "Clean"}
        database.update_order_status(database.get_orders_by_imei(imei)[0]["order_id"], "Completed", values)
    for imei in rejected:
        values = {"result_code_display": "IMEI not found"}
        database.update_order_status(database.get_orders_by_imei(imei)[0]["order_id"], "Rejected", values)
    browser.start(flying)
    preview = browser.paste([*completed, *rejected, *pending, *flying, *fresh])
    page = browser.get(preview)
    found = buckets(page.text)
    assert found["ready to send"] == 4
    assert (found["already checked"], found["rejected before"], found["awaiting a result"]) == (2, 3, 1)
    assert found["being sent now"] == 2
    assert "IMEIs to send 4" in words(page)
    assert "Completed iPhone 12 · Clean" in words(page)
    assert "3 IMEIs rejected before: left out" in words(page)
    assert "Rejected IMEI not found" in words(page)


def test_rejected_before_is_sent_again_only_when_ticked_and_without_what_has_a_result(
    browser: Browser, database: IMEIDatabase
) -> None:
    one, two = imeis(2)
    browser.start([one, two])
    answer_chunks(database)
    database.update_order_status(database.get_orders_by_imei(one)[0]["order_id"], "Completed", {"model": "X"})
    database.update_order_status(database.get_orders_by_imei(two)[0]["order_id"], "Rejected", {})
    preview = browser.paste([one, two])
    form = whole_form(browser.get(preview).text) | {"resend_rejected": "on"}
    page = browser.led_back(browser.post(preview + "/options", form))
    assert buckets(page.text)["ready to send"] == 1
    assert browser.post(preview, whole_form(page.text)).location == "/batches/2"
    items = order_queries.result_items(database, 2)
    assert {item.imei: item.outcome for item in items} == {one: "duplicate", two: "waiting"}


def test_a_refused_confirmation_is_answered_with_a_redirect(browser: Browser, database: IMEIDatabase) -> None:
    preview = browser.paste(imeis(2), CARRIER.package_id)
    answer = browser.post(preview, {"price": "9", "count": "2", "mark": "x"})
    assert (answer.status_code, answer.location) == (303, preview)
    assert "have changed since" in words(browser.get(preview))
    assert "have changed since" not in words(browser.get(preview))
    assert batch_count(database) == 0
