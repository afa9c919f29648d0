"""Every page and every operation of the API that reads, on a database of PostgreSQL."""

from collections.abc import Iterator

import pytest
from api_client import PREFIX
from flask import Flask
from visited_pages import NUMBERS, fill, visit
from web_client import SERVICES, Browser, Provider, make_app
from webhook_receivers import Receivers

from access import create_token
from database import IMEIDatabase
from people import Role, scopes_of
from settings import Settings
from storage import kept_sums, order_filters
from storage.order_filters import OrderFilter
from storage.outbox import EventKind
from storage.token_store import NewToken


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
