"""The page of the accounts at the provider: an admin sees each, changes its limits and switches it off and on."""

from dataclasses import replace

import pytest
from handmade_calls import one, planned
from stored_people import act_as, add_user
from web_client import Browser, words

from database import IMEIDatabase
from people import Role
from settings import ProviderAccount, Settings
from storage import account_store, balance_store

PAGE = "/settings/accounts"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    second = ProviderAccount("KEY-OF-B", "second", name="b", rate_limit=60, daily_budget=500.0)
    return replace(settings, more_accounts=(second,))


@pytest.fixture
def two(database: IMEIDatabase) -> None:
    account_store.register(database, {"main": "", "b": ""})
    with database.write() as connection:
        balance_store.record_reading(connection, 7.25, "b")


def test_the_only_account_is_shown_and_nothing_can_be_changed(browser: Browser) -> None:
    page = browser.get(PAGE)
    assert "This is the only account." in words(page)
    assert "Save account" not in page.text


def test_each_account_is_shown_with_what_it_has_and_no_key(browser: Browser, two: None) -> None:
    page = browser.get(PAGE)
    assert "b Sends $7.25" in words(page)
    assert "$500.00 60 0" in words(page)
    assert "KEY-OF-B" not in page.text
    assert "second" not in page.text


def test_an_admin_changes_limit_and_budget_and_the_audit_log_says_so(
    browser: Browser, database: IMEIDatabase, two: None
) -> None:
    listed = browser.led_back(browser.post(f"{PAGE}/b", {"rate_limit": "30", "daily_budget": "$12.50"}))
    assert "Account b is saved." in words(listed)
    assert "$12.50 30 0" in words(listed)
    entry = one(database, "SELECT action, subject, detail FROM audit_entries ORDER BY id DESC LIMIT 1")
    assert entry[:2] == ("provider.change", "provider b")
    assert "30 calls a minute, budget $12.50" in entry[2]
    browser.post(f"{PAGE}/b", {"rate_limit": "", "daily_budget": ""})
    assert "$500.00 60 0" in words(browser.get(PAGE))


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"rate_limit": "2.5"}, "whole number"),
        ({"rate_limit": "many"}, "is not a number"),
        ({"daily_budget": "-1"}, "between 0 and"),
        ({"daily_budget": "nan"}, "between 0 and"),
    ],
)
def test_what_is_no_limit_or_budget_changes_nothing(
    browser: Browser, database: IMEIDatabase, two: None, form: dict[str, str], reason: str
) -> None:
    assert reason in words(browser.led_back(browser.post(f"{PAGE}/b", form)))
    assert one(database, "SELECT rate_limit, daily_budget FROM provider_accounts WHERE name = 'b'") == (None, None)


def test_an_account_is_switched_off_and_on_and_the_page_of_a_batch_says_so(
    browser: Browser, database: IMEIDatabase, two: None
) -> None:
    batch_id, _ = planned(database, 2)
    assert "b Off It is switched off" in words(browser.led_back(browser.post(f"{PAGE}/b/off")))
    with database.write() as connection:
        account_store.update_pauses(connection)
    notice = "Account b sends nothing: it is switched off. The other accounts go on."
    assert notice in words(browser.get(f"/batches/{batch_id}"))
    assert "b Sends" in words(browser.led_back(browser.post(f"{PAGE}/b/on")))
    with database.write() as connection:
        account_store.update_pauses(connection)
    assert notice not in words(browser.get(f"/batches/{batch_id}"))


def test_an_account_that_a_refusal_has_stopped_tries_again(browser: Browser, database: IMEIDatabase, two: None) -> None:
    with database.write() as connection:
        account_store.stop(connection, "b", "The provider refused: Invalid user.")
    assert "b Stopped The provider refused: Invalid user." in words(browser.get(PAGE))
    status = words(browser.get("/status"))
    assert "Account b sends nothing: The provider refused: Invalid user. See Settings, Accounts." in status
    assert "Last audit of account b none yet" in status
    assert "b Sends" in words(browser.led_back(browser.post(f"{PAGE}/b/retry")))


def test_an_unknown_account_is_not_found_and_an_operator_sees_none(
    browser: Browser, database: IMEIDatabase, two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert browser.post(f"{PAGE}/c/off").status_code == 404
    act_as(monkeypatch, add_user(database, "olga", Role.OPERATOR))
    assert browser.get(PAGE).status_code == 403
    assert browser.post(f"{PAGE}/b/off").status_code == 403
