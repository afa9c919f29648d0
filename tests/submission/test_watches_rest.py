"""How long a call in doubt rests before absence may count, and what is learned of the provider's delays."""

import pytest
from doubtful_call import RESTED, START, again, in_doubt, newer
from handmade_calls import (
    QUIET,
    listed,
    look,
    outcome,
    reason,
)

from database import IMEIDatabase
from submission.settlement import NOT_RESTED, Settler


def test_a_call_with_a_readable_answer_rests_from_that_answer(database: IMEIDatabase) -> None:
    """The provider that has answered works on it no more: its deadline need not be waited for."""
    doubtful, known = in_doubt(database)
    settler = Settler(QUIET, 120.0)
    settler.began(doubtful.attempt_id, START - 100, START - 10)
    look(database, settler, known, START)
    assert settler.rests_until(settler.watches[doubtful.attempt_id]) == START + 50
    settler.watches[doubtful.attempt_id].found = START + 5
    assert settler.rests_until(settler.watches[doubtful.attempt_id]) == START + 65


@pytest.mark.parametrize(("timeout", "until"), [(0.0, 1050.0), (120.0, 1170.0)])
def test_a_call_rests_from_when_it_was_sent_for_its_deadline_and_the_quiet_time(
    database: IMEIDatabase, timeout: float, until: float
) -> None:
    doubtful, known = in_doubt(database)
    settler = Settler(QUIET, timeout)
    settler.began(doubtful.attempt_id, START - 10)
    assert look(database, settler, known, START) == []
    shown = newer(database, known)
    assert look(database, settler, shown, until - 0.1) == []
    assert reason(database, doubtful) == NOT_RESTED
    assert look(database, settler, shown, until) == again(doubtful)


def test_a_call_of_an_earlier_process_rests_from_when_it_was_noticed(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    shown = newer(database, known)
    assert look(database, settler, shown, RESTED - 0.1) == []
    assert look(database, settler, shown, RESTED) == again(doubtful)


def test_a_provider_that_was_slow_gets_longer_and_the_next_process_knows_it(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database, 3)
    slow = Settler(QUIET, timeout=120.0)
    slow.answered(1000.0, 10)
    slow.answered(500.0, 10)
    slow.answered(9000.0, 9)  # a short call says little about one IMEI
    assert slow.seconds_per_imei == 100.0
    look(database, slow, known, START)
    assert slow.rests_until(slow.watches[doubtful.attempt_id]) == START + 300.0 + QUIET
    assert database.get_setting("learned_seconds_per_imei") == "100.000"
    following = Settler(QUIET, timeout=120.0)
    look(database, following, known, 5000.0)
    assert following.rests_until(following.watches[doubtful.attempt_id]) == 5000.0 + 300.0 + QUIET


def test_an_order_that_is_found_late_restarts_the_rest_and_teaches_the_next_process(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database, 2)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    shown = [*newer(database, known), listed("2000", doubtful.items[0].imei)]
    assert look(database, settler, shown, START + 100.0) == []
    assert outcome(database, doubtful) == [("ordered", "2000"), ("in_doubt", "")]
    assert reason(database, doubtful) == NOT_RESTED
    assert database.get_setting("learned_lag") == "100.000"
    watch = settler.watches[doubtful.attempt_id]
    assert settler.rests_until(watch) == START + 200.0
    following = Settler(QUIET)
    look(database, following, shown, 5000.0)
    assert following.rests_until(following.watches[doubtful.attempt_id]) == 5000.0 + 200.0


def test_a_find_restarts_the_quiet_time(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database, 2)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    shown = [*newer(database, known), listed("2000", doubtful.items[0].imei)]
    look(database, settler, shown, START + 50.0)
    assert look(database, settler, shown, START + 109.9) == []
    assert look(database, settler, shown, START + 110.0) == [doubtful.items[1].imei]


def test_what_the_first_look_shows_teaches_no_lag(database: IMEIDatabase) -> None:
    """The order may have stood in the list for long before anyone looked."""
    doubtful, known = in_doubt(database, 2)
    settler = Settler(QUIET)
    settler.began(doubtful.attempt_id, START - 500)
    look(database, settler, [*known, listed("2000", doubtful.items[0].imei)], START)
    assert outcome(database, doubtful)[0] == ("ordered", "2000")
    assert (settler.lag, database.get_setting("learned_lag")) == (0.0, None)


def test_a_quicker_find_does_not_shorten_the_lag(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database, 3)
    settler = Settler(QUIET)
    settler.lag = 100.0
    settler.learned = True
    look(database, settler, known, START)
    look(database, settler, [*known, listed("2000", doubtful.items[0].imei)], START + 100.0)
    assert (settler.lag, database.get_setting("learned_lag")) == (100.0, None)
