"""Accounts as the page, the metrics and the API show them: what each may spend and send, and why one does not."""

from dataclasses import replace

import pytest
from sqlalchemy import update
from web_client import Browser

from database import IMEIDatabase
from orders import Balance
from schema import provider_accounts
from settings import ProviderAccount, Settings
from storage import account_mark, account_store
from storage.account_mark import AccountMark
from web.account_lines import AccountLine, lines_of


@pytest.fixture
def settings(settings: Settings) -> Settings:
    second = ProviderAccount("KEY-OF-B", "second", name="b", rate_limit=60, daily_budget=500.0)
    return replace(settings, rate_limit=120, more_accounts=(second,))


def lines(browser: Browser) -> dict[str, AccountLine]:
    return {line.name: line for line in lines_of(browser.client.application.extensions["backend"])}


def set_b(database: IMEIDatabase, **values: object) -> None:
    """Register both accounts and give the second one these columns."""
    account_store.register(database, {"main": "", "b": ""})
    with database.write() as connection:
        connection.execute(update(provider_accounts).where(provider_accounts.c.name == "b").values(**values))


def test_the_only_account_sends_with_what_the_settings_say(browser: Browser) -> None:
    [line] = lines(browser).values()
    assert (line.name, line.address, line.mark, line.limit, line.budget) == ("main", "", "", 120, None)
    assert (line.condition, line.may_retry, line.state) == ("Sends", False, None)


def test_an_account_is_named_by_the_beginning_of_its_mark_and_not_by_its_user(
    browser: Browser, database: IMEIDatabase
) -> None:
    with database.write() as connection:
        mark = AccountMark("live", "https://provider.example/", "0123456789abcdef")
        account_mark.write_mark(connection, mark)
    [line] = lines(browser).values()
    assert (line.address, line.mark) == ("https://provider.example/", "01234567")


@pytest.mark.parametrize(
    ("set_by_admin", "limit", "budget"),
    [
        ({"rate_limit": None, "daily_budget": None}, 60, 500.0),
        ({"rate_limit": 30, "daily_budget": 12.5}, 30, 12.5),
        ({"rate_limit": 0, "daily_budget": 0.0}, None, 0.0),
    ],
)
def test_what_an_admin_sets_comes_before_the_settings(
    browser: Browser, database: IMEIDatabase, set_by_admin: dict[str, float], limit: int | None, budget: float
) -> None:
    """A limit of 0 is no limit; a budget of 0 lets nothing be spent."""
    set_b(database, **set_by_admin)
    found = lines(browser)
    assert (found["b"].limit, found["b"].budget) == (limit, budget)
    assert (found["main"].limit, found["main"].budget) == (120, None)


@pytest.mark.parametrize(
    ("values", "condition", "words", "may_retry"),
    [
        ({"is_off": False}, "Sends", "", False),
        ({"is_off": True}, "Off", "it is switched off", False),
        ({"is_off": True, "absence": "no key"}, "Stopped", "no key", False),
        ({"stop": "Invalid user."}, "Stopped", "Invalid user.", True),
        ({"shortage": "it holds $0.10"}, "Short of money", "it holds $0.10", True),
        ({"is_off": True, "stop": "Invalid user."}, "Off", "it is switched off", True),
    ],
)
def test_an_account_says_in_a_word_and_a_sentence_why_it_does_not_send(
    browser: Browser, database: IMEIDatabase, values: dict[str, object], condition: str, words: str, may_retry: bool
) -> None:
    set_b(database, **values)
    line = lines(browser)["b"]
    assert (line.condition, line.words, line.may_retry) == (condition, words, may_retry)


def test_an_account_that_has_left_the_settings_is_shown_without_limits(
    browser: Browser, database: IMEIDatabase
) -> None:
    account_store.register(database, {"main": "", "gone": ""})
    line = lines(browser)["gone"]
    assert (line.limit, line.budget, line.balance) == (None, None, Balance(None, "", 0.0, trusted=False))
