"""Doubt ends by itself where the provider lists its orders, and never by sending what may have been placed."""

import time
from dataclasses import replace

import pytest
from batch_checks import at_work, found, new_batch, outcomes, rows
from simulated_provider import SERVICE, Knobs, Simulator, imeis, judge, system
from waiting import wait_until

from gsm_fusion_client import GSMFusionClient
from orders import BatchState, Outcome
from storage import batch_states
from submission.decisions import ask_again, was_not_placed
from submission.settlement import DEARER

pytestmark = pytest.mark.usefixtures("quick_looks", "short_proof")

TOTAL = 300  #: three calls, all on the wire at once: no later call of the batch can be a witness


@pytest.fixture
def simulator():
    with Simulator(Knobs(history=1, latency=0.05)) as running:
        yield running


def place(simulator, database, total=TOTAL, **options):
    with system(simulator, database, **{"settle_quiet": 0.3, "patience": 3.0, **options}) as running:
        return running.submit_batch(imeis(total), SERVICE)


def place_later(simulator, database, **options):
    """Order one IMEI more, as the next batch of the day does, and see the first batch through."""
    with system(simulator, database, **{"settle_quiet": 0.3, "patience": 12.0, **options}) as running:
        running.submit_batch(imeis(1, first=5000), SERVICE)
        return running.submit_batch(imeis(TOTAL), SERVICE)


def test_what_was_placed_is_found_without_a_later_order(simulator, database):
    simulator.set(fault="reset", fault_when="after", fault_calls=(2,))
    result = place(simulator, database)
    assert (result.successful, result.in_doubt) == (TOTAL, 0)
    assert judge(simulator, database) == (0, 0)


def test_what_was_not_placed_waits_for_a_later_order_where_the_list_has_not_changed(simulator, database):
    simulator.set(fault="reset", fault_when="before", fault_calls=(3,))
    result = place(simulator, database, workers=1)  # the call in doubt is the last one
    assert (result.successful, result.in_doubt) == (TOTAL - 100, 100)
    result = place_later(simulator, database)
    assert (result.successful, result.in_doubt) == (TOTAL, 0)
    assert len(simulator.charges()) == TOTAL + 1
    assert judge(simulator, database) == (0, 0)


def test_doubt_in_the_first_calls_settles_within_the_batch(simulator, database):
    """The last IMEIs are held back until the doubtful call has rested; their orders prove the list."""
    simulator.set(fault="reset", fault_when="before", fault_calls=(1,))
    result = place(simulator, database, total=TOTAL, workers=1, patience=12.0)
    assert (result.successful, result.in_doubt) == (TOTAL, 0)
    assert len(simulator.charges()) == TOTAL
    assert judge(simulator, database) == (0, 0)


def test_what_is_sent_again_goes_in_pieces_of_the_resend_limit(simulator, database):
    simulator.set(fault="reset", fault_when="before", fault_calls=(1,))
    result = place(simulator, database, workers=1, patience=12.0, resend_limit=3.2)
    assert (result.successful, result.in_doubt) == (TOTAL, 0)
    sizes = [row[0] for row in rows(database, "SELECT size FROM chunks WHERE doubt_attempt IS NOT NULL ORDER BY id")]
    assert sizes == [40, 40, 20]


def test_what_costs_more_than_the_limit_waits_for_a_person(simulator, database):
    """The page states the reason, also after each later look."""
    simulator.set(fault="reset", fault_when="before", fault_calls=(1,))
    with system(simulator, database, settle_quiet=0.3, patience=12.0, workers=1, resend_limit=0.07) as running:
        result = running.submit_batch(imeis(TOTAL), SERVICE)
        assert (result.successful, result.in_doubt) == (TOTAL - 100, 100)
        assert why_in_doubt(database) == DEARER
        looks = listings(simulator)
        with at_work(running):
            ask_again(database)
            wait_until(lambda: listings(simulator) > looks, "the provider is asked once more")
            time.sleep(0.3)  # for what the look shows to be written
        assert why_in_doubt(database) == DEARER


def why_in_doubt(database):
    """What the page of the only call in doubt says."""
    [(message,)] = rows(database, "SELECT message FROM chunks WHERE state = 'in_doubt'")
    return message


def listings(simulator):
    """How often the provider's list has been read to its end."""
    return sum(call.action == "getimeis" and call.ended is not None for call in simulator.calls())


def test_without_a_balance_a_person_decides(simulator, database):
    simulator.set(fault="reset", fault_when="before", fault_calls=(1,), accountinfo="off")
    result = place(simulator, database, workers=1)
    assert (result.successful, result.in_doubt) == (TOTAL - 100, 100)
    assert len(simulator.charges()) == TOTAL - 100


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_list_that_lags_behind_is_waited_for(simulator, database, when):
    simulator.set(fault="reset", fault_when=when, fault_calls=(1,), listing="lagging", listing_lag=1.2)
    simulator.set(duplicates="never")
    result = place(simulator, database, workers=1, patience=30.0)
    assert (result.successful, result.in_doubt) == (TOTAL, 0)
    assert judge(simulator, database) == (0, 0)


