"""The verdict of a device: pass, review or fail. An order without a result has none."""

from enum import StrEnum

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
