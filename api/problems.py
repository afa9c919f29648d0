"""Errors of the API as problem+json (RFC 9457): one form for every refusal, with the id of the request.

This module must not know a resource.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from flask import Response, g, json, request
from werkzeug.exceptions import HTTPException

from web import describe

MEDIA_TYPE = "application/problem+json"
#: What `type` begins with. It is a name, not an address.
NAMESPACE = "urn:hammer-api:"
#: Most errors that one answer lists.
MOST_ERRORS = 100
#: Status → the sentence of an error without words of its own.
SENTENCES = {
    400: "The request cannot be read.",
    404: "There is nothing at this address.",
    405: "This address does not accept this method.",
    411: "The request does not state its length. Send it with a Content-Length header.",
    413: "A request holds at most 25 MB of files and 8 MB of text.",
    415: "The body has a type that is not accepted here.",
}
#: Headers of an HTTPException that its problem has too.
KEPT_HEADERS = frozenset({"allow", "retry-after", "www-authenticate"})


class ProblemKind(Enum):
    """Refusals that a client may want to tell apart: status, title, and what to do."""

    INVALID_REQUEST = (422, "The request is not valid", "Correct what `errors` names.")
    INVALID_IMEIS = (
        422,
        "Some IMEIs are not valid",
        "Correct what `errors` names, or send `invalid: skip` to order the others.",
    )
    UNKNOWN_SERVICE = (422, "The service cannot be ordered", "Choose a service of `GET /services`.")
    KEY_REUSED = (422, "The idempotency key was used for another request", "Send a new key with a new request.")
    KEY_IN_USE = (409, "The first request with this key is not finished", "Repeat it after `Retry-After` seconds.")
    NOTHING_TO_SEND = (409, "Nothing is left to send", "Every IMEI is ordered or under way already.")
    PRICE_CHANGED = (409, "The price is not the expected one", "Accept the new price, and send it as `unit_price`.")
    COST_EXCEEDED = (409, "It costs more than allowed", "Send fewer IMEIs or a higher `max_cost`.")
    NOT_ENOUGH_MONEY = (402, "The money does not suffice", "Balance, daily budget or daily limit are too small.")
    ORDERS_BLOCKED = (503, "No orders are placed at present", "A person must act; see `detail`.")
    PRICE_UNKNOWN = (503, "The price could not be checked", "Repeat the request in a minute; nothing was ordered.")
    NOT_POSSIBLE = (409, "This is not possible", "See `detail`.")
    RATE_LIMITED = (429, "Too many requests", "Repeat it after `Retry-After` seconds.")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]

    @property
    def title(self) -> str:
        """The same words for each problem of this kind."""
        return self.value[1]

    @property
    def remedy(self) -> str:
        """What a client can do."""
        return self.value[2]

    @property
    def uri(self) -> str:
        """The `type` of the problem."""
        return NAMESPACE + self.name.lower().replace("_", "-")


class Problem(HTTPException):
    """A refusal with its kind."""

    def __init__(
        self, kind: ProblemKind, detail: str, errors: Sequence[dict[str, Any]] = (), retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.code = kind.status
        self.kind = kind
        self.errors = errors
        self.retry_after = retry_after

    def get_headers(self, *args: Any, **kwargs: Any) -> list[tuple[str, str]]:
        """Return the headers of the answer."""
        wait = [("Retry-After", str(self.retry_after))] if self.retry_after is not None else []
        return [*super().get_headers(*args, **kwargs), *wait]


def answer_to(error: HTTPException, sentence: str) -> Response:
    """Return the problem of an HTTP error, with those of its headers that tell a client what to do.

    sentence: the words of the error; "" where it has none of its own.
    """
    headers = [header for header in error.get_headers() if header[0].lower() in KEPT_HEADERS]
    if isinstance(error, Problem):
        describe(refused=error.kind.title)
        return problem_answer(error.kind.status, sentence, error.kind, error.errors, headers)
    code = error.code or 500
    return problem_answer(code, sentence or SENTENCES.get(code, HTTPStatus(code).phrase), headers=headers)


def problem_answer(
    status: int,
    detail: str,
    kind: ProblemKind | None = None,
    errors: Sequence[dict[str, Any]] = (),
    headers: Iterable[tuple[str, str]] = (),
) -> Response:
    """Return a problem. Without a kind, its type is about:blank and its title the phrase of the status."""
    body: dict[str, Any] = {
        "type": kind.uri if kind else "about:blank",
        "title": kind.title if kind else HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": quote(request.path),
        "request_id": g.get("request_id", ""),
    }
    if errors:
        body["errors"] = list(errors[:MOST_ERRORS])
    answer = Response(json.dumps(body), status, mimetype=MEDIA_TYPE)
    answer.headers.extend(headers)
    return answer
