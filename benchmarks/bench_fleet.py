"""10 accounts, 100 machines and 10,000,000 IMEIs a day: the model of fleet.py with costs that are measured here.

Real workers run beside a simulated provider on this machine, and the model computes the same runs with this machine's
cores, round trips and disk. For the fleet these are assumptions: those of `fleet.Fleet`, and LISTS and SINGLES below.
"""

import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from postgresql_cluster import Cluster, private_cluster
from sqlalchemy import text
from waiting import wait_until

from benchmarks.bench_submission import CHUNK, IMEIS, SERVICE, WORKERS, imeis, planned, provider
from benchmarks.fleet import (
    LOCK,
    OFFICE,
    OFFICE_SHARE,
    PROCESSOR,
    Costs,
    Figures,
    Fleet,
    Simulation,
    day_of,
    limits,
    most,
)
from benchmarks.fleet_costs import Measured, Meter, measured_costs, server_of, ticks, worked
from benchmarks.measuring import ROOT
from database import IMEIDatabase
from orders import BatchState
from storage.batch_queries import batch_state
from storage.list_limits import write_list_limit
from submission import leader_alive

#: The server keeps what it has committed, as in production; it may use the memory that a small machine has.
DURABLE = ("shared_buffers=256MB", "max_wal_size=4GB")
DAY_OF_IMEIS, IMEIS_PER_LIST = 10_000_000, 5_000
#: Lists of 100 IMEIs, of which each account may send one a second; and services that take one IMEI a call.
LISTS = Fleet(rate=1.0)
SINGLES = Fleet(latency=0.25, result_share=1 / CHUNK)
#: Seconds of the office hours that are simulated with single IMEIs: a day has 10,000,000 calls.
MINUTES = 120.0
#: Workers, and the latency of a call (seconds), of the runs that check the model.
CHECKED = ((1, 0.0), (2, 0.0), (1, 0.05), (2, 0.05))
TURNS, PATIENCE = 3, 120.0
#: Seconds between two looks whether a batch is finished: each takes time from the processors that are measured.
LOOK = 0.25
SELECTS = 500
DURATION = text(
    "SELECT extract(epoch FROM max(a.ended_at) - min(a.sent_at))"
    " FROM attempts a JOIN chunks c ON c.id = a.chunk_id WHERE c.batch_id = :batch"
)


@dataclass(frozen=True, slots=True)
class Place:
    """What this machine adds to the costs, in seconds."""

    round_trip: float
    flush: float


