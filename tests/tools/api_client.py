"""A client of the API with a token, on the app of a test."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from flask import Flask
from web_client import CARRIER
from werkzeug.test import TestResponse

from access import create_token
from database import IMEIDatabase
from people import Role, scopes_of
from storage.token_store import NewToken

PREFIX = "/api/v1"
SERVICE = CARRIER.package_id
PROBLEM = "application/problem+json"


class ApiClient:
    """Sends requests with one token; paths begin behind /api/v1."""

    def __init__(self, app: Flask, token: str) -> None:
        self.client = app.test_client()
        self.headers = {"Authorization": f"Bearer {token}"}

    def call(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> TestResponse:
        url = path if path.startswith("http") else PREFIX + path
        return self.client.open(url, method=method, headers=self.headers | (headers or {}), **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.call("GET", path, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> TestResponse:
        return self.call("POST", path, **({"json": json} if json is not None else {}), **more)

    def batch(self, imeis: list[str], status: int = 201, key: str = "", **more: Any) -> Any:
        """Create a batch; return the answer."""
        headers = {"Idempotency-Key": key} if key else None
        answer = self.post("/batches", {"service_id": SERVICE, "imeis": imeis, **more}, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json


def problem(answer: TestResponse, status: int, kind: str = "about:blank") -> Any:
    """Return the problem of an answer, which must have this status and kind."""
    assert (answer.status_code, answer.mimetype) == (status, PROBLEM), answer.text
    found: Any = answer.json
    assert found["status"] == status
    assert found["type"] == (kind if ":" in kind else f"urn:hammer-api:{kind}")
    assert found["request_id"] == answer.headers["X-Request-ID"]
    return found


@pytest.fixture(name="client_of")
def client_of_fixture(app: Flask, database: IMEIDatabase) -> Callable[[Role], ApiClient]:
    """Return clients with tokens of a role."""
    numbers = count(1)
    return lambda role: ApiClient(
        app, create_token(database, NewToken(f"{role} {next(numbers)}", role, scopes_of(role)))
    )


@pytest.fixture(name="api")
def api_fixture(client_of: Callable[[Role], ApiClient]) -> ApiClient:
    """A client with a token of an operator."""
    return client_of(Role.OPERATOR)
