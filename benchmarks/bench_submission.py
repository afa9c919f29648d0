"""20,000 IMEIs through the whole submission system, against a floor and against the rounds that the wire allows.

The floor only POSTs the same chunks with 30 threads and a pooled session, parses with ElementTree and inserts with
executemany: no intent, no checkpoint, no outcome, no progress. The floor of the promise also keeps what the promise
needs, in the same tables, with the least code: intents before the calls, each answer on disk before it is recorded,
whole orders, and outcomes. It checks nothing, paces nothing, and shows no progress. All talk to one simulator in a
process of its own and take turns, so that the ratios hold while the machine's speed drifts.
"""

import contextlib
import json
import os
import queue
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import requests
from sqlalchemy import Connection, select

from benchmarks.measuring import ROOT
from database import IMEIDatabase, utc_now
from gsm_fusion_client import ClientOptions, GSMFusionClient
from orders import BatchState
from production_submission_system import ProductionSubmissionSystem
from runner import spare_collector
from schema import insert_rows, items, sql
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import batch_state
from storage.list_limits import write_list_limit
from submission.checkpoints import Checkpoints
from submission.options import Options

SERVICE = "269"
IMEIS, CHUNK, WORKERS = 20_000, 100, 30
TURNS = 5
LATENCY = 3.5  #: seconds a call
#: The columns that are filled when an order is placed, and the rest of what the promise needs of calls.
WHOLE_ORDER = (
    "INSERT INTO orders (order_id, imei, status, attempt_id, batch_id, order_date, created_at, updated_at, service_id,"
    " service_name, credits, account) SELECT order_id, imei, status, attempt, batch, :now, :now, :now, '269', 'Status',"
    " 0.08, 'main' FROM rows(:rows AS order_id TEXT, imei TEXT, status TEXT, attempt INTEGER, batch INTEGER) given"
)
ORDERED = sql("UPDATE items SET outcome = 'ordered' WHERE chunk_id IN (SELECT value FROM each(:ids AS INTEGER) given)")
ANSWERED = sql("UPDATE chunks SET state = 'answered' WHERE id IN (SELECT value FROM each(:ids AS INTEGER) given)")
SENDING = sql(
    "UPDATE chunks SET state = 'sending', attempt = 1, account = 'main'"
    " WHERE id IN (SELECT value FROM each(:ids AS INTEGER) given)"
)
INTENT = sql(
    f"INSERT INTO attempts (chunk_id, number, imeis, sent_at) SELECT value, 1, {CHUNK}, :now"
    " FROM each(:ids AS INTEGER) given"
)


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

        started, cursor = time.perf_counter(), connection.cursor()
        for answer in pool.map(lambda chunk: posted(session, url, chunk), chunks):
            cursor.executemany(insertion, placed_in(answer))
        connection.commit()
        seconds = time.perf_counter() - started
    stored = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
    if stored != len(numbers):
        raise RuntimeError(f"the floor stored {stored} of {len(numbers)} orders")
    return seconds


def posted(session: requests.Session, url: str, numbers: Sequence[str]) -> bytes:
    """Return the answer to one paid call."""
    form = {"apiKey": "DEMO-KEY", "userId": "demo", "action": "placeorder", "networkId": SERVICE}
    return session.post(f"{url}/gsmfusion_api/index.php", data={**form, "imei": ",".join(numbers)}, timeout=60).content


def placed_in(answer: bytes) -> list[tuple[str, ...]]:
    """Return order id, IMEI and status of each order of an answer."""
    orders = ElementTree.fromstring(answer).iter("imeis")
    return [tuple(field.text or "" for field in order) for order in orders]


def floor_of_promise(url: str, folder: Path, turn: int) -> float:
    """Seconds of the least that keeps intents, answers, orders and outcomes of a planned batch on disk."""
    home = folder / f"promise-{turn}"
    with IMEIDatabase(home / "imei_orders.db") as database, (home / "answers.log").open("ab") as log:

        def keep(_: int, answer: bytes) -> None:
            os.write(log.fileno(), answer)
            os.fsync(log.fileno())

        return floor_of_promise_on(database, url, turn, keep)


