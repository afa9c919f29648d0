"""What one look at the provider's list may settle: lists made by hand, on a clock made by hand."""

import pytest
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
    record_outcomes,
    unanswered,
)
from simulated_provider import SERVICE, imeis
from sqlalchemy import update

from database import IMEIDatabase
from orders import BatchState, ItemOutcome, Outcome
from schema import items
from storage import batch_states, call_records, chunk_moves, doubt_moves
from storage.batch_queries import batch_state
from submission.settlement import Settler


def test_a_list_that_lacks_an_order_of_ours_from_before_the_call_proves_nothing(database: IMEIDatabase) -> None:
    read_balance(database)
    old = answered(database, call(database, imeis(1)), 1)
    answered(database, call(database, imeis(1, first=10)), 2)  # just now: the list does not show it yet
    settler, doubtful = Settler(QUIET), call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    look(database, settler, old, 1001.0)
    proof = answered(database, call(database, imeis(1, first=30)), 3)
    for now in (1060.0, 1130.0, 1190.0):
        look(database, settler, [*old, *proof], now)
    assert outcome(database, doubtful) == [("in_doubt", "")]


def test_imported_orders_do_not_hide_what_a_list_leaves_out(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("submission.settlement.NEWEST", 5)
    old = answered(database, call(database, imeis(1)), 1)
    settler, doubtful = Settler(QUIET), call(database, imeis(1, first=20))
    answered(database, call(database, imeis(1, first=10)), 2)
    unanswered(database, doubtful)
    with database.write() as connection:
        for imei in imeis(5, first=100):
            connection.exec_driver_sql("INSERT INTO orders (imei, status) VALUES (?, 'Completed')", (imei,))
    for now in (1001.0, 1060.0, 1130.0, 1190.0):
        look(database, settler, old, now)
    assert outcome(database, doubtful) == [("in_doubt", "")]


def test_one_order_of_an_unknown_service_is_not_shared_out_among_two_calls_in_doubt(database: IMEIDatabase) -> None:
    known = answered(database, call(database, imeis(1)), 1)
    first, second = call(database, imeis(1, first=20)), call(database, imeis(1, first=20), OTHER)
    unanswered(database, first)
    unanswered(database, second)
    settler, shown = Settler(QUIET), [*known, listed("9", imeis(1, first=20)[0], "Some title")]
    look(database, settler, shown, 1000.0)
    look(database, settler, shown, 1000.0 + QUIET)
    proof = answered(database, call(database, imeis(1, first=30)), 3)
    look(database, settler, [*shown, *proof], 1000.0 + 2 * QUIET)
    assert outcome(database, first) == outcome(database, second) == [("in_doubt", "")]


def test_an_order_of_an_unknown_service_is_not_adopted_while_another_call_may_be_about_to_name_it(
    database: IMEIDatabase,
) -> None:
    known = answered(database, call(database, imeis(1)), 1)
    doubtful, flying = call(database, imeis(1, first=20)), call(database, imeis(1, first=20), OTHER)
    unanswered(database, doubtful)
    settler = Settler(QUIET)
    look(database, settler, [*known, listed("9", imeis(1, first=20)[0], "Some title")], 1000.0)
    assert outcome(database, doubtful) == [("in_doubt", "")]
    answered(database, flying, 9)
    assert outcome(database, flying) == [("ordered", "9")]


def test_the_newest_of_several_unknown_orders_is_adopted(database: IMEIDatabase) -> None:
    known = answered(database, call(database, imeis(1)), 1)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    [imei] = imeis(1, first=20)
    shown = [listed("5", imei, at="2026-11-25 09:00:00"), *known, listed("9", imei, at="2026-11-25 10:00:05")]
    look(database, Settler(QUIET), shown, 1000.0)
    assert outcome(database, doubtful) == [("ordered", "9")]


def test_an_order_from_days_before_the_call_is_not_adopted(database: IMEIDatabase) -> None:
    """The list lags behind: the order that the call has placed shows later, and would be lost."""
    known = answered(database, call(database, imeis(1)), 1)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    [imei] = imeis(1, first=20)
    settler, shown = Settler(QUIET), [*known, listed("5", imei, at="2026-11-20 09:00:00")]
    look(database, settler, shown, 1000.0)
    assert outcome(database, doubtful) == [("in_doubt", "")]
    look(database, settler, [*shown, listed("9", imei, at="2026-11-25 10:00:05")], 1030.0)
    assert outcome(database, doubtful) == [("ordered", "9")]


def test_an_imei_that_the_list_writes_without_its_check_digit_is_not_absent(database: IMEIDatabase) -> None:
    known = answered(database, call(database, imeis(1)), 1)
    doubtful = call(database, imeis(1, first=20))
    unanswered(database, doubtful)
    settler, shown = Settler(QUIET), [*known, listed("9", imeis(1, first=20)[0][:14])]
    look(database, settler, shown, 1000.0)
    look(database, settler, shown, 1000.0 + QUIET)
    proof = answered(database, call(database, imeis(1, first=30)), 3)
    look(database, settler, [*shown, *proof], 1000.0 + 2 * QUIET)
    assert outcome(database, doubtful)[0][0] != "waiting"


def test_a_list_with_gaps_is_not_believed_for_the_sake_of_one_witness(database: IMEIDatabase) -> None:
    known = answered(database, call(database, imeis(1)), 1)
    doubtful = call(database, imeis(1, first=20))
    answered(database, call(database, imeis(1, first=40)), 7)  # never listed
    unanswered(database, doubtful)
    settler = Settler(QUIET)
    look(database, settler, known, 1000.0)
    look(database, settler, known, 1000.0 + QUIET)
    proof = answered(database, call(database, imeis(1, first=30)), 3)
    look(database, settler, [*known, *proof], 1000.0 + 2 * QUIET)
    assert outcome(database, doubtful) == [("in_doubt", "")]


def test_what_was_in_doubt_when_the_rest_was_cancelled_is_not_sent_again(database: IMEIDatabase) -> None:
    read_balance(database)
    known = answered(database, call(database, imeis(1, first=500)), 1000)
    doubtful = call(database, imeis(150))
    with database.write() as connection:
        chunk_moves.cancel_rest(connection, doubtful.batch_id)
    unanswered(database, doubtful)
    settler = Settler(QUIET)
    look(database, settler, known, 1000.0)
    look(database, settler, known, 1000.0 + QUIET)
    proof = answered(database, call(database, imeis(1, first=600)), 3000)
    assert look(database, settler, [*known, *proof], 1000.0 + 2 * QUIET) == []
    assert batch_state(database, doubtful.batch_id)[0] is BatchState.FINISHED
    assert {word for word, _ in outcome(database, doubtful)} == {"cancelled"}
    query = "SELECT DISTINCT message FROM items WHERE chunk_id = ?"
    assert one(database, query, doubtful.chunk_id) == "cancelled: it was not placed by the provider's list"


@pytest.mark.parametrize(("total", "left"), [(150, 50), (100, 0)], ids=["some were left", "all was on its way"])
def test_what_comes_back_unsent_after_the_rest_was_cancelled_is_cancelled_too(
    database: IMEIDatabase, total: int, left: int
) -> None:
    turned_away = call(database, imeis(total))
    with database.write() as connection:
        assert chunk_moves.cancel_rest(connection, turned_away.batch_id) == left
        chunk_moves.release(connection, turned_away, "The provider asks for fewer calls (HTTP 429).")
    assert batch_state(database, turned_away.batch_id)[0] is BatchState.FINISHED
    assert {word for word, _ in outcome(database, turned_away)} == {"cancelled"}


def test_what_is_left_out_no_longer_does_not_stop_its_batch(database: IMEIDatabase) -> None:
    turned_away = call(database, imeis(100))
    with database.write() as connection:
        item_id = turned_away.items[0].item_id
        connection.execute(update(items).where(items.c.id == item_id).values(outcome=Outcome.DUPLICATE, message="told"))
        chunk_moves.cancel_left_out(connection, {(SERVICE, imeis(1)[0]): "told"}, "the import was undone")
        assert not batch_states.is_stopped(connection, turned_away.batch_id)


def test_an_answer_with_an_order_that_is_known_already_makes_a_duplicate(database: IMEIDatabase) -> None:
    """Nothing new was placed: a batch's ordered IMEIs and its orders stay equal in number."""
    answered(database, call(database, imeis(1)), 1)
    database.update_order_status("1", "Completed")
    again = call(database, imeis(1), recheck=True)
    placed = ItemOutcome(again.items[0].item_id, again.items[0].imei, Outcome.ORDERED, "1", "Completed")
    with database.write() as connection:
        record_outcomes(connection, again, [placed])
    assert outcome(database, again) == [("duplicate", "")]


def test_an_order_id_that_two_services_are_given_is_not_believed_twice(database: IMEIDatabase) -> None:
    answered(database, call(database, imeis(1)), 1)
    other = call(database, imeis(1), OTHER)
    placed = ItemOutcome(other.items[0].item_id, other.items[0].imei, Outcome.ORDERED, "1", "Pending")
    with database.write() as connection:
        record_outcomes(connection, other, [placed])
    assert outcome(database, other) == [("in_doubt", "")]


@pytest.mark.parametrize("listing", [True, False], ids=["listed", "not listed yet"])
def test_what_a_late_answer_ordered_is_not_sent_again_although_a_person_had_cleared_it(
    database: IMEIDatabase, listing: bool
) -> None:
    read_balance(database)
    old = answered(database, call(database, imeis(1)), 1)
    settler, chunk = Settler(QUIET), call(database, imeis(2, first=20))
    unanswered(database, chunk)
    first, second = chunk.items
    late = ItemOutcome(first.item_id, first.imei, Outcome.ORDERED, "2")
    with database.write() as connection:
        doubt_moves.clear(connection, chunk, [first.item_id, second.item_id], "not placed, as a person decided")
        call_records.record_late(connection, chunk, [late], "the answer came late")
    found = [listed("2", first.imei)] if listing else []
    assert look(database, settler, [*old, *found], 1200.0) == [second.imei]
    assert outcome(database, chunk) == [("ordered", "2"), ("waiting", "")]


def test_a_list_cut_at_as_many_orders_as_we_know_does_not_reach_back(database: IMEIDatabase) -> None:
    """In a new database nothing is older than the doubtful call, so the list may end just there."""
    first = call(database, imeis(2))
    unanswered(database, first)
    settler = Settler(QUIET)
    look(database, settler, [], 1000.0)
    look(database, settler, [], 1060.0)
    newest = answered(database, call(database, imeis(3, first=10)), 3)
    look(database, settler, newest, 1120.0)
    assert outcome(database, first) == [("in_doubt", ""), ("in_doubt", "")]
