"""Services, balance, state and grading rules."""

from collections.abc import Callable
from typing import Any

import pytest
from api_client import ApiClient, problem
from simulated_provider import imeis
from web_client import CARRIER, Provider, answer_chunks

from database import IMEIDatabase
from people import Role
from storage import account_store, balance_store, order_queries


def test_services_have_prices_as_decimal_texts(api: ApiClient) -> None:
    found: Any = api.get("/services").json
    assert [(one["id"], one["price"], one["is_orderable"]) for one in found["services"]] == [
        *(("1739", "0.08", True), ("102", "3.00", False), ("269", "0.10", True)),
    ]
    one: Any = api.get(f"/services/{CARRIER.package_id}").json
    assert one == found["services"][0]
    problem(api.get("/services/9"), 404)


def test_the_account_says_what_may_be_spent(api: ApiClient, database: IMEIDatabase, provider: Provider) -> None:
    provider.credits = 12.345
    api.batch(imeis(3))
    answer_chunks(database)
    api.batch(imeis(5))
    found: Any = api.get("/account").json
    assert [found[name] for name in ("spent_today", "orders_today", "promised", "role")] == [
        *("0.24", 3, "0.16", "operator"),
    ]
    assert found["balance"] == "12.345"
    assert found["scopes"] == ["export", "order", "read"]


def test_the_accounts_at_the_provider_are_listed(api: ApiClient, database: IMEIDatabase) -> None:
    found: Any = api.get("/accounts").json
    assert [(one["name"], one["state"], one["reason"]) for one in found["accounts"]] == [("main", "Sends", "")]
    account_store.register(database, {"main": "", "b": "its name is taken"})
    with database.write() as connection:
        balance_store.record_reading(connection, 7.25, "b")
    found = api.get("/accounts").json
    assert found["accounts"][1]["balance"] == "7.25"
    assert [(one["name"], one["state"], one["calls_now"]) for one in found["accounts"]] == [
        *(("main", "Sends", 0), ("b", "Stopped", 0)),
    ]


def test_health_names_the_checks(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    found: Any = api.get("/health").json
    assert found["checks"]["database"]["status"] == "connected"
    monkeypatch.setattr(order_queries, "checked_count", lambda database: None)
    api.client.application.extensions["backend"].forget()
    problem(api.get("/health"), 503)


def test_rules_are_replaced_by_an_admin_who_read_them(client_of: Callable[[Role], ApiClient]) -> None:
    admin = client_of(Role.ADMIN)
    before: Any = admin.get("/rules").json
    rules = [{"verdict": "fail", "condition": "carrier_contains", "value": "AT&T"}, *before["rules"]]
    saved: Any = admin.call("PUT", "/rules", json={"version": before["version"], "rules": rules}).json
    assert (saved["version"], saved["rules"][0]["value"]) == (before["version"] + 1, "AT&T")
    assert saved["author"].startswith("token ")
    late = admin.call("PUT", "/rules", json={"version": before["version"], "rules": []})
    problem(late, 409, "not-possible")
    wrong = [rules[0], {"verdict": "fail", "condition": "older", "value": "soon"}]
    refused = admin.call("PUT", "/rules", json={"version": saved["version"], "rules": wrong})
    assert problem(refused, 422, "invalid-request")["errors"][0]["pointer"] == "#/rules/1"
