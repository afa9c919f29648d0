"""What a person decided about doubt is undone as long as nothing has followed from it."""

import pytest
from handmade_calls import call, nothing_is_written, outcome, unanswered
from simulated_provider import imeis

from database import IMEIDatabase
from orders import Chunk, ChunkState
from storage import batch_undo, call_queries, doubt_moves
from storage.guards import WrongStateError
from submission.decisions import was_not_placed, was_placed


@pytest.fixture(name="chunk")
def chunk_fixture(database: IMEIDatabase) -> Chunk:
    """A call in doubt of two IMEIs; a person gave the order of the first."""
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    was_placed(database, chunk.items[0].item_id, "77")
    return chunk


def test_an_order_that_a_person_gave_is_removed_and_its_imei_in_doubt_again(
    database: IMEIDatabase, chunk: Chunk
) -> None:
    with database.write() as connection:
        [named] = batch_undo.named_by_person(connection, chunk.batch_id, 10)
        assert (named.order_id, named.imei) == ("77", chunk.items[0].imei)
        batch_undo.withdraw(connection, chunk.batch_id, "77", "taken back")
        assert batch_undo.named_by_person(connection, chunk.batch_id, 10) == []
    assert outcome(database, chunk) == [("in_doubt", ""), ("in_doubt", "")]


@pytest.mark.parametrize("order_id", ["78", ""])
def test_an_order_that_nobody_gave_is_not_removed(database: IMEIDatabase, chunk: Chunk, order_id: str) -> None:
    with (
        nothing_is_written(database),
        pytest.raises(WrongStateError, match="was not recorded by hand"),
        database.write() as connection,
    ):
        batch_undo.withdraw(connection, chunk.batch_id, order_id, "taken back")


def test_an_order_with_its_result_stays(database: IMEIDatabase, chunk: Chunk) -> None:
    database.update_order_status("77", "Completed")
    with (
        nothing_is_written(database),
        pytest.raises(WrongStateError, match="has its result"),
        database.write() as connection,
    ):
        batch_undo.withdraw(connection, chunk.batch_id, "77", "taken back")


def test_a_clearing_is_undone_until_its_imeis_are_planned_again(database: IMEIDatabase, chunk: Chunk) -> None:
    second = chunk.items[1].item_id
    assert was_not_placed(database, [second], 0.0) == 1
    with database.write() as connection:
        assert batch_undo.undo_clearing(connection, chunk.batch_id, "taken back") == 1
        assert batch_undo.undo_clearing(connection, chunk.batch_id, "taken back") == 0
    assert was_not_placed(database, [second], 0.0) == 1
    with database.write() as connection:
        [cleared] = [call for call in call_queries.open_chunks(connection, ChunkState.IN_DOUBT) if call.cleared]
        doubt_moves.repeat(connection, cleared, [second], "again")
        assert batch_undo.undo_clearing(connection, chunk.batch_id, "taken back") == 0
