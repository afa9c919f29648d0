"""The user's rules, such as "fail if Find My iPhone is ON", and their verdict about a result.

They are tried in their order, and the first that fits decides; what no rule fits passes where its result is usable.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from devices import blacklist_state, fmi_state, sim_state
from grading.findings import Findings
from grading.verdicts import Verdict

#: A whole number that a person may enter.
DIGITS = re.compile("[0-9]{1,9}")


class RuleError(Exception):
    """A list of rules is not usable. The message is a sentence for the page."""


class Condition(StrEnum):
    """What a rule asks of a result, without its text or days."""

    REJECTED = "rejected"
    ANOTHER = "another"
    BLACKLISTED = "blacklisted"
    CLEAN = "clean"
    BLACKLIST_UNKNOWN = "blacklist_unknown"
    FMI_ON = "fmi_on"
    FMI_OFF = "fmi_off"
    FMI_UNKNOWN = "fmi_unknown"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    SIMLOCK_UNKNOWN = "simlock_unknown"
    CARRIER_CONTAINS = "carrier_contains"
    CARRIER_IS = "carrier_is"
    MODEL_CONTAINS = "model_contains"
    MODEL_IS = "model_is"
    WARRANTY_CONTAINS = "warranty_contains"
    OLDER = "older"

    @property
    def label(self) -> str:
        """The words after "if"."""
        return LABELS[self]

    @property
    def takes_text(self) -> bool:
        """Whether the rule needs a text to compare with."""
        return self in TEXTS

    @property
    def takes_days(self) -> bool:
        """Whether the rule needs a number of days."""
        return self is Condition.OLDER


LABELS = MappingProxyType({
    Condition.REJECTED: "the order was rejected",
    Condition.ANOTHER: "the result is about another device",
    Condition.BLACKLISTED: "it is blacklisted",
    Condition.CLEAN: "the blacklist says clean",
    Condition.BLACKLIST_UNKNOWN: "the blacklist is unknown",
    Condition.FMI_ON: "Find My iPhone is ON",
    Condition.FMI_OFF: "Find My iPhone is OFF",
    Condition.FMI_UNKNOWN: "Find My iPhone is unknown",
    Condition.LOCKED: "it is SIM locked",
    Condition.UNLOCKED: "it is SIM unlocked",
    Condition.SIMLOCK_UNKNOWN: "the SIM lock is unknown",
    Condition.CARRIER_CONTAINS: "the carrier contains",
    Condition.CARRIER_IS: "the carrier is",
    Condition.MODEL_CONTAINS: "the model contains",
    Condition.MODEL_IS: "the model is",
    Condition.WARRANTY_CONTAINS: "the warranty contains",
    Condition.OLDER: "the result is older than (days)",
})  # fmt: skip
#: Condition → the finding and the state that fit it.
STATES = MappingProxyType({
    Condition.BLACKLISTED: ("blacklist", blacklist_state("blacklisted")),
    Condition.CLEAN: ("blacklist", blacklist_state("clean")),
    Condition.BLACKLIST_UNKNOWN: ("blacklist", blacklist_state("")),
    Condition.FMI_ON: ("fmi", fmi_state("on")),
    Condition.FMI_OFF: ("fmi", fmi_state("off")),
    Condition.FMI_UNKNOWN: ("fmi", fmi_state("")),
    Condition.LOCKED: ("simlock", sim_state("locked")),
    Condition.UNLOCKED: ("simlock", sim_state("unlocked")),
    Condition.SIMLOCK_UNKNOWN: ("simlock", sim_state("")),
})  # fmt: skip
#: Condition → the column and how its words are compared with the rule's text; both are folded.
TEXTS: MappingProxyType[Condition, tuple[str, Callable[[str, str], bool]]] = MappingProxyType({
    Condition.CARRIER_CONTAINS: ("carrier", str.__contains__),
    Condition.CARRIER_IS: ("carrier", str.__eq__),
    Condition.MODEL_CONTAINS: ("model", str.__contains__),
    Condition.MODEL_IS: ("model", str.__eq__),
    Condition.WARRANTY_CONTAINS: ("warranty", str.__contains__),
})  # fmt: skip
#: Rules that a list may have, characters of a text, and days (ten years).
MOST_RULES, LONGEST_TEXT, MOST_DAYS = 50, 80, 3650


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the list: a verdict, and when it applies."""

    verdict: Verdict
    condition: Condition
    value: str = ""  #: a text or a number of days, where the condition takes one
    service_id: str = ""  #: only results of this service; "" for every service

    def fits(self, findings: Findings) -> bool:
        """Return whether this rule decides. Only a usable result can pass."""
        if self.service_id not in ("", findings.service_id):
            return False
        if self.verdict is Verdict.PASS and not findings.is_usable:
            return False
        return _holds(self.condition, self.value, findings)

    @property
    def words(self) -> str:
        """Return such as: Fail if the carrier contains "AT&T"."""
        return f"{self.verdict.label} if {self.reason}"

    @property
    def reason(self) -> str:
        """The words after "if", with the text or the days."""
        if self.condition.takes_days:
            return f"the result is older than {self.value} {'day' if self.value == '1' else 'days'}"
        return f'{self.condition.label} "{self.value}"' if self.condition.takes_text else self.condition.label

    @property
    def days(self) -> int | None:
        """The age in days at which this rule begins to fit; None for a rule that does not look at the age."""
        return int(self.value) if self.condition.takes_days else None


