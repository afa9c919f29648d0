"""What is proven, step by step: the rest of a call, the list, the provider's clocks, the balance, and what is sent."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from calls_fixture import (
    OTHER,
    QUIET,
    answered,
    call,
    listed,
    look,
    one,
    outcome,
    planned,
    read_balance,
    reason,
    unanswered,
)
from provider_fixture import SERVICE, imeis

from database import IMEIDatabase, utc_now, write_list_limit
from orders import SAYS_IT_EXISTS, Chunk, ChunkState, IMEIOrder, ServiceInfo
from storage import batch_states, call_queries
from storage.call_records import write_intents
from submission import settlement
from submission.settlement import (
    DEARER,
    FOR_A_PERSON,
    NEXT_TURN,
    NOT_RESTED,
    UNCLEAR,
    UNLISTED,
    Look,
    Settler,
    was_not_placed,
)

START, RESTED = 1000.0, 1000.0 + QUIET
OLD = "2026-11-20 09:00:00"
NOW = utc_now().isoformat(" ", "seconds")
UNCHANGED = "The provider's list has not changed since the call."


def in_doubt(
    database: IMEIDatabase, count: int = 1, said: Sequence[str] = (), words: str = ""
) -> tuple[Chunk, list[IMEIOrder]]:
    """A call without an answer, and the list of what we ordered before it; the balance from before it is known."""
    read_balance(database)
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 100)
    known = answered(database, call(database, imeis(1, first=1)), 1000)
    doubtful = call(database, imeis(count, first=20))
    unanswered(database, doubtful, said, words)
    return doubtful, known


def newer(database: IMEIDatabase, known: Sequence[IMEIOrder], number: int = 1) -> list[IMEIOrder]:
    """The list after another of our orders."""
    return [*known, *answered(database, call(database, imeis(1, first=900 + number)), 5000 + number)]


def stored_services(database: IMEIDatabase) -> None:
    """The provider's words for both services are known."""
    database.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1), ServiceInfo(OTHER, "Sprint", 0.1)], 1.0)


def again(chunk: Chunk) -> list[str]:
    return [item.imei for item in chunk.items]


# Rest


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


# The list


def test_a_list_that_looks_as_at_the_first_look_proves_nothing(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database)
    settler, shown = Settler(QUIET), newer(database, known)
    assert look(database, settler, shown, START) == []
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful) == UNCHANGED
    assert look(database, settler, shown[::-1], RESTED) == []  # another order of its rows is no change
    assert look(database, settler, newer(database, shown, 2), RESTED + 1) == again(doubtful)


@pytest.mark.parametrize("change", ["status", "replied_at"])
def test_an_order_that_moved_on_is_a_change_of_the_list(database: IMEIDatabase, change: str) -> None:
    doubtful, known = in_doubt(database)
    settler, shown = Settler(QUIET), newer(database, known)
    look(database, settler, shown, START)
    moved = replace(shown[0], **{change: "Completed"})
    assert look(database, settler, [moved, *shown[1:]], RESTED) == again(doubtful)


def test_a_list_that_was_asked_for_before_the_doubt_was_noticed_is_not_the_first_look(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database)
    settler, shown = Settler(QUIET), newer(database, known)
    look(database, settler, known, START, asked_at=START - 1)
    assert settler.watches[doubtful.attempt_id].first == ""
    look(database, settler, shown, START + 1)
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful) == UNCHANGED


def test_what_was_recorded_after_the_list_was_asked_for_need_not_stand_in_it(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    shown = newer(database, known)
    last = one(database, "SELECT max(id) FROM orders")
    newer(database, shown, 2)
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful) == "The provider's list leaves out 1 order of this service that we know."
    assert look(database, settler, shown, RESTED, last_order=last) == again(doubtful)


def test_an_order_placed_while_the_call_was_on_the_wire_does_not_show_that_the_list_is_up_to_date(
    database: IMEIDatabase,
) -> None:
    read_balance(database)
    known = answered(database, call(database, imeis(1, first=1)), 1000)
    earlier = call(database, imeis(1, first=2))
    doubtful = call(database, imeis(1, first=20))
    with database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE attempts SET ended_before = ? WHERE id = ?", (earlier.attempt_id, doubtful.attempt_id)
        )
    unanswered(database, doubtful)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    shown = [*known, *answered(database, earlier, 2000)]
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful).startswith("No order of this service was placed after the call")
    assert look(database, settler, newer(database, shown), RESTED + 1) == again(doubtful)


