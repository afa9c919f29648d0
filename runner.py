"""One leader among any number of processes: elected by a file lock, and safe to kill.

The leader alone calls the provider: it places orders, reads results and answers the requests of pages and commands. The
kernel frees the lock however its holder dies; another process takes over within a second. Where the lock fails (its
file is deleted, or another machine uses the same disk), the lease in the database stops the older of two leaders.
"""

import ctypes
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime

import automation
from callers import OVERTAKEN_PAUSE, Leader, leading, make_systems, running_beside
from database import Changes, DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import NotSentError
from notices import event_delivery
from orders import Progress, RequestKind, RequestState, SubmissionResult
from results import (
    AuditReport,
    NightlyAudit,
    OrderSync,
    SyncReport,
    answering_results,
    is_requested,
    last_audit,
    last_sync,
    request_audit,
    request_sync,
    run_audit,
)
from settings import Settings
from storage import kept_sums, regrading, request_store, result_count_store, service_figure_store
from storage.background import Duty
from storage.backups import NightlyBackup
from storage.request_store import Request
from submission import (
    FOLLOW_INTERVAL,
    LeaderLock,
    Watcher,
    account_objection,
    leader_alive,
    leader_lock,
    patience_of,
    require_account,
    submission_result,
)

logger = logging.getLogger(__name__)

#: Seconds between two tries to become the leader, and the longest wait after the leader failed again and again.
ELECTION_INTERVAL, LONGEST_PAUSE = 1.0, 60.0
#: Seconds after which a lock is free again that another process has taken only to see whether there is a leader.
MOMENT = 0.05
#: Seconds that reads of the provider get to end when the leader ends.
WORKERS_PATIENCE = 5.0
#: Seconds beyond the longest call in which a leader hands over to a command that wants to lead.
HANDOVER = 30.0
NO_WORKER = "No worker leads: start one with `flask worker`, or try again in ten seconds."
M_ARENA_MAX = -8  #: from malloc.h
NEW_OBJECTS = 10_000  #: objects after which the collector looks for cycles; 700 is usual


@contextmanager
def led(settings: Settings, database: IMEIDatabase) -> Iterator[Leader | None]:
    """Lead as long as this context is open. Yield None instead where another process leads.

    On a database server only workers lead. Raises OtherAccountError, DemoError, and NotSentError if no worker leads.
    """
    require_account(database, settings)
    lock = leader_lock(database, settings.data_dir)
    if not database.is_file:
        if not leader_alive(database, settings.data_dir):
            raise NotSentError(NO_WORKER)
        yield None
        return
    with lock.held() as is_leader:
        if not is_leader and not _acquired_after_a_moment(lock):
            yield None
            return
        with leading(settings, database) as leader:
            yield leader


def _acquired_after_a_moment(lock: LeaderLock) -> bool:
    """Take the lock that leader_alive() of another process has held only for a moment."""
    time.sleep(MOMENT)
    return lock.acquire()


@contextmanager
def taking_the_lead(settings: Settings, database: IMEIDatabase) -> Iterator[Leader]:
    """Lead as long as this context is open; a process that leads hands over when its calls have ended.

    Raises NotSentError if it does not hand over, OtherAccountError and DemoError.
    """
    require_account(database, settings)
    lock = leader_lock(database, settings.data_dir)
    with lock.held() as is_leader:
        if not is_leader:
            _wait_for_the_lead(database, lock, settings.call_timeout + HANDOVER)
        with leading(settings, database) as leader:
            yield leader


def _wait_for_the_lead(database: IMEIDatabase, lock: LeaderLock, patience: float) -> None:
    left_behind = request_store.waiting(database, RequestKind.LEAD)
    if left_behind is not None:  # by a command that was killed
        request_store.take_back(database, left_behind.request_id, time.time())
    request_id = request_store.leave(database, RequestKind.LEAD, "", time.time())
    deadline = time.monotonic() + patience
    try:
        while not lock.acquire():
            if time.monotonic() >= deadline:
                raise NotSentError("Another process calls the provider and did not hand over; stop it, or try later.")
            time.sleep(FOLLOW_INTERVAL)
    finally:
        request_store.take_back(database, request_id, time.time())


