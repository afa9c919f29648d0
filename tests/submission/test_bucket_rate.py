"""The rate of a bucket: its bracket after each refusal, how full the bucket is by it, and when it was no bucket."""

import math

import pytest

from submission.bucket_rate import IN_VAIN, MOST_RAISE, QUIET_CALLS, RAISE, BucketRate, between, count


def measured(size: int = 60, passed: int = 10, seconds: float = 5.0) -> tuple[BucketRate, list[float]]:
    """A bucket that was refused at 0 and again after so many calls, and the calls that passed."""
    bucket = BucketRate(size, 0.0)
    sent = [seconds * (number + 1) / (passed + 1) for number in range(passed)]
    bucket.begin(seconds, sent)
    bucket.emptied(seconds, sent)
    return bucket, sent


def send(bucket: BucketRate, sent: list[float], *times: float) -> None:
    for time in times:
        sent.append(time)
        bucket.started(time, sent)


@pytest.mark.parametrize(("low", "high", "middle"), [(1.0, 3.0, 2.0), (1.0, 4.0, 2.0), (0.0, 4.0, 2.0)])
def test_the_middle_of_a_wide_bracket_is_the_geometric_one(low: float, high: float, middle: float) -> None:
    assert between(low, high) == middle


def test_times_are_counted_after_one_and_up_to_another() -> None:
    assert count([1.0, 2.0, 3.0, 4.0], 1.0, 3.0) == 2
    assert count([1.0, 2.0, 3.0, 4.0], 1.0) == 3


def test_what_passed_between_two_refusals_is_the_rate_give_or_take_one_call() -> None:
    bucket, _ = measured(passed=10, seconds=5.0)
    assert (bucket.slowest, bucket.fastest) == pytest.approx((9 / 5, 11 / 5))
    assert bucket.rate == pytest.approx(2.0)


def test_one_call_says_little_of_the_slowest_rate() -> None:
    bucket, _ = measured(passed=1, seconds=2.0)
    assert (bucket.slowest, bucket.fastest) == pytest.approx((0.05, 1.0))


def test_a_bucket_that_was_full_when_calls_went_on_gave_its_size_first() -> None:
    bucket = BucketRate(10, 0.0)
    sent = [20.0 + number / 10 for number in range(15)]  # 15 calls in 1.5 s: ten were in the bucket
    bucket.begin(21.5, sent)
    assert bucket.base == pytest.approx(20.0)
    assert bucket.slowest == pytest.approx((15 - 10 - 1) / 1.5, rel=1e-3)
    assert bucket.fastest == pytest.approx((15 - 7 + 1) / 1.5, rel=1e-3)


def test_after_a_refusal_the_first_call_waits_for_one_to_flow_in() -> None:
    bucket, _ = measured()
    assert bucket.earliest(0, 5.0) == pytest.approx(5.5)
    assert bucket.earliest(2, 5.0) == pytest.approx(6.5)
    assert bucket.earliest(0, 5.2) == pytest.approx(5.5)
    assert bucket.earliest(0, 4.0) == pytest.approx(5.5)
    assert bucket.earliest(1, 9.0) == 9.0


def test_no_more_than_its_size_flows_into_a_bucket() -> None:
    bucket, _ = measured(size=3)
    assert [bucket.earliest(place, 100.0) for place in range(5)] == pytest.approx([100, 100, 100, 100.5, 101])


def test_calls_that_were_sent_after_the_refused_one_count_until_they_are_taken_back() -> None:
    bucket, sent = measured()
    bucket.emptied(5.0, [*sent, 5.1, 5.2])
    assert bucket.level == -2.0
    bucket.take_back()
    assert bucket.level == -1.0
    assert bucket.earliest(0, 5.0) == pytest.approx(6.0)


def test_a_call_takes_one_out_of_the_bucket() -> None:
    bucket, sent = measured()
    send(bucket, sent, 6.0)
    assert (bucket.level, bucket.level_at) == pytest.approx((1.0, 6.0))
    assert bucket.earliest(0, 6.0) == 6.0
    assert bucket.earliest(1, 6.0) == pytest.approx(6.0 + 1 / bucket.rate)


