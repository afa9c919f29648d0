"""What requests leave in the audit log: actions, refusals, nothing; and what happens when it cannot be written."""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, url_for
from login_client import PASSWORD, log_in
from simulated_provider import imeis
from sqlalchemy import update
from web_client import Browser, Provider, make_app
from werkzeug.routing import Rule

from access.sessions import PROOF_LASTS
from database import IMEIDatabase, utc_now
from people import Actor, Role
from schema import sessions
from settings import Settings
from storage.audit_chain import verify
from storage.audit_log import AuditEntry, AuditFilter, page
from web import recording
from web.access import permission_of
from web.refusal_limit import OF_ADDRESS

PLANTED = "planted-secret-7f3a-99"
IMEIS = ["353879234252633", "353879234252641", "490154203237518"]


def entries(database: IMEIDatabase) -> list[AuditEntry]:
    """All entries, oldest first."""
    return page(database, AuditFilter(), None, 1000)[::-1]


def actions(database: IMEIDatabase) -> list[str]:
    return [entry.action for entry in entries(database)]


@pytest.fixture
def guarded(live: Settings, database: IMEIDatabase, provider: Provider) -> Iterator[Flask]:
    """The app of a real account, which asks for a login."""
    made = make_app(replace(live, admin_password=PASSWORD), database, provider)
    yield made
    made.extensions["stopping"].set()


def test_each_action_is_one_entry_and_pages_are_none(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = browser.start(IMEIS)
    browser.post(f"/batches/{batch_id}/pause")
    before = entries(database)
    assert [(entry.action, entry.subject) for entry in before[-2:]] == [
        ("batch.confirm", f"batch {batch_id}"),
        ("batch.pause", f"batch {batch_id}"),
    ]
    for path in ("/", f"/batches/{batch_id}", f"/batches/{batch_id}/progress.json", "/settings", "/history", "/login"):
        browser.get(path)
    browser.client.head(f"/batches/{batch_id}/results.csv")
    assert entries(database) == before
    browser.get(f"/batches/{batch_id}/results.csv")
    last = entries(database)[-1]
    assert (last.action, last.actor, last.address) == ("export", "demo", "127.0.0.1")
    assert last.detail["imeis"] == 3
    assert last.detail["file"].startswith(f"batch-{batch_id}")
    assert verify(database).problem == ""


def test_each_change_of_one_thing_names_it_by_its_address(app: Flask) -> None:
    """Also an automation: who turned it off is worth little without which one."""
    unnamed = []
    for rule in app.url_map.iter_rules():
        arguments = sorted(name for name in rule.arguments if name.endswith("_id"))
        if arguments and "POST" in (rule.methods or ()):
            with app.test_request_context(method="POST"):
                values: dict[str, Any] = dict.fromkeys(rule.arguments, "7")
                path = url_for(rule.endpoint, **values)
            with app.test_request_context(path, method="POST"):
                permission = permission_of(rule.endpoint)
                if permission and permission.action and recording._subject() != f"{arguments[0][:-3]} 7":
                    unnamed.append(rule.rule)
    assert unnamed == []


def test_the_entry_has_the_id_of_its_request(browser: Browser, database: IMEIDatabase) -> None:
    answer = browser.post("/database/check")
    assert entries(database)[-1].request_id == answer.headers["X-Request-ID"] != ""


def test_a_request_that_did_nothing_is_refused_with_its_reason(browser: Browser, database: IMEIDatabase) -> None:
    browser.post("/batch", {"imeis": "no number", "service_id": "1739"})
    browser.post("/batches/99/pause")
    browser.client.post("/database/backup")  # without the token of the form
    upload, unknown, form = entries(database)
    assert upload.action == "upload.refused"
    assert "refused" in upload.detail
    assert (unknown.action, unknown.subject, unknown.detail) == ("batch.pause.refused", "batch 99", {"status": 404})
    assert (form.action, form.detail["status"]) == ("backup.refused", 400)


def test_a_view_that_broke_is_a_failure(browser: Browser, database: IMEIDatabase) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IMEIDatabase, "check_integrity", lambda _: 1 / 0)
        assert browser.post("/database/check").status_code == 500
    assert [(e.action, e.detail) for e in entries(database)] == [("database.check.failed", {"status": 500})]


def test_logins_are_recorded_and_what_a_caller_without_a_login_tries_is_not(
    guarded: Flask, database: IMEIDatabase
) -> None:
    client = guarded.test_client()
    client.post("/database/backup")
    client.get("/history.csv")
    client.get("/no-such-page")
    client.get("/login")
    assert entries(database) == []
    log_in(client, "wrong password")
    log_in(client)
    client.post("/logout", data={"csrf_token": Browser.token(_browser(client))})
    assert [(entry.action, entry.actor) for entry in entries(database)] == [
        ("login.refused", recording.NOT_LOGGED_IN),
        ("login", "admin"),
        ("logout", "admin"),
    ]
    assert PASSWORD not in "".join(entry.line for entry in entries(database))