def use_one_heap() -> None:
    """Let all threads that start later share one heap, because each heap keeps its part of what a large batch took.

    It is a setting of glibc (mallopt, M_ARENA_MAX); other C libraries have no such heaps.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def spare_collector() -> None:
    """Exclude the objects that exist now from garbage collection, and look for cycles among new ones less often.

    What exists now lives as long as the process. A batch makes tens of thousands of short-lived tuples without cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)


def duties(settings: Settings, database: IMEIDatabase, leader: Leader) -> list[Duty]:
    """Return what the leader does beside placing orders."""
    of_accounts = (
        duty
        for caller in leader.callers
        for duty in (
            OrderSync(database, caller.client, settings.auto_sync_interval, caller.account.name).duty(),
            NightlyAudit(database, caller.client, caller.account.name).duty(),
            answering_results(database, caller.client, caller.account.name),
        )
    )
    return [
        *of_accounts,
        NightlyBackup(database, settings.backup_time).duty(),
        *kept_sums.duties(database),
        result_count_store.duty(database),
        regrading.duty(database),
        service_figure_store.duty(database),
        automation.duty(settings, database),
        event_delivery(database, settings),
    ]


@contextmanager
def in_threads(given: Sequence[Duty]) -> Iterator[None]:
    """Do these duties, each in a thread of its own, as long as this is held."""
    ended = threading.Event()
    workers = [threading.Thread(target=duty.repeat, args=(ended,), name=duty.name, daemon=True) for duty in given]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:  # also after a failure: the next leader starts its own
        ended.set()
        _join(workers, WORKERS_PATIENCE)


@dataclass(slots=True)
class Background:
    """The election thread of one process, and its threads for the provider and the database while it is elected."""

    settings: Settings
    database: IMEIDatabase
    stopping: threading.Event = field(default_factory=threading.Event)
    at_duties: Callable[[Sequence[Duty]], AbstractContextManager[None]] = in_threads
    thread: threading.Thread | None = None
    objection: str = ""  #: why this process sends nothing, as the log has it
    look_at: float = 0.0  #: when to look again whether a command waits to become the leader (monotonic seconds)
    lead_request: Request | None = None  #: of a command that waits
    changes: Changes = field(init=False)

    def __post_init__(self) -> None:
        self.changes = Changes(self.database)

    def start(self) -> None:
        """Try to become the leader until stop()."""
        self.thread = threading.Thread(target=self._stand, name="runner", daemon=True)
        self.thread.start()

    def stop(self, timeout: float = 20.0) -> None:
        """Send nothing more and wait up to timeout seconds for the calls on the wire."""
        self.stopping.set()
        if self.thread is not None:
            self.thread.join(timeout)

    def _stand(self) -> None:
        lock, pause = leader_lock(self.database, self.settings.data_dir), ELECTION_INTERVAL
        while not self.stopping.is_set():
            try:
                if not self._is_foreign() and not self._is_lead_wanted() and lock.acquire():
                    self._run(lock)
                    pause = ELECTION_INTERVAL
            except DatabaseUnavailableError as error:
                logger.error("The leader will start again: %s", error.sentence)
            except Exception:  # a thread ends here; the next turn tries again
                pause = min(2 * pause, LONGEST_PAUSE)
                logger.exception("The leader failed and will start again in %d s", pause)
            finally:
                lock.release()
            self.stopping.wait(pause)

    def _run(self, lock: LeaderLock) -> None:
        logger.info("This process is the leader")
        spare_collector()
        with leading(self.settings, self.database) as leader:
            system, *others = make_systems(self.settings, self.database, leader)
            ends = lambda: lock.is_lost or self.stopping.is_set()  # noqa: E731
            with self.at_duties(duties(self.settings, self.database, leader)), running_beside(others, ends):
                system.run(self.stopping, lambda: lock.is_lost or self._is_lead_wanted())
        if system.was_overtaken:  # the other leader must not be overtaken in turn
            self.stopping.wait(OVERTAKEN_PAUSE)

    def _is_lead_wanted(self) -> bool:
        """Whether a command waits to become the leader."""
        if time.monotonic() >= self.look_at:
            self.look_at = time.monotonic() + FOLLOW_INTERVAL
            self.changes.look(self._read_lead_request)
        patience = self.settings.call_timeout + HANDOVER
        return self.lead_request is not None and abs(time.time() - self.lead_request.asked_at) <= patience

    def _read_lead_request(self) -> None:
        self.lead_request = request_store.waiting(self.database, RequestKind.LEAD)

    def _is_foreign(self) -> bool:
        """Whether the database belongs to another account; an administrator may adopt it meanwhile. Logged once."""
        words = account_objection(self.database, self.settings)
        if words and words != self.objection:
            logger.error(words)
        self.objection = words
        return bool(words)


