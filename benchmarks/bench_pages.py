"""Every page at 100,000 and at 1,000,000 orders: how long the server needs for it, and whether that grows.

The pages are asked through the real app in this process, each 20 times, with what the app remembers for seconds
forgotten before each request, so that the slowest visit is what is measured: by the clock, and in processor time of
the thread, which is what a shared machine leaves of it. `python -m benchmarks.bench_pages
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
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from flask import Flask
from flask.testing import FlaskClient
from local_provider import LocalProvider
from sqlalchemy import select

from access import create_link
from account.answerer import Questions
from backend import Backend
from benchmarks.measuring import with_check_digit
from benchmarks.years import SERVICES, Years, fill
from database import IMEIDatabase, utc_now
from orders import Account
from schema import orders, tac_models
from settings import Settings
from storage import batch_queries, order_filters, order_reports
from storage.link_store import NewLink
from storage.order_terms import OrderFilter
from web.stream import chunk_letters, details, overall_rate, snapshot
from web_app import create_app

SIZES = (100_000, 1_000_000)
REQUESTS = 20
LIMIT, GROWTH = 50.0, 1.5  #: milliseconds; how many times the figure at the smallest size
BULK_LIMIT = 500.0  #: milliseconds for what reads tens of thousands of IMEIs
#: Milliseconds below which growth is noise.
NOISE = 5.0
RECHECKED = 10_000  #: the row of an order in the middle of a re-check
BULK, PREVIEWED = 30_000, 20_000  #: IMEIs of a search, and of a preview


class Times(NamedTuple):
    """Milliseconds of one page."""

    p50: float  #: processor time of the thread, and of the server where the database is on one
    p95: float
    clock_p50: float
    clock_p95: float


Found = dict[str, Times]


class Visit(NamedTuple):
    """How to ask for a page, and how to make the app forget what it remembers for seconds before that."""

    forget: Callable[[], None]
    work: Callable[[], object]
    served: Callable[[], float] = float  #: seconds that processors have worked for a server of the database


def run() -> list[tuple[str, str, str]]:
    """The table: what, measured, target."""
    found = measure(SIZES)
    few, many = found[SIZES[0]], found[SIZES[-1]]
    steepest = max(many, key=lambda name: growth(few, many, name))
    return [
        *(_slowest(many, limit) for limit in (LIMIT, BULK_LIMIT)),
        (f"the steepest growth from {SIZES[0]:,}", f"{growth(few, many, steepest):.2f} x ({steepest})", "1.5 x"),
    ]


def _slowest(many: Found, limit: float) -> tuple[str, str, str]:
    among = {name: times for name, times in many.items() if limit_of(name) == limit}
    name = max(among, key=lambda name: among[name].p95)
    measured = f"{among[name].p95:.0f} ms, {among[name].clock_p95:.0f} by the clock ({name})"
    return f"{len(among)} pages, {SIZES[-1]:,} orders: slowest p95", measured, f"{limit:.0f} ms"


def limit_of(name: str) -> float:
    """Milliseconds that a page may take."""
    return BULK_LIMIT if "0,000 IMEIs" in name else LIMIT


def growth(few: Found, many: Found, name: str) -> float:
    """How many times longer a page takes in the middle, noise left out."""
    return max(many[name].p50, NOISE) / max(few[name].p50, NOISE) if name in few else 1.0


def measure(sizes: Sequence[int]) -> dict[int, Found]:
    """For each size the times of every page over a fresh database of that size."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        made: dict[int, tuple[IMEIDatabase, Years]] = {}
        for size in sizes:
            database = opened.enter_context(IMEIDatabase(Path(folder) / str(size) / "imei_orders.db"))
            made[size] = database, fill(database, size)
        return ask_all(made)


def ask_all(made: Mapping[int, tuple[IMEIDatabase, Years]], only: str = "") -> dict[int, Found]:
    """For each size the times of every page. The sizes take turns, so that the machine's mood is shared."""
    pages = {size: dict(visits(app_on(database), database, years)) for size, (database, years) in made.items()}
    found: dict[int, Found] = {size: {} for size in made}
    for name in pages[max(made)]:
        if only in name:
            asked = {size: named[name] for size, named in pages.items() if name in named}
            for size, times in timed(asked).items():
                found[size][name] = times
    return found


def app_on(database: IMEIDatabase) -> Flask:
    """Return the app with a provider that answers at once."""
    questions = Questions(services=lambda: SERVICES, account=lambda: Account(1500.0, "$ 1500 USD"))
    return create_app(Settings(data_dir=database.folder), database, LocalProvider(database, questions))


def visits(app: Flask, database: IMEIDatabase, years: Years) -> Iterator[tuple[str, Visit]]:
    """Every page by name, with what asks for it once with nothing remembered."""
    backend: Backend = app.extensions["backend"]
    for name, work in _visits(app.test_client(), database, years):
        yield name, Visit(backend.forget, work)


