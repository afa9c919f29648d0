"""A commit whose connection broke: its intents may be on disk, and the wire is not free before that is known."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from handmade_calls import call, everything, one
from plain_sql import run
from simulated_provider import imeis
from sqlalchemy import Connection
from stepped_loop import BALANCE, LIST, Loop, OneProcess, batch, ready

from database import DatabaseUnavailableError, IMEIDatabase
from orders import ChunkState, PlacedOrder
from storage import call_queries
from storage.call_records import record_answers, record_late, record_of_orders
from storage.guards import WrongStateError
from submission.carrier import Recovery

CUT = psycopg.OperationalError("server closed the connection unexpectedly")


@pytest.fixture
def _calls_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that outlast the loop, as those of jobs do: it finds them in the database."""

    def recover(_carrier: OneProcess, connection: Connection) -> Recovery:
        return Recovery(on_the_wire=call_queries.open_chunks(connection, ChunkState.SENDING))

    monkeypatch.setattr(OneProcess, "lasts", True)
    monkeypatch.setattr(OneProcess, "recover", recover)


def cut_after_a_commit(monkeypatch: pytest.MonkeyPatch, database: IMEIDatabase) -> Callable[[], None]:
    """Let a transaction that claims a chunk commit, and break its connection then; return what ends the outage."""
    write, is_cut = database.write, threading.Event()

    @contextmanager
    def cut(**given: Any) -> Iterator[Connection]:
        if not is_cut.is_set():
            with write(**given) as connection:
                yield connection
                if run(connection, "SELECT count(*) FROM chunks WHERE state = 'sending'").scalar_one():
                    is_cut.set()
        if is_cut.is_set():
            raise DatabaseUnavailableError("COMMIT", None, CUT)

    monkeypatch.setattr(database, "write", cut)
    return lambda: monkeypatch.setattr(database, "write", write)


@pytest.mark.usefixtures("_calls_last")
def test_intents_of_a_commit_that_broke_are_known_before_the_wire_counts_as_free(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(loop)
    readings = one(loop.database, "SELECT count(*) FROM balance_readings")
    batch(loop, 20)
    mend = cut_after_a_commit(monkeypatch, loop.database)
    for turn in range(8):
        loop.step()
        loop.clock.now += 400.0  # a balance is due again
        assert not {BALANCE, LIST} & set(loop.waiting)
        if turn == 4:
            mend()
    assert one(loop.database, "SELECT count(*) FROM balance_readings") == readings
    assert one(loop.database, "SELECT state, attempt FROM chunks ORDER BY id LIMIT 1") == ("sending", 1)


def test_an_answer_that_was_committed_already_is_refused_and_changes_no_order(database: IMEIDatabase) -> None:
    """Whatever the loop knows: written again it fails by its guards, and written late it adds nothing."""
    chunk = call(database, imeis(2))
    record = record_of_orders(chunk, [PlacedOrder(str(n), item.imei) for n, item in enumerate(chunk.items)])
    with database.write() as connection:
        record_answers(connection, [record])
    before = everything(database)
    for carefully in (False, True):
        with pytest.raises(WrongStateError), database.write() as connection:
            record_answers(connection, [record], carefully)
    assert everything(database) == before
    with database.write() as connection:
        record_late(connection, chunk, [], "again")
    after = everything(database)
    assert [after[name] for name in ("items", "orders", "chunks")] == [
        before[name] for name in ("items", "orders", "chunks")
    ]
