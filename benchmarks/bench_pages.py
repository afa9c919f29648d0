"""Every page at 100,000 and at 1,000,000 orders: how long the server needs for it, and whether that grows.

The pages are asked through the real app in this process, each 40 times, with what the app remembers for seconds
forgotten before each request, so that the slowest visit is what is measured. `python -m benchmarks.bench_pages
100000 1000000 5000000` prints the table of every page at these sizes; `run` sums it up. Five million orders take
about 8 GB of the temporary folder.
"""

import contextlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from flask import Flask
from flask.testing import FlaskClient

import batch_queries
from benchmarks.bench_web import with_check_digit
from benchmarks.years import SERVICES, Years, fill
from database import IMEIDatabase
from orders import Account
from settings import Settings
from web_app import create_app
from web_context import Backend
from web_stream import chunk_letters, details, overall_rate, snapshot

SIZES = (100_000, 1_000_000)
REQUESTS = 40
LIMIT, GROWTH = 50.0, 1.5  #: milliseconds; how many times the figure at the smallest size
#: Milliseconds below which growth is noise.
NOISE = 5.0

Times = dict[str, tuple[float, float]]


class Visit(NamedTuple):
    """How to ask for a page, and how to make the app forget what it remembers for seconds before that."""

    forget: Callable[[], None]
    work: Callable[[], object]


def run() -> list[tuple[str, str, str]]:
    """The table: what, measured, target."""
    found = measure(SIZES)
    few, many = found[SIZES[0]], found[SIZES[-1]]
    slowest = max(many, key=lambda name: many[name][1])
    steepest = max(many, key=lambda name: growth(few, many, name))
    return [
        (f"{len(many)} pages, {SIZES[-1]:,} orders: slowest p95", f"{many[slowest][1]:.0f} ms ({slowest})", "50 ms"),
        (f"the steepest growth from {SIZES[0]:,}", f"{growth(few, many, steepest):.2f} x ({steepest})", "1.5 x"),
    ]


def growth(few: Times, many: Times, name: str) -> float:
    """How many times longer a page takes, noise left out."""
    return max(many[name][1], NOISE) / max(few[name][1], NOISE) if name in few else 1.0


def measure(sizes: Sequence[int]) -> dict[int, Times]:
    """For each size page → (p50, p95) in milliseconds over a fresh database of so many orders."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        made: dict[int, tuple[IMEIDatabase, Years]] = {}
        for size in sizes:
            database = opened.enter_context(IMEIDatabase(Path(folder) / str(size) / "imei_orders.db"))
            made[size] = database, fill(database, size)
        return ask_all(made)


def ask_all(made: Mapping[int, tuple[IMEIDatabase, Years]], only: str = "") -> dict[int, Times]:
    """For each size page → (p50, p95) in milliseconds. The sizes take turns, so that the machine's mood is shared."""
    pages = {size: dict(visits(_app(database), database, years)) for size, (database, years) in made.items()}
    found: dict[int, Times] = {size: {} for size in made}
    for name in pages[max(made)]:
        if only in name:
            asked = {size: named[name] for size, named in pages.items() if name in named}
            for size, times in timed(asked).items():
                found[size][name] = times
    return found


def _app(database: IMEIDatabase) -> Flask:
    return create_app(
        Settings(data_dir=database.path.parent),
        database,
        fetch_services=lambda: SERVICES,
        fetch_account=lambda: Account(1500.0, "$ 1500 USD"),
    )


def visits(app: Flask, database: IMEIDatabase, years: Years) -> Iterator[tuple[str, Visit]]:
    """Every page by name, with what asks for it once with nothing remembered."""
    backend: Backend = app.extensions["backend"]
    for name, work in _visits(app.test_client(), database, years):
        yield name, Visit(backend.forget, work)


