"""Records of answers: outcomes of each IMEI, orders with known ids, adopted orders and late answers."""

import json
from datetime import timedelta

import pytest
from call_moves import (
    Move,
    adopted,
    batch,
    chunk_rows,
    cleared,
    ids_of,
    item_outcomes,
    ordered,
    outcomes,
    place,
    released,
    repeat_of,
    revision,
)
from handmade_calls import (
    OTHER,
    call,
    nothing_is_written,
    one,
    outcome,
    record_outcomes,
    unanswered,
)
from plain_sql import run
from simulated_provider import SERVICE, imeis
from sqlalchemy import Connection

from database import IMEIDatabase, utc_now
from orders import Chunk, ChunkState, ItemOutcome, Outcome
from schema import orders
from storage import call_queries, call_records, doubt_moves, guards
from storage.guards import WrongStateError


def test_of_outcomes_that_differ_none_is_written_where_one_imei_was_decided_first(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    chunk = call(database, imeis(3))
    with rival.write() as connection:
        run(connection, "UPDATE items SET outcome = 'refused' WHERE id = ?", chunk.items[0].item_id)
    mixed = item_outcomes(chunk, Outcome.DUPLICATE, Outcome.REFUSED, Outcome.DUPLICATE)
    words = "2 of 3 items were undecided"
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        record_outcomes(connection, chunk, mixed)


def test_outcomes_for_other_imeis_than_those_of_the_call_are_not_written(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(3))
    words = "2 outcomes for 3 items"
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        record_outcomes(connection, chunk, item_outcomes(chunk, *[Outcome.REFUSED] * 3)[:2])


def test_a_mixed_answer_gives_each_imei_its_own_outcome_and_words(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(4))
    item = chunk.items
    mixed = [
        ItemOutcome(item[0].item_id, item[0].imei, Outcome.ORDERED, "5", "Completed"),
        ItemOutcome(item[1].item_id, item[1].imei, Outcome.DUPLICATE, message="known"),
        ItemOutcome(item[2].item_id, item[2].imei, Outcome.REFUSED, message="not an IMEI"),
        ItemOutcome(item[3].item_id, item[3].imei, Outcome.REFUSED),
    ]
    with database.write() as connection:
        record_outcomes(connection, chunk, mixed, "named all")
    assert [row[:2] for row in outcomes(database, chunk.batch_id)] == [
        ("ordered", None),
        ("duplicate", "known"),
        ("refused", "not an IMEI"),
        ("refused", None),
    ]
    assert one(database, "SELECT state, message FROM chunks") == ("answered", "named all")
    assert one(database, "SELECT result, message FROM attempts") == ("answered", "named all")
    assert batch(database, chunk.batch_id)[0] == "finished"
    order = database.get_order("5")
    assert order is not None
    assert (order["imei"], order["status"]) == (item[0].imei, "In Process")  # it waits for its text
    assert (order["service_id"], order["service_name"], order["credits"]) == (SERVICE, "T-Mobile", 0.1)
    assert (order["batch_id"], order["attempt_id"], order["notes"]) == (chunk.batch_id, chunk.attempt_id, None)
    assert json.loads(order["raw_response"]) == {"id": "5", "imei": item[0].imei, "status": "Completed"}
    for column in ("order_date", "created_at", "updated_at"):
        assert utc_now() - timedelta(seconds=10) <= order[column] <= utc_now()


def test_one_outcome_for_all_is_written_with_its_words(database: IMEIDatabase) -> None:
    chunk, other = call(database, imeis(2)), call(database, imeis(2, first=10))
    with database.write() as connection:
        record_outcomes(connection, chunk, item_outcomes(chunk, *[Outcome.REFUSED] * 2, message="no service"))
        record_outcomes(connection, other, item_outcomes(other, *[Outcome.REFUSED] * 2))
    assert [row[:2] for row in outcomes(database, chunk.batch_id)] == [("refused", "no service")] * 2
    assert [row[:2] for row in outcomes(database, other.batch_id)] == [("refused", None)] * 2
    assert one(database, "SELECT message FROM attempts WHERE id = ?", other.attempt_id) == ""


def test_one_imei_in_doubt_keeps_its_call_in_doubt_and_finishes_its_batch(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    before = revision(database, chunk.batch_id)
    with database.write() as connection:
        record_outcomes(connection, chunk, item_outcomes(chunk, Outcome.ORDERED, Outcome.IN_DOUBT), "named 1 of 2")
    assert [row[0] for row in outcomes(database, chunk.batch_id)] == ["ordered", "in_doubt"]
    assert chunk_rows(database, chunk.batch_id) == [(chunk.chunk_id, 2, "in_doubt")]
    assert one(database, "SELECT result, message FROM attempts") == ("in doubt", "named 1 of 2")
    assert batch(database, chunk.batch_id)[0] == "finished"
    assert revision(database, chunk.batch_id) == before + 2


def test_an_attempt_keeps_the_time_at_which_it_ended_first(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(1))
    unanswered(database, chunk)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE attempts SET ended_at = '2020-01-01 00:00:00.000000'")
        ordered(connection, chunk)
    ended, result = one(database, "SELECT ended_at, result FROM attempts")
    assert (str(ended)[:19], result) == ("2020-01-01 00:00:00", "answered")


@pytest.mark.parametrize(
    ("imei", "service_id", "mine", "expected", "words"),
    [
        (0, SERVICE, False, "duplicate", "the provider answers with order 1, which is known already"),
        (0, None, False, "duplicate", "the provider answers with order 1, which is known already"),
        (0, SERVICE, True, "ordered", None),
        (0, OTHER, False, "in_doubt", "the provider gave order 1 to another IMEI or service too"),
        (5, SERVICE, False, "in_doubt", "the provider gave order 1 to another IMEI or service too"),
        (5, SERVICE, True, "in_doubt", "the provider gave order 1 to another IMEI or service too"),
    ],
)
def test_an_order_id_that_is_known_already_is_believed_only_of_its_own_imei_and_service(
    database: IMEIDatabase, imei: int, service_id: str | None, mine: bool, expected: str, words: str | None
) -> None:
    chunk = call(database, imeis(3))
    place(database, "1", imeis(6)[imei], service_id, chunk.batch_id if mine else None)
    answer = item_outcomes(chunk, Outcome.ORDERED, Outcome.ORDERED, Outcome.REFUSED)
    with database.write() as connection:
        record_outcomes(connection, chunk, answer)
    found = [row[:2] for row in outcomes(database, chunk.batch_id)]
    assert found == [(expected, words), ("ordered", None), ("refused", None)]
    with database.read() as connection:
        assert len(connection.execute(orders.select()).all()) == 2


def test_more_known_order_ids_than_fit_one_list_are_compared(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "IN_LIST", 2)
    chunk = call(database, imeis(5))
    for n in range(5):
        place(database, str(n + 1), imeis(5)[n], SERVICE, None)
    with database.write() as connection:
        ordered(connection, chunk)
    assert [row[0] for row in outcomes(database, chunk.batch_id)] == ["duplicate"] * 5


def test_adopted_orders_are_compared_with_known_ones_too(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    place(database, "2", imeis(9)[8], SERVICE, None)
    with database.write() as connection:
        call_records.adopt(connection, chunk, item_outcomes(chunk, Outcome.ORDERED, Outcome.ORDERED))
    assert [row[0] for row in outcomes(database, chunk.batch_id)] == ["ordered", "in_doubt"]
    assert chunk_rows(database, chunk.batch_id)[0][2] == "in_doubt"


def test_a_call_in_doubt_is_answered_when_its_last_imei_is_adopted(database: IMEIDatabase) -> None:
    chunk, _flying = call(database, imeis(2)), call(database, imeis(1, first=10))
    unanswered(database, chunk)
    found = item_outcomes(chunk, Outcome.ORDERED, Outcome.ORDERED)
    before = revision(database, chunk.batch_id)
    with database.write() as connection:
        call_records.adopt(connection, chunk, found[:1])
        assert [c.chunk_id for c in call_queries.doubtful_calls(connection)] == [chunk.chunk_id]
        call_records.adopt(connection, chunk, found[1:])
        assert call_queries.doubtful_calls(connection) == []
        owners = call_queries.order_owners(connection, ["1", "2"]).values()
    assert [attempt for _, attempt in owners] == [chunk.attempt_id] * 2
    assert outcome(database, chunk) == [("ordered", "1"), ("ordered", "2")]
    assert chunk_rows(database, chunk.batch_id) == [(chunk.chunk_id, 2, "answered")]
    assert revision(database, chunk.batch_id) == before + 2


def test_a_call_is_answered_although_another_is_in_doubt_and_that_one_stays_in_doubt(database: IMEIDatabase) -> None:
    chunk, other = call(database, imeis(2)), call(database, imeis(2, first=10))
    unanswered(database, chunk)
    unanswered(database, other)
    with database.write() as connection:
        adopted(connection, chunk)
        assert [c.chunk_id for c in call_queries.doubtful_calls(connection)] == [other.chunk_id]
    assert chunk_rows(database, chunk.batch_id)[0][2] == "answered"


def test_a_call_on_the_wire_of_which_every_order_is_found_is_still_on_the_wire(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    with database.write() as connection:
        adopted(connection, chunk)
    assert chunk_rows(database, chunk.batch_id)[0][2] == "sending"


def test_an_answer_to_a_repeated_call_is_an_order_of_that_call_and_a_found_one_of_the_first(
    database: IMEIDatabase,
) -> None:
    first = call(database, imeis(2))
    chunk = repeat_of(database, first)
    answer = item_outcomes(chunk, Outcome.ORDERED, Outcome.IN_DOUBT)
    with database.write() as connection:
        record_outcomes(connection, chunk, answer)
        call_records.adopt(connection, chunk, item_outcomes(chunk, *[Outcome.ORDERED] * 2)[1:])
        owners = call_queries.order_owners(connection, ["1", "2"])
    assert {order_id: attempt for order_id, (_, attempt) in owners.items()} == {
        "1": chunk.attempt_id,
        "2": first.attempt_id,
    }


def late(connection: Connection, chunk: Chunk, *found: Outcome) -> None:
    call_records.record_late(connection, chunk, item_outcomes(chunk, *found), "too late")


def test_a_late_answer_settles_what_is_still_in_doubt(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    unanswered(rival, chunk)
    before = revision(database, chunk.batch_id)
    with database.write() as connection:
        late(connection, chunk, Outcome.ORDERED, Outcome.REFUSED)
    assert [row[0] for row in outcomes(database, chunk.batch_id)] == ["ordered", "refused"]
    assert chunk_rows(database, chunk.batch_id) == [(chunk.chunk_id, 2, "answered")]
    assert one(database, "SELECT notes FROM orders") is None
    assert one(database, "SELECT result, message FROM attempts") == ("answered late", "too late")
    assert revision(database, chunk.batch_id) == before + 1


def test_a_late_answer_that_leaves_an_imei_in_doubt_leaves_its_call_in_doubt(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    chunk = call(database, imeis(2))
    unanswered(rival, chunk)
    with database.write() as connection:
        late(connection, chunk, Outcome.ORDERED, Outcome.IN_DOUBT)
    assert [row[0] for row in outcomes(database, chunk.batch_id)] == ["ordered", "in_doubt"]
    assert chunk_rows(database, chunk.batch_id)[0][2] == "in_doubt"


def test_no_order_of_a_late_answer_is_lost_where_its_imei_was_settled_otherwise(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    chunk = call(database, imeis(3))
    unanswered(rival, chunk)
    with rival.write() as connection:
        doubt_moves.give_up(connection, chunk, ids_of(chunk)[:1], Outcome.CANCELLED, "not placed")
    with database.write() as connection:
        late(connection, chunk, *[Outcome.ORDERED] * 3)
    assert [row[0] for row in outcomes(database, chunk.batch_id)] == ["cancelled", "ordered", "ordered"]
    with database.read() as connection:
        kept = connection.exec_driver_sql("SELECT order_id, notes FROM orders ORDER BY id").all()
    assert sorted(map(tuple, kept)) == [("1", "too late"), ("2", None), ("3", None)]
    assert chunk_rows(database, chunk.batch_id)[0][2] == "answered"


def test_a_late_answer_to_a_call_that_is_still_on_the_wire_ends_it_and_its_batch(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    chunk = call(database, imeis(2))
    with rival.write() as connection:
        run(connection, "UPDATE items SET outcome = 'refused' WHERE id = ?", ids_of(chunk)[0])
    with database.write() as connection:
        late(connection, chunk, Outcome.ORDERED, Outcome.ORDERED)
    assert [row[0] for row in outcomes(database, chunk.batch_id)] == ["refused", "ordered"]
    assert chunk_rows(database, chunk.batch_id)[0][2] == "answered"
    assert batch(database, chunk.batch_id)[::3] == ("finished", 1)


def test_a_late_answer_that_placed_nothing_changes_no_imei(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    unanswered(rival, chunk)
    with database.write() as connection:
        call_records.record_late(connection, chunk, (), "too late")
    assert [row[0] for row in outcomes(database, chunk.batch_id)] == ["in_doubt"] * 2
    assert chunk_rows(database, chunk.batch_id)[0][2] == "in_doubt"


def test_an_order_that_came_late_settles_its_imei_in_whatever_chunk_it_is_in_doubt(database: IMEIDatabase) -> None:
    chunk, other = call(database, imeis(3)), call(database, imeis(1, first=10))
    unanswered(database, chunk)
    unanswered(database, other)
    with database.write() as connection:
        cleared(connection, chunk)
        late(connection, chunk, Outcome.ORDERED, Outcome.IN_DOUBT, Outcome.ORDERED)
        _, piece = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        assert call_queries.recorded_late(connection, chunk) == call_queries.recorded_late(connection, other) == []
        found = call_queries.recorded_late(connection, piece)
        assert [(v.item_id, v.imei, v.order_id) for v in found] == [
            (chunk.items[0].item_id, chunk.items[0].imei, "1"),
            (chunk.items[2].item_id, chunk.items[2].imei, "3"),
        ]
        call_records.adopt(connection, piece, found)
        assert call_queries.recorded_late(connection, piece) == []
    assert [row[:2] for row in outcomes(database, chunk.batch_id)] == [
        ("ordered", "an answer that came late named its order"),
        ("in_doubt", "a person says so"),
        ("ordered", "an answer that came late named its order"),
    ]


@pytest.mark.parametrize("change", ["existed = true", "attempt_id = NULL", "batch_id = NULL", "imei = '1'"])
def test_only_an_order_of_its_own_batch_by_a_call_of_ours_settles_an_imei(database: IMEIDatabase, change: str) -> None:
    chunk = call(database, imeis(1))
    unanswered(database, chunk)
    with database.write() as connection:
        cleared(connection, chunk)
        late(connection, chunk, Outcome.ORDERED)
        (piece,) = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        assert len(call_queries.recorded_late(connection, piece)) == 1
        connection.exec_driver_sql(f"UPDATE orders SET {change}")
        assert call_queries.recorded_late(connection, piece) == []


@pytest.mark.parametrize("first", [ordered, released], ids=["answered", "planned"])
def test_a_late_answer_leaves_a_call_that_is_not_open_where_it_is(
    database: IMEIDatabase, rival: IMEIDatabase, first: Move
) -> None:
    chunk, other = call(database, imeis(2)), call(database, imeis(2, first=10))
    with rival.write() as connection:
        first(connection, chunk)
    before = chunk_rows(database, chunk.batch_id)
    with database.write() as connection:
        call_records.record_late(connection, chunk, (), "too late")
    assert chunk_rows(database, chunk.batch_id) == before
    assert chunk_rows(database, other.batch_id)[0][2] == "sending"
