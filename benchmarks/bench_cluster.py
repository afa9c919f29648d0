"""Workers on PostgreSQL: 20,000 IMEIs against two floors on the same server, and two worker processes against one.

The floor only POSTs the same chunks with 30 threads, parses with ElementTree and inserts three columns in one commit.
The floor of the promise also commits intents before the calls and each answer by itself, and stores whole orders and
outcomes (bench_submission.py); it has one process, no jobs, no checks, no pace and no progress. Workers run as in
production; seconds are from the first intent to the last answer. All use one simulator in a process of its own, and a
server of PostgreSQL that keeps what it has committed.
"""

import statistics
import tempfile
from pathlib import Path

import psycopg
import psycopg_pool
from postgresql_cluster import Cluster, private_cluster

from benchmarks.bench_fleet import DURABLE, placed_by, placing
from benchmarks.bench_submission import WORKERS, floor_of_promise_on, floor_on, provider
from database import IMEIDatabase

#: Batches of one worker, each with both floors after it: the ratios are medians of these turns.
TURNS = 7
KEPT = "INSERT INTO raw_answers (account, token, call, content, began_at, arrived_at) VALUES ('main', %s, '', %s, 0, 0)"
#: Seconds of a call where two workers are compared with one, and calls at once of each worker. With more, the two
#: processors that workers, server and provider share here are the limit.
LATENCY, THREADS = 0.05, (1, 2)


def run() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    with tempfile.TemporaryDirectory() as name, private_cluster(DURABLE) as cluster:
        turns = one_worker(cluster, Path(name))
        pairs = {threads: [placed(cluster, Path(name), workers, threads) for workers in (1, 2)] for threads in THREADS}
    seconds, least, promise = (statistics.median(column) for column in zip(*turns, strict=True))
    times = [
        statistics.median(took[0] / took[1] for took in turns),
        statistics.median(took[0] / took[2] for took in turns),
    ]
    return [
        (
            "20,000 IMEIs on PostgreSQL, zero latency, one worker",
            f"{seconds:.2f} s = {times[0]:.2f} x the floor of {least:.2f} s",
            "2 x",
        ),
        ("the same against the floor of the promise", f"{times[1]:.2f} x the floor of {promise:.2f} s", "-"),
        *(
            (
                f"two workers against one, 50 ms a call, {threads} at once",
                f"{one:.2f} s and {two:.2f} s: {one / two:.2f} x",
                "1.8 x",
            )
            for threads, (one, two) in pairs.items()
        ),
    ]


def one_worker(cluster: Cluster, folder: Path) -> list[tuple[float, float, float]]:
    """Return the seconds in which a worker, the floor and the floor of the promise place a batch, in turns."""
    home = Path(tempfile.mkdtemp(dir=folder))
    with (
        cluster.migrated() as url,
        provider(home) as provider_url,
        placing(1, url, provider_url, home, WORKERS) as place_batch,
    ):
        floor(cluster, folder, 0)
        floor_of_promise(cluster, folder, 0)
        return [
            (place_batch()[0], floor(cluster, folder, turn), floor_of_promise(cluster, folder, turn))
            for turn in range(1, TURNS + 1)
        ]


def placed(cluster: Cluster, folder: Path, workers: int, threads: int) -> float:
    """Return the median seconds in which workers place 20,000 IMEIs at LATENCY."""
    home = Path(tempfile.mkdtemp(dir=folder))
    with cluster.migrated() as url, provider(home, latency=LATENCY) as provider_url:
        took = placed_by(workers, url, provider_url, home, threads)
    return statistics.median(seconds for seconds, _ in took)


def floor(cluster: Cluster, folder: Path, turn: int) -> float:
    """Return the seconds of the least that any program must do."""
    home = Path(tempfile.mkdtemp(dir=folder))
    with cluster.empty() as url, provider(home) as provider_url, psycopg.connect(url) as connection:
        return floor_on(connection, "INSERT INTO orders VALUES (%s, %s, %s)", provider_url, turn)


def floor_of_promise(cluster: Cluster, folder: Path, turn: int) -> float:
    """Return the seconds of the least that keeps the promise in the tables of the program."""
    home = Path(tempfile.mkdtemp(dir=folder))
    with (
        cluster.migrated() as url,
        provider(home) as provider_url,
        IMEIDatabase(url, home) as database,
        psycopg_pool.ConnectionPool(url, min_size=WORKERS, kwargs={"autocommit": True}) as pool,
    ):

        def keep(chunk_id: int, answer: bytes) -> None:
            with pool.connection() as connection:
                connection.execute(KEPT, (str(chunk_id), answer))

        return floor_of_promise_on(database, provider_url, turn, keep)
