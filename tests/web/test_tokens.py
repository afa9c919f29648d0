"""The page of tokens: an admin creates and revokes them; a token is shown once."""

import re

import pytest
from stored_people import act_as, add_token, add_user
from web_client import Browser, words
from werkzeug.test import TestResponse

from access import actor_of
from database import IMEIDatabase
from people import Actor, Role, Scope
from storage import token_store
from web.access import permission_of

FORM = {"name": "stock-sync", "role": "operator", "scope": ["read", "order"], "daily_limit": "50", "days": "90"}


def shown(answer: TestResponse) -> str:
    """The token that a page shows; "" where it shows none."""
    found = re.search(r"hmr_[\w-]{43}", answer.text)
    return found[0] if found else ""


def test_a_token_is_shown_once_and_works(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = add_user(database, "anna", Role.ADMIN, daily_limit=80.0)
    act_as(monkeypatch, anna)
    answer = browser.post("/settings/tokens", FORM)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    token = shown(answer)
    scopes = frozenset({Scope.READ, Scope.ORDER})
    assert actor_of(database, token, "203.0.113.9") == Actor(
        "token stock-sync", Role.OPERATOR, anna.user_id, 1, 80.0, 50.0, scopes
    )
    page = browser.get("/settings/tokens")
    assert shown(page) == ""
    row = rf"stock-sync hmr_…{token[-4:]} Operator read, order \$50\.00 .* by anna .* from 203\.0\.113\.9 .* Active"
    assert re.search(row, words(page))
    with browser.client.session_transaction() as stored:
        assert token not in str(dict(stored))


def test_a_revoked_token_is_refused_and_stays_listed(browser: Browser, database: IMEIDatabase) -> None:
    token = add_token(database)
    listed = browser.led_back(browser.post("/settings/tokens/1/revoke"))
    assert "Token stock-sync is revoked." in words(listed)
    assert "Never Never Revoked" in words(listed)
    assert "/settings/tokens/1/revoke" not in listed.text
    headers = {"Authorization": f"Bearer {token}"}
    assert browser.get("/api/status", headers=headers).status_code == 401
    assert browser.post("/settings/tokens/9/revoke").status_code == 404


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"name": " "}, "Give the token a name"),
        ({"role": "owner"}, "Choose a role."),
        ({"role": "viewer"}, "The role viewer does not include the scope order."),
        ({"scope": "everything"}, "A scope is one of"),
        ({"daily_limit": "much"}, "is not a number of US dollars"),
        ({"days": "0"}, "1 to 3650 days"),
    ],
)
def test_what_is_not_valid_creates_nothing_and_names_the_reason(
    browser: Browser, database: IMEIDatabase, form: dict[str, str], sentence: str
) -> None:
    assert sentence in words(browser.led_back(browser.post("/settings/tokens", FORM | form)))
    assert token_store.listed(database) == []


def test_a_change_of_tokens_asks_for_a_recent_proof(browser: Browser) -> None:
    with browser.client.application.app_context():
        declared = [permission_of(f"tokens.{view}") for view in ("create", "revoke")]
    assert [permission and permission.prove for permission in declared] == [True, True]


def test_only_an_admin_sees_and_changes_tokens(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    act_as(monkeypatch, Actor("anna", Role.OPERATOR))
    refused = (browser.get("/settings/tokens"), browser.post("/settings/tokens", FORM))
    assert [answer.status_code for answer in refused] == [403, 403]
    assert token_store.listed(database) == []
