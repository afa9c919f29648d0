"""States of batches: start, pause, resume and end, each guarded by the old state."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from call_moves import batch, revision
from handmade_calls import (
    call,
    nothing_is_written,
    one,
    planned,
)
from plain_sql import run
from simulated_provider import SERVICE, imeis
from sqlalchemy import Connection

from database import IMEIDatabase, utc_now, write_setting
from storage import batch_states, chunk_moves
from storage.batch_queries import progress
from storage.history_mark import OLDER_COPY


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


def test_only_running_batches_with_something_planned_may_send_oldest_first(database: IMEIDatabase) -> None:
    first, stopped, second = (planned(database, 2, first=10 * n)[0] for n in range(3))
    sent = call(database, imeis(2, first=90))
    with database.write() as connection:
        batch_states.pause(connection, stopped, "stopped")
        found = batch_states.running_batches(connection)
    assert found == [batch_states.RunningBatch(batch_id, SERVICE, 0.1) for batch_id in (first, second)]
    assert sent.batch_id not in [running.batch_id for running in found]


def test_no_batch_of_an_older_copy_may_send_until_its_orders_are_restored(database: IMEIDatabase) -> None:
    planned(database, 2)
    found = []
    for words in ("restored from a backup", ""):
        with database.write() as connection:
            write_setting(connection, OLDER_COPY, words)
            found.append(len(batch_states.running_batches(connection)))
    assert found == [0, 1]


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
            batch_states.start(connection, batch_id, first + timedelta(seconds=later))
    assert one(database, started, batch_id) in (first, first.strftime("%Y-%m-%d %H:%M:%S.%f"))
    assert revision(database, batch_id) == 3


@pytest.mark.parametrize("state", ["planned", "sending"])
def test_a_batch_with_an_open_chunk_is_not_finished(database: IMEIDatabase, state: str) -> None:
    batch_id, _ = planned(database, 2)
    with database.write() as connection:
        run(connection, "UPDATE chunks SET state = ?", state)
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
        run(connection, "UPDATE chunks SET state = 'in_doubt' WHERE batch_id = ?", batch_id)
        for _ in range(2):
            batch_states.finish_if_done(connection, batch_id)
    assert batch(database, batch_id)[::3] == ("finished", 1)
    assert batch(database, batch_id)[1] == ""
    assert batch(database, other)[::3] == ("running", 0)
    assert (revision(database, batch_id), revision(database, other)) == (1, 0)
    found = progress(database, batch_id)
    assert found is not None
    assert found.finished_at is not None
    assert utc_now() - found.finished_at < timedelta(seconds=10)


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
        run(connection, "UPDATE batches SET created_at = ?", moment)
        if started:
            batch_states.start(connection, batch_id, now)
        assert bool(batch_states.older_batches(connection, 60.0)) is older
        batch_states.pause(connection, batch_id, "by a person")
        assert bool(batch_states.older_batches(connection, 60.0)) is older  # it may be resumed


def test_a_running_batch_of_which_everything_is_sent_holds_no_older_work(database: IMEIDatabase) -> None:
    planned(database, 2)
    call(database, imeis(1, first=10))
    with database.write() as connection:
        assert batch_states.older_batches(connection, -1.0) == {1}  # the planned one
