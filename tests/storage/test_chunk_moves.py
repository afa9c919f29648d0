"""Moves of planned and sent chunks: each is guarded by the old state, whatever another process did first."""

from collections.abc import Sequence

import pytest
from call_moves import (
    Move,
    among,
    batch,
    chunk_rows,
    ids_of,
    in_doubt,
    ordered,
    outcomes,
    released,
    repeat_of,
    revision,
)
from handmade_calls import (
    OTHER,
    call,
    everything,
    listed,
    nothing_is_written,
    one,
    planned,
)
from plain_sql import run
from simulated_provider import SERVICE, imeis
from sqlalchemy import Connection
from sqlalchemy.exc import NoResultFound

from database import IMEIDatabase
from orders import ChunkState
from storage import batch_states, call_queries, chunk_moves
from storage.call_records import write_intents
from storage.guards import WrongStateError


@pytest.mark.parametrize(
    ("act", "first", "words"),
    [
        (released, released, "chunk 1 is not sending"),
        (released, ordered, "chunk 1 is not sending"),
        (released, in_doubt, "chunk 1 is not sending"),
        (ordered, released, "0 of 1 chunks were sending or in_doubt"),
        (ordered, ordered, "0 of 2 items were undecided"),
        (in_doubt, ordered, "0 of 2 items were undecided"),
        (in_doubt, released, "0 of 1 chunks were sending or in_doubt"),
    ],
)
def test_a_call_on_the_wire_that_another_process_moved_first_stays_as_it_is(
    database: IMEIDatabase, rival: IMEIDatabase, act: Move, first: Move, words: str
) -> None:
    chunk = call(database, imeis(2))
    with rival.write() as connection:
        first(connection, chunk)
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        act(connection, chunk)


