"""What a person decides about IMEIs in doubt, and how it is taken back."""

import pytest
from handmade_calls import OTHER, answered, call, one, outcome, unanswered
from simulated_provider import imeis

from database import IMEIDatabase
from orders import ChunkState, NotPossibleError
from storage import call_queries
from submission.decisions import (
    REQUESTED,
    TAKEN_BACK,
    ask_again,
    read_order_id,
    rest_before_decision,
    take_back_clearing,
    take_back_order,
    was_not_placed,
    was_placed,
)
from submission.watches import LAG, SLOWNESS


def test_each_request_to_look_again_is_a_new_one(database: IMEIDatabase) -> None:
    ask_again(database)
    assert database.get_setting(REQUESTED) == "1"
    ask_again(database)
    assert database.get_setting(REQUESTED) == "2"
    for first in range(5):
        call(database, imeis(1, first=first))
    ask_again(database)
    assert database.get_setting(REQUESTED) == "5"
    ask_again(database)
    assert database.get_setting(REQUESTED) == "6"


def items_in_doubt(database: IMEIDatabase) -> list[int]:
    unanswered(database, call(database, imeis(3)))
    with database.read() as connection:
        return [item.item_id for item in call_queries.open_chunks(connection, ChunkState.IN_DOUBT)[0].items]


def test_a_person_clears_some_items_of_a_call_once(database: IMEIDatabase) -> None:
    ids = items_in_doubt(database)
    other = call(database, imeis(1, first=9), OTHER)
    unanswered(database, other)
    assert was_not_placed(database, [*ids[:2], 999], 0.0) == 2
    assert one(database, "SELECT size, state, doubt_attempt FROM chunks WHERE cleared") == (2, "in_doubt", 1)
    assert was_not_placed(database, ids[:2], 0.0) == 0
    assert was_not_placed(database, [ids[2], other.items[0].item_id], 0.0) == 2
    query = "SELECT DISTINCT message FROM items WHERE outcome = 'in_doubt'"
    assert one(database, query) == "not placed, as a person decided; will be sent again"


def test_a_person_cannot_clear_what_the_provider_may_still_place(database: IMEIDatabase) -> None:
    ids = items_in_doubt(database)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE attempts SET sent_at = datetime('now', '-20 seconds')")
    with pytest.raises(
        NotPossibleError, match=r"^The provider may still be working on it\. Look once more in (59|60) seconds\.$"
    ):
        was_not_placed(database, ids, 80.0)
    assert one(database, "SELECT count(*) FROM chunks WHERE cleared") == 0
    assert was_not_placed(database, ids, 19.0) == 3


def test_a_call_that_a_job_has_made_rests_by_the_clock_of_the_database(server_database: IMEIDatabase) -> None:
    """Its intent may be old: the job has waited for the rate limit, or the clock of the leader goes wrong."""
    ids = items_in_doubt(server_database)
    with server_database.write() as connection:
        begun = "extract(epoch FROM clock_timestamp()) - 20"
        connection.exec_driver_sql(f"UPDATE attempts SET sent_at = '2026-01-01', begun_at = {begun}")
    with pytest.raises(NotPossibleError, match=r"Look once more in (59|60) seconds\.$"):
        was_not_placed(server_database, ids, 80.0)
    assert was_not_placed(server_database, ids, 19.0) == 3


def test_a_person_clears_what_was_sent_just_now_where_no_rest_is_asked_for(database: IMEIDatabase) -> None:
    """The clock was put back since: no time has passed."""
    ids = items_in_doubt(database)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE attempts SET sent_at = datetime('now', '+1 hour')")
    assert was_not_placed(database, ids, 0.0) == 3


def test_a_person_names_the_order_of_an_item(database: IMEIDatabase) -> None:
    ids = items_in_doubt(database)
    was_placed(database, ids[1], " 77 ")
    query = "SELECT outcome, message FROM items WHERE id = ?"
    assert one(database, query, ids[1]) == ("ordered", "order id given by a person")
    assert one(database, "SELECT order_id, imei FROM orders") == ("77", imeis(3)[1])
    assert [one(database, query, item)[0] for item in (ids[0], ids[2])] == ["in_doubt", "in_doubt"]


