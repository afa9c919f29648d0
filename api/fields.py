"""Values of requests and answers: texts that can be stored, money as decimal texts, times in UTC.

This module must not know a resource or a request.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate
from werkzeug.datastructures import MultiDict

from api.problems import MOST_ERRORS

#: What no text of a request may hold: control characters, except line breaks and tabs, and lone surrogates.
UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
#: How a form or a query says true and false.
WORDS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


class FormSchema(Schema):
    """What a request holds. A field that it does not name is an error, as is usual in marshmallow."""

    @pre_load
    def _refuse_many(self, data: Any, **_: Any) -> Any:
        """Refuse more unknown fields than an answer names, before memory is taken for an error about each."""
        if isinstance(data, Mapping) and len(data) > len(self.fields) + MOST_ERRORS:
            raise ValidationError("There are too many fields.")
        return data


class Several(fields.List[Any]):
    """A list of at most `most` values. Its length is checked first, and reading ends after MOST_ERRORS errors.

    Eight megabytes of wrong values would otherwise take a gigabyte for an error about each.
    """

    def __init__(self, inner: fields.Field[Any], least: int, most: int, **more: Any) -> None:
        super().__init__(inner, validate=validate.Length(least, most), **more)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        self._validate(value)
        found: list[Any] = []
        errors: dict[int, Any] = {}
        for place, one in enumerate(value):
            try:
                found.append(self.inner.deserialize(one, **kwargs))
            except ValidationError as error:
                errors[place] = error.messages
            if len(errors) == MOST_ERRORS:
                break
        if errors:
            raise ValidationError(errors)
        return found


class TextLine(fields.String):
    """A text that can be stored, of at most `longest` characters."""

    def __init__(self, longest: int = 100, least: int = 0, **more: Any) -> None:
        super().__init__(validate=validate.Length(least, longest), **more)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        if UNWANTED.search(text):
            raise ValidationError("Control characters are not allowed.")
        return text


#: What the document says of each cursor.
CURSOR_WORDS = "The `next_cursor` of the page before. Without it, the first page."


class Whole(fields.Integer):
    """A whole number; 1.0 and true are refused."""

    def __init__(self, least: int = 0, most: int = 10**9, **more: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(least, most), **more)
        self.error_messages["invalid"] = "Not a whole number."


def limit_field(most: int, usual: int) -> Whole:
    """Return the field for the length of a page."""
    return Whole(1, most, load_default=usual, metadata={"description": f"Most on a page, up to {most:,}."})


def cursor_field() -> TextLine:
    """Return the field for the cursor of a list of orders; "" is its first page."""
    return TextLine(60, load_default="", metadata={"description": CURSOR_WORDS})


class Flag(fields.Boolean):
    """True or false, and no other word for them."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Not true or false.")
        return value


class Dollars(fields.String):
    """US dollars as a decimal text such as "0.08"; a request may send a number too."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else amount(value)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> float:  # type: ignore[override]
        text = value if isinstance(value, str) else repr(value) if type(value) in (int, float) else ""
        if not AMOUNT.fullmatch(text):
            raise ValidationError("Not an amount in US dollars such as “0.08”.")
        return float(text)


class Moment(fields.DateTime):
    """A time in UTC, such as "2026-11-25T09:30:00Z" (RFC 3339)."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else moment(value)


def amount(value: float) -> str:
    """Return US dollars with two decimals, or up to six where they are not zero."""
    plain = f"{Decimal(repr(value)):.6f}".rstrip("0")
    return plain + "0" * (2 - len(plain.partition(".")[2]))


def moment(value: datetime | float) -> str:
    """Return a UTC time without a zone, as tables hold it, or a Unix time, as RFC 3339."""
    at = value if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"


def read_texts(schema: Schema, given: MultiDict[str, str]) -> dict[str, Any]:
    """Return the values of a query or a form as JSON has them: numbers, truth and lists by the fields of the schema.

    Raises ValidationError for a value that is given twice.
    """
    found: dict[str, Any] = {}
    for name, texts in given.lists():
        field = schema.fields.get(name)
        if isinstance(field, fields.List):
            found[name] = texts
        elif len(texts) > 1:
            raise ValidationError({name: ["Given more than once."]})
        else:
            found[name] = _read_text(field, texts[0])
    return found


def _read_text(field: Any, text: str) -> Any:
    if isinstance(field, Whole) and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    return WORDS.get(text, text) if isinstance(field, Flag) else text
