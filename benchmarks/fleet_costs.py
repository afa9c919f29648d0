"""What each step of fleet.py takes, measured with the program's own functions on a private PostgreSQL.

The loop of an account runs in this process. The jobs that it adds are done at once in the same thread, so that their
parts can be told from its own. A loop with one call at a time and a loop with many show what a turn takes and what a
call takes. Seconds are those of a processor; round trips and commits are counted, because their length depends on the
network and on the disk.
"""

import asyncio
import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
from procrastinate.jobs import Status
from sqlalchemy import Connection, Engine, event, text

from benchmarks.bench_submission import SERVICE, imeis, planned, see_through
from benchmarks.fleet import NOTHING, Costs, Step
from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from orders import Chunk, PlacementAnswer
from production_submission_system import ProductionSubmissionSystem
from results.order_values import result_values
from storage.job_queue import calls_of
from storage.list_limits import write_list_limit
from storage.listening import server_address
from storage.result_store import store_results
from submission import CallJobs, ClusterCarrier, JobCalls, Options, Throttle
from workers.jobs import calls_app

ACCOUNT = "main"
#: Calls of each of the two loops, how many the second one makes at once, and how often each runs.
CALLS, AT_ONCE, TURNS = 120, 30, 3
#: Lists of results that are stored.
LISTS = 40
#: Connections that listen, how often they are notified, and seconds until all have heard it.
LISTENERS, NOTIFIED, HEARD = 20, 50, 0.01
PLACED = text("SELECT order_id FROM orders WHERE status NOT IN ('Completed', 'Rejected') ORDER BY id LIMIT :most")


@dataclass(eq=False)
class Meter:
    """Divides what this process and a server of PostgreSQL on this machine work among parts of the program."""

    server: int  #: process id of the server's first process
    part: str = ""
    trips: int = 0
    since: Step = NOTHING
    seen: dict[str, float] = field(default_factory=dict)  #: seconds of each process of the server
    parts: dict[str, Step] = field(default_factory=lambda: defaultdict(Step))

    def switch(self, part: str) -> str:
        """Begin another part. Returns the one before."""
        self.parts[self.part] += self._now() + self.since * -1
        before, self.part, self.since = self.part, part, self._now()
        return before

    @contextlib.contextmanager
    def within(self, part: str, commits: int = 0) -> Iterator[None]:
        """Count what happens inside as a part."""
        before = self.switch(part)
        try:
            yield
        finally:
            self.switch(before)
            self.parts[part] += Step(commits=commits)

    @contextlib.contextmanager
    def counting_trips(self) -> Iterator[None]:
        """Count all statements, and the begin and the end of each transaction of several statements."""
        counted: dict[str, Callable[..., None]] = {
            "before_cursor_execute": self._statement,
            "begin": self._edge,
            "commit": self._edge,
        }
        for name, count in counted.items():
            event.listen(Engine, name, count)
        try:
            yield
        finally:
            for name, count in counted.items():
                event.remove(Engine, name, count)

    def _statement(self, *_: object) -> None:
        self.trips += 1

    def _edge(self, connection: Connection) -> None:
        if not getattr(connection.connection.dbapi_connection, "autocommit", False):
            self.trips += 1

    def served(self) -> float:
        """Return the seconds that the server's processes have worked, also those that have ended."""
        started = Path(f"/proc/{self.server}/task/{self.server}/children").read_text(encoding="ascii").split()
        self.seen |= {process: seconds for process in started if (seconds := worked(int(process)))}
        return sum(self.seen.values())

    def _now(self) -> Step:
        return Step(time.process_time(), self.served(), self.trips)


def worked(process: int) -> float:
    """The seconds that a process of one thread has worked; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    except OSError:
        return 0.0


class MeteredDatabase(IMEIDatabase):
    """Counts what happens while the writer's lock is held apart from the rest."""

    def __init__(self, url: str, meter: Meter) -> None:
        super().__init__(url)
        self.meter = meter

    @contextlib.contextmanager
    def write(self, is_hurried: bool = False) -> Iterator[Any]:
        with contextlib.ExitStack() as transaction:
            connection = transaction.enter_context(super().write(is_hurried))
            with self.meter.within("locked", commits=1):
                yield connection
                transaction.close()


