"""Limits for request bodies, lower before a login, and fields of a refused form for the page that shows it again.

Werkzeug limits only the parts of multipart bodies and each field alone. Two million empty fields in a body of 5 MB use
1 GB of memory. This module counts the fields of both kinds of forms and limits the total text. It must not know views.
"""

from io import BytesIO
from typing import IO

from flask import Flask, Request, abort, request, session
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

#: Bytes of one request: a file of 25 MB and the form around it.
MAX_REQUEST = 26 * 1024 * 1024
#: Bytes of all text fields: a paste of 100,000 IMEIs with some words in each line.
MAX_TEXT = 8 * 1024 * 1024
#: Fields of one form; our forms have at most a hundred.
MAX_FIELDS = 10_000
#: Bytes and fields before a login: a user name, a password and a token.
MAX_REQUEST_BEFORE_LOGIN, MAX_FIELDS_BEFORE_LOGIN = 16 * 1024, 20

#: Fields that are not kept for another page, and the most characters of all others: a cookie holds them.
SECRET_FIELDS, MOST_TYPED = ("csrf_token", "password"), 2500
TYPED = "typed"

Parsed = tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]


class LimitedParser(FormDataParser):
    """Form parser that raises RequestEntityTooLarge for too much text and for too many fields."""

    def _parse_urlencoded(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str]
    ) -> Parsed:
        most, fields, body = self.max_form_memory_size or MAX_TEXT, 1, bytearray()
        if (content_length or 0) > most:
            raise RequestEntityTooLarge
        while chunk := stream.read(64 * 1024):
            body += chunk
            fields += chunk.count(b"&")
            if len(body) > most or fields > (self.max_form_parts or MAX_FIELDS):
                raise RequestEntityTooLarge
        return super()._parse_urlencoded(BytesIO(body), mimetype, content_length, options)

    def _parse_multipart(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str]
    ) -> Parsed:
        parsed = super()._parse_multipart(stream, mimetype, content_length, options)
        if sum(len(value) for value in parsed[1].values()) > (self.max_form_memory_size or MAX_TEXT):
            raise RequestEntityTooLarge
        return parsed


class LimitedRequest(Request):
    """The request class of the app."""

    form_data_parser_class = LimitedParser


def init_forms(app: Flask) -> None:
    """Limit each request of app."""
    app.request_class = LimitedRequest
    app.config.update(MAX_CONTENT_LENGTH=MAX_REQUEST, MAX_FORM_MEMORY_SIZE=MAX_TEXT, MAX_FORM_PARTS=MAX_FIELDS)


def keep_typed() -> None:
    """Keep what was typed into the form of this request, which changed nothing, until its page is shown again."""
    fields = [field for field in request.form.items(multi=True) if field[0] not in SECRET_FIELDS]
    if sum(len(name) + len(value) for name, value in fields) <= MOST_TYPED:
        session[TYPED] = [request.path, fields]


def typed_into(action: str) -> MultiDict[str, str]:
    """Return what keep_typed() kept of the form that is sent to this path, once; empty where there is nothing."""
    path, fields = session.get(TYPED, ("", ()))
    if path != action:
        return MultiDict()
    del session[TYPED]
    return MultiDict((name, value) for name, value in fields)


def expect_little() -> None:
    """Apply the limits before a login to this request. A body of unknown length is refused with 411."""
    request.max_content_length = request.max_form_memory_size = MAX_REQUEST_BEFORE_LOGIN
    request.max_form_parts = MAX_FIELDS_BEFORE_LOGIN
    if "Transfer-Encoding" in request.headers:
        abort(411)
