"""The pace, held against a provider of fixed windows on a clock of its own."""

import heapq
from collections import deque

import pytest

from pace import LONGEST_HOLD, LONGEST_SPACING, MEMORY, SHORTEST_SPACING, Pace


def drive(pace: Pace, calls: int, limit: int, window: float, latency: float, retry_after: bool) -> tuple[float, int]:
    """(seconds until the last of `calls` got through, how many calls were answered 429)."""
    now, through, refused, counts = 7.0, 0, 0, dict[int, int]()
    wire: list[tuple[float, float, bool]] = []  # (answer at, start, through)
    began = now
    while through < calls:
        free = pace.permits(now, len(wire))
        for start in pace.start(now, min(free, calls - through - len(wire))):
            slot = int(start // window)
            counts[slot] = counts.get(slot, 0) + 1
            passes = counts[slot] <= limit
            heapq.heappush(wire, (start + (latency if passes else 0.005), start, passes))
        if wire and wire[0][0] <= now + 0.25:
            at, start, passes = heapq.heappop(wire)
            now = max(now, at)
            if passes:
                through += 1
                pace.answered(at - start)
                continue
            refused += 1
            wait = window - now % window
            if now >= pace.hold_until:  # calls that had not begun are given back
                waiting = [call for call in wire if call[1] > now]
                wire = [call for call in wire if call[1] <= now]
                heapq.heapify(wire)
                for call in waiting:
                    counts[int(call[1] // window)] -= 1
                    pace.take_back()
            pace.limited(now, wait if retry_after else None, 0.5)
        else:
            now += pace.wait(now, 0.25)
    return now - began, refused


@pytest.mark.parametrize("latency", [0.1, 1.0, 3.5])
def test_a_fixed_window_of_60_calls_is_used_fully_and_hardly_ever_passed(latency: float) -> None:
    seconds, refused = drive(Pace(30), 200, 60, 60.0, latency, retry_after=True)
    least = (60.0 - 7.0) + 2 * 60.0 + latency  # 60 at once, 60 at each reset, 20 after the third
    assert seconds <= 1.15 * least
    assert refused <= 0.05 * 200


def test_without_retry_after_the_window_is_found_by_single_calls() -> None:
    seconds, refused = drive(Pace(30), 200, 60, 60.0, 1.0, retry_after=False)
    assert seconds <= 1.5 * (53.0 + 120.0)
    assert refused <= 0.12 * 200


def test_a_wait_of_hours_is_capped() -> None:
    pace = Pace(30)
    pace.limited(0.0, 9999.0, 0.0)
    assert 0 < pace.hold_until <= LONGEST_HOLD + 1


def test_after_an_outage_one_call_tries_the_water() -> None:
    pace = Pace(30)
    pace.unreachable(0.0, 0.0)
    assert pace.permits(0.5, 0) == 0
    assert pace.permits(5.0, 0) == 1
    pace.answered(0.3)
    assert pace.permits(5.0, 0) == 30


def test_concurrency_falls_while_latency_climbs_and_grows_again() -> None:
    pace = Pace(30)
    for _ in range(60):
        pace.answered(1.0)
    for _ in range(40):
        pace.answered(6.0)
    fallen = pace.permits(0.0, 0)
    assert fallen < 25
    for _ in range(400):
        pace.answered(1.0)
    assert fallen < pace.permits(0.0, 0) == 30


def usually(seconds: float, concurrency: float = 10.0) -> Pace:
    """A pace of 30 workers that knows how long a call takes."""
    return Pace(30, concurrency=concurrency, times=deque([seconds] * 20, maxlen=MEMORY))


def with_window(quota: int, used: int = 0) -> Pace:
    """A pace that has learned a quota for each 60 seconds; a window began at 100."""
    return Pace(30, quota=quota, period=60.0, reset=100.0, used=used)


# Permits


def test_calls_on_the_wire_take_up_room() -> None:
    pace = Pace(5)
    assert [pace.permits(0.0, on_the_wire) for on_the_wire in (0, 2, 5, 9)] == [5, 3, 0, 0]


def test_more_are_planned_ahead_only_while_nothing_limits_the_calls() -> None:
    assert Pace(5).permits(0.0, 2, ahead=4) == 7
    assert Pace(5, failures=1).permits(0.0, 2, ahead=4) == 3
    assert with_window(quota=90).permits(100.0, 2, ahead=4) == 28


def test_a_part_of_a_worker_is_no_permit() -> None:
    assert Pace(5, concurrency=3.9).permits(0.0, 0) == 3


def test_nothing_starts_before_a_hold_ends_and_calls_start_the_moment_it_does() -> None:
    pace = Pace(5, hold_until=10.0)
    assert (pace.permits(9.99, 0), pace.permits(10.0, 0)) == (0, 5)


def test_while_nobody_knows_when_it_goes_on_a_single_call_is_on_the_wire() -> None:
    pace = Pace(5, probing=True)
    assert (pace.permits(0.0, 0), pace.permits(0.0, 1)) == (1, 0)


# Starts


def test_calls_start_one_after_another_across_two_rounds() -> None:
    pace = Pace(10)
    assert pace.start(2.0, 3) == pytest.approx([2.0, 2.005, 2.01])
    assert pace.start(2.0, 2) == pytest.approx([2.015, 2.02])
    assert pace.start(2.0, 0) == []
    assert pace.start(2.0, 1) == pytest.approx([2.025])
    assert pace.start(9.0, 1) == [9.0]


@pytest.mark.parametrize(
    ("seconds", "spacing"), [(0.3, 0.01), (9.0, LONGEST_SPACING), (0.001, SHORTEST_SPACING)], ids=str
)
def test_starts_are_spread_over_the_time_of_a_call(seconds: float, spacing: float) -> None:
    assert usually(seconds).spacing == pytest.approx(spacing)


def test_where_a_limit_is_known_starts_are_as_far_apart_as_they_ever_are() -> None:
    pace = usually(0.03)
    pace.limited(0.0, 5.0, 0.0)
    assert pace.spacing == LONGEST_SPACING


def test_the_quickest_tenth_of_the_newest_calls_says_what_is_usual() -> None:
    pace = Pace(30)
    for seconds in [9.0] * 30 + [float(n) for n in range(MEMORY, 0, -1)]:
        pace.answered(seconds)
    assert pace.usual == 7.0


def test_a_call_too_short_to_be_compared_says_nothing_about_the_usual_time() -> None:
    pace = usually(1.0)
    pace.answered(None)
    assert (len(pace.times), pace.concurrency) == (20, 10.0)


# Concurrency


@pytest.mark.parametrize(
    ("usual", "seconds", "concurrency"),
    [
        (1.0, 1.0, 10.1),
        (1.0, 2.5, 10.1),  # as long as a call may take
        (1.0, 2.6, 9.7),
        (0.125, 0.625, 10.1),  # five times as long, and still only half a second more
        (0.125, 0.64, 9.7),
        (2.0, 4.0, 10.1),  # two seconds more, and still not 2.5 times as long
    ],
)
def test_a_call_that_climbed_takes_a_third_of_a_worker_and_any_other_gives_a_tenth(
    usual: float, seconds: float, concurrency: float
) -> None:
    pace = usually(usual)
    pace.answered(seconds)
    assert pace.concurrency == pytest.approx(concurrency)


@pytest.mark.parametrize(("before", "after"), [(1.5, 1.2), (1.1, 1.0), (1.0, 1.0)])
def test_concurrency_never_falls_below_one(before: float, after: float) -> None:
    pace = usually(1.0, concurrency=before)
    pace.answered(60.0)
    assert pace.concurrency == pytest.approx(after)


def test_concurrency_never_grows_beyond_the_workers() -> None:
    pace = usually(1.0, concurrency=29.99)
    pace.answered(1.0)
    assert pace.concurrency == 30.0


# Holds


@pytest.mark.parametrize(("jitter", "holds"), [(0.0, [1.02, 2.02, 4.02, 8.02]), (1.0, [1.3, 2.55, 5.05, 10.05])])
def test_an_unreachable_provider_is_tried_after_twice_the_time_each_time(jitter: float, holds: list[float]) -> None:
    pace, now = Pace(30), 1000.0
    for seconds in holds:
        pace.unreachable(now, jitter)
        assert pace.hold_until - now == pytest.approx(seconds)
        now = pace.hold_until
    for _ in range(10):
        pace.unreachable(pace.hold_until, jitter)
    before = pace.hold_until
    pace.unreachable(before, jitter)
    assert pace.hold_until - before == pytest.approx(LONGEST_HOLD * (1 + jitter / 4) + 0.02 + 0.03 * jitter)


def test_an_answer_ends_the_probing_and_the_next_outage_begins_with_the_shortest_wait() -> None:
    pace = Pace(30)
    for _ in range(5):
        pace.unreachable(pace.hold_until, 0.0)
    pace.answered(None)
    assert pace.permits(pace.hold_until, 0) == 30
    pace.unreachable(100.0, 0.0)
    assert pace.hold_until == pytest.approx(101.02)


@pytest.mark.parametrize(
    ("retry_after", "jitter", "hold"),
    [(10.0, 0.0, 10.02), (10.0, 1.0, 10.05), (0.0, 0.0, 0.02), (9999.0, 0.0, 60.02), (None, 1.0, 1.3)],
)
def test_a_429_holds_as_long_as_the_provider_says_and_hardly_longer(
    retry_after: float | None, jitter: float, hold: float
) -> None:
    pace = Pace(30)
    pace.limited(1000.0, retry_after, jitter)
    assert pace.hold_until == pytest.approx(1000.0 + hold)
    assert pace.permits(pace.hold_until, 0) == (1 if retry_after is None else 30)


def test_failures_of_calls_that_were_on_the_wire_with_the_first_make_no_hold_longer() -> None:
    pace = Pace(30)
    pace.unreachable(0.0, 0.0)
    hold = pace.hold_until
    pace.unreachable(0.5, 0.0)
    pace.limited(0.6, 50.0, 0.0)
    assert (pace.hold_until, pace.failures) == (hold, 1)
    pace.unreachable(hold, 0.0)
    assert pace.failures == 2
    pace.limited(pace.hold_until, None, 0.0)
    assert pace.failures == 3


def test_a_wait_ends_with_the_hold_and_is_never_longer_than_asked_for() -> None:
    pace = Pace(30, hold_until=10.0)
    assert [pace.wait(now, 2.0) for now in (1.0, 8.5, 10.0, 11.0)] == [2.0, 1.5, 2.0, 2.0]


# The window that 429s teach


def after_two_windows(through: int, refused: int = 1) -> Pace:
    """A pace whose second 429, 60 s after the first window began, came when so many calls had got through."""
    pace = Pace(30)
    pace.limited(0.0, 10.0, 0.0)
    assert pace.permits(10.02, 0) == 30
    pace.start(10.02, through + refused)
    for _ in range(through):
        pace.answered(None)
    for _ in range(refused):
        pace.limited(40.0, 30.0, 0.0)
    return pace


@pytest.mark.parametrize("refused", [1, 3])
def test_what_got_through_between_two_resets_is_the_quota_and_the_time_between_them_the_period(refused: int) -> None:
    pace = after_two_windows(7, refused)
    assert pace.quota == 7
    assert pace.period == pytest.approx(60.0)
    assert pace.permits(70.02, 0) == 7
    pace.start(70.02, 5)
    assert pace.permits(71.0, 0) == 2
    pace.start(71.0, 2)
    assert pace.permits(130.0, 0) == 0


def test_one_429_or_a_window_in_which_nothing_got_through_teaches_nothing() -> None:
    pace = Pace(30)
    pace.start(0.0, 5)
    pace.limited(1.0, 10.0, 0.0)
    assert pace.quota is None
    assert after_two_windows(0).quota is None


def test_a_second_429_in_a_row_moves_the_reset_and_not_the_beginning_of_the_window() -> None:
    pace = after_two_windows(7)
    pace.permits(70.02, 0)
    pace.start(70.02, 4)
    pace.limited(71.0, 9.02, 0.0)
    assert pace.quota == 3
    assert pace.period == pytest.approx(80.04 - 10.02)


def test_calls_that_a_hold_found_on_the_wire_count_in_the_next_window_once() -> None:
    pace = with_window(quota=10, used=11)
    pace.limited(150.0, 10.0, 0.0)
    assert pace.permits(160.02, 2) == 8
    pace.start(160.02, 3)
    assert pace.permits(161.0, 0) == 5


def test_when_a_window_ends_unharmed_the_next_one_is_given_one_call_more() -> None:
    pace = with_window(quota=3, used=3)
    assert (pace.permits(159.9, 0), pace.permits(160.0, 0)) == (0, 4)
    pace.start(160.0, 4)
    assert (pace.permits(219.9, 0), pace.permits(220.0, 0)) == (0, 5)


def test_after_a_long_silence_a_window_is_counted_from_now_and_not_one_for_each_that_was_missed() -> None:
    pace = with_window(quota=3, used=3)
    assert [pace.permits(1000.0, 0) for _ in range(3)] == [4, 5, 5]
    pace.start(1000.0, 5)
    assert (pace.permits(1059.9, 0), pace.permits(1060.0, 0)) == (0, 6)


@pytest.mark.parametrize("lacking", ["quota", "period", "reset"])
def test_a_window_of_which_a_part_is_unknown_limits_nothing(lacking: str) -> None:
    pace = with_window(quota=3)
    setattr(pace, lacking, None)
    assert pace.permits(100.0, 0) == 30


def test_a_call_that_was_held_back_is_given_back_to_the_window() -> None:
    pace = with_window(quota=5)
    pace.start(100.0, 2)
    pace.start(100.0, 2)
    assert pace.permits(100.0, 0) == 1
    pace.take_back()
    assert pace.permits(100.0, 0) == 2
    for _ in range(6):
        pace.take_back()
    assert pace.permits(100.0, 0) == 5
