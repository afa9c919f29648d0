"""What the balance confirms, and what is sent again because of one look."""

from dataclasses import replace
from typing import Any

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
    planned,
    read_balance,
    reason,
    unanswered,
)
from simulated_provider import SERVICE, imeis

from database import IMEIDatabase
from orders import Chunk, ChunkState, IMEIOrder
from provider.xml import plain_imei
from storage import batch_states, call_queries, chunk_moves
from storage.call_records import write_intents
from storage.history_mark import OLDER_COPY
from storage.list_limits import write_list_limit
from submission.decisions import was_not_placed
from submission.listing import Look
from submission.settlement import DEARER, HELD, NEXT_TURN, PAUSED, UNCLEAR, Settler
from submission.watches import FOR_A_PERSON

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
        assert reason(database, doubtful).startswith(words)
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


@pytest.mark.parametrize("unexplained", [0.004, -0.004])
def test_less_than_a_cent_is_no_charge(database: IMEIDatabase, unexplained: float) -> None:
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
    about: dict[str, Any] = {"alone": True, "credits": 99.8, "prices": {SERVICE: 0.1}}
    with database.write() as connection:
        assert settler.apply(connection, Look(tuple(shown), RESTED, 99, **about)) is None
    assert reason(database, doubtful) == HELD
    assert not settler.wants_turn(RESTED + 4.9)  # the list is not read without a pause meanwhile
    assert settler.wants_turn(RESTED + 5.0)
    look(database, settler, shown, RESTED + 1, alone=False)
    assert reason(database, doubtful) == HELD
    assert look(database, settler, shown, RESTED + 5.0) == again(doubtful)


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


def test_what_waited_for_a_person_is_sent_again_once_it_is_cleared(database: IMEIDatabase) -> None:
    """The call that was cleared is of the same attempt as the one that was left to a person."""
    settler = Settler(QUIET, resend_limit=0.09)
    doubtful, shown = proven(database, settler, 2)
    assert look(database, settler, shown, RESTED) == []
    assert was_not_placed(database, [doubtful.items[0].item_id], 0.0) == 1
    assert look(database, settler, shown, RESTED + 1, alone=False) == []
    assert settler.wants_turn(RESTED + 1)
    assert not settler.waits_for_person
    assert look(database, settler, shown, RESTED + 2) == again(doubtful)[:1]
    look(database, settler, shown, RESTED + 3, alone=False)
    assert not settler.wants_turn(1e9)
    assert outcome(database, doubtful) == [("waiting", ""), ("in_doubt", "")]


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
        [doubtful] = write_intents(connection, chunks[:1])
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
    assert reason(database, doubtful) == PAUSED
    look(database, settler, shown, RESTED, alone=False)
    assert reason(database, doubtful) == PAUSED
    assert not settler.wants_turn(RESTED)
    with database.write() as connection:
        assert batch_states.resume(connection, doubtful.batch_id)
    assert look(database, settler, newer(database, shown, 2), RESTED + 1) == again(doubtful)


def test_nothing_of_an_older_copy_is_sent_again(database: IMEIDatabase) -> None:
    """The call may have been repeated, and paid, after the copy was made."""
    settler = Settler(QUIET)
    doubtful, shown = proven(database, settler)
    database.set_setting(OLDER_COPY, "restored from a backup")
    assert look(database, settler, shown, RESTED) == []
    assert reason(database, doubtful) == "restored from a backup"
    assert not settler.wants_turn(RESTED + 4.9)  # the list is not read without a pause meanwhile
    database.set_setting(OLDER_COPY, "")
    assert look(database, settler, shown, RESTED + 5.0) == again(doubtful)


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


def test_what_a_person_cleared_is_not_sent_where_a_masked_order_may_be_its_own(database: IMEIDatabase) -> None:
    """Also on the provider's site its IMEI was masked."""
    doubtful, known = cleared(database)
    stored_services(database)
    first, *others = doubtful.items
    masked = listed("7000", f"{first.imei[:6]}*****{first.imei[11:]}")
    sent = look(database, Settler(QUIET), [*known, masked], START)
    assert sent == [item.imei for item in others if item.imei[11:] != first.imei[11:]]


@pytest.mark.parametrize("text", ["{0:.6}...{1}", "***********{1}", "{0:.13}", "{0}01", "{0} / 359999000000000"])
def test_what_a_person_cleared_is_not_sent_where_a_text_may_be_its_imei(database: IMEIDatabase, text: str) -> None:
    """On the provider's site its IMEI was not in full, either."""
    doubtful, known = cleared(database, 1)
    (imei,) = again(doubtful)
    odd = listed("7000", plain_imei(text.format(imei, imei[-4:])))
    assert look(database, Settler(QUIET), [*known, odd], START) == []
    assert one(database, "SELECT message FROM chunks WHERE cleared") == UNCLEAR
    older = listed("900", odd.imei, at=OLD)
    assert look(database, Settler(QUIET), [*known, older], START) == again(doubtful)


