"""The pace, held against a provider of fixed windows on a clock of its own."""

import heapq

import pytest

from pace import LONGEST_HOLD, Pace


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
