"""kill -9 at each point between the intent and its commit: nothing is paid twice or lost, and doubt is shown.

The process that dies is the real program with a kill from planted_kills.py. The next one is the program without it. A
point is tried at the first call and at a later one.
"""

import signal
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from batch_checks import PRICE, assert_all_paid_once, new_batch, outcomes, see_through, told_by_command, told_by_page
from planted_kills import CHUNK, PLANTS, Job, start
from simulated_provider import Knobs, Simulator, system
from waiting import wait_until

from database import IMEIDatabase
from settings import Settings
from web.format import money

pytestmark = pytest.mark.usefixtures("quick_looks")

TOTAL = 4 * CHUNK


class Point(NamedTuple):
    """Where the process dies, in calls of the nth kind; what is charged by then, and known when the next one starts."""

    plant: str
    charged: int
    ordered: int
    doubtful: int


POINTS = (
    Point("before_intent", charged=0, ordered=0, doubtful=0),
    Point("after_intent", charged=0, ordered=0, doubtful=1),
    Point("after_send", charged=1, ordered=0, doubtful=1),
    Point("after_answer", charged=1, ordered=0, doubtful=1),
    Point("in_checkpoint", charged=1, ordered=0, doubtful=1),
    Point("after_checkpoint", charged=1, ordered=1, doubtful=0),
    Point("before_commit", charged=1, ordered=1, doubtful=0),
    Point("after_commit", charged=1, ordered=1, doubtful=1),
)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.22)) as running:  # longer than a quick call: one call after the other
        yield running


def test_every_plant_is_tried() -> None:
    assert {point.plant for point in POINTS} == set(PLANTS)


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.plant)
def test_killed_there_it_says_what_is_in_doubt_and_pays_every_imei_once(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, point: Point, nth: int
) -> None:
    batch_id = new_batch(database, TOTAL, CHUNK)
    process = start(Job(settings.data_dir, simulator.base_url, batch_id, point.plant, nth))
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    before = (nth - 1) * CHUNK
    wait_until(lambda: len(simulator.charges()) == before + point.charged * CHUNK, "the charges of the dead process")

    with system(simulator, database, workers=3, chunk_size=CHUNK, patience=2.5) as running:
        stop = threading.Event()
        stop.set()
        running.run_batch(batch_id, stop=stop)  # what a start alone makes of it, before anybody is asked
        ordered, doubtful = before + point.ordered * CHUNK, point.doubtful * CHUNK
        waiting = TOTAL - ordered - doubtful
        expected = {"ordered": ordered, "in_doubt": doubtful, "waiting": waiting}
        assert outcomes(database, batch_id) == {name: count for name, count in expected.items() if count}
        assert_doubt_is_said(database, settings, batch_id, doubtful)
        more = see_through(running, batch_id)
        assert more == 0 or not waiting  # what was still to be sent proves what became of the doubtful
    assert_all_paid_once(simulator, database, batch_id, more)
    assert_doubt_is_said(database, settings, batch_id, 0)


def assert_doubt_is_said(database: IMEIDatabase, settings: Settings, batch_id: int, count: int) -> None:
    """Command and page name how many are in doubt and what is at stake, and neither speaks of doubt without any."""
    command, page = told_by_command(database, batch_id), told_by_page(database, settings, batch_id)
    stake = money(PRICE * count)
    sentence = f"Up to {stake} more may have been charged: settle the doubt on the batch's page."
    note = f"{count} in doubt : no clear reply; {stake} may have been charged."
    assert (sentence in command) == (count > 0)
    assert ("more may have been charged" in command) == (count > 0)
    assert note in page
