"""A second factor is set up before anything else, and asked for again before what is sensitive."""

import re
from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
from flask import Flask
from login_client import PASSWORD, code_of, log_in
from sqlalchemy import update
from web_client import Browser, Provider, make_app, words

from access.sessions import PROOF_LASTS
from access.users import NewUser, add_user
from database import IMEIDatabase, utc_now
from people import Role
from schema import sessions
from settings import Settings
from web.auth import Authenticator

SECRET = "four plain words here"
FAR_AWAY = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture
def real(settings: Settings) -> Settings:
    return replace(settings, api_key="SECRET-KEY", username="someone", admin_password=PASSWORD)


@pytest.fixture(name="app")
def app_fixture(real: Settings, database: IMEIDatabase, provider: Provider) -> Flask:
    return make_app(real, database, provider)


def enter(app: Flask, name: str = "admin", password: str = PASSWORD) -> Browser:
    """Log in with a password only."""
    browser = Browser(app)
    browser.client.environ_base.update(FAR_AWAY)
    form = {"username": name, "password": password, "csrf_token": login_token(browser)}
    assert browser.client.post("/login", data=form).status_code == 303
    return browser


def login_token(browser: Browser) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/login").text)
    assert found
    return found[1]


def add(app: Flask, name: str, role: Role) -> None:
    found: Authenticator = app.extensions["authenticator"]
    add_user(found.database, found.passwords, NewUser(name, role, SECRET))


def recorded(database: IMEIDatabase, action: str) -> list[str]:
    """Return the subjects of an action in the audit log."""
    with database.read() as connection:
        query = "SELECT subject FROM audit_entries WHERE action = ? ORDER BY id"
        return list(connection.exec_driver_sql(query, (action,)).scalars())


