"""How far a batch is, and its figures."""

from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from plain_sql import run
from simulated_provider import imeis
from web_client import CARRIER, answer_chunks

from database import IMEIDatabase
from orders import ChunkState, Outcome, Progress
from storage import batch_states
from storage.balance_store import BalanceChange
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import progress
from submission import Metrics, Watcher, balance_warning, balance_words, metrics, report, submission_result


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


def test_the_result_of_a_batch_has_each_imei_in_one_figure(database: IMEIDatabase) -> None:
    batch_id, numbers = make_batch(database, 10), imeis(10)
    becomes = [Outcome.ORDERED] * 4 + [Outcome.REFUSED] * 3 + [Outcome.IN_DOUBT, Outcome.CANCELLED, Outcome.DUPLICATE]
    answer_chunks(database, lambda imei: (becomes[numbers.index(imei)], "no"))
    found = submission_result(database, batch_id, 2.0)
    assert (found.total, found.successful, found.failed, found.in_doubt, found.duplicates) == (10, 4, 4, 1, 1)
    assert (found.waiting, found.duration, found.throughput, found.state) == (0, 2.0, 5.0, "finished")
    assert ({order["imei"] for order in found.orders}, found.batch_id) == (set(numbers[:4]), batch_id)
    assert submission_result(database, batch_id, 0.0).throughput == 0.0
    with pytest.raises(LookupError, match="no batch 99"):
        submission_result(database, 99, 1.0)


def test_a_batch_is_over_when_it_ends_or_a_person_must_act(database: IMEIDatabase) -> None:
    batch_id = make_batch(database)
    watcher = Watcher(database, batch_id, None)
    assert not watcher.is_over(60)
    for resumes_itself in (True, False):
        with database.write() as connection:
            batch_states.pause(connection, batch_id, "words", resumes_itself)
        assert watcher.is_over(60) is not resumes_itself
        with database.write() as connection:
            batch_states.resume(connection, batch_id)
        assert not watcher.is_over(60)
    answer_chunks(database)
    assert watcher.is_over(60)
    assert Watcher(database, 99, None).is_over(60)  # there is no such batch


def test_each_change_of_a_batch_is_passed_on_once(database: IMEIDatabase) -> None:
    batch_id, seen = make_batch(database), list[Progress]()
    watcher = Watcher(database, batch_id, seen.append)
    assert [watcher.is_over(60) for _ in range(3)] == [False] * 3
    assert [found.outcomes[Outcome.WAITING] for found in seen] == [3]
    answer_chunks(database)
    assert [watcher.is_over(60) for _ in range(2)] == [True] * 2
    assert [found.outcomes[Outcome.ORDERED] for found in seen] == [0, 3]


def test_doubt_is_waited_for_since_the_batch_has_finished(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs again in between, because something of it is sent again, is waited for again in full."""
    batch_id, now = make_batch(database), [1000.0]
    monkeypatch.setattr(report, "time", SimpleNamespace(monotonic=lambda: now[0]))
    watcher = Watcher(database, batch_id, None)
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, ""))
    assert not watcher.is_over(60)
    now[0] += 60
    assert not watcher.is_over(60)
    with database.write() as connection:
        run(connection, "UPDATE batches SET state = 'running'")
        batch_states.touch(connection, batch_id)
    assert not watcher.is_over(60)
    with database.write() as connection:
        run(connection, "UPDATE batches SET state = 'finished'")
        batch_states.touch(connection, batch_id)
    now[0] += 1
    assert not watcher.is_over(60)
    now[0] += 60.5
    assert watcher.is_over(60)


@pytest.mark.parametrize(
    ("change", "words", "warning"),
    [
        (None, "", ""),
        (
            BalanceChange(10.0, 8.0, 2.0, False),
            "Balance $10.00 → $8.00: $2.00 less. The orders of that time cost $2.00.",
            "",
        ),
        (
            BalanceChange(8.0, 10.0, 1.0, True),
            "Balance $8.00 → $10.00: $2.00 more. The orders of that time cost $1.00. Orders of other batches are"
            " included, because their calls lie between the two readings. $3.00 less was charged than our orders cost:"
            " a top-up or a refund.",
            "",
        ),
        (
            BalanceChange(10.0, 7.5, 2.0, False),
            "Balance $10.00 → $7.50: $2.50 less. The orders of that time cost $2.00.",
            "The account was charged $0.50 more than our orders explain: a price rise, an order placed elsewhere, or a"
            " charge of a call in doubt.",
        ),
    ],
)
def test_sentences_compare_the_balance_with_the_orders(change: BalanceChange | None, words: str, warning: str) -> None:
    assert (balance_words(change), balance_warning(change)) == (words, warning)
