"""The provider fails in the middle of a batch: what state the batch is in, what the page says, what the ledger shows.

Each row ends as a person would end it: the trouble is over, the batch is resumed if it does not resume by itself.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from batch_checks import (
    PRICE,
    assert_all_paid_once,
    at_work,
    found,
    new_batch,
    outcomes,
    see_through,
    told_by_command,
    told_by_page,
)
from planted_kills import CHUNK
from simulated_provider import SERVICE, Knobs, Simulator, imeis, system
from stored_orders import all_orders, imeis_in_doubt
from waiting import wait_until

from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from orders import BatchState, ChunkState
from settings import Settings
from storage import batch_states
from web.format import money

pytestmark = pytest.mark.usefixtures("quick_looks", "short_proof")

TOTAL, FEW = 16 * CHUNK, 8 * CHUNK


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.1), seed=9) as running:
        yield running


@dataclass(frozen=True)
class Outage:
    """What the provider does from the middle on, and how the batch stands then."""

    name: str
    trouble: dict[str, Any]
    words: str  #: in the notice: the provider's own
    over: dict[str, Any] = field(default_factory=lambda: {"fault": ""})
    state: BatchState = BatchState.PAUSED
    resumes_itself: bool = False
    doubtful: bool = False  #: whether some of it is in doubt while it lasts


OUTAGES = (
    Outage("credentials revoked", {"fault": "auth", "fault_when": "before"}, "Invalid User!"),
    Outage("service withdrawn", {"fault": "withdrawn", "fault_when": "before"}, "Invalid value of Network Id!"),
    Outage("maintenance", {"fault": "maintenance", "fault_when": "before"}, "maintenance", resumes_itself=True),
    Outage(
        "credit used up inside a call",
        {"credit": PRICE * 1.5 * CHUNK},
        "Credit has been finished!",
        over={"credit": None},
        doubtful=True,
    ),
    Outage("too many calls", {"fault": "429"}, "fewer calls (HTTP 429)", state=BatchState.RUNNING),
)


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.name)
def test_an_outage_in_the_middle_is_told_and_nothing_is_paid_twice(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, outage: Outage
) -> None:
    batch_id = new_batch(database, TOTAL, CHUNK)
    with system(simulator, database, workers=2, chunk_size=CHUNK) as running:
        with at_work(running):
            wait_until(lambda: outcomes(database, batch_id).get("ordered", 0) >= 4 * CHUNK, "some orders")
            simulator.set(**outage.trouble)
            wait_until(lambda: outage.words in found(database, batch_id).notice, "the provider's words")
            wait_until(lambda: found(database, batch_id).chunks[ChunkState.SENDING] == 0, "the last answers")
            there = found(database, batch_id)
            if outage.state is BatchState.PAUSED and not outage.resumes_itself:
                assert there.state is outage.state
                wait_until(lambda: outage.words in told_by_page(database, settings, batch_id), "the words on the page")
            assert ("in_doubt" in outcomes(database, batch_id)) == outage.doubtful
            assert 4 * CHUNK <= len(simulator.charges()) < TOTAL
        simulator.set(**outage.over)
        if not outage.resumes_itself:
            with database.write() as connection:
                batch_states.resume(connection, batch_id)
        more = see_through(running, batch_id)
    assert_all_paid_once(simulator, database, batch_id, more)
    assert found(database, batch_id).notice == ""


def test_while_the_provider_is_gone_the_batch_waits_says_so_and_goes_on(
    database: IMEIDatabase, settings: Settings, tmp_path: Path
) -> None:
    ledger, knobs = tmp_path / "ledger.jsonl", Knobs(latency=0.1, duplicates="never")
    batch_id = new_batch(database, TOTAL, CHUNK)
    with (
        Simulator(knobs, ledger) as simulator,
        system(simulator, database, workers=2, chunk_size=CHUNK) as running,
        at_work(running),
    ):
        wait_until(lambda: outcomes(database, batch_id).get("ordered", 0) >= 4 * CHUNK, "some orders")
        simulator.close()
        wait_until(lambda: "cannot be reached" in found(database, batch_id).notice, "the notice")
        assert found(database, batch_id).state is BatchState.RUNNING
        assert "The provider cannot be reached" in told_by_page(database, settings, batch_id)
        assert outcomes(database, batch_id).get("in_doubt", 0) <= 3 * CHUNK  # one call a thread
        with Simulator(knobs, ledger, port=simulator.port) as again:
            wait_until(lambda: outcomes(database, batch_id) == {"ordered": TOTAL}, "every IMEI is ordered")
            assert_all_paid_once(again, database, batch_id)


@pytest.mark.parametrize(("fault", "word"), [("503", "HTTP 503"), ("close", "connection broke")])
def test_a_provider_that_answers_nothing_readable_is_left_alone_before_all_is_in_doubt(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, fault: str, word: str
) -> None:
    simulator.set(listing="off", duplicates="never")
    batch_id = new_batch(database, 3 * TOTAL, CHUNK)
    with system(simulator, database, workers=2, chunk_size=CHUNK) as running, at_work(running):
        wait_until(lambda: outcomes(database, batch_id).get("ordered", 0) >= 4 * CHUNK, "some orders")
        simulator.set(fault=fault, fault_when="before")
        wait_until(lambda: word in found(database, batch_id).notice, "the notice")
        assert word in told_by_page(database, settings, batch_id)
        time.sleep(1.0)  # in which all the other calls could be made
        assert outcomes(database, batch_id)["in_doubt"] <= TOTAL
        assert found(database, batch_id).state is BatchState.RUNNING
        simulator.set(fault="", listing="on")
        wait_until(lambda: outcomes(database, batch_id) == {"ordered": 3 * TOTAL}, "every IMEI is ordered")
    assert found(database, batch_id).notice == ""
    assert_all_paid_once(simulator, database, batch_id)


@pytest.mark.parametrize("style", ["whole_call", "whole_call_clean"])
def test_a_call_that_is_refused_for_one_known_imei_is_settled_imei_by_imei(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, style: str
) -> None:
    """The provider places those before the known one (or none), and says "IMEI already exists!" of the whole call.

    An order of ours from before the batch shows that the known one is older: it is no order of the batch.
    """
    simulator.set(duplicate_style=style)
    known = imeis(FEW)[CHUNK + CHUNK // 2]
    with GSMFusionClient("DEMO-KEY", "demo", options=ClientOptions(simulator.base_url)) as somebody_else:
        somebody_else.place_imei_order(known, SERVICE)
    time.sleep(1.1)  # the list's dates are of seconds
    said: list[float] = []
    with system(simulator, database, workers=2, chunk_size=CHUNK, patience=60.0) as running:
        running.submit_batch(imeis(1, first=80_000), SERVICE)
        batch_id = new_batch(database, FEW, CHUNK)
        running.run_batch(batch_id, lambda now: said.append(now.at_stake))
        see_through(running, batch_id)
    assert max(said) == pytest.approx(PRICE * CHUNK)
    charges = Counter(charge.imei for charge in simulator.charges())
    assert set(charges.values()) == {1}
    assert sum(outcomes(database, batch_id).values()) == FEW
    assert outcomes(database, batch_id) == {"ordered": FEW - 1, "duplicate": 1}


LISTINGS: dict[str, dict[str, Any]] = {
    "lists": {},
    "lists late": {"listing": "lagging", "listing_lag": 0.5},
    "lists the newest": {"listing_limit": CHUNK},
    "does not list": {"listing": "off"},
}


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.parametrize("duplicates", ["always", "pending", "never"])
def test_whatever_it_refuses_and_lists_what_may_be_paid_is_settled_or_shown(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, duplicates: str, listing: str
) -> None:
    """Two calls are charged and not answered. Where the list cannot show them, exactly these are in doubt."""
    twice_closed = {"fault": "close", "fault_when": "after", "fault_calls": (3, 7)}
    simulator.set(latency=0.02, duplicates=duplicates, **twice_closed, **LISTINGS[listing])
    batch_id = new_batch(database, FEW, CHUNK)
    with system(simulator, database, workers=2, chunk_size=CHUNK, patience=0.5) as running:
        running.run_batch(batch_id)
        if listing in ("lists", "lists late"):
            more = see_through(running, batch_id)
            return assert_all_paid_once(simulator, database, batch_id, more)
    known = {order["order_id"] for order in all_orders(database)}
    shown = [charge for charge in simulator.charges() if str(charge.order_id) not in known]
    assert set(Counter(charge.imei for charge in simulator.charges()).values()) == {1}
    assert outcomes(database, batch_id) == {"ordered": FEW - len(shown), "in_doubt": len(shown)}
    assert imeis_in_doubt(database) == {charge.imei for charge in shown}
    assert len(shown) in (2 * CHUNK, 2 * CHUNK - 3) or listing == "lists the newest"
    stake = money(PRICE * len(shown))
    assert f"Up to {stake} more may have been charged" in told_by_command(database, batch_id)
    note = f"{len(shown)} in doubt : no clear reply; {stake} may have been charged"
    assert note in told_by_page(database, settings, batch_id)
    return None