def test_the_next_refusal_narrows_the_bracket_over_all_that_was_measured() -> None:
    bucket, sent = measured(passed=10, seconds=5.0)
    send(bucket, sent, *[5.5 + number / 2 for number in range(9)])
    assert bucket.refused(10.0, sent)
    assert bucket.fastest == pytest.approx(20 / 10)
    assert bucket.slowest >= 18 / 10


def test_calls_that_pass_raise_the_slowest_rate() -> None:
    bucket, sent = measured()
    send(bucket, sent, *[5.5 + number / 2.1 for number in range(10)])
    assert bucket.slowest == pytest.approx(19 / (sent[-1] - 0.0))


def test_after_many_calls_without_a_refusal_the_rate_is_raised_more_each_time() -> None:
    bucket, sent = measured(passed=60, seconds=30.0)
    fastest, time = bucket.fastest, 30.0
    factors = []
    for _ in range(700):
        time = max(time, bucket.earliest(0, time))
        send(bucket, sent, time)
        if bucket.fastest > fastest:
            factors.append(bucket.fastest / fastest)
            assert bucket.quiet == 0
        fastest = bucket.fastest
    assert factors[:3] == pytest.approx([RAISE, 1.1, 1.2])
    assert max(factors) <= MOST_RAISE + 1e-9
    assert bucket.refused(time + 0.01, sent) in (True, False)
    assert bucket.factor == RAISE


def test_a_few_calls_without_a_refusal_do_not_raise_it() -> None:
    bucket, sent = measured(passed=60, seconds=30.0)
    fastest = bucket.fastest
    send(bucket, sent, *[30.5 + number / 2 for number in range(QUIET_CALLS - 1)])
    assert bucket.fastest == fastest


def test_a_full_bucket_that_refuses_was_used_too_fast() -> None:
    bucket, sent = measured(size=4)
    send(bucket, sent, 20.0, 20.02, 20.04, 20.06)
    assert (bucket.base_least, bucket.base_most) == pytest.approx((2.8, 4))
    rate = bucket.rate
    assert bucket.refused(20.5, sent)
    assert bucket.fastest <= rate
    assert bucket.slowest <= 0.6 * bucket.fastest + 1e-9


def test_a_rate_that_changed_is_measured_from_the_last_refusal_on() -> None:
    bucket, sent = measured(passed=100, seconds=50.0)
    bucket.emptied(50.0, sent)
    send(bucket, sent, *[51.0 + 2 * number for number in range(10)])
    bucket.slowest = 1.9
    assert bucket.refused(70.0, sent)
    assert bucket.base == 50.0
    assert (bucket.slowest, bucket.fastest) == pytest.approx((9 / 20, 11 / 20))


def test_calls_that_are_refused_though_two_should_have_flowed_in_are_no_buckets_doing() -> None:
    bucket, sent = measured()
    assert bucket.refused(5.0 + 2.1 / bucket.slowest, sent) is False


def test_a_bucket_may_refuse_a_few_calls_in_a_row_while_its_rate_is_hardly_known() -> None:
    bucket, sent = measured(passed=1, seconds=2.0)
    time = 2.0
    for number in range(1, IN_VAIN):
        time += 0.5
        assert bucket.refused(time, sent), number
        bucket.emptied(time, sent)
    assert bucket.vain == IN_VAIN - 1
    assert bucket.refused(time + 0.5, sent) is False


def test_a_call_that_passes_ends_the_row() -> None:
    bucket, sent = measured(passed=1, seconds=2.0)
    bucket.refused(2.5, sent)
    bucket.emptied(2.5, sent)
    sent.append(4.0)
    bucket.refused(4.5, sent)
    assert bucket.vain == 0


def test_a_new_bucket_knows_nothing_of_its_rate() -> None:
    assert (BucketRate(3, 0.0).slowest, BucketRate(3, 0.0).fastest) == (0.0, math.inf)
