"""Links to reports: what they show without a login, for how long, and that they are kept secret."""

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from login_client import PASSWORD, log_in
from simulated_provider import imeis
from sqlalchemy import select
from stored_orders import all_orders
from web_client import Browser, Provider, answer_chunks, make_app, words
from web_scenes import csv_rows

from access import NewUser, add_user, open_link
from database import IMEIDatabase, utc_now
from logs import Redactor
from people import Role
from schema import report_links
from settings import Settings
from storage import audit_log, link_store
from storage.audit_log import AuditFilter
from web import shared_reports
from web.auth import Authenticator
from web.shared_reports import VisitLimit

PHONES = imeis(4)
Share = Callable[..., str]


@pytest.fixture(name="share")
def share_fixture(browser: Browser, database: IMEIDatabase) -> Share:
    """Makes a link to the report of a batch of four phones, one with a result."""
    browser.start(PHONES)
    answer_chunks(database)
    database.update_order_status(all_orders(database)[0]["order_id"], "Completed", {"carrier": "T-Mobile"})

    def share(**ticked: str) -> str:
        page = browser.post("/batches/1/links", {"days": "7", **ticked})
        found = re.search(r'<pre id="link">http://localhost(/shared/hrl_[\w-]{43})</pre>', page.text)
        assert found, words(page)
        return found[1]

    return share


@pytest.fixture(name="stranger")
def nobody_fixture(settings: Settings, database: IMEIDatabase, provider: Provider) -> Browser:
    """A browser without a login, at the app with real credentials, where vera is a viewer."""
    app = make_app(replace(settings, api_key="SECRET-KEY", username="someone"), database, provider)
    found: Authenticator = app.extensions["authenticator"]
    add_user(database, found.passwords, NewUser("vera", Role.VIEWER, PASSWORD))
    return Browser(app)


def test_a_link_shows_the_report_and_nothing_else(share: Share, stranger: Browser, database: IMEIDatabase) -> None:
    page = stranger.get(share())
    text = words(page)
    assert page.status_code == 200
    assert "T-Mobile 1" in text
    assert "$" not in text
    assert not any(imei in text for imei in PHONES)
    links = set(re.findall(r'(?:href|src|action)="([^"#]+)"', page.text))
    assert all(link.startswith("/static/") for link in links)
    assert (page.headers["Referrer-Policy"], page.headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert "noindex" in page.headers["X-Robots-Tag"]
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "Set-Cookie" not in page.headers
    link = link_store.listed(database)[0]
    assert (link.opens, link.opened_at is not None) == (1, True)
    assert stranger.get("/batches/1/report").status_code == 303


def test_what_is_ticked_is_shown(share: Share, stranger: Browser) -> None:
    without_file = share(prices="1", imeis="1")
    text = words(stranger.get(without_file))
    assert "Spent $" in text
    assert all(imei in text for imei in PHONES)
    assert stranger.get(f"{without_file}?format=csv").status_code == 404
    with_file = share(csv="1")
    rows = csv_rows(stranger.get(f"{with_file}?format=csv"))
    assert [row["IMEI NO."] for row in rows] == PHONES
    assert "CREDITS" not in rows[0]
    assert "CREDITS" in csv_rows(stranger.get(f"{share(csv='1', prices='1')}?format=csv"))[0]


def test_no_link_that_is_wrong_expired_or_revoked_tells_anything(
    share: Share, browser: Browser, stranger: Browser, database: IMEIDatabase
) -> None:
    good, revoked = share(), share()
    assert browser.post("/batches/1/links/2/revoke").status_code == 303
    assert "no link 2 that can be revoked" in words(browser.led_back(browser.post("/batches/1/links/2/revoke")))
    secret = good.rpartition("/")[2]
    soon = utc_now() + timedelta(days=6, hours=23)
    assert open_link(database, secret, soon)
    assert open_link(database, secret, soon + timedelta(hours=2)) is None
    pages = [
        stranger.get(path) for path in (revoked, f"{good}x", "/shared/hrl_", "/shared/1", f"/shared/{secret.upper()}")
    ]
    assert {page.status_code for page in pages} == {404}
    assert len({re.sub("Request [0-9a-f-]+", "", words(page)) for page in pages}) == 1
    assert pages[0].headers["Referrer-Policy"] == "no-referrer"
    assert "Revoked" in words(browser.get("/settings/links"))
    assert browser.post("/batches/1/links", {"days": "3650"}).status_code == 400


def test_the_secret_is_in_no_row_no_line_and_no_other_page(
    share: Share, browser: Browser, stranger: Browser, database: IMEIDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = share(csv="1", imeis="1")
    secret = path.rpartition("/")[2]
    assert secret not in stranger.get(path).text
    assert secret not in browser.get("/batches/1/report").text
    assert secret not in browser.get("/settings/links").text
    assert secret not in caplog.text
    entries = list(audit_log.walk(database, AuditFilter()))
    assert {"report_link.create"} <= {entry.action for entry in entries}
    assert not any(secret in entry.line for entry in entries)
    with database.read() as connection:
        stored = repr(connection.execute(select(report_links)).all())
    assert secret not in stored
    assert secret[4:12] not in Redactor().clean(f'203.0.113.9 "GET {path}" 200 900 bytes')


def test_a_viewer_creates_and_revokes_no_link(share: Share, stranger: Browser, database: IMEIDatabase) -> None:
    share()
    assert log_in(stranger.client, user="vera").status_code == 303
    text = words(stranger.get("/batches/1/report"))
    assert "Links to this report" in text
    assert "Create link" not in text
    assert stranger.post("/batches/1/links", {"days": "7"}).status_code == 403
    assert stranger.post("/batches/1/links/1/revoke").status_code == 403
    assert link_store.listed(database)[0].revoked_at is None


def test_a_network_that_asks_too_often_waits(share: Share, stranger: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_reports, "OF_NETWORK", 2)
    path = share()
    assert [stranger.get(path).status_code for _ in range(3)] == [200, 200, 429]
    now = [60.0]
    limit = VisitLimit(lambda: now[0])
    assert [limit.admits("203.0.113.0/24") for _ in range(3)] == [True, True, False]
    assert limit.admits("198.51.100.0/24")
    now[0] = 120.0
    assert limit.admits("203.0.113.0/24")
