"""The state of the app: what runs, who holds the lease, and what to mend."""

from dataclasses import replace

import pytest
from login_client import log_in
from simulated_provider import imeis
from web_client import Browser, Provider, make_app, order_batch, words

from database import IMEIDatabase
from settings import Settings
from storage import lease
from storage.batch_creation import NewBatch, create_batch
from web import checks as web_checks


def test_the_status_page_says_what_to_mend(browser: Browser, database: IMEIDatabase, provider: Provider) -> None:
    """No runner, no backup, a provider that fails: each with what mends it; a backup takes its sentence away."""
    order_batch(database, imeis(3))
    provider.down = True
    browser.get("/services")
    text = words(browser.get("/status"))
    assert "No process sends batches or fetches results. Start the app" in text
    assert "The last call to the provider failed. The provider is in maintenance." in text
    assert "There is no backup. Download one" in text
    browser.post("/database/backup")
    assert "There is no backup" not in words(browser.get("/status"))


def test_the_status_page_names_the_process_that_holds_the_lease(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Runner absent Result sync" in words(browser.get("/status"))
    with database.write() as connection:
        lease.take(connection, "process 122 on old-host", "there#1")
        lease.take(connection, "process 123 on host", "there#2")
        connection.exec_driver_sql("UPDATE leases SET taken_at = '2026-11-25 10:05:00'")
    assert "Runner absent last: process 123 on host, started 25 Nov 2026 10:05 UTC" in words(browser.get("/status"))
    monkeypatch.setattr(web_checks, "leader_alive", lambda *_: True)
    assert "Runner alive process 123 on host, since 25 Nov 2026 10:05 UTC" in words(browser.get("/status"))


def test_the_status_bar_holds_no_secrets(settings: Settings, database: IMEIDatabase, provider: Provider) -> None:
    real = replace(settings, api_key="SECRET-KEY", username="someone", admin_password="hunter2hunter2")
    browser = Browser(make_app(real, database, provider))
    assert browser.get("/status.json").status_code == 401
    assert browser.get("/health").status_code == 200
    for answer in (browser.get("/health"), browser.get("/status.json")):
        assert "SECRET-KEY" not in answer.text
        assert "hunter2" not in answer.text


def test_the_status_bar_tells_what_runs(browser: Browser, database: IMEIDatabase) -> None:
    create_batch(database, NewBatch("a.csv", "upload", "269", "T-Mobile", 0.1, [(imeis(1)[0], 1)]))
    status = browser.get("/status.json").get_json()
    assert status["waiting"] == 1
    assert [batch["label"] for batch in status["running"]] == ["a.csv"]


def test_a_short_password_of_the_environment_is_named_until_it_is_changed(
    settings: Settings, database: IMEIDatabase, provider: Provider
) -> None:
    real = replace(settings, api_key="SECRET-KEY", username="someone", admin_password="horse staple")
    browser = Browser(make_app(real, database, provider))
    log_in(browser.client, "horse staple")
    assert "ADMIN_PASSWORD is short: new passwords need 15 characters." in words(browser.get("/status"))
    browser.post("/account/password", {"current": "horse staple", "password": "four plain words here"})
    assert "ADMIN_PASSWORD is short" not in words(browser.get("/status"))


def test_without_a_user_the_environment_is_incomplete(
    settings: Settings, database: IMEIDatabase, provider: Provider
) -> None:
    real = replace(settings, api_key="SECRET-KEY", username="someone")
    client = make_app(real, database, provider).test_client()
    assert (client.get("/health").json or {})["checks"]["environment"] == {"status": "incomplete"}


@pytest.mark.parametrize("real", [True, False])
def test_a_server_that_may_lose_paid_calls_needs_action(
    settings: Settings, database: IMEIDatabase, provider: Provider, monkeypatch: pytest.MonkeyPatch, real: bool
) -> None:
    monkeypatch.setattr(type(database.engines), "risk", "The database server has fsync set to off.", raising=True)
    known = replace(settings, api_key="SECRET-KEY", username="someone", admin_password="horse staple")
    browser = Browser(make_app(known if real else settings, database, provider))
    if real:
        log_in(browser.client, "horse staple")
    assert ("has fsync set to off" in words(browser.get("/status"))) is real
