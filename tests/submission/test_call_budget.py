"""One limit for all calls: no window holds more, orders go first, reads get their share, a 429 slows everybody."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from provider_fixture import QUICK, SERVICE, Knobs, Simulator, imeis, system

from database import IMEIDatabase, write_list_limit
from gsm_fusion_client import GSMFusionClient, NotSentError
from production_submission_system import Options, ProductionSubmissionSystem
from results.sync import OrderSync
from submission.call_budget import CallBudget
from submission.checkpoints import Checkpoints


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
def client_of(simulator: Simulator, budget: CallBudget) -> Iterator[GSMFusionClient]:
    with GSMFusionClient(
        "DEMO-KEY", "demo", simulator.base_url, timeout=5, sleep=lambda _: None, turns=budget
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
    budget = CallBudget(limit, window, slack=1.0)
    over = threading.Event()
    with client_of(simulator, budget) as client:

        def keep_asking() -> None:
            sync = OrderSync(database, client, 300)
            while not over.is_set():
                sync.sync(stop=over)

        folder = Path(database.path).parent / "checkpoints"
        options = Options(**{**QUICK, "chunk_size": 50})
        running = ProductionSubmissionSystem(database, client, Checkpoints(folder), options, budget)
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
    budget = CallBudget(100, clock=clock)
    assert budget.orders(500) == 98
    budget.started([clock.now] * 97)
    budget.orders_wait(True)
    reader = threading.Thread(target=budget.before_read)
    budget.started([clock.now])  # nothing is left, so the read waits
    reader.start()
    until = time.monotonic() + 10
    clock.now += 61.5
    while reader.is_alive() and time.monotonic() < until:
        assert budget.orders(98) in (97, 98)  # 98 only before the read has come to wait
        time.sleep(0.01)
    reader.join()
    assert budget.orders(98) == 97


def test_reads_stop_at_their_share_while_orders_wait_and_go_on_when_none_does() -> None:
    clock = Clock()
    budget = CallBudget(50, clock=clock)
    budget.orders_wait(True)
    for _ in range(9):
        budget.before_read()
    reader = threading.Thread(target=budget.before_read)
    reader.start()
    reader.join(0.5)
    assert reader.is_alive()
    assert budget.orders(100) == 39
    budget.orders_wait(False)
    reader.join(10)
    assert not reader.is_alive()


def test_what_429s_have_taught_bounds_reads_too() -> None:
    """Without a limit of ours, reads take a fifth of what the provider was seen to bear while orders wait."""
    budget = CallBudget()
    budget.orders_wait(True, quota=10, period=60.0)
    budget.before_read()
    budget.before_read()
    reader = threading.Thread(target=budget.before_read)
    reader.start()
    reader.join(0.5)
    assert reader.is_alive()
    budget.orders_wait(False, quota=10, period=60.0)
    reader.join(10)
    assert not reader.is_alive()


def test_a_429_on_a_read_slows_everybody(simulator: Simulator) -> None:
    """Nothing starts, order or read, until the time that the provider named is over."""
    simulator.set(fault="429", fault_actions=("getimeis",), fault_calls=(1,))
    clock = Clock()
    budget = CallBudget(clock=clock)
    reads = []
    with client_of(simulator, budget) as client:
        reader = threading.Thread(target=lambda: reads.append(client.list_recent_orders()))
        reader.start()
        until = time.monotonic() + 10
        while budget.orders(5) and time.monotonic() < until:
            time.sleep(0.01)
        assert budget.orders(5) == 0
        assert len(simulator.calls()) == 1
        clock.now += 2
        reader.join(10)
    assert len(reads) == 1
    assert budget.orders(5) == 5


def test_a_429_on_an_order_holds_reads_back(simulator: Simulator, database: IMEIDatabase) -> None:
    simulator.set(fault="429", fault_calls=(1,))
    with system(simulator, database) as running:
        assert running.submit_batch(imeis(10), SERVICE).successful == 10
        first = simulator.calls()[0]
        late = running.budget.hold_until - time.monotonic() + time.time() - first.started
    assert late > 0.9  # Retry-After said one second


def test_a_read_that_waits_ends_when_the_runner_does() -> None:
    clock = Clock()
    budget = CallBudget(2, clock=clock)
    errors: list[Exception] = []

    def read() -> None:
        try:
            budget.before_read()
        except NotSentError as error:
            errors.append(error)

    with budget.open():
        budget.before_read()
        reader = threading.Thread(target=read)
        reader.start()
    reader.join(10)
    assert errors
    with budget.open():
        clock.now += 100
        budget.before_read()


def test_calls_of_the_process_before_count() -> None:
    clock = Clock()
    budget = CallBudget(10, clock=clock)
    budget.used_before([1.0, 30.0, 59.0])
    assert budget.orders(10) == 5
    clock.now += 5
    assert budget.orders(10) == 6
