"""A simulated provider on a clock that the test moves."""

from collections.abc import Iterator

import pytest
from simulator_calls import Clock

from simulator.knobs import Knobs
from simulator.server import Simulator


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock: Clock) -> Iterator[Simulator]:
    with Simulator(Knobs(turnaround=100.0), clock=clock) as running:
        yield running
