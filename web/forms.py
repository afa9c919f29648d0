"""How much a request may bring: bytes and fields, fewer before a login.

Werkzeug limits the parts of multipart bodies only, and each field by itself. Two million empty fields in a body of
5 MB cost 1 GB, so here fields are counted in both kinds of forms, and text is limited as a whole. Knows no views.
"""

from io import BytesIO
from typing import IO

from flask import Flask, Request, abort, request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

#: Bytes of one request: a file of 25 MB and what surrounds it.
MAX_REQUEST = 26 * 1024 * 1024
#: Bytes of all fields that are no files: a paste of 100,000 IMEIs with some words in each line.
MAX_TEXT = 8 * 1024 * 1024
#: Fields of one form; no form of ours has more than a hundred.
MAX_FIELDS = 10_000
#: The same before a login: a user name, a password and a token.
MAX_REQUEST_BEFORE_LOGIN, MAX_FIELDS_BEFORE_LOGIN = 16 * 1024, 20

Parsed = tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]


class LimitedParser(FormDataParser):
    """Parses forms; raises RequestEntityTooLarge for too much text and for too many fields."""

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
    """A request of the app."""

    form_data_parser_class = LimitedParser


def init_forms(app: Flask) -> None:
    """Limit every request of app."""
    app.request_class = LimitedRequest
    app.config.update(MAX_CONTENT_LENGTH=MAX_REQUEST, MAX_FORM_MEMORY_SIZE=MAX_TEXT, MAX_FORM_PARTS=MAX_FIELDS)


def expect_little() -> None:
    """Limit this request as before a login. A body of unknown length is refused: to read it may take long."""
    request.max_content_length = request.max_form_memory_size = MAX_REQUEST_BEFORE_LOGIN
    request.max_form_parts = MAX_FIELDS_BEFORE_LOGIN
    if "Transfer-Encoding" in request.headers:
        abort(411)
