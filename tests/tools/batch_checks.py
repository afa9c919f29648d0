"""Tools for tests of crashes, disks and clocks: create a batch, read its outcomes, and what command and page show."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from simulated_provider import SERVICE, imeis, judge
from sqlalchemy import text
from waiting import PATIENCE, wait_until
from web_client import SERVICES, Browser, Provider, make_app, words

from commands.submit import result_lines
from database import IMEIDatabase
from orders import Outcome, Progress
from production_submission_system import ProductionSubmissionSystem
from settings import Settings
from simulator.server import Simulator
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import progress
from storage.list_limits import write_list_limit
from submission.report import submission_result

PRICE = 0.08  #: US dollars an IMEI of SERVICE, as the simulator charges


def new_batch(database: IMEIDatabase, count: int, chunk_size: int, first: int = 0) -> int:
    """Create a confirmed batch of `count` made-up IMEIs; its service is proven to take lists. Return its id."""
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 100)
    listed = [(imei, row) for row, imei in enumerate(imeis(count, first), 1)]
    new = NewBatch("stock.csv", "command", SERVICE, "T-Mobile USA - Status Check", PRICE, listed)
    return create_batch(database, new, chunk_size)


def found(database: IMEIDatabase, batch_id: int) -> Progress:
    """Return the batch as it is now, and check that its outcomes sum to its total."""
    there = progress(database, batch_id)
    assert there is not None
    assert sum(there.outcomes.values()) == there.total
    return there


def outcomes(database: IMEIDatabase, batch_id: int) -> dict[str, int]:
    """Return the number of IMEIs of each outcome, without zeros."""
    return {outcome.value: count for outcome, count in found(database, batch_id).outcomes.items() if count}


def all_ordered(database: IMEIDatabase, batches: Sequence[int]) -> bool:
    """Return whether each IMEI of these batches is ordered."""
    return all(outcomes(database, one).keys() == {Outcome.ORDERED.value} for one in batches)


def told_by_command(database: IMEIDatabase, batch_id: int) -> str:
    """Return what `flask submit` prints about the batch at its end, as one line."""
    lines = result_lines(found(database, batch_id), submission_result(database, batch_id, 1.0))
    return " ".join(" ".join(lines).split())


def told_by_page(database: IMEIDatabase, settings: Settings, batch_id: int) -> str:
    """Return the text of the batch's page, without markup."""
    return words(Browser(make_app(settings, database, Provider(list(SERVICES)))).get(f"/batches/{batch_id}"))


def see_through(running: ProductionSubmissionSystem, batch_id: int) -> int:
    """Work until the batch has no doubt; place later orders if only they prove absence. Return their number."""
    if not running.run_batch(batch_id).in_doubt:
        return 0
    more = running.submit_batch(imeis(3, first=90_000), SERVICE).successful
    wait_until(
        lambda: not running.run_batch(batch_id).in_doubt,
        lambda: f"every doubt is settled: {rows(running.database, IN_DOUBT)}",
    )
    return more


def assert_all_paid_once(simulator: Simulator, database: IMEIDatabase, batch_id: int, more: int = 0) -> None:
    """Check that each IMEI was charged once and is recorded as ordered, and that only `more` others were charged."""
    total = found(database, batch_id).total
    assert judge(simulator, database) == (0, 0)
    assert outcomes(database, batch_id) == {Outcome.ORDERED.value: total}
    [(recorded,)] = rows(database, "SELECT count(*) FROM orders WHERE imei < '359999'")  # not the older ones
    assert len(simulator.charges()) == total + more == recorded


def rows(database: IMEIDatabase, query: str) -> list[Any]:
    """Return the rows of a query."""
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


#: Why calls are in doubt.
IN_DOUBT = "SELECT id, message FROM chunks WHERE state = 'in_doubt'"
LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_program(database: IMEIDatabase) -> Iterator[None]:
    """Hold the write lock of the database during the block, from another process: only such a lock blocks this one."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(database.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        yield
        other.communicate()  # the end of its input ends it, and the lock


def paid_calls(simulator: Simulator) -> int:
    """Return the number of paid calls that have reached the provider."""
    return sum(call.action == "placeorder" for call in simulator.calls())


def waits(simulator: Simulator) -> int:
    """Return the number of paid calls that wait for their answer."""
    return sum(call.action == "placeorder" and call.ended is None for call in simulator.calls())


@contextmanager
def at_work(running: ProductionSubmissionSystem) -> Iterator[None]:
    """Run the system in a thread until the end of the block, and raise there what ended it before.

    A test that fails on a full disk leaves a runner that cannot end: the thread does not keep the process alive.
    """
    stop, failures = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            running.run(stop)
        except BaseException as error:  # noqa: BLE001 - a thread ends here
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
    if failures:
        raise failures[0]
    assert not thread.is_alive(), "the runner did not end"
