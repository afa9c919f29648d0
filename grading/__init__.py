"""Grade a device: its findings and the user's rules in, a verdict out. Pure."""

from grading.deciding import Grade, grade, line_words
from grading.findings import Findings
from grading.rules import (
    DEFAULT_RULES,
    MOST_RULES,
    Condition,
    Rule,
    RuleError,
    Rules,
    checked_rule,
    rules_from_json,
    rules_to_json,
)
from grading.stop_loss import StopLoss, read_stop_loss, stop_loss_from_json
from grading.verdicts import NO_VERDICTS, PENDING, Verdict, VerdictCounts, verdict_label

__all__ = [
    "DEFAULT_RULES",
    "MOST_RULES",
    "NO_VERDICTS",
    "PENDING",
    "Condition",
    "Findings",
    "Grade",
    "Rule",
    "RuleError",
    "Rules",
    "StopLoss",
    "Verdict",
    "VerdictCounts",
    "checked_rule",
    "grade",
    "line_words",
    "read_stop_loss",
    "rules_from_json",
    "rules_to_json",
    "stop_loss_from_json",
    "verdict_label",
]