def test_a_planned_chunk_that_another_process_claimed_first_is_not_split(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    _, ids = planned(database, 4, size=4)
    with rival.write() as connection:
        write_intents(connection, ids)
    words = "chunk 1 is sending, not planned"
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        chunk_moves.split_chunk(connection, ids[0], 1, 2)


def test_what_another_process_has_sent_is_not_cancelled(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 6)
    other, _ = planned(database, 2, first=10)
    with rival.write() as connection:
        write_intents(connection, ids[1:2])
    before = revision(database, batch_id)
    with database.write() as connection:
        assert chunk_moves.cancel_rest(connection, batch_id) == 4
    assert revision(database, batch_id) == before + 1
    assert outcomes(database, other)[0][0] == "waiting"
    assert chunk_rows(database, other)[0][2] == "planned"
    assert [state for _, _, state in chunk_rows(database, batch_id)] == ["cancelled", "sending", "cancelled"]
    taken = ("cancelled", "cancelled before it was sent")
    assert [row[:2] for row in outcomes(database, batch_id)] == [*[taken] * 2, *[("waiting", None)] * 2, *[taken] * 2]
    assert batch(database, batch_id)[0] == "running"
    with nothing_is_written(rival), rival.write() as connection:
        batch_states.finish_if_done(connection, batch_id)


def test_an_imei_that_another_process_decided_first_is_not_cancelled(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    batch_id, _ = planned(database, 2)
    with rival.write() as connection:
        run(connection, "UPDATE items SET outcome = 'refused' WHERE imei = ?", imeis(1)[0])
    with database.write() as connection:
        assert chunk_moves.cancel_rest(connection, batch_id) == 1
    assert [row[0] for row in outcomes(database, batch_id)] == ["refused", "cancelled"]


def test_a_split_leaves_the_first_imeis_and_puts_the_others_into_chunks_of_their_own(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 7, size=7)
    with database.write() as connection:
        new = chunk_moves.split_chunk(connection, ids[0], 2, 3)
    assert [size for _, size in new] == [3, 2]
    assert chunk_rows(database, batch_id) == [
        (ids[0], 2, "planned"),
        (new[0][0], 3, "planned"),
        (new[1][0], 2, "planned"),
    ]
    owners = [chunk_id for _, _, chunk_id in outcomes(database, batch_id)]
    assert owners == [ids[0]] * 2 + [new[0][0]] * 3 + [new[1][0]] * 2
    with database.write() as connection:
        assert chunk_moves.split_chunk(connection, ids[0], 5, 3) == []
    assert chunk_rows(database, batch_id)[0] == (ids[0], 2, "planned")


def test_a_call_that_placed_nothing_is_planned_again_with_the_reason(database: IMEIDatabase) -> None:
    chunk, other = call(database, imeis(2)), call(database, imeis(2, first=10))
    before = revision(database, chunk.batch_id)
    with database.write() as connection:
        chunk_moves.release(connection, chunk, "the network is down")
        assert call_queries.attempt_message(connection, chunk.attempt_id) == "the network is down"
        assert call_queries.attempt_message(connection, other.attempt_id) == ""
    assert chunk_rows(database, chunk.batch_id) == [(chunk.chunk_id, 2, "planned")]
    assert one(database, "SELECT message FROM chunks WHERE id = ?", chunk.chunk_id) == "the network is down"
    ended = "SELECT result, message, ended_at IS NOT NULL FROM attempts WHERE id = ?"
    assert one(database, ended, chunk.attempt_id) == ("not placed", "the network is down", 1)
    assert one(database, ended, other.attempt_id) == (None, "", 0)
    assert chunk_rows(database, other.batch_id) == [(other.chunk_id, 2, "sending")]
    assert revision(database, chunk.batch_id) == before + 1
    assert batch(database, chunk.batch_id)[0] == "running"


def test_a_call_that_placed_nothing_is_cancelled_where_the_rest_of_its_batch_was(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 4)
    with database.write() as connection:
        (chunk,) = write_intents(connection, ids[:1])
        assert not batch_states.is_stopped(connection, batch_id)
        chunk_moves.cancel_rest(connection, batch_id)
        assert batch_states.is_stopped(connection, batch_id)
        assert not batch_states.is_stopped(connection, batch_id + 1)
        chunk_moves.release(connection, chunk, "not sent")
    assert [state for _, _, state in chunk_rows(database, batch_id)] == ["cancelled"] * 2
    assert [row[0] for row in outcomes(database, batch_id)] == ["cancelled"] * 4
    assert batch(database, batch_id)[0] == "finished"


def test_a_repeated_call_that_was_not_sent_is_in_doubt_about_its_first_attempt_again(database: IMEIDatabase) -> None:
    first = call(database, imeis(2))
    other = call(database, imeis(1, first=10))
    chunk = repeat_of(database, first)
    assert (chunk.doubt_attempt, chunk.attempt, chunk.items) == (first.attempt_id, 1, first.items)
    before = revision(database, chunk.batch_id)
    with database.write() as connection:
        chunk_moves.release(connection, chunk, "no network")
        (again,) = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        assert [flying.chunk_id for flying in call_queries.open_chunks(connection, ChunkState.SENDING)] == [
            other.chunk_id
        ]
    assert (again.chunk_id, again.attempt_id) == (chunk.chunk_id, first.attempt_id)
    assert outcomes(database, chunk.batch_id) == [("in_doubt", "no network", chunk.chunk_id)] * 2
    assert chunk_rows(database, chunk.batch_id)[1:] == [(chunk.chunk_id, 2, "in_doubt")]
    assert outcomes(database, other.batch_id)[0][:2] == ("waiting", None)
    assert one(database, "SELECT result FROM attempts WHERE id = ?", chunk.attempt_id) == "not placed"
    assert batch(database, chunk.batch_id)[::3] == ("finished", 1)
    assert revision(database, chunk.batch_id) == before + 2


def test_a_repeated_call_that_was_not_sent_says_nothing_where_nobody_said_why(database: IMEIDatabase) -> None:
    chunk = repeat_of(database, call(database, imeis(1)))
    with database.write() as connection:
        chunk_moves.release(connection, chunk, "")
    assert outcomes(database, chunk.batch_id) == [("in_doubt", None, chunk.chunk_id)]


def test_an_imei_of_a_repeated_call_that_was_decided_first_is_not_in_doubt_again(database: IMEIDatabase) -> None:
    chunk = repeat_of(database, call(database, imeis(2)))
    with database.write() as connection:
        run(connection, "UPDATE items SET outcome = 'refused' WHERE id = ?", ids_of(chunk)[0])
        chunk_moves.release(connection, chunk, "no network")
    assert [row[0] for row in outcomes(database, chunk.batch_id)] == ["refused", "in_doubt"]


def test_an_imei_that_has_an_order_is_left_out_of_its_planned_chunk(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 3, size=3)
    other, _ = planned(database, 4, first=10)
    planned(database, 3, size=3, service_id=OTHER)
    numbers = imeis(3)
    with database.write() as connection:
        chunk_moves.leave_out(connection, SERVICE, numbers[1], "ordered already")
    assert chunk_rows(database, batch_id) == [(ids[0], 2, "planned")]
    assert outcomes(database, batch_id)[1] == ("duplicate", "ordered already", None)
    assert batch(database, batch_id)[0] == "running"
    assert (revision(database, batch_id), revision(database, other)) == (1, 0)
    with database.write() as connection:
        chunk_moves.leave_out(connection, SERVICE, numbers[0], "ordered already")
        chunk_moves.leave_out(connection, SERVICE, numbers[2], "ordered already")
    assert chunk_rows(database, batch_id) == [(ids[0], 0, "cancelled")]
    assert batch(database, batch_id)[0] == "finished"
    assert chunk_rows(database, other)[0][1:] == (2, "planned")


def test_a_planned_imei_that_an_order_was_found_of_is_ordered_outside_of_its_chunk(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 2, size=2)
    items = [row[0] for row in everything(database)["items"]]
    with database.write() as connection:
        chunk_moves.take_out(connection, items[0], ids[0], "its answer came late")
    assert chunk_rows(database, batch_id) == [(ids[0], 1, "planned")]
    assert outcomes(database, batch_id) == [("ordered", "its answer came late", None), ("waiting", None, ids[0])]
    with database.write() as connection:
        chunk_moves.take_out(connection, items[1], ids[0], "its answer came late")
    assert chunk_rows(database, batch_id) == [(ids[0], 0, "cancelled")]
    assert one(database, "SELECT message FROM chunks WHERE id = ?", ids[0]) == "all of it was ordered already"
    words = "is not waiting"
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        chunk_moves.take_out(connection, items[0], ids[0], "again")


def test_a_chunk_that_is_on_the_wire_keeps_its_size_when_an_imei_of_it_is_taken_out(database: IMEIDatabase) -> None:
    """It was sent with all of its IMEIs."""
    chunk = call(database, imeis(2))
    with database.write() as connection:
        chunk_moves.take_out(connection, chunk.items[0].item_id, chunk.chunk_id, "its answer came late")
    assert chunk_rows(database, chunk.batch_id) == [(chunk.chunk_id, 2, "sending")]


def test_a_planned_imei_of_which_the_provider_lists_an_order_is_left_out_and_the_order_is_stored(
    database: IMEIDatabase,
) -> None:
    """Another service that has the same IMEI planned goes on."""
    batch_id, [chunk_id] = planned(database, 2)
    other, _ = planned(database, 2, service_id=OTHER)
    first, second = imeis(2)
    with database.write() as connection:
        chunk_moves.leave_out_existing(connection, batch_id, SERVICE, listed("7", first), "main")
    assert outcomes(database, batch_id) == [
        ("duplicate", "ordered already: order 7", None),
        ("waiting", None, chunk_id),
    ]
    assert [outcome for outcome, *_ in outcomes(database, other)] == ["waiting"] * 2
    columns = "imei, service_id, credits, batch_id, existed"
    assert one(database, f"SELECT {columns} FROM orders WHERE order_id = '7'") == (first, SERVICE, 0.0, batch_id, 1)
    with database.read() as connection:
        assert among(connection, [first, second]) == [
            (batch_id, SERVICE, second),
            *((other, OTHER, imei) for imei in (first, second)),
        ]


def test_an_imei_that_is_on_the_wire_is_not_left_out(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    with nothing_is_written(database), pytest.raises(NoResultFound), database.write() as connection:
        chunk_moves.leave_out(connection, SERVICE, chunk.items[0].imei, "ordered already")


def test_what_was_left_out_with_words_that_are_no_longer_true_is_cancelled(database: IMEIDatabase) -> None:
    batch_id, _ = planned(database, 4, size=4)
    other, _ = planned(database, 1, first=10)
    numbers = imeis(4)
    with database.write() as connection:
        for n in range(3):
            chunk_moves.leave_out(connection, SERVICE, numbers[n], f"order {n}")
        run(connection, "UPDATE items SET message = 'order 0' WHERE imei = ?", numbers[3])
        before = batch_revisions(connection)
        told = {
            (SERVICE, numbers[0]): "order 0",
            (SERVICE, numbers[1]): "order 2",
            (OTHER, numbers[2]): "order 2",
            (SERVICE, numbers[3]): "order 0",
        }
        chunk_moves.cancel_left_out(connection, told, "the import was undone")
        assert batch_revisions(connection) == [before[0] + 1, before[1]]
    assert [row[:2] for row in outcomes(database, batch_id)] == [
        ("cancelled", "the import was undone"),
        ("duplicate", "order 1"),
        ("duplicate", "order 2"),
        ("waiting", "order 0"),
    ]
    assert [row[0] for row in outcomes(database, other)] == ["waiting"]


def batch_revisions(connection: Connection) -> Sequence[int]:
    return list(connection.exec_driver_sql("SELECT revision FROM batches ORDER BY id").scalars())
