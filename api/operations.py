"""How an operation of the API is declared: its address, what it takes and answers, and every refusal.

flask-smorest reads and checks requests by these declarations, and writes the OpenAPI document from them.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NoReturn, TypedDict, TypeVar, Unpack

from flask import Request, request, url_for
from flask_smorest import Blueprint
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from api.fields import read_texts
from api.problems import Problem, ProblemKind
from web import MAX_TEXT

PREFIX = "/api/v1"
#: Refusals that every operation may answer.
ALWAYS = (401, 403, 429, 500, 503)
#: Refusals of an operation that reads a body.
OF_BODIES = (400, 413, 415)
LINK = {"Link": {"description": 'The next page, as rel="next" (RFC 8288).', "schema": {"type": "string"}}}
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")

Answers = type[Schema] | Mapping[str, Any]
View = TypeVar("View", bound=Callable[..., Any])


class StrictParser(FlaskParser):
    """Reads JSON, forms and queries; whatever is wrong becomes a problem."""

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Return the JSON of a body, or the fields of a form where the schema takes forms."""
        if req.mimetype in FORMS and getattr(schema, "takes_forms", False) and not _is_json_as_form(req):
            return read_texts(schema, req.form)
        is_empty = not req.content_length and "Transfer-Encoding" not in req.headers
        if is_empty and (not req.content_type or not _needs_body(type(schema))):
            return {}
        if not req.is_json:
            kinds = ("application/json", *(FORMS[:1] if getattr(schema, "takes_forms", False) else ()))
            raise UnsupportedMediaType(f"Send the body as {' or '.join(kinds)}.")
        req.max_content_length = MAX_TEXT
        if (req.content_length or 0) > MAX_TEXT:
            raise RequestEntityTooLarge
        try:
            return json.loads(req.get_data().decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BadRequest("The body is not valid JSON in UTF-8.") from error

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """Return the values of the query."""
        return read_texts(schema, req.args)

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:
        """Refuse a request that does not fit its schema."""
        messages: Any = error.messages
        location = next(iter(messages)) if messages else ""
        found = list(_errors(messages.get(location, messages), location == "query"))
        raise Problem(ProblemKind.INVALID_REQUEST, "The request has fields that are not valid.", found) from error


class ApiBlueprint(Blueprint):  # type: ignore[misc]
    """A group of operations."""

    title: str  #: its name in the document

    ARGUMENTS_PARSER = StrictParser(unknown=None)  # the schemas say what to do with unknown fields


def operations(name: str, description: str) -> ApiBlueprint:
    """Return a new group of operations. Its endpoints begin with "api_"."""
    made = ApiBlueprint(f"api_{name}", f"api.{name}", url_prefix=PREFIX, description=description)
    made.title = name
    return made


class Declared(TypedDict, total=False):
    """What an operation takes and answers, besides its usual answer."""

    takes: type[Schema]  #: the body
    query: type[Schema]
    status: int  #: of the usual answer; without it 200
    also: Mapping[int, type[Schema]]  #: more statuses of answers
    refusals: Sequence[int]  #: statuses besides those that follow from the rest
    doc: Mapping[str, Any]  #: more for the document


def operation(
    blueprint: ApiBlueprint, method: str, rule: str, answers: Answers, **declared: Unpack[Declared]
) -> Callable[[View], View]:
    """Register a view, which gets the body, the query, and the values of the path.

    answers: the schema of its JSON, or for another type of content {content type: OpenAPI schema}.
    """
    takes, query = declared.get("takes"), declared.get("query")

    def register(view: View) -> View:
        shown: Any = view
        if query is not None:
            shown = blueprint.arguments(query, location="query")(shown)
        if takes is not None:
            shown = blueprint.arguments(takes, required=_needs_body(takes))(shown)
        shown = _with_answers(blueprint, answers, declared)(shown)
        for code in _refusals(rule, declared):
            shown = blueprint.alt_response(code, response=HTTPStatus(code).name)(shown)
        shown = blueprint.doc(operationId=_name(method, rule), **declared.get("doc", {}))(shown)
        blueprint.route(rule, methods=[method], tags=[blueprint.title])(shown)
        return view

    return register


def _with_answers(blueprint: ApiBlueprint, answers: Answers, declared: Declared) -> Callable[[Any], Any]:
    """Return the decorator that writes and describes the answers of an operation."""
    status, query = declared.get("status", 200), declared.get("query")

    def decorate(shown: Any) -> Any:
        if isinstance(answers, type):
            headers = LINK if query is not None and "cursor" in query().fields else None
            shown = blueprint.response(status, answers, headers=headers)(shown)
        else:
            content = {kind: {"schema": schema} for kind, schema in answers.items()}
            described = {status: {"description": HTTPStatus(status).phrase, "content": content}}
            shown = blueprint.doc(responses=described)(shown)
        for code, schema in declared.get("also", {}).items():
            shown = blueprint.alt_response(code, schema=schema, success=True)(shown)
        return shown

    return decorate


def _name(method: str, rule: str) -> str:
    """Return the name of an operation in the document, such as "get_batches_batch_id"."""
    return "_".join((method.lower(), *re.findall(r"[a-z_]+(?=[/>]|$)", rule)))


def _refusals(rule: str, declared: Declared) -> list[int]:
    """Return the statuses of all refusals of an operation."""
    found = {*ALWAYS, *declared.get("refusals", ()), *(OF_BODIES if "takes" in declared else ())}
    found |= {404} if "<" in rule else set()
    return sorted(found | ({422} if "takes" in declared or "query" in declared else set()))


def next_page(cursor: str | None) -> dict[str, str]:
    """Return the Link header (RFC 8288) of a page that is followed by another one."""
    if cursor is None:
        return {}
    values: dict[str, Any] = {**request.args.to_dict(), **(request.view_args or {}), "cursor": cursor}
    return {"Link": f'<{url_for(request.endpoint or "", **values, _external=True)}>; rel="next"'}


def _is_json_as_form(req: Request) -> bool:
    """Whether JSON came with the type of a form, as curl sends a body by default."""
    return req.mimetype == FORMS[1] and next(iter(req.form), "").lstrip().startswith("{")


def _needs_body(takes: type[Schema]) -> bool:
    return any(field.required for field in takes().fields.values())


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _errors(messages: Any, is_query: bool, path: str = "") -> Iterator[dict[str, str]]:
    """Yield the errors of a schema, each with the JSON pointer or the name of its field."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            step = "" if name == "_schema" else f"/{str(name).replace('~', '~0').replace('/', '~1')}"
            yield from _errors(inner, is_query, path + step)
        return
    for sentence in [messages] if isinstance(messages, str) else messages:
        place = {"parameter": path.removeprefix("/")} if is_query else {"pointer": f"#{path}"}
        yield {"detail": sentence, **place}
