"""Progress of a batch as server-sent events (WHATWG HTML, section 9.2): a snapshot, each change, and an end event.

The streams of a batch share what is read: the revision is polled, and a snapshot is made when it has changed. No
transaction stays open. A stream ends when the batch is settled, when nothing has happened for long, and with the
process. A browser that reconnects gets a whole snapshot first; one whose batch is not settled asks for it from time to
time.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Response

from backend import Backend
from database import IMEIDatabase
from orders import BatchStage, BatchState, Outcome, Progress
from storage import balance_store, batch_doubt, batch_queries
from submission import balance_warning, balance_words
from web.access import current_check
from web.format import LETTERS, batch_title, sentence, settled_words, stop_words

#: Seconds between two turns of a stream, and between two reads of a batch for all its streams.
INTERVAL, FRESH = 0.5, 0.25
#: Seconds without an event after which a comment is sent, so that proxies keep the connection open.
HEARTBEAT = 15.0
#: Seconds without a change after which the stream of a batch that is not being sent ends: streams are few.
QUIET = 120.0
#: Seconds over which the rate is measured.
PACE_WINDOW = 30.0
#: Seconds between two reads of the slower details: newest orders, grouped messages, results, balance.
DETAILS_EVERY = 2.0
#: The time left is shown after this many seconds and this percentage of the batch.
ETA_AFTER, ETA_FROM_PERCENT = 8.0, 2
#: Seconds between two checks whether the login or the token of a stream is still valid.
ALLOWED_EVERY = 3.0
CHUNK_CELLS = 2000


@dataclass(slots=True)
class Pace:
    """The rate in IMEIs per second over the last PACE_WINDOW."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def rate(self, now: float, done: int, overall: float | None) -> float | None:
        """Record done IMEIs at now (seconds) and return the rate; before ETA_AFTER seconds, the overall rate."""
        self.samples.append((now, done))
        while now - self.samples[0][0] > PACE_WINDOW:
            self.samples.popleft()
        first_at, first_done = self.samples[0]
        if now - first_at < ETA_AFTER:
            return overall
        return (done - first_done) / (now - first_at)


def overall_rate(progress: Progress) -> float | None:
    """Return IMEIs per second since the batch started, or None in its first half second."""
    if progress.started_at is None:
        return None
    end = progress.finished_at or datetime.now(UTC).replace(tzinfo=None)
    seconds = (end - progress.started_at).total_seconds()
    return progress.handled / seconds if seconds > 0.5 and progress.handled else None


def seconds_left(progress: Progress, rate: float | None) -> float | None:
    """Return the seconds that the rest takes at this rate, or None while that cannot be estimated."""
    if progress.state is not BatchState.RUNNING or not rate or progress.percent < ETA_FROM_PERCENT:
        return None
    return progress.outcomes[Outcome.WAITING] / rate


def snapshot(progress: Progress, rate: float | None) -> dict[str, Any]:
    """Return the batch as the page's script reads it. Money is in US dollars, times are in seconds."""
    return {
        "batch_id": progress.batch_id,
        "label": progress.label,
        "state": progress.state,
        "notice": progress.notice,
        "revision": progress.revision,
        "total": progress.total,
        "stage": progress.stage,
        "stage_label": progress.stage.label,
        "title": batch_title(progress),
        "is_settled": progress.is_settled,
        "reason": progress.reason,
        "done": progress.handled,
        "percent": progress.percent,
        "results": progress.results,
        "expected": progress.expected,
        "pending": progress.pending,
        "withheld": progress.withheld,
        "result_percent": progress.result_percent,
        "verdicts": progress.verdicts.by_word(),
        "orders": progress.verdicts.total,
        "outcomes": dict(progress.outcomes),
        "chunks": dict(progress.chunks),
        "chunks_total": sum(progress.chunks.values()),
        "spent": round(progress.spent, 4),
        "cost": round(progress.cost, 4),
        "at_stake": round(progress.at_stake, 4),
        "rate": None if progress.state is BatchState.PAUSED else rate,
        "eta": seconds_left(progress, rate),
    }


