"""A database that is older than the answers kept beside it orders nothing before its orders are restored."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from handmade_calls import call, planned
from older_copies import FEW, MANY, KnowsNothing, browser_on, order_all_and_put_back, put_in_place, restore_orders
from plain_sql import run
from planted_kills import CHUNK
from simulated_provider import SERVICE, Knobs, Simulator, imeis, judge, system
from web_client import words

from database import IMEIDatabase
from orders import Chunk, ChunkState
from settings import Settings
from storage import account_mark, batch_states, call_queries
from submission import older_copy as batch_older_copy
from submission.checkpoints import Checkpoints
from submission.older_copy import (
    RESTORED,
    SENTENCE,
    has_unrecorded_answers,
    newest_stop,
    reopen_answered,
    stop_all,
    stop_restored,
    stop_where_answered,
)

pytestmark = pytest.mark.usefixtures("quick_looks")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.25, duplicates="never")) as running:
        yield running


def test_an_empty_file_is_recognised_before_anything_is_ordered_with_it(
    simulator: Simulator, settings: Settings
) -> None:
    with IMEIDatabase(settings.database_path) as database, system(simulator, database, chunk_size=CHUNK) as running:
        assert running.submit_batch(imeis(FEW), SERVICE).successful == FEW
    put_in_place(None, settings.database_path)

    with IMEIDatabase(settings.database_path) as database:
        browser = browser_on(database, settings)
        assert SENTENCE in words(browser.get("/status"))
        preview = browser.paste(imeis(FEW), SERVICE)
        assert SENTENCE in words(browser.get(preview))
        assert browser.confirm(preview).location == preview
        with system(simulator, database, chunk_size=CHUNK) as running:
            restore_orders(running, database)
            assert browser_on(database, settings).get("/health").get_json()["checks"]["environment"]["status"] == "ok"
            again = running.submit_batch(imeis(FEW + 3), SERVICE)
        assert (again.duplicates, again.successful) == (FEW, 3)
        assert again.batch_id == 2  # and not the one whose answers are kept
        assert judge(simulator, database) == (0, 0)
        assert len(simulator.charges()) == FEW + 3


def test_a_short_list_and_kept_answers_restore_a_batch_that_the_copy_never_had(
    simulator: Simulator, settings: Settings
) -> None:
    order_all_and_put_back(simulator, settings, planned=False)
    with IMEIDatabase(settings.database_path) as database:
        browser_on(database, settings)
        assert batch_older_copy.older_copy_objection(database) == SENTENCE
        with system(simulator, database, chunk_size=CHUNK) as running:
            assert restore_orders(running, database)
            assert batch_older_copy.older_copy_objection(database) == ""
            assert running.submit_batch(imeis(MANY), SERVICE).duplicates == MANY
        assert judge(simulator, database) == (0, 0)
        assert len(simulator.charges()) == MANY


def test_the_guard_stays_where_neither_list_nor_ids_show_what_was_ordered(
    simulator: Simulator, settings: Settings
) -> None:
    order_all_and_put_back(simulator, settings, planned=False)
    with IMEIDatabase(settings.database_path) as database:
        browser = browser_on(database, settings)
        with system(simulator, database, client_class=KnowsNothing, chunk_size=CHUNK) as running:
            assert not restore_orders(running, database)
        assert batch_older_copy.older_copy_objection(database) == SENTENCE
        preview = browser.paste(imeis(MANY), SERVICE)
        assert SENTENCE in words(browser.get(preview))
        assert browser.confirm(preview).location == preview
        assert judge(simulator, database) == (0, 0)  # every order is restored, most without their service
        with system(simulator, database, chunk_size=CHUNK) as running:
            assert restore_orders(running, database)  # and named once the provider answers
            assert running.submit_batch(imeis(MANY), SERVICE).duplicates == MANY
        assert len(simulator.charges()) == MANY


def test_the_loop_itself_sends_nothing_of_an_older_copy(simulator: Simulator, database: IMEIDatabase) -> None:
    """Whoever has created or resumed the batch, and whether or not they asked first."""
    stop_restored(database, Checkpoints(database.path.parent / "checkpoints"))
    batch_id, _ = planned(database, 2)
    with system(simulator, database) as running:
        looks = iter(range(20))
        running.run(threading.Event(), lambda: next(looks, None) is None)
        assert simulator.charges() == []
        batch_older_copy.accept_older_copy(database, newest_stop(database))
        assert running.run_batch(batch_id).successful == len(simulator.charges()) == 2


def test_a_database_beside_its_own_answers_is_no_older_copy(simulator: Simulator, database: IMEIDatabase) -> None:
    with system(simulator, database, chunk_size=CHUNK) as running:
        batch_id = running.submit_batch(imeis(2 * CHUNK), SERVICE).batch_id
        running.run_batch(batch_id)
    assert not batch_older_copy.recognise_older_copy(database, Checkpoints(database.path.parent / "checkpoints"))
    assert batch_older_copy.older_copy_objection(database) == ""


def test_an_answer_that_is_kept_to_an_account_that_is_not_here_stops_an_older_copy(
    settings: Settings, database: IMEIDatabase
) -> None:
    """Another account would send again what this one was paid for."""
    batch_id, [chunk_id, *_] = planned(database, 4)
    chunk = Chunk(chunk_id, batch_id, SERVICE, 1, 1, (), account="b")
    kept = Checkpoints(settings.data_dir / "checkpoints")
    stop_where_answered(database, kept.of_account("b"))
    assert batch_older_copy.older_copy_objection(database) == ""
    kept.of_account("b").keep(chunk, b"<result/>")
    assert list(kept.of_accounts()) == ["b"]
    stop_where_answered(database, kept.of_account("b"))
    assert batch_older_copy.older_copy_objection(database) == SENTENCE


@pytest.mark.parametrize("kept_attempt", [0, 3])
def test_a_planned_call_that_was_answered_is_sending_again_under_the_attempt_that_was_answered(
    settings: Settings, database: IMEIDatabase, kept_attempt: int
) -> None:
    """So its kept answer is found. Another planned call stays planned, and waits for a person as everything does."""
    batch_id, [first, second] = planned(database, 4)
    kept = Checkpoints(settings.data_dir / "checkpoints")
    kept.keep(Chunk(first, batch_id, SERVICE, kept_attempt, 1, ()), b"<result/>")
    assert has_unrecorded_answers(database, kept) is bool(kept_attempt)
    with database.write() as connection:
        reopen_answered(connection, kept, "b")
        found = call_queries.open_chunks(connection, ChunkState.SENDING)
        left = [chunk_id for chunk_id, _ in call_queries.planned_chunks(connection, batch_id, 9, "main")]
        is_running = bool(batch_states.running_batches(connection))
    answered = [(first, 3, "b")] if kept_attempt else []
    assert [(chunk.chunk_id, chunk.attempt, chunk.account) for chunk in found] == answered
    assert left == ([second] if kept_attempt else [first, second])
    assert is_running is not bool(kept_attempt)
    assert batch_older_copy.older_copy_objection(database) == (SENTENCE if kept_attempt else "")


@pytest.mark.parametrize("account", ["main", "b"])
def test_an_answer_to_a_call_that_the_database_never_had_stops_it_once(
    settings: Settings, database: IMEIDatabase, account: str
) -> None:
    """Such as one that repeated a call in doubt, or a part of one that was too long: a person would repeat it again."""
    batch_id, [chunk_id] = planned(database, 2)
    with database.write() as connection:
        run(connection, "UPDATE batches SET state = 'finished'")
        run(connection, "UPDATE chunks SET state = 'in_doubt'")
        run(connection, "UPDATE items SET outcome = 'in_doubt'")
    everything = Checkpoints(settings.data_dir / "checkpoints")
    kept = everything.of_account(account)
    seems_so = b"\nhammer-checkpoint 77 1 3 " + b"0" * 64 + b"\nabc"
    kept.keep(Chunk(chunk_id, batch_id, SERVICE, 1, 1, ()), b"<result>" + seems_so + b"</result>")
    assert not has_unrecorded_answers(database, everything)
    kept.keep(Chunk(chunk_id + 5, batch_id, SERVICE, 1, 1, ()), b"<result/>")
    assert has_unrecorded_answers(database, everything)
    with database.write() as connection:
        reopen_answered(connection, kept, account)
    assert batch_older_copy.older_copy_objection(database) == SENTENCE
    batch_older_copy.accept_older_copy(database, newest_stop(database))
    with database.write() as connection:
        reopen_answered(connection, kept, account)
    assert batch_older_copy.older_copy_objection(database) == ""
    assert planned(database, 1, first=10)[1] == [chunk_id + 6]  # its answer would be taken for that of the lost one


def test_a_call_on_the_wire_is_recorded_by_the_answer_to_its_newest_attempt(
    settings: Settings, database: IMEIDatabase
) -> None:
    sent = call(database, imeis(2))
    kept = Checkpoints(settings.data_dir / "checkpoints")
    kept.keep(sent, b"<result/>")
    assert not has_unrecorded_answers(database, kept)
    kept.keep(replace(sent, attempt=3), b"<result/>")
    with database.write() as connection:
        reopen_answered(connection, kept, "main")
        [found] = call_queries.open_chunks(connection, ChunkState.SENDING)
        ended = run(connection, "SELECT result FROM attempts WHERE id = ?", sent.attempt_id).scalar_one()
    assert (found.chunk_id, found.attempt, ended) == (sent.chunk_id, 3, "not placed")
    assert batch_older_copy.older_copy_objection(database) == SENTENCE


@pytest.mark.parametrize(
    "was",
    [
        "UPDATE chunks SET doubt_attempt = 1",
        "UPDATE chunks SET account = 'b'",
        "UPDATE batches SET is_stopped = true",
    ],
    ids=["it repeats a doubtful call", "another account sent it before", "its batch was stopped"],
)
def test_a_call_on_the_wire_that_cannot_be_released_is_recorded_by_its_newest_answer(
    settings: Settings, database: IMEIDatabase, was: str
) -> None:
    """Else no start would ever come beyond it."""
    sent = call(database, imeis(2))
    with database.write() as connection:
        run(connection, was)
    kept = Checkpoints(settings.data_dir / "checkpoints")
    kept.keep(replace(sent, attempt=2), b"<result/>")
    with database.write() as connection:
        reopen_answered(connection, kept, "main")
        [found] = call_queries.open_chunks(connection, ChunkState.SENDING)
    assert (found.chunk_id, found.attempt, found.account) == (sent.chunk_id, 2, "main")
    assert kept.answer_of(found) == b"<result/>"
    assert batch_older_copy.older_copy_objection(database) == SENTENCE


@pytest.mark.parametrize("is_adopted", [True, False])
def test_an_answer_that_is_kept_beside_an_adopted_copy_may_be_of_the_account_before(
    settings: Settings, database: IMEIDatabase, is_adopted: bool
) -> None:
    """What it leaves in doubt is settled by a person: the list of this account does not show what another one paid."""
    batch_id, [chunk_id] = planned(database, 2)
    if is_adopted:
        with database.write() as connection:
            account_mark.write_adoption(connection)
    kept = Checkpoints(settings.data_dir / "checkpoints")
    kept.keep(Chunk(chunk_id, batch_id, SERVICE, 2, 1, ()), b"cut in the middle")
    with database.write() as connection:
        reopen_answered(connection, kept, "main")
        [found] = call_queries.open_chunks(connection, ChunkState.SENDING)
        assert account_mark.adopted_after(connection, "main") == (found.attempt_id if is_adopted else 0)


def test_a_newer_call_that_is_noted_stops_an_older_copy_once(settings: Settings, database: IMEIDatabase) -> None:
    """At the start of a leader, too, and of whichever account: no answer to it may be kept."""
    kept = Checkpoints(settings.data_dir / "checkpoints")
    sent = call(database, imeis(1))
    kept.note_call(sent.attempt_id)
    assert not batch_older_copy.recognise_older_copy(database, kept)
    kept.of_account("b").note_call(sent.attempt_id + 3)
    assert batch_older_copy.recognise_older_copy(database, kept)
    assert batch_older_copy.older_copy_objection(database) == RESTORED
    batch_older_copy.accept_older_copy(database, newest_stop(database))
    assert not batch_older_copy.recognise_older_copy(database, kept)
    assert call(database, imeis(1, 5)).attempt_id == sent.attempt_id + 4
    kept.note_call(sent.attempt_id + 5)
    with database.write() as connection:
        reopen_answered(connection, kept, "main")
    assert batch_older_copy.older_copy_objection(database) == RESTORED
    assert call(database, imeis(1, 6)).attempt_id == sent.attempt_id + 6


def test_newer_answers_of_a_batch_that_is_known_say_so(settings: Settings, database: IMEIDatabase) -> None:
    """Then the list may be short: what it leaves out is kept."""
    kept = Checkpoints(settings.data_dir / "checkpoints")
    sent = call(database, imeis(1))
    kept.note_call(sent.attempt_id + 1)
    kept.keep(replace(sent, attempt=2), b"<result/>")
    assert batch_older_copy.recognise_older_copy(database, kept)
    assert batch_older_copy.older_copy_objection(database) == SENTENCE


def test_an_answer_that_is_recorded_while_all_is_stopped_is_no_new_stop(
    settings: Settings, database: IMEIDatabase
) -> None:
    """A rebuild that runs meanwhile need not be repeated for it; for a newer call it must be."""
    kept = Checkpoints(settings.data_dir / "checkpoints")
    sent = call(database, imeis(2))
    stop_restored(database, kept)
    stop = newest_stop(database)
    kept.keep(replace(sent, attempt=2), b"<result/>")
    with database.write() as connection:
        reopen_answered(connection, kept, "main")
        stop_all(connection, only_answers=True)
    assert newest_stop(database) == stop
    kept.note_call(sent.attempt_id + 9)
    with database.write() as connection:
        reopen_answered(connection, kept, "main")
    assert not batch_older_copy.accept_older_copy(database, stop)
    stop = newest_stop(database)
    with database.write() as connection:
        stop_all(connection)
    assert not batch_older_copy.accept_older_copy(database, stop)
    assert batch_older_copy.older_copy_objection(database)
    assert batch_older_copy.accept_older_copy(database, newest_stop(database))
    with database.write() as connection:
        stop_all(connection, only_answers=True)
    assert not batch_older_copy.accept_older_copy(database, stop)
