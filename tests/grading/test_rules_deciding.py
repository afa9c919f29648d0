"""The first rule that fits decides; what is not usable never passes; a finding that nobody promised is not unknown."""

import random
from typing import Any

import pytest

from grading import (
    DEFAULT_RULES,
    Condition,
    Findings,
    Rule,
    RuleError,
    Verdict,
    checked_rule,
    grade,
    line_words,
    rules_from_json,
    rules_to_json,
)

FMI_CHECK = {"service_id": "5", "service_name": "Apple Find My iPhone ON/OFF"}
FULL = {"service_id": "8", "service_name": "10-7.1# Apple iPhone IMEI Carrier + Simlock + FMI"}
CLEAN = {"model": "iPhone 12", "simlock": "Unlocked", "fmi": "OFF", "blacklist": "Clean"}


@pytest.mark.parametrize(
    ("given", "verdict", "words"),
    [
        ({**FULL, **CLEAN}, "pass", "Pass: no other rule fits"),
        ({**FULL, **CLEAN, "fmi": "ON"}, "fail", "Fail if Find My iPhone is ON"),
        ({**FULL, **CLEAN, "fmi": "Lost Mode"}, "fail", "Fail if Find My iPhone is ON"),
        ({**FULL, **CLEAN, "blacklist": "Reported stolen"}, "fail", "Fail if it is blacklisted"),
        ({**FULL, **CLEAN, "fmi": "ON", "blacklist": "Blacklisted"}, "fail", "Fail if it is blacklisted"),
        ({**FULL, **CLEAN, "simlock": "Locked"}, "review", "Review if it is SIM locked"),
        ({**FULL, **CLEAN, "simlock": "Locked", "fmi": "ON"}, "fail", "Fail if Find My iPhone is ON"),
        ({**FULL, **CLEAN, "blacklist": "Not found"}, "review", "Review if the blacklist is unknown"),
        # A check of Find My iPhone has no blacklist and no SIM lock: neither is unknown.
        ({**FMI_CHECK, "fmi": "OFF"}, "pass", "Pass: no other rule fits"),
        ({**FMI_CHECK, "fmi": "maybe"}, "review", "Review if Find My iPhone is unknown"),
        # The name of the service promises what the result lacks.
        ({**FMI_CHECK, "model": "iPhone 12"}, "review", "Review if Find My iPhone is unknown"),
        ({**FULL, "model": "iPhone 12", "fmi": "OFF"}, "review", "Review if the SIM lock is unknown"),
        ({"service_name": "Apple Carrier without Blacklist", "carrier": "US AT&T"}, "pass", "Pass: no other rule fits"),
        ({"service_name": "Apple iCloud Clean/Lost", "model": "X", "text": "iCloud Status: Clean"}, "pass", "Pass: "),
        (
            {"service_name": "Apple iCloud Clean/Lost", "model": "X", "text": "iCloud Status: Lost"},
            "fail",
            "Fail if Fi",
        ),
        ({"service_name": "Info", "model": "X", "text": "iCloud removal possible: Yes"}, "pass", "Pass: "),
        ({"service_name": "Info", "model": "iPhone 12"}, "pass", "Pass: no other rule fits"),
        # Nothing is understood: a person looks at it.
        ({"service_name": "Info", "text": "see mail"}, "review", "Review: nothing in the result"),
        ({"service_name": "Info"}, "review", "Review: nothing in the result"),
        ({**FULL, "is_rejected": True}, "review", "Review if the order was rejected"),
        ({**FULL, **CLEAN, "is_about_another": True}, "review", "Review if the result is about another device"),
    ],
)
def test_the_rules_that_a_database_begins_with(given: dict[str, Any], verdict: str, words: str) -> None:
    found = grade(Findings(**given), DEFAULT_RULES)
    assert found.verdict == verdict
    assert line_words(DEFAULT_RULES, found.rule).startswith(words)


def some_findings(chance: random.Random) -> Findings:
    return Findings(
        is_rejected=chance.random() < 0.2,
        is_about_another=chance.random() < 0.2,
        service_id=chance.choice(["5", "8"]),
        service_name=chance.choice(["FMI + Blacklist", "Info"]),
        carrier=chance.choice(["", "US AT&T"]),
        model=chance.choice(["", "iPhone 12"]),
        simlock=chance.choice(["", "Locked", "Unlocked", "?"]),
        fmi=chance.choice(["", "ON", "OFF", "?"]),
        blacklist=chance.choice(["", "Clean", "Blacklisted", "Not found"]),
        age=chance.choice([None, 0, 40]),
    )


def some_rule(chance: random.Random) -> Rule:
    while True:
        condition = chance.choice(list(Condition))
        value = "30" if condition.takes_days else chance.choice(["AT&T", "iPhone"])
        try:
            return checked_rule(chance.choice(list(Verdict)), condition, value, chance.choice(["", "", "5"]))
        except RuleError:
            continue


def test_the_first_rule_that_fits_decides_and_what_is_not_usable_never_passes() -> None:
    chance = random.Random(12)
    for _ in range(3000):
        findings, rules = some_findings(chance), tuple(some_rule(chance) for _ in range(chance.randrange(7)))
        found = grade(findings, rules)
        fitting = [number for number, rule in enumerate(rules, 1) if rule.fits(findings)]
        if fitting:
            assert found == (rules[fitting[0] - 1].verdict, fitting[0])
        else:
            assert found.rule == len(rules) + (1 if findings.is_usable else 2)
        assert found.verdict is not Verdict.PASS or findings.is_usable
        assert line_words(rules, found.rule).startswith(found.verdict.label)
        assert rules_from_json(rules_to_json(rules)) == rules
