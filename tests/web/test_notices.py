"""The pages of notifications: webhooks with a secret that is shown once, messages to people, deliveries."""

import re
import socket
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from handmade_calls import one
from scripted_server import ScriptedServer, reply
from sqlalchemy import update
from standardwebhooks import Webhook
from web_client import Browser, Provider, make_app, words
from webhook_receivers import Receivers, receivers_fixture
from werkzeug.test import TestResponse

from database import IMEIDatabase, utc_now
from notices.posting import ReceiverAnswer
from schema import webhooks
from settings import Settings
from storage import outbox, webhook_store
from storage.outbox import EventKind
from web import notices

__all__ = ["receivers_fixture"]

PAGE = "/settings/notifications"
KINDS = [EventKind.BATCH_COMPLETE.value, EventKind.BALANCE_LOW.value]
FORM = {"url": "https://hooks.example/in?key=query-secret", "description": "Shop", "events": KINDS}
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{44}")


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A name server: host → address."""
    known = {"hooks.example": "93.184.215.14", "other.example": "93.184.215.15", "inside.example": "10.0.0.7"}

    def look_up(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (known[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def secret_of(page: TestResponse) -> str:
    found = SECRET.search(page.text)
    assert found
    return found[0]


def test_a_webhook_is_added_with_a_secret_that_is_shown_once(
    browser: Browser, database: IMEIDatabase, receivers: Receivers
) -> None:
    added = browser.post(f"{PAGE}/webhooks", FORM)
    secret = secret_of(added)
    assert "It is shown only once." in words(added)
    for path in (PAGE, f"{PAGE}/webhooks/1", f"{PAGE}/deliveries"):
        assert "whsec_" not in browser.get(path).text
    listed = browser.get(PAGE)
    assert "https://hooks.example/in Shop balance.low, batch.complete Active – 0" in words(listed)
    assert "query-secret" not in listed.text
    browser.post(f"{PAGE}/webhooks/1/test")
    receivers.turn(timedelta(seconds=1))
    [(_, body, headers)] = receivers.heard
    assert Webhook(secret).verify(body, headers)["type"] == "test"
    assert "test" in words(browser.get(f"{PAGE}/deliveries"))
    assert "Delivered 1 – 200 ok" in words(browser.get(f"{PAGE}/webhooks/1"))


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"url": "http://hooks.example/"}, "The URL must begin with https://."),
        ({"url": "https://inside.example/"}, "has the address 10.0.0.7, which is not public."),
        ({"url": "https://nowhere.example/"}, "The host nowhere.example was not found."),
        ({"url": "https://user:pass@hooks.example/"}, "must not contain a user name"),
        ({"url": "https://2130706433/"}, "The host must be a name such as example.com"),
        ({"events": ["test", "batch.lost"]}, "Choose one event or more."),
        ({"events": []}, "Choose one event or more."),
    ],
)
def test_what_cannot_be_a_webhook_is_refused_with_a_sentence(
    browser: Browser, database: IMEIDatabase, form: dict[str, Any], sentence: str
) -> None:
    refused = browser.led_back(browser.post(f"{PAGE}/webhooks", FORM | form))
    assert "The webhook was not added: " in words(refused)
    assert sentence in words(refused)
    browser.post(f"{PAGE}/webhooks", FORM)
    refused = browser.led_back(browser.post(f"{PAGE}/webhooks/1", FORM | form))
    assert sentence in words(refused)
    [stored] = webhook_store.all_webhooks(database)
    assert (stored.url, [*stored.events]) == (FORM["url"], sorted(KINDS))


def test_a_webhook_of_an_allowed_network_may_be_added(
    settings: Settings, database: IMEIDatabase, provider: Provider
) -> None:
    app = make_app(replace(settings, webhook_allow=(ip_network("10.0.0.0/8"),)), database, provider)
    assert secret_of(Browser(app).post(f"{PAGE}/webhooks", FORM | {"url": "http://inside.example:81/in"}))
    app.extensions["stopping"].set()


def test_there_are_not_too_many_webhooks(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_store, "MOST_WEBHOOKS", 1)
    browser.post(f"{PAGE}/webhooks", FORM)
    refused = browser.led_back(browser.post(f"{PAGE}/webhooks", FORM))
    assert "webhooks already. Delete one that is not used." in words(refused)


def test_a_webhook_is_changed_disabled_enabled_and_deleted(
    browser: Browser, database: IMEIDatabase, receivers: Receivers
) -> None:
    browser.post(f"{PAGE}/webhooks", FORM)
    here = f"{PAGE}/webhooks/1"
    changed = {"url": "https://other.example/", "description": " <b>New</b>\n", "events": ["order.completed"]}
    assert "The webhook is saved." in words(browser.led_back(browser.post(here, changed)))
    assert "<b>New</b>" not in browser.get(here).text
    [stored] = webhook_store.all_webhooks(database)
    assert (stored.url, stored.events) == ("https://other.example/", (EventKind.ORDER_COMPLETED,))
    browser.post(f"{here}/test")
    page = words(browser.led_back(browser.post(f"{here}/disable")))
    assert "Disabled" in page
    assert "Failed 0 – The webhook was disabled by a person. Send again" in page
    assert "not sent: the webhook is disabled" in words(browser.led_back(browser.post(f"{here}/test")))
    receivers.turn()
    assert receivers.heard == []
    assert "Active" in words(browser.led_back(browser.post(f"{here}/enable")))
    assert "Webhook 1 is deleted." in words(browser.led_back(browser.post(f"{here}/delete")))
    for path in ("", "/test", "/disable", "/enable", "/rotate", "/delete"):
        assert browser.post(f"{here}{path}", changed).status_code == 404
    assert browser.get(here).status_code == 404


def test_a_rotated_secret_is_shown_once_and_the_old_one_signs_for_a_day(
    browser: Browser, database: IMEIDatabase, receivers: Receivers
) -> None:
    old = secret_of(browser.post(f"{PAGE}/webhooks", FORM))
    new = secret_of(browser.post(f"{PAGE}/webhooks/1/rotate"))
    assert "The old secret also signs until" in words(browser.get(f"{PAGE}/webhooks/1"))
    for expected in ((new, old), (new,)):
        browser.post(f"{PAGE}/webhooks/1/test")
        receivers.turn(timedelta(seconds=1))
        _, body, headers = receivers.heard[-1]
        name, signatures = headers["webhook-id"], headers["webhook-signature"].split(" ")
        assert signatures == [Webhook(key).sign(name, receivers.now, body) for key in expected]
        with database.write() as connection:
            connection.execute(update(webhooks).values(old_secret_until=utc_now() - timedelta(seconds=1)))
    assert "The old secret" not in words(browser.get(f"{PAGE}/webhooks/1"))


def test_a_webhook_without_a_secret_is_enabled_after_a_rotation(browser: Browser, database: IMEIDatabase) -> None:
    browser.post(f"{PAGE}/webhooks", FORM)
    with database.write() as connection:  # what a backup holds
        connection.execute(update(webhooks).values(secret="", disabled_at=utc_now()))
    here = f"{PAGE}/webhooks/1"
    assert "There is no secret" in words(browser.get(here))
    assert "Rotate its secret first." in words(browser.led_back(browser.post(f"{here}/enable")))
    secret_of(browser.post(f"{here}/rotate"))
    assert "Active" in words(browser.led_back(browser.post(f"{here}/enable")))
    with database.read() as connection:
        assert len(webhook_store.signing_secrets(connection, 1, utc_now())) == 1


def test_deliveries_are_filtered_paged_and_sent_again(
    browser: Browser, database: IMEIDatabase, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "PAGE", 2)
    receivers.answers["hooks.example"] = lambda: ReceiverAnswer(410, "<i>gone</i>")
    browser.post(f"{PAGE}/webhooks", FORM)
    receivers.subscribe("other.example", EventKind.BALANCE_LOW)
    with database.write() as connection:
        for _ in range(2):
            outbox.add(connection, EventKind.BALANCE_LOW, {"balance": "3.50", "limit": "50.00"})
    receivers.turn(timedelta(seconds=1))
    first = browser.get(f"{PAGE}/deliveries")
    assert first.text.count("<tr>") == 3
    assert 'rel="next"' in first.text
    assert browser.get(f"{PAGE}/deliveries?before=3").text.count("<tr>") == 3
    failed = browser.get(f"{PAGE}/deliveries?state=failed&webhook=1")
    assert failed.text.count("<tr>") == 3
    assert "&lt;i&gt;gone" in failed.text or "was disabled" in failed.text
    assert "gone</i>" not in failed.text
    assert "No delivery matches this filter" in words(browser.get(f"{PAGE}/deliveries?state=waiting"))
    people = words(browser.get(f"{PAGE}/deliveries?webhook=0"))
    assert "An address that was removed Delivered" in people
    refused = browser.led_back(browser.post(f"{PAGE}/deliveries/1/again"))
    assert "its webhook is disabled or deleted" in words(refused)
    browser.post(f"{PAGE}/webhooks/1/enable")
    receivers.answers.clear()
    assert "It is being sent again." in words(browser.led_back(browser.post(f"{PAGE}/deliveries/1/again")))
    receivers.turn(timedelta(seconds=1))
    assert one(database, "SELECT state FROM deliveries WHERE id = 1") == "delivered"
    assert len({headers["webhook-id"] for host, _, headers in receivers.heard if host == "hooks.example"}) == 1


@pytest.mark.parametrize("query", ["state=lost", "webhook=99999999999999999999", "before=-1", "webhook=x"])
def test_a_filter_that_cannot_be_read_is_an_error(browser: Browser, query: str) -> None:
    assert browser.get(f"{PAGE}/deliveries?{query}").status_code == 400


def test_a_test_message_says_what_became_of_it_for_each_address(
    settings: Settings, database: IMEIDatabase, provider: Provider
) -> None:
    with ScriptedServer(reply("ok"), reply("no", "401 Unauthorized")) as server:
        urls = tuple(f"json://user:pass-secret@127.0.0.1:{server.port}/{place}-path-secret" for place in "ab")
        app = make_app(replace(settings, notify_urls=urls, low_balance=50.0), database, provider)
        browser = Browser(app)
        page = browser.led_back(browser.post(f"{PAGE}/test"))
    assert "json://… (address 1): The test message was sent." in words(page)
    assert "json://… (address 2): Not sent." in words(page)
    assert "and when the balance is below $50.00" in words(page)
    assert not any(part in page.text for part in ("pass-secret", "path-secret", "127.0.0.1"))
    app.extensions["stopping"].set()


def test_without_addresses_the_page_says_how_to_set_them(browser: Browser) -> None:
    page = words(browser.get(PAGE))
    assert "Nobody gets messages. Set NOTIFY_URLS" in page
    assert "Send test message" not in page
