"""Workers on PostgreSQL: 20,000 IMEIs against a floor on the same server, and two worker processes against one.

The floor only POSTs the same chunks with 30 threads, parses with ElementTree and inserts three columns in one commit.
Workers run as in production; seconds are from the first intent to the last answer. Both use one simulator in a process
of its own, and a server of PostgreSQL that keeps what it has committed.
"""

import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from xml.etree import ElementTree

import psycopg
import requests
from postgresql_cluster import Cluster, private_cluster

from benchmarks.bench_fleet import DURABLE, placed_by
from benchmarks.bench_submission import CHUNK, IMEIS, SERVICE, WORKERS, imeis, provider

TURNS = 2
#: Seconds of a call where two workers are compared with one, and calls at once of each worker. With more, the two
#: processors that workers, server and provider share here are the limit.
LATENCY, THREADS = 0.05, (1, 2)


def run() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    with tempfile.TemporaryDirectory() as name, private_cluster(DURABLE) as cluster:
        folder = Path(name)
        floors = [floor(cluster, folder, turn) for turn in range(TURNS + 1)][1:]
        placed = placing(cluster, folder, 1, 0.0, WORKERS)
        pairs = {
            threads: [placing(cluster, folder, workers, LATENCY, threads) for workers in (1, 2)] for threads in THREADS
        }
    least = statistics.median(floors)
    return [
        (
            "20,000 IMEIs on PostgreSQL, zero latency, one worker",
            f"{placed:.2f} s = {placed / least:.2f} x the floor of {least:.2f} s",
            "2 x",
        ),
        *(
            (
                f"two workers against one, 50 ms a call, {threads} at once",
                f"{one:.2f} s and {two:.2f} s: {one / two:.2f} x",
                "1.8 x",
            )
            for threads, (one, two) in pairs.items()
        ),
    ]


def placing(cluster: Cluster, folder: Path, workers: int, latency: float, threads: int) -> float:
    """Return the median seconds in which workers place 20,000 IMEIs."""
    home = Path(tempfile.mkdtemp(dir=folder))
    with cluster.migrated() as url, provider(home, latency=latency) as provider_url:
        took = placed_by(workers, url, provider_url, home, threads)
    return statistics.median(seconds for seconds, _ in took)


def floor(cluster: Cluster, folder: Path, turn: int) -> float:
    """Return the seconds of the least that any program must do."""
    home = Path(tempfile.mkdtemp(dir=folder))
    with cluster.empty() as url, provider(home) as provider_url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE orders (order_id TEXT UNIQUE, imei TEXT, status TEXT)")
        connection.commit()
        session = requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=WORKERS))

        def place(chunk: list[str]) -> list[tuple[str, ...]]:
            form = {"apiKey": "DEMO-KEY", "userId": "demo", "action": "placeorder", "networkId": SERVICE}
            address = f"{provider_url}/gsmfusion_api/index.php"
            answer = session.post(address, data={**form, "imei": ",".join(chunk)}, timeout=60)
            root = ElementTree.fromstring(answer.content)
            return [tuple(field.text or "" for field in order) for order in root.iter("imeis")]

        numbers = imeis(turn)
        chunks = [numbers[start : start + CHUNK] for start in range(0, IMEIS, CHUNK)]
        started = perf_counter()
        with ThreadPoolExecutor(WORKERS) as pool, connection.cursor() as cursor:
            for rows in pool.map(place, chunks):
                cursor.executemany("INSERT INTO orders VALUES (%s, %s, %s)", rows)
        connection.commit()
        seconds = perf_counter() - started
        stored = connection.execute("SELECT count(*) FROM orders").fetchone()
    if stored != (IMEIS,):
        raise RuntimeError(f"the floor stored {stored} of {IMEIS} orders")
    return seconds