def run() -> Iterator[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    with tempfile.TemporaryDirectory() as name, private_cluster(DURABLE) as cluster:
        here = place(cluster)
        lists, singles = (measured(cluster, Path(name), per_call) for per_call in (CHUNK, 1))
        yield from cost_rows(lists)
        for workers, latency in CHECKED:
            yield check(cluster, Path(name), lists, here, workers, latency)
    yield from limit_rows("lists of 100", LISTS, lists.costs, CHUNK)
    yield from limit_rows("single IMEIs", SINGLES, replace(singles.costs, results=lists.costs.results), 1)
    yield day_row(lists.costs)
    yield singles_row(replace(singles.costs, results=lists.costs.results))


def place(cluster: Cluster) -> Place:
    """Measure a round trip and a flush: what a statement, and a commit of a row, take beyond the processors."""
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE flushed (number INTEGER)")
        trip = seconds_beyond(connection, "SELECT 1")
        return Place(trip, max(0.0, seconds_beyond(connection, "INSERT INTO flushed VALUES (1)") - trip))


def seconds_beyond(connection: psycopg.Connection, statement: str) -> float:
    """Return the median seconds of a statement in which neither this process nor the server works."""
    server, took = connection.info.backend_pid, []
    for _ in range(SELECTS):
        served, client, began = worked(server), time.process_time(), time.perf_counter()
        connection.execute(statement)
        took.append(time.perf_counter() - began - (time.process_time() - client) - (worked(server) - served))
    return max(0.0, statistics.median(took))


def measured(cluster: Cluster, folder: Path, per_call: int) -> Measured:
    """Return what calls of this many IMEIs take, on a database of their own."""
    home = Path(tempfile.mkdtemp(dir=folder))
    with cluster.migrated() as url, provider(home) as provider_url:
        return measured_costs(url, provider_url, json.loads((home / "simulator.json").read_text())["pid"], per_call)


def check(
    cluster: Cluster, folder: Path, known: Measured, here: Place, workers: int, latency: float
) -> tuple[str, str, str]:
    """Let real workers place 20,000 IMEIs, and compute the same run."""
    calls = IMEIS // CHUNK
    fleet = Fleet(
        accounts=1,
        machines=workers,
        threads=WORKERS,
        at_once=WORKERS * workers,
        latency=latency,
        result_share=0.0,
        cores=os.cpu_count() or 1,
        round_trip=here.round_trip,
        flush=here.flush,
        is_one_machine=True,
        provider=known.provider,
    )
    figures = Simulation(fleet, known.costs, [(0.0, calls)]).run()
    worked_by_model = figures.busy[PROCESSOR] - calls * known.provider
    home = Path(tempfile.mkdtemp(dir=folder))
    with cluster.migrated() as url, provider(home, latency=latency) as provider_url:
        took = placed_by(workers, url, provider_url, home)
    seconds, processor = (statistics.median(column) for column in zip(*took, strict=True))
    return (
        f"20,000 IMEIs, {workers} workers, {latency * 1000:.0f} ms a call",
        f"{seconds:.2f} s, {processor:.2f} s of processors; model: {figures.ended:.2f} s, {worked_by_model:.2f} s",
        f"{figures.ended / seconds:.2f} x, {worked_by_model / processor:.2f} x",
    )


def placed_by(
    workers: int, url: str, provider_url: str, folder: Path, threads: int = WORKERS
) -> list[tuple[float, float]]:
    """Let real workers place batches. Returns what each took, as the function of placing() does."""
    with placing(workers, url, provider_url, folder, threads) as place_batch:
        return [place_batch() for _ in range(TURNS)]


@contextlib.contextmanager
def placing(
    workers: int, url: str, provider_url: str, folder: Path, threads: int
) -> Iterator[Callable[[], tuple[float, float]]]:
    """Run workers that have placed one batch, which loads and connects.

    Yields a function that lets them place another, and returns the seconds from the first intent to the last answer,
    and the seconds that the processors have worked for workers and server.
    """
    meter, turns = Meter(server_of(url)), itertools.count()
    with IMEIDatabase(url) as database, working(workers, url, provider_url, folder, threads) as processes:

        def place_batch() -> tuple[float, float]:
            batch_id = planned(database, imeis(8000 + next(turns)))
            before = meter.served() + sum(map(ticks, processes))
            wait_for_the_end(database, batch_id)
            processor = meter.served() + sum(map(ticks, processes)) - before
            with database.read() as connection:
                seconds = float(connection.execute(DURATION, {"batch": batch_id}).scalar_one())
            return seconds, processor

        wait_until(lambda: leader_alive(database, folder), "a worker leads", PATIENCE)
        with database.write() as connection:
            write_list_limit(connection, SERVICE, CHUNK)
        place_batch()
        yield place_batch


@contextlib.contextmanager
def working(workers: int, url: str, provider_url: str, folder: Path, threads: int) -> Iterator[list[int]]:
    """Run workers as in production, each with this many calls at once. Yields their process ids."""
    settings = {
        "DATABASE_URL": url,
        "DATA_DIR": str(folder),
        "GSM_FUSION_API_KEY": "DEMO-KEY",
        "GSM_FUSION_USERNAME": "demo",
        "GSM_FUSION_BASE_URL": provider_url,
        "AUTO_SYNC_INTERVAL": "0",
        "LOG_LEVEL": "WARNING",
        "WORKERS": str(threads),
    }
    command = [sys.executable, "-m", "flask", "worker"]
    processes = [subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}) for _ in range(workers)]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE)