def details(database: IMEIDatabase, batch_id: int) -> dict[str, Any]:
    """Return the details that are slower to read: grouped messages, balance change, settled doubt."""
    with database.read() as connection:
        change = balance_store.balance_change(connection, batch_id)
    return {
        "errors": [
            {"outcome": outcome, "message": message, "imeis": count}
            for outcome, message, count in batch_queries.batch_errors(database, batch_id)
        ],
        "balance": {"words": balance_words(change), "warning": balance_warning(change)},
        "settled": sentence(settled_words(batch_doubt.settled(database, batch_id))),
    }


def chunk_letters(database: IMEIDatabase, batch_id: int) -> dict[str, str]:
    """Return the chunk map: one letter for each of the first CHUNK_CELLS chunks."""
    states = batch_queries.chunk_states(database, batch_id, CHUNK_CELLS)
    return {"map": "".join(map(LETTERS.__getitem__, states))}


def price_now(database: IMEIDatabase, progress: Progress) -> dict[str, float]:
    """Return the batch's unit_price, and the price at which a paused batch would resume; US dollars per IMEI."""
    listed = database.get_service(progress.service_id) if progress.state is BatchState.PAUSED else None
    price = max(progress.unit_price, listed.price if listed else 0.0)
    return {"unit_price": progress.unit_price, "price": price}


def stop_now(database: IMEIDatabase, progress: Progress) -> dict[str, Any]:
    """Return the number of IMEIs that are not sent yet, and the question before the batch is stopped."""
    planned = 0
    if progress.state is not BatchState.FINISHED:
        with database.read() as connection:
            planned = batch_queries.planned_imeis(connection, progress.batch_id)
    return {"planned": planned, "stop": stop_words(progress, planned)}


def whole_snapshot(database: IMEIDatabase, progress: Progress) -> dict[str, Any]:
    """Return everything that a page needs to show a batch."""
    return (
        snapshot(progress, overall_rate(progress))
        | price_now(database, progress)
        | stop_now(database, progress)
        | chunk_letters(database, progress.batch_id)
        | details(database, progress.batch_id)
    )


def is_settled(progress: Progress) -> bool:
    """Return whether a batch changes no more."""
    return progress.is_settled


def is_sent(progress: Progress) -> bool:
    """Return whether every IMEI of a batch was handled, whatever became of its results."""
    return progress.state is BatchState.FINISHED


