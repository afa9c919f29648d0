"""What is learned of a rate limit: when single calls look, when it is a window or a bucket, whom not to believe."""

import math

import pytest

from submission.limit_estimate import LONGEST_HOLD, LOOKS, MARGIN, MEMORY, LimitEstimate, LimitKind


def refused_after(calls: int, retry_after: float | None = None, spacing: float = 0.01) -> LimitEstimate:
    """An estimate after so many calls that passed from 0 on, and one that was refused next."""
    estimate = LimitEstimate()
    estimate.started([number * spacing for number in range(calls + 1)])
    at = calls * spacing
    estimate.refused(at, at + 0.005, retry_after)
    return estimate


def look(estimate: LimitEstimate, passes: bool, retry_after: float | None = None) -> float:
    """Let the next single call look, and return when it was sent."""
    at = estimate.earliest(0, 0.0)
    estimate.started([at])
    if passes:
        estimate.passed(at)
    else:
        estimate.refused(at, at + 0.005, retry_after)
    return at


def send(estimate: LimitEstimate, calls: int, now: float) -> list[float]:
    """Start so many calls one by one, each when it may, and return when that was; all of them pass."""
    times = []
    for _ in range(calls):
        now = max(now, estimate.earliest(0, now))
        estimate.started([now])
        estimate.passed(now)
        times.append(now)
    return times


def window(size: int = 60, length: float = 10.0) -> LimitEstimate:
    """An estimate that has found a window of so many calls, and used it once."""
    estimate = refused_after(size, retry_after=length)
    first = look(estimate, passes=True)
    send(estimate, size - 1, first)
    return estimate


# Nothing is known


def test_while_nothing_was_refused_nothing_waits() -> None:
    estimate = LimitEstimate()
    estimate.started([1.0, 2.0])
    assert (estimate.kind, estimate.earliest(7, 3.0)) == (LimitKind.NONE, 3.0)
    assert (estimate.quota, estimate.period) == (None, None)


def test_starts_are_remembered_up_to_a_number() -> None:
    estimate = LimitEstimate()
    estimate.started([float(number) for number in range(MEMORY + 10)])
    assert len(estimate.sent) == MEMORY


def test_after_a_refusal_only_a_single_call_may_start() -> None:
    estimate = refused_after(60)
    assert estimate.kind is LimitKind.UNKNOWN
    assert estimate.earliest(0, 1.0) == pytest.approx(2.5 + MARGIN)
    assert estimate.earliest(1, 1.0) == math.inf
    estimate.started([2.53])
    assert estimate.earliest(0, 2.6) == math.inf


# When single calls look


def test_without_a_word_calls_look_at_usual_times_after_the_first_call_of_the_window() -> None:
    estimate = refused_after(60)
    assert [look(estimate, passes=False) for _ in range(9)] == pytest.approx([each + MARGIN for each in LOOKS[1:]])
    assert look(estimate, passes=False) == pytest.approx(60.035 + LONGEST_HOLD)


def test_a_small_limit_is_looked_at_sooner() -> None:
    assert look(refused_after(10), passes=False) == pytest.approx(1.0 + MARGIN)


def test_one_usual_time_is_left_out_after_many_refusals() -> None:
    estimate = refused_after(60)
    estimate.refusals += 3
    looks = [look(estimate, passes=False) for _ in range(8)]
    assert looks[-2:] == pytest.approx([30.0 + MARGIN, 60.0 + MARGIN])


def test_a_call_looks_when_the_provider_says_so() -> None:
    assert look(refused_after(60, retry_after=7.0), passes=False) == pytest.approx(0.6 + 7.0 + MARGIN)


def test_a_provider_that_said_too_little_is_waited_for_and_not_believed_again() -> None:
    estimate = refused_after(60, retry_after=3.0)
    look(estimate, passes=False, retry_after=2.0)
    assert estimate.is_retry_too_early
    assert look(estimate, passes=False, retry_after=9.0) == pytest.approx(3.63 + 2.0, abs=0.01)
    assert look(estimate, passes=False) == pytest.approx(5.63 + 9.0, abs=0.01)
    assert look(estimate, passes=False) == pytest.approx(15.0 + MARGIN)


def test_a_wait_that_was_cut_does_not_make_a_provider_a_liar() -> None:
    estimate = refused_after(60, retry_after=3600.0)
    assert look(estimate, passes=False, retry_after=3540.0) == pytest.approx(0.6 + LONGEST_HOLD + MARGIN)
    assert not estimate.is_retry_too_early


