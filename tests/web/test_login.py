"""The pages for logging in and out."""

from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from local_provider import LocalProvider
from login_client import PASSWORD, expired_page_token, log_in, make_app

import web_app
from account.answerer import Questions
from database import IMEIDatabase
from orders import Account
from settings import Settings
from web.auth import safe_next


@pytest.fixture
def real(settings: Settings) -> Settings:
    return replace(settings, api_key="AAAA", username="someone", admin_password=PASSWORD)


@pytest.fixture
def app(real: Settings, database: IMEIDatabase) -> Flask:
    return make_app(real, database)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def test_the_right_password_opens_every_page_and_leads_back_to_the_one_that_was_asked(client: FlaskClient) -> None:
    answer = log_in(client, next="/history?q=1")
    assert (answer.status_code, answer.location) == (303, "/history?q=1")
    assert client.get("/history").text == "the history"
    assert client.get("/status.json").json == {"ok": True}
    assert client.get("/login").location == "/"


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("admin", "wrong"),
        ("admin", ""),
        ("root", PASSWORD),
        ("", PASSWORD),
        ("ädmin", "pässword"),
        ("admin", "x" * 5000),
    ],
)
def test_anything_else_is_turned_away_with_one_sentence_for_all(client: FlaskClient, user: str, password: str) -> None:
    answer = log_in(client, password, user)
    assert answer.status_code == 401
    assert "The user name, the password or the code is wrong." in answer.text
    assert client.get("/").status_code == 303


@pytest.fixture
def whole_app(real: Settings, database: IMEIDatabase) -> Flask:
    questions = Questions(services=list, account=lambda: Account(None, ""))
    return web_app.create_app(real, database, LocalProvider(database, questions))


def test_the_login_pages_use_the_layout_of_the_app(whole_app: Flask, settings: Settings) -> None:
    client = whole_app.test_client()
    for text in (client.get("/login").text, log_in(client, "wrong").text):
        assert "<html lang=" in text
        assert 'name="password"' in text
    empty = replace(settings, api_key="k", username="u", data_dir=settings.data_dir / "empty")
    locked = web_app.create_app(empty).test_client().get("/")
    assert (locked.status_code, "<html lang=" in locked.text) == (503, True)


def test_logging_out_is_a_post_and_ends_the_session(client: FlaskClient) -> None:
    log_in(client)
    assert client.get("/logout").status_code == 405
    assert client.get_cookie("hammer_session")
    assert client.post("/logout").status_code == 400
    assert client.post("/logout", data={"csrf_token": expired_page_token(client)}).location == "/login"
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil",
        "",
        "batch",
        "/login?next=/",
    ],
)
def test_a_login_leads_only_to_pages_of_this_site(target: str) -> None:
    assert safe_next(target) == "/"


def test_a_login_leads_to_the_page_with_its_filters() -> None:
    assert safe_next("/history?q=3537&status=Pending") == "/history?q=3537&status=Pending"


def test_the_login_form_needs_a_token_too(client: FlaskClient) -> None:
    assert client.post("/login", data={"username": "admin", "password": PASSWORD}).status_code == 400
    assert client.get("/").status_code == 303
