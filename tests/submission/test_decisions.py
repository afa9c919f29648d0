"""What a person decides about IMEIs in doubt, and how it is taken back."""

import pytest
from calls_fixture import OTHER, answered, call, one, outcome, unanswered
from provider_fixture import imeis

from database import IMEIDatabase
from orders import ChunkState, NotPossibleError
from storage import batch_store
from submission.decisions import REQUESTED, ask_again, was_not_placed, was_placed


def test_each_wish_to_look_again_is_another_one(database: IMEIDatabase) -> None:
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
        return [item.item_id for item in batch_store.open_chunks(connection, ChunkState.IN_DOUBT)[0].items]


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
