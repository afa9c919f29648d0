"""Grade a device: its findings and the user's rules in, a verdict out. Pure."""

from grading.findings import Findings
from grading.rules import (
    DEFAULT_RULES,
    MOST_RULES,
    Condition,
    Rule,
    RuleError,
    Rules,
    checked_rule,
    grade,
    line_words,
    rules_from_json,
    rules_to_json,
)
from grading.stop_loss import StopLoss, read_stop_loss, stop_loss_from_json
from grading.verdicts import NO_VERDICTS, PENDING, Verdict, VerdictCounts, verdict_label