def forget_proof(database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.execute(update(sessions).values(proved_at=utc_now() - PROOF_LASTS - timedelta(seconds=1)))


def test_with_real_credentials_an_operator_sees_only_the_set_up_page_until_it_is_done(app: Flask) -> None:
    add(app, "anna", Role.OPERATOR)
    anna = enter(app, "anna", SECRET)
    for path in ("/", "/batches", "/account"):
        assert anna.get(path).location == "/account/second-factor"
    assert anna.post("/batch", {"imeis": "353370080089458"}).location == "/account/second-factor"
    assert anna.get("/status.json").status_code == 403
    page = anna.get("/account/second-factor")
    secret = re.search(r'name="secret" value="([A-Z2-7]{32})"', page.text)
    assert secret
    assert f"otpauth://totp/HAMMER:anna?secret={secret[1]}" in page.text
    refused = anna.post("/account/second-factor", {"secret": secret[1], "code": "000000"})
    assert (refused.status_code, "The code is wrong." in words(refused)) == (400, True)
    assert secret[1] in refused.text
    forged = anna.post("/account/second-factor", {"secret": "A", "code": "000000"})
    assert (forged.status_code, "The key of the form is not valid." in words(forged)) == (400, True)
    done = anna.post("/account/second-factor", {"secret": secret[1], "code": pyotp.TOTP(secret[1]).now()})
    codes = re.findall(r"\b(?:[a-z2-7]{4}-){5}[a-z2-7]{4}\b", done.text)
    assert len(codes) == 10
    assert anna.get("/batches").status_code == 200
    assert "10 recovery codes left" in words(anna.get("/account"))
    again = Browser(app)
    form = {"username": "anna", "password": SECRET, "csrf_token": login_token(again)}
    assert again.client.post("/login", data=form).status_code == 401
    assert again.client.post("/login", data={**form, "code": codes[0]}).status_code == 303
    assert "9 recovery codes left" in words(again.get("/account"))


def test_a_viewer_and_the_demo_need_no_second_factor_and_may_set_one_up(
    app: Flask, settings: Settings, database: IMEIDatabase
) -> None:
    add(app, "vera", Role.VIEWER)
    vera = enter(app, "vera", SECRET)
    assert vera.get("/batches").status_code == 200
    assert vera.get("/account/second-factor").status_code == 200
    demo = enter(make_app(settings, database, Provider([])), "admin")
    assert demo.get("/batches").status_code == 200
    assert demo.get("/account/second-factor").status_code == 200


def test_what_is_sensitive_asks_again_after_ten_minutes_and_leads_back_to_the_form(
    app: Flask, database: IMEIDatabase
) -> None:
    admin = Browser(app)
    log_in(admin.client)
    form = {"name": "berta", "role": "viewer", "password": SECRET}
    forget_proof(database)
    referrer = {"Referer": "http://localhost/settings/users?from=here"}
    asked = admin.post("/settings/users", form, headers=referrer)
    assert asked.location == "/account/prove?next=/settings/users?from%3Dhere&unsent=1"
    assert recorded(database, "user.add") == []
    assert "Nothing has been changed yet." in words(admin.get(asked.location))
    before = admin.client.get_cookie("hammer_session")
    fields = {"next": "/settings/users?from=here", "unsent": "1", "password": PASSWORD}
    for wrong in ({"code": "000000"}, {"code": ""}, {"password": "wrong", "code": code_of(app, "admin")}):
        assert admin.post("/account/prove", fields | wrong).status_code == 403
    proved = admin.post("/account/prove", fields | {"code": code_of(app, "admin")})
    assert proved.location == "/settings/users?from=here"
    led_back = admin.get(proved.location)
    assert "Nothing has been changed yet: send the form again." in words(led_back)
    assert 'name="name" value="berta"' in led_back.text
    assert SECRET not in led_back.text
    after = admin.client.get_cookie("hammer_session")
    assert before and after
    assert before.value != after.value
    assert "User berta is added." in words(admin.led_back(admin.post("/settings/users", form)))
    assert recorded(database, "user.add") == ["user berta"]
    assert recorded(database, "account.prove.refused") == ["user admin"] * 3


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/settings/users/1", {"role": "viewer"}),
        ("/settings/users/1/password", {"password": SECRET}),
        ("/settings/users/1/disable", {}),
        ("/settings/users/1/enable", {}),
        ("/settings/users/1/second-factor", {}),
        ("/batches/1/doubt/not-placed", {"all": "1"}),
        ("/account/recovery-codes", {}),
    ],
)
def test_these_requests_ask_again(app: Flask, database: IMEIDatabase, path: str, form: dict[str, str]) -> None:
    admin = Browser(app)
    log_in(admin.client)
    forget_proof(database)
    assert admin.post(path, form).location == "/account/prove?next=/&unsent=1"
    assert admin.post(path, form, headers={"Sec-Fetch-Mode": "cors"}).status_code == 403
    assert admin.get("/account/second-factor").location == "/account/prove?next=/account/second-factor"


def test_the_open_demo_asks_for_nothing(settings: Settings, database: IMEIDatabase) -> None:
    demo = Browser(make_app(settings, database, Provider([])))
    answer = demo.post("/settings/users", {"name": "berta", "role": "viewer", "password": SECRET})
    assert answer.location == "/settings/users/1"
    assert demo.get("/account/prove").status_code == 403


def test_an_admin_resets_a_lost_factor_of_another_user_only(app: Flask) -> None:
    add(app, "anna", Role.OPERATOR)
    anna, admin = Browser(app), Browser(app)
    log_in(anna.client, SECRET, "anna")
    log_in(admin.client)
    assert anna.get("/batches").status_code == 200
    assert "Nothing was changed." in words(admin.led_back(admin.post("/settings/users/1/second-factor")))
    assert "at the next login" in words(admin.led_back(admin.post("/settings/users/2/second-factor")))
    assert anna.get("/batches").status_code == 303
    assert enter(app, "anna", SECRET).get("/batches").location == "/account/second-factor"
