"""What is in doubt in numbers and in small lists, counted by SQLite."""

import pytest
from handmade_calls import call, unanswered
from simulated_provider import imeis

from database import IMEIDatabase
from orders import SAYS_IT_EXISTS, Chunk, Outcome
from storage import batch_doubt, doubt_moves


@pytest.fixture(name="chunk")
def chunk_fixture(database: IMEIDatabase) -> Chunk:
    """A call of four IMEIs in doubt; the provider says that it has an order of the third and the fourth."""
    call(database, imeis(1, first=70))
    found = call(database, imeis(4))
    unanswered(database, found, ["", "lost", SAYS_IT_EXISTS, SAYS_IT_EXISTS])
    return found


def doubt(database: IMEIDatabase, chunk: Chunk) -> batch_doubt.Doubt:
    with database.read() as connection:
        return batch_doubt.doubt_of(connection, chunk.batch_id)


def test_a_doubt_is_counted_by_call_and_message(database: IMEIDatabase, chunk: Chunk) -> None:
    found = doubt(database, chunk)
    assert (found.count, found.undecided, found.cleared) == (4, 4, 0)
    assert sorted(found.answers) == sorted(
        [(chunk.chunk_id, "", 1), (chunk.chunk_id, "lost", 1), (chunk.chunk_id, SAYS_IT_EXISTS, 2)]
    )
    with database.write() as connection:
        doubt_moves.clear(connection, chunk, [chunk.items[0].item_id], "cleared")
    found = doubt(database, chunk)
    assert (found.count, found.undecided, found.cleared) == (4, 3, 1)


def test_what_the_provider_says_it_has_comes_first_and_no_more_than_asked_for_is_read(
    database: IMEIDatabase, chunk: Chunk
) -> None:
    ids = [item.item_id for item in chunk.items]
    assert [item.item_id for item in batch_doubt.undecided_items(database, chunk.batch_id, 3)] == [*ids[2:], ids[0]]
    with database.write() as connection:
        doubt_moves.clear(connection, chunk, ids[:2], "cleared")
        assert batch_doubt.undecided_ids(connection, chunk.batch_id) == ids[2:]
    assert batch_doubt.cleared_imeis(database, chunk.batch_id, 1) == [chunk.items[0].imei]
    assert [item.item_id for item in batch_doubt.undecided_items(database, chunk.batch_id, 9)] == ids[2:]


def test_the_imeis_in_doubt_are_those_of_one_batch(database: IMEIDatabase, chunk: Chunk) -> None:
    other = call(database, imeis(1, first=90))
    unanswered(database, other)
    with database.read() as connection:
        found = batch_doubt.imeis_in_doubt(connection, chunk.batch_id)
        assert found == {item.imei: item.item_id for item in chunk.items}
        assert len(found) == 4
        count, cost = batch_doubt.at_stake(connection)
    assert (count, round(cost, 6)) == (5, 0.5)


def test_the_mark_of_a_doubt_changes_with_what_is_undecided_and_not_with_its_words(
    database: IMEIDatabase, chunk: Chunk
) -> None:
    marks = [doubt(database, chunk).mark]
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE items SET message = 'other words'")
    assert doubt(database, chunk).mark == marks[0]
    for item in chunk.items[:2]:
        with database.write() as connection:
            doubt_moves.give_up(connection, chunk, [item.item_id], Outcome.CANCELLED, "not placed")
        marks.append(doubt(database, chunk).mark)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE attempts SET sent_at = '2026-01-01 00:00:00'")
    marks.append(doubt(database, chunk).mark)
    assert len(set(marks)) == 4