def wait_for_the_end(database: IMEIDatabase, batch_id: int) -> None:
    """Wait until a batch is finished. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while batch_state(database, batch_id)[0] is not BatchState.FINISHED:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the batch was not finished in {PATIENCE:g} s")
        time.sleep(LOOK)


def cost_rows(lists: Measured) -> Iterator[tuple[str, str, str]]:
    """What lists of 100 IMEIs and their results cost, whatever the fleet is."""
    costs, per_million = lists.costs, 1_000_000 / CHUNK
    jobs = costs.read + costs.record + costs.fetch + costs.begin + costs.call + costs.keep + costs.finish
    total = (jobs + costs.results) * per_million
    yield (
        "processor time of 1,000,000 IMEIs",
        f"PostgreSQL {total.server:.0f} s, workers {total.client:.0f} s, of which results"
        f" {costs.results.server * per_million:.0f} s and {costs.results.client * per_million:.0f} s",
        "-",
    )
    yield (
        "disk of 1,000,000 IMEIs with results",
        f"{lists.bytes_per_imei / 1000:.2f} GB; {lists.written_per_imei / 1000:.1f} GB of the server's log",
        "-",
    )
    locked = LISTS.seconds(costs.record), LISTS.seconds(costs.results)
    trips = f"{costs.record.trips:.0f} and {costs.results.trips:.0f} round trips"
    yield (
        "writer's lock for 100 IMEIs",
        f"{locked[0] * 1000:.1f} ms to place, {locked[1] * 1000:.1f} ms for results ({trips})",
        "-",
    )


def limit_rows(what: str, fleet: Fleet, costs: Costs, per_call: int) -> Iterator[tuple[str, str, str]]:
    """Where the fleet's limits are, the nearest first."""
    bounds = sorted((bound * per_call, name) for name, bound in limits(fleet, costs).items())
    yield f"{what}: most that the fleet can do", f"{most(fleet, costs) * per_call:,.0f} IMEIs a second, simulated", "-"
    for place_of, (imeis_a_second, name) in enumerate(bounds[:4], 1):
        needed = f"{busiest() / imeis_a_second:.0%} of it in office hours"
        yield f"{what}: limit {place_of}", f"{name}: {imeis_a_second:,.0f} IMEIs a second", needed


def busiest() -> float:
    """IMEIs a second in the office hours of the day."""
    return DAY_OF_IMEIS * OFFICE_SHARE / (OFFICE[1] - OFFICE[0])


def day_row(costs: Costs) -> tuple[str, str, str]:
    """The whole day in lists of 100."""
    figures = Simulation(LISTS, costs, day_of(DAY_OF_IMEIS, CHUNK, IMEIS_PER_LIST)).run()
    seconds = (OFFICE[1] - OFFICE[0]) / OFFICE_SHARE
    return "10,000,000 IMEIs in a day, lists of 100", words(figures, LISTS, seconds), "-"


def singles_row(costs: Costs) -> tuple[str, str, str]:
    """Two minutes of the office hours, one IMEI a call."""
    pause = IMEIS_PER_LIST / busiest()
    lists = [(pause, IMEIS_PER_LIST)] * round(MINUTES / pause)
    figures = Simulation(SINGLES, costs, lists).run()
    return "two minutes of it, one IMEI a call", words(figures, SINGLES, MINUTES), "-"


def words(figures: Figures, fleet: Fleet, seconds: float) -> str:
    """What happened, with shares of these seconds."""
    lock = figures.busy[LOCK] / seconds
    processor = figures.busy[PROCESSOR] / (seconds * fleet.cores)
    return (
        f"recorded within {figures.wait(0.5):.0f} s (median), {figures.wait(0.95):.0f} s (95 %);"
        f" lock busy {lock:.0%}, processor {processor:.0%} of {fleet.cores} cores"
    )