def test_after_a_very_short_word_in_vain_the_next_looks_are_far_apart() -> None:
    estimate = refused_after(60, retry_after=1.0)
    look(estimate, passes=False, retry_after=1.0)
    assert look(estimate, passes=False) == pytest.approx(7.0 + MARGIN)


def test_the_very_first_call_may_be_refused() -> None:
    """Another program may have used the limit up; then nothing is known, and a call looks soon."""
    estimate = LimitEstimate()
    estimate.started([500.0])
    assert estimate.refused(500.0, 500.005, None) == pytest.approx(501.03)
    estimate.started([501.03])
    estimate.passed(501.03)
    assert estimate.high == pytest.approx(1.03)


def test_calls_of_long_ago_are_of_no_window() -> None:
    estimate = LimitEstimate()
    estimate.started([0.0, 1.0, 2.0, 900.0])
    assert estimate.refused(900.0, 900.005, None) == pytest.approx(901.03)


# A window


def test_a_call_that_passes_ends_the_look_and_the_window_repeats() -> None:
    estimate = refused_after(60, retry_after=10.0)
    assert look(estimate, passes=True) == pytest.approx(10.63)
    assert estimate.kind is LimitKind.WINDOW
    assert (estimate.size, estimate.high, estimate.low) == pytest.approx((60, 10.63, 9.63))
    assert (estimate.quota, estimate.period) == (60, estimate.high)
    assert send(estimate, 59, 10.64)[-1] == pytest.approx(0.59 + 10.63 + MARGIN)


def test_an_answer_of_a_call_before_the_look_says_nothing() -> None:
    estimate = refused_after(60)
    estimate.started([2.53])
    estimate.passed(0.5)
    assert estimate.kind is LimitKind.UNKNOWN


@pytest.mark.parametrize(("now", "kind"), [(2.62, LimitKind.UNKNOWN), (2.63, LimitKind.WINDOW)])
def test_a_call_that_is_not_refused_for_long_has_passed(now: float, kind: LimitKind) -> None:
    estimate = refused_after(60)
    estimate.started([2.53])
    estimate.presume(now, 0.1 - 1e-9)
    assert estimate.kind is kind


def test_a_window_gives_no_more_than_its_calls() -> None:
    estimate = window()
    assert estimate.earliest(60, 12.0) == math.inf


def test_a_wide_bracket_is_halved_by_one_call_and_no_more_in_the_same_window() -> None:
    estimate = refused_after(60)
    for _ in range(3):
        look(estimate, passes=False)
    first = look(estimate, passes=True)
    assert (estimate.low, estimate.high) == pytest.approx((7.03, 10.03))
    send(estimate, 59, first)
    assert look(estimate, passes=False) == pytest.approx(first + 8.53 + MARGIN)
    assert estimate.low == pytest.approx(8.53 + MARGIN)
    assert estimate.earliest(0, 0.0) == pytest.approx(first + 10.03 + MARGIN)
    assert estimate.earliest(1, 0.0) == math.inf  # nobody knows yet whether it is no longer than that


def test_a_shorter_window_that_is_open_is_the_window() -> None:
    estimate = refused_after(60)
    for _ in range(3):
        look(estimate, passes=False)
    first = look(estimate, passes=True)
    send(estimate, 59, first)
    look(estimate, passes=True)
    assert estimate.high == pytest.approx(8.53 + MARGIN)


def test_no_shorter_window_is_tried_after_many_refusals() -> None:
    estimate = refused_after(60)
    for _ in range(3):
        look(estimate, passes=False)
    first = look(estimate, passes=True)
    estimate.refusals += 4
    send(estimate, 59, first)
    assert estimate.earliest(0, 0.0) == pytest.approx(first + 10.03 + MARGIN)


def test_a_window_that_is_longer_than_it_seemed_is_looked_for_further() -> None:
    """A fixed window of which the first one was shortened by where it was met."""
    estimate = window(length=4.0)
    estimate.low = estimate.high - 0.1
    look(estimate, passes=False)
    assert estimate.kind is LimitKind.UNKNOWN
    first = estimate.sent[-60]
    assert look(estimate, passes=False) == pytest.approx(first + 5.0 + MARGIN)
    assert look(estimate, passes=False) == pytest.approx(first + 7.0 + MARGIN)
    assert look(estimate, passes=True) == pytest.approx(first + 10.0 + MARGIN)
    assert estimate.high == pytest.approx(10.0 + MARGIN)


