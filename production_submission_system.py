"""The heart: chunk by chunk, intent on disk → POST → answer on disk → orders, outcomes and progress in one commit.

One thread (`run`) writes to the database; up to 30 workers call the provider and judge its answers. Each turn of the
loop takes the answers that have come, commits what they mean together with the intents of the next calls, and hands
those to the workers. So a commit carries many answers under load and one when it is quiet, and nothing is sent before
it is written. This module knows no XML and no Flask; what an answer means is decided in verdicts.py.
"""

import logging
import math
import os
import queue
import random
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from account import answering_requests
from amounts import money
from database import DatabaseUnavailableError, IMEIDatabase, Transaction, read_list_limit, write_list_limit
from gsm_fusion_client import (
    ClientOptions,
    GSMFusionAPIError,
    GSMFusionClient,
    OutcomeUnknownError,
    RateLimitedError,
)
from orders import (
    Account,
    Chunk,
    ChunkState,
    IMEIOrder,
    Outcome,
    PlacementAnswer,
    Progress,
    ServiceInfo,
    SubmissionResult,
    order_key,
)
from provider import parse_placement
from settings import Settings, load_settings
from storage import account_mark, balance_store, batch_store, lease
from storage.account_mark import AccountMark
from storage.balance_store import Reading
from storage.batch_creation import NewBatch, create_batch, fingerprint
from storage.batch_queries import progress
from storage.call_log import record_clean, write_intents
from submission import (
    DISK_FULL,
    MINUTE,
    REQUESTED,
    AccountWatch,
    Checkpoints,
    Judgement,
    Look,
    OtherAccountError,
    Pause,
    RunnerLock,
    Settler,
    Story,
    Throttle,
    Watcher,
    check_account,
    confirm,
    is_disk_full,
    is_named,
    is_readable,
    judge,
    judge_by_name,
    mark_of,
    proven_length,
    reopen_answered,
    require_account,
    submission_result,
    to_confirm,
    trial_length,
    unexplained_fall,
)

logger = logging.getLogger(__name__)

STOPPED = "the program stopped while this call was on the wire"
MOVED = (
    "This database was moved or copied, and the provider does not list its orders: make sure that no other copy of it"
    " is at work, then resume the batch."
)


PAID_ELSEWHERE = (
    "{} more left the account than the orders of this database cost: another program or a copy of it may have ordered"
    " what is planned here. Make sure that it has not before you resume the batch."
)
#: What must hold in the transaction of an intent, in one question: this process has the lease, and the right account.
MAY_SEND = lease.HELD.add_columns(account_mark.STORED)
#: Calls shorter than this (seconds) are as short as a commit: then the next ones are planned while these run.
QUICK_CALL = 0.2
#: Seconds in which an answer is committed and the next call is handed out, at most.
COMMIT = 0.025
#: Seconds that doubt is waited for after the last answer where the provider does not list its orders.
HOPELESS_PATIENCE = 2.0
#: Seconds since a batch was made in which no other process can have ordered it.
JUST_NOW = 10.0
#: Seconds that calls on the wire get to end for a look alone, or twice their usual time.
DRAIN_PATIENCE = 30.0
#: Seconds between two looks at a batch that another process runs.
FOLLOW_INTERVAL = 0.3
#: Looks at the provider's list that must fail before work of an earlier process goes on without one.
LOOKS_WITHOUT_ANSWER = 3
#: IMEIs of the first call that proves the comma list of a service.
TRIAL = 2
#: So many calls in a row without any readable answer: the provider is down, and each further call is one more doubt.
UNANSWERED = 3
PROGRAM_ERROR = (
    "Stopped by an error in the program; the log has the details. Answers that came are kept. Resume when it is fixed."
)


class Provider(Protocol):
    """What the heart needs of gsm_fusion_client.GSMFusionClient."""

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Callable[[bytes], None] | None = None, **fields: str
    ) -> PlacementAnswer: ...

    def list_recent_orders(self) -> list[IMEIOrder]: ...

    def get_imei_orders(self, order_ids: str | Sequence[str], nothing_else: bool = False) -> list[IMEIOrder]: ...

    def get_imei_services(self) -> list[ServiceInfo]: ...

    def get_account(self) -> Account: ...


