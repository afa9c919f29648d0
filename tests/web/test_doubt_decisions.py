"""What a person decides on the page of doubt: an order that was found, and what is sent again."""

import re
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from flask import Flask
from handmade_calls import unanswered
from simulated_provider import imeis
from sqlalchemy import select, update
from web_client import CARRIER, Browser, Provider, answer_chunks, words
from werkzeug.test import TestResponse

from database import IMEIDatabase, utc_now
from gsm_fusion_client import NotSentError
from orders import ChunkState, IMEIOrder, Outcome
from schema import attempts, items
from settings import Settings
from storage import batch_queries, call_queries, doubt_moves
from storage.call_records import write_intents
from submission import was_placed


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


def test_an_order_of_a_service_that_the_list_calls_otherwise_is_adopted(
    app: Flask, browser: Browser, provider: Provider, database: IMEIDatabase, doubtful: int
) -> None:
    """The list gives the word of the other service to an order of ours of this one, so it means this one."""
    first, second, _ = item_ids(database, doubtful)
    database.store_services([CARRIER, replace(CARRIER, package_id="999", title="Other")], 1.0)
    found = IMEIOrder("15990001", imeis(1)[0], "Pending", "", "Other")
    provider.orders = (found,)
    form = {"item_id": first, "order_id": "15990001"}
    for listed in ([], [found], None):
        app.extensions["backend"].requests.recent_orders = partial(listing, listed)
        answer = browser.post(f"/batches/{doubtful}/doubt/placed", form)
        assert "Order 15990001 is one of another service: Other." in words(browser.led_back(answer))
    was_placed(database, second, "15990002")
    ours = [found, IMEIOrder("15990002", imeis(2)[1], "Pending", "", "Other")]
    app.extensions["backend"].requests.recent_orders = partial(listing, ours)
    answer = browser.post(f"/batches/{doubtful}/doubt/placed", form)
    assert "Order 15990001 is recorded." in words(browser.led_back(answer))


def listing(listed: list[IMEIOrder] | None, _account: str) -> list[IMEIOrder]:
    """Return a list of recent orders; None: the provider does not answer."""
    if listed is None:
        raise NotSentError("The provider cannot be reached.")
    return listed


def mark_shown(browser: Browser, batch_id: int) -> str:
    found = re.search(r'name="seen" value="(\w+)"', browser.get(f"/batches/{batch_id}/doubt").text)
    assert found
    return found[1]


def newest_shown(browser: Browser, batch_id: int) -> str:
    """Return the newest attempt as the page of doubt names it."""
    found = re.search(r'name="newest" value="(\d+)"', browser.get(f"/batches/{batch_id}/doubt").text)
    assert found
    return found[1]


def test_an_imei_that_was_sent_again_since_the_page_was_shown_is_not_cleared(
    browser: Browser, database: IMEIDatabase, doubtful: int
) -> None:
    """The person has looked at the provider's site before that call: its order would be paid once more."""
    first, second, _ = item_ids(database, doubtful)
    form = {"item_id": [first], "sure": "on", "newest": newest_shown(browser, doubtful)}
    with database.write() as connection:
        [chunk] = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        [again] = write_intents(connection, [doubt_moves.repeat(connection, chunk, [first], "sent again")])
    unanswered(database, again)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE attempts SET sent_at = '2026-01-01', ended_at = '2026-01-01'")
    for given in (form, {**form, "newest": ""}):
        answer = browser.led_back(browser.post(f"/batches/{doubtful}/doubt/not-placed", given))
        assert "Nothing was sent. An IMEI was sent again since this page was shown." in words(answer)
        assert cleared_ids(database) == []
    form["item_id"] = [second]  # of the first call, which the page showed
    assert browser.post(f"/batches/{doubtful}/doubt/not-placed", form).status_code == 303
    form |= {"item_id": [first], "newest": newest_shown(browser, doubtful)}
    assert browser.post(f"/batches/{doubtful}/doubt/not-placed", form).status_code == 303
    assert cleared_ids(database) == [first, second]


def send_all_again(browser: Browser, batch_id: int, seen: str) -> TestResponse:
    return browser.post(f"/batches/{batch_id}/doubt/not-placed", {"all": "on", "sure": "on", "seen": seen})


def cleared_ids(database: IMEIDatabase) -> list[int]:
    """The items that the runner may repeat after one more look at the provider's list, as a person decided."""
    query = "SELECT items.id FROM items JOIN chunks ON chunks.id = chunk_id WHERE cleared AND outcome = 'in_doubt'"
    with database.read() as connection:
        return list(connection.exec_driver_sql(f"{query} ORDER BY items.id").scalars())


def test_all_can_be_sent_again_at_once(browser: Browser, database: IMEIDatabase, doubtful: int) -> None:
    """All are cleared, and stay in doubt until the runner has looked at the list once more; a second click is late."""
    ids, seen = item_ids(database, doubtful), mark_shown(browser, doubtful)
    assert cleared_ids(database) == []
    assert send_all_again(browser, doubtful, seen).status_code == 303
    assert cleared_ids(database) == ids
    assert "the IMEIs in doubt have changed" in words(browser.led_back(send_all_again(browser, doubtful, seen)))
    assert item_ids(database, doubtful) == ids


def test_all_are_those_that_the_page_showed(browser: Browser, database: IMEIDatabase, doubtful: int) -> None:
    """A call that came into doubt after somebody had looked at the provider's site is not sent again with the rest."""
    seen = mark_shown(browser, doubtful)
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
    answer = browser.led_back(send_all_again(browser, doubtful, mark_shown(browser, doubtful)))
    assert "Nothing was sent. The provider may still be working on it." in words(answer)
    assert cleared_ids(database) == []
    sent_ago(database, rest + 1)
    assert send_all_again(browser, doubtful, mark_shown(browser, doubtful)).status_code == 303
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
    form = {"item_id": [*ids[:2], 999], "sure": "on", "newest": newest_shown(browser, doubtful)}
    assert browser.post(url, form).status_code == 303
    assert cleared_ids(database) == ids[:2]
    progress = batch_queries.progress(database, doubtful)
    assert progress is not None
    assert progress.outcomes[Outcome.IN_DOUBT] == 3  # until they are repeated
