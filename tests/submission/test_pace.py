"""The pace, held against the simulator's rate limiters in virtual time, and its rules one by one."""

import dataclasses
import statistics
from collections import deque
from typing import get_args

import pytest
from pace_fixture import Run, Scene, drive, least

from simulator.limits import LimiterKind
from submission.limit_estimate import LONGEST_HOLD, Kind, LimitEstimate
from submission.pace import LONGEST_SPACING, MEMORY, MOST_SPACING, SHORTEST_SPACING, Pace

KINDS = get_args(LimiterKind)
TOLD = ("exact", "half", "one_second", "none")


def runs(scene: Scene, count: int = 8) -> tuple[list[float], list[Run]]:
    """Return how many times the least time each of so many runs took, which begin at other parts of a window."""
    scenes = [
        dataclasses.replace(scene, began=60 * scene.window + (number + 0.37) / count * scene.window, seed=number)
        for number in range(count)
    ]
    found = [drive(each) for each in scenes]
    return [run.seconds / least(each) for run, each in zip(found, scenes, strict=True)], found


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("window", "latency"), [(60.0, 0.1), (10.0, 0.1), (60.0, 3.5), (10.0, 1.0)])
def test_any_limiter_is_used_fully_and_hardly_ever_passed(kind: str, told: str, window: float, latency: float) -> None:
    """200 calls against 60 a window: at most 1.15 x the least time, and at most one call in twenty refused."""
    ratios, found = runs(Scene(kind=kind, told=told, window=window, latency=latency))
    assert statistics.median(ratios) <= 1.10
    assert max(ratios) <= 1.15
    assert statistics.median(run.share for run in found) <= 0.05
    assert max(run.refused for run in found) <= 11  # ten are 4.8 %, and eight of them look for a minute's end


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_workers_pass_a_limit_no_more_often(kind: str, told: str) -> None:
    ratios, found = runs(Scene(kind=kind, told=told, window=10.0, workers=100), 4)
    assert max(ratios) <= 1.15
    assert max(run.share for run in found) <= 0.06


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("limit", "calls"), [(10, 200), (200, 700)])
def test_small_and_large_limits_are_found_too(kind: str, told: str, limit: int, calls: int) -> None:
    ratios, found = runs(Scene(kind=kind, told=told, window=60.0, limit=limit, calls=calls, burst=20), 3)
    assert max(ratios) <= 1.15
    assert max(run.share for run in found) <= 0.07


@pytest.mark.parametrize("burst", [0, 1, 5, 20, 60])
def test_a_leaky_bucket_may_be_small_or_large(burst: int) -> None:
    """Even without any burst, where a call that comes a moment too early is refused."""
    ratios, found = runs(Scene(kind="leaky_bucket", told="none", burst=burst), 4)
    assert max(ratios) <= 1.16
    assert max(run.share for run in found) <= 0.05


@pytest.mark.parametrize("latency", [0.0, 0.1, 0.3, 3.5])
@pytest.mark.parametrize("workers", [30, 200])
def test_without_a_limiter_nothing_waits(latency: float, workers: int) -> None:
    calls = 3000 if latency < 1 else 10 * workers
    scene = Scene(limit=0, calls=calls, latency=latency, workers=workers)
    run = drive(scene)
    assert run.refused == 0
    assert run.seconds <= 1.1 * max(least(scene), calls * SHORTEST_SPACING) + 1.5


def test_a_limit_that_rises_is_found_again() -> None:
    """After a fixed window of 60 calls was learned, one of 120 is used within some windows."""
    scene = Scene(kind="fixed", told="exact", window=10.0, calls=1500)
    estimate = Pace(30)
    first = drive(dataclasses.replace(scene, calls=200), estimate)
    second = dataclasses.replace(scene, limit=120, began=scene.began + first.seconds)
    run = drive(second, estimate)
    assert run.seconds <= 1.5 * least(second)
    assert run.share <= 0.05


def test_a_wait_of_hours_is_capped() -> None:
    pace = Pace(30)
    pace.start(0.0, 1)
    pace.limited(0.0, 9999.0, 0.0, 0.0)
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


def with_window(size: int, began: float = 100.0, sent: int = 0) -> Pace:
    """A pace that has learned windows of 60 seconds, of which one began with so many calls."""
    starts = deque([began - 60.0] * (size - sent) + [began] * sent)
    limit = LimitEstimate(Kind.WINDOW, starts, asked=1000, size=size, low=58.0, high=60.0, held=3, settled=1000)
    return Pace(30, limit=limit)


# Permits


def test_calls_on_the_wire_take_up_room() -> None:
    pace = Pace(5)
    assert [pace.permits(0.0, on_the_wire) for on_the_wire in (0, 2, 5, 9)] == [5, 3, 0, 0]


