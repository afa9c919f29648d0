"""How far a batch is, and its figures."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from plain_sql import run
from simulated_provider import imeis
from web_client import CARRIER, answer_chunks

from database import IMEIDatabase
from orders import ChunkState, Outcome, Progress
from storage import batch_states
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import progress
from submission import Metrics, Watcher, metrics, report


def make_batch(database: IMEIDatabase, count: int = 3) -> int:
    numbers = [(imei, None) for imei in imeis(count)]
    return create_batch(
        database, NewBatch("stock.csv", "upload", CARRIER.package_id, CARRIER.title, CARRIER.price, numbers)
    )


def test_the_figures_count_calls_and_seconds(database: IMEIDatabase) -> None:
    found = progress(database, make_batch(database))
    assert found is not None
    assert metrics(found) == Metrics(1, 0, 0, 0.0, 0.0)
    start = datetime(2026, 3, 1)
    ended = replace(
        found,
        total=20_000,
        outcomes=found.outcomes | {Outcome.WAITING: 0, Outcome.ORDERED: 19_800, Outcome.IN_DOUBT: 200},
        chunks=found.chunks
        | {ChunkState.PLANNED: 0, ChunkState.ANSWERED: 198, ChunkState.IN_DOUBT: 2, ChunkState.CANCELLED: 5},
        started_at=start,
        finished_at=start + timedelta(seconds=25),
    )
    assert metrics(ended) == Metrics(
        total_batches=200, successful_batches=198, failed_batches=2, total_duration_seconds=25.0, throughput=800.0
    )


def test_a_batch_in_doubt_is_counted_again_when_it_has_changed(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id, counted = make_batch(database), list[int]()
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, ""))

    def counting(database: IMEIDatabase, batch_id: int) -> Progress | None:
        counted.append(batch_id)
        return progress(database, batch_id)

    monkeypatch.setattr(report, "progress", counting)
    watcher = Watcher(database, batch_id, None)
    assert [watcher.is_over(60) for _ in range(3)] == [False] * 3
    assert counted == [batch_id]
    assert watcher.is_over(-1)  # doubt was waited for long enough
    with database.write() as connection:
        run(connection, "UPDATE items SET outcome = 'refused'")
        batch_states.touch(connection, batch_id)
    assert watcher.is_over(60)
    assert counted == [batch_id] * 2
