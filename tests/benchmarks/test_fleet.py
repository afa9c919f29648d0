"""The model of many machines: nothing gets lost in it, and it agrees with what queueing theory and `limits` compute."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from statistics import mean

import pytest

from benchmarks.fleet import (
    DAY,
    HOUR,
    LOCK,
    NOTHING,
    OFFICE,
    PROCESSOR,
    Costs,
    Fleet,
    Simulation,
    Step,
    day_of,
    limits,
)

#: A fleet in which every step takes its time, and nothing is scarce.
FLEET = Fleet(accounts=2, machines=4, threads=50, at_once=50, latency=1.0, result_share=0.0)
COSTS = Costs(
    look=Step(0.0001, 0.0001, 1),
    read=Step(0.0005),
    turn=Step(0.001, 0.001, 3, 1),
    record=Step(0.001, 0.002),
    fetch=Step(0.001, 0.001, 1, 1),
    miss=Step(0.0001, 0.0001, 1),
    begin=Step(0.001, 0.001, 1, 1),
    call=Step(0.002),
    keep=Step(0.001, 0.001, 1, 1),
    finish=Step(0.001, 0.001, 1, 1),
    results=Step(0.001, 0.002, 2, 1),
)
#: Fleets of which one part is scarce, by the name that `limits` gives it.
SCARCE = {
    LOCK: (FLEET, replace(COSTS, record=Step(0.0, 0.02))),
    "commits that notify": (replace(FLEET, flush=0.02), replace(COSTS, turn=NOTHING, results=NOTHING)),
    PROCESSOR: (replace(FLEET, cores=1), replace(COSTS, begin=Step(0.0, 0.02))),
    "machines' processors": (FLEET, replace(COSTS, call=Step(0.1))),
    "loops' processors": (FLEET, replace(COSTS, read=Step(0.04))),
    "machines' threads": (replace(FLEET, threads=5, at_once=200), COSTS),
    "accounts' calls at once": (replace(FLEET, at_once=10), COSTS),
    "accounts' rate": (replace(FLEET, rate=10.0), COSTS),
}


def poisson(calls: int, per_second: float) -> Iterator[tuple[float, int]]:
    chance = Random(1)
    return ((chance.expovariate(per_second), 1) for _ in range(calls))


def test_every_call_is_recorded_once_and_gets_its_results() -> None:
    lists = [(0.0, 100), (0.5, 3), (30.0, 1), (0.0, 250)]
    figures = Simulation(replace(FLEET, result_share=2.0), COSTS, lists).run()
    assert figures.planned == figures.recorded == len(figures.waits) == 354
    assert figures.with_results == 2 * 354
    assert min(figures.waits) >= FLEET.latency


def test_one_busy_part_makes_calls_wait_as_in_an_m_d_1_queue() -> None:
    """Calls at random moments, one commit at a time of a fixed length: W = s + rho * s / (2 * (1 - rho))."""
    flush, load = 0.01, 0.7
    fleet = replace(FLEET, latency=0.0, at_once=10_000, flush=flush, round_trip=0.0)
    figures = Simulation(fleet, Costs(keep=Step(commits=1)), poisson(20_000, load / flush)).run()
    assert mean(figures.waits) == pytest.approx(flush + load * flush / (2 * (1 - load)), rel=0.05)


@pytest.mark.parametrize("scarce", SCARCE)
def test_the_scarce_part_bounds_the_calls_a_second(scarce: str) -> None:
    fleet, costs = SCARCE[scarce]
    bounds = limits(fleet, costs)
    assert min(bounds, key=bounds.__getitem__) == scarce
    figures = Simulation(fleet, costs, [(0.0, 1500)]).run()
    assert 0.85 < figures.recorded / figures.ended / bounds[scarce] <= 1.03


def test_more_load_and_fewer_cores_make_it_slower() -> None:
    """Slower by much; by a little it may be faster, because turns then carry more calls."""
    waits = [Simulation(FLEET, COSTS, poisson(600, per_second)).run().wait(0.95) for per_second in (10, 60, 90)]
    assert waits == sorted(waits)
    heavy = replace(COSTS, begin=Step(0.0, 0.02))
    many, few = (Simulation(replace(FLEET, cores=n), heavy, [(0.0, 300)]).run().ended for n in (8, 1))
    assert few > 1.5 * many


def test_each_machine_more_costs_the_database_a_look() -> None:
    few, many = (limits(replace(FLEET, machines=machines), COSTS)[PROCESSOR] for machines in (10, 100))
    assert many < few / 1.5


def test_a_day_has_all_its_imeis_and_most_of_them_in_office_hours() -> None:
    lists = list(day_of(1_000_000, 100, 1000))
    assert sum(calls for _, calls in lists) == 10_000
    now, office = 0.0, 0
    for pause, calls in lists:
        now += pause
        office += calls if OFFICE[0] <= now < OFFICE[1] else 0
    assert office == pytest.approx(8_000, rel=0.05)
    assert now == pytest.approx(DAY, abs=HOUR)