def _visits(client: FlaskClient, database: IMEIDatabase, years: Years) -> Iterator[tuple[str, Callable[[], object]]]:
    for name, url in addresses(database, years).items():
        yield name, lambda url=url: _get(client, url)  # type: ignore[misc]
    preview = _paste(client, [with_check_digit(f"86{number:012d}") for number in range(20_000)])
    yield "preview of 20,000", lambda: _get(client, preview)
    yield "the stream's look at a running batch", lambda: _look(database, years.running)
    if years.big:
        yield "the stream's look at a batch of 100,000", lambda: _look(database, years.big or 0)


def addresses(database: IMEIDatabase, years: Years) -> dict[str, str]:
    """The pages that one reads."""
    total = database.count_orders()
    some = database.get_recent_orders(1, before_id=total // 2)[0]
    imei, order_id, day = some["imei"], some["order_id"], f"{some['order_date']:%Y-%m-%d}"
    oldest = f"{database.get_recent_orders(1, before_id=2)[0]['order_date']:%Y-%m-%d}"
    rare = SERVICES[-1].service_id
    filters = {
        "none": "",
        "none, deep": f"before={total // 2}",
        "pending": "status=Pending",
        "in process (rare)": "status=In+Process",
        "rejected": "status=Rejected",
        "rejected, deep": f"status=Rejected&before={total // 3}",
        "completed": "status=Completed",
        "service (common)": f"service={SERVICES[0].service_id}",
        "service (rare)": f"service={rare}",
        "service (none)": "service=nothing",
        "carrier (common)": "carrier=T-Mobile+USA",
        "carrier (rare)": "carrier=Rare+Mobile",
        "SIM lock (common)": "simlock=Locked",
        "SIM lock (rare)": "simlock=Relocked",
        "FMI (common)": "fmi=ON",
        "FMI (rare)": "fmi=UNKNOWN",
        "batch": f"batch={years.usual}",
        "a batch's rejected": f"batch={years.usual}&status=Rejected",
        "one day": f"since={day}&until={day}",
        "one day, deep": f"since={day}&until={day}&before={some['id']}",
        "since the first day": f"since={oldest}",
        "until the first day": f"until={oldest}",
        "until the first day, rejected": f"until={oldest}&status=Rejected",
        "all days, carrier (common)": f"since={oldest}&carrier=AT%26T",
        "all days, carrier (rare)": f"since={oldest}&carrier=Rare+Mobile",
        "one day, carrier (rare)": f"since={day}&until={day}&carrier=Rare+Mobile",
        "carrier and FMI (common, rare)": "carrier=T-Mobile+USA&fmi=UNKNOWN",
        "carrier and FMI (rare, common)": "carrier=Rare+Mobile&fmi=ON",
        "carrier and SIM lock (rare, rare)": "carrier=Rare+Mobile&simlock=Relocked",
        "carrier and status (never both)": "carrier=T-Mobile+USA&status=Rejected",
        "FMI and status (never both)": "fmi=ON&status=Pending",
        "service and carrier": f"service={rare}&carrier=AT%26T",
        "service and status": f"service={SERVICES[1].service_id}&status=Rejected",
        "four terms": "carrier=AT%26T&simlock=Locked&fmi=ON&status=Completed",
        "an IMEI": f"q={imei}",
        "an order id": f"q={order_id}",
        "an unknown IMEI": "q=123456789012345",
        "a TAC (common)": "q=35000000",
        "a TAC (rare)": f"q={imei[:11]}",
        "3 digits": "q=350",
        "3 digits (none)": "q=999",
        "a TAC, rejected": "q=35000000&status=Rejected",
        "a TAC, carrier (rare)": "q=35000000&carrier=Rare+Mobile",
        "mismatch": "mismatch=1",
        "mismatch, carrier": "mismatch=1&carrier=AT%26T",
    }
    pages = {
        "/": "/",
        "/submit": "/submit",
        "/batch": "/batch",
        "/services": "/services",
        "/database": "/database",
        "/status": "/status",
        "/health": "/health",
        "/api/status": "/api/status",
        "/batches": "/batches",
        "/batches, deep": f"/batches?before={years.usual // 2}",
        "a batch, finished": f"/batches/{years.usual}",
        "a batch, 10,000 pending": f"/batches/{years.pending}",
        "a batch, running": f"/batches/{years.running}",
        "a batch, progress.json": f"/batches/{years.running}/progress.json",
        "a batch, in doubt": f"/batches/{years.doubtful}/doubt",
        "a batch, verdicts": f"/batches/{years.usual}/verdicts",
        "an order": f"/orders/{order_id}",
        "reports by day": "/reports?by=day",
        "reports by service": "/reports?by=service",
        "reports by batch": "/reports?by=batch",
        "reports since a day": f"/reports?since={day}",
        "spend.csv": "/reports/spend.csv?by=batch",
        "history.csv, first bytes": "/history.csv",
        "history.csv of a filter, first bytes": "/history.csv?carrier=AT%26T&fmi=ON",
        "disputes.csv, first bytes": "/reports/disputes.csv",
        "results.csv, first bytes": f"/batches/{years.usual}/results.csv",
    }
    if years.big:
        pages |= {
            "a batch of 100,000": f"/batches/{years.big}",
            "a batch of 100,000, verdicts": f"/batches/{years.big}/verdicts",
        }
    return pages | {f"/history: {name}": f"/history?{query}" for name, query in filters.items()}


def timed(asked: Mapping[int, Visit]) -> dict[int, tuple[float, float]]:
    """For each size (p50, p95) in milliseconds of this thread's processor time, warm.

    All that is asked for is in memory by then, so nothing is waited for; the clock on the wall would measure what else
    a shared machine does.
    """
    times: dict[int, list[float]] = {size: [] for size in asked}
    for number in range(REQUESTS + 2):
        for size, visit in asked.items():
            visit.forget()
            started = time.thread_time()
            visit.work()
            if number >= 2:
                times[size].append((time.thread_time() - started) * 1000)
    return {
        size: (statistics.median(found), sorted(found)[int(len(found) * 0.95) - 1]) for size, found in times.items()
    }


def _get(client: FlaskClient, url: str) -> None:
    with client.get(url, buffered=False) as answer:
        if answer.status_code != 200:
            raise RuntimeError(f"{url} answered {answer.status_code}")
        next(iter(answer.response), b"")


def _paste(client: FlaskClient, imeis: list[str]) -> str:
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/batch").text)
    form = {"csrf_token": found[1] if found else "", "imeis": "\n".join(imeis), "service_id": SERVICES[0].service_id}
    return str(client.post("/batch", data=form).location)


def _look(database: IMEIDatabase, batch_id: int) -> None:
    """What a stream reads when something has changed."""
    if batch_queries.revision(database, batch_id) is None:
        raise RuntimeError(f"there is no batch {batch_id}")
    progress = batch_queries.progress(database, batch_id)
    if progress is not None:
        snapshot(progress, overall_rate(progress)) | chunk_letters(database, batch_id) | details(database, batch_id)


def table(found: dict[int, Times]) -> Iterator[str]:
    """The table in Markdown, one page a line."""
    sizes = sorted(found)
    yield "| page | " + " | ".join(f"{size:,}: p50, p95" for size in sizes) + " | growth |"
    yield "|---|" + "--:|" * (len(sizes) + 1)
    for name, (_, p95) in found[sizes[-1]].items():
        cells = [f"{times[name][0]:.1f}, {times[name][1]:.1f}" if name in times else "-" for times in found.values()]
        steep = growth(found[sizes[0]], found[sizes[-1]], name)
        over = " **over**" if p95 > LIMIT or steep > GROWTH else ""
        yield f"| {name} | {' | '.join(cells)} | {steep:.2f}{over} |"


if __name__ == "__main__":
    print("\n".join(table(measure([int(size) for size in sys.argv[1:]]))))