def first_ever(database: IMEIDatabase) -> Chunk:
    """The first call of a database is in doubt: nothing is older."""
    read_balance(database)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    return doubtful


def test_a_list_that_grew_was_not_cut_where_the_shorter_one_ended(database: IMEIDatabase) -> None:
    doubtful, settler = first_ever(database), Settler(QUIET)
    shown = newer(database, [])
    look(database, settler, shown, START)
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful).startswith("No order of this service from before the call")
    assert look(database, settler, newer(database, shown, 2), RESTED + 1) == again(doubtful)


def test_the_shortest_list_that_left_nothing_out_counts(database: IMEIDatabase) -> None:
    doubtful, settler = first_ever(database), Settler(QUIET)
    shown = newer(database, [])
    foreign = [listed(str(9000 + n), imeis(1, first=700 + n)[0]) for n in range(3)]
    look(database, settler, [*shown, *foreign], START)
    assert settler.watches[doubtful.attempt_id].shorter == 4
    look(database, settler, shown, START + 1)
    look(database, settler, [*shown, *foreign], START + 2)
    assert settler.watches[doubtful.attempt_id].shorter == 1
    assert look(database, settler, newer(database, shown, 2), RESTED) == again(doubtful)


@pytest.mark.parametrize("odd", [True, False])
def test_a_list_with_gaps_or_unreadable_orders_is_no_shorter_list(database: IMEIDatabase, odd: bool) -> None:
    doubtful, settler = first_ever(database), Settler(QUIET)
    shown = newer(database, [])
    look(database, settler, [*shown, listed("", imeis(1, first=700)[0])] if odd else [], START)
    assert settler.watches[doubtful.attempt_id].shorter is None


def test_orders_of_other_services_are_neither_demanded_nor_counted(database: IMEIDatabase) -> None:
    stored_services(database)
    answered(database, call(database, imeis(1, first=3), OTHER), 500)
    doubtful, known = in_doubt(database)
    answered(database, call(database, imeis(1, first=4), OTHER), 4000)
    settler, foreign = (
        Settler(QUIET),
        [listed("", "not an IMEI", " sprint "), listed("3000", imeis(1, first=20)[0], OTHER)],
    )
    look(database, settler, [*known, *foreign], START)
    assert settler.watches[doubtful.attempt_id].shorter == 1
    assert look(database, settler, newer(database, [*known, *foreign]), RESTED) == again(doubtful)


def test_the_order_of_another_service_does_not_show_that_the_list_is_up_to_date(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    shown = [*known, *answered(database, call(database, imeis(1, first=4), OTHER), 4000)]
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful).startswith("No order of this service was placed after the call")


def test_orders_that_cannot_be_read_prove_nothing(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    odd = [listed("", imeis(1, first=700)[0]), listed("7000", "35***1"), listed("", "")]
    shown = newer(database, known)
    assert look(database, settler, [*shown, *odd], RESTED) == []
    assert reason(database, doubtful) == "The provider's list has 3 orders whose id or IMEI cannot be read."
    assert look(database, settler, shown, RESTED + 1) == again(doubtful)


@pytest.mark.parametrize("at", ["2026-11-25 10:00:00", OLD])
def test_an_imei_that_is_named_without_an_order_id_is_unclear(database: IMEIDatabase, at: str) -> None:
    """Whatever its date: it may be changed together with the id."""
    doubtful, known = in_doubt(database)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    shown = [*newer(database, known), listed("", doubtful.items[0].imei, at=at)]
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful) == UNCLEAR


def test_a_provider_that_does_not_list_settles_nothing(database: IMEIDatabase) -> None:
    doubtful, _ = in_doubt(database)
    settler = Settler(QUIET)
    for now in (START, RESTED, RESTED + 1):
        assert not settler.is_hopeless
        assert look(database, settler, [], now, answered=False) == []
    assert reason(database, doubtful) == UNLISTED
    assert settler.is_hopeless and settler.waits_for_person


def test_looks_without_an_order_of_ours_are_hopeless_until_one_shows_up(database: IMEIDatabase) -> None:
    _, known = in_doubt(database)
    settler = Settler(QUIET)
    for now in range(3):
        assert not settler.is_hopeless
        look(database, settler, [listed("9999", imeis(1, first=800)[0])], START + now)
    assert settler.is_hopeless
    look(database, settler, known, START + 5)
    assert settler.idle_looks == 0 and not settler.is_hopeless


