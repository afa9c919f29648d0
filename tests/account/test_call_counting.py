"""Counts of calls: each error is one outcome, nothing is lost between threads or by a write that failed."""

import threading

import pytest

from account.call_counting import LIMITS, CallCounter, CallOutcome, added, outcome_of, read_counts
from account.state import ProviderState, ProviderWatch, call_counts, write_state
from database import IMEIDatabase
from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
    UnreadableAnswerError,
)
from settings import MAIN_ACCOUNT


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, CallOutcome.ANSWERED),
        (RefusedError(RefusalKind.CREDIT, "x"), CallOutcome.REFUSED),
        (RateLimitedError("x"), CallOutcome.RATE_LIMITED),
        (MaintenanceError("x"), CallOutcome.MAINTENANCE),
        (NotSentError("x"), CallOutcome.NOT_SENT),
        (UnreadableAnswerError("x"), CallOutcome.UNREADABLE),
        (OutcomeUnknownError("x"), CallOutcome.UNKNOWN),
        (GSMFusionAPIError("x"), CallOutcome.UNKNOWN),
    ],
)
def test_each_error_is_one_outcome(error: GSMFusionAPIError | None, outcome: CallOutcome) -> None:
    assert outcome_of(error) is outcome


def test_no_count_is_lost_between_threads_and_what_is_stored_grows() -> None:
    counter, stored = CallCounter(), None

    def count() -> None:
        for _ in range(200):
            counter.count("placeorder", 0.5, None)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        stored = added(stored, counter.take())
    counter.count("placeorder", LIMITS[-1] + 1, NotSentError("x"))
    taken = counter.take()
    counter.put_back(taken)
    stored = added(stored, counter.take())
    (counts,) = read_counts(stored).values()
    assert counts.outcomes == {"answered": 1600, "not_sent": 1}
    assert (counts.buckets[LIMITS.index(0.5)], counts.buckets[-1], sum(counts.buckets)) == (1600, 1, 1601)
    assert counts.seconds == pytest.approx(1600 * 0.5 + LIMITS[-1] + 1)


def test_counts_are_written_with_the_state_and_survive_an_older_state(database: IMEIDatabase) -> None:
    write_state(database, ProviderState(True, 1, 2000.0), {}, MAIN_ACCOUNT)
    watch = ProviderWatch(database, MAIN_ACCOUNT, lambda: 1999.0)
    for _ in range(3):
        watch.report("placeorder", 0.3, None)
    watch.write()
    assert call_counts(database)["placing orders"].outcomes == {"answered": 3}