def events(
    backend: Backend,
    batch_id: int,
    is_over: Callable[[Progress], bool] = is_settled,
    still_allowed: Callable[[], bool] = lambda: True,
    data_of: Callable[[Progress], dict[str, Any]] | None = None,
) -> Iterator[str]:
    """Yield server-sent events of one batch until it is over or quiet, the login ends, or the process stops.

    data_of: the data of an event; without it, what the page of a batch shows.
    """
    feed = Feed(backend.database, batch_id, data_of)
    if data_of is None:  # all streams of pages share one, which lasts as long as a stream uses it
        feed = backend.feeds.setdefault(batch_id, feed)
    follower, changes = _Follower(still_allowed), 0
    yield "retry: 2000\n\n"
    while not backend.stopping.is_set():
        now = time.monotonic()
        newest = None if follower.has_ended(now) else feed.newest(now)
        if newest is None:
            return
        progress = newest.progress
        is_news = follower.is_behind(newest, now)
        ending = "quiet" if not is_news and follower.is_quiet(progress, now) else ""
        if is_news:
            yield newest.text
            ending = "end" if is_over(progress) else ""
        elif not ending and follower.needs_comment(now):
            yield ": still here\n\n"
        if ending:
            yield event(ending, {"batch_id": batch_id, "stage": progress.stage}, progress.revision)
            return
        changes = backend.changes.wait(batch_id, changes, INTERVAL)


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event of a batch."""

    number: int  #: of its feed
    progress: Progress
    text: str


class Feed:
    """The newest event of one batch, read once for all streams of this process; thread-safe.

    Fifty people who follow a batch would otherwise take half a processor from it.
    """

    def __init__(
        self, database: IMEIDatabase, batch_id: int, data_of: Callable[[Progress], dict[str, Any]] | None = None
    ) -> None:
        self._database = database
        self._batch_id = batch_id
        self._data_of = data_of or self._page_data
        self._lock = threading.Lock()
        self._newest: FeedEvent | None = None
        self._looked_at = self._detailed_at = float("-inf")
        self._pace = Pace()
        self._details: dict[str, Any] = {}
        self._detailed: Progress | None = None  #: what the details belong to; None where there are none

    def newest(self, now: float) -> FeedEvent | None:
        """Return the newest event (now in seconds), or None for an unknown batch."""
        with self._lock:
            if now - self._looked_at >= FRESH:
                self._looked_at = now
                if self._is_due(now):
                    self._newest = self._read()
            return self._newest

    def _is_due(self, now: float) -> bool:
        """Return whether the batch has changed, or details that were left out may be read."""
        if self._newest is None:
            return True
        progress, detailed = self._newest.progress, self._detailed
        if detailed and detailed.revision != progress.revision and now - self._detailed_at >= DETAILS_EVERY:
            return True
        return batch_queries.revision(self._database, self._batch_id) != progress.revision

    def _read(self) -> FeedEvent | None:
        progress = batch_queries.progress(self._database, self._batch_id)
        if progress is None:
            return None
        number = self._newest.number + 1 if self._newest else 1
        return FeedEvent(number, progress, event("progress", self._data_of(progress), progress.revision))

    def _page_data(self, progress: Progress) -> dict[str, Any]:
        """Return what the page shows. Details are read once in DETAILS_EVERY, and when the batch is in a new stage."""
        database, overall, now = self._database, overall_rate(progress), self._looked_at
        data = snapshot(progress, overall if is_sent(progress) else self._pace.rate(now, progress.handled, overall))
        data |= chunk_letters(database, self._batch_id) | price_now(database, progress) | stop_now(database, progress)
        is_old = now - self._detailed_at >= DETAILS_EVERY
        if is_old or self._detailed is None or self._detailed.stage is not progress.stage:
            self._details, self._detailed, self._detailed_at = details(database, self._batch_id), progress, now
        return data | self._details


class _Follower:
    """What one stream has sent, and what is due."""

    def __init__(self, still_allowed: Callable[[], bool]) -> None:
        self._still_allowed = still_allowed
        self._number, self._revision = 0, -1
        self._changed_at = self._sent_at = self._allowed_at = time.monotonic()

    def has_ended(self, now: float) -> bool:
        """Return whether the login or the token is no longer valid; it is looked up once in ALLOWED_EVERY."""
        if now - self._allowed_at < ALLOWED_EVERY:
            return False
        self._allowed_at = now
        return not self._still_allowed()

    def is_behind(self, newest: FeedEvent, now: float) -> bool:
        """Return whether an event is due, and count it as sent."""
        if newest.number == self._number:
            return False
        if newest.progress.revision != self._revision:
            self._changed_at = now
        self._number, self._revision, self._sent_at = newest.number, newest.progress.revision, now
        return True

    def is_quiet(self, progress: Progress, now: float) -> bool:
        """Return whether the batch waits, for results or for a person, and has not changed for long."""
        return progress.stage is not BatchStage.SENDING and now - self._changed_at >= QUIET

    def needs_comment(self, now: float) -> bool:
        """Return whether a comment is due that keeps the connection open, and count it as sent."""
        is_due = now - self._sent_at >= HEARTBEAT
        self._sent_at = now if is_due else self._sent_at
        return is_due


def event(name: str, data: dict[str, Any], event_id: int) -> str:
    """Return one event. JSON contains no line break, so one data line is enough."""
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


def stream(
    backend: Backend,
    batch_id: int,
    is_over: Callable[[Progress], bool] = is_settled,
    data_of: Callable[[Progress], dict[str, Any]] | None = None,
) -> Response:
    """Return the events as a response. The caller has acquired backend.streams; closing the response releases it."""
    response = Response(events(backend, batch_id, is_over, current_check(), data_of), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(backend.streams.release)
    return response


def chunk_words(progress: Progress) -> str:
    """Return the chunk map in words, for screen readers."""
    parts = [f"{count:,} {state.replace('_', ' ')}" for state, count in progress.chunks.items() if count]
    return ", ".join(parts) or "no chunks"
