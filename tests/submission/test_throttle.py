"""The throttle, tested with the simulator's rate limiters in virtual time, and its rules one by one.

One limit for all calls: no window holds more, orders go first, reads get their share, a 429 slows all.
"""

import dataclasses
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest
from simulated_provider import QUICK, SERVICE, Knobs, Simulator, imeis, system
from virtual_throttle import Run, Scene, drive, least
from waiting import wait_until

from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient, NotSentError
from production_submission_system import ProductionSubmissionSystem
from results.sync import OrderSync
from settings import MAIN_ACCOUNT
from simulator.limits import LimiterKind
from storage.list_limits import write_list_limit
from submission.checkpoints import Checkpoints
from submission.limit_estimate import LONGEST_HOLD, LimitEstimate, LimitKind
from submission.options import Options
from submission.throttle import LONGEST_SPACING, MEMORY, MOST_SPACING, SHORTEST_SPACING, Throttle

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
    estimate = Throttle(30)
    first = drive(dataclasses.replace(scene, calls=200), estimate)
    second = dataclasses.replace(scene, limit=120, began=scene.began + first.seconds)
    run = drive(second, estimate)
    assert run.seconds <= 1.5 * least(second)
    assert run.share <= 0.05


def test_a_wait_of_hours_is_capped() -> None:
    throttle = Throttle(30)
    throttle.start(0.0, 1)
    throttle.limited(0.0, 9999.0, 0.0, 0.0)
    assert 0 < throttle.hold_until <= LONGEST_HOLD + 1


def test_after_an_outage_one_call_tries_the_water() -> None:
    throttle = Throttle(30)
    throttle.unreachable(0.0, 0.0)
    assert throttle.permits(0.5, 0) == 0
    assert throttle.permits(5.0, 0) == 1
    throttle.answered(0.3)
    assert throttle.permits(5.0, 0) == 30


def test_concurrency_falls_while_latency_climbs_and_grows_again() -> None:
    throttle = Throttle(30)
    for _ in range(60):
        throttle.answered(1.0)
    for _ in range(40):
        throttle.answered(6.0)
    fallen = throttle.permits(0.0, 0)
    assert fallen < 25
    for _ in range(400):
        throttle.answered(1.0)
    assert fallen < throttle.permits(0.0, 0) == 30


def usually(seconds: float, concurrency: float = 10.0) -> Throttle:
    """A throttle of 30 workers that knows how long a call takes."""
    return Throttle(30, concurrency=concurrency, times=deque([seconds] * 20, maxlen=MEMORY))


def with_window(size: int, began: float = 100.0, sent: int = 0) -> Throttle:
    """A throttle that has learned windows of 60 seconds, of which one began with so many calls."""
    starts = deque([began - 60.0] * (size - sent) + [began] * sent)
    limit = LimitEstimate(LimitKind.WINDOW, starts, asked=1000, size=size, low=58.0, high=60.0, held=3, settled=1000)
    return Throttle(30, estimate=limit)


# Permits


def test_calls_on_the_wire_take_up_room() -> None:
    throttle = Throttle(5)
    assert [throttle.permits(0.0, on_the_wire) for on_the_wire in (0, 2, 5, 9)] == [5, 3, 0, 0]


def test_more_are_planned_ahead_only_while_nothing_limits_the_calls() -> None:
    assert Throttle(5).permits(0.0, 2, ahead=4) == 7
    assert Throttle(5, failures=1).permits(0.0, 2, ahead=4) == 3
    assert with_window(90).permits(200.0, 2, ahead=4) <= 28


def test_a_part_of_a_worker_is_no_permit() -> None:
    assert Throttle(5, concurrency=3.9).permits(0.0, 0) == 3


def test_nothing_starts_before_a_hold_ends_and_calls_start_the_moment_it_does() -> None:
    throttle = Throttle(5, hold_until=10.0)
    assert (throttle.permits(9.99, 0), throttle.permits(10.0, 0)) == (0, 5)


