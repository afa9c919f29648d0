"""One IMEI at a time: a known result costs nothing, an unknown one is ordered once."""

from collections.abc import Callable
from typing import Any

import pytest
from api_client import SERVICE, ApiClient, problem
from simulated_provider import imeis
from sqlalchemy import update
from web_client import Browser, answer_chunks, order_batch
from web_scenes import batch_count

from access.tokens import revoke_token
from database import IMEIDatabase
from orders import RequestKind
from people import Role
from schema import orders
from storage import request_store, token_store
from storage.batch_creation import create_batch
from web import ordering

ONE = imeis(1)[0]


def check(api: ApiClient, imei: str = ONE, key: str = "", **more: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else None
    return api.post("/checks", {"imei": imei, "service_id": SERVICE, **more}, headers=headers)


def count(database: IMEIDatabase) -> int:
    with database.read() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM batches").scalar_one())


def test_a_phone_is_ordered_once_and_followed_to_its_verdict(
    api: ApiClient, database: IMEIDatabase, browser: Browser
) -> None:
    first = check(api, f" {ONE[:8]} {ONE[8:]}")
    assert first.status_code == 201
    assert (first.json["is_open"], first.json["is_new"], first.json["outcome"]) == (True, True, "waiting")
    again = check(api)
    assert (again.json["id"], count(database)) == (first.json["id"], 1)
    answer_chunks(database)
    shown: Any = api.client.get(first.location, headers=api.headers).json
    assert (shown["outcome"], shown["is_open"], shown["order"]["status"]) == ("ordered", True, "Pending")
    asked = request_store.waiting(database, RequestKind.RESULT)
    assert asked is not None
    assert asked.argument == shown["order"]["order_id"]
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed", verdict="pass", fmi="OFF"))
    done: Any = api.client.get(first.location, headers=api.headers).json
    assert (done["is_open"], done["verdict"], done["order"]["findings"]["fmi"]) == (False, "pass", "OFF")
    assert batch_count(database) == 0  # lists leave single checks out
    assert "Check 3500" not in browser.get("/batches").text


def test_a_known_result_costs_nothing_unless_it_is_asked_for_again(api: ApiClient, database: IMEIDatabase) -> None:
    order_batch(database, [ONE])
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed", verdict="fail"))
    known = check(api).json
    assert [known[name] for name in ("is_new", "is_open", "verdict", "batch_id")] == [False, False, "fail", None]
    assert count(database) == 1
    nothing: list[dict[str, Any]] = [{}, {"known_orders": ["14"]}]
    for more in nothing:
        assert not check(api, recheck=True, **more).json["is_new"]
    assert count(database) == 1
    named: dict[str, Any] = {"recheck": True, "known_orders": [known["order"]["order_id"]]}
    assert check(api, **named).json["is_new"]
    assert count(database) == 2
    answer_chunks(database)
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed", verdict="pass"))
    assert (check(api, **named).json["order"]["order_id"], count(database)) == ("15000002", 2)


def test_the_same_key_never_checks_twice(api: ApiClient, database: IMEIDatabase) -> None:
    first, again = check(api, key="k", recheck=True), check(api, key="k", recheck=True)
    assert (first.json, again.headers["Idempotent-Replayed"]) == (again.json, "true")
    answer_chunks(database)
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed"))
    assert check(api, key="k", recheck=True).json == first.json
    assert count(database) == 1


@pytest.mark.parametrize("imei", ["junk", ONE[:14], ONE[:14] + "0", f"{ONE} {imeis(2)[1]}"])
def test_what_is_not_exactly_one_imei_is_refused(api: ApiClient, database: IMEIDatabase, imei: str) -> None:
    assert problem(check(api, imei), 422, "invalid-imeis")["errors"][0]["pointer"] == "#/imei"
    assert count(database) == 0


def test_guards_apply_to_a_check(api: ApiClient, database: IMEIDatabase) -> None:
    problem(check(api, max_cost="0.01"), 409, "cost-exceeded")
    problem(check(api, unit_price="0.01"), 409, "price-changed")
    assert count(database) == 0


def test_another_token_does_not_see_a_check(api: ApiClient, client_of: Callable[[Role], ApiClient]) -> None:
    check(api)
    problem(client_of(Role.ADMIN).get("/checks/1"), 404)


@pytest.mark.parametrize(("path", "more"), [("/checks", {"imei": ONE}), ("/batches", {"imeis": [ONE]})])
def test_a_token_that_is_revoked_during_its_request_orders_nothing(
    api: ApiClient, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, path: str, more: dict[str, Any]
) -> None:
    def overtaken(*given: Any) -> int:
        revoke_token(database, token_store.listed(database)[0])
        return create_batch(*given)

    monkeypatch.setattr(ordering, "create_batch", overtaken)
    refused = problem(api.post(path, {"service_id": SERVICE, **more}), 409, "not-possible")
    assert "is revoked" in refused["detail"]
    assert count(database) == 0


def test_of_two_requests_at_one_moment_only_one_has_made_the_order(
    client_of: Callable[[Role], ApiClient], database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both had looked before one of them ordered: both answers, and the sums of both programs, named it as theirs."""
    slow, fast = client_of(Role.OPERATOR), client_of(Role.OPERATOR)
    one, listed = {"service_id": SERVICE, "imei": ONE}, {"service_id": SERVICE, "imeis": imeis(3, first=10)}
    meanwhile = iter([("/checks", one), ("/batches", listed)])

    def overtaken(*given: Any) -> int:
        monkeypatch.setattr(ordering, "create_batch", create_batch)
        assert fast.post(*next(meanwhile)).status_code == 201
        return create_batch(*given)

    monkeypatch.setattr(ordering, "create_batch", overtaken)
    checked: Any = slow.post("/checks", one)
    assert (checked.json["is_new"], checked.json["batch_id"], count(database)) == (False, 1, 1)
    monkeypatch.setattr(ordering, "create_batch", overtaken)
    several: Any = slow.post("/batches", listed)
    assert (several.status_code, several.json["is_continued"], several.json["id"], count(database)) == (200, True, 2, 2)
