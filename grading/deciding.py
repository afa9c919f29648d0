"""The decision: the first rule that fits gives the verdict; what no rule fits passes where its result is usable."""

from collections.abc import Sequence
from typing import NamedTuple

from grading.findings import Findings
from grading.rules import Rule
from grading.verdicts import Verdict


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