def test_while_nobody_knows_when_it_goes_on_a_single_call_is_on_the_wire() -> None:
    throttle = Throttle(5, probing=True)
    assert (throttle.permits(0.0, 0), throttle.permits(0.0, 1)) == (1, 0)


# Starts


def test_calls_start_one_after_another_across_two_rounds() -> None:
    throttle = Throttle(10)
    assert throttle.start(2.0, 3) == pytest.approx([2.0, 2.005, 2.01])
    assert throttle.start(2.0, 2) == pytest.approx([2.015, 2.02])
    assert throttle.start(2.0, 0) == []
    assert throttle.start(2.0, 1) == pytest.approx([2.025])
    assert throttle.start(9.0, 1) == [9.0]


@pytest.mark.parametrize(
    ("seconds", "spacing"), [(0.3, 0.01), (9.0, LONGEST_SPACING), (0.001, SHORTEST_SPACING)], ids=str
)
def test_starts_are_spread_over_the_time_of_a_call(seconds: float, spacing: float) -> None:
    assert usually(seconds).spacing == pytest.approx(spacing)


def test_where_a_limit_is_known_starts_are_as_far_apart_as_they_ever_are() -> None:
    throttle = usually(0.03)
    throttle.start(0.0, 1)
    throttle.limited(0.005, 5.0, 0.0, 0.0)
    assert throttle.spacing == LONGEST_SPACING
    throttle.limited(1.0, 5.0, 0.0, 0.0)
    assert throttle.spacing == MOST_SPACING


def test_spacing_never_takes_more_than_half_of_what_a_limit_lets_through() -> None:
    throttle = with_window(6000)
    assert throttle.spacing == pytest.approx(0.005)


def test_after_many_calls_starts_follow_twice_as_fast_so_that_a_late_one_is_made_up_for() -> None:
    throttle = usually(0.3)
    throttle.estimate.asked = 301
    assert throttle.spacing == pytest.approx(0.005)


def test_the_quickest_tenth_of_the_newest_calls_says_what_is_usual() -> None:
    throttle = Throttle(30)
    for seconds in [9.0] * 30 + [float(n) for n in range(MEMORY, 0, -1)]:
        throttle.answered(seconds)
    assert throttle.usual == 7.0


def test_a_call_too_short_to_be_compared_says_nothing_about_the_usual_time() -> None:
    throttle = usually(1.0)
    throttle.answered(None)
    assert (len(throttle.times), throttle.concurrency) == (20, 10.0)


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
    throttle = usually(usual)
    throttle.answered(seconds)
    assert throttle.concurrency == pytest.approx(concurrency)


@pytest.mark.parametrize(("before", "after"), [(1.5, 1.2), (1.1, 1.0), (1.0, 1.0)])
def test_concurrency_never_falls_below_one(before: float, after: float) -> None:
    throttle = usually(1.0, concurrency=before)
    throttle.answered(60.0)
    assert throttle.concurrency == pytest.approx(after)


def test_concurrency_never_grows_beyond_the_workers() -> None:
    throttle = usually(1.0, concurrency=29.99)
    throttle.answered(1.0)
    assert throttle.concurrency == 30.0


# Holds


@pytest.mark.parametrize(("jitter", "holds"), [(0.0, [1.02, 2.02, 4.02, 8.02]), (1.0, [1.3, 2.55, 5.05, 10.05])])
def test_an_unreachable_provider_is_tried_after_twice_the_time_each_time(jitter: float, holds: list[float]) -> None:
    throttle, now = Throttle(30), 1000.0
    for seconds in holds:
        throttle.unreachable(now, jitter)
        assert throttle.hold_until - now == pytest.approx(seconds)
        now = throttle.hold_until
    for _ in range(10):
        throttle.unreachable(throttle.hold_until, jitter)
    before = throttle.hold_until
    throttle.unreachable(before, jitter)
    assert throttle.hold_until - before == pytest.approx(LONGEST_HOLD * (1 + jitter / 4) + 0.02 + 0.03 * jitter)


