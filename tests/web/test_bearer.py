"""Bearer tokens: where they count, where cookies count, and how a request without a valid one is refused."""

from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from simulated_provider import imeis
from stored_people import add_token
from web_client import CARRIER, Browser, Provider, make_app

from database import IMEIDatabase
from people import Role, Scope
from settings import Settings
from storage import token_store

AWAY = {"REMOTE_ADDR": "203.0.113.9"}


def bearer(database: IMEIDatabase, role: Role = Role.OPERATOR, *scopes: Scope) -> dict[str, str]:
    """The header of a new token."""
    return {"Authorization": f"Bearer {add_token(database, ' '.join((role, *scopes)), role, frozenset(scopes))}"}


@pytest.fixture
def client(settings: Settings, database: IMEIDatabase, provider: Provider) -> FlaskClient:
    """A program at the app of a real account."""
    real = replace(settings, api_key="K", username="someone", admin_password="hunter2hunter2")
    return make_app(real, database, provider).test_client()


def test_a_token_orders_within_its_daily_limit(client: FlaskClient, database: IMEIDatabase) -> None:
    headers = {"Authorization": f"Bearer {add_token(database, daily_limit=0.1)}"}
    assert order(client, headers) == 200
    form = {"imei": imeis(1, first=9)[0], "service_id": CARRIER.package_id}
    answer = client.post("/submit-stream", data=form, headers=headers)
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "This costs $0.08. Your daily limit is $0.10; $0.08 of it is used."


def order(client: FlaskClient, headers: dict[str, str], **more: str) -> int:
    form = {"imei": imeis(1)[0], "service_id": CARRIER.package_id, **more}
    return client.post("/submit-stream", data=form, headers=headers).status_code


def test_a_token_needs_no_csrf_token_and_its_use_is_recorded(client: FlaskClient, database: IMEIDatabase) -> None:
    answer = client.get("/api/status", headers=bearer(database), environ_overrides=AWAY)
    assert answer.status_code == 200
    assert "running" in answer.get_json()
    assert token_store.listed(database)[0].used_from == AWAY["REMOTE_ADDR"]
    headers = bearer(database, Role.OPERATOR, Scope.ORDER)
    with client.post(
        "/submit-stream", data={"imei": imeis(1)[0], "service_id": CARRIER.package_id}, headers=headers
    ) as streamed:
        assert streamed.status_code == 200
        assert streamed.mimetype == "text/event-stream"


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, 'Bearer realm="hammer-api"'),
        ("Basic YWRtaW46aHVudGVyMmh1bnRlcjI=", 'Bearer realm="hammer-api"'),
        ("Bearer", 'Bearer realm="hammer-api", error="invalid_token"'),
        ("Bearer hmr_wrong", 'Bearer realm="hammer-api", error="invalid_token"'),
        ("bEARER hmr_\xff", 'Bearer realm="hammer-api", error="invalid_token"'),
    ],
)
def test_without_a_valid_token_the_api_answers_401_with_a_challenge(
    client: FlaskClient, header: str | None, challenge: str
) -> None:
    headers = {"Authorization": header} if header else {}
    for path in ("/api/status", "/api/unknown", "/api/v1/batches"):
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, challenge)
        assert answer.is_json
        assert "Set-Cookie" not in answer.headers


def test_a_token_that_may_not_do_this_gets_403(client: FlaskClient, database: IMEIDatabase) -> None:
    reader, exporter = bearer(database, Role.VIEWER), bearer(database, Role.OPERATOR, Scope.EXPORT)
    assert client.get("/api/status", headers=reader).status_code == 200
    refused = client.get("/api/status", headers=exporter)
    assert refused.status_code == 403
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="hammer-api", error="insufficient_scope", scope="read"'
    assert order(client, reader) == order(client, exporter) == 403


def test_a_cookie_opens_nothing_under_api_and_a_token_no_page(
    settings: Settings, database: IMEIDatabase, provider: Provider
) -> None:
    """The demo on loopback needs no login, so each of its requests is as good as one with a cookie."""
    demo = Browser(make_app(settings, database, provider))
    assert demo.get("/api/status").status_code == 200
    assert demo.get("/api/v1/batches").status_code == 401
    assert demo.get("/api/status", headers={"Authorization": "Bearer hmr_wrong"}).status_code == 401
    assert demo.get("/api/status", environ_overrides=AWAY).status_code == 401


def test_a_browser_still_needs_its_csrf_token(app: Flask, client: FlaskClient, database: IMEIDatabase) -> None:
    """A request is judged by its token only where the token is valid: a wrong one does not lift the CSRF check."""
    browser = app.test_client()
    assert order(browser, {}) == 400
    assert order(browser, {"Authorization": "Bearer hmr_wrong"}) == 401
    assert order(browser, {"Authorization": "Basic x"}) == 400
    assert browser.post("/submit", headers=bearer(database)).status_code == 400
    assert client.get("/history", headers=bearer(database, Role.ADMIN)).status_code == 303
