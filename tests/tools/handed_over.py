"""Calls that were handed to jobs, on PostgreSQL: rows as the loop writes them, and a provider that jobs call."""

import threading
import time
from collections.abc import Callable, Sequence

from simulated_provider import SERVICE, imeis
from sqlalchemy import insert

from database import IMEIDatabase, utc_now
from orders import ChunkState, Outcome, PlacedOrder, PlacementAnswer
from schema import attempts, batches, chunks, items
from storage import handed_calls, pace_store
from storage.handed_calls import at_once
from storage.job_queue import calls_of
from storage.pace_store import CallPace
from submission.job_calls import CallJobs, JobCalls

ACCOUNT = "main"
ANSWER = b"<raw/>"


def handed_over(database: IMEIDatabase, count: int = 1, first: int = 0) -> list[int]:
    """Write a batch of calls of two IMEIs whose intents are written. Returns the ids of their attempts."""
    numbers, ids = imeis(2 * count, first), []
    with database.write() as connection:
        values = {"label": "test", "source": "command", "service_id": SERVICE, "service_name": "T", "unit_price": 0.08}
        batch = insert(batches).values(total=2 * count, state="running", **values).returning(batches.c.id)
        batch_id = connection.execute(batch).scalar_one()
        for place in range(count):
            chunk = {"batch_id": batch_id, "size": 2, "state": ChunkState.SENDING, "attempt": 1}
            chunk_id = connection.execute(insert(chunks).values(**chunk).returning(chunks.c.id)).scalar_one()
            for imei in numbers[2 * place : 2 * place + 2]:
                item = {"batch_id": batch_id, "chunk_id": chunk_id, "service_id": SERVICE, "imei": imei}
                connection.execute(insert(items).values(outcome=Outcome.WAITING, **item))
            attempt = {"chunk_id": chunk_id, "number": 1, "imeis": 2, "sent_at": utc_now()}
            ids.append(connection.execute(insert(attempts).values(**attempt).returning(attempts.c.id)).scalar_one())
    return ids


def let_calls_start(database: IMEIDatabase, allowance: int | None = None, seconds: float = 61.0) -> None:
    """Write the pace as the loop does."""
    with at_once(database) as connection:
        pace_store.write_pace(connection, ACCOUNT, CallPace(0.0, 0.0, allowance, seconds, orders_wait=False))


class Provider:
    """Answers each call, and counts it."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.failure: Exception | None = None
        self._lock = threading.Lock()

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Callable[[bytes], None] | None = None, **_: str
    ) -> PlacementAnswer:
        assert network_id == SERVICE
        with self._lock:
            self.calls.append(list(imei))
        if self.failure is not None:
            raise self.failure
        assert keep is not None
        keep(ANSWER)
        return PlacementAnswer((PlacedOrder("1", imei[0], "Pending"),))


def worker(
    database: IMEIDatabase,
    provider: Provider,
    stopping: threading.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> JobCalls:
    """Return what makes calls in one process."""
    return JobCalls(database, provider, ACCOUNT, stopping or threading.Event(), clock=clock)


def call_jobs(database: IMEIDatabase, provider: Provider, stopping: threading.Event | None = None) -> CallJobs:
    """Return what makes the calls of jobs in one process."""
    return CallJobs({calls_of(ACCOUNT): worker(database, provider, stopping)})


def kept(database: IMEIDatabase) -> list[tuple[int, bytes | None, str]]:
    """(attempt, content, failure) of each stored answer."""
    with database.read() as connection:
        rows, _ = handed_calls.stored(connection, ACCOUNT)
        return [(raw.chunk.attempt_id, raw.content, raw.failure) for raw in handed_calls.arrived(connection, rows)]
