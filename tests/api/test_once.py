"""The same key and body again: the same batch and the same answer, also at the same instant and after a crash."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pytest
from api_client import SERVICE, ApiClient, problem
from flask import Flask
from simulated_provider import imeis
from web_client import answer_chunks
from web_scenes import batch_count

from api import batches as api_batches
from api import ordering
from database import IMEIDatabase
from people import Role
from storage import idempotency_store

KEY = {"Idempotency-Key": "order 4711".replace(" ", "-")}


def order(api: ApiClient, **more: Any) -> Any:
    return api.post("/batches", {"service_id": SERVICE, "imeis": imeis(3), **more}, headers=KEY)


def test_the_same_request_gets_the_same_answer(api: ApiClient, database: IMEIDatabase) -> None:
    first = order(api, label="A")
    answer_chunks(database)
    again = order(api, label="A")
    assert (again.status_code, again.json, again.location) == (201, first.json, first.location)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert batch_count(database) == 1


@pytest.mark.parametrize("more", [{}, {"known_orders": ["15000002", "15000001"]}])
def test_a_request_that_pays_again_gets_the_same_answer(
    api: ApiClient, database: IMEIDatabase, more: dict[str, Any]
) -> None:
    first = order(api, recheck=True, **more)
    answer_chunks(database)
    assert order(api, recheck=True, **more).json == first.json


def test_the_same_key_with_another_request_is_refused(api: ApiClient, database: IMEIDatabase) -> None:
    order(api)
    others: list[dict[str, Any]] = [{"label": "B"}, {"imeis": imeis(4)}, {"start": False}, {"unit_price": "0.08"}]
    for other in [*others, {"known_orders": []}]:
        problem(order(api, **other), 422, "key-reused")
    check = api.post("/checks", {"service_id": SERVICE, "imei": imeis(1)[0]}, headers=KEY)
    problem(check, 422, "key-reused")
    assert batch_count(database) == 1


def test_a_file_is_the_same_request_whatever_its_boundary(api: ApiClient, database: IMEIDatabase) -> None:
    def upload(content: bytes) -> Any:
        form = {"service_id": SERVICE, "file": (BytesIO(content), "stock.csv")}
        return api.post("/batches", data=form, headers=KEY)

    content = "\n".join(["IMEI", *imeis(3)]).encode()
    first, again = upload(content), upload(content)
    assert first.json["id"] == again.json["id"] == 1
    problem(upload(content + b"\n"), 422, "key-reused")


def test_two_tokens_do_not_share_keys(api: ApiClient, client_of: Callable[[Role], ApiClient]) -> None:
    order(api)
    other = client_of(Role.OPERATOR).post("/batches", {"service_id": SERVICE, "imeis": imeis(9)}, headers=KEY)
    assert other.status_code == 201


def test_a_refused_request_leaves_its_key_free(api: ApiClient) -> None:
    problem(order(api, max_cost="0.01"), 409, "cost-exceeded")
    assert order(api, max_cost="1").status_code == 201


def test_a_key_while_its_first_request_is_worked_on(
    api: ApiClient, app: Flask, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on = threading.Event(), threading.Event()
    plan = ordering.plan_order

    def slow(*given: Any) -> Any:
        inside.set()
        assert go_on.wait(20)
        return plan(*given)

    monkeypatch.setattr(api_batches, "plan_order", slow)
    second = ApiClient(app, api.headers["Authorization"].removeprefix("Bearer "))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(order, api)
        assert inside.wait(20)
        refused = order(second)
        problem(refused, 409, "key-in-use")
        assert refused.headers["Retry-After"] == "1"
        go_on.set()
        assert first.result().status_code == 201
    assert order(second).json["id"] == 1
    assert batch_count(database) == 1


def test_requests_at_the_same_instant_make_one_batch(app: Flask, api: ApiClient, database: IMEIDatabase) -> None:
    token = api.headers["Authorization"].removeprefix("Bearer ")
    barrier = threading.Barrier(5)

    def send(_: int) -> Any:
        client = ApiClient(app, token)
        barrier.wait()
        return order(client)

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(send, range(5)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.json["id"] for answer in answers if answer.status_code == 201} == {1}
    assert batch_count(database) == 1


def test_a_crash_while_the_batch_is_written_leaves_neither_batch_nor_answer(
    api: ApiClient, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("a crash")

    monkeypatch.setattr(idempotency_store, "bind", breaks)
    problem(order(api), 500)
    assert batch_count(database) == 0
    monkeypatch.undo()
    assert order(api).status_code == 201


def test_answers_are_kept_for_a_week(api: ApiClient, database: IMEIDatabase) -> None:
    order(api)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE idempotency_keys SET created_at = datetime('now', '-6 days')")
    assert order(api).json["id"] == 1
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE idempotency_keys SET created_at = datetime('now', '-8 days')")
    assert order(api).status_code == 200  # the same IMEIs are under way: their batch, and no second one
    assert batch_count(database) == 1


@pytest.mark.parametrize("key", ["", "with blank", "ü", "x" * 256])
def test_a_key_that_is_none_is_refused(api: ApiClient, key: str) -> None:
    answer = api.post("/batches", {"service_id": SERVICE, "imeis": imeis(1)}, headers={"Idempotency-Key": key})
    assert problem(answer, 422, "invalid-request")["errors"][0]["header"] == "Idempotency-Key"
