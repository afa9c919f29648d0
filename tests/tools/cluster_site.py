"""A cluster on this machine: a server of PostgreSQL, web replicas, workers, and a provider whose ledger is the judge.

Every process is a real one, and can be killed, stopped or cut off; those that die are started again.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import psycopg
import requests
from forked_command import ForkedCommand, short_waits
from gunicorn_server import ForkedGunicorn, Server, environ_of, free_port
from postgresql_cluster import new_data, programs, start_server, unprivileged_user
from scaled_cluster import WINDOW, scaled
from simulated_provider import SERVICE, Knobs, Simulator, imeis, judge, put_in_use
from stored_orders import imeis_in_doubt, names_of_orders
from waiting import wait_until

from access import create_token
from database import IMEIDatabase
from people import Role, scopes_of
from simulator.server import Call
from storage.list_limits import write_list_limit
from storage.token_store import NewToken
from submission.listing import NEAREST

#: What is lost when the machine fails is nothing that a test looks at; what was committed outlives the server.
SAFE = ("fsync=off", "full_page_writes=off", "synchronous_commit=on", "authentication_timeout=2s")
REPLICAS = 3
#: Calls in WINDOW seconds, in all.
LIMIT = 30
PATIENCE = 300.0  #: seconds; only a failure takes that long
#: Seconds after which a later order is placed where only that proves that a call placed nothing: a rest of a call that
#: was cut off is over by then.
PROOF_AFTER = 10.0
#: The newest orders, which the provider lists while blows fall: all of them would take seconds each time.
LISTED = 4000
#: Seconds until the slowest result is there: a day, because the texts of results are two fifths of the work of a look.
TURNAROUND = 86_400.0
#: The orders that show how far back a list reaches: those known right before the first call that has no end yet, or
#: that such a call repeats, and all since. Some were charged long before: a doubt is settled long after its call.
AROUND_DOUBT = f"""
WITH first AS (
  SELECT coalesce(min(a.after_order), 9e18) AS id
  FROM attempts a JOIN chunks c ON c.id = a.chunk_id OR c.doubt_attempt = a.id
  WHERE c.state IN ('sending', 'in_doubt')
)
(SELECT order_id FROM orders, first WHERE orders.id <= first.id ORDER BY orders.id DESC LIMIT {NEAREST})
UNION ALL SELECT order_id FROM orders, first WHERE orders.id > first.id
"""
#: Room on the list for orders that are a proof.
PROOFS = 100
#: What a failed test shows of the calls that have no end, and of what may hold them.
OPEN = (
    "SELECT row_to_json(c), row_to_json(a), (SELECT count(*) FROM orders WHERE id > a.after_order) AS orders_since"
    " FROM attempts a JOIN chunks c ON c.id = a.chunk_id WHERE c.state NOT IN ('answered', 'cancelled')",
    "SELECT row_to_json(j) FROM procrastinate_jobs j WHERE task_name = 'make_call'",
    *(
        f"SELECT row_to_json(t) FROM {table} t"
        for table in ("procrastinate_workers", "raw_answers", "elections", "leases", "pace", "batches")
    ),
    "SELECT * FROM balance_readings ORDER BY id DESC LIMIT 5",
    "SELECT key, value FROM settings WHERE key LIKE 'learned%'",
    "SELECT clock_timestamp()",
)
#: Seconds that a worker gets to say where it is, and lines of it that are shown.
TOLD, LINES = 2.0, 150


class DatabaseServer:
    """PostgreSQL on a port of its own, which can be stopped at once and started again."""

    def __init__(self, data: Path) -> None:
        self.data, self.port = data, free_port()
        self.url = f"postgresql://hammer@127.0.0.1:{self.port}/postgres"
        self.process = start_server(data, self.port, SAFE)

    def stop_at_once(self) -> None:
        """End all its processes without a word to their clients, as a crash does."""
        command = [str((programs() or Path()) / "pg_ctl"), "-D", str(self.data), "-m", "immediate", "-t", "10", "stop"]
        subprocess.run(command, check=True, user=unprivileged_user(), cwd=self.data, stdout=subprocess.DEVNULL)
        self.process.wait(PATIENCE)

    def start(self) -> None:
        self.process = start_server(self.data, self.port, SAFE)


@dataclass(frozen=True)
class Finding:
    """What the ledger and the database say at the end."""

    total: int  #: IMEIs of all batches
    twice: int  #: IMEIs that were charged more than once
    unknown: int  #: charges that the database does not record
    lost: int  #: charged IMEIs without a recorded order that are not in doubt
    in_doubt: int
    outcomes: dict[str, int]
    most: int  #: calls in the busiest window
    calls: int
    faulty: int

    @property
    def passed(self) -> bool:
        whole = sum(self.outcomes.values()) == self.total and "waiting" not in self.outcomes
        return whole and not (self.twice or self.unknown or self.lost or self.in_doubt) and self.most <= LIMIT


class ClusterSite:
    """The processes of one cluster, and a person who uses its API through any replica."""

    def __init__(self, folder: Path, url: str, simulator: Simulator, before: Callable[[], None] = scaled) -> None:
        self.folder, self.url, self.simulator, self.before = folder, url, simulator, before
        self.worker_urls: list[str] = []  #: of the database, where workers have another way to it
        self.numbers = 0
        self.batches: dict[int, int] = {}  #: id → IMEIs
        self.workers: list[ForkedCommand] = []
        self.webs: list[Server] = []
        with IMEIDatabase(url) as database:
            put_in_use(simulator, database)
            with database.write() as connection:
                write_list_limit(connection, SERVICE, 100)
            operator = NewToken("operator", Role.OPERATOR, scopes_of(Role.OPERATOR))
            self.headers = {"Authorization": f"Bearer {create_token(database, operator)}"}
        self.session = requests.Session()
        self.session.trust_env = False

    # Processes

    @property
    def environ(self) -> dict[str, str]:
        return {
            "GSM_FUSION_API_KEY": "DEMO-KEY",
            "GSM_FUSION_USERNAME": "demo",
            "GSM_FUSION_BASE_URL": self.simulator.base_url,
            "GSM_FUSION_TIMEOUT": "4",
            "GSM_FUSION_RATE_LIMIT": str(LIMIT),
            "ADMIN_PASSWORD": "a-password-for-tests",
            "DATABASE_URL": self.url,
            "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
            "AUTO_SYNC_INTERVAL": "0",
            "SETTLE_QUIET": "0.3",
            "RESEND_LIMIT": "1000",
            "WEB_CONCURRENCY": "1",
            "WORKERS": "6",
        }

    def new_folder(self, kind: str) -> Path:
        self.numbers += 1
        made = self.folder / f"{kind}-{self.numbers}"
        made.mkdir()
        return made

    def start_worker(self, place: int) -> ForkedCommand:
        folder, environ = self.new_folder("worker"), self.environ
        if self.worker_urls:
            environ["DATABASE_URL"] = self.worker_urls[place]
        return ForkedCommand(folder, environ_of(folder, **environ), "worker", before=self.before)

    def start_web(self) -> Server:
        return Server(self.new_folder("web"), free_port(), partial(ForkedGunicorn, before=short_waits), **self.environ)

    def start(self, webs: int = REPLICAS, workers: int = REPLICAS) -> None:
        self.webs = [self.start_web() for _ in range(webs)]
        self.workers = [self.start_worker(place) for place in range(workers)]
        for web in self.webs:
            wait_until(web.answers, "each web replica answers", PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            kill(worker)
        for web in self.webs:
            web.kill()

    def revive(self) -> None:
        """Start what has died, as the supervisor of a machine does."""
        for place, worker in enumerate(self.workers):
            if not worker.process.is_alive():
                self.workers[place] = self.start_worker(place)
        for place, web in enumerate(self.webs):
            if web.process.poll() is not None:
                self.webs[place] = self.start_web()

    def leader(self) -> ForkedCommand:
        """Return the worker that leads, or any where none leads."""
        with contextlib.suppress(psycopg.Error):
            [(holder,)] = self.rows("SELECT max(holder) FROM elections WHERE name = 'main'")
            for worker in self.workers:
                if f"process {worker.process.pid} " in (holder or ""):
                    return worker
        return self.workers[0]

    def rows(self, query: str) -> list[Any]:
        with psycopg.connect(self.url, connect_timeout=5) as connection:
            return connection.execute(query.encode()).fetchall()

    def run(self, statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statements.encode())

    # What a person does

    def ask(self, method: str, path: str, replica: int | None = None, **more: Any) -> Any:
        """Ask a replica, or one after the other until one answers. Returns JSON."""
        deadline, place = time.monotonic() + PATIENCE, self.numbers if replica is None else replica
        while True:
            with contextlib.suppress(requests.RequestException):
                port = self.webs[place % len(self.webs)].port
                url = f"http://127.0.0.1:{port}/api/v1{path}"
                answer = self.session.request(method, url, headers=self.headers, timeout=20, **more)
                if answer.status_code < 500 and "key-in-use" not in answer.text:
                    assert answer.ok, answer.text
                    return answer.json()
            assert time.monotonic() < deadline, f"a replica answers {method} {path}"
            place += 1
            time.sleep(0.1)

    def order(self, count: int, first: int = 0, replica: int | None = None) -> int:
        """Order IMEIs, once: a repeated request has the same key. Returns the id of the batch."""
        listed = imeis(count, first)
        asked = {"service_id": SERVICE, "imeis": listed, "max_cost": f"{count:.2f}"}
        key = {**self.headers, "Idempotency-Key": f"order-{first}"}
        headers, self.headers = self.headers, key
        try:
            batch_id = int(self.ask("POST", "/batches", replica, json=asked)["id"])
        finally:
            self.headers = headers
        self.batches[batch_id] = count
        return batch_id

    def batch(self, batch_id: int, replica: int | None = None) -> Any:
        found = self.ask("GET", f"/batches/{batch_id}", replica)
        assert sum(found["outcomes"].values()) == self.batches[batch_id]
        return found

    def await_charges(self, count: int, seconds: float) -> None:
        """Wait until this many IMEIs are charged, at most these seconds."""
        until = time.monotonic() + seconds
        while len(self.simulator.charges()) < count and time.monotonic() < until:
            time.sleep(0.02)

    def pause_and_resume(self, batch_id: int) -> None:
        """Pause at one replica, see it at another, and resume at the third."""
        self.ask("POST", f"/batches/{batch_id}/pause", replica=1)
        assert self.batch(batch_id, replica=2)["state"] in ("paused", "finished")
        self.ask("POST", f"/batches/{batch_id}/resume", replica=0)

    def see_through(self, batch_id: int, patience: float = PATIENCE) -> None:
        """Wait until each IMEI has its outcome and nothing is in doubt; later orders may be needed as a proof.

        Fails where for this many seconds nothing was settled.
        """
        deadline, more, least = 0.0, 900_000, self.batches[batch_id] + 1
        next_order = time.monotonic() + PROOF_AFTER
        while True:
            now = self.batch(batch_id)
            if now["state"] == "paused":
                self.ask("POST", f"/batches/{batch_id}/resume")
            left = now["outcomes"]["waiting"] + now["outcomes"]["in_doubt"]
            if not left:
                return
            if left < least:
                least, deadline = left, time.monotonic() + patience
            if not now["outcomes"]["waiting"] and time.monotonic() > next_order:
                self.list_for_doubt()
                self.order(3, more)
                more, next_order = more + 3, time.monotonic() + PROOF_AFTER
            assert time.monotonic() < deadline, f"all is settled: {now}\n{self.trouble()}"
            time.sleep(0.3)

    def list_for_doubt(self) -> None:
        """Let the provider list what is known around each call without an end: a shorter list settles none of them.

        A list of all 20,000 orders would take the leader a second each time.
        """
        charged = [str(charge.order_id) for charge in self.simulator.charges()]
        known = {order_id for (order_id,) in self.rows(AROUND_DOUBT)}
        oldest = next((place for place, order_id in enumerate(charged) if order_id in known), len(charged))
        self.simulator.set(listing_limit=max(LISTED, len(charged) - oldest + PROOFS))

    def trouble(self) -> str:
        """Return what is known of the calls that have no end: rows of the database, and what each worker says."""
        said = [f"{query.split()[-1]}: {row}" for query in OPEN for row in self.rows(query)]
        for worker in self.workers:
            if worker.process.pid is not None and worker.process.is_alive():
                os.kill(worker.process.pid, signal.SIGUSR1)
        time.sleep(TOLD)
        for worker in self.workers:
            said += [str(worker.files[2]), *worker.files[2].read_text().splitlines()[-LINES:]]
        return "\n".join(said)

    # The judge

    def finding(self) -> Finding:
        with IMEIDatabase(self.url) as database:
            twice, unknown = judge(self.simulator, database)
            doubtful = imeis_in_doubt(database)
            known = {order_id for order_id, _, _ in names_of_orders(database)}
        lost = {charge.imei for charge in self.simulator.charges() if str(charge.order_id) not in known} - doubtful
        counted: Counter[str] = Counter()
        for batch_id in self.batches:
            counted.update(self.batch(batch_id)["outcomes"])
        calls = self.simulator.calls()
        return Finding(
            total=sum(self.batches.values()),
            twice=twice,
            unknown=unknown,
            lost=len(lost),
            in_doubt=len(doubtful),
            outcomes={name: count for name, count in counted.items() if count},
            most=most_in_window(calls),
            calls=len(calls),
            faulty=sum(bool(call.fault) for call in calls),
        )


def most_in_window(calls: Sequence[Call], seconds: float = WINDOW) -> int:
    """Return how many calls have reached the provider in the busiest window, wherever it begins."""
    most, window = 0, deque[float]()
    for started in sorted(call.started for call in calls):
        window.append(started)
        while window[0] <= started - seconds:
            window.popleft()
        most = max(most, len(window))
    return most


def kill(worker: ForkedCommand) -> None:
    """Kill a worker, and wait until it is gone."""
    worker.process.kill()
    worker.process.join()


@contextlib.contextmanager
def own_server() -> Iterator[DatabaseServer]:
    """Run a server until the block ends."""
    with new_data() as data:
        server = DatabaseServer(data)
        try:
            yield server
        finally:
            server.process.kill()
            server.process.wait()


def duplicating(seed: int = 0, **knobs: Any) -> Simulator:
    """Return a provider that never refuses a duplicate."""
    usual = {"history": 1, "duplicates": "never", "latency": 0.2, "jitter": 0.2}
    lists = {"listing_limit": LISTED, "turnaround": TURNAROUND}
    return Simulator(Knobs(**{**usual, **lists, **knobs}), seed=seed)
