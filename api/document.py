"""The OpenAPI 3.1 document of the API, made of the declarations of its operations when it is first asked for."""

from http import HTTPStatus
from typing import Any

from flask import Flask
from flask_smorest import Api

from api.answers import ProblemAnswer
from api.fields import Dollars
from api.operations import ApiBlueprint
from api.problems import MEDIA_TYPE
from settings import VERSION
from web import RowNumbers

ABOUT = """Order IMEI checks and read their results.

Send a token in the header `Authorization: Bearer hmr_…`. An admin creates it under Settings → Tokens, or with
`flask tokens create NAME --role operator`. Cookies are not accepted.

To try it: `curl -H "Authorization: Bearer $HAMMER_TOKEN" http://127.0.0.1:8000/api/v1/account`.

Money is US dollars as a decimal text such as "0.08", times are UTC such as "2026-11-25T09:30:00Z", IMEIs are texts of
15 digits.

A list is read page by page: follow `Link: <…>; rel="next"`, or send its `next_cursor` as `cursor`.

Every refusal is `application/problem+json` with a `request_id`, which the log names too.

A token may send 600 requests in a minute to each web process; `RateLimit-Remaining` and `RateLimit-Reset` say what is
left.
"""
SECURITY = {"type": "http", "scheme": "bearer", "description": "A token of this app; it begins with hmr_."}


class Document(Api):  # type: ignore[misc]
    """Collects the operations. It handles no error and serves nothing."""

    ERROR_SCHEMA = ProblemAnswer
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Leave the errors to the app."""

    def _register_responses(self) -> None:
        """Describe every refusal as a problem."""
        self.spec.components.schema("Problem", schema=ProblemAnswer)
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for status in HTTPStatus:
            if status >= HTTPStatus.BAD_REQUEST:
                refusal = {"description": status.phrase, "content": content}
                self.spec.components.response(status.name, refusal, lazy=True)


def make_document(app: Flask, blueprints: tuple[ApiBlueprint, ...]) -> dict[str, Any]:
    """Return the OpenAPI document of these operations."""
    options = {
        "title": "HAMMER-API",
        "version": VERSION,
        "openapi_version": "3.1.0",
        "info": {"description": ABOUT, "license": {"name": "MIT", "identifier": "MIT"}},
        "security": [{"token": []}],
        "servers": [{"url": "/"}],
    }
    document = Document(app, spec_kwargs=options)
    document.register_converter(RowNumbers, lambda converter: {"type": "integer", "minimum": 0})
    document.ma_plugin.map_to_openapi_type(Dollars, "string", "decimal")
    document.spec.components.security_scheme("token", SECURITY)
    for blueprint in blueprints:
        blueprint.register_views_in_doc(document, app, document.spec, name=blueprint.name, parameters=None)
        document.spec.tag({"name": blueprint.title, "description": blueprint.description})
    return dict(document.spec.to_dict())
