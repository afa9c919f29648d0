"""A batch of 20,000 IMEIs with and without a busy office and hostile clients, in turns, in the default deployment.

gunicorn runs as `make run` starts it, with the demo's provider as a real account, so that every request has a login.
The load is a process of its own: people who follow the batch, people who click, sockets that send half a header, and
large forms. This process asks /health all the while. `python -m benchmarks.bench_load 2000 1` is a short trial.
"""

import contextlib
import json
import os
import random
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from access import begin_session
from benchmarks.bench_web import SERVICE, listed, order, token, wait_for, workers_of
from benchmarks.measuring import ROOT, kilobytes
from database import IMEIDatabase, utc_now
from people import Role
from settings import load_settings
from simulator import ensure_running
from storage import user_store

IMEIS, TURNS = 20_000, 3
STREAMS, PEOPLE, SLOW, FORMS = 50, 20, 70, 20
#: IMEIs of each large form; seconds within which all forms are sent, and that a person looks at a page, on average.
FORM_IMEIS, SPREAD, LOOKED = 20_000, 8.0, 4.0
#: Seconds between two questions to /health.
ASKED_EVERY = 0.05
BASE, PORT = "http://127.0.0.1:8098", 8098
HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-"
FIRST_ORDER = "9000000000000"  #: of the demo
PAGES = ("/", "/batches", "/batches/{batch_id}", "/history", f"/orders/{FIRST_ORDER}")


@dataclass
class Load:
    """The clients, until the standard input ends; its first line is the batch. Runs in a process of its own."""

    cookies: list[str]  #: of the people
    browsers: dict[int, requests.Session] = field(default_factory=dict)  #: by the number of the client
    batch_id: int = 1
    began: threading.Event = field(default_factory=threading.Event)  #: the batch has begun
    ended: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=lambda: [0.0, 0.0])  #: seconds of each page

    def run(self) -> None:
        """Start all clients, pass them the batch, wait for the end of the input, and print what they saw."""
        kinds: tuple[tuple[int, Callable[[int], None]], ...] = (
            (STREAMS, self.follow), (PEOPLE, self.click), (SLOW, self.dawdle), (FORMS, self.send),
        )  # fmt: skip
        clients = [client for count, client in kinds for _ in range(count)]
        threads = [threading.Thread(target=self._repeat, args=given, daemon=True) for given in enumerate(clients)]
        for thread in threads:
            thread.start()
        print("ready", flush=True)
        self.batch_id = int(sys.stdin.readline())
        self.began.set()
        sys.stdin.read()
        self.ended.set()
        page_p95 = statistics.quantiles(self.waits, n=20)[-1]
        print(json.dumps({**self.counts, "page_p95": round(page_p95, 3)}), flush=True)

    def follow(self, number: int) -> None:
        """Read the progress of the batch, and begin again where the stream ends."""
        self.began.wait()
        with self._session(number).get(self._url("/batches/{batch_id}/events"), stream=True, timeout=60) as stream:
            self._count("streams", stream.status_code)
            for line in stream.iter_lines():
                self.counts["events"] += line.startswith(b"event: progress")
                if self.ended.is_set():
                    return
        self.ended.wait(2)

    def click(self, number: int) -> None:
        """Look at a page, then open another one."""
        self.ended.wait(random.uniform(0, 2) * LOOKED)
        began = time.monotonic()
        answer = self._session(number).get(self._url(random.choice(PAGES)), timeout=30)
        self.waits.append(time.monotonic() - began)
        self._count("pages", answer.status_code)

    def dawdle(self, _number: int) -> None:
        """Send half a header, until the server closes the connection."""
        with socket.create_connection(("127.0.0.1", PORT), timeout=60) as client:
            client.sendall(HALF)
            while client.recv(1000):
                pass

    def send(self, number: int) -> None:
        """Paste 20,000 IMEIs, once."""
        self.began.wait()
        self.ended.wait(random.uniform(0, SPREAD))
        session = self._session(number)
        page = session.get(BASE + "/batch", timeout=30)
        form = {"csrf_token": token(page.text), "service_id": SERVICE, "imeis": listed(number * 1000, FORM_IMEIS)}
        answer = session.post(BASE + "/batch", data=form, timeout=60, allow_redirects=False)
        self._count("forms", answer.status_code)
        self.ended.wait()

    def _repeat(self, number: int, client: Callable[[int], None]) -> None:
        while not self.ended.is_set():
            try:
                client(number)
            except (OSError, RuntimeError) as error:
                if not self.ended.is_set():
                    self.counts[f"failed: {client.__name__} {error!r:.90}"] += 1
                    self.ended.wait(1)

    def _session(self, number: int) -> requests.Session:
        """Return the browser of a client, which keeps its connection."""
        cookie = self.cookies[number % len(self.cookies)]
        return self.browsers.get(number) or self.browsers.setdefault(number, session_of(cookie))

    def _url(self, path: str) -> str:
        return BASE + path.format(batch_id=self.batch_id)

    def _count(self, what: str, status: int) -> None:
        self.counts[what if status in (200, 303) else f"failed: {what} {status}"] += 1


def session_of(cookie: str) -> requests.Session:
    """Return the browser of a person who is logged in."""
    session = requests.Session()
    session.trust_env = False
    session.cookies.set("hammer_session", cookie)
    return session


