"""Values of requests and answers: what is read of them, what is refused, and how money and times are written."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from marshmallow import Schema, ValidationError
from werkzeug.datastructures import MultiDict

from api.fields import Dollars, Flag, FormSchema, Moment, Several, TextLine, Whole, amount, moment, read_texts
from api.problems import MOST_ERRORS

NOON = datetime(2026, 11, 25, 12, 30, 15, 999_999)


class Form(FormSchema):
    """Every kind of field."""

    text = TextLine(5)
    name = TextLine(3, least=1)
    count = Whole(1, 100)
    flag = Flag()
    dollars = Dollars()
    several = Several(TextLine(3), 1, 150)


def refused(**given: Any) -> Any:
    """Return what is said of the one field that is given."""
    with pytest.raises(ValidationError) as error:
        Form().load(given)
    messages: Any = error.value.messages
    assert set(messages) == set(given)
    return next(iter(messages.values()))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("text", ["", "12345", "a\n\tb", "ü–漢"]),
        ("name", ["a", "abc"]),
        ("count", [1, 100]),
        ("flag", [True, False]),
        ("several", [["a"], ["abc"] * 150]),
    ],
)
def test_what_is_within_the_limits_is_taken_as_it_is(name: str, values: list[Any]) -> None:
    assert [Form().load({name: value})[name] for value in values] == values


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("text", ["123456", "a\x00", "\x7f", "\x0b", "\ud800", 5, None, ["a"], {}]),
        ("name", ["", "abcd"]),
        ("count", [0, 101, 1.0, True, "1", None, float("nan"), [], 10**30]),
        ("flag", [1, 0, "true", "", None, [], {}]),
        ("dollars", ["", "-1", "1e3", "1.1234567", "1234567890", "1,5", ".5", "1.", "٣", " 1", True, None, [], 10**10]),
        ("dollars", [float("nan"), float("inf"), -0.01, 1e-7]),
        ("several", [[], ["a"] * 151, "abc", {"0": "a"}, None, 5, [1], ["abcd"], [["a"]]]),
    ],
)
def test_what_is_beyond_the_limits_or_of_another_type_is_refused(name: str, values: list[Any]) -> None:
    for value in values:
        assert refused(**{name: value}), value


@pytest.mark.parametrize(
    ("given", "dollars"), [("0.08", 0.08), ("0", 0.0), ("999999999.999999", 999999999.999999), (5, 5.0), (0.1, 0.1)]
)
def test_dollars_are_read_from_a_text_or_a_number(given: Any, dollars: float) -> None:
    assert Form().load({"dollars": given}) == {"dollars": dollars}


def test_a_list_names_its_wrong_values_by_their_places_and_at_most_so_many() -> None:
    assert set(refused(several=["ok", "long", "ok", None])) == {1, 3}
    assert len(refused(several=["long"] * 150)) == MOST_ERRORS


def test_a_form_refuses_fields_that_it_does_not_name_but_does_not_name_thousands() -> None:
    assert refused(colour="red") == ["Unknown field."]
    most = len(Form().fields) + MOST_ERRORS
    with pytest.raises(ValidationError) as few:
        Form().load(dict.fromkeys(map(str, range(most)), 1))
    assert len(few.value.messages) == most
    with pytest.raises(ValidationError, match="There are too many fields") as many:
        Form().load(dict.fromkeys(map(str, range(most + 1)), 1))
    assert len(many.value.messages) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.0, "0.00"), (5, "5.00"), (0.1, "0.10"), (0.08, "0.08"), (1.125, "1.125"), (0.085, "0.085")),
        *((1e-6, "0.000001"), (0.1 + 0.2, "0.30"), (1234567.5, "1234567.50"), (1e-7, "0.00"), (100.0, "100.00")),
    ],
)
def test_money_has_two_decimals_or_as_many_as_it_needs(value: float, text: str) -> None:
    assert amount(value) == text


def test_a_moment_is_written_in_utc_without_its_fraction() -> None:
    assert moment(NOON) == moment(NOON.replace(tzinfo=UTC).timestamp()) == "2026-11-25T12:30:15Z"
    assert moment(0.0) == "1970-01-01T00:00:00Z"

    class Answer(Schema):
        """Both kinds of values of answers."""

        at = Moment()
        cost = Dollars()

    assert Answer().dump({"at": None, "cost": None}) == {"at": None, "cost": None}
    assert Answer().dump({"at": NOON + timedelta(hours=12), "cost": 0.5}) == {
        "at": "2026-11-26T00:30:15Z",
        "cost": "0.50",
    }


def test_a_query_says_numbers_truth_and_lists_in_texts() -> None:
    given = MultiDict([("count", "7"), ("flag", "on"), ("several", "a"), ("several", "b"), ("text", "1"), ("x", "1")])
    read = read_texts(Form(), given)
    assert read == {"count": 7, "flag": True, "several": ["a", "b"], "text": "1", "x": "1"}
    words = {text: read_texts(Form(), MultiDict({"flag": text}))["flag"] for text in ("true", "1", "false", "0", "off")}
    assert words == {"true": True, "1": True, "false": False, "0": False, "off": False}
    for text in ("1.0", "１", "", "1e3", "9" * 19):
        assert read_texts(Form(), MultiDict({"count": text})) == {"count": text}, "it is refused as a text"
    assert read_texts(Form(), MultiDict({"flag": "yes", "count": "-1"})) == {"flag": "yes", "count": -1}
    with pytest.raises(ValidationError) as twice:
        read_texts(Form(), MultiDict([("count", "1"), ("count", "1")]))
    assert twice.value.messages == {"count": ["Given more than once."]}
