"""Doubt ends by itself where the provider lists its orders, and never by sending what may have been placed."""

import time
from dataclasses import replace

import pytest
from provider_fixture import SERVICE, Knobs, Simulator, imeis, judge, system

from gsm_fusion_client import GSMFusionClient
from settlement import was_not_placed

TOTAL = 300  #: three calls, all on the wire at once: no later call of the batch can be a witness


@pytest.fixture
def simulator():
    with Simulator(Knobs(history=1, latency=0.05)) as running:
        yield running


def place(simulator, database, total=TOTAL, **options):
    with system(simulator, database, **{"settle_quiet": 0.3, "patience": 12.0, **options}) as running:
        return running.submit_batch(imeis(total), SERVICE)


@pytest.mark.parametrize("when", ["before", "after"])
def test_doubt_in_the_last_calls_settles_without_a_later_order(simulator, database, when):
    simulator.set(fault="reset", fault_when=when, fault_calls=(2,))
    result = place(simulator, database)
    assert (result.successful, result.in_doubt) == (TOTAL, 0)
    assert len(simulator.charges()) == TOTAL
    assert judge(simulator, database) == (0, 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_list_that_lags_behind_is_given_twice_its_lag(simulator, database, when):
    simulator.set(fault="reset", fault_when=when, fault_calls=(2,), listing="lagging", listing_lag=1.2)
    simulator.set(duplicates="never")
    result = place(simulator, database)
    assert (result.successful, result.in_doubt) == (TOTAL, 0)
    assert judge(simulator, database) == (0, 0)


def test_an_order_that_is_placed_after_we_gave_up_is_adopted_and_not_sent_again(simulator, database):
    simulator.set(duplicates="never", charge_when="answer", fault="late", fault_when="before", fault_calls=(2,))
    simulator.set(hang_seconds=1.0)
    result = place(simulator, database, timeout=0.6, settle_quiet=1.5, patience=15.0)
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
        return [replace(o, order_id="") if o.imei in doubtful else o for o in super().list_recent_orders()]


def test_an_imei_that_the_list_names_without_an_order_id_is_not_sent_again(simulator, database):
    simulator.set(fault="reset", fault_when="after", fault_calls=(2,), duplicates="never")
    result = place(simulator, database, client_class=Blurred, patience=3.0, workers=1)
    assert (result.successful, result.in_doubt) == (TOTAL - 100, 100)
    assert len(simulator.charges()) == TOTAL


def test_where_nothing_tells_how_far_the_list_lags_it_is_given_ten_quiet_times(simulator, database):
    """A process that starts with the doubt knows of no order that it has placed itself."""
    simulator.set(fault="reset", fault_when="before", fault_calls=(2,))
    assert place(simulator, database, patience=0.0).in_doubt == 100
    began = time.monotonic()
    result = place(simulator, database)
    assert (result.successful, result.in_doubt) == (TOTAL, 0)
    assert time.monotonic() - began >= 11 * 0.3
    assert judge(simulator, database) == (0, 0)


def test_a_person_may_decide_before_the_list_does(simulator, database):
    simulator.set(fault="reset", fault_when="before", fault_calls=(2,), listing="off")
    assert place(simulator, database, patience=0.5).in_doubt == 100
    with database.read() as connection:
        query = "SELECT id FROM items WHERE outcome = 'in_doubt'"
        ids = [row[0] for row in connection.exec_driver_sql(query)]
    assert was_not_placed(database, ids, 0.0) == 100
    assert place(simulator, database).successful == TOTAL
    assert judge(simulator, database) == (0, 0)