def test_an_answer_ends_the_probing_and_the_next_outage_begins_with_the_shortest_wait() -> None:
    throttle = Throttle(30)
    for _ in range(5):
        throttle.unreachable(throttle.hold_until, 0.0)
    throttle.answered(None)
    assert throttle.permits(throttle.hold_until, 0) == 30
    throttle.unreachable(100.0, 0.0)
    assert throttle.hold_until == pytest.approx(101.02)


@pytest.mark.parametrize(
    ("retry_after", "jitter", "hold"),
    [(10.0, 0.0, 10.05), (10.0, 1.0, 10.08), (0.0, 0.0, 1.05), (9999.0, 0.0, 60.05), (None, 1.0, 1.08)],
)
def test_a_429_holds_as_long_as_the_provider_says_and_then_a_single_call_looks(
    retry_after: float | None, jitter: float, hold: float
) -> None:
    throttle = Throttle(30)
    throttle.start(1000.0, 1)
    throttle.limited(1000.0, retry_after, jitter, 1000.0)
    assert throttle.hold_until == pytest.approx(1000.0 + hold)
    assert throttle.permits(throttle.hold_until - 0.01, 0) == 0
    assert throttle.permits(throttle.hold_until, 0) == 1


def test_failures_of_calls_that_were_on_the_wire_with_the_first_make_no_hold_longer() -> None:
    throttle = Throttle(30)
    throttle.unreachable(0.0, 0.0)
    hold = throttle.hold_until
    throttle.unreachable(0.5, 0.0)
    throttle.limited(0.6, 50.0, 0.0, 0.1)
    assert (throttle.hold_until, throttle.failures) == (hold, 1)
    assert throttle.estimate.refusals == 1
    throttle.unreachable(hold, 0.0)
    assert throttle.failures == 2
    throttle.limited(throttle.hold_until, None, 0.0)
    assert throttle.failures == 3


def test_a_wait_ends_with_the_hold_and_is_never_longer_than_asked_for() -> None:
    throttle = Throttle(30, hold_until=10.0)
    assert [throttle.wait(now, 2.0) for now in (1.0, 8.5, 10.0, 11.0)] == [2.0, 1.5, 2.0, 2.0]


def test_a_wait_ends_a_moment_before_the_next_call_may_start() -> None:
    throttle = with_window(3, sent=3)
    due = 160.0 + 0.03 - 0.05
    assert throttle.wait(150.0, 1000.0) == pytest.approx(due - 150.0)
    assert throttle.wait(150.0, 2.0) == 2.0
    assert throttle.wait(170.0, 2.0) == 2.0


# Looks for the end of a limit


def after_a_429(refusal: float = 0.01) -> Throttle:
    """A throttle of which one call of ten was refused, at 0.1, and one call looks at 10.08."""
    throttle = Throttle(30)
    for start in throttle.start(0.0, 10):
        if start:
            throttle.answered(0.1, start)
    throttle.limited(0.1 + refusal, 10.0, 0.0, 0.1)
    assert throttle.permits(throttle.hold_until, 20) == 1
    throttle.start(throttle.hold_until, 1)
    return throttle


def test_a_call_that_looks_is_alone_until_its_answer_comes() -> None:
    throttle = after_a_429()
    looked = throttle.hold_until
    assert throttle.permits(looked + 0.01, 1) == 0
    assert throttle.wait(looked, 1.0) == pytest.approx(0.08)
    throttle.answered(0.1, 0.0)  # of a call before it
    assert throttle.permits(looked + 0.01, 1) == 0
    throttle.answered(0.1, looked + 0.001)
    assert throttle.permits(looked + 0.02, 0) > 0


