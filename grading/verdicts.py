"""The verdict of a device: pass, review or fail. An order without a result has none."""

from dataclasses import astuple, dataclass
from enum import StrEnum
from operator import add

#: The word in a URL for orders without a verdict, because their result is not here yet.
PENDING = "pending"


class Verdict(StrEnum):
    """What the user's rules say about a device."""

    PASS = "pass"  # noqa: S105 - no password
    REVIEW = "review"  #: a person must look at it
    FAIL = "fail"

    @property
    def label(self) -> str:
        """The word that people see."""
        return self.value.capitalize()


def verdict_label(word: str | None) -> str:
    """Return the word that people see for a stored verdict; "" for none."""
    return Verdict(word).label if word else ""


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """The orders of a batch by verdict; together all of them."""

    passed: int = 0
    review: int = 0
    failed: int = 0
    pending: int = 0  #: without a result, or not graded yet

    def by_word(self) -> dict[str, int]:
        """Return the counts by the words of a filter."""
        words = (Verdict.PASS, Verdict.REVIEW, Verdict.FAIL, PENDING)
        return dict(zip(map(str, words), (self.passed, self.review, self.failed, self.pending), strict=True))

    def __add__(self, other: "VerdictCounts") -> "VerdictCounts":
        return VerdictCounts(*map(add, astuple(self), astuple(other)))

    @property
    def results(self) -> int:
        """How many have a verdict."""
        return self.passed + self.review + self.failed

    @property
    def total(self) -> int:
        """All orders."""
        return self.results + self.pending


#: No orders.
NO_VERDICTS = VerdictCounts()
