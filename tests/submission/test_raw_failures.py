"""How a call failed, as a text in the database: what may be sent again stays certain, and all else is in doubt."""

import json

import pytest

from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
    SlowProviderError,
    UnreadableAnswerError,
)
from submission.raw_failures import HELD_BACK, read_failure, written_failure


@pytest.mark.parametrize("kind", [NotSentError, MaintenanceError, RateLimitedError, OutcomeUnknownError])
def test_a_failure_is_read_as_it_was_written(kind: type[GSMFusionAPIError]) -> None:
    before = kind("it “failed” at\n1", raw="<error>", retry_after=2.5, status=429)
    found = read_failure(written_failure(before))
    assert type(found) is kind
    assert (str(found), found.raw, found.retry_after, found.status) == (str(before), "<error>", 2.5, 429)


@pytest.mark.parametrize(
    "failure",
    [
        RefusedError(RefusalKind.CREDENTIALS, "Invalid Api Key"),
        SlowProviderError("slow"),
        UnreadableAnswerError("odd"),
        GSMFusionAPIError("something else"),
    ],
)
def test_a_failure_that_does_not_surely_place_nothing_is_doubt(failure: GSMFusionAPIError) -> None:
    """A refusal has an answer, which is stored as such: as a failure alone it proves nothing."""
    found = read_failure(written_failure(failure))
    assert (type(found), str(found)) == (OutcomeUnknownError, str(failure))


def test_a_call_that_was_given_back_has_a_text_of_its_own() -> None:
    texts = {written_failure(kind("held back")) for kind in (NotSentError, OutcomeUnknownError)}
    assert HELD_BACK not in texts


def test_a_failure_of_the_program_may_have_placed_orders() -> None:
    words = {"kind": "ZeroDivisionError", "words": "x", "raw": "", "retry_after": None, "status": None}
    assert isinstance(read_failure(json.dumps(words)), OutcomeUnknownError)
