"""The intent before a call and the clean answer after it: guarded by the old state, whatever another process did."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from handmade_calls import call, everything, nothing_is_written, one, planned
from simulated_provider import SERVICE, imeis
from sqlalchemy import Connection

from database import IMEIDatabase, utc_now
from orders import Chunk, Outcome, Verdict
from storage import batch_store
from storage.batch_store import WrongStateError
from storage.call_log import record_clean, write_intents


def clean(chunk: Chunk, first_id: int, status: str = "Pending") -> tuple[Chunk, str]:
    """A clean answer to this call, with ids from first_id on."""
    records = [{"id": str(first_id + n), "imei": item.imei, "status": status} for n, item in enumerate(chunk.items)]
    return chunk, json.dumps(records)


# The intent


def test_an_intent_says_what_is_sent_and_which_calls_had_ended(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 5)
    before = utc_now()
    with database.write() as connection:
        first, second = write_intents(connection, [ids[1], ids[0]], ended_before=7)
    assert (first.chunk_id, second.chunk_id) == (ids[0], ids[1])
    assert [item.imei for item in first.items + second.items] == imeis(4)
    assert (first.batch_id, first.service_id, first.attempt) == (batch_id, SERVICE, 1)
    query = "SELECT chunk_id, number, imeis, ended_before, ended_at, result FROM attempts WHERE id = ?"
    assert one(database, query, second.attempt_id) == (ids[1], 1, 2, 7, None, None)
    with database.read() as connection:
        assert max(batch_store.attempt_ages(connection, 60.0)) <= (utc_now() - before).total_seconds()
    assert [row[3:5] for row in everything(database)["chunks"]] == [("sending", 1), ("sending", 1), ("planned", 0)]


def test_without_another_call_on_the_wire_every_attempt_so_far_had_ended(database: IMEIDatabase) -> None:
    _, ids = planned(database, 8)
    query = "SELECT ended_before FROM attempts WHERE id = ?"
    for first in (0, 2):
        with database.write() as connection:
            newest = batch_store.newest_attempt(connection)
            sent = write_intents(connection, ids[first : first + 2])
        assert [chunk.attempt_id for chunk in sent] == [newest + 1, newest + 2]
        assert [one(database, query, chunk.attempt_id) for chunk in sent] == [newest + 1] * 2


def test_a_second_attempt_is_numbered_and_the_batch_keeps_the_time_of_its_first(database: IMEIDatabase) -> None:
    call(database, imeis(1, first=50))
    batch_id, ids = planned(database, 2)
    with database.write() as connection:
        (first,) = write_intents(connection, ids, 1)
        batch_store.release(connection, first, "not sent")
        connection.exec_driver_sql("UPDATE batches SET started_at = '2020-01-01 00:00:00.000000'")
    revision = one(database, "SELECT revision FROM batches WHERE id = ?", batch_id)
    with database.write() as connection:
        (second,) = write_intents(connection, ids, 2)
    assert (second.attempt, second.attempt_id) == (2, first.attempt_id + 1)
    started = one(database, "SELECT started_at, revision FROM batches WHERE id = ?", batch_id)
    assert started == ("2020-01-01 00:00:00.000000", revision + 1)


def test_the_first_intent_starts_its_batch_and_no_other(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 2)
    other, _ = planned(database, 2, first=10)
    with database.write() as connection:
        write_intents(connection, ids, 1)
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT id, started_at IS NOT NULL, revision > 0 FROM batches ORDER BY id")
        assert [tuple(row) for row in rows] == [(batch_id, 1, 1), (other, 0, 0)]


def test_no_intent_and_no_answer_write_nothing(database: IMEIDatabase) -> None:
    planned(database, 2)
    with nothing_is_written(database), database.write() as connection:
        assert write_intents(connection, [], 1) == []
        assert record_clean(connection, []) is True


def cancelled(connection: Connection, chunk_id: int) -> None:
    batch_store.cancel_rest(connection, 1)


def claimed(connection: Connection, chunk_id: int) -> None:
    write_intents(connection, [chunk_id], 1)


def answered_already(connection: Connection, chunk_id: int) -> None:
    connection.exec_driver_sql("UPDATE chunks SET state = 'answered' WHERE id = ?", (chunk_id,))


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
        write_intents(connection, ids, 1)


def test_of_two_chunks_none_is_claimed_where_one_was_claimed_first(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    _, ids = planned(database, 4)
    with rival.write() as connection:
        write_intents(connection, ids[:1], 1)
    with (
        nothing_is_written(database),
        pytest.raises(WrongStateError, match=r"^1 of 2 chunks were planned"),
        database.write() as connection,
    ):
        write_intents(connection, ids, 1)


# The clean answer


def test_a_clean_answer_is_written_with_its_orders_and_ends_the_attempt(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    with database.write() as connection:
        batch_store.record(connection, chunk, [Verdict(i.item_id, i.imei, Outcome.IN_DOUBT) for i in chunk.items])
        connection.exec_driver_sql("UPDATE chunks SET state = 'sending', message = 'slow'")
        connection.exec_driver_sql("UPDATE items SET message = 'lost'")
        connection.exec_driver_sql("UPDATE attempts SET ended_at = NULL, result = NULL")
    before = utc_now()
    with database.write() as connection:
        assert record_clean(connection, [clean(chunk, 41, "In Process")]) is True
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
        (part,) = write_intents(connection, ids[:1], 1)
        connection.exec_driver_sql("UPDATE batches SET revision = 0")
        assert record_clean(connection, [clean(done, 1), clean(part, 11)])
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT id, state, revision FROM batches ORDER BY id")
        found = [tuple(row) for row in rows]
    assert found == [(done.batch_id, "finished", 2), (batch_id, "running", 1), (other, "running", 0)]


def test_an_answer_with_a_known_order_id_settles_nothing(database: IMEIDatabase) -> None:
    """Another look decides whose order it is; in the same transaction, so all rows but the orders are as before."""
    database.insert_order({"order_id": "8", "imei": imeis(1, first=90)[0], "status": "Pending"})
    chunk = call(database, imeis(2))
    before = everything(database)
    with database.write() as connection:
        assert record_clean(connection, [clean(chunk, 7)]) is False
    assert {**everything(database), "orders": []} == {**before, "orders": []}


def released(connection: Connection, chunk: Chunk) -> None:
    batch_store.release(connection, chunk, "not sent")


def put_in_doubt(connection: Connection, chunk: Chunk) -> None:
    batch_store.record(connection, chunk, [Verdict(i.item_id, i.imei, Outcome.IN_DOUBT) for i in chunk.items])


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
        record_clean(connection, [clean(first, 1), clean(second, 11)])


def test_an_answer_of_which_one_imei_was_decided_first_is_not_written(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    chunk = call(database, imeis(3))
    with rival.write() as connection:
        connection.exec_driver_sql("UPDATE items SET outcome = 'duplicate' WHERE id = ?", (chunk.items[1].item_id,))
    with (
        nothing_is_written(database),
        pytest.raises(WrongStateError, match=r"^2 of 3 items were undecided"),
        database.write() as connection,
    ):
        record_clean(connection, [clean(chunk, 1)])