class MeteredClient(GSMFusionClient):
    """Counts the call apart from what comes before and after it in its job."""

    meter: Meter

    def place_imei_order(self, *given: Any, **more: Any) -> PlacementAnswer:
        self.meter.switch("call")
        try:
            return super().place_imei_order(*given, **more)
        finally:
            self.meter.switch("keep")


class AtOnceCarrier(ClusterCarrier):
    """Does the jobs that it adds at once."""

    def __init__(self, jobs: JobCalls, options: Options, throttle: Throttle, meter: Meter) -> None:
        super().__init__(jobs.database, ACCOUNT, options, throttle, time.monotonic)
        self._meter, self._made = meter, jobs

    def send(self, claimed: Sequence[Chunk], starts: Sequence[float]) -> None:
        super().send(claimed, starts)
        for chunk in claimed:
            with self._meter.within("begin"):
                self._made.make(chunk.attempt_id)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured."""

    costs: Costs
    bytes_per_imei: float  #: of the database, with indexes, jobs and answers deleted, after the results
    written_per_imei: float  #: bytes of the server's log
    provider: float  #: seconds of a processor that a call takes of the simulated provider


def measured_costs(url: str, provider_url: str, provider_id: int, per_call: int) -> Measured:
    """Return what calls of this many IMEIs take. The database is empty."""
    with contextlib.ExitStack() as stack:
        meter = Meter(server_of(url))
        database = stack.enter_context(MeteredDatabase(url, meter))
        client = stack.enter_context(MeteredClient("DEMO-KEY", "demo", options=ClientOptions(provider_url)))
        client.meter = meter
        stack.enter_context(meter.counting_trips())
        with database.write() as connection:
            write_list_limit(connection, SERVICE, max(per_call, 2))
        _run_loop(database, client, per_call, AT_ONCE, 1)  # everything is loaded and cached
        _queue(database, meter)
        before, provided = _size(database), ticks(provider_id)
        one, many = (_best_loop(database, client, per_call, at_once) for at_once in (1, AT_ONCE))
        provided = (ticks(provider_id) - provided) / (2 * TURNS * CALLS)
        jobs = _queue(database, meter)
        jobs["miss"] += Step(server=_notified(url, meter))
        placed = _size(database)
        results = _store_lists(database, client, per_call)
        sizes = before, placed, _size(database)
        size, log = (
            (middle - first) / (2 * TURNS * CALLS * per_call) + (last - middle) / (LISTS * per_call)
            for first, middle, last in zip(*sizes, strict=True)
        )
        return Measured(_solved(one, many, jobs, results), size, log, provided)


def _size(database: IMEIDatabase) -> tuple[int, int]:
    """Return the bytes of the database, and those that the server's log has had."""
    with database.read() as connection:
        size = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
        log = connection.exec_driver_sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").scalar_one()
    return int(size), int(log)


