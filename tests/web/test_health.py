"""The state of the app as JSON: what a probe, a stranger and a user get."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from web_client import Browser, Provider, make_app

from database import IMEIDatabase
from settings import Settings


def test_health_is_200_and_asks_nobody(browser: Browser, provider: Provider) -> None:
    answer = browser.get("/health")
    assert answer.status_code == 200
    assert provider.asked == 0
    body = answer.get_json()
    assert body["status"] in ("healthy", "degraded")
    assert set(body["checks"]) == {"database", "api", "cache", "environment", "runner"}
    assert body["metrics"] == {"total_orders": 0, "api_response_time_ms": None}


def test_health_is_degraded_but_200_while_the_provider_fails(browser: Browser, provider: Provider) -> None:
    provider.down = True
    browser.get("/services")
    answer = browser.get("/health")
    assert answer.status_code == 200
    assert answer.get_json()["status"] == "degraded"
    assert answer.get_json()["checks"]["api"]["status"] == "failing"


def test_health_is_503_when_the_database_cannot_be_read(app: Flask, browser: Browser, database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE orders RENAME TO gone")
    answer = browser.get("/health")
    assert answer.status_code == 503
    assert answer.get_json()["status"] == "unhealthy"
    assert answer.get_json()["checks"]["database"]["status"] == "failed"


Ask = Callable[[Settings], FlaskClient]


@pytest.fixture
def real(settings: Settings) -> Settings:
    return replace(settings, api_key="SECRET-KEY", username="someone", admin_password="hunter2hunter2")


@pytest.fixture
def ask(database: IMEIDatabase, provider: Provider) -> Ask:
    return lambda settings: make_app(settings, database, provider).test_client()


def test_health_tells_strangers_states_only(ask: Ask, real: Settings, provider: Provider) -> None:
    provider.down = True
    client = ask(real)
    answer = client.get("/health").get_json()
    assert set(answer) == {"status", "checks"}
    assert {tuple(check) for check in answer["checks"].values()} == {("status",)}
    assert not {"orders", "advice", "maintenance"} & set(client.get("/health").text.split('"'))


def test_health_tells_users_the_rest(ask: Ask, settings: Settings) -> None:
    answer = ask(settings).get("/health").get_json()
    assert answer["metrics"]["total_orders"] == answer["checks"]["database"]["orders"] == 0
