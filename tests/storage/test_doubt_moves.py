"""Moves out of doubt: each is guarded by the old state, whatever another process did first."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from call_moves import (
    Move,
    adopted,
    batch,
    chunk_rows,
    cleared,
    ids_of,
    in_doubt,
    item_outcomes,
    linked,
    ordered,
    outcomes,
    place,
    repeat_of,
    repeated,
    revision,
)
from handmade_calls import (
    answered,
    call,
    listed,
    nothing_is_written,
    one,
    planned,
    unanswered,
)
from plain_sql import run
from simulated_provider import SERVICE, imeis
from sqlalchemy import Connection

from database import IMEIDatabase, utc_now
from orders import Chunk, ChunkState, Outcome
from storage import batch_states, call_queries, call_records, chunk_moves, doubt_moves, guards
from storage.call_records import write_intents
from storage.guards import WrongStateError


def given_up(connection: Connection, chunk: Chunk) -> None:
    doubt_moves.give_up(connection, chunk, ids_of(chunk), Outcome.CANCELLED, "not placed")


ENDS_OF_DOUBT = (adopted, ordered, repeated, cleared, given_up, linked)


@pytest.mark.parametrize(
    ("act", "first", "words"),
    [
        (adopted, adopted, "0 of 2 items were undecided"),
        (adopted, ordered, "0 of 2 items were undecided"),
        *[(repeated, first, "0 of 2 items of chunk 1 were in doubt") for first in ENDS_OF_DOUBT],
        *[(cleared, first, "0 of 2 items of chunk 1 were in doubt") for first in ENDS_OF_DOUBT],
        *[(given_up, first, "0 of 2 items of chunk 1 were in doubt") for first in ENDS_OF_DOUBT],
        *[(linked, first, "0 of 1 items of chunk 1 were in doubt") for first in ENDS_OF_DOUBT],
    ],
)
def test_doubt_that_another_process_ended_first_stays_ended(
    database: IMEIDatabase, rival: IMEIDatabase, act: Move, first: Move, words: str
) -> None:
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    with rival.write() as connection:
        first(connection, chunk)
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        act(connection, chunk)


@pytest.mark.parametrize("act", [repeated, cleared, given_up])
def test_of_two_imeis_in_doubt_none_is_moved_where_one_was_decided_first(
    database: IMEIDatabase, rival: IMEIDatabase, act: Move
) -> None:
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    with rival.write() as connection:
        call_records.adopt(connection, chunk, item_outcomes(chunk, Outcome.ORDERED, Outcome.IN_DOUBT)[:1])
    words = "1 of 2 items of chunk 1 were in doubt"
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        act(connection, chunk)


def repeats(database: IMEIDatabase, batch_id: int) -> list[tuple[Any, ...]]:
    """(size, state, attempt in doubt, cleared) of each chunk of a batch."""
    with database.read() as connection:
        query = "SELECT size, state, doubt_attempt, cleared FROM chunks WHERE batch_id = ? ORDER BY id"
        return [tuple(row) for row in run(connection, query, batch_id)]


def test_what_is_repeated_is_planned_in_a_chunk_that_remembers_the_attempt_and_its_batch_runs_again(
    database: IMEIDatabase,
) -> None:
    chunk, finished = call(database, imeis(3)), call(database, imeis(2, first=10))
    answered(database, finished, 100)
    unanswered(database, chunk)
    with database.write() as connection:
        call_records.adopt(connection, chunk, item_outcomes(chunk, Outcome.ORDERED, *[Outcome.IN_DOUBT] * 2)[:1])
    before = revision(database, chunk.batch_id)
    with database.write() as connection:
        piece = doubt_moves.repeat(connection, chunk, ids_of(chunk)[1:], "not placed")
    assert chunk_rows(database, chunk.batch_id) == [(chunk.chunk_id, 1, "answered"), (piece, 2, "planned")]
    assert repeats(database, chunk.batch_id)[1] == (2, "planned", chunk.attempt_id, 0)
    assert outcomes(database, chunk.batch_id)[1:] == [("waiting", "not placed", piece)] * 2
    assert batch(database, chunk.batch_id)[::3] == ("running", 0)
    assert batch(database, finished.batch_id)[::3] == ("finished", 1)
    assert revision(database, chunk.batch_id) == before + 1


def test_a_paused_batch_of_which_something_is_repeated_stays_paused(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 4)
    with database.write() as connection:
        (chunk,) = write_intents(connection, ids[:1])
        in_doubt(connection, chunk)
        batch_states.pause(connection, batch_id, "by a person")
        repeated(connection, chunk)
    assert batch(database, batch_id)[:2] == ("paused", "by a person")
    assert [row[1:] for row in chunk_rows(database, batch_id)] == [(0, "answered"), (2, "planned"), (2, "planned")]


def test_what_is_in_doubt_in_another_call_is_not_repeated_with_this_one(database: IMEIDatabase) -> None:
    chunk, other = call(database, imeis(2)), call(database, imeis(2, first=10))
    unanswered(database, chunk)
    unanswered(database, other)
    ids = [chunk.items[0].item_id, other.items[0].item_id]
    words = "1 of 2 items of chunk 1 were in doubt"
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        doubt_moves.repeat(connection, chunk, ids, "not placed")


def test_more_than_fits_one_list_is_repeated_and_cancelled(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "IN_LIST", 2)
    chunk = call(database, imeis(5))
    unanswered(database, chunk)
    with database.write() as connection:
        repeated(connection, chunk)
    assert [row[1:] for row in chunk_rows(database, chunk.batch_id)] == [(0, "answered"), (5, "planned")]
    batch_id, _ = planned(database, 9, first=10)
    with database.write() as connection:
        assert chunk_moves.cancel_rest(connection, batch_id) == 9
    assert {row[0] for row in outcomes(database, batch_id)} == {"cancelled"}


def test_a_call_of_which_a_part_is_repeated_stays_in_doubt(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    with database.write() as connection:
        doubt_moves.repeat(connection, chunk, ids_of(chunk)[:1], "not placed")
        (left,) = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
    assert left.items == chunk.items[1:]
    assert chunk_rows(database, chunk.batch_id)[0][2] == "in_doubt"


def test_what_a_person_clears_stays_in_doubt_in_a_chunk_of_its_own_until_it_is_repeated(
    database: IMEIDatabase,
) -> None:
    chunk = call(database, imeis(3))
    unanswered(database, chunk)
    before = revision(database, chunk.batch_id)
    with database.write() as connection:
        doubt_moves.clear(connection, chunk, ids_of(chunk)[:2], "a person says so")
        left, piece = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
    assert (left.items, left.cleared) == (chunk.items[2:], False)
    assert (piece.items, piece.cleared) == (chunk.items[:2], True)
    assert (piece.doubt_attempt, piece.attempt_id) == (chunk.attempt_id, chunk.attempt_id)
    assert outcomes(database, chunk.batch_id)[0] == ("in_doubt", "a person says so", piece.chunk_id)
    assert batch(database, chunk.batch_id)[::3] == ("finished", 1)
    assert revision(database, chunk.batch_id) == before + 1
    with database.write() as connection:
        repeated(connection, piece)
    assert repeats(database, chunk.batch_id)[1:] == [
        (0, "answered", chunk.attempt_id, 1),
        (2, "planned", chunk.attempt_id, 1),
    ]


def test_what_a_person_clears_is_cancelled_where_the_rest_of_its_batch_was(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 4)
    with database.write() as connection:
        (chunk,) = write_intents(connection, ids[:1])
        in_doubt(connection, chunk)
        chunk_moves.cancel_rest(connection, batch_id)
        cleared(connection, chunk)
    assert outcomes(database, batch_id)[:2] == [("cancelled", "a person says so", chunk.chunk_id)] * 2
    assert [row[1:] for row in chunk_rows(database, batch_id)] == [(2, "answered"), (2, "cancelled")]


def test_what_is_given_up_gets_the_outcome_that_was_found(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    before = revision(database, chunk.batch_id)
    with database.write() as connection:
        doubt_moves.give_up(connection, chunk, ids_of(chunk)[:1], Outcome.DUPLICATE, "ordered before")
    assert chunk_rows(database, chunk.batch_id) == [(chunk.chunk_id, 2, "in_doubt")]
    with database.write() as connection:
        doubt_moves.give_up(connection, chunk, ids_of(chunk)[1:], Outcome.CANCELLED, "not placed")
    assert [row[:2] for row in outcomes(database, chunk.batch_id)] == [
        ("duplicate", "ordered before"),
        ("cancelled", "not placed"),
    ]
    assert chunk_rows(database, chunk.batch_id) == [(chunk.chunk_id, 2, "answered")]
    assert revision(database, chunk.batch_id) == before + 2


@pytest.mark.parametrize(("status", "stored"), [("Pending", "Pending"), ("Completed", "In Process")])
def test_an_order_from_before_the_call_is_stored_at_no_cost_and_its_imei_is_a_duplicate(
    database: IMEIDatabase, status: str, stored: str
) -> None:
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    with database.write() as connection:
        item = chunk.items[0]
        doubt_moves.link_existing(connection, chunk, item, replace(listed("7", item.imei), status=status))
    assert outcomes(database, chunk.batch_id)[0][:2] == ("duplicate", "ordered already: order 7")
    assert chunk_rows(database, chunk.batch_id) == [(chunk.chunk_id, 2, "in_doubt")]
    columns = "imei, status, service_name, service_id, credits, batch_id, attempt_id, existed, notes"
    assert one(database, f"SELECT {columns} FROM orders WHERE order_id = '7'") == (
        *(item.imei, stored, "T-Mobile", SERVICE, 0.0, chunk.batch_id, None, 1),
        "the provider had this order before our call",
    )
    order = database.get_order("7")
    assert order is not None
    for column in ("order_date", "created_at", "updated_at"):
        assert utc_now() - timedelta(seconds=10) <= order[column] <= utc_now()


def test_an_order_from_before_the_call_that_we_know_stays_as_it_is(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(1))
    unanswered(database, chunk)
    place(database, "7", chunk.items[0].imei, SERVICE, None)
    before = one(database, "SELECT * FROM orders")
    with database.write() as connection:
        doubt_moves.link_existing(connection, chunk, chunk.items[0], listed("7", chunk.items[0].imei))
    assert one(database, "SELECT * FROM orders") == before
    assert outcomes(database, chunk.batch_id)[0][0] == "duplicate"


def test_a_repeat_of_a_repeat_remembers_the_first_attempt(database: IMEIDatabase) -> None:
    first = call(database, imeis(1))
    second = repeat_of(database, first)
    third = repeat_of(database, second)
    assert (second.doubt_attempt, third.doubt_attempt) == (first.attempt_id, first.attempt_id)
    assert third.attempt_id > second.attempt_id > first.attempt_id


def test_the_reason_why_a_call_is_in_doubt_is_written_on_that_call_only_while_it_is(database: IMEIDatabase) -> None:
    chunk, other = call(database, imeis(1)), call(database, imeis(1, first=10))
    unanswered(database, chunk)
    unanswered(database, other)
    reason = "SELECT message FROM chunks WHERE id = ?"
    with database.write() as connection:
        doubt_moves.explain(connection, chunk.chunk_id, "the list is cut")
    assert one(database, reason, chunk.chunk_id) == "the list is cut"
    assert one(database, reason, other.chunk_id) == ""
    with database.write() as connection:
        adopted(connection, chunk)
        doubt_moves.explain(connection, chunk.chunk_id, "the list is old")
    assert one(database, reason, chunk.chunk_id) == "the list is cut"


def test_the_first_list_that_was_seen_after_a_call_stays_the_first(database: IMEIDatabase) -> None:
    chunk, other = call(database, imeis(1)), call(database, imeis(1, first=10))
    with database.write() as connection:
        assert doubt_moves.first_list(connection, chunk.attempt_id, "") == ""
        assert doubt_moves.first_list(connection, chunk.attempt_id, "first") == "first"
        assert doubt_moves.first_list(connection, chunk.attempt_id, "second") == "first"
        assert doubt_moves.first_list(connection, other.attempt_id, "") == ""
