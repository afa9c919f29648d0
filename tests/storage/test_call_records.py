"""The intent before a call and the clean answer after it: guarded by the old state, whatever another process did."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from batch_checks import rows as rows_of
from handmade_calls import call, everything, nothing_is_written, one, planned, record_outcomes, unanswered
from plain_sql import run
from simulated_provider import SERVICE, imeis
from sqlalchemy import Connection

from database import IMEIDatabase, utc_now
from orders import Chunk, ChunkState, ItemOutcome, OrderStatus, Outcome, PlacedOrder
from provider import parse_placement
from schema.dialect import ROWS_AT_ONCE
from storage import call_queries, chunk_moves, doubt_moves
from storage.call_records import (
    CallRecord,
    encode_orders,
    record_answers,
    record_late,
    record_of,
    record_of_orders,
    write_intents,
)
from storage.guards import WrongStateError
from submission.judging import judge_by_name


def clean(chunk: Chunk, first_id: int, status: str = "Pending") -> CallRecord:
    """A clean answer to this call, with ids from first_id on."""
    placed = [PlacedOrder(str(first_id + n), item.imei, status) for n, item in enumerate(chunk.items)]
    return record_of_orders(chunk, placed)


# The intent


def test_an_intent_says_what_is_sent(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 5)
    before = utc_now()
    with database.write() as connection:
        first, second = write_intents(connection, [ids[1], ids[0]])
    assert (first.chunk_id, second.chunk_id) == (ids[0], ids[1])
    assert [item.imei for item in first.items + second.items] == imeis(4)
    assert (first.batch_id, first.service_id, first.attempt) == (batch_id, SERVICE, 1)
    query = "SELECT chunk_id, number, imeis, ended_at, result FROM attempts WHERE id = ?"
    assert one(database, query, second.attempt_id) == (ids[1], 1, 2, None, None)
    with database.read() as connection:
        assert max(call_queries.attempt_ages(connection, 60.0)) <= (utc_now() - before).total_seconds()
    assert [row[3:5] for row in everything(database)["chunks"]] == [("sending", 1), ("sending", 1), ("planned", 0)]


@pytest.mark.parametrize("is_cleared", [False, True])
def test_the_intent_of_a_repeated_call_names_the_call_in_doubt(database: IMEIDatabase, is_cleared: bool) -> None:
    """So that it is in doubt again where it was not sent, and is sent by no other account."""
    first = call(database, imeis(2))
    unanswered(database, first)
    with database.write() as connection:
        (doubtful,) = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        ids = [item.item_id for item in doubtful.items]
        piece = doubt_moves.repeat(connection, replace(doubtful, cleared=is_cleared), ids, "not placed")
        (repeated,) = write_intents(connection, [piece])
        assert (repeated.doubt_attempt, repeated.cleared) == (first.attempt_id, is_cleared)
        assert [repeated] == call_queries.open_chunks(connection, ChunkState.SENDING)


def test_attempt_ids_grow_in_the_order_of_the_calls(database: IMEIDatabase) -> None:
    _, ids = planned(database, 8)
    for first in (0, 2):
        with database.write() as connection:
            newest = call_queries.newest_attempt(connection)
            sent = write_intents(connection, ids[first : first + 2])
        assert [chunk.attempt_id for chunk in sent] == [newest + 1, newest + 2]


def test_a_second_attempt_is_numbered_and_the_batch_keeps_the_time_of_its_first(database: IMEIDatabase) -> None:
    call(database, imeis(1, first=50))
    batch_id, ids = planned(database, 2)
    with database.write() as connection:
        (first,) = write_intents(connection, ids)
        chunk_moves.release(connection, first, "not sent")
        connection.exec_driver_sql("UPDATE batches SET started_at = '2020-01-01 00:00:00.000000'")
    revision = one(database, "SELECT revision FROM batches WHERE id = ?", batch_id)
    with database.write() as connection:
        (second,) = write_intents(connection, ids)
    assert (second.attempt, second.attempt_id) == (2, first.attempt_id + 1)
    started, newer = one(database, "SELECT started_at, revision FROM batches WHERE id = ?", batch_id)
    assert (str(started)[:19], newer) == ("2020-01-01 00:00:00", revision + 1)


def test_the_first_intent_starts_its_batch_and_no_other(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 2)
    other, _ = planned(database, 2, first=10)
    with database.write() as connection:
        write_intents(connection, ids)
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT id, started_at IS NOT NULL, revision > 0 FROM batches ORDER BY id")
        assert [tuple(row) for row in rows] == [(batch_id, 1, 1), (other, 0, 0)]


def test_no_intent_and_no_answer_write_nothing(database: IMEIDatabase) -> None:
    planned(database, 2)
    with nothing_is_written(database), database.write() as connection:
        assert write_intents(connection, []) == []
        record_answers(connection, [])


def cancelled(connection: Connection, chunk_id: int) -> None:
    chunk_moves.cancel_rest(connection, 1)


def claimed(connection: Connection, chunk_id: int) -> None:
    write_intents(connection, [chunk_id])


def answered_already(connection: Connection, chunk_id: int) -> None:
    run(connection, "UPDATE chunks SET state = 'answered' WHERE id = ?", chunk_id)


@pytest.mark.parametrize("move", [claimed, cancelled, answered_already])
def test_a_chunk_that_another_process_moved_first_is_not_claimed(
    database: IMEIDatabase, rival: IMEIDatabase, move: Callable[[Connection, int], None]
) -> None:
    _, ids = planned(database, 2)
    with rival.write() as connection:
        move(connection, ids[0])
    with (
        nothing_is_written(database),
        pytest.raises(WrongStateError, match=r"^0 of 1 chunks were planned"),
        database.write() as connection,
    ):
        write_intents(connection, ids)


def test_of_two_chunks_none_is_claimed_where_one_was_claimed_first(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    _, ids = planned(database, 4)
    with rival.write() as connection:
        write_intents(connection, ids[:1])
    with (
        nothing_is_written(database),
        pytest.raises(WrongStateError, match=r"^1 of 2 chunks were planned"),
        database.write() as connection,
    ):
        write_intents(connection, ids)


# The clean answer


def test_a_clean_answer_is_written_with_its_orders_and_ends_the_attempt(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    with database.write() as connection:
        record_outcomes(connection, chunk, [ItemOutcome(i.item_id, i.imei, Outcome.IN_DOUBT) for i in chunk.items])
        connection.exec_driver_sql("UPDATE chunks SET state = 'sending', message = 'slow'")
        connection.exec_driver_sql("UPDATE items SET message = 'lost'")
        connection.exec_driver_sql("UPDATE attempts SET ended_at = NULL, result = NULL")
    before = utc_now()
    with database.write() as connection:
        record_answers(connection, [clean(chunk, 41, "In Process")])
    rows = everything(database)
    assert [row[6:8] for row in rows["items"]] == [("ordered", None)] * 2
    assert rows["chunks"][0][3] == "answered"
    assert one(database, "SELECT message FROM chunks") == ""
    assert one(database, "SELECT result, ended_at IS NOT NULL FROM attempts") == ("answered", 1)
    assert one(database, "SELECT state FROM batches") == "finished"
    order = database.get_order("42")
    assert order is not None
    assert (order["imei"], order["status"], order["service_id"]) == (imeis(2)[1], "In Process", SERVICE)
    assert (order["service_name"], order["credits"]) == ("T-Mobile", 0.1)
    assert (order["batch_id"], order["attempt_id"]) == (chunk.batch_id, chunk.attempt_id)
    assert json.loads(order["raw_response"]) == {"id": "42", "imei": imeis(2)[1], "status": "In Process"}
    for column in ("order_date", "created_at", "updated_at"):
        assert before <= order[column] <= before + timedelta(seconds=10)


def test_a_batch_of_which_a_chunk_is_left_is_not_finished_and_another_is_not_touched(database: IMEIDatabase) -> None:
    done = call(database, imeis(2))
    batch_id, ids = planned(database, 4, first=10)
    other, _ = planned(database, 2, first=20)
    with database.write() as connection:
        (part,) = write_intents(connection, ids[:1])
        connection.exec_driver_sql("UPDATE batches SET revision = 0")
        record_answers(connection, [clean(done, 1), clean(part, 11)])
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT id, state, revision FROM batches ORDER BY id")
        found = [tuple(row) for row in rows]
    assert found == [(done.batch_id, "finished", 2), (batch_id, "running", 1), (other, "running", 0)]


def test_an_order_keeps_the_record_of_the_provider_as_json_whatever_its_words_hold() -> None:
    statuses = ['In "Pro\x00cess"', "Прием \u2028\U0001f4f1", OrderStatus.COMPLETED]
    placed = [PlacedOrder(f'{n}"\\\n', imeis(3)[n], status) for n, status in enumerate(statuses)]
    rows = encode_orders(Chunk(1, 2, SERVICE, 1, 3, ()), placed)
    assert [row[:2] for row in rows] == [order[:2] for order in placed]
    assert [json.loads(row[3]) for row in rows] == [order._asdict() for order in placed]
    assert [row[2] for row in rows] == [*statuses[:2], "In Process"]


def test_an_answer_with_a_long_reason_is_recorded(database: IMEIDatabase) -> None:
    """Reasons are in an index, and one of PostgreSQL takes 2,700 bytes: it was tried again and again."""
    words = "".join(chr(random.Random(n).randrange(0x4E00, 0x9FFF)) for n in range(3000))
    chunk = call(database, imeis(2))
    first, second = (item.imei for item in chunk.items)
    body = (
        f"<result><imeis><id>7</id><imei>{first}</imei><status>Pending</status></imeis>"
        f"<imeierrors><imei>{second}</imei><error>{words}</error></imeierrors></result>"
    )
    judged = judge_by_name(chunk, parse_placement(body.encode()))
    with database.write() as connection:
        record_answers(connection, [record_of(chunk, judged.item_outcomes, judged.message)])
    assert [row[6] for row in everything(database)["items"]] == ["ordered", "refused"]


def test_orders_of_more_than_one_statement_are_all_inserted_and_one_that_was_known_is_found(
    database: IMEIDatabase,
) -> None:
    calls = [call(database, imeis(100, first=100 * n)) for n in range(ROWS_AT_ONCE[database.dialect] // 100 + 1)]
    database.insert_order({"order_id": str(100 * len(calls) - 1), "imei": imeis(1, first=5000)[0], "status": "Pending"})
    with database.write() as connection:
        record_answers(connection, [clean(chunk, 100 * n) for n, chunk in enumerate(calls)], carefully=True)
    assert one(database, "SELECT count(*), count(attempt_id) FROM orders") == (100 * len(calls), 100 * len(calls) - 1)
    assert one(database, "SELECT imei FROM items WHERE outcome = 'in_doubt'") == calls[-1].items[-1].imei


def test_a_known_order_id_in_a_clean_answer_leaves_its_imei_in_doubt(database: IMEIDatabase) -> None:
    """The other IMEIs of the call are ordered, and the order that was known stays as it is."""
    stranger = imeis(1, first=90)[0]
    database.insert_order({"order_id": "8", "imei": stranger, "status": "Pending"})
    chunk, other = call(database, imeis(2)), call(database, imeis(2, first=10))
    with database.write() as connection:
        record_answers(connection, [clean(other, 11), clean(chunk, 7)], carefully=True)
    words = "the provider gave order 8 to another IMEI or service too"
    rows = everything(database)
    assert [row[6:8] for row in rows["items"]] == [("ordered", None), ("in_doubt", words), *[("ordered", None)] * 2]
    assert [row[3] for row in rows["chunks"]] == ["in_doubt", "answered"]
    assert one(database, "SELECT imei FROM orders WHERE order_id = '8'") == stranger
    assert one(database, "SELECT count(*) FROM orders") == 4


@pytest.mark.parametrize("first_id", [7, 12])
def test_answers_that_are_expected_to_be_new_are_not_written_where_an_order_id_is_known(
    database: IMEIDatabase, first_id: int
) -> None:
    """It was stored before, or another answer of the same turn gives it."""
    database.insert_order({"order_id": "8", "imei": imeis(1, first=90)[0], "status": "Pending"})
    chunk, other = call(database, imeis(2)), call(database, imeis(2, first=10))
    with (
        nothing_is_written(database),
        pytest.raises(WrongStateError, match=r"^an order id is known already"),
        database.write() as connection,
    ):
        record_answers(connection, [clean(other, 11), clean(chunk, first_id)])


def test_an_order_id_that_two_answers_of_a_turn_give_is_believed_of_one(database: IMEIDatabase) -> None:
    first, second = call(database, imeis(2)), call(database, imeis(2, first=10))
    with database.write() as connection:
        record_answers(connection, [clean(first, 1), clean(second, 2)], carefully=True)
    found = [row[6] for row in everything(database)["items"]]
    assert found == ["ordered", "ordered", "in_doubt", "ordered"]
    assert one(database, "SELECT imei FROM orders WHERE order_id = '2'") == first.items[1].imei


def test_answers_of_every_kind_are_written_together(database: IMEIDatabase) -> None:
    """Orders, an order that was known, a refusal and doubt, each with the words of its own call."""
    calls = [call(database, imeis(2, first=10 * n)) for n in range(4)]
    known = calls[2].items[0]
    database.insert_order({"order_id": "21", "imei": known.imei, "status": "Pending", "service_id": SERVICE})
    mixed = [
        ItemOutcome(*calls[1].items[0], Outcome.REFUSED, message="no"),
        ItemOutcome(*calls[1].items[1], Outcome.ORDERED, "11", "Completed"),
    ]
    doubt = [ItemOutcome(*item, Outcome.IN_DOUBT, message="no answer") for item in calls[3].items]
    with database.write() as connection:
        records = [clean(calls[0], 1), record_of(calls[1], mixed), clean(calls[2], 21)]
        record_answers(connection, [*records, record_of(calls[3], doubt, "no answer came")], carefully=True)
    rows = everything(database)
    duplicate = "the provider answers with order 21, which is known already"
    assert [row[6:8] for row in rows["items"]] == [
        *[("ordered", None)] * 2,
        *[("refused", "no"), ("ordered", None)],
        *[("duplicate", duplicate), ("ordered", None)],
        *[("in_doubt", "no answer")] * 2,
    ]
    assert [row[3] for row in rows["chunks"]] == ["answered"] * 3 + ["in_doubt"]
    assert rows_of(database, "SELECT result FROM attempts ORDER BY id") == [("answered",)] * 3 + [("in doubt",)]
    assert one(database, "SELECT message FROM attempts WHERE result = 'in doubt'") == "no answer came"
    assert one(database, "SELECT status FROM orders WHERE order_id = '11'") == "In Process"
    assert one(database, "SELECT count(*), count(attempt_id) FROM orders") == (5, 4)
    assert one(database, "SELECT count(*) FROM batches WHERE state = 'finished'") == 4


def test_a_call_that_another_process_put_in_doubt_is_answered_where_that_is_allowed(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    chunk = call(database, imeis(2))
    with rival.write() as connection:
        put_in_doubt(connection, chunk)
        connection.exec_driver_sql("UPDATE chunks SET cleared = true")
    with database.write() as connection:
        record_answers(connection, [clean(chunk, 1)], carefully=True)
    assert one(database, "SELECT state, cleared FROM chunks") == ("answered", 0)
    assert [row[6] for row in everything(database)["items"]] == ["ordered"] * 2


@pytest.mark.parametrize("allowed", [False, True])
def test_one_wrong_call_of_a_turn_leaves_all_of_them_unwritten(
    database: IMEIDatabase, rival: IMEIDatabase, allowed: bool
) -> None:
    first, second = call(database, imeis(2)), call(database, imeis(2, first=10))
    refused = record_of(second, [ItemOutcome(*item, Outcome.REFUSED, message="no") for item in second.items])
    with rival.write() as connection:
        released(connection, second)
    with nothing_is_written(database), pytest.raises(WrongStateError), database.write() as connection:
        record_answers(connection, [clean(first, 1), refused], carefully=allowed)


def test_an_imei_that_moved_to_another_chunk_is_not_decided_by_the_answer_to_its_old_one(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    chunk, (_, [elsewhere]) = call(database, imeis(2)), planned(database, 2, first=10)
    with rival.write() as connection:
        moved = (elsewhere, chunk.items[0].item_id)
        run(connection, "UPDATE items SET chunk_id = ? WHERE id = ?", *moved)
    mixed = [ItemOutcome(*chunk.items[0], Outcome.REFUSED), ItemOutcome(*chunk.items[1], Outcome.ORDERED, "1")]
    words = r"^1 of 2 items were undecided"
    with (
        nothing_is_written(database),
        pytest.raises(WrongStateError, match=words),
        database.write() as connection,
    ):
        record_answers(connection, [record_of(chunk, mixed)])


def released(connection: Connection, chunk: Chunk) -> None:
    chunk_moves.release(connection, chunk, "not sent")


def put_in_doubt(connection: Connection, chunk: Chunk) -> None:
    record_outcomes(connection, chunk, [ItemOutcome(i.item_id, i.imei, Outcome.IN_DOUBT) for i in chunk.items])


def sent_again(database: IMEIDatabase, chunk: Chunk) -> None:
    """Another process takes the call back and makes it once more."""
    with database.write() as connection:
        released(connection, chunk)
        write_intents(connection, [chunk.chunk_id])


@pytest.mark.parametrize("carefully", [False, True])
@pytest.mark.parametrize("outcome", [Outcome.ORDERED, Outcome.REFUSED])
def test_an_answer_to_an_earlier_attempt_is_not_written_for_the_call_on_the_wire(
    database: IMEIDatabase, rival: IMEIDatabase, outcome: Outcome, carefully: bool
) -> None:
    chunk = call(database, imeis(2))
    sent_again(rival, chunk)
    record = record_of(chunk, [ItemOutcome(*item, outcome, f"{n}") for n, item in enumerate(chunk.items)])
    with nothing_is_written(database), pytest.raises(WrongStateError), database.write() as connection:
        record_answers(connection, [record], carefully)
    with nothing_is_written(database), pytest.raises(WrongStateError), database.write() as connection:
        released(connection, chunk)


def test_a_late_answer_to_an_earlier_attempt_keeps_its_order_and_leaves_the_call_on_the_wire(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    chunk = call(database, imeis(1))
    sent_again(rival, chunk)
    with database.write() as connection:
        record_late(connection, chunk, [ItemOutcome(*chunk.items[0], Outcome.ORDERED, "7")], "late")
    assert one(database, "SELECT state, attempt FROM chunks") == ("sending", 2)
    assert one(database, "SELECT outcome FROM items") == "waiting"
    assert one(database, "SELECT notes FROM orders WHERE order_id = '7'") == "late"


@pytest.mark.parametrize("move", [released, put_in_doubt])
def test_an_answer_to_a_call_that_another_process_took_back_is_not_written(
    database: IMEIDatabase, rival: IMEIDatabase, move: Callable[[Connection, Chunk], None]
) -> None:
    first, second = call(database, imeis(2)), call(database, imeis(2, first=10))
    with rival.write() as connection:
        move(connection, second)
    with (
        nothing_is_written(database),
        pytest.raises(WrongStateError, match=r"^1 of 2 chunks were on the wire"),
        database.write() as connection,
    ):
        record_answers(connection, [clean(first, 1), clean(second, 11)])


def test_an_answer_of_which_one_imei_was_decided_first_is_not_written(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    chunk = call(database, imeis(3))
    with rival.write() as connection:
        run(connection, "UPDATE items SET outcome = 'duplicate' WHERE id = ?", chunk.items[1].item_id)
    with (
        nothing_is_written(database),
        pytest.raises(WrongStateError, match=r"^2 of 3 items were undecided"),
        database.write() as connection,
    ):
        record_answers(connection, [clean(chunk, 1)])
