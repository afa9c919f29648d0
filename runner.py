"""One runner among any number of processes: elected by a file lock, and safe to kill.

The kernel frees the lock however its holder dies; another process takes over within a second. Where the lock fails (its
file is deleted, or another machine uses the same disk), the lease in the database stops the older of two runners.
"""

import ctypes
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from account import watching
from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient, Report
from orders import Progress, SubmissionResult
from production_submission_system import ProductionSubmissionSystem, options_of, patience_of
from results import NightlyAudit, OrderSync, SyncReport, is_requested, last_sync, request_sync
from settings import Settings
from simulator import DemoError, DemoProvider, ensure_running
from storage import kept_sums
from submission import (
    Checkpoints,
    RunnerLock,
    Throttle,
    Watcher,
    account_objection,
    require_account,
    runner_alive,
    submission_result,
)

logger = logging.getLogger(__name__)

#: Seconds between two tries to become the runner; and the longest wait after the runner failed again and again.
ELECTION_INTERVAL, LONGEST_PAUSE = 1.0, 60.0
#: Seconds for which a runner that was overtaken leaves the lease to the other one.
OVERTAKEN_PAUSE = 60.0
#: Seconds between two looks at a batch that another process runs.
FOLLOW_INTERVAL = 0.3
#: Seconds that a question to the provider under way gets to end when the runner ends.
WORKERS_PATIENCE = 5.0
#: Seconds between two looks whether the demo provider is alive.
DEMO_CHECK_INTERVAL = 2.0
DEMO_KEY, DEMO_USER = "DEMO-KEY", "demo"
#: How often a question to the provider is repeated at most.
READ_RETRIES = 3
M_ARENA_MAX = -8  #: from malloc.h


@contextmanager
def make_client(
    settings: Settings,
    database: IMEIDatabase,
    throttle: Throttle | None = None,
    report: Report | None = None,
    *,
    patience: float | None = None,
) -> Iterator[GSMFusionClient]:
    """A client of the provider; in the demo, of the simulator, which is kept alive as long as the client.

    throttle says when its reads may start; without one they just do. report is told how each call went. patience is for
    somebody who waits: each question is asked once, for so many seconds at most. Raises OtherAccountError where the
    orders of the database were placed with another account.
    """
    require_account(database, settings)
    waits = patience is not None
    options = ClientOptions(settings.base_url, 1 if waits else settings.workers + 2, turns=throttle, report=report)
    timeout = settings.call_timeout if patience is None else min(patience, settings.call_timeout)
    retries = 0 if waits else READ_RETRIES
    if not settings.demo:
        with GSMFusionClient(settings.api_key, settings.username, timeout, retries, options) as client:
            yield client
        return
    closing = threading.Event()
    demo = ensure_running(settings.data_dir)
    keeper = threading.Thread(target=_keep_demo, args=(settings.data_dir, demo, closing), name="demo", daemon=True)
    keeper.start()
    try:
        options = replace(options, base_url=demo.base_url)
        with GSMFusionClient(DEMO_KEY, DEMO_USER, timeout, retries, options) as client:
            yield client
    finally:
        closing.set()
        keeper.join()


def _keep_demo(data_dir: Path, demo: DemoProvider, closing: threading.Event) -> None:
    """Start the simulator again, on its port, when the process that had started it is gone."""
    held = [demo]  # a provider that we started ends when nobody holds it
    while not closing.wait(DEMO_CHECK_INTERVAL):
        try:
            held.append(ensure_running(data_dir))
        except DemoError:
            logger.exception("The demo provider is gone and did not start again")
        held = [provider for provider in held if provider.process is not None]


