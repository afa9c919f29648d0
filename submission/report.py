"""How far a batch is, when it is over, and what became of it. Reads the database, and writes progress.json only."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from amounts import money
from database import IMEIDatabase, utc_now
from orders import BatchState, ChunkState, Outcome, Progress, SubmissionResult
from storage.balance_store import BalanceChange
from storage.batch_queries import batch_counts, batch_failures, batch_state, placed_orders, progress
from submission.checkpoints import Checkpoints

logger = logging.getLogger(__name__)

#: Seconds between two writes of progress.json, and how many times longer than a write took they are at least.
REPORT_PAUSE, REPORT_SHARE = 0.5, 20


@dataclass(slots=True)
class ProgressFiles:
    """Keeps progress.json of the batches that move up to date. Not thread-safe: the loop's own."""

    database: IMEIDatabase
    checkpoints: Checkpoints
    clock: Callable[[], float]  #: returns seconds that never go back
    _unwritten: set[int] = field(default_factory=set)
    _next: float = 0.0

    def note(self, batch_ids: Iterable[int]) -> None:
        """Remember that these batches have moved."""
        self._unwritten.update(batch_ids)

    def write(self, is_idle: bool) -> None:
        """Write the files that are out of date, at once if no call is on the wire; else in a twentieth of the time."""
        now = self.clock()
        if not self._unwritten or (now < self._next and not is_idle):
            return
        for batch_id in self._unwritten:
            self._write(batch_id)
        self._unwritten.clear()
        ended = self.clock()
        self._next = ended + max(REPORT_PAUSE, REPORT_SHARE * (ended - now))

    def _write(self, batch_id: int) -> None:
        outcomes, states = batch_counts(self.database, batch_id)
        done = states.get(ChunkState.ANSWERED, 0) + states.get(ChunkState.IN_DOUBT, 0)
        try:
            self.checkpoints.write_progress(batch_id, done, sum(states.values()), outcomes.get(Outcome.ORDERED, 0))
        except OSError as error:
            logger.warning("progress.json of batch %d was not written: %s", batch_id, error.strerror)


@dataclass(slots=True)
class Watcher:
    """Finds out when a batch is over, and passes each change on the way to a callback."""

    database: IMEIDatabase
    batch_id: int
    callback: Callable[[Progress], None] | None
    _revision: int = -1
    _found: Progress | None = None  #: as it was read last: nothing in it changes without its revision
    _finished_since: float | None = None

    def is_over(self, patience: float) -> bool:
        """Whether it is finished without doubt or for more than patience seconds, or paused until a person acts."""
        state, revision = batch_state(self.database, self.batch_id)
        changed, self._revision = revision != self._revision, revision
        if state is BatchState.RUNNING and not (changed and self.callback):
            self._finished_since = None
            return False
        found = self._found
        if found is None or found.revision != revision:
            found = self._found = progress(self.database, self.batch_id)
        if found is None:
            return True
        if changed and self.callback:
            self.callback(found)
        if found.state is BatchState.PAUSED:
            return not found.resumes_itself
        if found.state is BatchState.RUNNING:
            self._finished_since = None
            return False
        now = time.monotonic()
        self._finished_since = now if self._finished_since is None else self._finished_since
        return not found.outcomes[Outcome.IN_DOUBT] or now - self._finished_since > patience


def submission_result(database: IMEIDatabase, batch_id: int, seconds: float) -> SubmissionResult:
    """Return what became of a batch. seconds is how long it took. Raises LookupError for an unknown batch."""
    found = progress(database, batch_id)
    if found is None:
        raise LookupError(f"There is no batch {batch_id}.")
    counts = found.outcomes
    return SubmissionResult(
        batch_id=batch_id,
        total=found.total,
        successful=counts[Outcome.ORDERED],
        duplicates=counts[Outcome.DUPLICATE],
        failed=counts[Outcome.REFUSED] + counts[Outcome.CANCELLED],
        in_doubt=counts[Outcome.IN_DOUBT],
        waiting=counts[Outcome.WAITING],
        state=found.state.value,
        notice=found.notice,
        duration=round(seconds, 3),
        throughput=round(found.done / seconds, 1) if seconds > 0 else 0.0,
        orders=tuple(placed_orders(database, batch_id)),
        errors=tuple(batch_failures(database, batch_id)),
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """The figures of one batch for monitoring; a "batch" of these names is one call of up to 100 IMEIs."""

    total_batches: int  #: calls that were sent, or still will be
    successful_batches: int  #: calls of which every IMEI is settled
    failed_batches: int  #: calls with an IMEI in doubt
    total_duration_seconds: float  #: from the first call to the end, or to now
    throughput: float  #: IMEIs a second


def metrics(found: Progress) -> Metrics:
    """Return the figures of a batch as it is now."""
    seconds = ((found.finished_at or utc_now()) - found.started_at).total_seconds() if found.started_at else 0.0
    return Metrics(
        total_batches=sum(count for state, count in found.chunks.items() if state is not ChunkState.CANCELLED),
        successful_batches=found.chunks[ChunkState.ANSWERED],
        failed_batches=found.chunks[ChunkState.IN_DOUBT],
        total_duration_seconds=round(seconds, 3),
        throughput=round(found.handled / seconds, 1) if seconds > 0 else 0.0,
    )


def balance_words(change: BalanceChange | None) -> str:
    """Return how the balance changed over the calls of a batch, in sentences; "" where it is not known."""
    if change is None:
        return ""
    moved = f"{money(abs(change.fell))} {'more' if change.fell < 0 else 'less'}"
    words = f"Balance {money(change.before)} → {money(change.after)}: {moved}."
    words += f" The orders of that time cost {money(change.cost)}."
    if change.shared:
        words += " Orders of other batches are included, because their calls lie between the two readings."
    if change.unexplained < 0:
        words += f" {money(-change.unexplained)} less was charged than our orders cost: a top-up or a refund."
    return words


def balance_warning(change: BalanceChange | None) -> str:
    """Return what was charged beyond the orders that we know, in a sentence; "" where nothing was."""
    if change is None or change.unexplained <= 0:
        return ""
    cause = "a price rise, an order placed elsewhere, or a charge of a call in doubt"
    return f"The account was charged {money(change.unexplained)} more than our orders explain: {cause}."
