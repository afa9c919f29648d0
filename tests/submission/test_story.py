"""The story of each batch in the log, and its figures."""

import logging

import pytest
from simulated_provider import imeis
from web_client import CARRIER, answer_chunks

from database import IMEIDatabase
from storage import batch_states
from storage.batch_creation import NewBatch, create_batch
from submission import Story


def make_batch(database: IMEIDatabase, count: int = 3) -> int:
    numbers = [(imei, None) for imei in imeis(count)]
    return create_batch(
        database, NewBatch("stock.csv", "upload", CARRIER.package_id, CARRIER.title, CARRIER.price, numbers)
    )


def told(caplog: pytest.LogCaptureFixture, story: Story) -> list[str]:
    """What the story logs now."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "submission.story"):
        story.log_changes()
    return [record.getMessage() for record in caplog.records if record.name == "submission.story"]


def test_each_change_of_a_batch_is_logged_once(database: IMEIDatabase, caplog: pytest.LogCaptureFixture) -> None:
    story = Story(database, "main")
    assert told(caplog, story) == []
    batch_id = make_batch(database)
    assert told(caplog, story) == [f"Batch {batch_id} created: 3 IMEIs, service 1739, at most $0.24"]
    assert told(caplog, story) == []
    with database.write() as connection:
        batch_states.pause(connection, batch_id, "Credit has been finished!")
    assert told(caplog, story) == [f"Batch {batch_id} paused after 3 waiting; $0.00 spent: Credit has been finished!"]
    with database.write() as connection:
        batch_states.resume(connection, batch_id)
    assert told(caplog, story) == [f"Batch {batch_id} resumed"]
    answer_chunks(database)
    started, finished = told(caplog, story)
    assert started == f"Batch {batch_id} started: 3 IMEIs in 1 call"
    assert finished.startswith(f"Batch {batch_id} finished: 3 ordered; $0.24 spent; Metrics(total_batches=1, success")
    assert told(caplog, story) == []


def test_one_of_the_loops_of_several_accounts_logs(database: IMEIDatabase, caplog: pytest.LogCaptureFixture) -> None:
    stories = [Story(database, account) for account in ("main", "b", "c")]
    make_batch(database)
    assert [len(told(caplog, story)) for story in stories] == [1, 0, 0]


def test_a_batch_that_begins_and_ends_between_two_looks_is_told_whole(
    database: IMEIDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story(database, "main")
    make_batch(database)
    answer_chunks(database)
    words = [line.split(":")[0].split()[2] for line in told(caplog, story)]
    assert words == ["created", "started", "finished"]


def test_a_new_process_tells_only_what_is_unfinished(database: IMEIDatabase, caplog: pytest.LogCaptureFixture) -> None:
    make_batch(database)
    answer_chunks(database)
    unfinished = create_batch(
        database, NewBatch("more.csv", "upload", CARRIER.package_id, "", 0.08, [(imei, None) for imei in imeis(2, 50)])
    )
    (line,) = told(caplog, Story(database, "main"))
    assert line.startswith(f"Batch {unfinished} goes on: 2 waiting; $0.00 spent")