def test_what_a_person_cleared_is_not_sent_where_the_list_names_it_under_an_id_of_ours(database: IMEIDatabase) -> None:
    """The ids of the provider began again: it was placed, and got the id that another order of ours has."""
    doubtful, known = cleared(database, 1)
    stored_services(database)
    (imei,) = again(doubtful)
    assert look(database, Settler(QUIET), [listed(known[0].id, imei)], START) == []
    assert one(database, "SELECT message FROM chunks WHERE cleared") == UNCLEAR
    assert look(database, Settler(QUIET), [listed(known[0].id, imei, OTHER)], START) == [imei]


@pytest.mark.parametrize("at", ["", "12/11/2026 10:00", "2026-11-25 09:30:00"])
def test_what_a_person_cleared_is_not_sent_where_ids_may_have_begun_again(database: IMEIDatabase, at: str) -> None:
    """No order of ours shows that ids still grow, and the list's dates cannot be read or went back by an hour."""
    doubtful, known = cleared(database, 1)
    (imei,) = again(doubtful)
    small = listed("51", imei, at=at)
    assert look(database, Settler(QUIET), [*known, small], START) == []
    assert one(database, "SELECT message FROM chunks WHERE cleared") == UNCLEAR
    assert look(database, Settler(QUIET), [*newer(database, known), small], START) == [imei]


@pytest.mark.parametrize(("package", "is_sent"), [(OTHER, False), (SERVICE, True)])
def test_what_a_person_cleared_is_not_sent_where_its_id_counts_for_each_service(
    database: IMEIDatabase, package: str, is_sent: bool
) -> None:
    """The IMEI has two orders with one id. A record that a list shows twice while it grows is one order."""
    stored_services(database)
    read_balance(database)
    (imei,) = imeis(1)
    known = answered(database, call(database, [imei]), 1000)
    doubtful = call(database, [imei], OTHER)
    unanswered(database, doubtful)
    assert was_not_placed(database, [doubtful.items[0].item_id], 0.0) == 1
    second = replace(known[0], service_id=package, status="Completed")
    assert look(database, Settler(QUIET), [*known, second], START) == ([imei] if is_sent else [])


def test_what_a_person_cleared_is_not_sent_where_the_list_means_other_services(database: IMEIDatabase) -> None:
    """Its numbers of services are others than those that are ordered by, or services were merged."""
    doubtful, known = cleared(database, 1)
    stored_services(database)
    (imei,) = again(doubtful)
    order = listed("7000", imei, OTHER)
    moved = [replace(ours, service_id=OTHER) for ours in known]
    assert look(database, Settler(QUIET), [*moved, order], START) == []
    assert one(database, "SELECT message FROM chunks WHERE cleared") == UNCLEAR
    assert look(database, Settler(QUIET), [*known, order], START) == [imei]


def test_what_a_person_cleared_is_not_sent_while_its_batch_is_paused(database: IMEIDatabase) -> None:
    doubtful, known = half_sent(database)
    was_not_placed(database, [doubtful.items[0].item_id], 0.0)
    with database.write() as connection:
        batch_states.pause(connection, doubtful.batch_id, "a person paused it")
    assert look(database, Settler(QUIET), known, START) == []
    assert one(database, "SELECT message FROM chunks WHERE cleared") == PAUSED


def test_what_a_person_cleared_is_not_sent_of_an_older_copy(database: IMEIDatabase) -> None:
    """Without a list and a balance, nothing but this keeps it from being paid twice."""
    doubtful, _ = cleared(database)
    settler = Settler(QUIET)
    database.set_setting(OLDER_COPY, "restored from a backup")
    for at in (START, START + 10, START + 60, START + 600):
        assert look(database, settler, [], at, None, answered=False) == []
    assert one(database, "SELECT message FROM chunks WHERE cleared") == "restored from a backup"
    database.set_setting(OLDER_COPY, "")
    assert look(database, settler, [], START + 900, None, answered=False) == again(doubtful)


def test_what_a_person_cleared_is_cancelled_where_the_batch_was_stopped_since(database: IMEIDatabase) -> None:
    doubtful, known = half_sent(database)
    was_not_placed(database, [doubtful.items[0].item_id], 0.0)
    with database.write() as connection:
        assert chunk_moves.cancel_rest(connection, doubtful.batch_id) == 1
    assert look(database, Settler(QUIET), known, START) == []
    assert outcome(database, doubtful) == [("cancelled", "")] * 2
    assert one(database, "SELECT count(*) FROM chunks WHERE state = 'in_doubt'") == 0


def test_what_a_person_cleared_goes_one_by_one_where_the_list_is_not_proven(database: IMEIDatabase) -> None:
    doubtful, known = cleared(database)
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 0)
    assert look(database, Settler(QUIET), known, START) == again(doubtful)[:1]
