"""The heart: chunk by chunk, intent on disk → POST → answer on disk → orders, outcomes and progress in one commit.

One thread (`run`) writes to the database; up to 30 workers call the provider and judge its answers. Each turn of the
loop takes the answers that have come, commits what they mean together with the intents of the next calls, and hands
those to the workers. So a commit carries many answers under load and one when it is quiet, and nothing is sent before
it is written. This module knows no XML and no Flask; what an answer means is decided in verdicts.py.
"""

import logging
import queue
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import batch_older_copy
import batch_store
from batch_creation import NewBatch, create_batch, fingerprint
from batch_queries import progress
from call_budget import MINUTE, CallBudget
from call_log import record_clean, write_intents
from checkpoints import DISK_FULL, Checkpoints, is_disk_full
from database import DatabaseUnavailableError, IMEIDatabase, Transaction, read_list_limit, write_list_limit
from gsm_fusion_client import GSMFusionError, OutcomeUnknownError, RateLimitedError, parse_placement
from orders import (
    Chunk,
    ChunkState,
    Outcome,
    PlacementAnswer,
    Progress,
    ProviderOrder,
    Service,
    SubmissionResult,
)
from pace import Pace
from settlement import REQUESTED, Settler
from submission_report import Watcher, submission_result
from verdicts import Judgement, Pause, judge, judge_by_name, proven_length, trial_length

logger = logging.getLogger(__name__)

STOPPED = "the program stopped while this call was on the wire"


#: Calls shorter than this (seconds) are as short as a commit: then the next ones are planned while these run.
QUICK_CALL = 0.2
#: Seconds that doubt is waited for after the last answer where the provider does not list its orders.
HOPELESS_PATIENCE = 2.0
#: So many calls in a row without any readable answer: the provider is down, and each further call is one more doubt.
UNANSWERED = 3


class Provider(Protocol):
    """What the heart needs of gsm_fusion_client.GSMFusionClient."""

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Callable[[bytes], None] | None = None
    ) -> PlacementAnswer: ...

    def list_recent_orders(self) -> list[ProviderOrder]: ...

    def get_imei_services(self) -> list[Service]: ...


