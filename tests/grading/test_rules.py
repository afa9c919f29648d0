"""A rule fits what it says, and one that makes no sense is refused in a sentence."""

import json
from typing import Any

import pytest

from grading import (
    Findings,
    RuleError,
    checked_rule,
    rules_to_json,
)


@pytest.mark.parametrize(
    ("rule", "given", "fits"),
    [
        (("fail", "carrier_contains", "at&t"), {"carrier": "US AT&T Locked Policy"}, True),
        (("fail", "carrier_is", "at&t"), {"carrier": "US AT&T"}, False),
        (("fail", "carrier_is", "us  at&t"), {"carrier": "US AT&T"}, True),
        (("fail", "model_contains", "pro max"), {"model": "iPhone 12 Pro Max"}, True),
        (("review", "model_is", "iphone 12"), {"model": "iPhone 12 Pro"}, False),
        (("review", "warranty_contains", "out of"), {"warranty": "Out Of Warranty"}, True),
        (("review", "older", "30"), {"model": "X", "age": 30}, True),
        (("review", "older", "30"), {"model": "X", "age": 29}, False),
        (("review", "older", "30"), {"model": "X", "age": None}, False),
        (("pass", "unlocked"), {"simlock": "Unlocked"}, True),
        (("pass", "clean"), {"blacklist": "Clean"}, True),
        (("pass", "fmi_off"), {"fmi": "OFF"}, True),
        (("pass", "fmi_off"), {"fmi": "OFF", "is_about_another": True}, False),
        (("pass", "fmi_unknown"), {"service_name": "FMI check"}, False),  # nothing in it is understood
        (("review", "fmi_unknown"), {"is_rejected": True, "service_name": "FMI check"}, False),  # it has no result
        (("fail", "fmi_on", "", "5"), {"fmi": "ON", "service_id": "5"}, True),
        (("fail", "fmi_on", "", "5"), {"fmi": "ON", "service_id": "6"}, False),
    ],
)
def test_a_rule_fits_what_it_says(rule: tuple[str, ...], given: dict[str, Any], fits: bool) -> None:
    assert checked_rule(*rule).fits(Findings(**given)) is fits


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("good", "fmi_on"), "choose pass, review or fail."),
        (("pass", "green"), "choose a condition."),
        (("fail", "carrier_contains", "  "), "enter a text of 1 to 80 characters"),
        (("fail", "model_is", "x" * 81), "enter a text of 1 to 80 characters"),
        (("review", "older", "a month"), "enter a whole number of days from 1 to 3,650."),
        (("review", "older", "0"), "enter a whole number of days"),
        (("review", "older", "9" * 400), "enter a whole number of days"),
        (("review", "older", "0000000019"), "enter a whole number of days"),
        (("review", "older", "000000001" + "9" * 5000), "enter a whole number of days"),
        (("pass", "rejected"), "a phone without a result of its own cannot pass"),
        (("pass", "another"), "a phone without a result of its own cannot pass"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_in_a_sentence(given: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(RuleError, match=sentence):
        checked_rule(*given)


def test_a_value_that_a_condition_does_not_take_is_dropped() -> None:
    assert checked_rule("fail", "fmi_on", "x").value == ""
    assert checked_rule("review", "older", "030") == checked_rule("review", "older", "30")
    assert json.loads(rules_to_json([checked_rule("review", "older", "030")])) == [["review", "older", "30", ""]]
