"""An app behind the login, and a client that logs in."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pyotp
from flask import Flask, request
from flask.testing import FlaskClient
from jinja2 import ChoiceLoader, DictLoader, FileSystemLoader
from werkzeug.test import TestResponse

from database import IMEIDatabase
from people import Role
from settings import Settings
from storage import user_store
from web import login as web_login
from web.access import allow, allow_everyone
from web.auth import Authenticator, init_auth

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"  #: of the authenticator app of each user who logs in here
BASE = """<title>{% block title %}{% endblock %}</title><meta name="csrf-token" content="{{ csrf_token() }}">
<p id="user">{{ current_user }}</p>{% block content %}{% endblock %}"""


def make_app(settings: Settings, database: IMEIDatabase, clock: Callable[[], float] = time.time) -> Flask:
    """An app with a page, a probe, a stream and something that costs money, behind the login."""
    app = Flask("login_test", static_folder=str(ROOT / "static"), static_url_path="/static")
    app.jinja_loader = ChoiceLoader([DictLoader({"base.html": BASE}), FileSystemLoader(ROOT / "templates")])
    init_auth(app, settings, database, clock)
    app.register_blueprint(web_login.blueprint)
    viewer, operator = allow(Role.VIEWER), allow(Role.OPERATOR)
    app.add_url_rule("/health", "probes.health", allow_everyone()(lambda: {"status": "healthy"}))
    app.add_url_rule("/", "dashboard", viewer(lambda: "the dashboard"))
    app.add_url_rule("/history", "history", viewer(lambda: "the history"))
    app.add_url_rule("/status.json", "status", viewer(lambda: {"ok": True}))
    app.add_url_rule("/batches/1/events", "events", viewer(lambda: "data: 1\n\n"))
    app.add_url_rule("/spend", "spend", operator(lambda: "spent " + request.form["imei"]), methods=["POST"])
    return app


def token_on(client: FlaskClient, path: str = "/login") -> str:
    found = re.search(r'name="csrf[_-]token" (?:value|content)="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


def log_in(client: FlaskClient, password: str = PASSWORD, user: str = "admin", **more: str) -> TestResponse:
    """Send the login form, with a code of the second factor, which this sets up where the user has none."""
    form = {"username": user, "password": password, "csrf_token": token_on(client)}
    return client.post("/login", data={**form, "code": code_of(client.application, user), **more})


def code_of(app: Flask, name: str) -> str:
    """Return a code that is accepted now; "" for an unknown user. The database forgets that the last one was used."""
    found: Authenticator = app.extensions["authenticator"]
    with found.database.write() as connection:
        user = user_store.find_named(connection, name.strip().lower())
        if user is None:
            return ""
        user_store.set_second_factor(connection, user.user_id, SECRET, None)
    return pyotp.TOTP(SECRET).generate_otp(int(found.clock()) // 30)


def expired_page_token(client: FlaskClient) -> str:
    """A token of the session as it is, taken from the page that says that there was none."""
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.post("/logout").text)
    assert found
    return found[1]
