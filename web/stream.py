"""Progress of a batch as server-sent events (WHATWG HTML, section 9.2): a snapshot, each change, and an end event.

A stream polls the revision of the batch, reads a snapshot when it has changed, and holds no transaction. It ends with
the batch or with the process. A browser that reconnects gets a whole snapshot first.
"""

import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Response

from backend import Backend
from database import IMEIDatabase
from orders import BatchState, Outcome, Progress
from storage import balance_store, batch_doubt, batch_queries, order_queries
from submission import balance_warning, balance_words
from web.format import (
    CHUNKS,
    LETTERS,
    batch_class,
    batch_label,
    is_awaited,
    sentence,
    settled_words,
    stop_words,
)

#: Seconds between two reads of the revision: at most two events per second.
INTERVAL = 0.5
#: Seconds without an event after which a comment is sent, so that proxies keep the connection open.
HEARTBEAT = 15.0
#: Seconds over which the rate is measured.
PACE_WINDOW = 30.0
#: Seconds between two reads of the slower details: newest orders, grouped messages, results, balance.
DETAILS_EVERY = 2.0
#: The time left is shown after this many seconds and this percentage of the batch.
ETA_AFTER, ETA_FROM_PERCENT = 8.0, 2
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
        "state_label": batch_label(progress),
        "state_class": batch_class(progress),
        "stopped": progress.is_stopped,
        "done": progress.handled,
        "percent": progress.percent,
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
    """Return the details that are slower to read: newest orders, grouped messages, results, balance change."""
    with database.read() as connection:
        change = balance_store.balance_change(connection, batch_id)
    results = order_queries.status_counts(database, batch_id)
    return {
        "latest": [
            {name: getattr(order, name) or "" for name in ("order_id", "imei", "status", "model", "carrier", "simlock")}
            for order in order_queries.latest_orders(database, batch_id, 12)
        ],
        "errors": [
            {"outcome": outcome, "message": message, "imeis": count}
            for outcome, message, count in batch_queries.batch_errors(database, batch_id)
        ],
        "results": results,
        "awaited": any(map(is_awaited, results)),
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


def events(backend: Backend, batch_id: int) -> Iterator[str]:
    """Yield server-sent events of one batch until it is finished or the process stops."""
    database, pace, seen = backend.database, Pace(), -1
    detailed_at, owes_details, spoken_at = float("-inf"), False, time.monotonic()
    yield "retry: 2000\n\n"
    while not backend.stopping.is_set():
        now = time.monotonic()
        details_due = now - detailed_at >= DETAILS_EVERY
        if batch_queries.revision(database, batch_id) != seen or (owes_details and details_due):
            progress = batch_queries.progress(database, batch_id)
            if progress is None:
                return
            finished = progress.state is BatchState.FINISHED
            overall = overall_rate(progress)
            data = snapshot(progress, overall if finished else pace.rate(now, progress.handled, overall))
            data |= chunk_letters(database, batch_id) | price_now(database, progress) | stop_now(database, progress)
            owes_details = not (finished or details_due)
            if not owes_details:
                data |= details(database, batch_id)
                detailed_at = now
            seen, spoken_at = progress.revision, now
            yield event("progress", data, seen)
            if finished:
                yield event("end", {"batch_id": batch_id, "state": progress.state}, seen)
                return
        elif now - spoken_at >= HEARTBEAT:
            spoken_at = now
            yield ": still here\n\n"
        backend.stopping.wait(INTERVAL)


def event(name: str, data: dict[str, Any], event_id: int) -> str:
    """Return one event. JSON contains no line break, so one data line is enough."""
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


def stream(backend: Backend, batch_id: int) -> Response:
    """Return the events as a response. The caller has acquired backend.streams; closing the response releases it."""
    response = Response(events(backend, batch_id), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(backend.streams.release)
    return response


def chunk_words(progress: Progress) -> str:
    """Return the chunk map in words, for screen readers."""
    parts = [f"{count:,} {CHUNKS[state].lower()}" for state, count in progress.chunks.items() if count]
    return ", ".join(parts) or "no chunks"