def use_one_heap() -> None:
    """Let all threads share one heap: each would keep a part of what a large batch once took. Best before they start.

    glibc's own word (mallopt, M_ARENA_MAX); another C library has no such heaps.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def spare_collector() -> None:
    """Keep the garbage collector from walking what is loaded by now, again and again while thousands of orders pass."""
    gc.collect()
    gc.freeze()


def make_system(
    settings: Settings, database: IMEIDatabase, client: GSMFusionClient, throttle: Throttle
) -> ProductionSubmissionSystem:
    """The submission system as the settings want it."""
    checkpoints = Checkpoints(settings.data_dir / "checkpoints")
    return ProductionSubmissionSystem(database, client, checkpoints, options_of(settings, database), throttle)


@dataclass(slots=True)
class Background:
    """The election thread of one process, and the runner, sync, audit and sums threads while it is elected."""

    settings: Settings
    database: IMEIDatabase
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    objection: str = ""  #: why this process sends nothing, as the log has it

    def start(self) -> None:
        """Stand for election until stop()."""
        self.thread = threading.Thread(target=self._stand, name="runner", daemon=True)
        self.thread.start()

    def stop(self, timeout: float = 20.0) -> None:
        """Send nothing more and wait up to timeout seconds for the calls on the wire."""
        self.stopping.set()
        if self.thread is not None:
            self.thread.join(timeout)

    def _stand(self) -> None:
        lock, pause = RunnerLock(self.settings.data_dir), ELECTION_INTERVAL
        while not self.stopping.is_set():
            try:
                if not self._is_foreign() and lock.acquire():
                    self._run()
                    pause = ELECTION_INTERVAL
            except DatabaseUnavailableError as error:
                logger.error("The runner will start again: %s", error.sentence)
            except Exception:  # a thread ends here; the next turn elects anew
                pause = min(2 * pause, LONGEST_PAUSE)
                logger.exception("The runner failed and will start again in %d s", pause)
            finally:
                lock.release()
            self.stopping.wait(pause)

    def _run(self) -> None:
        logger.info("This process is the runner")
        spare_collector()
        throttle = Throttle(self.settings.workers, self.settings.rate_limit)
        with watching(self.database) as report, make_client(self.settings, self.database, throttle, report) as client:
            sync = OrderSync(self.database, client, self.settings.auto_sync_interval)
            audits = NightlyAudit(self.database, client)
            ended = threading.Event()
            workers = [
                threading.Thread(target=work, args=(ended,), name=name, daemon=True)
                for name, work in (
                    ("sync", sync.run),
                    ("audit", audits.run),
                    ("sums", partial(kept_sums.run, self.database)),
                )
            ]
            for worker in workers:
                worker.start()
            system = make_system(self.settings, self.database, client, throttle)
            try:
                system.run(self.stopping)
            finally:  # also when it failed: the next turn starts its own
                ended.set()
                _join(workers, WORKERS_PATIENCE)
        if system.was_overtaken:  # the other runner must not be overtaken in turn
            self.stopping.wait(OVERTAKEN_PAUSE)

    def _is_foreign(self) -> bool:
        """Whether the database belongs to another account; an administrator may adopt it meanwhile. Logged once."""
        words = account_objection(self.database, self.settings)
        if words and words != self.objection:
            logger.error(words)
        self.objection = words
        return bool(words)


def _join(workers: Sequence[threading.Thread], seconds: float) -> None:
    """Wait up to so many seconds in all for these threads to end."""
    deadline = time.monotonic() + seconds
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))


def start_background(settings: Settings, database: IMEIDatabase) -> Background:
    """Let this process stand for election as the runner."""
    background = Background(settings, database)
    background.start()
    return background


def run_or_follow(
    settings: Settings,
    database: IMEIDatabase,
    batch_id: int,
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
) -> SubmissionResult:
    """See a batch through: run it here when no process is the runner, else follow the one that is.

    Returns when it is finished (and doubt has had a moment to settle), paused until a person acts, or stop is set
    and the calls on the wire have ended.
    """
    lock, started = RunnerLock(settings.data_dir), time.monotonic()
    while True:
        if lock.acquire():
            use_one_heap()
            spare_collector()
            try:
                throttle = Throttle(settings.workers, settings.rate_limit)
                with watching(database) as report, make_client(settings, database, throttle, report) as client:
                    make_system(settings, database, client, throttle).run_batch(batch_id, on_progress, stop)
            finally:
                lock.release()
            return submission_result(database, batch_id, time.monotonic() - started)
        if _followed_to_the_end(settings, database, batch_id, on_progress, stop):
            return submission_result(database, batch_id, time.monotonic() - started)


def sync_or_follow(settings: Settings, database: IMEIDatabase) -> SyncReport:
    """Ask for every pending result: here when no process is the runner, else by the one that is, within its limit."""
    lock, wished = RunnerLock(settings.data_dir), False
    while True:
        if lock.acquire():
            try:
                throttle = Throttle(settings.workers, settings.rate_limit)
                with watching(database) as heard, make_client(settings, database, throttle, heard) as client:
                    return OrderSync(database, client, 0).sync()
            finally:
                lock.release()
        if not wished:
            request_sync(database)
            wished = True
        while is_requested(database) and runner_alive(settings.data_dir):
            time.sleep(FOLLOW_INTERVAL)
        report = last_sync(database)
        if report is not None and not is_requested(database):
            return report


def _followed_to_the_end(
    settings: Settings,
    database: IMEIDatabase,
    batch_id: int,
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
) -> bool:
    """Report each change to on_progress. Return True when the batch is over, False when the runner is gone."""
    watcher = Watcher(database, batch_id, on_progress)
    while not stop.wait(FOLLOW_INTERVAL):
        if watcher.is_over(patience_of(settings)):
            return True
        if not runner_alive(settings.data_dir):
            return False
    return True