@dataclass(frozen=True, slots=True)
class Options:
    """How hard and how patiently to work. Times are seconds."""

    workers: int = 30
    chunk_size: int = 100
    settle_quiet: float = 60.0
    poll: float = 0.25  #: how often to look for new batches while nothing happens
    maintenance_wait: float = 30.0
    patience: float = 200.0  #: how long submit_batch waits for doubt to settle after the last answer
    canaries: int = 3  #: IMEIs held back while something is in doubt, to prove the provider's list fresh


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one call, and what it means."""

    chunk: Chunk
    content: PlacementAnswer | GSMFusionError | None  #: None: it was held back before it was sent
    judgement: Judgement
    seconds: float = QUICK_CALL  #: how long the call took
    began: float = 0.0  #: when, in monotonic seconds


def call_threads(count: int) -> Executor:
    """The threads in which calls are made, all waiting: to start one between busy ones stalls the writer."""
    pool, all_there = ThreadPoolExecutor(count, thread_name_prefix="call"), threading.Barrier(count + 1)
    for _ in range(count):
        pool.submit(all_there.wait)
    all_there.wait()
    return pool


class ProductionSubmissionSystem:
    """Places planned chunks with the provider. Only one may run on a database at a time (see runner.py).

    clock tells seconds that never go back; pool makes the executor for so many calls at once.
    """

    def __init__(
        self,
        database: IMEIDatabase,
        client: Provider,
        checkpoints: Checkpoints,
        options: Options | None = None,
        budget: CallBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
        pool: Callable[[int], Executor] = call_threads,
    ) -> None:
        """budget is the limit that is shared with whoever else calls the provider; without one there is none."""
        self.database = database
        self.client = client
        self.checkpoints = checkpoints
        self.options = options or Options()
        self._clock = clock
        self._pool = pool
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._listings: queue.SimpleQueue[tuple[list[ProviderOrder], float]] = queue.SimpleQueue()
        self._unwritten: list[Answer] = []
        self._in_flight: dict[int, Chunk] = {}
        self._settler = Settler(self.options.settle_quiet)
        self._listing = False
        self._settle_request: str | None = None
        self.pace = Pace(self.options.workers)
        self.budget = budget or CallBudget(clock=clock)
        self._hold = threading.Event()  # set: calls that have not begun give their chunk back
        self._resume_at: float | None = None
        self._next_note = 0.0
        self._unreported: set[int] = set()
        self._next_report = 0.0
        self._unanswered = 0  #: calls in a row
        self._had_space = False  #: unknown at first: then the words of a process before this one are taken back

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
                service_id=service.service_id,
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
        started = time.monotonic()
        watcher = Watcher(self.database, batch_id, progress_callback)
        self.run(stop or threading.Event(), lambda: watcher.is_over(self._patience()))
        return submission_result(self.database, batch_id, time.monotonic() - started)

    def _patience(self) -> float:
        """How long doubt is waited for: not long where the provider shows no order of ours."""
        return min(HOPELESS_PATIENCE, self.options.patience) if self._settler.is_hopeless else self.options.patience

    def run(self, stop: threading.Event, is_over: Callable[[], bool] = lambda: False) -> None:
        """Recover, then send and record until stop is set or is_over(); calls on the wire are waited for."""
        self._recover()
        with (
            self._pool(self.options.workers + 1) as pool,
            self.budget.open(),  # closed first, so that a listing that waits for its turn ends
        ):
            answers: list[Answer] = []
            while True:
                ending = stop.is_set() or is_over()
                claimed = self._commit(answers, may_claim=not ending)
                if claimed:
                    self._hold.clear()
                starts = self.pace.start(self._clock(), len(claimed))
                self.budget.started(starts)
                for chunk, start in zip(claimed, starts, strict=True):
                    pool.submit(self._call, chunk, start)
                if not self._in_flight and (stop.is_set() or is_over()):
                    return
                self._settle(pool)
                answers = self._unwritten + self._collect()
                self._unwritten = []

    # One turn of the loop

    def _collect(self) -> list[Answer]:
        """Wait for the next answer, but not long, and take all that have come."""
        found: list[Answer] = []
        try:
            found.append(self._answers.get(timeout=self.pace.wait(self._clock(), self.options.poll)))
            while True:
                found.append(self._answers.get_nowait())
        except queue.Empty:
            return found

    def _commit(self, answers: list[Answer], may_claim: bool) -> list[Chunk]:
        """Write what the answers mean and the intents of the next calls. Returns the chunks to call."""
        has_space = self.checkpoints.has_space()
        self._unreported |= {answer.chunk.batch_id for answer in answers}
        try:
            with self.database.write() as connection:
                self._write_all(connection, answers)
                if any(answer.judgement.verdicts for answer in answers):
                    self._settler.note(connection, self._clock())  # before the last IMEIs are claimed
                self._resume_after_maintenance(connection)
                if not (has_space and self._had_space):
                    batch_store.set_notice(connection, "" if has_space else DISK_FULL)
                slower = any(answer.judgement.hold for answer in answers)  # the pace learns of it below
                claimed = self._claim(connection, answers) if may_claim and has_space and not slower else []
        except batch_store.WrongStateError:
            logger.exception("Somebody else moved a chunk; each answer is written by itself")
            return self._commit_one_by_one(answers)
        except DatabaseUnavailableError as error:
            return self._keep_for_later(answers, error)
        self._had_space = has_space
        for answer in answers:
            self._in_flight.pop(answer.chunk.chunk_id, None)
        for chunk in claimed:
            self._in_flight[chunk.chunk_id] = chunk
        for answer in answers:
            self._adapt(answer)
        self._report()
        return claimed

    def _commit_one_by_one(self, answers: list[Answer]) -> list[Chunk]:
        """The same without the answers whose chunk is no longer ours."""
        if len(answers) > 1:
            for answer in answers:
                self._commit([answer], may_claim=False)
        for answer in answers:
            if answer not in self._unwritten:
                self._in_flight.pop(answer.chunk.chunk_id, None)
        return []

    def _keep_for_later(self, answers: list[Answer], error: DatabaseUnavailableError) -> list[Chunk]:
        """The database cannot be written now: hold the answers in memory, give the disk its ballast, try again."""
        logger.error("The database cannot be written (%s); %d answers wait", error.orig, len(answers))
        self._unwritten += answers
        self.checkpoints.drop_ballast()
        time.sleep(self.options.poll)
        return []

    def _write_all(self, connection: Transaction, answers: Sequence[Answer]) -> None:
        """Clean answers together, everything else one by one."""
        clean = [(answer.chunk, answer.judgement.clean) for answer in answers if answer.judgement.clean]
        together = record_clean(connection, clean)
        for answer in answers:
            if not answer.judgement.clean:
                self._write(connection, answer.chunk, answer.judgement)
            elif not together and isinstance(answer.content, PlacementAnswer):
                self._write(connection, answer.chunk, judge_by_name(answer.chunk, answer.content))
        for chunk in {(chunk.service_id, len(chunk.items)): chunk for chunk, _ in clean}.values():
            self._learn_list_length(connection, chunk, [True] * len(chunk.items))
        if clean and self.pace.failures:
            batch_store.set_notice(connection, "")

    def _write(self, connection: Transaction, chunk: Chunk, judgement: Judgement) -> None:
        if judgement.verdicts is None:
            batch_store.release(connection, chunk, judgement.message)
        else:
            batch_store.record(connection, chunk, judgement.verdicts, judgement.message)
            if judgement.pause is Pause.NOBODY:
                named = [verdict.outcome is not Outcome.IN_DOUBT for verdict in judgement.verdicts]
                self._learn_list_length(connection, chunk, named)
        if judgement.pause is Pause.BATCH:
            batch_store.pause(connection, chunk.batch_id, judgement.message)
        elif judgement.pause is Pause.ALL:
            batch_store.pause_all(connection, judgement.message)
        elif judgement.pause is Pause.ALL_FOR_A_WHILE:
            batch_store.pause_all(connection, judgement.message, resumes_itself=True)
        elif judgement.hold or (judgement.unanswered and self._unanswered + 1 >= UNANSWERED):
            batch_store.set_notice(connection, judgement.message)
        elif self.pace.failures and not judgement.unanswered:
            batch_store.set_notice(connection, "")

    def _learn_list_length(self, connection: Transaction, chunk: Chunk, named: Sequence[bool]) -> None:
        """After an answer that could be read, remember how long a comma list of this service may be."""
        if not any(named):
            return  # no answer at all, which says nothing about lists
        known = read_list_limit(connection, chunk.service_id)
        proven = proven_length(named, known, self.options.chunk_size)
        if proven != known:
            write_list_limit(connection, chunk.service_id, proven)
            logger.info("Service %s takes lists of %d IMEIs", chunk.service_id, proven)

    def _adapt(self, answer: Answer) -> None:
        """Let the pace, and who settles doubt, learn from one answer."""
        judgement = answer.judgement
        now, before = self._clock(), self.pace.hold_until
        if judgement.clean:
            self._settler.placed(answer.began)
        if judgement.pause is Pause.ALL_FOR_A_WHILE:
            self._resume_at = now + self.options.maintenance_wait
        if answer.content is not None:
            self._unanswered = self._unanswered + 1 if judgement.unanswered else 0
        if answer.content is None:
            self.pace.take_back()
            self.budget.take_back()
        elif judgement.limited:
            self.pace.limited(now, judgement.retry_after, random.random())  # noqa: S311
        elif judgement.hold or self._unanswered >= UNANSWERED:
            self.pace.unreachable(now, random.random())  # noqa: S311
        else:
            full = 2 * len(answer.chunk.items) >= self.options.chunk_size  # short calls are quick and say little
            self.pace.answered(answer.seconds if full else None)
        if self.pace.hold_until > before:
            self._hold.set()
            self.budget.hold(self.pace.hold_until)
            logger.warning("Nothing is sent for %.1f s: %s", self.pace.hold_until - now, judgement.message)

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

    def _claim(self, connection: Transaction, answered: Sequence[Answer]) -> list[Chunk]:
        """Write the intents of the next calls: the batch with the fewest calls on the wire comes first."""
        busy = self._in_flight.keys() - {answer.chunk.chunk_id for answer in answered}
        on_the_wire = [self._in_flight[chunk_id] for chunk_id in busy]
        load = Counter(chunk.batch_id for chunk in on_the_wire)
        listed = Counter(chunk.service_id for chunk in on_the_wire if len(chunk.items) > 1)
        may_plan = self.budget.limit is None and any(answer.seconds < QUICK_CALL for answer in answered)
        ahead = self.options.workers if may_plan else 0
        free = self.budget.orders(self.pace.permits(self._clock(), len(on_the_wire), ahead))
        if not free:
            return []
        waiting = {running.batch_id: running for running in batch_store.running_batches(connection)}
        planned = {batch_id: deque(batch_store.planned_chunks(connection, batch_id, free + 1)) for batch_id in waiting}
        limits: dict[str, int] = {}
        claimed: list[int] = []
        while waiting and len(claimed) < free:
            batch = min(waiting.values(), key=lambda running: (load[running.batch_id], running.batch_id))
            chunk_id = self._next_chunk(connection, batch, planned[batch.batch_id], listed, limits)
            if chunk_id is None:
                del waiting[batch.batch_id]
                continue
            load[batch.batch_id] += 1
            claimed.append(chunk_id)
        self.budget.orders_wait(len(claimed) == free, self.pace.quota, self.pace.period)
        newest = batch_store.newest_attempt(connection)
        bound = min((chunk.attempt_id for chunk in on_the_wire), default=newest + 1)
        return write_intents(connection, claimed, bound)

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
        the wire by service, limits remembers what was read of a service in this turn.
        """
        if not planned:
            return None
        chunk_id, size = planned.popleft()
        if size > 1:
            proven = limits.setdefault(batch.service_id, -1)
            if proven < 0:
                proven = limits[batch.service_id] = read_list_limit(connection, batch.service_id)
            if proven in (0, 2) and listed[batch.service_id]:
                return None  # the call that proves the comma list is on its way
            listed[batch.service_id] += 1
            longest = trial_length(proven, self.options.chunk_size)
            if size > longest:
                rest = self.options.chunk_size if proven in (0, 2) else longest
                planned.extendleft(reversed(batch_store.split_chunk(connection, chunk_id, longest, rest)))
                return chunk_id
        if not planned and self._settler.doubts(batch.batch_id):
            return self._spare_canaries(connection, chunk_id, size)
        return chunk_id

    def _spare_canaries(self, connection: Transaction, chunk_id: int, size: int) -> int | None:
        """While something is in doubt, hold the last IMEIs of a batch back: their orders prove the list fresh."""
        if size > self.options.canaries:
            batch_store.split_chunk(connection, chunk_id, size - self.options.canaries, 1)
            return chunk_id
        return chunk_id if self._settler.wants_witness(connection, self._clock()) else None

    # One call, in a worker thread

    def _call(self, chunk: Chunk, start: float) -> None:
        if self._hold.wait(max(0.0, start - self._clock())):
            self._answers.put(Answer(chunk, None, Judgement(None)))
            return
        imeis = [item.imei for item in chunk.items]
        started = self._clock()
        try:
            content: PlacementAnswer | GSMFusionError = self.client.place_imei_order(
                imeis, chunk.service_id, keep=lambda raw: self._keep(chunk, raw)
            )
            judgement = judge(chunk, content)
        except GSMFusionError as error:
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
        """What was on the wire when a process died is recorded from its checkpoint, or in doubt."""
        with self.database.write() as connection:
            batch_older_copy.reopen_answered(connection, self.checkpoints)
            sending = [(c, self._kept_answer(c)) for c in batch_store.open_chunks(connection, ChunkState.SENDING)]
            kept = [Answer(chunk, content, judge(chunk, content)) for chunk, content in sending]
            self._write_all(connection, kept)
            if kept:
                logger.warning("Recovered %d calls that were on the wire when the program ended", len(kept))
            self._settler.note(connection, self._clock())  # before the last IMEIs are claimed
            batch_store.resume_self_resuming(connection)
            if self.budget.limit:  # another process may have used up this minute's calls
                self.budget.used_before(batch_store.attempt_ages(connection, MINUTE))

    def _kept_answer(self, chunk: Chunk) -> PlacementAnswer | GSMFusionError:
        raw = self.checkpoints.answer_of(chunk)
        if raw is None:
            return OutcomeUnknownError(STOPPED)
        try:
            return parse_placement(raw)
        except GSMFusionError as error:
            return error

    def _settle(self, pool: Executor) -> None:
        """Look at the provider's list when it is due, and write what it shows."""
        now = self._clock()
        if now >= self._next_note:
            self._next_note = now + self.options.poll
            self._note_doubt(now)
        if self._settler.is_due(now) and not self._listing:
            self._listing = True
            pool.submit(self._list)
        try:
            listed, asked_at = self._listings.get_nowait()
        except queue.Empty:
            return
        self._listing = False
        try:
            with self.database.write() as connection:
                self._settler.apply(connection, listed, asked_at)
        except DatabaseUnavailableError as error:
            logger.error("Doubt could not be settled now: %s", error.orig)
        self._settler.looked(self._clock())

    def _note_doubt(self, now: float) -> None:
        with self.database.read() as connection:
            self._settler.note(connection, now)
        request = self.database.get_setting(REQUESTED)
        if request != self._settle_request:
            self._settle_request = request
            self._settler.look_soon(now)

    def _list(self) -> None:
        listed: list[ProviderOrder] = []
        asked_at = self._clock()
        try:
            listed = self.client.list_recent_orders()
        except GSMFusionError as error:
            logger.warning("The provider does not list its orders: %s", error)
        except Exception:  # a thread ends here
            logger.exception("Listing the provider's orders failed in an unforeseen way")
        self._listings.put((listed, asked_at))

    def _service(self, service_id: str) -> Service:
        service = self.database.get_service(service_id)
        if service is None:
            self.database.store_services(self.client.get_imei_services(), time.time())
            service = self.database.get_service(service_id)
        if service is None:
            raise ValueError(f"The provider has no service {service_id}.")
        if not service.orderable:
            raise ValueError(f"{service.title} needs more than an IMEI: {', '.join(service.required_fields)}.")
        return service
