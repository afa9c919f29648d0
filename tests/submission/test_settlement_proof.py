"""What the list proves, step by step: what it must show, and which of its orders are older than the call."""

from dataclasses import replace

import pytest
from doubtful_call import OLD, RESTED, START, again, in_doubt, newer, stored_services
from handmade_calls import (
    OTHER,
    QUIET,
    answered,
    call,
    listed,
    look,
    one,
    outcome,
    read_balance,
    reason,
    unanswered,
)
from simulated_provider import SERVICE, imeis

from database import IMEIDatabase
from orders import SAYS_IT_EXISTS, Chunk
from storage import doubt_moves
from submission import listing
from submission.absence import IF_IT_STAYS, ON_SITE
from submission.settlement import MOVED, UNCLEAR, UNLISTED, Settler

UNCHANGED = "The provider's list has not changed since the call. It is read again until it has."


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
    assert reason(database, doubtful).startswith("The provider's list leaves out 1 order of this service that we know.")
    assert look(database, settler, shown, RESTED, last_order=last) == again(doubtful)


def test_an_order_placed_while_the_call_was_on_the_wire_does_not_show_that_the_list_is_up_to_date(
    database: IMEIDatabase,
) -> None:
    read_balance(database)
    known = answered(database, call(database, imeis(1, first=1)), 1000)
    earlier = call(database, imeis(1, first=2))
    doubtful = call(database, imeis(1, first=20))
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
    assert len(settler.watches[doubtful.attempt_id].shorter or ()) == 4
    look(database, settler, shown, START + 1)
    look(database, settler, [*shown, *foreign], START + 2)
    assert len(settler.watches[doubtful.attempt_id].shorter or ()) == 1
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
        [listed("", "not an IMEI", " sprint "), listed("3000", imeis(1, first=21)[0], OTHER)],
    )
    look(database, settler, [*known, *foreign], START)
    assert len(settler.watches[doubtful.attempt_id].shorter or ()) == 1
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
    words = "The provider's list has 3 orders whose id or IMEI cannot be read or contradicts another record."
    assert reason(database, doubtful) == f"{words} {ON_SITE}"
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
        assert not settler.cannot_prove
        assert look(database, settler, [], now, answered=False) == []
    assert reason(database, doubtful) == f"{UNLISTED} {IF_IT_STAYS}"
    assert settler.cannot_prove and settler.waits_for_person


def test_looks_without_an_order_of_ours_are_hopeless_until_one_shows_up(database: IMEIDatabase) -> None:
    _, known = in_doubt(database)
    settler = Settler(QUIET)
    for now in range(3):
        assert not settler.cannot_prove
        look(database, settler, [listed("9999", imeis(1, first=800)[0])], START + now)
    assert settler.cannot_prove
    look(database, settler, known, START + 5)
    assert settler.idle_looks == 0 and not settler.cannot_prove


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


def test_an_order_since_the_call_of_another_service_may_be_the_one_that_was_moved(database: IMEIDatabase) -> None:
    """Also where the balance does not show it. One that we know, or that another call in doubt adopts, is none."""
    stored_services(database)
    doubtful, known = in_doubt(database)
    settler, imei = Settler(QUIET), imeis(1, first=20)[0]
    moved = listed("6000", imei, OTHER)
    look(database, settler, [*known, moved], START)
    shown = newer(database, known)
    assert look(database, settler, [*shown, moved], RESTED) == []
    assert reason(database, doubtful) == MOVED
    other = call(database, [imei], OTHER)
    unanswered(database, other)
    look(database, settler, [*shown, moved], RESTED + 1)
    assert outcome(database, other) == [("ordered", "6000")]
    assert look(database, settler, [*shown, moved], RESTED + 90) == again(doubtful)


@pytest.mark.parametrize("is_cleared", [False, True])
def test_an_order_that_has_its_result_and_is_listed_as_open_may_be_a_new_one(
    database: IMEIDatabase, is_cleared: bool
) -> None:
    """The provider may use an id again for the same IMEI: as where ids count for each customer, or begin again."""
    read_balance(database)
    known = answered(database, call(database, imeis(1, first=20)), 1000)
    database.update_order_status("1000", "Completed")
    doubtful = call(database, imeis(1, first=20), recheck=True)
    unanswered(database, doubtful)
    settler, done = Settler(QUIET), [replace(known[0], status="Completed")]
    look(database, settler, done, START)
    shown, old = newer(database, []), doubtful
    if is_cleared:
        with database.write() as connection:
            doubt_moves.clear(connection, doubtful, [doubtful.items[0].item_id], "cleared")
    assert look(database, settler, [*known, *shown], RESTED) == []
    with database.read() as connection:
        messages = connection.exec_driver_sql("SELECT message FROM chunks WHERE state = 'in_doubt'").scalars().all()
    assert messages == [UNCLEAR]
    assert look(database, settler, [*done, *shown], RESTED + 90) == again(old)


def test_the_nearest_orders_before_a_call_are_its_clock(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids that were larger long ago, before the provider counted from a smaller number, say nothing."""
    monkeypatch.setattr(listing, "NEAREST", 1)
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
