"""The page Account: the own password and sessions."""

import re
from dataclasses import replace

import pytest
from flask import Flask
from login_client import PASSWORD, log_in
from web_client import Browser, Provider, make_app, words

from database import IMEIDatabase
from settings import Settings

NEW = "four other words here"


@pytest.fixture(name="app")
def app_fixture(settings: Settings, database: IMEIDatabase, provider: Provider) -> Flask:
    real = replace(settings, api_key="SECRET-KEY", username="someone", admin_password=PASSWORD)
    return make_app(real, database, provider)


def logged_in(app: Flask, password: str = PASSWORD) -> Browser:
    browser = Browser(app)
    assert log_in(browser.client, password).status_code == 303
    return browser


def cookie_of(browser: Browser) -> str:
    cookie = browser.client.get_cookie("hammer_session")
    assert cookie
    return cookie.value


def test_a_new_password_needs_the_current_one_gives_a_new_id_and_ends_the_other_sessions(app: Flask) -> None:
    here, there = logged_in(app), logged_in(app)
    before = cookie_of(here)
    refused = here.led_back(here.post("/account/password", {"current": "wrong", "password": NEW}))
    assert "Your password was not changed. The current password is wrong" in words(refused)
    refused = here.led_back(here.post("/account/password", {"current": PASSWORD, "password": "short"}))
    assert "too short" in words(refused)
    assert cookie_of(here) == before
    done = here.led_back(here.post("/account/password", {"current": PASSWORD, "password": NEW}))
    assert "Your password is changed." in words(done)
    assert cookie_of(here) != before
    assert there.get("/account").status_code == 303
    stolen = Browser(app)
    stolen.client.set_cookie("hammer_session", before)
    assert stolen.get("/account").status_code == 303
    assert log_in(stolen.client).status_code == 401
    logged_in(app, NEW)


def test_sessions_are_listed_with_browser_and_address_and_ended(app: Flask) -> None:
    there, here = logged_in(app), Browser(app)
    here.client.environ_base.update(HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux) Firefox/128.0", REMOTE_ADDR="192.0.2.9")
    log_in(here.client)
    page = here.get("/account")
    assert "Firefox on Linux (this one) 192.0.2.9" in words(page)
    newest, older = re.findall(r'name="session_id" value="(\d+)"', page.text)
    assert "1 session ended." in words(here.led_back(here.post("/account/sessions", {"session_id": older})))
    assert there.get("/account").status_code == 303
    for _ in range(2):
        logged_in(app)
    assert "2 sessions ended." in words(here.led_back(here.post("/account/sessions")))
    assert "0 sessions ended." in words(here.led_back(here.post("/account/sessions", {"session_id": older})))
    for wrong in ("", "x", "-1", str(2**70)):
        assert here.post("/account/sessions", {"session_id": wrong}).status_code == 400
    assert here.post("/account/sessions", {"session_id": newest}).status_code == 303
    assert here.get("/account").location == "/login?next=/account"


def test_the_open_demo_has_no_account(settings: Settings, database: IMEIDatabase) -> None:
    demo = Browser(make_app(settings, database, Provider([])))
    assert "The demo on this machine needs no login" in words(demo.get("/account"))
    assert demo.post("/account/password", {}).status_code == 403
