"""The stop-loss: when so much of a batch fails that the rest should not be paid for."""

import json
from dataclasses import dataclass

from grading.rules import DIGITS, RuleError

#: Results that a stop-loss looks at.
LEAST, MOST = 5, 10_000


@dataclass(frozen=True, slots=True)
class StopLoss:
    """Pause a batch when more than `percent` of its first `first` results fail or are rejected."""

    percent: int
    first: int

    def is_hit(self, bad: int) -> bool:
        """Return whether this number of failed or rejected results is over the limit, whatever the others are."""
        return bad * 100 > self.percent * self.first

    @property
    def sentence(self) -> str:
        """Return what it does."""
        return (
            f"A batch is paused when more than {self.percent} % of its first {self.first:,} results fail or are"
            " rejected."
        )

    def notice(self, bad: int, results: int) -> str:
        """Return why a batch was paused, with the numbers."""
        return (
            f"Stop-loss: {bad:,} of the first {results:,} results fail or are rejected; the limit is"
            f" {self.percent} % of {self.first:,}. If you resume the batch, it is not checked again."
        )


def read_stop_loss(percent: str, first: str) -> StopLoss | None:
    """Return the stop-loss of a form, None where both fields are blank: off. Raises RuleError."""
    percent, first = percent.strip().removesuffix("%").strip(), first.strip().replace(",", "")
    if not percent and not first:
        return None
    if not _is_between(percent, 1, 99):
        raise RuleError("enter a whole number of percent from 1 to 99.")
    if not _is_between(first, LEAST, MOST):
        raise RuleError(f"enter a whole number of results from {LEAST} to {MOST:,}.")
    return StopLoss(int(percent), int(first))


def _is_between(text: str, least: int, most: int) -> bool:
    return DIGITS.fullmatch(text) is not None and least <= int(text) <= most


def stop_loss_from_json(stored: str | None) -> StopLoss | None:
    """Return the stored stop-loss; None for none."""
    return StopLoss(**json.loads(stored)) if stored else None
