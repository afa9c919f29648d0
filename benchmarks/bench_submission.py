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
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import requests

from checkpoints import Checkpoints
from database import IMEIDatabase, driver, write_list_limit
from gsm_fusion_client import GSMFusionClient
from production_submission_system import Options, ProductionSubmissionSystem

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "269"
IMEIS, CHUNK, WORKERS = 20_000, 100, 30
TURNS = 5


@contextlib.contextmanager
def provider(folder: Path, **knobs: object) -> Iterator[str]:
    """The URL of a simulator in a process of its own."""
    announce = folder / "simulator.json"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "simulator.py"), "--announce", str(announce)], stdin=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 20
        while not announce.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        url = f"http://127.0.0.1:{json.loads(announce.read_text())['port']}"
        requests.post(f"{url}/control", json={"duplicates": "never", "latency": 0, **knobs}, timeout=10).raise_for_status()
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
    numbers = imeis(turn)
    chunks = [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=WORKERS))
    connection = driver.connect(str(folder / f"floor-{turn}.db"))
    connection.execute("CREATE TABLE orders (order_id TEXT UNIQUE, imei TEXT, status TEXT)")

    def place(chunk: list[str]) -> list[tuple[str, ...]]:
        form = {"apiKey": "DEMO-KEY", "userId": "demo", "action": "placeorder", "networkId": SERVICE, "imei": ",".join(chunk)}
        answer = session.post(f"{url}/gsmfusion_api/index.php", data=form, timeout=60)
        return [tuple(field.text or "" for field in order) for order in ElementTree.fromstring(answer.content).iter("imeis")]

    started = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        for rows in pool.map(place, chunks):
            connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
    connection.commit()
    seconds = time.perf_counter() - started
    stored = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
    connection.close()
    session.close()
    if stored != len(numbers):
        raise RuntimeError(f"the floor stored {stored} of {len(numbers)} orders")
    return seconds


def ours(url: str, folder: Path, turn: int, count: int = IMEIS) -> float:
    """Seconds of submit_batch with full durability, planning included."""
    home = folder / f"ours-{turn}"
    with IMEIDatabase(home / "imei_orders.db") as database, GSMFusionClient("DEMO-KEY", "demo", url, pool_size=WORKERS) as client:
        database.store_services(client.get_imei_services(), time.time())
        with database.write() as connection:
            write_list_limit(connection, SERVICE, CHUNK)
        system = ProductionSubmissionSystem(database, client, Checkpoints(home / "checkpoints"), Options(workers=WORKERS))
        numbers = imeis(5000 + turn, count)
        started = time.perf_counter()
        result = system.submit_batch(numbers, SERVICE)
        seconds = time.perf_counter() - started
    with contextlib.closing(sqlite3.connect(home / "imei_orders.db")) as connection:
        stored = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
    if (result.successful, stored) != (count, count):
        raise RuntimeError(f"{result} with {stored} orders stored")
    return seconds


def run() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    with tempfile.TemporaryDirectory() as name, provider(Path(name)) as url:
        folder = Path(name)
        floor(url, folder, 90), ours(url, folder, 90)
        pairs = [(floor(url, folder, turn), ours(url, folder, turn)) for turn in range(TURNS)]
        ratios = sorted(mine / least for least, mine in pairs)
        requests.post(f"{url}/control", json={"latency": 3.5}, timeout=10).raise_for_status()
        slow = ours(url, folder, 99)
    least, mine = (statistics.median(column) for column in zip(*pairs, strict=True))
    bound = 1.03 * 7 * 3.5 + 0.5
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        ("20,000 IMEIs, zero latency, full durability", f"{mine:.2f} s = {statistics.median(ratios):.2f} x the floor of {least:.2f} s (from {ratios[0]:.2f} to {ratios[-1]:.2f})", "1.5 x"),
        ("20,000 IMEIs at 3.5 s a call, 30 workers", f"{slow:.2f} s = {slow / 24.5:.3f} x 7 rounds", f"{bound:.2f} s"),
        ("peak memory of this process", f"{peak:.0f} MB", "-"),
    ]
