"""SECRET_KEY with fallbacks: a new key ends no session and no open form while the old one is a fallback."""

from dataclasses import replace

import pytest
from web_client import Browser, Provider, make_app

from database import IMEIDatabase
from settings import Settings


@pytest.mark.parametrize(("fallbacks", "code"), [((), 400), (("first",), 404)])
def test_cookies_and_forms_of_an_earlier_key_stay_valid_while_it_is_a_fallback(
    settings: Settings, database: IMEIDatabase, provider: Provider, fallbacks: tuple[str, ...], code: int
) -> None:
    old = Browser(make_app(replace(settings, secret_key="first"), database, provider))
    cookie, _, value = old.get("/").headers["Set-Cookie"].partition(";")[0].partition("=")
    form = {"csrf_token": old.token(), "mark": "no such service"}
    changed = replace(settings, secret_key="second", secret_key_fallbacks=fallbacks)
    browser = Browser(make_app(changed, database, provider))
    browser.client.set_cookie(cookie, value)
    assert browser.client.post("/favourites", data=form).status_code == code
