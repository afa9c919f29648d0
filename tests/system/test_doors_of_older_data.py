"""Every way to order, with a database that is older than what was paid: none creates a batch, and all say why."""

from collections.abc import Callable

import pytest
from api_client import SERVICE, ApiClient
from batch_checks import new_batch, rows
from simulated_provider import imeis
from web_client import Browser, words

from database import IMEIDatabase
from settings import Settings
from submission.checkpoints import Checkpoints
from submission.older_copy import RESTORED, stop_restored

ONE = imeis(1)[0]


def from_a_list(browser: Browser, _: ApiClient) -> str:
    preview = browser.paste(imeis(2))
    return words(browser.led_back(browser.post(preview, {"confirm_token": "x"}))) + words(browser.get(preview))


def from_the_scanner(browser: Browser, _: ApiClient) -> str:
    return words(browser.led_back(browser.post("/scan", {"imei": ONE, "service_id": SERVICE})))


def from_a_scanned_card(browser: Browser, _: ApiClient) -> str:
    return browser.post("/scan/check.json", {"imei": ONE, "service_id": SERVICE, "session": "desk"}).text


def from_the_form(browser: Browser, _: ApiClient) -> str:
    answer = browser.post("/submit", {"imeis": ONE, "service_id": SERVICE, "recheck": "1", "price": "0.08"})
    return words(browser.led_back(answer)) if answer.status_code == 303 else words(answer)


def from_a_program(_: Browser, api: ApiClient) -> str:
    answer = api.post("/batches", {"service_id": SERVICE, "imeis": [ONE]}, headers={"Idempotency-Key": "of-before"})
    assert answer.status_code >= 400
    return answer.text


def from_a_paused_batch(browser: Browser, _: ApiClient) -> str:
    return words(browser.led_back(browser.post("/batches/1/resume", {"price": "0.08"})))


DOORS = (from_a_list, from_the_scanner, from_a_scanned_card, from_the_form, from_a_program, from_a_paused_batch)


@pytest.mark.parametrize("door", DOORS)
def test_nothing_is_ordered_with_older_data(
    browser: Browser,
    api: ApiClient,
    settings: Settings,
    database: IMEIDatabase,
    door: Callable[[Browser, ApiClient], str],
) -> None:
    new_batch(database, 2, 2, first=500)
    stop_restored(database, Checkpoints(settings.data_dir / "checkpoints"))
    assert RESTORED.partition(",")[0] in door(browser, api)
    assert rows(database, "SELECT id, state FROM batches") == [(1, "paused")]
