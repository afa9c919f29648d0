"""When to look at the provider's list, when to look alone, whom a proof waits for, and what a person decides."""

from typing import Any

import pytest
from handmade_calls import QUIET, answered, call, listed, look, unanswered
from simulated_provider import imeis

from database import IMEIDatabase
from storage.call_queries import DoubtfulCall
from submission.settlement import Settler
from submission.watches import FOR_A_PERSON, Watch

START = 1000.0


def watching(*watches: Watch, **changes: Any) -> Settler:
    """A settler with these calls in doubt: attempts 1, 2, … of batches 11, 12, …"""
    settler = Settler(QUIET, watches=dict(enumerate(watches, 1)), **changes)
    settler.calls = [DoubtfulCall(20 + n, 10 + n, "269", n, 1, True, False, False) for n in settler.watches]
    return settler


def watch(sent: float = 0.0, **changes: Any) -> Watch:
    return Watch(1, sent, sent, **changes)


def note(database: IMEIDatabase, settler: Settler, now: float) -> bool:
    with database.write() as connection:
        return settler.note(connection, now)


# Looks


def test_looks_come_later_each_time(database: IMEIDatabase) -> None:
    settler, now, waits = watching(watch(-9999.0)), START, []
    for _ in range(9):
        settler.looked(now)
        waits.append(settler.next_look - now)
        now = settler.next_look
    assert waits == [1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


@pytest.mark.parametrize(
    ("sent", "then"), [(START - 59.5, 1000.5), (START - 60.0, 1001.0), (START - 59.0, 1001.0), (START, 1001.0)]
)
def test_a_look_comes_as_soon_as_a_call_has_rested(sent: float, then: float) -> None:
    settler = watching(watch(-9999.0), watch(sent))
    settler.looked(START)
    assert settler.next_look == then


def test_without_doubt_no_look_is_due() -> None:
    settler = watching()
    assert not settler.is_due(START)
    settler.looked(START)
    assert settler.next_look == START + 1.0


def test_a_look_is_due_from_its_moment_on() -> None:
    settler = watching(watch(), next_look=START)
    assert [settler.is_due(now) for now in (START - 0.1, START, START + 1)] == [False, True, True]


def test_a_list_that_is_read_slowly_takes_half_of_the_time_at_most() -> None:
    """Also where new doubt, or a person, asks for a look at once."""
    settler = watching(watch(-9999.0), next_look=START)
    settler.looked(START + 400.0, seconds=400.0)
    assert not settler.is_due(START + 500.0)
    settler.look_soon(START + 500.0)
    assert [settler.is_due(START + now) for now in (799.9, 800.0)] == [False, True]


def test_a_quick_list_delays_no_look() -> None:
    settler = watching(watch(-9999.0), next_look=START)
    settler.looked(START, seconds=0.5)
    assert settler.next_look == START + 1.0
    assert settler.is_due(START + 1.0)


def test_other_work_goes_on_for_as_long_as_a_look_alone_took() -> None:
    """Nothing was sent meanwhile: a slow list must not hold up all other calls."""
    settler, quick, slow = Settler(60.0), watch(), watch()
    settler.postpone(quick, START, seconds=1.0)
    settler.postpone(slow, START, seconds=400.0)
    assert (quick.next_turn, slow.next_turn) == (START + 5.0, START + 400.0)


def test_the_series_of_looks_starts_again() -> None:
    settler = watching(watch(-9999.0))
    settler.look_soon(START)
    assert (settler.looks, settler.next_look) == (0, START)
    for _ in range(5):
        settler.looked(START)
    settler.look_soon(START)
    assert (settler.looks, settler.next_look) == (0, START + 1.0)  # a look was just taken
    settler.looked(START + 1.0)
    assert settler.next_look == START + 2.0
    settler.look_soon(START + 1.5)
    assert settler.next_look == START + 2.0  # that is sooner


# What is in doubt


def test_doubt_is_noticed_watched_and_forgotten(database: IMEIDatabase) -> None:
    settler = Settler(QUIET)
    assert not note(database, settler, START - 50)
    known = answered(database, call(database, imeis(1)), 1)
    doubtful = call(database, imeis(3, first=20))
    unanswered(database, doubtful)
    settler.began(doubtful.attempt_id, START - 5)
    settler.began(99, START)
    settler.next_look, settler.looks = 5000.0, 3
    assert note(database, settler, START)
    assert settler.watches == {doubtful.attempt_id: Watch(3, START, START - 5, is_own=True)}
    assert settler.sent == {doubtful.attempt_id: START - 5}
    assert settler.next_look == START + 1.0
    assert settler.doubts(doubtful.batch_id) and not settler.doubts(doubtful.batch_id + 1)
    settler.next_look, settler.looks = 5000.0, 3
    assert note(database, settler, START + 1)
    assert settler.next_look == 5000.0  # nothing new
    shown = [listed(str(50 + n), item.imei) for n, item in enumerate(doubtful.items)]
    look(database, settler, [*known, *shown], START + 2)
    assert not note(database, settler, START + 3)
    assert not settler.watches and not settler.sent and not settler.doubts(doubtful.batch_id)


def test_the_first_call_after_the_rest_is_the_proof(database: IMEIDatabase) -> None:
    doubtful = call(database, imeis(1))
    unanswered(database, doubtful)
    settler = Settler(QUIET)
    note(database, settler, START)
    watched = settler.watches[doubtful.attempt_id]
    call(database, imeis(1, first=10))
    settler.looks, settler.next_look = 3, 5000.0
    note(database, settler, START + QUIET - 0.1)
    assert (watched.rested_at, settler.next_look) == (None, 5000.0)
    note(database, settler, START + QUIET)
    assert (watched.rested_at, watched.is_followed) == (doubtful.attempt_id + 1, False)
    assert settler.next_look == START + QUIET + 1.0
    settler.looks, settler.next_look = 3, 5000.0
    note(database, settler, START + QUIET + 2)
    assert (watched.is_followed, settler.next_look) == (False, 5000.0)
    call(database, imeis(1, first=11))
    note(database, settler, START + QUIET + 3)
    assert (watched.is_followed, settler.next_look) == (True, START + QUIET + 4.0)
    assert watched.rested_at == doubtful.attempt_id + 1
    settler.looks, settler.next_look = 3, 5000.0
    call(database, imeis(1, first=12))
    note(database, settler, START + QUIET + 5)
    assert settler.next_look == 5000.0


# Turns


@pytest.mark.parametrize(
    ("ready", "cleared", "waits", "paused", "now", "wants"),
    [
        (True, False, True, False, START, True),
        (False, True, True, False, START, True),
        (False, False, True, False, START, False),
        (True, False, False, False, START, False),
        (True, False, True, True, START, False),
        (False, True, True, True, START, False),
        (True, False, True, False, START - 0.1, False),
    ],
)
def test_a_turn_is_for_what_a_look_alone_may_settle(
    ready: bool, cleared: bool, waits: bool, paused: bool, now: float, wants: bool
) -> None:
    settler = watching(watch(ready=ready, next_turn=START))
    settler.calls = [DoubtfulCall(21, 11, "269", 1, 1, waits, paused, cleared)]
    assert settler.wants_turn(now) is wants


def test_one_call_that_may_be_settled_is_enough_for_a_turn() -> None:
    assert watching(watch(), watch(ready=True), watch()).wants_turn(START)
    assert not watching(watch(), watch()).wants_turn(START)


def test_turns_are_postponed_by_a_minute_and_never_brought_forward() -> None:
    settler = watching(watch(ready=True), watch(ready=True, next_turn=START + 100.0))
    settler.postpone_turns(START)
    assert [w.next_turn for w in settler.watches.values()] == [START + 60.0, START + 100.0]
    assert not settler.wants_turn(START + 59.9) and settler.wants_turn(START + 60.0)


@pytest.mark.parametrize(("turns", "waits"), [((FOR_A_PERSON, FOR_A_PERSON), True), ((FOR_A_PERSON, 5.0), False)])
def test_doubt_waits_for_a_person_where_all_of_it_does(turns: tuple[float, float], waits: bool) -> None:
    settler = watching(*(watch(next_turn=turn) for turn in turns))
    assert settler.waits_for_person is waits


@pytest.mark.parametrize(("looks", "balances", "hopeless"), [(2, 2, False), (3, 0, True), (0, 3, True)])
def test_without_a_list_or_a_balance_doubt_waits_for_a_person(looks: int, balances: int, hopeless: bool) -> None:
    settler = watching(watch(), idle_looks=looks, balance_failures=balances)
    assert settler.cannot_prove is settler.waits_for_person is hopeless


@pytest.mark.parametrize(
    ("rested_at", "now", "wants"),
    [
        (None, START, False),
        (None, 9999.0, False),
        (2, START, True),
        (2, QUIET, True),
        (1, QUIET, False),
        (1, QUIET + 60.0, False),
        (1, QUIET + 60.1, True),
    ],
)
def test_the_last_imeis_wait_for_the_rest_and_for_the_proof_before(
    database: IMEIDatabase, rested_at: int | None, now: float, wants: bool
) -> None:
    call(database, imeis(1))
    call(database, imeis(1, first=5))
    settler = watching(watch(rested_at=2), watch(rested_at=rested_at))
    with database.read() as connection:
        assert settler.may_send_last(connection, now) is wants


def test_where_no_proof_is_to_be_had_no_imei_is_held_back(database: IMEIDatabase) -> None:
    with database.read() as connection:
        assert watching(watch(), idle_looks=3).may_send_last(connection, START)
