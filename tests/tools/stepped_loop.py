"""The real loop, driven step by step: on a clock that stands still and a wire on which each call waits."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from plain_sql import run
from provider_model import Clock, Disturbance, Killed, Model, ModelClient, Process, Wire
from simulated_provider import OLD_ORDER, SERVICE, imeis
from sqlalchemy import event

from database import DatabaseUnavailableError, IMEIDatabase
from production_submission_system import ProductionSubmissionSystem
from simulator.knobs import Knobs
from storage.batch_creation import NewBatch, create_batch
from storage.list_limits import write_list_limit
from submission.checkpoints import Checkpoints
from submission.options import Options
from submission.thread_carrier import ThreadCarrier
from submission.throttle import Throttle

QUIET, DEADLINE = 60.0, 100.0
CALL, LIST, BALANCE, PRICES = "_call", "_look", "_ask_balance", "_ask_prices"


class OneProcess(ThreadCarrier):
    """Threads that make the calls on a database server too, where otherwise jobs do: a test has one loop."""

    @contextmanager
    def open(self) -> Iterator[Executor]:
        with self._options.pool(self._options.workers + 1) as self._pool:
            yield self._pool


class Loop:
    """One life of the real loop: a step is one turn of it."""

    def __init__(
        self,
        database: IMEIDatabase,
        folder: Path,
        model: Model | None = None,
        throttle: Throttle | None = None,
        **options: Any,
    ) -> None:
        """model is the provider that an earlier life has called; options are those of the system that differ."""
        self.model = model or Model(Knobs(history=1, duplicates="never"), Clock())
        self.database, self.folder, self.clock = database, folder, self.model.clock
        self.sent: list[list[str]] = []  #: the IMEIs of each paid call
        self.latency = 0.0  #: seconds that a paid call takes
        self.wire = Wire(self.clock)
        self.checkpoints = Checkpoints(folder)
        usual: dict[str, Any] = {"workers": 4, "chunk_size": 2, "poll": 0.0, "canaries": 1, "pool": lambda _: self.wire}
        chosen = Options(settle_quiet=QUIET, call_timeout=DEADLINE, **{**usual, **options})
        client = ModelClient(self.model, self._note)
        carrier = OneProcess(database, client, self.checkpoints, chosen, self.clock)
        self.system = ProductionSubmissionSystem(database, client, carrier, chosen, throttle, clock=self.clock)
        self.process = Process(self.system)

    def _note(self, numbers: Sequence[str]) -> None:
        self.sent.append(list(numbers))
        self.clock.now += self.latency

    def close(self) -> None:
        """Kill the process at once."""
        self.process.kill()
        self.checkpoints.close()

    @property
    def waiting(self) -> list[str]:
        """The names of the calls that were given to the workers and wait."""
        return [call.__name__ for call, _ in self.wire.waiting]

    def step(self, times: int = 1) -> None:
        for _ in range(2 * times):  # a turn asks twice whether it is over
            self.process.step()

    def let(self, name: str, **disturbance: Any) -> None:
        """Let the oldest call of this kind through, and let the loop process its result."""
        if disturbance:
            self.model.next = Disturbance(**disturbance)
        self.wire.let_through(self.waiting.index(name))
        self.step(3)

    def let_all(self, *names: str) -> None:
        """Let all waiting calls through, and those that follow from them."""
        while found := next((name for name in self.waiting if not names or name in names), None):
            self.let(found)

    def die(self, death: str, fault: str = "") -> None:
        """Begin the oldest paid call, and kill the process in it."""
        self.model.next = Disturbance(fault, death=death)
        with suppress(Killed):
            self.wire.let_through(self.waiting.index(CALL))
        self.close()

    def states(self) -> list[tuple[str, str]]:
        """(state, notice) of each batch."""
        with self.database.read() as connection:
            query = "SELECT state, notice FROM batches ORDER BY id"
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def limit(self, length: int) -> None:
        """Set the proven list length of the service; 0: no list was tried."""
        with self.database.write() as connection:
            write_list_limit(connection, SERVICE, length)

    def outcomes(self, batch_id: int) -> list[str]:
        with self.database.read() as connection:
            query = "SELECT outcome FROM items WHERE batch_id = ? ORDER BY id"
            return list(run(connection, query, batch_id).scalars())


@contextmanager
def started(database: IMEIDatabase, folder: Path, **options: Any) -> Iterator[Loop]:
    """Yield a loop on an account that has ordered before: an old order on the list, proven lists, known services."""
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 100)
        columns = "order_id, imei, service_id, status, attempt_id"
        old = (OLD_ORDER, "359999000000000", SERVICE, "Completed", 0)
        run(connection, f"INSERT INTO orders ({columns}) VALUES (?, ?, ?, ?, ?)", *old)
    running = Loop(database, folder, **options)
    database.store_services(ModelClient(running.model, lambda _: None).get_imei_services(), 0.0)
    yield running
    running.close()


@pytest.fixture(name="loop")
def loop_fixture(database: IMEIDatabase, tmp_path: Path) -> Iterator[Loop]:
    with started(database, tmp_path / "kept") as running:
        yield running


def batch(loop: Loop, count: int, first: int = 0, size: int = 2, service_id: str = SERVICE) -> int:
    """Create a batch at the provider's price, in calls of `size` IMEIs."""
    wanted = [(imei, None) for imei in imeis(count, first)]
    return create_batch(loop.database, NewBatch("test", "command", service_id, "T-Mobile", 0.08, wanted), size)


def ready(loop: Loop) -> None:
    """Let the loop read the balance, until nothing waits."""
    loop.step(2)
    loop.let_all()


def unwritable(loop: Loop, refused: str = "INSERT INTO orders") -> Callable[[], None]:
    """Refuse the statements that begin so, as a full disk does; return a function that ends this."""

    def refuse(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(refused):
            raise DatabaseUnavailableError(statement, None, sqlite3.OperationalError("database or disk is full"))

    event.listen(loop.database.engine, "before_cursor_execute", refuse)
    return lambda: event.remove(loop.database.engine, "before_cursor_execute", refuse)
