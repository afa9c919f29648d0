"""The simulator's rate limiters: what each lets through, how long it says to wait, and what a 429 says of it."""

from collections.abc import Iterator

import pytest
import requests
from simulated_provider import SERVICE, Knobs, Simulator, imeis

from simulator.limits import Limiter, limiter, told_wait


def passed(counter: Limiter, times: list[float]) -> list[float]:
    """Return at which of these times a call passes."""
    return [time for time in times if not counter.wait(time)]


def test_a_fixed_window_begins_at_whole_multiples_of_its_length() -> None:
    counter = limiter("fixed", 2, 10.0, 0)
    assert passed(counter, [7.0, 8.0, 9.0, 10.0, 11.0, 19.9, 20.0]) == [7.0, 8.0, 10.0, 11.0, 20.0]
    assert passed(counter, [21.0]) == [21.0]
    assert counter.wait(26.0) == pytest.approx(4.0)


def test_a_sliding_window_counts_the_calls_of_any_stretch() -> None:
    counter = limiter("sliding", 2, 10.0, 0)
    assert passed(counter, [7.0, 9.0, 10.0, 16.9, 17.0, 18.0, 19.0]) == [7.0, 9.0, 17.0, 19.0]
    assert counter.wait(20.0) == pytest.approx(7.0)


def test_a_token_bucket_is_refilled_evenly_up_to_its_limit() -> None:
    counter = limiter("token_bucket", 2, 10.0, 0)
    assert passed(counter, [0.0, 1.0, 2.0, 5.0, 6.0, 10.0, 100.0, 100.1, 100.2]) == [0.0, 1.0, 5.0, 10.0, 100.0, 100.1]
    assert counter.wait(101.1) == pytest.approx(3.9)


@pytest.mark.parametrize(("burst", "at_once"), [(0, 1), (3, 4)])
def test_a_leaky_bucket_lets_its_burst_through_beside_its_rate(burst: int, at_once: int) -> None:
    """As nginx does with limit_req and "nodelay"; calls that are refused do not count."""
    counter = limiter("leaky_bucket", 60, 60.0, burst)
    assert passed(counter, [0.0] * 10) == [0.0] * at_once
    assert counter.wait(0.4) == pytest.approx(0.6)
    assert passed(counter, [1.0, 1.0, 2.0]) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "seconds", "told"),
    [("exact", 7.0, 7.0), ("half", 7.0, 3.5), ("one_second", 7.0, 1.0), ("one_second", 0.3, 0.3)],
)
def test_a_wait_is_told_exactly_or_too_short(kind: str, seconds: float, told: float) -> None:
    assert told_wait(kind, seconds) == told  # type: ignore[arg-type]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(duplicates="never")) as running:
        yield running


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"rate_limiter": "sliding"}, "60"),
        ({"rate_limiter": "token_bucket"}, "30"),
        ({"rate_limiter": "leaky_bucket", "rate_burst": 1}, "30"),
        ({"rate_limiter": "sliding", "retry_after_told": "half"}, "30"),
        ({"rate_limiter": "sliding", "retry_after_told": "one_second"}, "1"),
        ({"rate_limiter": "sliding", "retry_after": False}, None),
    ],
)
def test_the_simulator_answers_429_as_its_knobs_say(
    simulator: Simulator, knobs: dict[str, object], told: str | None
) -> None:
    simulator.set(rate_limit=2, rate_window=60.0, **knobs)
    form = {"apiKey": "DEMO-KEY", "userId": "demo", "action": "placeorder", "networkId": SERVICE}
    answers = [post(simulator, {**form, "imei": imei}) for imei in imeis(3)]
    assert [status for status, _ in answers] == [200, 200, 429]
    assert answers[-1][1] == told


def post(simulator: Simulator, form: dict[str, str]) -> tuple[int, str | None]:
    """Return the status of a call, and its Retry-After."""
    answer = requests.post(f"{simulator.base_url}/gsmfusion_api/index.php", data=form, timeout=10)
    return answer.status_code, answer.headers.get("Retry-After")
