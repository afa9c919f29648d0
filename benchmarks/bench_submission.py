"""20,000 IMEIs through the whole submission system, against a floor and against the rounds that the wire allows.

The floor only POSTs the same chunks with 30 threads and a pooled session, parses with ElementTree and inserts with
executemany: no intent, no checkpoint, no outcome, no progress. Both talk to one simulator in a process of its own and
take turns, so that the ratio holds while the machine's speed drifts.
"""

import contextlib
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import requests

from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from orders import BatchState
from production_submission_system import ProductionSubmissionSystem
from runner import spare_collector
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import batch_state
from storage.list_limits import write_list_limit
from submission.checkpoints import Checkpoints
from submission.options import Options

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "269"
IMEIS, CHUNK, WORKERS = 20_000, 100, 30
TURNS = 5
LATENCY = 3.5  #: seconds a call


@contextlib.contextmanager
def provider(folder: Path, **knobs: object) -> Iterator[str]:
    """The URL of a simulator in a process of its own."""
    announce = folder / "simulator.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--announce", str(announce)], cwd=ROOT, stdin=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 20
        while not announce.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        url = f"http://127.0.0.1:{json.loads(announce.read_text())['port']}"
        knobs = {"duplicates": "never", "latency": 0, **knobs}
        requests.post(f"{url}/control", json=knobs, timeout=10).raise_for_status()
        yield url
    finally:
        if process.stdin:
            process.stdin.close()
        process.terminate()
        process.wait(10)


def imeis(turn: int, count: int = IMEIS) -> list[str]:
    """Made-up IMEIs, other ones each turn."""
    return [f"35{turn:04d}{number:09d}" for number in range(count)]


def floor(url: str, folder: Path, turn: int) -> float:
    """Seconds of the least that any program must do."""
    with contextlib.closing(sqlite3.connect(str(folder / f"floor-{turn}.db"))) as connection:
        return floor_on(connection, "INSERT INTO orders VALUES (?, ?, ?)", url, turn)


def floor_on(connection: Any, insertion: str, url: str, turn: int) -> float:
    """Seconds of the least on an empty database; connection and insertion as its driver (PEP 249) takes them."""
    numbers = imeis(turn)
    chunks = [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]
    connection.execute("CREATE TABLE orders (order_id TEXT UNIQUE, imei TEXT, status TEXT)")
    connection.commit()
    with requests.Session() as session, ThreadPoolExecutor(WORKERS) as pool:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=WORKERS))

        def place(chunk: list[str]) -> list[tuple[str, ...]]:
            form = {"apiKey": "DEMO-KEY", "userId": "demo", "action": "placeorder", "networkId": SERVICE}
            answer = session.post(f"{url}/gsmfusion_api/index.php", data={**form, "imei": ",".join(chunk)}, timeout=60)
            root = ElementTree.fromstring(answer.content)
            return [tuple(field.text or "" for field in order) for order in root.iter("imeis")]

        started, cursor = time.perf_counter(), connection.cursor()
        for rows in pool.map(place, chunks):
            cursor.executemany(insertion, rows)
        connection.commit()
        seconds = time.perf_counter() - started
    stored = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
    if stored != len(numbers):
        raise RuntimeError(f"the floor stored {stored} of {len(numbers)} orders")
    return seconds


@contextlib.contextmanager
def rig(url: str, home: Path) -> Iterator[tuple[IMEIDatabase, ProductionSubmissionSystem]]:
    """A new database, and the submission system on it; the service is proven."""
    with (
        IMEIDatabase(home / "imei_orders.db") as database,
        GSMFusionClient("DEMO-KEY", "demo", options=ClientOptions(url, pool_size=WORKERS)) as client,
    ):
        with database.write() as connection:
            write_list_limit(connection, SERVICE, CHUNK)
        options = Options(workers=WORKERS, chunk_size=CHUNK)
        yield database, ProductionSubmissionSystem(database, client, Checkpoints(home / "checkpoints"), options)


def planned(database: IMEIDatabase, numbers: Sequence[str], per_call: int = CHUNK) -> int:
    """The id of a batch of these IMEIs."""
    listed = [(imei, row) for row, imei in enumerate(numbers, 1)]
    return create_batch(database, NewBatch("benchmark", "command", SERVICE, "Status", 0.08, listed), per_call)


def see_through(database: IMEIDatabase, system: ProductionSubmissionSystem, batch_id: int) -> None:
    """Run until the batch is finished."""
    system.run(threading.Event(), lambda: batch_state(database, batch_id)[0] is BatchState.FINISHED)


def ours(url: str, folder: Path, turn: int, count: int = IMEIS) -> tuple[float, float]:
    """Seconds to plan a confirmed batch, and seconds to place and record it with full durability."""
    home = folder / f"ours-{turn}"
    numbers = imeis(5000 + turn, count)
    with rig(url, home) as (database, system):
        started = time.perf_counter()
        batch_id = planned(database, numbers)
        ready = time.perf_counter()
        see_through(database, system, batch_id)
        placed = time.perf_counter()
    with contextlib.closing(sqlite3.connect(home / "imei_orders.db")) as connection:
        stored = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
    if stored != count:
        raise RuntimeError(f"{stored} of {count} orders were stored")
    return ready - started, placed - ready


def run() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    with tempfile.TemporaryDirectory() as name, provider(Path(name)) as url:
        folder = Path(name)
        floor(url, folder, 90), ours(url, folder, 90)
        spare_collector()  # as the server does, and for both
        pairs = [(floor(url, folder, turn), *ours(url, folder, turn)) for turn in range(TURNS)]
        requests.post(f"{url}/control", json={"latency": LATENCY}, timeout=10).raise_for_status()
        _, slow = ours(url, folder, 99)
    ratios = sorted(placing / least for least, _, placing in pairs)
    with_plan = statistics.median((planning + placing) / least for least, planning, placing in pairs)
    least, planning, placing = (statistics.median(column) for column in zip(*pairs, strict=True))
    spread = f"from {ratios[0]:.2f} to {ratios[-1]:.2f}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        (
            "20,000 IMEIs, zero latency, full durability",
            f"{placing:.2f} s = {statistics.median(ratios):.2f} x the floor of {least:.2f} s ({spread})",
            "1.5 x",
        ),
        ("the same with planning the batch", f"{planning + placing:.2f} s = {with_plan:.2f} x the floor", "-"),
        (
            f"20,000 IMEIs at {LATENCY:g} s a call, 30 workers",
            f"{slow:.2f} s = {slow / (7 * LATENCY):.3f} x 7 rounds",
            f"{1.03 * 7 * LATENCY + 0.5:.2f} s",
        ),
        ("peak memory of this process", f"{peak:.0f} MB", "120 MB"),
    ]