@dataclass
class Office:
    """A running server, and the people who use it."""

    master: int
    database: IMEIDatabase
    cookies: list[str]
    health: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})  #: seconds, by load
    seen: Counter[str] = field(default_factory=Counter)  #: what the load counted
    page_p95: list[float] = field(default_factory=list)
    ordered: int = 0

    def batch(self, imeis: int, is_loaded: bool) -> float:
        """Send a batch and return the seconds from its start to its last answer."""
        session = session_of(self.cookies[0])
        file, self.ordered = listed(self.ordered, imeis), self.ordered + imeis
        with self.load() if is_loaded else contextlib.nullcontext(lambda _: None) as begin:
            batch_id = int(order(session, BASE, file).rpartition("/")[2])
            begin(batch_id)
            while (seconds := self._seconds_of(batch_id)) is None:
                began = time.perf_counter()
                answer = session.get(f"{BASE}/health", timeout=30)
                self.health[is_loaded].append(time.perf_counter() - began)
                self.seen["failed: health"] += answer.status_code != 200
                time.sleep(ASKED_EVERY)
        return seconds

    @contextlib.contextmanager
    def load(self) -> Iterator[Callable[[int], None]]:
        """Run all clients until the block ends; yield the function that passes them the batch."""
        command = [sys.executable, "-m", "benchmarks.bench_load", "load", *self.cookies]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
            if not clients.stdin or not clients.stdout or clients.stdout.readline() != "ready\n":
                raise RuntimeError("the clients did not start")
            to_clients = clients.stdin
            yield lambda batch_id: print(batch_id, file=to_clients, flush=True)
            found = json.loads(clients.communicate(timeout=60)[0])
        self.page_p95.append(found.pop("page_p95"))
        self.seen.update(found)

    def _seconds_of(self, batch_id: int) -> float | None:
        query = "SELECT (julianday(finished_at) - julianday(started_at)) * 86400 FROM batches WHERE id = ?"
        with self.database.read() as connection:
            found: float | None = connection.exec_driver_sql(query, (batch_id,)).scalar()
        return found


@contextlib.contextmanager
def office(folder: Path) -> Iterator[Office]:
    """Start the provider and the server, and log people in."""
    provider = ensure_running(folder)
    kept_out = ("GSM_", "RAILWAY_", "ADMIN_", "DAILY_", "WEB_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(kept_out)}
    environ |= {"DATA_DIR": str(folder), "PORT": str(PORT), "LOG_LEVEL": "WARNING", "SECRET_KEY": secrets.token_hex()}
    environ |= {"GSM_FUSION_BASE_URL": provider.base_url, "GSM_FUSION_API_KEY": provider.api_key}
    environ |= {"GSM_FUSION_USERNAME": provider.username, "ADMIN_PASSWORD": secrets.token_hex()}
    log = (folder / "server.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "web_app:app"], cwd=ROOT, env=environ, stdout=log, stderr=log
    )
    try:
        wait_for(BASE)
        with IMEIDatabase(load_settings(environ).database_path) as database:
            yield Office(server.pid, database, log_in(database))
    finally:
        server.terminate()
        server.wait(60)
        provider.close()


def log_in(database: IMEIDatabase) -> list[str]:
    """Add people who may order, each with a second factor, and return the cookies of their sessions."""
    now, cookies = utc_now(), []
    for number in range(PEOPLE):
        with database.write() as connection:
            user_id = user_store.add_user(connection, f"person-{number}", Role.OPERATOR, "", None, now) or 0
            user_store.set_second_factor(connection, user_id, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", None)
        cookies.append(begin_session(database, user_id, "127.0.0.1", "", now))
    return cookies


def run(imeis: int = IMEIS, turns: int = TURNS) -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as name, office(Path(name)) as found:
        found.batch(min(imeis, 2000), is_loaded=False)
        for turn in range(turns):
            for is_loaded in (bool(turn % 2), not turn % 2):
                seconds[is_loaded].append(found.batch(imeis, is_loaded))
        peak = max(map(kilobytes, workers_of(found.master))) / 1024
    return rows(found, seconds, peak)


def rows(found: Office, seconds: dict[bool, list[float]], peak: float) -> list[tuple[str, str, str]]:
    """Return what was measured."""
    alone, loaded = statistics.median(seconds[False]), statistics.median(seconds[True])
    failed = {what: count for what, count in found.seen.items() if what.startswith("failed") and count}
    served = ", ".join(f"{count:,} {what}" for what, count in found.seen.items() if not what.startswith("failed"))
    p99 = {is_loaded: statistics.quantiles(times, n=100)[-1] * 1000 for is_loaded, times in found.health.items()}
    asked = f"{len(found.health[True]):,} answers"
    return [
        ("/health under load", f"p99 {p99[True]:.0f} ms of {asked} (without: {p99[False]:.0f} ms)", "p99 200 ms"),
        ("errors under load", f"{failed or 'none'}; {served}", "none"),
        ("pages under load, 95th percentile", f"{max(found.page_p95):.2f} s", "-"),
        ("largest web process under load", f"{peak:.0f} MB", "300 MB"),
        ("the batch under load", f"{loaded / alone:.3f} x ({loaded:.2f} s and {alone:.2f} s)", "1.05 x"),
    ]


def main(given: list[Any]) -> None:
    """Be the load of a batch, or measure with these numbers of IMEIs and turns."""
    if given[:1] == ["load"]:
        Load(given[1:]).run()
        return
    for row in run(*map(int, given)):
        print(*row, sep=" | ")


if __name__ == "__main__":
    main(sys.argv[1:])