@pytest.mark.parametrize(("refusal", "grace"), [(0.01, 0.08), (0.1, 0.35)])
def test_a_call_that_is_not_refused_for_long_got_through(refusal: float, grace: float) -> None:
    throttle = after_a_429(refusal)
    looked = throttle.next_start - throttle.spacing
    assert throttle.permits(looked + grace - 0.01, 1) == 0
    assert throttle.permits(looked + grace + 0.01, 1) > 0


def test_what_429s_taught_is_told_in_calls_and_seconds() -> None:
    assert (Throttle(5).estimate.quota, Throttle(5).estimate.period) == (None, None)
    throttle = with_window(7)
    assert (throttle.estimate.quota, throttle.estimate.period) == (7, 60.0)


def test_a_call_that_was_held_back_is_given_back_to_the_window() -> None:
    throttle = with_window(5)
    throttle.start(200.0, 5)
    assert throttle.permits(200.2, 0) == 0
    throttle.take_back()
    assert throttle.permits(200.2, 0) == 1


def test_starts_of_a_learned_window_wait_for_their_turn() -> None:
    throttle = with_window(3, began=100.0, sent=3)
    assert throttle.permits(159.9, 0) == 0
    assert throttle.permits(160.0, 0) == 2
    assert throttle.start(160.0, 2) == pytest.approx([160.03, 160.05])


# A limit that is known


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(turnaround=3600)) as running:
        yield running


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def client_of(simulator: Simulator, throttle: Throttle) -> Iterator[GSMFusionClient]:
    with GSMFusionClient(
        "DEMO-KEY", "demo", 5, options=ClientOptions(simulator.base_url, sleep=lambda _: None, turns=throttle)
    ) as client:
        yield client


def most_in_a_window(times: list[float], window: float) -> int:
    return max(sum(start <= at < start + window for at in times) for start in times)


def test_orders_and_sync_together_never_pass_the_limit(simulator: Simulator, database: IMEIDatabase) -> None:
    """While a batch is sent and results are asked for without a pause, no window sees more than 20 calls."""
    with system(simulator, database) as running:
        running.submit_batch(imeis(300), SERVICE)
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 100)
    seen = len(simulator.calls())
    limit, window = 20, 1.0
    throttle = Throttle(QUICK["workers"], limit, window, slack=1.0)
    over = threading.Event()
    with client_of(simulator, throttle) as client:

        def keep_asking() -> None:
            sync = OrderSync(database, client, 300, MAIN_ACCOUNT)
            while not over.is_set():
                sync.sync(stop=over)

        folder = Path(database.path).parent / "checkpoints"
        options = Options(**{**QUICK, "chunk_size": 50})
        running = ProductionSubmissionSystem(database, client, Checkpoints(folder), options, throttle)
        asking = threading.Thread(target=keep_asking)
        asking.start()
        result = running.submit_batch(imeis(1800, 5000), SERVICE)
        over.set()
        asking.join()
    calls = simulator.calls()[seen:]
    asked = [call.started for call in calls if call.action == "getimeis"]
    sent = [call.started for call in calls if call.action == "placeorder"]
    assert result.successful == 1800
    assert len(sent) == 36
    assert most_in_a_window([call.started for call in calls], window) <= limit
    asked_meanwhile = [at for at in asked if sent[0] <= at <= sent[-1]]
    assert asked_meanwhile, "reads must not starve while orders wait"
    assert len(asked_meanwhile) <= 0.5 * len(sent), "orders go first"


def test_orders_go_first_and_reads_keep_a_share() -> None:
    """Of 100 calls two are kept for the balance; while orders wait, one waiting read is let in before them."""
    clock = Clock()
    throttle = Throttle(500, 100, clock=clock)
    assert throttle.permits(clock.now, 0) == 98
    throttle.start(clock.now, 97)
    throttle.orders_wait = True
    reader = threading.Thread(target=throttle.before_read)
    throttle.start(clock.now, 1)  # nothing is left, so the read waits
    reader.start()
    until = time.monotonic() + 10
    clock.now += 61.5
    while reader.is_alive() and time.monotonic() < until:
        assert throttle.permits(clock.now, 0) in (97, 98)  # 98 only before the read has come to wait
        time.sleep(0.01)
    reader.join()
    assert throttle.permits(clock.now, 0) == 97


