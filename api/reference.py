"""The OpenAPI document and the page that shows it; both need no token."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, render_template

from api.operations import PREFIX
from api.problems import ProblemKind
from web import allow_everyone

blueprint = Blueprint("api_reference", __name__, url_prefix="/api")

#: Where the app keeps the function that returns the document.
DOCUMENT = "api_document"


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A parameter, or a field of a body, as the page shows it."""

    name: str
    kind: str  #: such as "text" or "list of batches"
    is_required: bool
    description: str
    place: str = ""  #: "path", "query" or "header"


@dataclass(frozen=True, slots=True)
class OperationRow:
    """One operation."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    parameters: Sequence[FieldRow]
    body: Sequence[FieldRow]
    example: Any
    answers: Sequence[tuple[str, str, str]]  #: status, phrase, schema


@dataclass(frozen=True, slots=True)
class Section:
    """Operations on one kind of resource."""

    name: str
    description: str
    operations: Sequence[OperationRow]


@blueprint.get("/v1/openapi.json")
@allow_everyone()
def openapi() -> Response:
    """Return the OpenAPI document."""
    return jsonify(current_app.extensions[DOCUMENT]())


@blueprint.get("/docs")
@allow_everyone()
def page() -> str:
    """Show the API as a page."""
    document = current_app.extensions[DOCUMENT]()
    return render_template(
        "api.html",
        about=document["info"]["description"].split("\n\n"),
        prefix=PREFIX,
        groups=list(_groups(document)),
        schemas=list(_schemas(document)),
        problems=list(ProblemKind),
    )


def _groups(document: Mapping[str, Any]) -> Iterator[Section]:
    for tag in document["tags"]:
        found = [
            _operation(document, method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if isinstance(operation, Mapping) and tag["name"] in operation.get("tags", ())
        ]
        yield Section(tag["name"], tag["description"], found)


def _operation(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> OperationRow:
    shared = document["paths"][path].get("parameters", [])
    content = operation.get("requestBody", {}).get("content", {})
    body = content.get("multipart/form-data") or content.get("application/json") or {}
    return OperationRow(
        anchor=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=[
            _row(one["name"], one["schema"], one.get("required", False), one.get("description", ""), one["in"])
            for one in (*shared, *operation.get("parameters", ()))
        ],
        body=list(_fields(document, body.get("schema", {}))),
        example=content.get("application/json", {}).get("example"),
        answers=[(status, *_answer(document, answer)) for status, answer in sorted(operation["responses"].items())],
    )


def _answer(document: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[str, str]:
    """Return the phrase of an answer, and the name of its schema or its type of content."""
    whole = _resolved(document, answer)
    kinds = [
        _kind(one["schema"]) if "$ref" in one["schema"] else kind for kind, one in whole.get("content", {}).items()
    ]
    return whole["description"], ", ".join(kinds)


def _schemas(document: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[FieldRow]]]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield name, list(_fields(document, schema))


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[FieldRow]:
    whole = _resolved(document, schema)
    for name, one in whole.get("properties", {}).items():
        yield _row(name, one, name in whole.get("required", ()), one.get("description", ""))


def _row(name: str, schema: Mapping[str, Any], is_required: bool, description: str, place: str = "") -> FieldRow:
    choices, default = [str(one) for one in schema.get("enum", ()) if one is not None], schema.get("default")
    words = [description, f"One of {', '.join(choices)}." if choices else ""]
    words.append("" if default in (None, "") else f"Default: {json.dumps(default)}.")
    return FieldRow(name, _kind(schema), is_required, " ".join(filter(None, words)), place)


def _kind(schema: Mapping[str, Any]) -> str:
    """Return the type of a value in words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema or "allOf" in schema:
        return " or ".join(_kind(one) for one in schema.get("anyOf", schema.get("allOf", ())))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    kinds = schema.get("type", "any value")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def _resolved(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference names, or the part itself."""
    found: Any = part
    if "$ref" in part:
        found = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
    return dict(found)
