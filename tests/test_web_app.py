"""The pages around the batches: dashboard, history, services, database, health, errors, and a crawl."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from batch_checks import locked_by_another_program
from flask import Flask
from kinds_of_addresses import Kinds
from login_client import code_of
from simulated_provider import imeis
from web_client import Browser, Provider, answer_chunks, make_app, order_batch, words

from database import IMEIDatabase
from orders import Outcome
from settings import Settings
from storage.batch_creation import NewBatch, create_batch
from web import doubt as web_doubt
from web import imports as web_imports
from web_app import create_app

PAGES = ("/", "/submit", "/batch", "/batches", "/history", "/services", "/database", "/status")


@pytest.mark.parametrize("page", PAGES)
def test_each_page_opens_empty_and_says_demo(browser: Browser, page: str) -> None:
    answer = browser.get(page)
    assert answer.status_code == 200
    assert "Demo: nothing is charged." in words(answer)


@pytest.mark.parametrize("page", PAGES)
def test_each_page_opens_while_the_provider_is_down(browser: Browser, provider: Provider, page: str) -> None:
    provider.down = True
    assert browser.get(page).status_code == 200


def test_importing_the_module_opens_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert callable(create_app)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_told_in_plain_words_with_a_request_id(browser: Browser, database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE orders RENAME TO gone")
    answer = browser.get("/history")
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "gone" not in words(answer)
    assert answer.headers["X-Request-ID"] in answer.text


def test_a_locked_database_is_told_as_what_it_is(browser: Browser, database: IMEIDatabase) -> None:
    browser.get("/history")  # its connection is open before
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 100")  # the pool hands the same one out again
    with locked_by_another_program(database):
        answer = browser.post("/history/sync")
    assert answer.status_code == 503
    assert "Another program has held the database" in words(answer)
    assert browser.post("/history/sync").status_code == 303


def test_an_error_leads_back_to_where_one_was_and_never_elsewhere(browser: Browser) -> None:
    own = browser.get("/orders/9", headers={"Referer": "http://localhost/history?q=1"}).text
    assert '<a class="button primary" href="http://localhost/history?q=1">Go back</a>' in own
    assert "evil.example" not in browser.get("/orders/9", headers={"Referer": "http://evil.example/"}).text


def test_pages_after_a_login_show_the_user(settings: Settings, database: IMEIDatabase, provider: Provider) -> None:
    real = replace(settings, api_key="SECRET-KEY", username="someone", admin_password="hunter2hunter2")
    browser = Browser(make_app(real, database, provider))
    assert browser.get("/history").location == "/login?next=/history"
    page = browser.get("/login").text
    assert "Dashboard</span>" not in page
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token
    form = {"csrf_token": token[1], "username": "admin", "password": "hunter2hunter2", "next": "/history"}
    form["code"] = code_of(browser.client.application, "admin")
    assert browser.client.post("/login", data=form).location == "/history"
    text = words(browser.get("/history"))
    assert "Log out" in text
    assert "Demo" not in text


@pytest.mark.parametrize(("url", "sentence"), [("/batches/77", "batch 77"), ("/orders/99", "order 99")])
def test_what_is_unknown_is_a_404_that_names_it(browser: Browser, url: str, sentence: str) -> None:
    answer = browser.get(url)
    assert answer.status_code == 404
    assert f"There is no {sentence}." in words(answer)


def test_a_wrong_query_is_our_fault_and_in_the_log(
    browser: Browser, database: IMEIDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """It must not read as a disk that is full, and its words stay off the page."""
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE services RENAME COLUMN must_read TO mustread")
    answer = browser.get("/services")
    assert answer.status_code == 500
    assert "must_read" not in answer.text
    assert any(record.exc_info and "no such column" in str(record.exc_info[1]) for record in caplog.records)


def test_a_value_error_of_ours_never_reaches_a_page(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> int:
        raise ValueError("secret internals")

    monkeypatch.setattr(web_imports, "undo_import", fails)
    monkeypatch.setattr(web_doubt, "take_back_order", fails)
    database = browser.client.application.extensions["database"]
    order_batch(database, imeis(1))
    for path, form in (("/database/import/1/undo", {}), ("/batches/1/doubt/undo", {"order_id": "7"})):
        answer = browser.post(path, form)
        assert (answer.status_code, "secret" in answer.text) == (500, False), path


def test_too_large_an_upload_is_refused_in_plain_words(app: Flask, browser: Browser) -> None:
    token = browser.token()
    app.config["MAX_CONTENT_LENGTH"] = 1000
    answer = browser.client.post("/batch", data={"csrf_token": token, "imeis": "3" * 5000})
    assert answer.status_code == 413
    assert "You can send at most 25 MB" in words(answer)


def test_a_paste_of_50000_imeis_is_not_too_large(browser: Browser) -> None:
    assert browser.paste(imeis(50_000)).startswith("/batch/preview/")


def test_a_form_without_a_token_does_nothing(browser: Browser, database: IMEIDatabase) -> None:
    answer = browser.client.post("/submit", data={"imei": imeis(1)[0], "service_id": "1739"})
    assert answer.status_code == 400
    assert browser.get("/status.json").get_json()["running"] == []


def test_every_link_and_form_target_exists(browser: Browser, database: IMEIDatabase) -> None:
    order_batch(database, imeis(120))
    batch = NewBatch("b.csv", "upload", "269", "T-Mobile", 0.1, [(n, None) for n in imeis(3, first=500)])
    doubtful = create_batch(database, batch)
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, "no readable answer"))
    preview = browser.paste(imeis(5, first=900))
    queue = ["/", preview, f"/batches/{doubtful}/doubt", "/orders/15000001"]
    seen, forms, kinds = set[str](), set[str](), Kinds()
    while queue:
        url = queue.pop()
        path = url.split("#")[0]
        if path in seen or re.match(r"/(history|services)\?.*(before|q)=", path):
            continue
        seen.add(path)
        if kinds.is_like_others(path):
            continue
        answer = browser.get(path)
        assert answer.status_code in (200, 302, 303), (path, answer.status_code)
        if answer.mimetype == "text/html":
            links = re.findall(r'(?:href|src)="(/[^"]*)"', answer.text)
            queue += [link.replace("&amp;", "&") for link in links if not _is_one_of_many(link)]
            forms |= set(re.findall(r'<form method="post" action="([^"]+)"', answer.text))
    assert len(seen) > 30
    for target in forms:
        assert browser.get(target).status_code in (200, 302, 303, 405), target
    streams = set(re.findall(r'data-(?:events|progress|url)="([^"]+)"', browser.get("/batches/1").text))
    assert "/batches/1/events" in streams
    json.loads(browser.get("/batches/1/progress.json").text)


def _is_one_of_many(link: str) -> bool:
    return bool(re.match(r"/orders/15(?!000001)|/batch\?service_id=(?!1739)", link))