def test_a_window_that_lets_fewer_calls_through_is_smaller() -> None:
    estimate = refused_after(60, retry_after=10.0)
    first = look(estimate, passes=True)
    times = send(estimate, 52, first)
    estimate.started([times[-1] + 0.02])
    estimate.refused(times[-1] + 0.02, times[-1] + 0.03, None)
    assert (estimate.kind, estimate.size) == (LimitKind.WINDOW, 53)


def test_after_windows_without_a_refusal_more_calls_are_tried_and_a_refusal_ends_that() -> None:
    estimate = window()
    estimate.low = estimate.high - 0.1
    times = send(estimate, 180, 11.3)
    assert estimate.size == 61
    now = max(times[-1], estimate.earliest(0, 0.0))
    estimate.started([now])
    estimate.refused(now, now + 0.01, None)
    assert estimate.size in (60, 61)


# A bucket


def bucket(calls: int = 5) -> LimitEstimate:
    """An estimate that saw so many calls pass in a second after a refusal."""
    estimate = refused_after(60, retry_after=1.0)
    first = look(estimate, passes=True)
    times = [first + 0.01 * number for number in range(1, calls)]
    estimate.started([*times, first + 0.1])
    estimate.refused(first + 0.1, first + 0.105, None)
    return estimate


def test_a_few_calls_that_pass_are_a_bucket() -> None:
    estimate = bucket(5)
    assert estimate.kind is LimitKind.RATE
    assert estimate.bucket is not None
    assert estimate.bucket.rate == pytest.approx(5 / 1.13, rel=0.05)
    assert estimate.quota == round(estimate.bucket.rate * 60)
    assert estimate.period == 60.0
    assert estimate.earliest(0, 0.0) == pytest.approx(1.73 + 1 / estimate.bucket.rate)


def test_calls_that_are_refused_though_a_bucket_would_have_them_are_a_windows_doing() -> None:
    estimate = bucket(5)
    assert estimate.bucket is not None
    estimate.started([20.0])
    estimate.refused(20.0, 20.005, None)
    assert estimate.kind is LimitKind.UNKNOWN
    assert estimate.bucket is None
    assert estimate.size == 5


def test_a_refusal_in_a_bucket_holds_until_a_call_flows_in() -> None:
    estimate = bucket(5)
    assert estimate.bucket is not None
    now = estimate.earliest(0, 0.0)
    estimate.started([now])
    until = estimate.refused(now, now + 0.005, None)
    assert until == pytest.approx(now + 0.005 + 1 / estimate.bucket.rate)


# Bookkeeping


def test_a_call_refused_with_the_first_counts_and_is_of_no_window() -> None:
    estimate = LimitEstimate()
    estimate.started([0.0, 0.01, 0.02, 0.03])
    estimate.refused(0.02, 0.025, None)
    estimate.also_refused(0.03)
    assert (estimate.refusals, list(estimate.sent), estimate.size, estimate.refused_at) == (2, [0.0, 0.01], 2, 0.03)


def test_a_call_that_is_taken_back_looks_again() -> None:
    estimate = refused_after(60)
    estimate.started([2.53])
    estimate.take_back()
    assert estimate.earliest(0, 0.0) == 2.53
    assert estimate.asked == 61


def test_nothing_is_taken_back_where_nothing_was_sent() -> None:
    estimate = LimitEstimate()
    estimate.take_back()
    assert estimate.asked == 0


@pytest.mark.parametrize(("retry_after", "until"), [(None, 2.53), (1.0, 1.63), (9.0, 9.63), (99.0, 60.63)])
def test_nothing_starts_before_the_time_that_was_told_or_the_next_look(retry_after: float | None, until: float) -> None:
    estimate = LimitEstimate()
    estimate.started([number * 0.01 for number in range(61)])
    assert estimate.refused(0.6, 0.605, retry_after) == pytest.approx(until)


def test_old_calls_and_refusals_count_half() -> None:
    estimate = LimitEstimate(refusals=10, asked=1999)
    estimate.started([1.0, 2.0])
    assert (estimate.asked, estimate.refusals) == (1000, 5)
