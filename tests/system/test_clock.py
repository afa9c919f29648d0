"""The wall clock stepped by an hour in the middle: no clock decides about money, and nothing waits an hour for it.

The clock is stepped where the program reads it. The provider, which keeps its own, never refuses a duplicate.
"""

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

import pytest
from batch_checks import assert_all_paid_once, at_work, new_batch, outcomes, rows, see_through
from local_provider import LocalProvider
from planted_kills import CHUNK
from simulated_provider import SERVICE, Knobs, Simulator, imeis, system
from waiting import wait_until
from web_client import CARRIER

import database as database_module
from account.answerer import Questions
from account.catalogue import AccountBalance, ServiceCatalog
from database import IMEIDatabase
from gsm_fusion_client import NotSentError
from orders import Account, ServiceInfo
from submission.throttle import KEPT, MINUTE, SLACK, Throttle

HOUR = 3600.0
STEPS = pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["ahead", "back"])


class Clock:
    """The wall clock of the program: the real one, and what it was stepped by in seconds."""

    def __init__(self) -> None:
        self.offset = 0.0

    def step(self, seconds: float) -> None:
        self.offset += seconds

    def now(self) -> float:
        return time.time() + self.offset


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stepped = Clock()

    class Datetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=stepped.offset)

    monkeypatch.setattr(database_module, "datetime", Datetime)
    return stepped


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.1, duplicates="never"), seed=5) as running:
        yield running


@STEPS
def test_a_step_in_the_middle_of_a_run_with_doubt_pays_every_imei_once(
    simulator: Simulator, database: IMEIDatabase, clock: Clock, step: float
) -> None:
    simulator.set(fault="reset", fault_when="after", fault_share=0.2)
    batch_id = new_batch(database, 30 * CHUNK, CHUNK)
    with system(simulator, database, workers=3, chunk_size=CHUNK) as running:
        with at_work(running):
            wait_until(lambda: outcomes(database, batch_id).get("ordered", 0) >= 8 * CHUNK, "some orders")
            clock.step(step)
            wait_until(lambda: outcomes(database, batch_id).get("waiting", 0) <= 5 * CHUNK, "most calls")
        simulator.set(fault="")
        more = see_through(running, batch_id)
    assert_all_paid_once(simulator, database, batch_id, more)
    jumps = rows(database, "SELECT max(julianday(sent_at)) - min(julianday(sent_at)) FROM attempts")
    assert jumps[0][0] * 24 > 0.9  # the step did reach the program


@STEPS
def test_after_a_step_a_restarted_rate_limit_waits_a_minute_at_most(
    simulator: Simulator, database: IMEIDatabase, clock: Clock, step: float
) -> None:
    with system(simulator, database, chunk_size=CHUNK) as running:
        assert running.submit_batch(imeis(3 * CHUNK), SERVICE).successful == 3 * CHUNK
    clock.step(step)
    later = [0.0]
    throttle = Throttle(5, 3 + KEPT, clock=lambda: time.monotonic() + later[0])
    with system(simulator, database, throttle=throttle, chunk_size=CHUNK) as restarted:
        restarted.run(_set_event())
        assert throttle.permits(throttle.clock(), 0) == (0 if step < 0 else 3)
        later[0] = MINUTE + SLACK
        assert throttle.permits(throttle.clock(), 0) == 3


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@STEPS
def test_after_a_step_services_and_balance_are_asked_again(database: IMEIDatabase, clock: Clock, step: float) -> None:
    asked: list[str] = []

    def services() -> list[ServiceInfo]:
        asked.append("services")
        return [CARRIER]

    def account() -> Account:
        asked.append("account")
        return Account(5.0, "$ 5.00 USD")

    catalog = ServiceCatalog(LocalProvider(database, Questions(services=services), clock.now))
    balance = AccountBalance(LocalProvider(database, Questions(account=account), clock.now))
    catalog.current(), balance.current()
    catalog.current(), balance.current()
    assert asked == ["services", "account"]
    clock.step(step)
    assert not balance.stored().trusted
    assert not catalog.current().stale
    assert balance.current().trusted
    assert asked == ["services", "account"] * 2


@STEPS
def test_a_question_that_failed_before_a_step_is_asked_again(database: IMEIDatabase, clock: Clock, step: float) -> None:
    down = True

    def services() -> list[ServiceInfo]:
        if down:
            raise NotSentError("The provider cannot be reached.")
        return [CARRIER]

    catalog = ServiceCatalog(LocalProvider(database, Questions(services=services), clock.now))
    assert "cannot be reached" in catalog.current().error
    clock.step(step)
    down = False
    assert catalog.current().services == (CARRIER,)
