"""Who may call the API, and the headers of its answers."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from api_client import PREFIX, SERVICE, ApiClient, problem
from flask import Flask
from simulated_provider import imeis
from web_client import Browser, answer_chunks

from api.rate_limit import REQUESTS
from database import IMEIDatabase
from people import Role, Scope
from web import access


def api_rules(app: Flask) -> list[tuple[str, str, str]]:
    """Every operation: endpoint, method, and an address."""
    return [
        (rule.endpoint, method, rule.rule.replace("<int:", "<").translate({60: None, 62: None}).replace("_id", ""))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(PREFIX) and rule.endpoint != "api_reference.openapi"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]


def test_without_a_token_every_operation_answers_401_whatever_cookies_come(browser: Browser) -> None:
    """The demo needs no login on its pages, but a token here."""
    browser.get("/")
    for _, method, path in api_rules(browser.client.application):
        answer = browser.client.open(path.replace("batch", "1"), method=method)
        if answer.status_code != 404:  # an address with a word where a number belongs
            problem(answer, 401)
        for challenge in [answer.headers.get("WWW-Authenticate", "Bearer realm")]:
            assert challenge.startswith("Bearer realm")
        assert "Set-Cookie" not in answer.headers


def test_roles_and_scopes_decide(app: Flask, client_of: Callable[[Role], ApiClient]) -> None:
    viewer, operator = client_of(Role.VIEWER), client_of(Role.OPERATOR)
    refused = viewer.post("/batches", {"service_id": SERVICE, "imeis": imeis(1)})
    problem(refused, 403)
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    problem(operator.call("PUT", "/rules", json={}), 403)
    assert viewer.get("/account").json["role"] == "viewer"  # type: ignore[index]
    exports = {"api_exports.create", "api_exports.download", "api_contents.sheet"}
    with app.test_request_context():
        declared = {name: access.permission_of(name) for name, *_ in api_rules(app)}
    assert {name for name, found in declared.items() if found and found.scope is Scope.EXPORT} == exports
    spends = {name for name, found in declared.items() if found and found.action == "batch.confirm"}
    assert spends == {"api_batches.create", "api_checks.create"}
    assert all(found and found.role for found in declared.values())


def test_an_answer_that_a_client_has_is_not_sent_again(api: ApiClient, database: IMEIDatabase) -> None:
    api.batch(imeis(3))
    for path in ("/batches/1", "/orders", "/batches/1/items"):
        first = api.get(path, headers={"Accept-Encoding": "gzip"})
        again = api.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    tag = api.get("/batches/1").headers["ETag"]
    answer_chunks(database)
    changed = api.get("/batches/1", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.headers["ETag"] != tag) == (200, True)


def test_long_answers_are_compressed(api: ApiClient) -> None:
    api.batch(imeis(50))
    answer = api.get("/batches/1/items", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"350000000000006" in gzip.decompress(answer.data)


def test_headers_of_every_answer(api: ApiClient) -> None:
    for path, status in (("/account", 200), ("/nothing", 404)):
        answer = api.get(path)
        assert answer.status_code == status
        assert answer.headers["RateLimit-Limit"] == str(REQUESTS)
        assert int(answer.headers["RateLimit-Remaining"]) < REQUESTS
        assert answer.headers["X-Request-ID"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_other_sites_may_not_call_it(api: ApiClient) -> None:
    asked: Any = api.call("OPTIONS", "/batches", headers={"Origin": "https://evil.example"})
    assert not [name for name, _ in asked.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("path", ["/api/docs", f"{PREFIX}/openapi.json"])
def test_the_document_needs_no_token(browser: Browser, path: str) -> None:
    assert browser.client.get(path, environ_overrides={"REMOTE_ADDR": "198.51.100.7"}).status_code == 200


def test_a_token_that_sends_too_much_waits(
    api: ApiClient, client_of: Callable[[Role], ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.rate_limit.REQUESTS", 3)
    assert [api.get("/account").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = api.post("/batches", {"service_id": SERVICE, "imeis": imeis(1)})
    problem(refused, 429, "rate-limited")
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert client_of(Role.VIEWER).get("/account").status_code == 200