Rules = tuple[Rule, ...]

DEFAULT_RULES: Rules = (
    Rule(Verdict.REVIEW, Condition.REJECTED),
    Rule(Verdict.REVIEW, Condition.ANOTHER),
    Rule(Verdict.FAIL, Condition.BLACKLISTED),
    Rule(Verdict.FAIL, Condition.FMI_ON),
    Rule(Verdict.REVIEW, Condition.LOCKED),
    Rule(Verdict.REVIEW, Condition.BLACKLIST_UNKNOWN),
    Rule(Verdict.REVIEW, Condition.FMI_UNKNOWN),
    Rule(Verdict.REVIEW, Condition.SIMLOCK_UNKNOWN),
)


def _holds(condition: Condition, value: str, findings: Findings) -> bool:
    if condition in STATES:
        name, state = STATES[condition]
        return findings.state(name) == state
    if condition in TEXTS:
        name, compare = TEXTS[condition]
        return compare(folded(getattr(findings, name)), folded(value))
    if condition is Condition.OLDER:
        return findings.age is not None and findings.age >= int(value)
    return findings.is_rejected if condition is Condition.REJECTED else findings.is_about_another


def folded(text: str) -> str:
    """Return a text without regard to case and to extra blanks."""
    return " ".join(text.casefold().split())


class Grade(NamedTuple):
    """A verdict, and the line of the list that gave it."""

    verdict: Verdict
    rule: int  #: from 1; one more than there are rules: everything else; two more: nothing usable


def grade(findings: Findings, rules: Sequence[Rule]) -> Grade:
    """Return what the rules say about a result. What is not usable never passes."""
    for number, rule in enumerate(rules, 1):
        if rule.fits(findings):
            return Grade(rule.verdict, number)
    if findings.is_usable:
        return Grade(Verdict.PASS, len(rules) + 1)
    return Grade(Verdict.REVIEW, len(rules) + 2)


def line_words(rules: Sequence[Rule], number: int) -> str:
    """Return the words of the line that a grade names."""
    if 1 <= number <= len(rules):
        return rules[number - 1].words
    if number == len(rules) + 1:
        return "Pass: no other rule fits"
    return "Review: nothing in the result is understood as being about this phone"


def checked_rule(verdict: str, condition: str, value: str = "", service_id: str = "") -> Rule:
    """Return the rule that these words name. Raises RuleError with a sentence about what is wrong."""
    if verdict not in list(Verdict):
        raise RuleError("choose pass, review or fail.")
    if condition not in list(Condition):
        raise RuleError("choose a condition.")
    wanted, value = Condition(condition), " ".join(value.split())
    if wanted.takes_text and not 0 < len(value) <= LONGEST_TEXT:
        raise RuleError(f"enter a text of 1 to {LONGEST_TEXT} characters to compare with.")
    if wanted.takes_days and not (DIGITS.fullmatch(value) and 0 < int(value) <= MOST_DAYS):
        raise RuleError(f"enter a whole number of days from 1 to {MOST_DAYS:,}.")
    if verdict == Verdict.PASS and wanted in (Condition.REJECTED, Condition.ANOTHER):
        raise RuleError("a phone without a result of its own cannot pass; choose review or fail.")
    value = str(int(value)) if wanted.takes_days else value if wanted.takes_text else ""
    return Rule(Verdict(verdict), wanted, value, service_id)


def rules_to_json(rules: Sequence[Rule]) -> str:
    """Return rules as the text that is stored."""
    return json.dumps([[rule.verdict, rule.condition, rule.value, rule.service_id] for rule in rules])


def rules_from_json(stored: str) -> Rules:
    """Return the rules in a stored text. Raises RuleError."""
    listed: list[Any] = json.loads(stored)
    return tuple(checked_rule(*map(str, one)) for one in listed)