# Orders that are older than the call


@pytest.mark.parametrize("at", [OLD, "no date"])
def test_an_order_with_an_older_id_is_not_of_this_call(database: IMEIDatabase, at: str) -> None:
    doubtful, known = in_doubt(database)
    settler, older = Settler(QUIET), listed("999", imeis(1, first=20)[0], at=at)
    look(database, settler, [*known, older], START)
    assert look(database, settler, newer(database, [*known, older]), RESTED) == again(doubtful)


def test_an_order_with_a_younger_id_is_adopted_where_no_date_can_be_read(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database)
    look(database, Settler(QUIET), [*known, listed("1001", imeis(1, first=20)[0], at="")], START)
    assert outcome(database, doubtful) == [("ordered", "1001")]
    query = "SELECT attempt_id, credits, existed, status FROM orders WHERE order_id = '1001'"
    assert one(database, query) == (doubtful.attempt_id, 0.1, 0, "Pending")
    message = one(database, "SELECT message FROM items WHERE id = ?", doubtful.items[0].item_id)
    assert message == "found in the provider's list"


@pytest.mark.parametrize(("order_id", "at"), [("999", "2026-11-25 10:00:01"), ("1001", OLD)])
def test_clocks_that_disagree_leave_an_order_to_a_person(database: IMEIDatabase, order_id: str, at: str) -> None:
    doubtful, known = in_doubt(database)
    settler, odd = Settler(QUIET), listed(order_id, imeis(1, first=20)[0], at=at)
    look(database, settler, [*known, odd], START)
    assert look(database, settler, newer(database, [*known, odd]), RESTED) == []
    assert outcome(database, doubtful) == [("in_doubt", "")]
    assert reason(database, doubtful) == UNCLEAR


def test_an_order_that_is_certainly_of_another_service_is_not_unclear(database: IMEIDatabase) -> None:
    """Its clocks disagree, as those of an order of this service that is left to a person."""
    stored_services(database)
    doubtful, known = in_doubt(database)
    settler, imei = Settler(QUIET), imeis(1, first=20)[0]
    odd, foreign = listed("999", imei, at="2026-11-25 10:00:01"), listed("998", imei, OTHER, at="2026-11-25 10:00:01")
    look(database, settler, [*known, odd, foreign], START)
    shown = newer(database, [*known, foreign])
    assert look(database, settler, [*shown, odd], RESTED) == []
    assert reason(database, doubtful) == UNCLEAR
    assert look(database, settler, shown, RESTED + 1) == again(doubtful)


