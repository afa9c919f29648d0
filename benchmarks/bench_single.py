"""IMEIs one by one, as where a provider reads only one of a list: the rounds that the wire allows, and bare threads.

The least time is IMEIs / workers x latency. The bare threads only POST and read the answer, and store nothing; they
show what the machine and the simulator cost. Both talk to one simulator in a process of its own, in turns.
"""

import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.bench_submission import SERVICE, WORKERS, imeis, planned, provider, see_through
from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from production_submission_system import ProductionSubmissionSystem
from runner import spare_collector
from submission.checkpoints import Checkpoints
from submission.options import Options

IMEIS, TURNS = 6_000, 3
LATENCY = 0.25  #: seconds a call


def bare(url: str, turn: int, workers: int) -> float:
    """Return the seconds of threads that only POST."""
    with (
        GSMFusionClient("DEMO-KEY", "demo", options=ClientOptions(url, pool_size=workers)) as client,
        ThreadPoolExecutor(workers) as pool,
    ):
        started = time.perf_counter()
        for answer in pool.map(lambda imei: client.place_imei_order([imei], SERVICE), imeis(turn, IMEIS)):
            if not answer.orders:
                raise RuntimeError("an order was not placed")
        return time.perf_counter() - started


def ours(url: str, home: Path, turn: int, workers: int) -> float:
    """Return the seconds to place and record a planned batch with full durability."""
    with (
        IMEIDatabase(home / "imei_orders.db") as database,
        GSMFusionClient("DEMO-KEY", "demo", options=ClientOptions(url, pool_size=workers + 2)) as client,
    ):
        batch_id = planned(database, imeis(turn, IMEIS), 1)
        options = Options(workers=workers, chunk_size=1)
        system = ProductionSubmissionSystem(database, client, Checkpoints(home / "checkpoints"), options)
        started = time.perf_counter()
        see_through(database, system, batch_id)
        return time.perf_counter() - started


def measure(workers: int, turns: int = TURNS) -> tuple[float, float]:
    """Return the medians of ours and of the bare threads, as multiples of the least time."""
    least = IMEIS / workers * LATENCY
    with tempfile.TemporaryDirectory() as name, provider(Path(name), latency=LATENCY) as url:
        spare_collector()
        pairs = [
            (ours(url, Path(name) / f"ours-{turn}", turn, workers) / least, bare(url, 5000 + turn, workers) / least)
            for turn in range(turns)
        ]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def run() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    us, them = measure(WORKERS)
    what = f"{IMEIS:,} IMEIs one by one at {LATENCY:g} s, {WORKERS} workers"
    return [(what, f"{us:.3f} x the least, bare threads {them:.3f} x", "1.08 x")]