def test_reads_stop_at_their_share_while_orders_wait_and_go_on_when_none_does() -> None:
    clock = Clock()
    throttle = Throttle(100, 50, clock=clock)
    throttle.orders_wait = True
    for _ in range(9):
        throttle.before_read()
    reader = threading.Thread(target=throttle.before_read)
    reader.start()
    reader.join(0.5)
    assert reader.is_alive()
    assert throttle.permits(clock.now, 0) == 39
    throttle.orders_wait = False
    reader.join(10)
    assert not reader.is_alive()


def test_what_429s_have_taught_bounds_reads_too() -> None:
    """Without a limit of ours, reads take a fifth of what the provider was seen to bear while orders wait."""
    throttle = with_window(10, began=time.monotonic())
    throttle.orders_wait = True
    throttle.before_read()
    throttle.before_read()
    reader = threading.Thread(target=throttle.before_read)
    reader.start()
    reader.join(0.5)
    assert reader.is_alive()
    throttle.orders_wait = False
    reader.join(10)
    assert not reader.is_alive()


def test_a_429_on_a_read_slows_everybody(simulator: Simulator) -> None:
    """Nothing starts, order or read, until the time that the provider named is over."""
    simulator.set(fault="429", fault_actions=("getimeis",), fault_calls=(1,))
    clock = Clock()
    throttle = Throttle(5, clock=clock)
    reads = []
    with client_of(simulator, throttle) as client:
        reader = threading.Thread(target=lambda: reads.append(client.list_recent_orders()))
        reader.start()
        wait_until(lambda: not throttle.permits(clock.now, 0), "the read waits")
        assert throttle.permits(clock.now, 0) == 0
        assert len(simulator.calls()) == 1
        clock.now += 2
        reader.join(10)
    assert len(reads) == 1
    assert throttle.permits(clock.now, 0) == 5


def test_a_429_on_an_order_holds_reads_back(simulator: Simulator, database: IMEIDatabase) -> None:
    simulator.set(fault="429", fault_calls=(1,))
    with system(simulator, database) as running:
        assert running.submit_batch(imeis(10), SERVICE).successful == 10
        first = simulator.calls()[0]
        late = running.throttle.hold_until - time.monotonic() + time.time() - first.started
    assert late > 0.9  # Retry-After said one second


def test_a_read_that_waits_ends_when_the_runner_does() -> None:
    clock = Clock()
    throttle = Throttle(30, 2, clock=clock)
    errors: list[Exception] = []

    def read() -> None:
        try:
            throttle.before_read()
        except NotSentError as error:
            errors.append(error)

    with throttle.open():
        throttle.before_read()
        reader = threading.Thread(target=read)
        reader.start()
    reader.join(10)
    assert errors
    with throttle.open():
        clock.now += 100
        throttle.before_read()


def test_calls_of_the_process_before_count() -> None:
    clock = Clock()
    throttle = Throttle(10, 10, clock=clock)
    throttle.used_before([1.0, 30.0, 59.0])
    assert throttle.permits(clock.now, 0) == 5
    clock.now += 5
    assert throttle.permits(clock.now, 0) == 6


def test_calls_of_earlier_windows_take_up_no_memory() -> None:
    """Also where no limit is set."""
    clock = Clock()
    throttle = Throttle(5, clock=clock)
    for _ in range(200):
        throttle.start(clock.now, 2)
        throttle.before_read()
        clock.now += 1.0
    assert (len(throttle._orders), len(throttle._reads)) == (0, 61)