def test_more_are_planned_ahead_only_while_nothing_limits_the_calls() -> None:
    assert Pace(5).permits(0.0, 2, ahead=4) == 7
    assert Pace(5, failures=1).permits(0.0, 2, ahead=4) == 3
    assert with_window(90).permits(200.0, 2, ahead=4) <= 28


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
    pace.start(0.0, 1)
    pace.limited(0.005, 5.0, 0.0, 0.0)
    assert pace.spacing == LONGEST_SPACING
    pace.limited(1.0, 5.0, 0.0, 0.0)
    assert pace.spacing == MOST_SPACING


def test_spacing_never_takes_more_than_half_of_what_a_limit_lets_through() -> None:
    pace = with_window(6000)
    assert pace.spacing == pytest.approx(0.005)


def test_after_many_calls_starts_follow_twice_as_fast_so_that_a_late_one_is_made_up_for() -> None:
    pace = usually(0.3)
    pace.limit.asked = 301
    assert pace.spacing == pytest.approx(0.005)


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
    [(10.0, 0.0, 10.05), (10.0, 1.0, 10.08), (0.0, 0.0, 1.05), (9999.0, 0.0, 60.05), (None, 1.0, 1.08)],
)
def test_a_429_holds_as_long_as_the_provider_says_and_then_a_single_call_looks(
    retry_after: float | None, jitter: float, hold: float
) -> None:
    pace = Pace(30)
    pace.start(1000.0, 1)
    pace.limited(1000.0, retry_after, jitter, 1000.0)
    assert pace.hold_until == pytest.approx(1000.0 + hold)
    assert pace.permits(pace.hold_until - 0.01, 0) == 0
    assert pace.permits(pace.hold_until, 0) == 1


def test_failures_of_calls_that_were_on_the_wire_with_the_first_make_no_hold_longer() -> None:
    pace = Pace(30)
    pace.unreachable(0.0, 0.0)
    hold = pace.hold_until
    pace.unreachable(0.5, 0.0)
    pace.limited(0.6, 50.0, 0.0, 0.1)
    assert (pace.hold_until, pace.failures) == (hold, 1)
    assert pace.limit.refusals == 1
    pace.unreachable(hold, 0.0)
    assert pace.failures == 2
    pace.limited(pace.hold_until, None, 0.0)
    assert pace.failures == 3


def test_a_wait_ends_with_the_hold_and_is_never_longer_than_asked_for() -> None:
    pace = Pace(30, hold_until=10.0)
    assert [pace.wait(now, 2.0) for now in (1.0, 8.5, 10.0, 11.0)] == [2.0, 1.5, 2.0, 2.0]


def test_a_wait_ends_a_moment_before_the_next_call_may_start() -> None:
    pace = with_window(3, sent=3)
    due = 160.0 + 0.03 - 0.05
    assert pace.wait(150.0, 1000.0) == pytest.approx(due - 150.0)
    assert pace.wait(150.0, 2.0) == 2.0
    assert pace.wait(170.0, 2.0) == 2.0


# Looks for the end of a limit


def after_a_429(refusal: float = 0.01) -> Pace:
    """A pace of which one call of ten was refused, at 0.1, and one call looks at 10.08."""
    pace = Pace(30)
    for start in pace.start(0.0, 10):
        if start:
            pace.answered(0.1, start)
    pace.limited(0.1 + refusal, 10.0, 0.0, 0.1)
    assert pace.permits(pace.hold_until, 20) == 1
    pace.start(pace.hold_until, 1)
    return pace


def test_a_call_that_looks_is_alone_until_its_answer_comes() -> None:
    pace = after_a_429()
    looked = pace.hold_until
    assert pace.permits(looked + 0.01, 1) == 0
    assert pace.wait(looked, 1.0) == pytest.approx(0.08)
    pace.answered(0.1, 0.0)  # of a call before it
    assert pace.permits(looked + 0.01, 1) == 0
    pace.answered(0.1, looked + 0.001)
    assert pace.permits(looked + 0.02, 0) > 0


@pytest.mark.parametrize(("refusal", "grace"), [(0.01, 0.08), (0.1, 0.35)])
def test_a_call_that_is_not_refused_for_long_got_through(refusal: float, grace: float) -> None:
    pace = after_a_429(refusal)
    looked = pace.next_start - pace.spacing
    assert pace.permits(looked + grace - 0.01, 1) == 0
    assert pace.permits(looked + grace + 0.01, 1) > 0


def test_what_429s_taught_is_told_in_calls_and_seconds() -> None:
    assert (Pace(5).quota, Pace(5).period) == (None, None)
    pace = with_window(7)
    assert (pace.quota, pace.period) == (7, 60.0)


def test_a_call_that_was_held_back_is_given_back_to_the_window() -> None:
    pace = with_window(5)
    pace.start(200.0, 5)
    assert pace.permits(200.2, 0) == 0
    pace.take_back()
    assert pace.permits(200.2, 0) == 1


def test_starts_of_a_learned_window_wait_for_their_turn() -> None:
    pace = with_window(3, began=100.0, sent=3)
    assert pace.permits(159.9, 0) == 0
    assert pace.permits(160.0, 0) == 2
    assert pace.start(160.0, 2) == pytest.approx([160.03, 160.05])