def _visits(client: FlaskClient, database: IMEIDatabase, years: Years) -> Iterator[tuple[str, Callable[[], object]]]:
    for name, url in addresses(database, years).items():
        yield name, lambda url=url: _get(client, url)  # type: ignore[misc]
    pasted = [with_check_digit(f"86{number:012d}") for number in range(PREVIEWED)]
    preview = _posting(client, "/batch", imeis=pasted, service_id=[SERVICES[0].package_id])()
    yield "a trial of an automation", _posting(client, "/automations/1/trial")
    yield f"preview of {PREVIEWED:,} IMEIs", lambda: _get(client, preview)
    tacs = model_tacs(database)
    known = [with_check_digit(f"{tacs[number % len(tacs)]}{number:06d}") for number in range(PREVIEWED)]
    mixed = _posting(client, "/batch", imeis=known, service_id=[SERVICES[0].package_id])()
    yield f"preview of {PREVIEWED:,} IMEIs of known models", lambda: _get(client, mixed)
    yield f"parts of {PREVIEWED:,} IMEIs of known models", lambda: _get(client, f"{mixed}/split")
    save = _posting(client, "/history/search", imeis=_half_known(database))
    yield f"search of {BULK:,} IMEIs, saving", save
    search = save()
    for name, query in (
        ("found", ""),
        ("missing", "?show=missing"),
        ("found, FMI and carrier", "?fmi=ON&carrier=AT%26T"),
        ("found, a rare carrier", "?carrier=Rare+Mobile"),
        ("found.csv, first bytes", "/found.csv"),
    ):
        yield f"search of {BULK:,} IMEIs, {name}", lambda query=query: _get(client, search + query)  # type: ignore[misc]
    yield "the stream's look at a running batch", lambda: _look(database, years.running)
    if years.big:
        yield "the stream's look at a batch of 100,000", lambda: _look(database, years.big or 0)