def _join(workers: Sequence[threading.Thread], seconds: float) -> None:
    """Wait up to these seconds in all for the threads to end."""
    deadline = time.monotonic() + seconds
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))


def start_background(settings: Settings, database: IMEIDatabase) -> Background:
    """Let this process try to become the leader, and work as the leader; on a database server, workers do."""
    background = Background(settings, database)
    if database.is_file:
        background.start()
    return background


def run_or_follow(
    settings: Settings,
    database: IMEIDatabase,
    batch_id: int,
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
) -> SubmissionResult:
    """Run a batch to its end: here when no process is the leader, else by the one that is.

    Returns when it is finished (and doubt has had a moment to settle), paused until a person acts, or stop is set
    and the calls on the wire have ended.
    """
    started = time.monotonic()
    use_one_heap()
    while not (
        _has_run(settings, database, batch_id, on_progress, stop)
        or _followed_to_the_end(settings, database, batch_id, on_progress, stop)
    ):
        pass
    return submission_result(database, batch_id, time.monotonic() - started)


def _has_run(
    settings: Settings,
    database: IMEIDatabase,
    batch_id: int,
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
) -> bool:
    """Run a batch to its end if no other process leads. Return whether it was run."""
    with led(settings, database) if database.is_file else nullcontext() as leader:
        if leader is None:
            return False
        spare_collector()
        system, *others = make_systems(settings, database, leader)
        with running_beside(others, stop.is_set):
            system.run_batch(batch_id, on_progress, stop)
        return True


def sync_or_follow(settings: Settings, database: IMEIDatabase) -> SyncReport:
    """Ask for every pending result: here when no process is the leader, else by the one that is, within its limit."""
    is_left = False
    while True:
        if _has_synced(settings, database) and (report := last_sync(database)) is not None:
            return report
        if not is_left:
            request_sync(database)
            is_left = True
        while is_requested(database) and leader_alive(database, settings.data_dir):
            time.sleep(FOLLOW_INTERVAL)
        report = last_sync(database)
        if report is not None and not is_requested(database):
            return report


def _has_synced(settings: Settings, database: IMEIDatabase) -> bool:
    """Ask for every pending result if no other process leads. Return whether this one has asked."""
    with led(settings, database) as leader:
        if leader is None:
            return False
        for caller in leader.callers:
            OrderSync(database, caller.client, 0, caller.account.name).sync()
        return True


def audit_or_follow(settings: Settings, database: IMEIDatabase, since: datetime | None, account: str) -> AuditReport:
    """Audit the orders of an account since midnight of a UTC date: here when no process leads, else by the leader.

    Raises NotSentError where that one failed, OtherAccountError and DemoError.
    """
    while True:
        with led(settings, database) as leader:
            if leader is not None:
                return run_audit(database, leader.client_of(account), since, account)
        request_id = request_audit(database, since, account)
        while (request := request_store.get(database, request_id)) and request.state.is_open:
            if not leader_alive(database, settings.data_dir):
                break
            time.sleep(FOLLOW_INTERVAL)
        report = last_audit(database, account)
        if request is not None and request.state is RequestState.FAILED:
            raise NotSentError(request.error)
        if request is not None and request.state is RequestState.ANSWERED and report is not None:
            return report


def _followed_to_the_end(
    settings: Settings,
    database: IMEIDatabase,
    batch_id: int,
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
) -> bool:
    """Report each change to on_progress. Return True when the batch is over, False when the leader is gone."""
    watcher = Watcher(database, batch_id, on_progress)
    while not stop.wait(FOLLOW_INTERVAL):
        if watcher.is_over(patience_of(settings)):
            return True
        if not leader_alive(database, settings.data_dir):
            return False
    return True
