"""The pages of users: an admin adds, changes and logs out users, within the rules."""

import re
from dataclasses import replace

import pytest
from flask import Flask
from login_client import PASSWORD, log_in
from web_client import Browser, Provider, make_app, words

from access.users import NewUser, add_user, find_named
from database import IMEIDatabase
from people import Role
from settings import Settings
from web.auth import Authenticator

SECRET = "four plain words here"


@pytest.fixture(name="app")
def app_fixture(settings: Settings, database: IMEIDatabase, provider: Provider) -> Flask:
    real = replace(settings, api_key="SECRET-KEY", username="someone", admin_password=PASSWORD)
    return make_app(real, database, provider)


@pytest.fixture
def admin(app: Flask) -> Browser:
    return logged_in(app, "admin", PASSWORD)


def logged_in(app: Flask, name: str, password: str = SECRET) -> Browser:
    browser = Browser(app)
    assert log_in(browser.client, password, name).status_code == 303
    return browser


def add(app: Flask, name: str, role: Role = Role.OPERATOR) -> int:
    found: Authenticator = app.extensions["authenticator"]
    return add_user(found.database, found.passwords, NewUser(name, role, SECRET)).user_id


def test_an_admin_adds_a_user_who_logs_in_with_role_and_limit(app: Flask, admin: Browser) -> None:
    form = {"name": "Anna", "role": "operator", "password": SECRET, "daily_limit": "250"}
    page = admin.led_back(admin.post("/settings/users", form))
    assert "User anna is added." in words(page)
    listed = words(admin.get("/settings/users"))
    assert "anna Operator $250.00 Not set up 0 – Active" in listed
    anna = logged_in(app, "anna")
    assert "logged in as anna, role operator, with a daily limit of $250.00" in words(anna.get("/account"))
    assert anna.get("/settings/users").status_code == 403
    assert "Users" not in words(anna.get("/"))


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"password": "short"}, "too short"),
        ({"role": "owner"}, "Choose a role."),
        ({"daily_limit": "much"}, "is not a number of US dollars"),
        ({"name": "admin"}, "There is a user admin already."),
        ({"name": "<b>"}, "A user name has"),
    ],
)
def test_what_is_not_valid_adds_nobody_and_names_the_reason(
    admin: Browser, form: dict[str, str], sentence: str
) -> None:
    good = {"name": "anna", "role": "viewer", "password": SECRET, "daily_limit": ""}
    assert sentence in words(admin.led_back(admin.post("/settings/users", good | form)))
    assert admin.get("/settings/users/2").status_code == 404


def test_a_refused_form_shows_once_what_was_typed_without_the_password(admin: Browser) -> None:
    form = {"name": "Käthe", "role": "viewer", "password": SECRET, "daily_limit": "99"}
    refused = admin.led_back(admin.post("/settings/users", form)).text
    assert re.search(r'name="name" value="Käthe"', refused)
    assert '<option value="viewer" selected>' in refused
    assert 'value="99"' in refused
    assert SECRET not in refused
    assert "Käthe" not in admin.get("/settings/users").text


@pytest.mark.parametrize(
    ("action", "form"),
    [
        ("", {"role": "viewer"}),
        ("/password", {"password": "four other words here"}),
        ("/disable", {}),
        ("/sessions", {}),
    ],
)
def test_each_of_these_changes_logs_the_user_out_at_once(
    app: Flask, admin: Browser, action: str, form: dict[str, str]
) -> None:
    user_id = add(app, "anna")
    anna = logged_in(app, "anna")
    assert anna.get("/batches").status_code == 200
    assert "Nothing was changed" not in words(admin.led_back(admin.post(f"/settings/users/{user_id}{action}", form)))
    assert anna.get("/batches").location == "/login?next=/batches"
    assert admin.get("/batches").status_code == 200


def test_an_admin_ends_one_session(app: Flask, admin: Browser) -> None:
    user_id = add(app, "anna")
    first, second = logged_in(app, "anna"), logged_in(app, "anna")
    page = admin.get(f"/settings/users/{user_id}").text
    newest = re.findall(r'name="session_id" value="(\d+)"', page)
    assert len(newest) == 2
    admin.post(f"/settings/users/{user_id}/sessions", {"session_id": max(newest, key=int)})
    assert first.get("/account").status_code == 200
    assert second.get("/account").status_code == 303


def test_nobody_takes_away_the_own_access_or_the_last_admin(app: Flask, admin: Browser, database: IMEIDatabase) -> None:
    own = find_named(database, "admin").user_id
    for action, form in (("", {"role": "viewer"}), ("/disable", {}), ("/password", {"password": SECRET})):
        assert "Nothing was changed." in words(admin.led_back(admin.post(f"/settings/users/{own}{action}", form)))
    assert find_named(database, "admin").role is Role.ADMIN
    other = logged_in(app, "berta") if add(app, "berta", Role.ADMIN) else None
    assert other
    assert "saved" in words(other.led_back(other.post(f"/settings/users/{own}", {"role": "viewer"})))


def test_a_disabled_user_is_enabled_again_and_keeps_the_password(app: Flask, admin: Browser) -> None:
    user_id = add(app, "anna")
    admin.post(f"/settings/users/{user_id}/disable")
    assert log_in(Browser(app).client, SECRET, "anna").status_code == 401
    admin.post(f"/settings/users/{user_id}/enable")
    logged_in(app, "anna")