def addresses(database: IMEIDatabase, years: Years) -> dict[str, str]:
    """The pages that one reads."""
    total = database.count_orders()
    [some] = order_filters.page(database, OrderFilter(), total // 2, 1)
    [first] = order_filters.page(database, OrderFilter(), 2, 1)
    imei, order_id, day = some.imei, some.order_id, f"{some.order_date:%Y-%m-%d}"
    oldest = f"{first.order_date:%Y-%m-%d}"
    rare = SERVICES[-1].package_id
    filters = {
        "none": "",
        "none, deep": f"before={total // 2}",
        "pending": "status=Pending",
        "in process (rare)": "status=In+Process",
        "rejected": "status=Rejected",
        "rejected, deep": f"status=Rejected&before={total // 3}",
        "completed": "status=Completed",
        "service (common)": f"service={SERVICES[0].package_id}",
        "service (rare)": f"service={rare}",
        "service (none)": "service=nothing",
        "carrier (common)": "carrier=T-Mobile+USA",
        "carrier (rare)": "carrier=Rare+Mobile",
        "SIM lock (common)": "simlock=Locked",
        "SIM lock (rare)": "simlock=Relocked",
        "FMI (common, three wordings)": "fmi=ON",
        "FMI (common)": "fmi=OFF",
        "FMI in three wordings and carrier": "fmi=ON&carrier=AT%26T",
        "FMI in three wordings and carrier (rare)": "fmi=ON&carrier=Rare+Mobile",
        "FMI in three wordings, one day": f"fmi=ON&since={day}&until={day}",
        "oldest first": "sort=oldest",
        "oldest first, rejected": "sort=oldest&status=Rejected",
        "by IMEI": "sort=imei",
        "by IMEI, deep": f"sort=imei&before={imei}~{some.id}",
        "by IMEI, from the last, deep": f"sort=-imei&before={imei}~{some.id}",
        "a batch by model": f"batch={years.pending}&sort=model",
        "a batch by price, second page": f"batch={years.usual}&sort=-price&before=0.05~{total}",
        "few orders of all years by model": f"q={imei[:10]}&sort=model",
        "100 selected orders": "&".join(f"row={row}" for row in range(total // 200, total, total // 100)),
        "the last 7 days": "since=7d",
        "FMI (rare)": "fmi=UNKNOWN",
        "verdict (common)": "verdict=pass",
        "verdict (common), deep": f"verdict=fail&before={total // 2}",
        "verdict pending": "verdict=pending",
        "verdict and carrier": "verdict=fail&carrier=AT%26T",
        "verdict and carrier (rare)": "verdict=fail&carrier=Rare+Mobile",
        "verdict and FMI in three wordings": "verdict=fail&fmi=ON",
        "verdict and SIM lock (never both)": "verdict=pass&simlock=Locked",
        "verdict and rejected (never both)": "verdict=pass&status=Rejected",
        "verdict, oldest first": "verdict=review&sort=oldest",
        "one day, verdict": f"since={day}&until={day}&verdict=fail",
        "a batch's verdict": f"batch={years.usual}&verdict=review",
        "batch": f"batch={years.usual}",
        "a batch's rejected": f"batch={years.usual}&status=Rejected",
        "one day": f"since={day}&until={day}",
        "one day, deep": f"since={day}&until={day}&before={some.id}",
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
        "service and status": f"service={SERVICES[1].package_id}&status=Rejected",
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
        "tag of old batches": "tag=old+stock",
        "tag of old batches, deep": f"tag=old+stock&before={total // 50}",
        "tag of a batch of 100,000": "tag=big",
        "tag of single orders": "tag=hold",
        "tag and carrier": "tag=old+stock&carrier=AT%26T",
        "tag and verdict (rare)": "tag=hold&verdict=fail&carrier=Rare+Mobile",
        "mismatch": "mismatch=1",
        "mismatch, carrier": "mismatch=1&carrier=AT%26T",
    }
    pages = {
        "/": "/",
        "/submit": "/submit",
        "/batch": "/batch",
        "/services": "/services",
        "/services, the fastest first": "/services?used=1&sort=median",
        "a service": f"/services/{SERVICES[0].package_id}",
        "/database": "/database",
        "/status": "/status",
        "/settings": "/settings",
        "/settings/models": f"/settings/models?q={imei}",
        "/submit/known.json": f"/submit/known.json?imei={imei}&service_id={rare}",
        "/health": "/health",
        "/status.json": "/api/status",
        "/batches": "/batches",
        "/batches, tag": "/batches?tag=old+stock",
        "/batches, customer": "/batches?customer=Customer+1",
        "/batches, deep": f"/batches?before={years.usual // 2}",
        "a batch, finished": f"/batches/{years.usual}",
        "a batch, 10,000 pending": f"/batches/{years.pending}",
        "a batch, running": f"/batches/{years.running}",
        "a batch, progress.json": f"/batches/{years.running}/progress.json",
        "a batch, in doubt": f"/batches/{years.doubtful}/doubt",
        "a batch by carrier": f"/batches/{years.usual}?sort=carrier",
        "saved filters": "/history/filters",
        "a batch, findings": f"/batches/{years.usual}/findings",
        "a batch, report": f"/batches/{years.usual}/report",
        "a batch, report behind a link": f"/shared/{_link(database, years.usual)}",
        "an order": f"/orders/{order_id}",
        "to dispute: rejected": "/reports/disputes?kind=rejected",
        "to dispute: about another IMEI": "/reports/disputes?kind=mismatched",
        "to dispute: of a batch": f"/reports/disputes?kind=rejected&batch={years.usual}",
        "disputes, open": "/reports/disputes?state=open",
        "disputes, open and rejected, deep": "/reports/disputes?state=open&kind=rejected&before=9000",
        "a dispute": "/reports/disputes/1",
        "reports, this month": "/reports",
        **{f"reports by {by}": f"/reports?by={by}&month=all" for by in order_reports.BY},
        "/search for the beginning of an IMEI": f"/search?q={imei[:8]}",
        "/search for an unknown IMEI": "/search?q=123456789012345",
        "/search for words": "/search?q=stock+csv",
        "/search for nothing": "/search?q=nothing+like+it",
        "/tags": "/tags",
        "/customers": "/customers",
        "a customer": "/customers/one?name=Customer+1",
        "/help": "/help",
        "automations": "/automations",
        "an automation": "/automations/1",
        "a new automation": "/automations/new?fmi=OFF&carrier=AT%26T",
        "what a re-check found": f"/automations/runs/{years.recheck}",
        "what a re-check found, deep": f"/automations/runs/{years.recheck}?after={RECHECKED}",
        "reports since a day": f"/reports?since={day}",
        "report to print": "/reports/print",
        "report to print, all orders": "/reports/print?month=all",
        "spend.csv": "/reports/spend.csv?by=batch&month=all",
        "results by model, carrier and SIM lock": "/reports/pivot?month=all",
        "results of some days": f"/reports/pivot?since={oldest}&until={day}&rows=service&then=model&columns=fmi",
        "results of a batch": f"/reports/pivot?month=all&batch={years.big or years.usual}",
        "results by service and carrier": "/reports/pivot?month=all&rows=service&then=carrier&columns=verdict",
        "results.csv by service and model": "/reports/pivot.csv?month=all&rows=service&then=model&columns=fmi",
        "history.csv, first bytes": "/history.csv",
        "history.csv of a filter, first bytes": "/history.csv?carrier=AT%26T&fmi=ON",
        "disputes.csv, first bytes": "/reports/disputes.csv",
        "results.csv, first bytes": f"/batches/{years.usual}/results.csv",
    }
    if years.big:
        pages |= {
            "a batch of 100,000": f"/batches/{years.big}",
            "a batch of 100,000, best first": f"/batches/{years.big}?sort=best",
            "a batch of 100,000, findings": f"/batches/{years.big}/findings",
            "a batch of 100,000, report": f"/batches/{years.big}/report",
        }
    return pages | {f"/history: {name}": f"/history?{query}" for name, query in filters.items()}


def _link(database: IMEIDatabase, batch_id: int) -> str:
    expiry = utc_now() + timedelta(days=1)
    return create_link(database, NewLink(batch_id, "anna", expiry, has_prices=True, has_imeis=True, has_csv=True))


def timed(asked: Mapping[int, Visit]) -> dict[int, Times]:
    """For each size what its page took, warm."""
    used: dict[int, list[float]] = {size: [] for size in asked}
    lasted: dict[int, list[float]] = {size: [] for size in asked}
    for number in range(REQUESTS + 2):
        for size, visit in asked.items():
            visit.forget()
            served, began, started = visit.served(), time.perf_counter(), time.thread_time()
            visit.work()
            took, lasts = time.thread_time() - started, time.perf_counter() - began
            if number >= 2:
                used[size].append((took + visit.served() - served) * 1000)
                lasted[size].append(lasts * 1000)
    return {size: Times(*_p50_p95(used[size]), *_p50_p95(lasted[size])) for size in asked}


def _p50_p95(found: list[float]) -> tuple[float, float]:
    return statistics.median(found), sorted(found)[int(len(found) * 0.95) - 1]


def _get(client: FlaskClient, url: str) -> None:
    with client.get(url, buffered=False) as answer:
        if answer.status_code != 200:
            raise RuntimeError(f"{url} answered {answer.status_code}")
        next(iter(answer.response), b"")


def _posting(client: FlaskClient, url: str, **lines: list[str]) -> Callable[[], str]:
    """What posts these lines and returns the address that the answer leads to; the browser's work is done before."""
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/submit").text)
    form = {name: "\n".join(given) for name, given in lines.items()} | {"csrf_token": found[1] if found else ""}
    body = urlencode(form).encode("ascii")

    def post() -> str:
        answer = client.post(url, data=body, content_type="application/x-www-form-urlencoded")
        if answer.status_code != 303:
            raise RuntimeError(f"{url} answered {answer.status_code}")
        return str(answer.location)

    return post


def model_tacs(database: IMEIDatabase) -> list[str]:
    """TACs of which results name a model."""
    with database.read() as connection:
        return list(connection.execute(select(tac_models.c.tac).distinct().limit(2000)).scalars())


def _half_known(database: IMEIDatabase) -> list[str]:
    """BULK IMEIs, every second of them ordered some time."""
    rows = range(1, database.count_orders(), database.count_orders() // (BULK // 2))
    with database.read() as connection:
        known = connection.execute(select(orders.c.imei).where(orders.c.id.in_(rows))).scalars().all()
    found = dict.fromkeys(known[: BULK // 2])
    found |= dict.fromkeys(with_check_digit(f"86{number:012d}") for number in range(BULK - len(found)))
    return list(found)


def _look(database: IMEIDatabase, batch_id: int) -> None:
    """What a stream reads when something has changed."""
    if batch_queries.revision(database, batch_id) is None:
        raise RuntimeError(f"there is no batch {batch_id}")
    progress = batch_queries.progress(database, batch_id)
    if progress is not None:
        snapshot(progress, overall_rate(progress)) | chunk_letters(database, batch_id) | details(database, batch_id)


def table(found: dict[int, Found]) -> Iterator[str]:
    """The table in Markdown, one page a line."""
    sizes = sorted(found)
    yield "| page | " + " | ".join(f"{size:,}: p50, p95 (clock)" for size in sizes) + " | growth of p50 |"
    yield "|---|" + "--:|" * (len(sizes) + 1)
    for name, times in found[sizes[-1]].items():
        cells = [_cell(found[size].get(name)) for size in sizes]
        steep = growth(found[sizes[0]], found[sizes[-1]], name)
        over = " **over**" if times.p95 > limit_of(name) or steep > GROWTH else ""
        yield f"| {name} | {' | '.join(cells)} | {steep:.2f}{over} |"


def _cell(times: Times | None) -> str:
    if times is None:
        return "-"
    return f"{times.p50:.1f}, {times.p95:.1f} ({times.clock_p50:.0f}, {times.clock_p95:.0f})"


if __name__ == "__main__":
    print("\n".join(table(measure([int(size) for size in sys.argv[1:]]))))
