"""What is in doubt in numbers and in small lists, counted by SQLite."""

import pytest
from handmade_calls import call, unanswered
from plain_sql import run
from simulated_provider import imeis

from database import IMEIDatabase
from orders import FOUND_IN_LIST, NAMED_BY_PERSON, SAYS_IT_EXISTS, Chunk, ItemOutcome, Outcome
from storage import batch_doubt, call_queries, call_records, doubt_moves
from storage.batch_doubt import Settled


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


@pytest.mark.parametrize(
    ("outcome", "words", "counts_as"),
    [
        ("ordered", FOUND_IN_LIST, "found"),
        ("ordered", NAMED_BY_PERSON, "named"),
        ("duplicate", "ordered before: the provider says so, and this call placed nothing", "existed"),
        ("duplicate", "ordered already: order 77", "existed"),
        ("cancelled", "cancelled: it was not placed by the provider's list", "not_placed"),
        ("cancelled", "cancelled: it was not placed, as a person decided", "not_placed"),
        ("cancelled", "not placed, as a person decided; will be sent again", "not_placed"),
        ("cancelled", "cancelled before it was sent", ""),
        ("ordered", "", ""),
        ("in_doubt", FOUND_IN_LIST, ""),
        ("refused", NAMED_BY_PERSON, ""),
        ("ordered", "ordered already: order 77", ""),
    ],
)
def test_what_was_in_doubt_is_counted_by_what_became_of_it(
    database: IMEIDatabase, chunk: Chunk, outcome: str, words: str, counts_as: str
) -> None:
    """In the words that settlement and decisions write. Nothing of another batch counts."""
    with database.write() as connection:
        change = "UPDATE items SET outcome = ?, message = ? WHERE id IN (?, ?)"
        run(connection, change, outcome, words or None, *(item.item_id for item in chunk.items[:2]))
        run(connection, "UPDATE items SET outcome = ?, message = ? WHERE batch_id <> ?", outcome, words, chunk.batch_id)
    counts = dict.fromkeys(("found", "sent_again", "existed", "named", "not_placed"), 0)
    found = batch_doubt.settled(database, chunk.batch_id)
    assert found == Settled(**counts | ({counts_as: 2} if counts_as else {}))
    assert (found.total, found.by_itself) == (2 * bool(counts_as), 2 * (counts_as not in ("", "named")))


def test_what_was_left_out_before_it_was_sent_was_never_in_doubt(database: IMEIDatabase, chunk: Chunk) -> None:
    with database.write() as connection:
        words = "ordered already: order 77"
        run(connection, "UPDATE items SET outcome = 'duplicate', message = ?, chunk_id = NULL", words)
    assert batch_doubt.settled(database, chunk.batch_id).existed == 0


def test_an_imei_that_a_repeated_call_ordered_counts_as_sent_again(database: IMEIDatabase, chunk: Chunk) -> None:
    with database.write() as connection:
        piece = doubt_moves.repeat(connection, chunk, [chunk.items[0].item_id], "again")
        [again] = call_records.write_intents(connection, [piece])
        item = again.items[0]
        ordered = ItemOutcome(item.item_id, item.imei, Outcome.ORDERED, "77")
        call_records.record_answers(connection, [call_records.record_of(again, [ordered])])
    found = batch_doubt.settled(database, chunk.batch_id)
    assert (found.sent_again, found.total) == (1, 1)


def test_a_call_in_doubt_has_a_reason_as_soon_as_a_look_gave_one(database: IMEIDatabase, chunk: Chunk) -> None:
    """Before that its message is what the answer said. What is settled of it does not count."""
    with database.write() as connection:
        run(connection, "UPDATE attempts SET message = 'no answer' WHERE id = ?", chunk.attempt_id)
        run(connection, "UPDATE chunks SET message = 'no answer' WHERE id = ?", chunk.chunk_id)
        doubt_moves.give_up(connection, chunk, [chunk.items[0].item_id], Outcome.CANCELLED, "not placed")
    [found] = batch_doubt.calls_in_doubt(database, chunk.batch_id)
    assert (found.chunk_id, found.imeis, found.message, found.reason) == (chunk.chunk_id, 3, "no answer", "")
    with database.write() as connection:
        doubt_moves.explain(connection, chunk.chunk_id, "the list is too short")
        assert found.sent_at == call_queries.sent_at(connection, chunk.attempt_id)
        doubt_moves.clear(connection, chunk, [chunk.items[1].item_id], "cleared")
    first, piece = batch_doubt.calls_in_doubt(database, chunk.batch_id)
    assert (first.imeis, first.reason, first.cleared) == (2, "the list is too short", False)
    assert (piece.imeis, piece.message, piece.cleared, piece.sent_at) == (1, "no answer", True, first.sent_at)


def test_an_imei_is_in_doubt_only_in_its_own_batch_and_until_it_is_settled(
    database: IMEIDatabase, chunk: Chunk
) -> None:
    item = chunk.items[0]
    assert batch_doubt.imei_in_doubt(database, chunk.batch_id, item.item_id) == item.imei
    assert batch_doubt.imei_in_doubt(database, chunk.batch_id + 1, item.item_id) is None
    with database.write() as connection:
        doubt_moves.give_up(connection, chunk, [item.item_id], Outcome.CANCELLED, "not placed")
    assert batch_doubt.imei_in_doubt(database, chunk.batch_id, item.item_id) is None
