"""Every move of a batch, chunk or item: guarded by the old state, whatever another process did in the meantime."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from handmade_calls import (
    OTHER,
    answered,
    call,
    listed,
    nothing_is_written,
    one,
    outcome,
    planned,
    record_outcomes,
    unanswered,
)
from simulated_provider import SERVICE, imeis
from sqlalchemy import Connection
from sqlalchemy.exc import NoResultFound

from database import IMEIDatabase, utc_now
from orders import SAYS_IT_EXISTS, Chunk, ChunkState, ItemOutcome, Outcome
from schema import orders
from storage import batch_states, call_queries, call_records, chunk_moves, doubt_moves, guards
from storage.call_records import write_intents
from storage.guards import IN_LIST, WrongStateError

Move = Callable[[Connection, Chunk], None]


def item_outcomes(chunk: Chunk, *outcomes: Outcome, first_id: int = 1, message: str = "") -> list[ItemOutcome]:
    """One for each IMEI of a call, with order ids from first_id on where it was ordered."""
    return [
        ItemOutcome(
            item.item_id, item.imei, found, str(first_id + n) if found is Outcome.ORDERED else None, message=message
        )
        for n, (item, found) in enumerate(zip(chunk.items, outcomes, strict=True))
    ]


def ordered(connection: Connection, chunk: Chunk) -> None:
    record_outcomes(connection, chunk, item_outcomes(chunk, *[Outcome.ORDERED] * len(chunk.items)))


def in_doubt(connection: Connection, chunk: Chunk) -> None:
    record_outcomes(connection, chunk, item_outcomes(chunk, *[Outcome.IN_DOUBT] * len(chunk.items)))


def released(connection: Connection, chunk: Chunk) -> None:
    chunk_moves.release(connection, chunk, "not sent")


def ids_of(chunk: Chunk) -> list[int]:
    return [item.item_id for item in chunk.items]


def repeated(connection: Connection, chunk: Chunk) -> None:
    doubt_moves.repeat(connection, chunk, ids_of(chunk), "again")


def cleared(connection: Connection, chunk: Chunk) -> None:
    doubt_moves.clear(connection, chunk, ids_of(chunk), "a person says so")


def given_up(connection: Connection, chunk: Chunk) -> None:
    doubt_moves.give_up(connection, chunk, ids_of(chunk), Outcome.CANCELLED, "not placed")


def linked(connection: Connection, chunk: Chunk) -> None:
    for n, item in enumerate(chunk.items):
        doubt_moves.link_existing(connection, chunk, item, listed(str(50 + n), item.imei))


def adopted(connection: Connection, chunk: Chunk) -> None:
    call_records.adopt(connection, chunk, item_outcomes(chunk, *[Outcome.ORDERED] * len(chunk.items)))


ENDS_OF_DOUBT = (adopted, ordered, repeated, cleared, given_up, linked)


def chunk_rows(database: IMEIDatabase, batch_id: int) -> list[tuple[Any, ...]]:
    """(id, size, state) of each chunk of a batch."""
    with database.read() as connection:
        query = "SELECT id, size, state FROM chunks WHERE batch_id = ? ORDER BY id"
        return [tuple(row) for row in connection.exec_driver_sql(query, (batch_id,))]


def outcomes(database: IMEIDatabase, batch_id: int) -> list[tuple[Any, ...]]:
    """(outcome, message, chunk id) of each IMEI of a batch."""
    with database.read() as connection:
        query = "SELECT outcome, message, chunk_id FROM items WHERE batch_id = ? ORDER BY id"
        return [tuple(row) for row in connection.exec_driver_sql(query, (batch_id,))]


def batch(database: IMEIDatabase, batch_id: int) -> Any:
    """(state, notice, resumes itself, finished at is set) of a batch."""
    query = "SELECT state, notice, resumes_itself, finished_at IS NOT NULL FROM batches WHERE id = ?"
    return one(database, query, batch_id)


def revision(database: IMEIDatabase, batch_id: int) -> int:
    return int(one(database, "SELECT revision FROM batches WHERE id = ?", batch_id))


def test_a_condition_that_does_not_hold_is_raised_in_its_words() -> None:
    guards.expect(True, "never")
    with pytest.raises(WrongStateError, match=r"^0 of 1 rows$"):
        guards.expect(False, "0 of 1 rows")


# Two connections race: the second has moved the row first, and the first must write nothing


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


def test_of_outcomes_that_differ_none_is_written_where_one_imei_was_decided_first(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    chunk = call(database, imeis(3))
    with rival.write() as connection:
        connection.exec_driver_sql("UPDATE items SET outcome = 'refused' WHERE id = ?", (chunk.items[0].item_id,))
    mixed = item_outcomes(chunk, Outcome.DUPLICATE, Outcome.REFUSED, Outcome.DUPLICATE)
    words = "2 of 3 items were undecided"
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        record_outcomes(connection, chunk, mixed)


def test_outcomes_for_other_imeis_than_those_of_the_call_are_not_written(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(3))
    words = "2 outcomes for 3 items"
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        record_outcomes(connection, chunk, item_outcomes(chunk, *[Outcome.REFUSED] * 3)[:2])


def test_a_planned_chunk_that_another_process_claimed_first_is_not_split(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    _, ids = planned(database, 4, size=4)
    with rival.write() as connection:
        write_intents(connection, ids)
    words = "chunk 1 is sending, not planned"
    with nothing_is_written(database), pytest.raises(WrongStateError, match=words), database.write() as connection:
        chunk_moves.split_chunk(connection, ids[0], 1, 2)


def paused(connection: Connection, batch_id: int) -> bool:
    return batch_states.pause(connection, batch_id, "by another")


@pytest.mark.parametrize("first", [paused, chunk_moves.cancel_rest], ids=["paused", "finished"])
def test_a_batch_that_another_process_stopped_first_is_not_paused_again(
    database: IMEIDatabase, rival: IMEIDatabase, first: Callable[[Connection, int], object]
) -> None:
    batch_id, _ = planned(database, 2)
    with rival.write() as connection:
        first(connection, batch_id)
    with nothing_is_written(database), database.write() as connection:
        assert batch_states.pause(connection, batch_id, "mine") is False
        assert batch_states.pause_all(connection, "mine") == []


@pytest.mark.parametrize("first", [batch_states.resume, chunk_moves.cancel_rest], ids=["resumed", "finished"])
def test_a_batch_that_another_process_moved_on_first_is_not_resumed_again(
    database: IMEIDatabase, rival: IMEIDatabase, first: Callable[[Connection, int], object]
) -> None:
    batch_id, _ = planned(database, 2)
    with database.write() as connection:
        batch_states.pause(connection, batch_id, "maintenance", resumes_itself=True)
    with rival.write() as connection:
        first(connection, batch_id)
    with nothing_is_written(database), database.write() as connection:
        assert batch_states.resume(connection, batch_id) is False
        assert batch_states.resume_self_resuming(connection) == 0


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
        connection.exec_driver_sql("UPDATE items SET outcome = 'refused' WHERE imei = ?", (imeis(1)[0],))
    with database.write() as connection:
        assert chunk_moves.cancel_rest(connection, batch_id) == 1
    assert [row[0] for row in outcomes(database, batch_id)] == ["refused", "cancelled"]


# Batches


def test_only_running_batches_with_something_planned_may_send_oldest_first(database: IMEIDatabase) -> None:
    first, stopped, second = (planned(database, 2, first=10 * n)[0] for n in range(3))
    sent = call(database, imeis(2, first=90))
    with database.write() as connection:
        batch_states.pause(connection, stopped, "stopped")
        found = batch_states.running_batches(connection)
    assert found == [batch_states.RunningBatch(batch_id, SERVICE, 0.1) for batch_id in (first, second)]
    assert sent.batch_id not in [running.batch_id for running in found]


def test_a_pause_says_why_and_whether_it_ends_by_itself_and_a_resume_takes_the_words_back(
    database: IMEIDatabase,
) -> None:
    by_hand, by_itself, other = (planned(database, 2, first=10 * n)[0] for n in range(3))
    with database.write() as connection:
        assert batch_states.pause(connection, by_hand, "by a person") is True
        assert batch_states.pause(connection, by_itself, "maintenance", resumes_itself=True) is True
    assert batch(database, by_hand) == ("paused", "by a person", 0, 0)
    assert batch(database, by_itself) == ("paused", "maintenance", 1, 0)
    assert batch(database, other) == ("running", "", 0, 0)
    assert [revision(database, batch_id) for batch_id in (by_hand, by_itself, other)] == [1, 1, 0]
    with database.write() as connection:
        assert batch_states.resume_self_resuming(connection) == 1
    assert batch(database, by_itself) == ("running", "", 0, 0)
    assert batch(database, by_hand)[0] == "paused"
    with database.write() as connection:
        assert batch_states.resume(connection, by_hand) is True
    assert batch(database, by_hand) == ("running", "", 0, 0)
    assert [revision(database, batch_id) for batch_id in (by_hand, by_itself, other)] == [2, 2, 0]


@pytest.mark.parametrize("resumes_itself", [False, True])
def test_every_running_batch_is_paused_at_once(database: IMEIDatabase, resumes_itself: bool) -> None:
    ids = [planned(database, 2, first=10 * n)[0] for n in range(3)]
    with database.write() as connection:
        batch_states.pause(connection, ids[0], "earlier")
        assert batch_states.pause_all(connection, "no money", resumes_itself) == ids[1:]
    assert [batch(database, batch_id)[:3] for batch_id in ids] == [
        ("paused", "earlier", 0),
        *[("paused", "no money", resumes_itself)] * 2,
    ]
    with database.write() as connection:
        batch_states.resume(connection, ids[1])
        assert batch_states.pause_all(connection, "again") == [ids[1]]
    assert batch(database, ids[1])[:3] == ("paused", "again", 0)


def test_a_notice_is_said_once_on_every_running_batch(database: IMEIDatabase) -> None:
    first, stopped, last = (planned(database, 2, first=10 * n)[0] for n in range(3))
    with database.write() as connection:
        batch_states.pause(connection, stopped, "stopped")
        for _ in range(2):
            batch_states.set_notice(connection, "slow")
    assert [batch(database, batch_id)[1] for batch_id in (first, stopped, last)] == ["slow", "stopped", "slow"]
    assert [revision(database, batch_id) for batch_id in (first, stopped, last)] == [1, 1, 1]


def test_the_start_of_a_batch_is_that_of_its_first_call(database: IMEIDatabase) -> None:
    batch_id, _ = planned(database, 2)
    first = utc_now()
    started = "SELECT started_at FROM batches WHERE id = ?"
    with database.write() as connection:
        batch_states.touch(connection, batch_id)
    assert one(database, started, batch_id) is None
    with database.write() as connection:
        for later in (0, 60):
            batch_states.touch(connection, batch_id, starting=first + timedelta(seconds=later))
    assert one(database, started, batch_id) == first.strftime("%Y-%m-%d %H:%M:%S.%f")
    assert revision(database, batch_id) == 3


@pytest.mark.parametrize("state", ["planned", "sending"])
def test_a_batch_with_an_open_chunk_is_not_finished(database: IMEIDatabase, state: str) -> None:
    batch_id, _ = planned(database, 2)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE chunks SET state = ?", (state,))
    with nothing_is_written(database), database.write() as connection:
        batch_states.finish_if_done(connection, batch_id)


@pytest.mark.parametrize("paused_first", [False, True])
def test_a_batch_without_an_open_chunk_is_finished_once_and_no_other_with_it(
    database: IMEIDatabase, paused_first: bool
) -> None:
    batch_id, _ = planned(database, 2)
    other, _ = planned(database, 2, first=10)
    with database.write() as connection:
        if paused_first:
            batch_states.pause(connection, batch_id, "stopped")
        connection.exec_driver_sql("UPDATE batches SET notice = 'slow', revision = 0")
        connection.exec_driver_sql("UPDATE chunks SET state = 'in_doubt' WHERE batch_id = ?", (batch_id,))
        for _ in range(2):
            batch_states.finish_if_done(connection, batch_id)
    assert batch(database, batch_id)[::3] == ("finished", 1)
    assert batch(database, batch_id)[1] == ""
    assert batch(database, other)[::3] == ("running", 0)
    assert (revision(database, batch_id), revision(database, other)) == (1, 0)
    ago = "SELECT 86400 * (julianday('now') - julianday(finished_at)) FROM batches WHERE id = ?"
    assert one(database, ago, batch_id) == pytest.approx(0, abs=10)


# Chunks


def test_planned_chunks_come_oldest_first_and_no_more_than_asked_for(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 7)
    planned(database, 2, first=20)
    with database.write() as connection:
        write_intents(connection, ids[:1])
        assert call_queries.planned_chunks(connection, batch_id, 2) == [(ids[1], 2), (ids[2], 2)]
        assert call_queries.planned_chunks(connection, batch_id, 9) == [(ids[1], 2), (ids[2], 2), (ids[3], 1)]


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
        assert not batch_states.rest_was_cancelled(connection, batch_id)
        chunk_moves.cancel_rest(connection, batch_id)
        assert batch_states.rest_was_cancelled(connection, batch_id)
        assert not batch_states.rest_was_cancelled(connection, batch_id + 1)
        chunk_moves.release(connection, chunk, "not sent")
    assert [state for _, _, state in chunk_rows(database, batch_id)] == ["cancelled"] * 2
    assert [row[0] for row in outcomes(database, batch_id)] == ["cancelled"] * 4
    assert batch(database, batch_id)[0] == "finished"


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
    assert one(database, "SELECT ended_at, result FROM attempts") == ("2020-01-01 00:00:00.000000", "answered")


# Order ids that are known already


def place(database: IMEIDatabase, order_id: str, imei: str, service_id: str | None, batch_id: int | None) -> None:
    database.insert_order(
        {"order_id": order_id, "imei": imei, "status": "Pending", "service_id": service_id, "batch_id": batch_id}
    )


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


# Doubt


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


def repeats(database: IMEIDatabase, batch_id: int) -> list[tuple[Any, ...]]:
    """(size, state, attempt in doubt, cleared) of each chunk of a batch."""
    with database.read() as connection:
        query = "SELECT size, state, doubt_attempt, cleared FROM chunks WHERE batch_id = ? ORDER BY id"
        return [tuple(row) for row in connection.exec_driver_sql(query, (batch_id,))]


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


def repeat_of(database: IMEIDatabase, chunk: Chunk) -> Chunk:
    """The call that repeats this one, which is on the wire, as the next call; newest on the wire."""
    unanswered(database, chunk)
    with database.write() as connection:
        piece = doubt_moves.repeat(connection, chunk, ids_of(chunk), "not placed")
        write_intents(connection, [piece])
        return next(c for c in call_queries.open_chunks(connection, ChunkState.SENDING) if c.chunk_id == piece)


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
        connection.exec_driver_sql("UPDATE items SET outcome = 'refused' WHERE id = ?", (ids_of(chunk)[0],))
        chunk_moves.release(connection, chunk, "no network")
    assert [row[0] for row in outcomes(database, chunk.batch_id)] == ["refused", "in_doubt"]


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


def test_a_repeat_of_a_repeat_remembers_the_first_attempt(database: IMEIDatabase) -> None:
    first = call(database, imeis(1))
    second = repeat_of(database, first)
    third = repeat_of(database, second)
    assert (second.doubt_attempt, third.doubt_attempt) == (first.attempt_id, first.attempt_id)
    assert third.attempt_id > second.attempt_id > first.attempt_id


# An answer that comes when its call was moved


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
        connection.exec_driver_sql("UPDATE items SET outcome = 'refused' WHERE id = ?", (ids_of(chunk)[0],))
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


def test_open_calls_come_with_their_last_attempt_and_what_is_undecided(database: IMEIDatabase) -> None:
    doubtful, flying, later = (call(database, imeis(2, first=10 * n), SERVICE if n else OTHER) for n in range(3))
    with database.write() as connection:
        record_outcomes(connection, doubtful, item_outcomes(doubtful, Outcome.ORDERED, Outcome.IN_DOUBT))
        chunk_moves.release(connection, flying, "not sent")
        (again,) = write_intents(connection, [flying.chunk_id])
        found = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        assert found == [Chunk(doubtful.chunk_id, doubtful.batch_id, OTHER, 1, doubtful.attempt_id, doubtful.items[1:])]
        assert call_queries.open_chunks(connection, ChunkState.SENDING) == [again, later]
        connection.exec_driver_sql("DELETE FROM attempts WHERE chunk_id = ?", (doubtful.chunk_id,))
        assert call_queries.open_chunks(connection, ChunkState.IN_DOUBT)[0].attempt_id == 0


# What a settler asks


def test_labels_lead_to_one_service_and_an_ambiguous_title_to_none(database: IMEIDatabase) -> None:
    rows = [("269", " T-Mobile USA "), ("270", "Same"), ("271", "same "), ("A9", "Letters")]
    with database.write() as connection:
        for position, (service_id, title) in enumerate(rows):
            insert = "INSERT INTO services (service_id, position, title, price, refreshed_at) VALUES (?, ?, ?, 1, 0)"
            connection.exec_driver_sql(insert, (service_id, position, title))
        found = call_queries.service_labels(connection)
    ids = {"269": "269", "270": "270", "271": "271", "a9": "A9"}
    assert found == {**ids, "t-mobile usa": "269", "letters": "A9"}


def test_the_calls_in_doubt_are_those_that_wait_and_those_that_are_being_repeated(database: IMEIDatabase) -> None:
    call(database, imeis(1, first=50))  # on the wire, and no doubt about it
    waiting, repeating = call(database, imeis(2)), call(database, imeis(3, first=10), OTHER)
    unanswered(database, waiting)
    again = repeat_of(database, repeating)
    with database.write() as connection:
        cleared(connection, waiting)
        found = call_queries.doubtful_calls(connection)
    doubt = call_queries.DoubtfulCall
    on_the_wire = (again.chunk_id, again.batch_id, OTHER, repeating.attempt_id, 3)
    cleared_one = (again.chunk_id + 1, waiting.batch_id, SERVICE, waiting.attempt_id, 2)
    assert found == [
        doubt(*on_the_wire, waits=False, paused=False, cleared=False),
        doubt(*cleared_one, waits=True, paused=False, cleared=True),
    ]


def test_a_repeat_that_is_only_planned_is_no_call_in_doubt(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    with database.write() as connection:
        repeated(connection, chunk)
        assert call_queries.doubtful_calls(connection) == []


def test_a_call_in_doubt_says_that_its_batch_is_paused(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 4)
    with database.write() as connection:
        (chunk,) = write_intents(connection, ids[:1])
        in_doubt(connection, chunk)
        assert not batch_states.is_paused(connection, batch_id)
        batch_states.pause(connection, batch_id, "by a person")
        assert [found.paused for found in call_queries.doubtful_calls(connection)] == [True]
        assert batch_states.is_paused(connection, batch_id)
        assert batch_states.unit_price(connection, batch_id) == 0.1


def test_an_attempt_that_placed_nothing_is_not_the_one_in_doubt(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(1))
    with database.write() as connection:
        chunk_moves.release(connection, chunk, "not sent")
        (second,) = write_intents(connection, [chunk.chunk_id])
        in_doubt(connection, second)
        (found,) = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        assert found.attempt_id == second.attempt_id
        connection.exec_driver_sql("UPDATE attempts SET result = 'not placed' WHERE id = ?", (second.attempt_id,))
        connection.exec_driver_sql("UPDATE attempts SET result = NULL WHERE id = ?", (chunk.attempt_id,))
        (found,) = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        assert found.attempt_id == chunk.attempt_id
        assert [doubtful.attempt_id for doubtful in call_queries.doubtful_calls(connection)] == [chunk.attempt_id]


def test_the_orders_around_a_call_are_those_that_our_calls_placed_newest_first(database: IMEIDatabase) -> None:
    first, other = call(database, imeis(2)), call(database, imeis(2, first=10), OTHER)
    answered(database, first, 1)
    answered(database, other, 11)
    second, third = call(database, imeis(2, first=20)), call(database, imeis(1, first=30))
    answered(database, third, 31)
    answered(database, second, 21)
    place(database, "99", imeis(100)[99], SERVICE, None)
    existing = call(database, imeis(1, first=40))
    unanswered(database, existing)
    with database.write() as connection:
        last = call_queries.newest_order(connection)
        linked(connection, existing)
        assert call_queries.newest_order(connection) > last
        connection.exec_driver_sql("UPDATE orders SET attempt_id = 1 WHERE order_id = '50'")
        before = call_queries.orders_before
        assert before(connection, 7, 9) == ["22", "21", "31", "12", "11", "2", "1"]
        assert before(connection, 7, 3) == ["22", "21", "31"]
        assert before(connection, 5, 9, SERVICE) == ["31", "2", "1"]
        assert before(connection, last + 1, 9)[0] == "22"  # neither an imported one nor one that existed before
        assert before(connection, 0, 9) == []
        since = call_queries.orders_since
        found = since(connection, 4, last, 9, SERVICE)
        assert list(found.items()) == [("22", second.attempt_id), ("21", second.attempt_id), ("31", third.attempt_id)]
        assert list(since(connection, 4, last, 2, SERVICE)) == ["22", "21"]
        assert list(since(connection, 2, last, 9, OTHER)) == ["12", "11"]
        assert list(since(connection, 4, last + 1, 9, SERVICE)) == ["22", "21", "31"]
        assert list(since(connection, 4, 6, 9, SERVICE)) == ["21", "31"]
        assert call_queries.known_when_sent(connection, third.attempt_id) == 4
        assert call_queries.known_when_sent(connection, 99) == 0


def test_without_orders_the_newest_one_is_none(database: IMEIDatabase) -> None:
    with database.read() as connection:
        assert call_queries.newest_order(connection) == 0


def test_the_owner_of_an_order_is_its_imei_and_the_attempt_that_placed_it(database: IMEIDatabase) -> None:
    first = call(database, imeis(2))
    answered(database, first, 1)
    place(database, "99", imeis(100)[99], SERVICE, None)
    with database.read() as connection:
        owners = call_queries.order_owners(connection, ["1", "99", "77"])
        assert owners == {"1": (imeis(1)[0], first.attempt_id), "99": (imeis(100)[99], 0)}


def test_of_a_call_in_doubt_it_is_known_of_which_imeis_the_provider_says_that_they_are_ordered(
    database: IMEIDatabase,
) -> None:
    chunk, other = call(database, imeis(3)), call(database, imeis(1, first=10))
    unsettled = Outcome.IN_DOUBT
    answer = item_outcomes(chunk, unsettled, unsettled, Outcome.REFUSED, message=SAYS_IT_EXISTS)
    answer[1] = answer[1]._replace(message="sent, but the answer does not name it")
    with database.write() as connection:
        record_outcomes(connection, chunk, answer)
        record_outcomes(connection, other, item_outcomes(other, unsettled, message=SAYS_IT_EXISTS))
        assert call_queries.claimed_to_exist(connection, chunk.chunk_id) == {ids_of(chunk)[0]}


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


def among(connection: Connection, numbers: Sequence[str]) -> list[tuple[int, str, str]]:
    """(batch, service, IMEI) of what is planned of these IMEIs."""
    found = call_queries.planned_among(connection, [imei[:14] for imei in numbers])
    return [(item.batch_id, item.service_id, item.imei) for item in found]


def test_planned_among_are_the_imeis_that_running_batches_have_not_sent(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 4)
    stopped, _ = planned(database, 1, first=10)
    numbers = [*imeis(4), *imeis(1, first=10)]
    with database.write() as connection:
        write_intents(connection, ids[:1])
        batch_states.pause(connection, stopped, "by a person")
        found = among(connection, [*numbers[:3], *numbers[4:]])
        assert found == [(batch_id, SERVICE, numbers[2])]
        batch_states.resume(connection, stopped)
        found = among(connection, numbers)
        assert sorted(found) == [(batch_id, SERVICE, n) for n in numbers[2:4]] + [(stopped, SERVICE, numbers[4])]
        chunk_moves.leave_out(connection, SERVICE, numbers[2], "ordered already")
        assert among(connection, numbers[:3]) == []


@pytest.mark.parametrize(
    ("made", "started", "older"),
    [(0.0, False, False), (59.0, False, False), (61.0, False, True), (0.0, True, True), (-5.0, False, True)],
    ids=["now", "just now", "before", "started", "clock put back"],
)
def test_planned_calls_are_older_work_unless_their_batch_was_made_just_now(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, made: float, started: bool, older: bool
) -> None:
    now = utc_now()
    monkeypatch.setattr(batch_states, "utc_now", lambda: now)
    batch_id, _ = planned(database, 2)
    with database.write() as connection:
        moment = (now - timedelta(seconds=made)).strftime("%Y-%m-%d %H:%M:%S.%f")
        connection.exec_driver_sql("UPDATE batches SET created_at = ?", (moment,))
        if started:
            batch_states.touch(connection, batch_id, starting=now)
        assert bool(batch_states.older_batches(connection, 60.0)) is older
        batch_states.pause(connection, batch_id, "by a person")
        assert bool(batch_states.older_batches(connection, 60.0)) is older  # it may be resumed


def test_a_running_batch_of_which_everything_is_sent_holds_no_older_work(database: IMEIDatabase) -> None:
    planned(database, 2)
    call(database, imeis(1, first=10))
    with database.write() as connection:
        assert batch_states.older_batches(connection, -1.0) == {1}  # the planned one


def test_owners_of_more_orders_than_fit_one_list_are_found(database: IMEIDatabase) -> None:
    count = 2 * IN_LIST + 1
    with database.write() as connection:
        rows = [{"order_id": str(n), "imei": "1", "status": "Pending"} for n in range(count)]
        connection.execute(orders.insert(), rows)
        assert len(call_queries.order_owners(connection, [str(n) for n in range(count)])) == count
    assert [len(part) for part in guards.parts(range(count))] == [IN_LIST, IN_LIST, 1]


def test_attempts_are_ordered_by_their_ids(database: IMEIDatabase) -> None:
    with database.read() as connection:
        assert call_queries.newest_attempt(connection) == 0
    first, second = call(database, imeis(1)), call(database, imeis(1, first=10))
    with database.read() as connection:
        assert call_queries.newest_attempt(connection) == second.attempt_id
        assert first.attempt_id < second.attempt_id
        assert call_queries.attempt_message(connection, 99) == ""


def test_the_age_of_an_attempt_counts_from_its_beginning_and_never_backwards(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = call(database, imeis(1))
    now = utc_now()
    monkeypatch.setattr(call_queries, "utc_now", lambda: now)

    def at(column: str, seconds: float | None) -> None:
        value = None if seconds is None else (now - timedelta(seconds=seconds)).isoformat(" ")
        connection.exec_driver_sql(f"UPDATE attempts SET {column} = ?", (value,))

    with database.write() as connection:
        at("sent_at", 50.0)
        assert call_queries.seconds_since(connection, chunk.attempt_id) == 50.0
        assert call_queries.attempt_ages(connection, 60.0) == [50.0]
        assert call_queries.attempt_ages(connection, 50.0) == []
        at("ended_at", 20.0)
        assert call_queries.seconds_since(connection, chunk.attempt_id) == 50.0
        at("sent_at", -3600.0)
        assert call_queries.seconds_since(connection, chunk.attempt_id) == 0.0
        assert call_queries.attempt_ages(connection, 60.0) == [0.0]
        assert call_queries.seconds_since(connection, 99) == 0.0


# What an import changes


def test_of_planned_imeis_it_is_known_whether_an_order_of_them_was_final_already(database: IMEIDatabase) -> None:
    _, ids = planned(database, 4)
    with database.write() as connection:
        write_intents(connection, ids[1:])
        rows = [("1", 0, SERVICE, "Completed"), ("2", 1, SERVICE, "Pending"), ("3", 1, OTHER, "Completed")]
        for order_id, n, service_id, status in rows:
            order = {"order_id": order_id, "imei": imeis(4)[n], "status": status, "service_id": service_id}
            connection.execute(orders.insert(), order)
        last = int(connection.exec_driver_sql("SELECT max(id) FROM orders").scalar_one())
        found = call_queries.planned_items(connection, imeis(4), last)
        assert sorted(found) == [(SERVICE, imeis(1)[0], True), (SERVICE, imeis(2)[1], False)]
        assert call_queries.planned_items(connection, imeis(1), last - 2) == [(SERVICE, imeis(1)[0], True)]
        assert call_queries.planned_items(connection, imeis(1), 0) == [(SERVICE, imeis(1)[0], False)]
        assert call_queries.planned_items(connection, imeis(2, first=50), last) == []


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


def test_a_planned_imei_of_which_the_provider_lists_an_order_is_left_out_and_the_order_is_stored(
    database: IMEIDatabase,
) -> None:
    """Another service that has the same IMEI planned goes on."""
    batch_id, [chunk_id] = planned(database, 2)
    other, _ = planned(database, 2, service_id=OTHER)
    first, second = imeis(2)
    with database.write() as connection:
        chunk_moves.leave_out_existing(connection, batch_id, SERVICE, listed("7", first))
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
        connection.exec_driver_sql("UPDATE items SET message = 'order 0' WHERE imei = ?", (numbers[3],))
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