@dataclass(frozen=True, slots=True)
class Options:
    """How hard and how patiently to work. Times are seconds."""

    workers: int = 30
    chunk_size: int = 100
    settle_quiet: float = 60.0
    call_timeout: float = 120.0  #: how long a call may take: nobody can know earlier that it placed nothing
    send_order_key: bool = False  #: single orders carry a key of ours, which some panels know; it is never trusted
    resend_limit: float = 5.0  #: US dollars that are sent again by themselves on the strength of one proof
    poll: float = 0.25  #: how often to look for new batches while nothing happens
    maintenance_wait: float = 30.0
    patience: float = 200.0  #: how long submit_batch waits for doubt to settle after the last answer
    account: AccountMark | None = None  #: whose orders these are; with another one nothing is sent
    canaries: int = 3  #: IMEIs held back while something is in doubt, to prove the provider's list fresh


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call, and what it means."""

    chunk: Chunk
    content: PlacementAnswer | GSMFusionAPIError | None  #: None: it was held back before it was sent
    judgement: Judgement
    seconds: float = QUICK_CALL  #: how long the call took
    began: float = 0.0  #: when, in monotonic seconds

    @property
    def is_of_its_call(self) -> bool:
        """Whether it is readable and names an IMEI of its call: the provider has ended its work on that."""
        named = any(is_named(verdict) for verdict in self.judgement.verdicts or ())
        return isinstance(self.content, PlacementAnswer) and named


def options_of(settings: Settings, database: IMEIDatabase) -> Options:
    """Return the options that the settings ask for."""
    return Options(
        workers=settings.workers,
        chunk_size=settings.chunk_size,
        settle_quiet=settings.settle_quiet,
        call_timeout=settings.call_timeout,
        resend_limit=settings.resend_limit,
        send_order_key=settings.send_order_key,
        patience=patience_of(settings),
        account=mark_of(settings, database.install_id()),
    )


def patience_of(settings: Settings) -> float:
    """Return the seconds that doubt may take to settle after the last answer: timeout, quiet time and proof."""
    return settings.call_timeout + 1.5 * settings.settle_quiet + 10


class Parts(NamedTuple):
    """What a submission system works with."""

    database: IMEIDatabase
    client: Provider
    checkpoints: Checkpoints
    options: Options
    throttle: Throttle
    settings: Settings


def parts_from_environment() -> Parts:
    """Open the database and make the client of the account in the environment.

    Raises SettingsError without credentials, and OtherAccountError where the database belongs to another account.
    """
    settings = load_settings()
    throttle = Throttle(settings.workers, settings.rate_limit)
    client = GSMFusionClient(options=ClientOptions(settings.base_url, settings.workers + 2, turns=throttle))
    database = IMEIDatabase(settings.database_path)
    require_account(database, settings)
    checkpoints = Checkpoints(settings.data_dir / "checkpoints")
    return Parts(database, client, checkpoints, options_of(settings, database), throttle, settings)


def call_threads(count: int) -> Executor:
    """The threads in which calls are made, all waiting: to start one between busy ones stalls the writer."""
    pool, all_there = ThreadPoolExecutor(count, thread_name_prefix="call"), threading.Barrier(count + 1)
    for _ in range(count):
        pool.submit(all_there.wait)
    all_there.wait()
    return pool


class ProductionSubmissionSystem:
    """Places planned chunks with the provider. Only one may run on a database at a time (see runner.py).

    Without arguments its parts are made from the environment (see parts_from_environment); then submit_batch becomes
    the leader (see runner.py), or leaves the sending to the process that is. clock tells seconds that never go back;
    pool makes the executor for so many calls at once.
    """

    def __init__(
        self,
        database: IMEIDatabase | None = None,
        client: Provider | None = None,
        checkpoints: Checkpoints | None = None,
        options: Options | None = None,
        throttle: Throttle | None = None,
        clock: Callable[[], float] = time.monotonic,
        pool: Callable[[int], Executor] = call_threads,
    ) -> None:
        """throttle is shared with all other calls to the provider; without one, this system makes its own."""
        self._settings: Settings | None = None
        if database is None and client is None and checkpoints is None:
            database, client, checkpoints, options, throttle, self._settings = parts_from_environment()
        if database is None or client is None or checkpoints is None:
            raise TypeError("Give database, client and checkpoints, or none of them.")
        self.database = database
        self.client = client
        self.checkpoints = checkpoints
        self.options = options or Options()
        self._clock = clock
        self._pool = pool
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()  #: None: something else has come
        self._looks: queue.SimpleQueue[Look] = queue.SimpleQueue()
        self._unwritten: list[Answer] = []
        self._in_flight: dict[int, Chunk] = {}
        self._settler = Settler(self.options.settle_quiet, self.options.call_timeout, self.options.resend_limit)
        self._account = AccountWatch(database, client, clock, self._wake)
        self._story = Story(database)
        self._install_id = database.install_id() if self.options.send_order_key else None
        self._lease: lease.Lease | None = None
        self._overtaken = False
        self._looking = False
        self._alone = False  #: nothing is sent until a look at the list was taken alone
        self._alone_since = 0.0
        self._older = set[int]()  #: batches of an earlier process: nothing of them is sent before a look
        self._looked = set[int]()  #: batches for which that look was taken
        self._must_look = False  #: one of them waits for it
        self._balance_before: Reading | None = None  #: the newest one that an earlier process has read
        self._failed_looks = 0
        self._settle_request: str | None = None
        self._slots = threading.Semaphore(self.options.workers)  # one thread more is there for looks
        self.throttle = throttle or Throttle(self.options.workers, clock=clock)
        self._hold = threading.Event()  # set: calls that have not begun give their chunk back
        self._resume_at: float | None = None
        self._next_note = 0.0
        self._unreported: set[int] = set()
        self._next_report = 0.0
        self._unanswered = 0  #: calls in a row
        self._had_space = False  #: unknown at first: then the words of a process before this one are taken back

    @property
    def was_overtaken(self) -> bool:
        """Whether another process has taken the lease since this one ran."""
        return self._overtaken

    def submit_batch(
        self,
        imeis: Sequence[str],
        service_id: str,
        progress_callback: Callable[[Progress], None] | None = None,
        label: str = "submit_batch",
    ) -> SubmissionResult:
        """Order every IMEI from the service and return when each has an outcome, or the batch is paused.

        The same unfinished list is continued, not ordered again. progress_callback gets a Progress whenever
        something changed. Raises ValueError for a service that cannot be ordered by IMEI alone.
        """
        service = self._service(service_id)
        batch_id = create_batch(
            self.database,
            NewBatch(
                label=label,
                source="command",
                service_id=service.package_id,
                service_name=service.title,
                unit_price=service.price,
                imeis=[(imei, row) for row, imei in enumerate(imeis, 1)],
                fingerprint=fingerprint(service_id, imeis),
            ),
            self.options.chunk_size,
        )
        return self.run_batch(batch_id, progress_callback)

    def run_batch(
        self,
        batch_id: int,
        progress_callback: Callable[[Progress], None] | None = None,
        stop: threading.Event | None = None,
    ) -> SubmissionResult:
        """Run until this batch is finished or paused (others run along) or stop is set; say what became of it."""
        started, stop = time.monotonic(), stop or threading.Event()
        watcher = Watcher(self.database, batch_id, progress_callback)
        if self._settings is None:
            self.run(stop, lambda: watcher.is_over(self._patience()))
        else:
            self._run_or_follow(self._settings, stop, lambda: watcher.is_over(self._patience()))
        return submission_result(self.database, batch_id, time.monotonic() - started)

    def _run_or_follow(self, settings: Settings, stop: threading.Event, is_over: Callable[[], bool]) -> None:
        """Run, and answer pages and commands, as soon as no other process leads; until then that one sends."""
        lock = RunnerLock(settings.data_dir)
        while not (stop.is_set() or is_over()):
            if lock.acquire():
                try:
                    with answering_requests(self.database, settings, self.throttle):
                        self.run(stop, is_over)
                finally:
                    lock.release()
                return
            stop.wait(FOLLOW_INTERVAL)

    def _patience(self) -> float:
        """How long doubt is waited for: not long where the provider shows no order of ours."""
        hopeless = self._settler.waits_for_person
        return min(HOPELESS_PATIENCE, self.options.patience) if hopeless else self.options.patience

    def run(self, stop: threading.Event, is_over: Callable[[], bool] = lambda: False) -> None:
        """Recover, then send and record until stop is set, is_over(), or another process has taken the lease.

        Calls on the wire are waited for. An error of the program pauses every batch before it is raised.
        """
        try:
            self._run(stop, is_over)
        except (OSError, DatabaseUnavailableError):  # a disk; the next run goes on
            raise
        except Exception:
            logger.exception("An error of the program stops every batch")
            with self.database.write() as connection:
                batch_store.pause_all(connection, PROGRAM_ERROR)
            raise

    def _run(self, stop: threading.Event, is_over: Callable[[], bool]) -> None:
        self._recover()
        with (
            self._pool(self.options.workers + 1) as pool,
            self.throttle.open(),  # closed first, so that a listing that waits for its turn ends
        ):
            answers: list[Answer] = []
            while True:
                ending = stop.is_set() or is_over() or self._lease is None
                if not ending:
                    self._account.turn(pool, idle=not self._in_flight and not self._is_worked_on())
                    self._settler.balance_failures = self._account.failures
                claimed = self._commit(answers, may_claim=not ending and not self._is_held())
                claimed += self._settle(pool, may_repeat=not ending)
                self._send(pool, claimed)
                if not self._in_flight and (stop.is_set() or is_over() or self._lease is None):
                    self._story.tell()
                    return
                answers = self._unwritten + self._collect()
                self._unwritten = []

    def _send(self, pool: Executor, claimed: Sequence[Chunk]) -> None:
        """Hand the calls whose intents are on disk to the workers."""
        if not claimed:
            return
        self._hold.clear()
        self._account.sent()
        for chunk in claimed:
            self._in_flight[chunk.chunk_id] = chunk
        starts = self.throttle.start(self._clock(), len(claimed))
        for chunk, start in zip(claimed, starts, strict=True):
            pool.submit(self._call, chunk, start)

    def _is_worked_on(self) -> bool:
        return self._alone or self._settler.may_be_worked_on(self._clock())

    def _is_held(self) -> bool:
        """Whether nothing may be sent now: a look at the list, or the balance before the next calls, comes first."""
        return self._alone or self._account.holds()

    # One turn of the loop

    def _collect(self) -> list[Answer]:
        """Wait for the next answer, but not long, and take all that have come."""
        found: list[Answer | None] = []
        try:
            found.append(self._answers.get(timeout=self.throttle.wait(self._clock(), self.options.poll)))
            while True:
                found.append(self._answers.get_nowait())
        except queue.Empty:
            return [answer for answer in found if answer is not None]

    def _wake(self) -> None:
        """Let the loop take its next turn at once: a look or a balance has come. From a worker thread."""
        self._answers.put(None)

    def _commit(self, answers: list[Answer], may_claim: bool) -> list[Chunk]:
        """Write what the answers mean and the intents of the next calls. Returns the chunks to call."""
        has_space = self.checkpoints.has_space()
        self._unreported |= {answer.chunk.batch_id for answer in answers}
        try:
            with self.database.write() as connection:
                limits: dict[str, int] = {}
                self._write_all(connection, answers, limits)
                self._account.write(connection)
                if any(answer.judgement.verdicts for answer in answers):
                    for answer in answers:
                        ended = answer.began + answer.seconds if answer.is_of_its_call else None
                        self._settler.began(answer.chunk.attempt_id, answer.began, ended)
                    self._settler.note(connection, self._clock())  # before the last IMEIs are claimed
                self._resume_after_maintenance(connection)
                if not (has_space and self._had_space):
                    batch_store.set_notice(connection, "" if has_space else DISK_FULL)
                slower = any(answer.judgement.hold for answer in answers)  # the throttle learns of it below
                claimed = self._claim(connection, answers, limits) if may_claim and has_space and not slower else []
        except batch_store.WrongStateError as error:
            logger.warning("Another process moved a chunk (%s); each answer is written by itself", error)
            return self._commit_one_by_one(answers)
        except lease.LeaseLostError as error:
            self._lose_lease(error)
            return self._commit(answers, may_claim=False)
        except DatabaseUnavailableError as error:
            return self._keep_for_later(answers, error)
        self._had_space = has_space
        for answer in answers:
            self._in_flight.pop(answer.chunk.chunk_id, None)
            self._adapt(answer)
        self._report()
        return claimed

    def _commit_one_by_one(self, answers: Sequence[Answer]) -> list[Chunk]:
        """Write each answer by itself; one whose chunk was settled otherwise meanwhile still leaves its orders."""
        for answer in answers:
            try:
                self._commit_one(answer)
            except DatabaseUnavailableError as error:
                self._keep_for_later([answer], error)
                continue
            self._in_flight.pop(answer.chunk.chunk_id, None)
            self._adapt(answer)
        return []

    def _commit_one(self, answer: Answer) -> None:
        chunk, content = answer.chunk, answer.content
        judgement = judge_by_name(chunk, content) if isinstance(content, PlacementAnswer) else answer.judgement
        try:
            with self.database.write() as connection:
                self._write(connection, chunk, judgement, {})
        except batch_store.WrongStateError:
            words = "the answer came when this IMEI had been settled otherwise"
            logger.error("Chunk %d was moved by another process; its answer is recorded all the same", chunk.chunk_id)
            with self.database.write() as connection:
                batch_store.record_late(connection, chunk, judgement.verdicts or (), words)

    def _lose_lease(self, error: lease.LeaseLostError) -> None:
        """Another process sends now: this one only records the answers to the calls that it has sent."""
        if not self._overtaken:
            logger.error("This process sends nothing more: %s", error)
        self._lease, self._overtaken = None, True

    def _keep_for_later(self, answers: list[Answer], error: DatabaseUnavailableError) -> list[Chunk]:
        """The database cannot be written now: hold the answers in memory, give the disk its ballast, try again."""
        logger.error("The database cannot be written (%s); %d answers wait", error.orig, len(answers))
        self._unwritten += answers
        self.checkpoints.drop_ballast()
        time.sleep(self.options.poll)
        return []

    def _write_all(self, connection: Transaction, answers: Sequence[Answer], limits: dict[str, int]) -> None:
        """Clean answers together, everything else one by one. limits is for _list_limit."""
        clean = [(answer.chunk, answer.judgement.clean) for answer in answers if answer.judgement.clean]
        together = record_clean(connection, clean)
        for answer in answers:
            if not answer.judgement.clean:
                self._write(connection, answer.chunk, answer.judgement, limits)
            elif not together and isinstance(answer.content, PlacementAnswer):
                self._write(connection, answer.chunk, judge_by_name(answer.chunk, answer.content), limits)
        for chunk in {(chunk.service_id, len(chunk.items)): chunk for chunk, _ in clean}.values():
            self._learn_list_length(connection, chunk, [True] * len(chunk.items), limits)
        if clean and self.throttle.failures:
            batch_store.set_notice(connection, "")

    def _write(self, connection: Transaction, chunk: Chunk, judgement: Judgement, limits: dict[str, int]) -> None:
        if judgement.verdicts is None:
            batch_store.release(connection, chunk, judgement.message)
        else:
            batch_store.record(connection, chunk, judgement.verdicts, judgement.message)
            if judgement.pause is Pause.NOBODY:
                named = [is_named(verdict) for verdict in judgement.verdicts]
                self._learn_list_length(connection, chunk, named, limits)
        if judgement.pause is Pause.BATCH:
            batch_store.pause(connection, chunk.batch_id, judgement.message)
        elif judgement.pause is Pause.ALL:
            batch_store.pause_all(connection, judgement.message)
        elif judgement.pause is Pause.ALL_FOR_A_WHILE:
            batch_store.pause_all(connection, judgement.message, resumes_itself=True)
        elif judgement.hold or (judgement.unanswered and self._unanswered + 1 >= UNANSWERED):
            batch_store.set_notice(connection, judgement.message)
        elif self.throttle.failures and judgement.verdicts is not None and not judgement.unanswered:
            batch_store.set_notice(connection, "")

    def _learn_list_length(
        self, connection: Transaction, chunk: Chunk, named: Sequence[bool], limits: dict[str, int]
    ) -> None:
        """After an answer that could be read, remember how long a comma list of this service may be."""
        if not any(named):
            return  # no answer at all, which says nothing about lists
        known = _list_limit(connection, chunk.service_id, limits)
        proven = proven_length(named, known, self.options.chunk_size)
        if proven != known:
            write_list_limit(connection, chunk.service_id, proven)
            limits[chunk.service_id] = proven
            logger.info("Service %s takes lists of %d IMEIs", chunk.service_id, proven)

    def _adapt(self, answer: Answer) -> None:
        """Let the throttle and the settler learn from one answer."""
        judgement = answer.judgement
        now, before = self._clock(), self.throttle.hold_until
        if answer.content is not None and not judgement.unanswered:
            self._settler.answered(answer.seconds, len(answer.chunk.items))
        if answer.chunk.doubt_attempt is not None:
            self._settler.look_soon(now)  # its orders are the proof for the next piece
        if judgement.pause is Pause.ALL_FOR_A_WHILE:
            self._resume_at = now + self.options.maintenance_wait
        if answer.content is not None:
            self._unanswered = self._unanswered + 1 if judgement.unanswered else 0
        if answer.content is None:
            self.throttle.take_back()
        elif judgement.limited:
            self.throttle.limited(now, judgement.retry_after, random.random(), answer.began)  # noqa: S311
        elif judgement.hold or self._unanswered >= UNANSWERED:
            self.throttle.unreachable(now, random.random())  # noqa: S311
        else:
            full = 2 * len(answer.chunk.items) >= self.options.chunk_size  # short calls are quick and say little
            self.throttle.answered(answer.seconds if full else None, answer.began)
        if self.throttle.hold_until > before:
            self._hold.set()
            logger.warning("Nothing is sent for %.1f s: %s", self.throttle.hold_until - now, judgement.message)

    def _resume_after_maintenance(self, connection: Transaction) -> None:
        if self._resume_at is not None and self._clock() >= self._resume_at:
            self._resume_at = None
            batch_store.resume_self_resuming(connection)

    def _report(self) -> None:
        """Write progress.json of the batches that moved, and at the end; at most a twentieth of the time is for it."""
        now = self._clock()
        if not self._unreported or (now < self._next_report and self._in_flight):
            return
        for batch_id in self._unreported:
            found = progress(self.database, batch_id)
            if found is None:
                continue
            done = found.chunks[ChunkState.ANSWERED] + found.chunks[ChunkState.IN_DOUBT]
            try:
                self.checkpoints.write_progress(
                    batch_id, done, sum(found.chunks.values()), found.outcomes[Outcome.ORDERED]
                )
            except OSError as error:
                logger.warning("progress.json of batch %d was not written: %s", batch_id, error.strerror)
        self._unreported.clear()
        ended = self._clock()
        self._next_report = ended + max(0.5, 20 * (ended - now))

    # What to send next

    def _claim(self, connection: Transaction, answered: Sequence[Answer], limits: dict[str, int]) -> list[Chunk]:
        """Write the intents of the next calls: the batch with the fewest calls on the wire comes first.

        limits is for _list_limit.
        """
        busy = self._in_flight.keys() - {answer.chunk.chunk_id for answer in answered}
        on_the_wire = [self._in_flight[chunk_id] for chunk_id in busy]
        load = Counter(chunk.batch_id for chunk in on_the_wire)
        listed = Counter(chunk.service_id for chunk in on_the_wire if len(chunk.items) > 1)
        free = self.throttle.permits(self._clock(), len(on_the_wire), self._ahead(answered))
        if not free:
            return []
        waiting = {running.batch_id: running for running in self._sendable(connection)}
        reach = free + self.options.canaries
        planned = {batch_id: deque(batch_store.planned_chunks(connection, batch_id, reach)) for batch_id in waiting}
        claimed: list[int] = []
        while waiting and len(claimed) < free:
            batch = min(waiting.values(), key=lambda running: (load[running.batch_id], running.batch_id))
            chunk_id = self._next_chunk(connection, batch, planned[batch.batch_id], listed, limits)
            if chunk_id is None:
                del waiting[batch.batch_id]
                continue
            load[batch.batch_id] += 1
            claimed.append(chunk_id)
        self.throttle.orders_wait = len(claimed) == free
        if not claimed:
            return []
        self._check_lease(connection)
        return write_intents(connection, claimed, min((chunk.attempt_id for chunk in on_the_wire), default=None))

    def _ahead(self, answered: Sequence[Answer]) -> int:
        """Return how many calls to plan beyond those on the wire, so that no worker waits for a commit."""
        seconds = min((answer.seconds for answer in answered), default=math.inf)
        workers = self.options.workers
        return workers if seconds < QUICK_CALL else int(workers * COMMIT / seconds)

    def _check_lease(self, connection: Transaction) -> None:
        """Raise LeaseLostError unless this process may record intents."""
        if self._lease is None:
            raise lease.LeaseLostError("This process has no lease.")
        row = connection.execute(MAY_SEND).first()
        lease.check(row, self._lease)
        try:
            check_account(row.account_mark if row else None, self.options.account)
        except OtherAccountError as error:
            raise lease.LeaseLostError(str(error)) from error

    def _sendable(self, connection: Transaction) -> list[batch_store.RunningBatch]:
        """Running batches, but for those that wait for a look: a copy of this database may have sent what they plan."""
        running = batch_store.running_batches(connection)
        moved = self._lease is not None and self._lease.moved
        held = {batch.batch_id for batch in running if moved or batch.batch_id in self._older} - self._looked
        self._must_look = bool(held)
        return [batch for batch in running if batch.batch_id not in held]

    def _next_chunk(
        self,
        connection: Transaction,
        batch: batch_store.RunningBatch,
        planned: deque[tuple[int, int]],
        listed: Counter[str],
        limits: dict[str, int],
    ) -> int | None:
        """The next chunk of a batch, cut to a length that its service is proven for; None when it must wait.

        planned are the batch's next chunks as (id, size); listed counts the calls of many on
        the wire by service, limits is for _list_limit.
        """
        if not planned:
            return None
        chunk_id, size = planned.popleft()
        if size > 1:
            proven = _list_limit(connection, batch.service_id, limits)
            if proven in (0, 2) and listed[batch.service_id]:
                return None  # the call that proves the comma list is on its way
            listed[batch.service_id] += 1
            longest = trial_length(proven, self.options.chunk_size)
            if proven == 0 and not planned and size <= TRIAL + self.options.canaries:
                longest = proven = 1  # too few to prove a list with: one by one, none of them can be left out
            if size > longest:
                rest = self.options.chunk_size if proven in (0, 2) else longest
                planned.extendleft(reversed(batch_store.split_chunk(connection, chunk_id, longest, rest)))
                return chunk_id
        spare = self.options.canaries - sum(length for _, length in planned)
        if spare > 0 and self._settler.doubts(batch.batch_id):
            planned.clear()  # one proof at a time
            return self._spare_canaries(connection, chunk_id, size, spare)
        return chunk_id

    def _spare_canaries(self, connection: Transaction, chunk_id: int, size: int, spare: int) -> int | None:
        """While something is in doubt, hold the last IMEIs of a batch back: their orders prove the list fresh.

        spare of them must come from this chunk, the others are planned behind it.
        """
        if size > spare:
            batch_store.split_chunk(connection, chunk_id, size - spare, 1)
            return chunk_id
        return chunk_id if self._settler.wants_witness(connection, self._clock()) else None

    # One call, in a worker thread

    def _call(self, chunk: Chunk, start: float) -> None:
        with self._slots:
            self._place(chunk, start)

    def _place(self, chunk: Chunk, start: float) -> None:
        if self._hold.wait(max(0.0, start - self._clock())):
            self._answers.put(Answer(chunk, None, Judgement(None)))
            return
        imeis = [item.imei for item in chunk.items]
        started = self._clock()
        try:
            content: PlacementAnswer | GSMFusionAPIError = self.client.place_imei_order(
                imeis, chunk.service_id, keep=lambda raw: self._keep(chunk, raw), **self._order_key(chunk)
            )
            judgement = judge(chunk, content)
        except GSMFusionAPIError as error:
            content, judgement = error, judge(chunk, error)
        except Exception:  # a thread ends here, and its chunk must not be forgotten
            logger.exception("Chunk %d: the call failed in an unforeseen way", chunk.chunk_id)
            content = OutcomeUnknownError("the call failed inside this program after it may have been sent")
            judgement = judge(chunk, content)
        self._answers.put(Answer(chunk, content, judgement, self._clock() - started, started))
        if isinstance(content, RateLimitedError):
            # At once: those that have not begun would only be refused too. But behind the answer, which must be
            # understood before the chunks that they give back are planned anew.
            self._hold.set()

    def _order_key(self, chunk: Chunk) -> dict[str, str]:
        """The optional field by which some panels recognise an order that they have already."""
        if self._install_id is None or len(chunk.items) > 1:
            return {}
        return {"orderId": order_key(self._install_id, chunk.items[0].item_id)}

    def _keep(self, chunk: Chunk, raw: bytes) -> None:
        """Put the answer on disk. On a full disk the ballast goes first; without room the commit still follows."""
        try:
            self.checkpoints.keep(chunk, raw)
        except OSError as error:
            if is_disk_full(error):
                self.checkpoints.drop_ballast()
            logger.error("The answer for chunk %d has no checkpoint: %s", chunk.chunk_id, error.strerror)

    # Doubt and recovery

    def _recover(self) -> None:
        """Take the lease; what was on the wire when a process died is recorded from its checkpoint, or in doubt."""
        with self.database.write() as connection:
            holder = f"process {os.getpid()} on {socket.gethostname()}"
            self._overtaken = False
            self._lease = lease.take(connection, holder, lease.place_of(self.database.path))
            self._balance_before = balance_store.newest_reading(connection)
            reopen_answered(connection, self.checkpoints)
            sending = [(c, self._kept_answer(c)) for c in batch_store.open_chunks(connection, ChunkState.SENDING)]
            kept = [Answer(chunk, content, judge(chunk, content)) for chunk, content in sending]
            self._write_all(connection, kept, {})
            if kept:
                logger.warning("Recovered %d calls that were on the wire when the program ended", len(kept))
            self._settler.note(connection, self._clock())  # before the last IMEIs are claimed
            batch_store.resume_self_resuming(connection)
            self._older = batch_store.older_batches(connection, JUST_NOW)
            if self.throttle.limit:  # another process may have used up this minute's calls
                self.throttle.used_before(batch_store.attempt_ages(connection, MINUTE))

    def _kept_answer(self, chunk: Chunk) -> PlacementAnswer | GSMFusionAPIError:
        raw = self.checkpoints.answer_of(chunk)
        if raw is None:
            return OutcomeUnknownError(STOPPED)
        try:
            return parse_placement(raw)
        except GSMFusionAPIError as error:
            return error

    def _settle(self, pool: Executor, may_repeat: bool) -> list[Chunk]:
        """Look at the provider's list when it is due, and write what it shows. Returns the call to repeat, if any."""
        now = self._clock()
        if now >= self._next_note:
            self._next_note = now + self.options.poll
            self._note_doubt(now)
        self._alone = may_repeat and (self._stays_alone(now) if self._alone else self._may_look_alone(now))
        if not self._looking and self._is_look_due(now):
            self._looking = True
            with self.database.read() as connection:
                last_order = batch_store.newest_order(connection)
            pool.submit(self._look, last_order, self._alone and not self._in_flight)
        try:
            look = self._looks.get_nowait()
        except queue.Empty:
            return []
        self._looking = False
        repeated = self._apply(look, may_repeat)
        if look.alone:
            self._alone = False
        self._settler.looked(self._clock())
        return repeated

    def _may_look_alone(self, now: float) -> bool:
        """Whether a look taken alone could settle something, and the call that it may lead to could be sent."""
        if self._must_look:  # with the balance, which shows what a list may hide
            self._alone_since = now
            return now >= self._settler.next_look
        if not self._had_space or not self._settler.wants_turn(now):
            return False
        self._alone_since = now
        return self.throttle.permits(now, 0) > 0

    def _stays_alone(self, now: float) -> bool:
        """Whether the calls on the wire get more time to end."""
        patience = max(DRAIN_PATIENCE, 2 * self.throttle.usual if self.throttle.times else 0.0)
        if not self._in_flight or now - self._alone_since < patience:
            return True
        self._settler.postpone_turns(now)
        return False

    def _is_look_due(self, now: float) -> bool:
        """Whether to ask for the list: alone only when nothing is on the wire any more."""
        if self._alone:
            return not self._in_flight and not self._account.is_reading
        return self._settler.is_due(now) or (self._must_look and now >= self._settler.next_look)

    def _apply(self, look: Look, may_repeat: bool) -> list[Chunk]:
        """Write what a look shows, and with it the intent of the call that it allows to repeat."""
        try:
            with self.database.write() as connection:
                claimed = list[Chunk]()
                piece = self._settler.apply(connection, look, may_repeat and self.checkpoints.has_space())
                if piece is not None:
                    self._check_lease(connection)
                    claimed = write_intents(connection, [piece])
                self._settler.note(connection, self._clock())
                self._looked_first(connection, look)
        except DatabaseUnavailableError as error:
            logger.error("Doubt could not be settled now: %s", error.orig)
            return []
        except lease.LeaseLostError as error:
            self._lose_lease(error)
            return []
        return claimed

    def _looked_first(self, connection: Transaction, look: Look) -> None:
        """The look that must come before work of an earlier process goes on: taken, or given up.

        Where more left the account than we know of since an earlier process read its balance, a copy of this database
        may have ordered what is planned, and the list may not show it.
        """
        if not self._must_look:
            return
        readable = is_readable(look)
        self._failed_looks = 0 if readable else self._failed_looks + 1
        if not readable and self._failed_looks < LOOKS_WITHOUT_ANSWER:
            return
        self._must_look = False
        running = {batch.batch_id for batch in batch_store.running_batches(connection)}
        beyond = unexplained_fall(connection, self._balance_before, look.credits)
        held = running if self._lease is not None and self._lease.moved else running & self._older
        for batch_id in held if beyond else ():
            batch_store.pause(connection, batch_id, PAID_ELSEWHERE.format(money(beyond)))
        self._looked |= running
        if not readable and self._lease is not None and self._lease.moved:
            batch_store.pause_all(connection, MOVED)

    def _note_doubt(self, now: float) -> None:
        with self.database.read() as connection:
            self._settler.note(connection, now)
            try:
                self._check_lease(connection)
            except lease.LeaseLostError as error:
                self._lose_lease(error)
        self._story.tell()
        request = self.database.get_setting(REQUESTED)
        if request != self._settle_request:
            self._settle_request = request
            self._settler.look_soon(now)

    def _look(self, last_order: int, alone: bool) -> None:
        """Ask for the list, for its orders that count by id, and alone for the balance then. In a worker thread."""
        asked_at = self._clock()
        listed, answered = list[IMEIOrder](), False
        try:
            listed, answered = self.client.list_recent_orders(), True
        except GSMFusionAPIError as error:
            logger.warning("The provider does not list its orders: %s", error)
        except Exception:  # a thread ends here
            logger.exception("Listing the provider's orders failed in an unforeseen way")
        confirmed = self._confirm(listed)
        credits = self._account.balance() if alone and (answered or self._must_look) else None
        self._looks.put(Look(tuple(listed), asked_at, last_order, answered, alone, credits, confirmed))
        self._wake()

    def _confirm(self, listed: Sequence[IMEIOrder]) -> dict[str, IMEIOrder]:
        """Ask by id for the listed orders that may be ours. In a worker thread."""
        try:
            with self.database.read() as connection:
                wanted = to_confirm(connection, listed)
            return confirm(lambda ids: self.client.get_imei_orders(ids, nothing_else=True), listed, wanted)
        except Exception:  # a thread ends here; nothing is confirmed
            logger.exception("Asking for listed orders by their ids failed in an unforeseen way")
            return {}

    def _service(self, service_id: str) -> ServiceInfo:
        service = self.database.get_service(service_id)
        if service is None:
            self.database.store_services(self.client.get_imei_services(), time.time())
            service = self.database.get_service(service_id)
        if service is None:
            raise ValueError(f"The provider has no service {service_id}.")
        if not service.orderable:
            raise ValueError(f"{service.title} needs more than an IMEI: {', '.join(service.required_fields)}.")
        return service


def _list_limit(connection: Transaction, service_id: str, limits: dict[str, int]) -> int:
    """The longest list that a service is proven for; limits keeps what was read or written in this transaction."""
    if service_id not in limits:
        limits[service_id] = read_list_limit(connection, service_id)
    return limits[service_id]
