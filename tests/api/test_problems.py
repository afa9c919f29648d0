"""Refusals as problem+json: one form for each, with the headers that tell a client what to do."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, g
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, TooManyRequests, Unauthorized

from api.problems import MEDIA_TYPE, MOST_ERRORS, NAMESPACE, SENTENCES, Problem, ProblemKind, answer_to, problem_answer
from web.access import described


@pytest.fixture(autouse=True)
def context() -> Iterator[None]:
    """A request for an address that needs quoting."""
    with Flask("test").test_request_context("/api/v1/bätches/a b"):
        g.request_id = "0123456789ab"
        yield


def body(answer: Response) -> dict[str, Any]:
    assert answer.mimetype == MEDIA_TYPE
    found: dict[str, Any] = json.loads(answer.data)
    assert found["status"] == answer.status_code
    return found


def test_a_problem_names_its_kind_and_the_request() -> None:
    answer = answer_to(Problem(ProblemKind.COST_EXCEEDED, "It costs $5.00."), "It costs $5.00.")
    assert body(answer) == {
        "type": "urn:hammer-api:cost-exceeded",
        "title": "It costs more than allowed",
        "status": 409,
        "detail": "It costs $5.00.",
        "instance": "/api/v1/b%C3%A4tches/a%20b",
        "request_id": "0123456789ab",
    }
    assert "Retry-After" not in answer.headers
    assert described()[1] == {"refused": "It costs more than allowed"}, "the audit log has the kind, not what was sent"


def test_only_the_first_errors_are_listed() -> None:
    errors = [{"detail": str(number)} for number in range(MOST_ERRORS + 1)]
    answer = answer_to(Problem(ProblemKind.INVALID_IMEIS, "Wrong.", errors), "Wrong.")
    assert body(answer)["errors"] == errors[:MOST_ERRORS]


@pytest.mark.parametrize("seconds", [0, 7])
def test_a_problem_says_when_to_repeat_the_request(seconds: int) -> None:
    answer = answer_to(Problem(ProblemKind.RATE_LIMITED, "Wait.", retry_after=seconds), "Wait.")
    assert answer.headers["Retry-After"] == str(seconds)


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (MethodNotAllowed(valid_methods=["GET", "POST"]), {"Allow": "GET, POST"}),
        (TooManyRequests(retry_after=3), {"Retry-After": "3"}),
        (Unauthorized(www_authenticate=WWWAuthenticate("bearer")), {"WWW-Authenticate": "Bearer"}),
        (NotFound(), {}),
    ],
)
def test_an_error_of_http_keeps_the_headers_that_tell_what_to_do(error: HTTPException, kept: dict[str, str]) -> None:
    answer = answer_to(error, "")
    assert {name: value for name, value in answer.headers if name not in ("Content-Type", "Content-Length")} == kept
    assert body(answer)["type"] == "about:blank"


@pytest.mark.parametrize(("status", "detail"), [(404, SENTENCES[404]), (429, "Too Many Requests")])
def test_an_error_without_words_has_a_sentence_or_the_phrase_of_its_status(status: int, detail: str) -> None:
    error = HTTPException()
    error.code = status
    assert body(answer_to(error, ""))["detail"] == detail
    assert body(answer_to(error, "There is no batch 9."))["detail"] == "There is no batch 9."
    error.code = None
    assert body(answer_to(error, ""))["title"] == "Internal Server Error"


def test_each_kind_has_a_name_of_its_own_a_status_of_a_refusal_and_a_remedy() -> None:
    kinds = list(ProblemKind)
    assert len({kind.uri for kind in kinds}) == len({kind.title for kind in kinds}) == len(kinds)
    assert all(kind.uri.startswith(NAMESPACE) and "_" not in kind.uri for kind in kinds)
    assert all(400 <= kind.status < 600 and kind.remedy.endswith(".") for kind in kinds)


def test_a_failure_has_no_errors_and_no_kind() -> None:
    found = body(problem_answer(500, "The app failed."))
    assert (found["type"], found["title"], "errors" in found) == ("about:blank", "Internal Server Error", False)
