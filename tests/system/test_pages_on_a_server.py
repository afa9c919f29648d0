"""Every page and every operation of the API that reads, on a database of PostgreSQL."""

from collections.abc import Iterator

import pytest
from api_client import PREFIX
from flask import Flask
from visited_pages import NUMBERS, fill, visit
from web_client import SERVICES, Browser, Provider, make_app, order_batch, words
from webhook_receivers import Receivers

from access import create_token
from database import IMEIDatabase
from people import Role, scopes_of
from settings import Settings
from storage import election_store, kept_sums, order_filters
from storage.backups import make_backup
from storage.order_terms import OrderFilter
from storage.outbox import EventKind
from storage.token_store import NewToken
from submission import RowLock


@pytest.fixture
def app(settings: Settings, server_database: IMEIDatabase) -> Iterator[Flask]:
    made = make_app(settings, server_database, Provider(list(SERVICES)))
    yield made
    made.extensions["stopping"].set()


def test_every_page_and_every_operation_that_reads_answers(
    app: Flask, settings: Settings, server_database: IMEIDatabase
) -> None:
    browser = Browser(app)
    Receivers(server_database, settings).subscribe("a.example", *EventKind)
    batch_id = fill(browser, server_database)
    visit(browser, server_database, batch_id)
    kept_sums.tend(server_database, 0)
    visit(browser, server_database, batch_id)
    order = order_filters.page(server_database, OrderFilter(), None, 1)[0]
    given = {
        "batch_id": batch_id,
        "order_id": order.order_id,
        "imei": NUMBERS[0],
        "path": "app.css",
        "filename": "app.css",
    }
    token = create_token(server_database, NewToken("reader", Role.ADMIN, scopes_of(Role.ADMIN)))
    headers = {"Authorization": f"Bearer {token}"}
    failed = []
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or "stream" in rule.endpoint:
            continue
        values = {name: given.get(name, 1) for name in rule.arguments}
        url = app.url_map.bind("localhost").build(rule.endpoint, values)
        answer = browser.get(url, headers=headers if url.startswith(PREFIX) else None)
        if answer.status_code >= 500:
            failed.append(f"{answer.status_code} {url}")
    assert failed == []


def test_the_pages_say_what_to_do_where_several_machines_work(app: Flask, server_database: IMEIDatabase) -> None:
    """Backups are written on another machine, and workers send."""
    browser = Browser(app)
    order_batch(server_database, NUMBERS[:3])
    text = words(browser.get("/status"))
    assert "Start a worker with “flask worker”" in text
    assert "There is no backup. Write one on the Database page" in text
    assert "in each of 0 workers" in text
    with RowLock(server_database, f"{election_store.WORKER}host 1").held():
        make_backup(server_database)
        for path in server_database.backup_folder.iterdir():
            path.unlink()
        text = words(browser.get("/status"))
    assert "There is no backup" not in text
    assert "Last backup just now" in text
    assert "in each of 1 worker " in text
    database = words(browser.get("/database"))
    assert 'psql "$DATABASE_URL"' in database and "sqlite3" not in database
    assert "hammer_workers 0.0" in browser.get("/metrics").text
