"""Each route declares the role that it needs, and a route without a declaration is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from login_client import PASSWORD, log_in
from web_client import Browser, Provider, make_app

from access.users import NewUser, add_user
from database import IMEIDatabase
from people import Role
from settings import Settings
from web.access import ATTRIBUTE, Permission
from web.auth import Authenticator


def test_each_route_declares_its_role(browser: Browser) -> None:
    app = browser.client.application
    views = {rule.endpoint: app.view_functions[rule.endpoint] for rule in app.url_map.iter_rules()}
    undeclared = {name for name, view in views.items() if not isinstance(getattr(view, ATTRIBUTE, None), Permission)}
    assert undeclared == {"static"}


def test_a_route_without_a_declaration_is_refused(browser: Browser) -> None:
    app = browser.client.application
    app._got_first_request = False  # Flask adds no route after the first request
    app.add_url_rule("/forgotten", "forgotten", lambda: "a secret")
    assert browser.get("/forgotten").status_code == 403


@pytest.mark.parametrize("path", ["/nothing-here", "/batches/999999999"])
def test_an_unknown_page_is_not_found(browser: Browser, path: Path) -> None:
    assert browser.get(str(path)).status_code == 404


@pytest.fixture
def guarded(settings: Settings, database: IMEIDatabase, provider: Provider) -> Flask:
    """The app with real credentials and a user of each role, named after it."""
    real = replace(settings, api_key="SECRET-KEY", username="someone")
    app = make_app(real, database, provider)
    found: Authenticator = app.extensions["authenticator"]
    for role in Role:
        add_user(database, found.passwords, NewUser(f"the-{role}", role, PASSWORD))
    return app


def declared(app: Flask) -> Iterator[tuple[str, str, Permission]]:
    """Every method and path of the app, with what its view declares; variables are 1."""
    adapter = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            if rule.endpoint != "static":
                path = adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, 1), method=method)
                yield method, path, getattr(app.view_functions[rule.endpoint], ATTRIBUTE)


def test_each_route_refuses_every_lower_role_and_no_other(guarded: Flask) -> None:
    """A form without a CSRF token is refused with 400 after the role was accepted, so that nothing is changed."""
    clients: dict[Role | None, FlaskClient] = {None: guarded.test_client()}
    for role in Role:
        clients[role] = guarded.test_client()
        assert log_in(clients[role], user=f"the-{role}").status_code == 303
    wrong = [
        (role, method, path, answer.status_code)
        for method, path, permission in declared(guarded)
        for role, client in clients.items()
        if not is_right((answer := client.open(path, method=method)).status_code, method, path, role, permission)
    ]
    assert wrong == []


def is_right(status: int, method: str, path: str, role: Role | None, permission: Permission) -> bool:
    """Return whether this is how a route answers a role; None: without a login."""
    if permission.role is None:
        return status not in (401, 403)
    if path.startswith("/api/"):
        return status == 401  # a cookie counts for nothing there
    if role is None:
        return status in (303, 401)
    if not role.includes(permission.role):
        return status == 403
    return status == 400 if method != "GET" else status not in (401, 403)