def test_the_nearest_orders_before_a_call_are_its_clock(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids that were larger long ago, before the provider counted from a smaller number, say nothing."""
    monkeypatch.setattr(settlement, "NEAREST", 1)
    long_ago = answered(database, call(database, imeis(1, first=3)), 9000)
    doubtful, known = in_doubt(database)
    look(database, Settler(QUIET), [*long_ago, *known, listed("2000", imeis(1, first=20)[0])], START)
    assert outcome(database, doubtful) == [("ordered", "2000")]


def test_ids_that_do_not_grow_are_no_clock(database: IMEIDatabase) -> None:
    """A later order of ours has a smaller id: the dates decide alone."""
    doubtful, known = in_doubt(database)
    shown = [*known, *answered(database, call(database, imeis(1, first=30)), 500)]
    look(database, Settler(QUIET), [*shown, listed("700", imeis(1, first=20)[0])], START)
    assert outcome(database, doubtful) == [("ordered", "700")]


def test_ids_that_are_no_numbers_are_no_clock(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE orders SET order_id = 'A1000'")
    shown = [listed("A1000", known[0].imei)]
    look(database, Settler(QUIET), [*shown, listed("7", imeis(1, first=20)[0])], START)
    assert outcome(database, doubtful) == [("ordered", "7")]


# What the provider says that it has


def test_an_imei_that_the_provider_had_is_linked_to_its_older_order_and_costs_nothing(database: IMEIDatabase) -> None:
    stored_services(database)
    doubtful, known = in_doubt(database, said=[SAYS_IT_EXISTS])
    look(database, Settler(QUIET), [*known, listed("500", imeis(1, first=20)[0], at=OLD)], START)
    assert outcome(database, doubtful) == [("duplicate", "500")]
    query = "SELECT imei, existed, credits, service_id, batch_id FROM orders WHERE order_id = '500'"
    assert one(database, query) == (imeis(1, first=20)[0], 1, 0.0, SERVICE, doubtful.batch_id)


def test_an_older_order_is_not_linked_where_the_provider_does_not_say_that_it_has_one(database: IMEIDatabase) -> None:
    stored_services(database)
    doubtful, known = in_doubt(database)
    look(database, Settler(QUIET), [*known, listed("500", imeis(1, first=20)[0], at=OLD)], START)
    assert outcome(database, doubtful) == [("in_doubt", "")]


def test_an_older_order_of_a_service_that_is_not_recognised_is_not_linked(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database, said=[SAYS_IT_EXISTS])
    look(database, Settler(QUIET), [*known, listed("500", imeis(1, first=20)[0], "A title", OLD)], START)
    assert outcome(database, doubtful) == [("in_doubt", "")]


def test_an_imei_that_the_provider_had_and_a_younger_order_of_it_were_placed_by_this_call(
    database: IMEIDatabase,
) -> None:
    stored_services(database)
    doubtful, known = in_doubt(database, said=[SAYS_IT_EXISTS])
    shown = [*known, listed("500", imeis(1, first=20)[0], at=OLD), listed("2000", imeis(1, first=20)[0])]
    look(database, Settler(QUIET), shown, START)
    assert outcome(database, doubtful) == [("ordered", "2000")]


def test_an_imei_that_the_provider_says_it_has_and_does_not_list_is_a_duplicate_after_the_proof(
    database: IMEIDatabase,
) -> None:
    doubtful, known = in_doubt(database, 2, said=[SAYS_IT_EXISTS])
    settler = Settler(QUIET)
    look(database, settler, known, START)
    assert look(database, settler, newer(database, known), RESTED) == [doubtful.items[1].imei]
    assert outcome(database, doubtful) == [("duplicate", ""), ("waiting", "")]
    message = one(database, "SELECT message FROM items WHERE id = ?", doubtful.items[0].item_id)
    assert message == "ordered before: the provider says so, and this call placed nothing"


def test_when_all_were_there_before_nothing_is_sent_again(database: IMEIDatabase) -> None:
    doubtful, known = in_doubt(database, 2, said=[SAYS_IT_EXISTS, SAYS_IT_EXISTS])
    settler = Settler(QUIET)
    look(database, settler, known, START)
    assert look(database, settler, newer(database, known), RESTED) == []
    assert outcome(database, doubtful) == [("duplicate", ""), ("duplicate", "")]


# The balance


def proven(database: IMEIDatabase, settler: Settler, count: int = 1, words: str = "") -> tuple[Chunk, list[IMEIOrder]]:
    """A call in doubt that has rested, and the list that proves that it placed nothing."""
    doubtful, known = in_doubt(database, count, words=words)
    look(database, settler, known, START)
    return doubtful, newer(database, known)


@pytest.mark.parametrize(
    ("unexplained", "words"),
    [
        (None, "The account's balance from before the call, or now, is not known."),
        (0.1, "$0.10 more than the orders that we know cost may have left the account."),
        (-0.1, "The account holds more than it should: a payment came in, or its balance is not up to date."),
    ],
)
def test_a_balance_that_does_not_confirm_postpones_the_next_turn(
    database: IMEIDatabase, unexplained: float | None, words: str
) -> None:
    settler = Settler(QUIET)
    doubtful, shown = proven(database, settler)
    watch = settler.watches[doubtful.attempt_id]
    for turn in (5.0, 15.0, 60.0, 300.0, 300.0):
        assert look(database, settler, shown, RESTED, unexplained) == []
        assert reason(database, doubtful) == words
        assert watch.next_turn == RESTED + turn
    assert watch.ready and not settler.wants_turn(RESTED + 299.9) and settler.wants_turn(RESTED + 300.0)
    assert look(database, settler, shown, RESTED + 300.0) == again(doubtful)


def test_without_a_balance_from_before_the_call_nothing_is_confirmed(database: IMEIDatabase) -> None:
    known = answered(database, call(database, imeis(1, first=1)), 1000)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    read_balance(database)
    assert look(database, settler, newer(database, known), RESTED) == []
    assert reason(database, doubtful).startswith("The account's balance from before the call")


def test_an_order_that_was_rejected_since_may_hide_the_charge(database: IMEIDatabase) -> None:
    settler = Settler(QUIET)
    doubtful, shown = proven(database, settler)
    database.update_order_status("5001", "Rejected")
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful).startswith("$0.10 more")


@pytest.mark.parametrize("unexplained", [0.04, -0.04])
def test_less_than_half_a_price_is_no_charge(database: IMEIDatabase, unexplained: float) -> None:
    settler = Settler(QUIET)
    doubtful, shown = proven(database, settler)
    assert look(database, settler, shown, RESTED, unexplained) == again(doubtful)


# What is sent again


def test_a_look_beside_other_calls_only_asks_for_a_turn(database: IMEIDatabase) -> None:
    settler = Settler(QUIET)
    doubtful, shown = proven(database, settler)
    assert look(database, settler, shown, RESTED, alone=False) == []
    assert reason(database, doubtful) == NEXT_TURN
    assert settler.wants_turn(RESTED)
    assert look(database, settler, shown[:1], RESTED + 1, alone=False) == []
    assert not settler.wants_turn(RESTED + 1)  # the newest list is the one that counts


def test_a_look_that_may_not_repeat_sends_nothing(database: IMEIDatabase) -> None:
    settler = Settler(QUIET)
    doubtful, shown = proven(database, settler)
    with database.write() as connection:
        settler.note(connection, RESTED)
    with database.write() as connection:
        assert settler.apply(connection, Look(tuple(shown), RESTED, 99, alone=True, credits=99.8)) is None
    assert reason(database, doubtful) == NEXT_TURN


@pytest.mark.parametrize(
    ("limit", "words", "sizes"),
    [(0.3, "", [3, 2]), (5.0, "", [5]), (5.0, "IMEI already exists!", [1, 1]), (5.0, "Invalid IMEI: 35", [1, 1])],
)
def test_a_piece_is_as_long_as_the_limit_and_the_words_of_the_provider_allow(
    database: IMEIDatabase, limit: float, words: str, sizes: list[int]
) -> None:
    settler = Settler(QUIET, resend_limit=limit)
    doubtful, shown = proven(database, settler, 5, words)
    sent, now = list[str](), RESTED
    for number, size in enumerate(sizes):
        piece = look(database, settler, shown, now)
        assert len(piece) == size
        sent += piece
        with database.write() as connection:
            [flying] = call_queries.open_chunks(connection, ChunkState.SENDING)
        shown = [*shown, *answered(database, flying, 6000 + 100 * number)]
        now += 1
    assert sent == again(doubtful)[: len(sent)]


def test_a_list_that_is_not_proven_is_sent_again_one_by_one(database: IMEIDatabase) -> None:
    settler = Settler(QUIET)
    doubtful, shown = proven(database, settler, 3)
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 0)
    assert look(database, settler, shown, RESTED) == again(doubtful)[:1]
    query = "SELECT c.size, c.doubt_attempt, c.cleared, i.message FROM chunks c JOIN items i ON i.chunk_id = c.id"
    assert one(database, f"{query} WHERE c.doubt_attempt IS NOT NULL") == (
        1,
        doubtful.attempt_id,
        0,
        "sent again: not placed by the provider's list and balance",
    )


def test_an_imei_that_costs_more_than_the_limit_waits_for_a_person(database: IMEIDatabase) -> None:
    settler = Settler(QUIET, resend_limit=0.09)
    doubtful, shown = proven(database, settler)
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful) == DEARER
    assert settler.watches[doubtful.attempt_id].next_turn == FOR_A_PERSON
    assert settler.waits_for_person and not settler.wants_turn(1e9)
    look(database, settler, shown, RESTED + 1, alone=False)
    assert reason(database, doubtful) == DEARER


def test_one_look_sends_one_piece(database: IMEIDatabase) -> None:
    """What the second one costs could not be told from what the first one cost."""
    first, known = in_doubt(database)
    second = call(database, imeis(1, first=40))
    unanswered(database, second)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    shown = newer(database, known)
    assert look(database, settler, shown, RESTED) == again(first)
    assert reason(database, second) == NEXT_TURN
    assert outcome(database, second) == [("in_doubt", "")]


def test_what_was_sent_again_and_is_in_doubt_again_may_be_of_the_first_call(database: IMEIDatabase) -> None:
    settler = Settler(QUIET)
    doubtful, shown = proven(database, settler)
    assert look(database, settler, shown, RESTED) == again(doubtful)
    with database.write() as connection:
        [repeated] = call_queries.open_chunks(connection, ChunkState.SENDING)
    unanswered(database, repeated)
    look(database, settler, [*shown, listed("2000", doubtful.items[0].imei)], RESTED + 1)  # older than 5001
    assert outcome(database, doubtful) == [("ordered", "2000")]
    assert one(database, "SELECT attempt_id FROM orders WHERE order_id = '2000'") == doubtful.attempt_id


# A batch that has more to send


def half_sent(database: IMEIDatabase) -> tuple[Chunk, list[IMEIOrder]]:
    """A call in doubt of a batch that has another call planned."""
    read_balance(database)
    known = answered(database, call(database, imeis(1, first=1)), 1000)
    _, chunks = planned(database, 2, size=1, first=20)
    with database.write() as connection:
        [doubtful] = write_intents(connection, chunks[:1], call_queries.newest_attempt(connection) + 1)
    unanswered(database, doubtful)
    return doubtful, known


def test_a_running_batch_waits_for_an_order_that_was_placed_after_the_rest(database: IMEIDatabase) -> None:
    doubtful, known = half_sent(database)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    shown = newer(database, known)
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful).startswith("The next order of this batch will show")
    assert not settler.wants_turn(RESTED)
    assert look(database, settler, newer(database, shown, 2), RESTED + 1) == again(doubtful)


def test_nothing_of_a_paused_batch_is_sent_again(database: IMEIDatabase) -> None:
    doubtful, known = half_sent(database)
    settler = Settler(QUIET)
    look(database, settler, known, START)
    with database.write() as connection:
        assert batch_states.pause(connection, doubtful.batch_id, "a person paused it")
    shown = newer(database, known)
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful) == NEXT_TURN
    assert not settler.wants_turn(RESTED)
    with database.write() as connection:
        assert batch_states.resume(connection, doubtful.batch_id)
    assert look(database, settler, newer(database, shown, 2), RESTED + 1) == again(doubtful)


# What a person cleared


def cleared(database: IMEIDatabase, count: int = 2) -> tuple[Chunk, list[IMEIOrder]]:
    doubtful, known = in_doubt(database, count)
    assert was_not_placed(database, [item.item_id for item in doubtful.items], 0.0) == count
    return doubtful, known


def test_what_a_person_cleared_is_sent_again_though_the_provider_does_not_list(database: IMEIDatabase) -> None:
    """But not after one look that failed: the next may show the order."""
    doubtful, _ = cleared(database)
    settler = Settler(QUIET)
    assert look(database, settler, [], START, None, answered=False) == []
    assert not settler.wants_turn(START)
    assert look(database, settler, [], START + 10, None, answered=False) == []
    assert look(database, settler, [], START + 60, None, answered=False) == again(doubtful)


def test_what_a_person_cleared_is_sent_again_after_one_look(database: IMEIDatabase) -> None:
    doubtful, known = cleared(database)
    settler = Settler(QUIET)
    assert look(database, settler, known, START, None, alone=False) == []
    assert settler.wants_turn(START)
    assert look(database, settler, known, START, None) == again(doubtful)
    query = "SELECT DISTINCT i.message FROM items i JOIN chunks c ON c.id = i.chunk_id WHERE c.cleared"
    assert one(database, query) == "sent again: not placed, as a person decided"


def test_what_a_person_cleared_is_adopted_where_the_list_shows_it(database: IMEIDatabase) -> None:
    doubtful, known = cleared(database)
    shown = [*known, listed("2000", doubtful.items[0].imei)]
    assert look(database, Settler(QUIET), shown, START) == again(doubtful)[1:]
    assert outcome(database, doubtful) == [("ordered", "2000"), ("waiting", "")]


def test_what_a_person_cleared_is_not_sent_while_the_list_may_show_it(database: IMEIDatabase) -> None:
    doubtful, known = cleared(database)
    settler = Settler(QUIET)
    stored_services(database)
    unclear = [listed("", item.imei) for item in doubtful.items]
    assert look(database, settler, [*known, *unclear], START) == []
    assert settler.watches[doubtful.attempt_id].next_turn == START + 5.0
    assert one(database, "SELECT message FROM chunks WHERE cleared") == UNCLEAR
    assert look(database, settler, [*known, unclear[1]], START + 5.0) == again(doubtful)[:1]


def test_what_a_person_cleared_is_not_sent_while_its_batch_is_paused(database: IMEIDatabase) -> None:
    doubtful, known = half_sent(database)
    was_not_placed(database, [doubtful.items[0].item_id], 0.0)
    with database.write() as connection:
        batch_states.pause(connection, doubtful.batch_id, "a person paused it")
    assert look(database, Settler(QUIET), known, START) == []
    assert one(database, "SELECT message FROM chunks WHERE cleared") == NEXT_TURN


def test_what_a_person_cleared_goes_one_by_one_where_the_list_is_not_proven(database: IMEIDatabase) -> None:
    doubtful, known = cleared(database)
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 0)
    assert look(database, Settler(QUIET), known, START) == again(doubtful)[:1]


# Orders that nobody here placed


def state(database: IMEIDatabase, batch_id: int) -> tuple[str, str]:
    found = one(database, "SELECT state, notice FROM batches WHERE id = ?", batch_id)
    return str(found[0]), str(found[1])


def test_a_batch_that_would_order_what_is_listed_already_is_paused_once(database: IMEIDatabase) -> None:
    stored_services(database)
    batch_id, _ = planned(database, 4, size=1, first=60)
    foreign = [listed(str(800 + n), imei) for n, imei in enumerate(imeis(2, first=60))]
    settler = Settler(QUIET)
    look(database, settler, foreign, START)
    word, notice = state(database, batch_id)
    assert word == "paused"
    assert notice.startswith("The provider lists 2 orders of IMEIs that this batch has not sent, such as order 80")
    with database.write() as connection:
        batch_states.resume(connection, batch_id)
    look(database, settler, foreign, START + 1)
    assert state(database, batch_id)[0] == "running"
    assert one(database, "SELECT count(*) FROM items WHERE outcome = 'duplicate'") == 2
    assert tuple(one(database, "SELECT count(*), sum(credits), min(existed) FROM orders")) == (2, 0.0, 1)
    look(database, settler, [*foreign, listed("900", imeis(1, first=62)[0])], START + 2)
    assert "1 order of IMEIs that this batch has not sent, such as order 900" in state(database, batch_id)[1]


@pytest.mark.parametrize(
    ("order", "word"),
    [
        (listed("800", imeis(1, first=60)[0], "269"), "paused"),
        (listed("800", imeis(1, first=60)[0], "New words", NOW), "paused"),
        (listed("800", imeis(1, first=60)[0], "New words", OLD), "running"),
        (listed("800", imeis(1, first=60)[0][:14], SERVICE), "paused"),
        (listed("800", imeis(1, first=60)[0], OTHER), "running"),
        (listed("", imeis(1, first=60)[0]), "running"),
        (listed("800", imeis(1, first=63)[0]), "running"),
    ],
)
def test_only_orders_of_planned_imeis_and_of_their_service_pause_a_batch(
    database: IMEIDatabase, order: IMEIOrder, word: str
) -> None:
    stored_services(database)
    batch_id, _ = planned(database, 3, size=1, first=60)
    look(database, Settler(QUIET), [order], START)
    assert state(database, batch_id)[0] == word


def test_our_own_orders_pause_no_batch(database: IMEIDatabase) -> None:
    known = answered(database, call(database, imeis(1, first=60)), 1)
    batch_id, _ = planned(database, 3, size=1, first=61)
    look(database, Settler(QUIET), known, START)
    assert state(database, batch_id)[0] == "running"


def test_two_batches_are_each_told_of_their_own(database: IMEIDatabase) -> None:
    stored_services(database)
    first, _ = planned(database, 2, size=1, first=60)
    second, _ = planned(database, 2, size=1, first=80)
    look(database, Settler(QUIET), [listed("800", imeis(1, first=60)[0]), listed("801", imeis(1, first=80)[0])], START)
    assert f"order 800 of {imeis(1, first=60)[0]}" in state(database, first)[1]
    assert state(database, second)[1] == (
        "The provider lists 1 order of IMEIs that this batch has not sent, such as order 801 of"
        f" {imeis(1, first=80)[0]}. Those of this service are left out. Another program or a copy of this database may"
        " have ordered the others too: make sure that it has not before you resume the batch."
    )
