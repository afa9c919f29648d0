"""The OpenAPI document says what the API does: every route, and for thousands of requests every answer."""

import re
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from api_client import PREFIX, SERVICE, ApiClient
from flask import Flask
from hypothesis import HealthCheck, Phase, given
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from simulated_provider import imeis
from web_client import Provider, answer_chunks

from api import rate_limit
from database import IMEIDatabase
from people import Role

CONFORMANCE: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
#: Requests for each operation and kind of data.
EXAMPLES = 8
#: Not a JSON answer that ends: its own test is in test_contents.py.
STREAM = "/events"
bounded = hypothesis.settings(max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@pytest.fixture
def document(api: ApiClient) -> Any:
    return api.client.get(f"{PREFIX}/openapi.json").json


def test_the_document_and_the_routes_name_the_same_operations(app: Flask, document: Any) -> None:
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("api_") and not rule.endpoint.startswith("api_reference.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, methods in document["paths"].items() for method in methods} - {
        (path, "parameters") for path in document["paths"]
    }
    assert described == served
    assert len(served) == 30


def test_each_operation_lists_its_refusals_and_needs_a_token(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    names = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                names.append(operation["operationId"])
                assert {"401", "403", "429", "500", "503"} <= operation["responses"].keys(), path
                assert operation["summary"], path
    assert len(set(names)) == len(names)
    problem = document["components"]["responses"]["NOT_FOUND"]["content"]
    assert list(problem) == ["application/problem+json"]


@pytest.fixture
def check_operation(
    app: Flask,
    database: IMEIDatabase,
    provider: Provider,
    client_of: Callable[[Role], ApiClient],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Any, GenerationMode], None]:
    """Send generated requests to one operation, some of them about things that exist, and compare the answers."""
    monkeypatch.setattr(rate_limit, "REQUESTS", 10**6)
    provider.credits = 1e6
    admin = client_of(Role.ADMIN)
    admin.batch(imeis(5))
    answer_chunks(database)
    admin.post("/searches", {"imeis": imeis(9)})
    admin.post("/checks", {"imei": imeis(1, first=50)[0], "service_id": SERVICE})
    export = admin.post("/exports", {}).json["id"]  # type: ignore[index]
    known = {"batch_id": 1, "search_id": 1, "check_id": 1, "service_id": SERVICE, "export_id": export}
    headers = admin.headers | {"Accept-Encoding": "identity"}

    def check(operation: Any, mode: GenerationMode) -> None:
        fails: list[Any] = [negative_data_rejection] if mode is GenerationMode.NEGATIVE else []

        @bounded
        @given(case=operation.as_strategy(generation_mode=mode))
        def conforms(case: Case[Any]) -> None:
            if mode is GenerationMode.POSITIVE:
                _aim(case, known)
            case.validate_response(case.call(headers=headers), checks=CONFORMANCE + fails)

        conforms()

    return check


def _aim(case: Case[Any], known: dict[str, Any]) -> None:
    """Let a valid request be about what exists."""
    case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
    if isinstance(case.body, dict) and "service_id" in case.body:
        case.body |= {"service_id": SERVICE, "invalid": "skip"} if "imeis" in case.body else {"service_id": SERVICE}
        if "imeis" in case.body:
            case.body["imeis"] = list[Any](imeis(3, first=len(str(case.body))))


def test_every_answer_is_as_the_document_says(
    app: Flask, check_operation: Callable[[Any, GenerationMode], None]
) -> None:
    schema = schemathesis.openapi.from_wsgi(f"{PREFIX}/openapi.json", app)
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    for operation in operations:
        for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
            if not operation.path.endswith(STREAM):
                check_operation(operation, mode)