@pytest.mark.parametrize(
    ("order_id", "words"),
    [
        (" ", "Give the provider's order id, as its order page shows it."),
        ("5", f"Order 5 is known already: it belongs to {imeis(1, first=50)[0]}."),
    ],
)
def test_an_order_id_must_be_given_and_new(database: IMEIDatabase, order_id: str, words: str) -> None:
    answered(database, call(database, imeis(1, first=50)), 5)
    ids = items_in_doubt(database)
    with pytest.raises(NotPossibleError) as caught:
        was_placed(database, ids[0], order_id)
    assert str(caught.value) == words


def test_what_is_no_longer_in_doubt_takes_no_order_id(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(1))
    answered(database, chunk, 5)
    with pytest.raises(NotPossibleError) as caught:
        was_placed(database, chunk.items[0].item_id, "6")
    assert str(caught.value) == "This IMEI is no longer in doubt."
    assert outcome(database, chunk) == [("ordered", "5")]


@pytest.mark.parametrize(
    ("timeout", "imeis_sent", "lag", "slowness", "rest"),
    [
        (120.0, 100, None, None, 180.0),
        (120.0, 100, None, "2.000", 260.0),
        (120.0, 3, None, "2.000", 180.0),
        (120.0, 100, "100.000", None, 200.0),
    ],
)
def test_a_decision_waits_as_long_as_the_program(
    database: IMEIDatabase, timeout: float, imeis_sent: int, lag: str | None, slowness: str | None, rest: float
) -> None:
    """Deadline and quiet time, or twice the longest delay; longer where the provider was slower for each IMEI."""
    for name, value in ((LAG, lag), (SLOWNESS, slowness)):
        if value is not None:
            database.set_setting(name, value)
    assert rest_before_decision(database, timeout, 60.0, imeis_sent) == rest


@pytest.mark.parametrize(
    ("text", "order_id"), [("15012345", "15012345"), (" # 15012345 ", "15012345"), ("9" * 19, "9" * 19)]
)
def test_an_order_id_is_read_as_a_person_pastes_it(text: str, order_id: str) -> None:
    assert read_order_id(text) == order_id


@pytest.mark.parametrize("text", ["15012345#", "1501 2345", "²3", "١٢٣", "9" * 20, "A" * 50])
def test_anything_but_digits_is_no_order_id(text: str) -> None:
    with pytest.raises(NotPossibleError) as caught:
        read_order_id(text)
    assert str(caught.value) == f"“{text[:40]}” is not an order id: it is digits only, such as 15012345."


def test_an_order_that_a_person_gave_is_taken_back(database: IMEIDatabase) -> None:
    """Its IMEI is in doubt again, and the list is asked for."""
    ids = items_in_doubt(database)
    was_placed(database, ids[1], "77")
    batch_id = one(database, "SELECT batch_id FROM items WHERE id = ?", ids[1])
    before = database.get_setting(REQUESTED)
    take_back_order(database, batch_id, "77")
    assert one(database, "SELECT count(*) FROM orders") == 0
    assert one(database, "SELECT outcome, message FROM items WHERE id = ?", ids[1]) == ("in_doubt", TAKEN_BACK)
    assert database.get_setting(REQUESTED) != before


def test_an_order_that_nobody_gave_is_not_taken_back(database: IMEIDatabase) -> None:
    ids = items_in_doubt(database)
    batch_id = one(database, "SELECT batch_id FROM items WHERE id = ?", ids[1])
    with pytest.raises(NotPossibleError) as caught:
        take_back_order(database, batch_id, "77")
    assert str(caught.value) == "Not undone. Order 77 was not recorded by hand in this batch."
    assert database.get_setting(REQUESTED) is None


def test_what_a_person_cleared_is_taken_back_in_one_batch_only(database: IMEIDatabase) -> None:
    ids = items_in_doubt(database)
    other = call(database, imeis(1, first=9), OTHER)
    unanswered(database, other)
    was_not_placed(database, [*ids[:2], other.items[0].item_id], 0.0)
    batch_id = one(database, "SELECT batch_id FROM items WHERE id = ?", ids[0])
    assert take_back_clearing(database, batch_id) == 2
    assert one(database, "SELECT batch_id FROM chunks WHERE cleared") == other.batch_id
    assert one(database, "SELECT DISTINCT message FROM items WHERE id IN (?, ?)", *ids[:2]) == TAKEN_BACK
    assert take_back_clearing(database, batch_id) == 0
