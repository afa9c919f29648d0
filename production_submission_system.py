"""The loop: chunk by chunk, intent on disk → POST → answer on disk → orders, outcomes and progress in one commit.

One thread (`run`) writes to the database; up to 30 workers call the provider and judge its answers. Each turn of the
loop takes the answers that have come, commits what they mean together with the intents of the next calls, and hands
those to the workers. So a commit carries many answers under load and one at quiet times, and nothing is sent before it
is written. This module knows no XML and no Flask. In submission/, claims.py chooses what to send next, judging.py
decides what an answer means, recording.py carries that out, looks.py plans the looks at the provider's list,
settlement.py settles doubt, and ownership.py checks that this process may send.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Protocol

from account import answering_requests
from database import Changes, DatabaseUnavailableError, IMEIDatabase, Transaction
from orders import Chunk, Progress, SubmissionResult
from settings import Settings
from storage import account_store, batch_states, call_queries, guards, lease
from storage.batch_creation import NewBatch, create_batch, fingerprint
from storage.call_records import write_intents
from submission import (
    DISK_FULL,
    FOLLOW_INTERVAL,
    MINUTE,
    PRICE_MAX_AGE,
    QUICK_CALL,
    AccountProvider,
    AccountWatch,
    Answer,
    Carrier,
    Checkpoints,
    Claimer,
    Judged,
    ListLimits,
    ListProvider,
    ListReader,
    Look,
    Lookout,
    Options,
    Ownership,
    PlacingProvider,
    Recorder,
    Room,
    RunnerLock,
    Settler,
    Story,
    ThreadCarrier,
    Throttle,
    Watcher,
    checked_budget,
    find_service,
    parts_from_environment,
    submission_result,
)

logger = logging.getLogger(__name__)

#: Seconds in which an answer is committed and the next call is handed out, at most.
COMMIT = 0.025
#: While calls are on the wire, the pause before doubt is read again: this many times what reading it took, and at most
#: these seconds.
DOUBT_PAUSE_FACTOR, LONGEST_DOUBT_PAUSE = 20, 1.0
#: Seconds to wait after the last answer for doubt that only a person can settle.
PATIENCE_FOR_PERSON = 2.0
PROGRAM_ERROR = (
    "Stopped by an error in the program; the log has the details. Answers that came are kept. Resume when it is fixed."
)


class SubmissionProvider(AccountProvider, ListProvider, PlacingProvider, Protocol):
    """What the loop needs of gsm_fusion_client.GSMFusionClient."""


class ProductionSubmissionSystem:
    """Places planned chunks with the provider. Only one may run on a database at a time (see runner.py).

    Without arguments its parts are made from the environment; then submit_batch leaves the sending to another process
    where that one is the leader. clock returns seconds that never go back.
    """

    def __init__(
        self,
        database: IMEIDatabase | None = None,
        client: SubmissionProvider | None = None,
        checkpoints: Checkpoints | Carrier | None = None,
        options: Options | None = None,
        throttle: Throttle | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With checkpoints, threads of this process make the calls; a carrier in their place makes them elsewhere.

        throttle is shared with all other calls to the provider; without one, this system makes its own.
        """
        self._settings: Settings | None = None
        if database is None and client is None and checkpoints is None:
            database, client, checkpoints, options, throttle, self._settings = parts_from_environment()
        if database is None or client is None or checkpoints is None:
            raise TypeError("Give database, client and checkpoints, or none of them.")
        self.database = database
        self.client = client
        self.options = options or Options()
        self._clock = clock
        self.throttle = throttle or Throttle(self.options.workers, clock=clock)
        self._unwritten: list[Answer] = []
        self._in_flight: dict[int, Chunk] = {}
        self._is_wire_known = True  #: False: nobody knows whether the last commit, with its intents, succeeded
        self._is_recovered = False  #: recover() was called for the next run
        self._had_space = False  #: at first, so that the notice of an earlier process is removed once there is space
        self._doubt_read_at = -math.inf  #: when doubt was read last, by clock
        self._doubt_took = 0.0  #: seconds that it took to read it
        self._quickest = math.inf  #: seconds of the quickest call among the newest answers
        self.carrier: Carrier = (
            ThreadCarrier(database, client, checkpoints, self.options, clock)
            if isinstance(checkpoints, Checkpoints)
            else checkpoints
        )
        account, quiet, timeout = self.options.account, self.options.settle_quiet, self.options.call_timeout
        self._settler = Settler(quiet, timeout, self.options.resend_limit, account=account)
        self._room = Room(account, self.options.budget)
        self._story = Story(database, account)
        self._changes = Changes(database)
        self._ownership = Ownership(database, self.options.mark, account)
        self._account = AccountWatch(database, client, clock, self.carrier.wake, account, self._ownership.check)
        self._claimer = Claimer(self.options, self._settler, self._ownership, clock, self._room)
        self._recorder = Recorder(self.options, self.throttle, self._settler, self.carrier, clock, self._room)
        reader = ListReader(database, client, self._account, clock)
        self._lookout = Lookout(database, reader, self._settler, self._account, self.throttle, self.carrier.wake)

    @property
    def was_overtaken(self) -> bool:
        """Whether another process has taken the lease since this one ran."""
        return self._ownership.was_overtaken

    def submit_batch(
        self,
        imeis: Sequence[str],
        service_id: str,
        progress_callback: Callable[[Progress], None] | None = None,
        label: str = "submit_batch",
    ) -> SubmissionResult:
        """Order every IMEI from the service and return when each has an outcome, or the batch is paused.

        The same unfinished list is continued, not ordered again. progress_callback gets a Progress whenever
        something changed. Raises ValueError for a service that cannot be ordered by IMEI alone, NotPossibleError where
        nothing may be ordered with this database, and OverBudgetError where the budget of the day does not hold it.
        """
        budget = checked_budget(self.database, self._settings)
        max_age = PRICE_MAX_AGE if self._settings else math.inf
        service = find_service(self.database, self.client.get_imei_services, service_id, max_age)
        numbered, mark = [(imei, row) for row, imei in enumerate(imeis, 1)], fingerprint(service_id, imeis)
        of_service = (service.package_id, service.title, service.price)
        new = NewBatch(label, "command", *of_service, numbered, mark, budget=budget)
        return self.run_batch(create_batch(self.database, new, self.options.chunk_size), progress_callback)

    def run_batch(
        self,
        batch_id: int,
        progress_callback: Callable[[Progress], None] | None = None,
        stop: threading.Event | None = None,
    ) -> SubmissionResult:
        """Run until this batch is finished or paused (others run along) or stop is set. Returns what became of it."""
        started, stop = time.monotonic(), stop or threading.Event()
        watcher = Watcher(self.database, batch_id, progress_callback)
        if self._settings is None:
            self.run(stop, lambda: watcher.is_over(self._patience()))
        else:
            self._run_or_follow(self._settings, stop, lambda: watcher.is_over(self._patience()))
        return submission_result(self.database, batch_id, time.monotonic() - started)

    def _run_or_follow(self, settings: Settings, stop: threading.Event, is_over: Callable[[], bool]) -> None:
        """Run as soon as no other process leads; until then the leader sends."""
        while not (stop.is_set() or is_over() or self._run_as_leader(settings, stop, is_over)):
            stop.wait(FOLLOW_INTERVAL)

    def _run_as_leader(self, settings: Settings, stop: threading.Event, is_over: Callable[[], bool]) -> bool:
        """Run, and answer pages and commands, unless another process leads. Return whether this process has led."""
        if not self.database.is_file:  # on a server, workers send
            return False
        with RunnerLock(settings.data_dir).held() as is_leader:
            if is_leader:
                with answering_requests(self.database, [(settings, self.throttle)]):
                    self.run(stop, is_over)
            return is_leader

    def _patience(self) -> float:
        """Return the seconds to wait for doubt to be settled: few where only a person can settle it."""
        patience = self.options.patience
        return min(PATIENCE_FOR_PERSON, patience) if self._settler.waits_for_person else patience

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
                batch_states.pause_all(connection, PROGRAM_ERROR)
            raise

    def recover(self) -> None:
        """Recover before run(): where there are several accounts, none sends before all have recovered."""
        self._recover()
        self._is_recovered = True

    def _run(self, stop: threading.Event, is_over: Callable[[], bool]) -> None:
        if not self._is_recovered:
            self._recover()
        self._is_recovered = False
        with (
            self.carrier.open() as pool,
            self.throttle.open(),  # closed first, so that a listing that waits for its turn ends
        ):
            answers: list[Answer] = []
            while True:
                ending = self._is_ending(stop, is_over)
                if not ending:
                    self._account.turn(pool, idle=self._is_wire_free() and not self._is_worked_on())
                    self._settler.balance_failures = self._account.failures
                self._send(self._commit(answers, may_claim=not ending and not self._is_held()))
                self._send(self._settle(pool, may_repeat=not ending))  # after: a look alone needs a quiet wire
                if (self.carrier.lasts or not self._in_flight) and self._is_ending(stop, is_over):
                    self._story.log_changes()
                    return
                answers = self._unwritten + self._collect()
                self._unwritten = []

    def _is_ending(self, stop: threading.Event, is_over: Callable[[], bool]) -> bool:
        return stop.is_set() or is_over() or not self._ownership.has_lease

    def _send(self, claimed: Sequence[Chunk]) -> None:
        """Hand the calls whose intents are on disk to the carrier."""
        if not claimed:
            return
        self._account.sent()
        self._ownership.sent(claimed)
        for chunk in claimed:
            self._in_flight[chunk.chunk_id] = chunk
        self.carrier.send(claimed, self.throttle.start(self._clock(), len(claimed)))

    def _is_wire_free(self) -> bool:
        """Whether certainly no call is under way: what is read then is evidence about the calls before."""
        return self._is_wire_known and not self._in_flight

    def _is_worked_on(self) -> bool:
        """Whether the provider may be working on a call, or a look alone is waited for."""
        return self._lookout.is_alone or self._settler.may_be_worked_on(self._clock())

    def _is_held(self) -> bool:
        """Whether nothing may be sent now: a look at the list, or the balance before the next calls, comes first."""
        return self._lookout.is_alone or self._account.holds()

    # One turn of the loop

    def _collect(self) -> list[Answer]:
        """Wait for the next answer, but not long, and take all that have come."""
        return self.carrier.collect(self.throttle.wait(self._clock(), self.options.poll), self._in_flight.values())

    def _commit(self, answers: list[Answer], may_claim: bool) -> list[Chunk]:
        """Write what the answers mean and the intents of the next calls. Return the chunks to call."""
        has_space = self.carrier.has_space()
        may_claim = may_claim and has_space and not any(answer.holds for answer in answers)
        for answer in answers:
            if answer.is_refused:
                self._ownership.look_again(answer.chunk)
        try:
            with self.database.write() as connection:
                self._find_wire(connection)
                limits = self._record(connection, answers, has_space)
                claimed = self._claim(connection, answers, limits) if may_claim else []
        except guards.WrongStateError as error:
            logger.warning("Not all answers can be written at once (%s): each is written by itself", error)
            self._room.forget()
            return self._commit_one_by_one(answers)
        except lease.LeaseLostError as error:
            self._ownership.lose(error)
            self._room.forget()
            return self._commit(answers, may_claim=False)
        except DatabaseUnavailableError as error:
            return self._keep_for_later(answers, error)
        self._had_space, self._is_wire_known = has_space, True
        self._recorder.committed()
        for answer in answers:
            self._end(answer)
        moved = [answer.chunk.batch_id for answer in answers]
        self.carrier.show_progress(moved, is_idle=not (self._in_flight or claimed))
        return claimed

    def _find_wire(self, connection: Transaction) -> None:
        """After a commit that may have succeeded, read which calls are on the wire: its intents may have jobs."""
        if not self._is_wire_known:
            self._in_flight = {chunk.chunk_id: chunk for chunk in self.carrier.recover(connection).on_the_wire}
            if self._in_flight:
                self._account.sent()  # a balance that is being read may be from before or after their charges

    def _record(self, connection: Transaction, answers: Sequence[Answer], has_space: bool) -> ListLimits:
        """Write answers, the balance that was read, and whether there is room on the disk."""
        limits = self._recorder.write(connection, answers)
        self._account.write(connection)
        if any(isinstance(answer.judgement, Judged) for answer in answers):
            for answer in answers:
                self._settler.began(answer.chunk.attempt_id, answer.began, answer.ended)
            self._settler.note(connection, self._clock())  # before the last IMEIs are claimed
        if self._ownership.has_lease:
            self._recorder.resume_after_maintenance(connection, self._ownership.check)
        if not (has_space and self._had_space):
            batch_states.set_notice(connection, "" if has_space else DISK_FULL)
        return limits

    def _end(self, answer: Answer) -> None:
        """Take a call off the wire whose answer is written, and let the next ones depend on it."""
        carried = self._in_flight.get(answer.chunk.chunk_id)
        if carried is not None and carried.attempt_id == answer.chunk.attempt_id:
            del self._in_flight[answer.chunk.chunk_id]
        if self._recorder.learn(answer):
            self.carrier.hold()

    def _commit_one_by_one(self, answers: Sequence[Answer]) -> list[Chunk]:
        """Write each answer by itself; one whose chunk was settled otherwise meanwhile still leaves its orders."""
        for answer in answers:
            try:
                self._recorder.write_alone(self.database, answer)
            except DatabaseUnavailableError as error:
                self._keep_for_later([answer], error)
                continue
            self._end(answer)
        self.carrier.show_progress([answer.chunk.batch_id for answer in answers], is_idle=False)
        return []

    def _keep_for_later(self, answers: list[Answer], error: DatabaseUnavailableError) -> list[Chunk]:
        """Hold answers in memory while the database cannot be written, and give the disk its ballast."""
        logger.error("The database cannot be written (%s); %d answers wait", error.orig, len(answers))
        self._room.forget()
        self._is_wire_known = not self.carrier.lasts
        self._unwritten += answers
        self.carrier.make_room()
        time.sleep(self.options.poll)
        return []

    # What to send next

    def _claim(self, connection: Transaction, answered: Sequence[Answer], limits: ListLimits) -> list[Chunk]:
        """Write the intents of the next calls. Raises LeaseLostError."""
        ended = {answer.chunk.attempt_id for answer in answered}
        on_the_wire = [chunk for chunk in self._in_flight.values() if chunk.attempt_id not in ended]
        free = self.throttle.permits(self._clock(), len(on_the_wire), self._ahead(answered))
        if not free:
            return []
        self._room.note_prices(connection)
        chosen = self._claimer.choose(connection, on_the_wire, free, limits)
        self.throttle.orders_wait = len(chosen) == free
        if not chosen:
            return []
        return self._intend(connection, chosen)

    def _intend(self, connection: Transaction, chunk_ids: Sequence[int]) -> list[Chunk]:
        """Write the intents of calls, and hand them to the carrier with the same commit. Raises LeaseLostError."""
        self._ownership.check(connection)
        claimed = write_intents(connection, chunk_ids, self.options.account)
        self._ownership.check_new(claimed)
        self.carrier.hand_over(connection, claimed)
        return claimed

    def _ahead(self, answered: Sequence[Answer]) -> int:
        """Return how many calls to plan beyond those on the wire, so that no worker waits for a commit.

        A carrier that lasts can take calls back until they are begun. So the speed of the last calls is kept for the
        first calls of the next batch.
        """
        if answered or not self.carrier.lasts:
            self._quickest = min((answer.seconds for answer in answered), default=math.inf)
        workers = self.options.workers
        return self.carrier.ahead * workers if self._quickest < QUICK_CALL else int(workers * COMMIT / self._quickest)

    # Doubt and recovery

    def _recover(self) -> None:
        """Take the lease, and record the calls of a process that died: answered, in doubt, or still on the wire."""
        self._lookout.start()
        self._account.start()
        with self.database.write() as connection:
            self._ownership.take(connection)
            recovery = self.carrier.recover(connection)
            self._recorder.write(connection, recovery.answers, carefully=True)
            if recovery.answers:
                logger.warning("Recovered %d calls that were on the wire when the program ended", len(recovery.answers))
            self._settler.note(connection, self._clock())  # before the last IMEIs are claimed
            batch_states.resume_self_resuming(connection)
            self._ownership.find_older(connection)
            if self.throttle.limit:  # another process may have used up this minute's calls
                self.throttle.used_before(call_queries.attempt_ages(connection, MINUTE, self.options.account))
        self._in_flight = {chunk.chunk_id: chunk for chunk in recovery.on_the_wire}

    def _settle(self, pool: Executor, may_repeat: bool) -> list[Chunk]:
        """Look at the provider's list when it is due, and write what it shows. Return the call to repeat, if any."""
        now = self._clock()
        if now - self._doubt_read_at >= self._doubt_pause():
            self._note_doubt(now)
            self._doubt_read_at, self._doubt_took = now, self._clock() - now
        must_look, is_idle = self._ownership.must_look, self._is_wire_free()
        look = self._lookout.turn(pool, now, is_idle, may_repeat, self._had_space, must_look)
        if look is None:
            return []
        repeated = self._apply(look, may_repeat)
        self._lookout.looked(look, self._clock())
        return repeated

    def _doubt_pause(self) -> float:
        """Return the seconds between two readings of doubt: longer while calls are made, whose answers must wait."""
        pause = min(DOUBT_PAUSE_FACTOR * self._doubt_took, LONGEST_DOUBT_PAUSE) if self._in_flight else 0.0
        return max(self.options.poll, pause)

    def _note_doubt(self, now: float) -> None:
        """Note what is in doubt, what this account may send, and whether this process still has the lease.

        Where nothing is in doubt, only a commit can change this, so it is read only after one.
        """
        if self._settler.watches:
            self._read_doubt(now)
        else:
            self._changes.look(lambda: self._read_doubt(now))
        self._update_accounts()

    def _read_doubt(self, now: float) -> None:
        with self.database.read() as connection:
            self._settler.note(connection, now)
            self._room.note(connection)
            try:
                self._ownership.check(connection)
            except lease.LeaseLostError as error:
                self._ownership.lose(error)
        self._story.log_changes()
        self._lookout.notice_request(now)

    def _update_accounts(self) -> None:
        """Where there are several accounts: pause what none can send, and resume what one can send again."""
        if not self._room.is_shared:
            return
        with suppress(DatabaseUnavailableError, lease.LeaseLostError), self.database.write() as connection:
            self._ownership.check(connection)  # only the leader stops and resumes accounts
            self._room.write(connection, unread=self._account.failures > 0)
            self._room.set_limit(connection, self.throttle, self.options.limit)
            account_store.update_pauses(connection)
        if self._room.wants_balance:
            self._account.read_again()

    def _apply(self, look: Look, may_repeat: bool) -> list[Chunk]:
        """Write what a look shows, and with it the intent of the call that it allows to repeat."""
        try:
            with self.database.write() as connection:
                self._ownership.check(connection)  # another process may have sent calls since the look
                claimed = list[Chunk]()
                may_repeat = may_repeat and self._room.may_send and self.carrier.has_space()
                piece = self._settler.apply(connection, look, may_repeat)
                if piece is not None:
                    claimed = self._intend(connection, [piece])
                self._settler.note(connection, self._clock())
                self._ownership.note_look(connection, look)
        except DatabaseUnavailableError as error:
            logger.error("Doubt could not be settled now: %s", error.orig)
            self._is_wire_known = not self.carrier.lasts
            return []
        except lease.LeaseLostError as error:
            self._ownership.lose(error)
            return []
        return claimed
