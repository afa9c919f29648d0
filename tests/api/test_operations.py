"""Requests that are not valid: every one gets a problem that says what is wrong, and changes nothing."""

import json
import tracemalloc
from typing import Any

import pytest
from api_client import PREFIX, PROBLEM, SERVICE, ApiClient, problem
from flask import Flask
from simulated_provider import imeis
from web_scenes import batch_count

from database import IMEIDatabase
from web import MAX_TEXT

ONE = imeis(1)
ORDER = {"service_id": SERVICE, "imeis": ONE}


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b"[" * 100_000, b'{"limit": NaN}', b"9" * 5000, b'{"a": 1e999', b""],
    ids=["cut", "bytes", "deep", "nan", "long number", "huge number", "empty"],
)
def test_a_body_that_is_no_json_is_refused(api: ApiClient, body: bytes) -> None:
    problem(api.post("/batches", data=body, content_type="application/json"), 400)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"nonsense": 1}, "#/nonsense"),
        ({"a/b~": 1}, "#/a~1b~0"),
        ({"service_id": 269}, "#/service_id"),
        ({"service_id": ""}, "#/service_id"),
        ({"service_id": None}, "#/service_id"),
        ({"imeis": "356"}, "#/imeis"),
        ({"imeis": [*ONE, None]}, "#/imeis/1"),
        ({"imeis": [*ONE, ["x"]]}, "#/imeis/1"),
        ({"label": "a\x00b"}, "#/label"),
        ({"label": "\ud800"}, "#/label"),
        ({"label": "x" * 101}, "#/label"),
        ({"start": 1}, "#/start"),
        ({"start": "true"}, "#/start"),
        ({"max_cost": -1}, "#/max_cost"),
        ({"max_cost": "1e3"}, "#/max_cost"),
        ({"max_cost": 10**400}, "#/max_cost"),
        ({"max_cost": True}, "#/max_cost"),
        ({"column": 1.0}, "#/column"),
        ({"column": 10**30}, "#/column"),
        ({"invalid": "maybe"}, "#/invalid"),
    ],
)
def test_a_field_that_is_not_valid_is_named(
    api: ApiClient, database: IMEIDatabase, change: dict[str, Any], pointer: str
) -> None:
    body = json.dumps(ORDER | change)
    answer = api.post("/batches", data=body, content_type="application/json")
    assert pointer in [error["pointer"] for error in problem(answer, 422, "invalid-request")["errors"]]
    assert batch_count(database) == 0


@pytest.mark.parametrize("path", ["/batches", "/searches"])
def test_a_list_of_wrong_values_is_read_only_until_enough_are_named(api: ApiClient, path: str) -> None:
    tracemalloc.start()
    body = b'{"imeis":[' + b"1," * 99_999 + b"1]}"
    errors = problem(api.post(path, data=body, content_type="application/json"), 422, "invalid-request")["errors"]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len([error for error in errors if error["pointer"].startswith("#/imeis/")]) >= 99
    assert most < 5_000_000


@pytest.mark.parametrize("body", [dict.fromkeys(map(str, range(10_000)), 1), {"imeis": [""] * 100_001}])
def test_too_many_values_are_refused_with_one_error(api: ApiClient, body: dict[str, Any]) -> None:
    answer = api.post("/searches", data=json.dumps(body), content_type="application/json")
    assert len(problem(answer, 422, "invalid-request")["errors"]) <= 2


@pytest.mark.parametrize("body", [[], "text", 5, None, True])
def test_a_body_must_be_an_object(api: ApiClient, body: Any) -> None:
    problem(api.post("/batches", data=json.dumps(body), content_type="application/json"), 422, "invalid-request")


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/orders?limit=0", "limit"),
        ("/orders?limit=9999999999999999999999", "limit"),
        ("/orders?limit=5&limit=6", "limit"),
        ("/orders?limit=１", "limit"),
        ("/orders?nonsense=1", "nonsense"),
        ("/orders?carrier=%00", "carrier"),
        ("/orders?cursor=x", "cursor"),
        ("/orders?cursor=99999999999999999999", "cursor"),
        ("/orders?imei=356", "imei"),
        ("/orders?status=Lost", "status"),
        ("/orders?since=yesterday", "since"),
        ("/batches?cursor=-1", "cursor"),
        ("/batches?cursor=9223372036854775808", "cursor"),
    ],
)
def test_a_parameter_that_is_not_valid_is_named(api: ApiClient, path: str, parameter: str) -> None:
    found = problem(api.get(path), 422, "invalid-request")
    assert [error["parameter"] for error in found["errors"]] == [parameter]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/batches/999", 404),
        ("GET", "/batches/99999999999999999999", 404),
        ("GET", "/batches/..%2f..", 404),
        ("GET", "/orders/%00", 404),
        ("GET", "/exports/..%2f..%2fsettings", 404),
        ("POST", "/batches/999/pause", 404),
        ("DELETE", "/batches", 405),
        ("PUT", "/batches/1/pause", 405),
    ],
)
def test_what_does_not_exist_is_a_problem(api: ApiClient, method: str, path: str, status: int) -> None:
    answer = api.call(method, path)
    problem(answer, status)
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "", "application/x-www-form-urlencoded"])
def test_another_type_of_body_is_refused(api: ApiClient, kind: str) -> None:
    problem(api.post("/checks", data=b"x=1", content_type=kind), 415)


def test_json_with_the_type_of_a_form_is_refused_with_the_type_to_send(api: ApiClient) -> None:
    """As `curl -d` sends it."""
    body = b'{"service_id": "269", "imeis": ["353370080000011"]}'
    answer = api.post("/batches", data=body, content_type="application/x-www-form-urlencoded")
    assert "application/json" in problem(answer, 415)["detail"]


def test_a_body_that_is_too_large_is_refused(api: ApiClient, app: Flask) -> None:
    body = b'{"text": "' + b"1" * MAX_TEXT + b'"}'
    problem(api.post("/batches", data=body, content_type="application/json"), 413)
    form = {"service_id": SERVICE, "text": "1" * (MAX_TEXT + 1)}
    problem(api.post("/batches", data=form), 413)


def test_a_failure_is_a_problem_without_a_trace(api: ApiClient, database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE orders RENAME TO gone")
    answer = api.get("/orders")
    found = problem(answer, 500)
    assert "gone" not in answer.text
    assert found["request_id"]


def test_errors_outside_of_the_version_are_problems_too(api: ApiClient) -> None:
    answer = api.client.get("/api/nothing", headers=api.headers)
    assert (answer.status_code, answer.mimetype) == (404, PROBLEM)
    assert api.client.get("/api/v2/batches").mimetype == PROBLEM
    assert PREFIX == "/api/v1"
