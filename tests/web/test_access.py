"""Each route declares the role that it needs, and a route without a declaration is refused."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from doubtful_call import in_doubt, stored_services
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


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_pages_offer_only_what_the_role_may_do(guarded: Flask, database: IMEIDatabase, role: Role) -> None:
    """Links and forms of every page that can be reached from the dashboard, one page for each view."""
    doubtful, known = in_doubt(database, 2)
    stored_services(database)
    adapter, client = guarded.url_map.bind("localhost"), guarded.test_client()
    assert log_in(client, user=f"the-{role}").status_code == 303
    offered, seen = set(), set()
    waiting = ["/", f"/batches/{doubtful.batch_id}/doubt?look=1", f"/orders/{known[0].id}"]
    while waiting:
        path = waiting.pop()
        endpoint, _ = adapter.match(urlsplit(path).path)
        if endpoint in seen:
            continue
        seen.add(endpoint)
        page = client.get(path)
        if page.mimetype == "text/html":
            links = re.findall(r'<a [^>]*href="(/[^"]*)"', page.text)
            forms = re.findall(r'<form method="post" action="(/[^"]*)"', page.text)
            found = [("GET", unescape(link)) for link in links] + [("POST", unescape(form)) for form in forms]
            offered |= {(method, adapter.match(urlsplit(url).path, method)[0], endpoint) for method, url in found}
            waiting += [url for method, url in found if method == "GET"]
    assert {"batches.live", "doubt.show", "orders.order", "overview.services", "account.show"} <= seen
    views = guarded.view_functions
    assert {one for one in offered if not role.includes(getattr(views[one[1]], ATTRIBUTE).role or role)} == set()