def test_a_form_that_was_asked_for_a_proof_first_is_no_entry(guarded: Flask, database: IMEIDatabase) -> None:
    browser = Browser(guarded)
    log_in(browser.client)
    with database.write() as connection:
        connection.execute(update(sessions).values(proved_at=utc_now() - PROOF_LASTS - timedelta(seconds=1)))
    before = entries(database)
    assert browser.post("/database/backup").location == "/account/prove?next=/&unsent=1"
    assert entries(database) == before
    assert browser.post("/database/backup", headers={"Sec-Fetch-Mode": "cors"}).status_code == 403
    assert actions(database)[-1] == "backup.refused"


def _browser(client: object) -> Browser:
    browser = Browser.__new__(Browser)
    browser.client = client  # type: ignore[assignment]
    return browser


def test_a_flood_of_refused_requests_writes_a_few_entries_and_their_number(
    guarded: Flask, database: IMEIDatabase
) -> None:
    now = [3600.0]
    guarded.extensions["audit_recorder"] = recording.AuditRecorder(database, lambda: now[0])
    client = guarded.test_client()
    for _ in range(OF_ADDRESS + 15):
        client.post("/login")
    assert actions(database) == ["login.refused"] * OF_ADDRESS
    now[0] += 60
    client.get("/health")
    assert len(entries(database)) == OF_ADDRESS  # the probe writes nothing
    client.post("/login")
    last = entries(database)[-2]
    assert (last.action, last.actor, last.address) == ("requests.refused", "program", "127.0.0.1")
    assert last.detail == {"without an entry": 15}
    assert actions(database)[OF_ADDRESS:] == ["requests.refused", "login.refused"]


def test_a_role_that_is_too_low_is_recorded(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = browser.token()
    monkeypatch.setattr("web.auth.DEMO_USER", Actor("vera", Role.VIEWER))
    assert browser.get("/settings").status_code == 403
    assert browser.client.post("/database/backup", data={"csrf_token": token}).status_code == 403
    assert [(entry.action, entry.actor, entry.subject) for entry in entries(database)] == [
        ("access.refused", "vera", "settings.show"),
        ("backup.refused", "vera", ""),
    ]


def test_each_entry_is_a_line_of_the_log(
    browser: Browser, database: IMEIDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "audit")
    batch_id = browser.start(IMEIS)
    browser.post(f"/batches/{batch_id}/pause")
    lines = [record.getMessage() for record in caplog.records if record.name == "audit"]
    assert lines == [entry.line for entry in entries(database)]


def test_an_entry_that_cannot_be_stored_is_in_the_log_and_is_stored_later(
    browser: Browser, database: IMEIDatabase, rival: IMEIDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = browser.start(IMEIS)
    count = len(entries(database))
    database.engine.dispose()  # new connections wait for a millisecond only
    with pytest.MonkeyPatch.context() as patch, rival.write():
        patch.setattr("engines.sqlite_engine.BUSY_TIMEOUT_MS", 1)
        assert browser.get(f"/batches/{batch_id}/results.csv").status_code == 200
        assert browser.post("/database/check").status_code == 503  # what only administrators may do waits
    assert len(entries(database)) == count
    assert any(r.levelno == logging.ERROR and "demo from 127.0.0.1: export" in r.getMessage() for r in caplog.records)
    browser.post("/database/check")
    assert actions(database)[count:] == ["export", "database.check.failed", "database.check"]
    assert verify(database).problem == ""


def test_a_full_disk_keeps_administrators_from_changes_without_an_entry(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "LEAST_FREE", 2**62)
    answer = browser.post("/settings/stop-loss", {"percent": "50", "first": "10"})
    assert answer.status_code == 503
    assert recording.UNRECORDABLE in answer.text
    assert database.get_setting("stop_loss") is None


def is_recorded(rule: Rule) -> bool:
    permission = permission_of(rule.endpoint)
    return bool(permission and permission.action and "POST" in (rule.methods or ()))


def test_no_entry_has_a_secret_or_a_list_of_imeis(browser: Browser, app: Flask, database: IMEIDatabase) -> None:
    """Every form that changes something, with a secret in each field that may hold one."""
    listed = "\n".join(imeis(40))
    batch_id = browser.start(imeis(40))
    secret_fields = ("password", "current", "new_password", "secret", "token", "api_key", "code", "totp", "url")
    form = {**dict.fromkeys(secret_fields, PLANTED), "imeis": listed, "imei": listed, "service_id": "1739"}
    given: dict[str, Any] = {"batch_id": batch_id}
    with app.test_request_context():
        changing = [rule for rule in app.url_map.iter_rules() if is_recorded(rule)]
        paths = [url_for(rule.endpoint, **{name: given.get(name, 1) for name in rule.arguments}) for rule in changing]
    for path in paths:
        browser.post(path, form)
    found = entries(database)
    assert len(paths) > 25
    assert len(found) > 25
    for entry in found:
        assert PLANTED not in entry.line
        assert len(re.findall(r"\d{15}", entry.line)) <= 3, entry.line