def test_an_order_that_is_placed_after_we_gave_up_is_adopted_and_not_sent_again(simulator, database):
    simulator.set(duplicates="never", fault="close", fault_when="later", create_after=1.0, fault_calls=(2,))
    result = place(simulator, database, settle_quiet=1.5, patience=15.0)
    assert (result.successful, result.in_doubt) == (TOTAL, 0)
    assert len(simulator.charges()) == TOTAL
    assert judge(simulator, database) == (0, 0)


@pytest.mark.parametrize("listing", ["off", "empty"])
def test_a_provider_that_does_not_list_leaves_exactly_the_doubtful_call_to_a_person(simulator, database, listing):
    simulator.set(fault="reset", fault_when="before", fault_calls=(2,), listing=listing)
    result = place(simulator, database, patience=3.0)
    assert (result.successful, result.in_doubt) == (TOTAL - 100, 100)
    assert len(simulator.charges()) == TOTAL - 100


class Forgetful(GSMFusionClient):
    """Sees a list in which some orders are missing, as one that another host has not all of."""

    def list_recent_orders(self):
        return super().list_recent_orders()[::2]


def test_absence_from_a_list_with_gaps_is_not_believed(simulator, database):
    simulator.set(fault="reset", fault_when="before", fault_calls=(2,), duplicates="never")
    result = place(simulator, database, client_class=Forgetful, patience=3.0)
    assert (result.successful, result.in_doubt) == (TOTAL - 100, 100)


class Blurred(GSMFusionClient):
    """Sees the doubtful call's IMEIs in the list, but not the ids of their orders."""

    def list_recent_orders(self):
        doubtful = set(imeis(200)[100:])
        return [replace(o, id="") if o.imei in doubtful else o for o in super().list_recent_orders()]


def test_an_imei_that_the_list_names_without_an_order_id_is_not_sent_again(simulator, database):
    simulator.set(fault="reset", fault_when="after", fault_calls=(2,), duplicates="never")
    result = place(simulator, database, client_class=Blurred, patience=3.0, workers=1)
    assert (result.successful, result.in_doubt) == (TOTAL - 100, 100)
    assert len(simulator.charges()) == TOTAL


def test_a_person_may_decide_before_the_list_does(simulator, database):
    simulator.set(fault="reset", fault_when="before", fault_calls=(2,), listing="off")
    assert place(simulator, database, patience=0.5).in_doubt == 100
    with database.read() as connection:
        query = "SELECT id FROM items WHERE outcome = 'in_doubt'"
        ids = [row[0] for row in connection.exec_driver_sql(query)]
    assert was_not_placed(database, ids, 0.0) == 100
    assert place(simulator, database).successful == TOTAL
    assert judge(simulator, database) == (0, 0)


def test_a_list_that_takes_longer_than_a_call_may_take_settles_all_doubt(simulator, database):
    """5,000 orders from a slow wire, with a silence in their middle."""
    simulator.set(list_rate=400_000.0, list_pause=1.0)
    simulator.set(fault="reset", fault_when="after", fault_calls=(1,))
    with system(simulator, database, settle_quiet=0.3, patience=40.0, timeout=2.0) as running:
        simulator.set(history=5000)
        result = running.submit_batch(imeis(TOTAL), SERVICE)
    assert (result.successful, result.in_doubt) == (TOTAL, 0)
    assert len(simulator.charges()) == TOTAL
    assert judge(simulator, database) == (0, 0)


@pytest.mark.parametrize("fault", ["maintenance", "withdrawn", "auth"])
def test_what_a_refused_call_has_placed_all_the_same_is_not_sent_again(simulator, database, fault):
    """Such as where a proxy repeats a call, and the client gets the second answer. The process goes on."""
    simulator.set(duplicates="never", fault=fault, fault_when="after", fault_calls=(2,))
    notices = set[str]()
    with system(simulator, database, settle_quiet=0.3, workers=1, maintenance_wait=0.3) as running, at_work(running):
        batch_id = new_batch(database, 600, 100)
        wait_until(lambda: goes_on(database, batch_id, notices), "a person resumes it until all is ordered")
    assert any("The provider lists 100 orders of IMEIs that this batch has not sent" in words for words in notices)
    assert outcomes(database, batch_id) == {Outcome.ORDERED: 500, Outcome.DUPLICATE: 100}
    assert len(simulator.charges()) == 600
    assert judge(simulator, database) == (0, 0)


def goes_on(database, batch_id, notices):
    """Resume a batch that waits for a person, noting why. Return whether it is finished."""
    there = found(database, batch_id)
    if there.state is BatchState.PAUSED and not there.resumes_itself:
        notices.add(there.notice)
        with database.write() as connection:
            batch_states.resume(connection, batch_id)
    return there.state is BatchState.FINISHED