def floor_of_promise_on(database: IMEIDatabase, url: str, turn: int, keep: Callable[[int, bytes], None]) -> float:
    """Seconds on an empty database; keep(chunk, answer) returns when the answer is on disk."""
    batch_id = planned(database, imeis(2000 + turn))
    chunks = defaultdict[int, list[str]](list)
    with database.read() as connection:
        query = select(items.c.chunk_id, items.c.imei).where(items.c.batch_id == batch_id).order_by(items.c.id)
        for chunk_id, imei in connection.execute(query):
            chunks[chunk_id].append(imei)
    answers: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
    with requests.Session() as session, ThreadPoolExecutor(WORKERS) as pool:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=WORKERS))

        def place(chunk_id: int) -> None:
            answer = posted(session, url, chunks[chunk_id])
            keep(chunk_id, answer)
            answers.put((chunk_id, answer))

        started, waiting, left = time.perf_counter(), 0, list(chunks)[::-1]
        while left or waiting:
            come = [answers.get() for _ in range(min(1, waiting))]
            while not answers.empty():
                come.append(answers.get())
            waiting -= len(come)
            wave = [left.pop() for _ in range(min(len(left), 2 * WORKERS - waiting))]
            waiting += len(wave)
            with database.write() as connection:
                _keep_promise(connection, batch_id, come, wave)
            for chunk_id in wave:
                pool.submit(place, chunk_id)
        return time.perf_counter() - started


def _keep_promise(connection: Connection, batch_id: int, come: Sequence[tuple[int, bytes]], wave: list[int]) -> None:
    """Write the orders and outcomes of answers, and the intents of the next calls."""
    now, answered = utc_now(), json.dumps([chunk_id for chunk_id, _ in come])
    for chunk_id, answer in come:
        insert_rows(connection, WHOLE_ORDER, [(*order, chunk_id, batch_id) for order in placed_in(answer)], now=now)
    if come:
        connection.execute(ORDERED, {"ids": answered})
        connection.execute(ANSWERED, {"ids": answered})
    if wave:
        connection.execute(SENDING, {"ids": json.dumps(wave)})
        connection.execute(INTENT, {"ids": json.dumps(wave), "now": now})


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
        floor(url, folder, 90), floor_of_promise(url, folder, 90), ours(url, folder, 90)
        spare_collector()  # as the server does, and for all
        turns = [
            (floor(url, folder, turn), floor_of_promise(url, folder, turn), *ours(url, folder, turn))
            for turn in range(TURNS)
        ]
        requests.post(f"{url}/control", json={"latency": LATENCY}, timeout=10).raise_for_status()
        _, slow = ours(url, folder, 99)
    ratios = sorted(placing / least for least, _, _, placing in turns)
    kept = statistics.median(placing / promise for _, promise, _, placing in turns)
    with_plan = statistics.median((planning + placing) / least for least, _, planning, placing in turns)
    least, promise, planning, placing = (statistics.median(column) for column in zip(*turns, strict=True))
    spread = f"from {ratios[0]:.2f} to {ratios[-1]:.2f}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        (
            "20,000 IMEIs, zero latency, full durability",
            f"{placing:.2f} s = {statistics.median(ratios):.2f} x the floor of {least:.2f} s ({spread})",
            "1.5 x",
        ),
        ("the same against the floor of the promise", f"{kept:.2f} x the floor of {promise:.2f} s", "1.15 x"),
        ("the same with planning the batch", f"{planning + placing:.2f} s = {with_plan:.2f} x the floor", "-"),
        (
            f"20,000 IMEIs at {LATENCY:g} s a call, 30 workers",
            f"{slow:.2f} s = {slow / (7 * LATENCY):.3f} x 7 rounds",
            f"{1.03 * 7 * LATENCY + 0.5:.2f} s",
        ),
        ("peak memory of this process", f"{peak:.0f} MB", "120 MB"),
    ]
