"""What people do with results on the pages: ask for them, take them away, bring them back."""

from collections.abc import Iterator

import pytest
from flask import Flask
from web_fixture import SERVICES, Browser, Provider, make_app

import order_sync
from database import IMEIDatabase
from settings import Settings


@pytest.fixture
def app(settings: Settings, database: IMEIDatabase) -> Iterator[Flask]:
    made = make_app(settings, database, Provider(list(SERVICES)))
    yield made
    made.extensions["stopping"].set()


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


def test_the_history_page_has_a_button_that_asks_for_results(browser: Browser, database: IMEIDatabase) -> None:
    assert browser.post("/history/sync?status=Pending").location == "/history?status=Pending"
    assert order_sync.is_requested(database)
    assert browser.get("/status").status_code == 200