def ticks(process: int) -> float:
    """The seconds that all threads of a process have worked, in hundredths."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def server_of(url: str) -> int:
    """The id of the first process of the server."""
    with psycopg.connect(url) as connection:
        status = Path(f"/proc/{connection.info.backend_pid}/stat").read_text(encoding="ascii")
        return int(status.rpartition(")")[2].split()[1])


def _best_loop(database: IMEIDatabase, client: MeteredClient, per_call: int, at_once: int) -> dict[str, Step]:
    """Return the parts of the run that worked least: other programs make a processor slower, never faster."""
    runs = [_run_loop(database, client, per_call, at_once, 100 * at_once + turn) for turn in range(TURNS)]
    return min(runs, key=lambda parts: sum(step.client + step.server for step in parts.values()))


def _run_loop(database: IMEIDatabase, client: MeteredClient, per_call: int, at_once: int, turn: int) -> dict[str, Step]:
    """Place CALLS calls. Returns the parts, and the number of turns as the commits of "locked"."""
    batch_id = planned(database, imeis(turn, CALLS * per_call), per_call)
    options, throttle, meter = Options(workers=at_once, chunk_size=per_call), Throttle(at_once), client.meter
    carrier = AtOnceCarrier(JobCalls(database, client, ACCOUNT, Event()), options, throttle, meter)
    system = ProductionSubmissionSystem(database, client, carrier, options, throttle)
    meter.parts.clear()
    with meter.within("loop"):
        see_through(database, system, batch_id)
    return dict(meter.parts)


def _queue(database: IMEIDatabase, meter: Meter) -> dict[str, Step]:
    """Fetch and finish the jobs that the loops have added, as a worker does, then look for one in vain."""
    return asyncio.run(_work_off(database, meter))


async def _work_off(database: IMEIDatabase, meter: Meter) -> dict[str, Step]:
    app, meter.parts = calls_app(server_address(database), CallJobs({})), defaultdict(Step)
    async with app.open_async():
        manager, queues, seen = app.job_manager, [calls_of(ACCOUNT)], 0
        worker = await manager.register_worker()
        while True:
            before = meter.switch("fetch")
            job = await manager.fetch_job(queues, worker)
            meter.switch(before)
            if job is None:
                break
            before = meter.switch("finish")
            await manager.finish_job(job, Status.SUCCEEDED, delete_job=True)
            meter.switch(before)
            seen += 1
        before = meter.switch("miss")
        for _ in range(seen):
            await manager.fetch_job(queues, worker)
        meter.switch(before)
    return {name: replace(meter.parts[name] * (1 / seen), trips=1) for name in ("fetch", "finish", "miss")}


def _notified(url: str, meter: Meter) -> float:
    """Return the seconds that the server works to notify one more listener."""
    took = []
    with contextlib.ExitStack() as stack:
        notifier = stack.enter_context(psycopg.connect(url, autocommit=True))
        for listeners in (0, LISTENERS):
            for _ in range(listeners):
                stack.enter_context(psycopg.connect(url, autocommit=True)).execute("LISTEN fleet")
            meter.parts.clear()
            for _ in range(NOTIFIED):
                with meter.within("notify"):
                    notifier.execute("NOTIFY fleet")
                    time.sleep(HEARD)
            took.append(meter.parts["notify"].server / NOTIFIED)
    return max(0.0, took[1] - took[0]) / LISTENERS


def _store_lists(database: IMEIDatabase, client: MeteredClient, per_call: int) -> Step:
    """Store the results of lists as long as the calls."""
    client.meter.parts.clear()
    with database.read() as connection:
        ids = list(connection.execute(PLACED, {"most": LISTS * per_call}).scalars())
    lists = [ids[start : start + per_call] for start in range(0, len(ids), per_call)]
    for part in lists:
        store_results(database, client.get_imei_orders(part), result_values)
    return client.meter.parts["locked"] * (1 / len(lists))


def _at_least_nothing(step: Step) -> Step:
    """Return the step without what is negative: a difference of two measurements may be."""
    return Step(*(max(0.0, taken) for taken in astuple(step)))


def _solved(one: dict[str, Step], many: dict[str, Step], jobs: dict[str, Step], results: Step) -> Costs:
    """Return the costs: one = CALLS calls in as many turns, many = as many calls in few turns."""

    def parts(name: str) -> tuple[Step, Step]:
        more = one["locked"].commits - many["locked"].commits
        turn = (one[name] + many[name] * -1) * (1 / more)
        call = (many[name] + turn * -many["locked"].commits) * (1 / CALLS)
        return _at_least_nothing(turn), _at_least_nothing(call)

    (look, read), (turn, record) = parts("loop"), parts("locked")
    each = {name: many[name] * (1 / CALLS) for name in ("begin", "call", "keep")}
    return Costs(
        look=look,
        read=read,
        turn=turn,
        record=record,
        fetch=replace(jobs["fetch"], commits=1),
        miss=jobs["miss"],
        begin=replace(each["begin"], commits=1),
        call=Step(each["call"].client),
        keep=replace(each["keep"], commits=1),
        finish=replace(jobs["finish"], commits=1),
        results=results,
    )
