"""Progress as server-sent events (WHATWG HTML, section 9.2): the snapshot, then each change of it, then an end.

A stream polls the batch's revision, reads a snapshot when it has grown, and never holds a transaction. It ends
when the batch does, or when the process is told to stop; a browser that reconnects gets the snapshot first.
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

#: Seconds between two looks at the revision: at most two events a second.
INTERVAL = 0.5
#: Seconds of silence after which a comment is sent, so that proxies keep the connection.
HEARTBEAT = 15.0
#: Seconds of the past that the rate is measured over.
PACE_WINDOW = 30.0
#: Seconds between two reads of what costs more to read: newest orders, grouped messages, results, the balance.
DETAILS_EVERY = 2.0
#: An estimate of the time left is shown from this many seconds and this share of the batch on.
ETA_AFTER, ETA_FROM_PERCENT = 8.0, 2
CHUNK_CELLS = 2000


@dataclass(slots=True)
class Pace:
    """IMEIs a second over the last half minute."""

    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def rate(self, now: float, done: int, overall: float | None) -> float | None:
        """Note done IMEIs at now (seconds); the overall rate stands in until the window says something."""
        self.samples.append((now, done))
        while now - self.samples[0][0] > PACE_WINDOW:
            self.samples.popleft()
        first_at, first_done = self.samples[0]
        if now - first_at < ETA_AFTER:
            return overall
        return (done - first_done) / (now - first_at)


def overall_rate(progress: Progress) -> float | None:
    """IMEIs a second since the batch began; None before it means something."""
    if progress.started_at is None:
        return None
    end = progress.finished_at or datetime.now(UTC).replace(tzinfo=None)
    seconds = (end - progress.started_at).total_seconds()
    return progress.handled / seconds if seconds > 0.5 and progress.handled else None


def seconds_left(progress: Progress, rate: float | None) -> float | None:
    """How long the rest takes at this rate; None while that would be a guess."""
    if progress.state is not BatchState.RUNNING or not rate or progress.percent < ETA_FROM_PERCENT:
        return None
    return progress.outcomes[Outcome.WAITING] / rate


def snapshot(progress: Progress, rate: float | None) -> dict[str, Any]:
    """The batch as the live page's script reads it; money in US dollars, times in seconds."""
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
    """What costs more to read: newest orders, grouped messages, results, how the balance changed."""
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
    """The chunk map, one letter for each of the first chunks: as many as it has cells."""
    states = batch_queries.chunk_states(database, batch_id, CHUNK_CELLS)
    return {"map": "".join(map(LETTERS.__getitem__, states))}


def price_now(database: IMEIDatabase, progress: Progress) -> dict[str, float]:
    """Return the batch's unit_price, and the price at which a paused one would go on now; US dollars an IMEI."""
    listed = database.get_service(progress.service_id) if progress.state is BatchState.PAUSED else None
    price = max(progress.unit_price, listed.price if listed else 0.0)
    return {"unit_price": progress.unit_price, "price": price}


def stop_now(database: IMEIDatabase, progress: Progress) -> dict[str, Any]:
    """What stopping the batch would mean now; planned is how many IMEIs are not sent."""
    planned = 0
    if progress.state is not BatchState.FINISHED:
        with database.read() as connection:
            planned = batch_queries.planned_imeis(connection, progress.batch_id)
    return {"planned": planned, "stop": stop_words(progress, planned)}


def whole_snapshot(database: IMEIDatabase, progress: Progress) -> dict[str, Any]:
    """Everything that a page needs to draw a batch at one moment."""
    return (
        snapshot(progress, overall_rate(progress))
        | price_now(database, progress)
        | stop_now(database, progress)
        | chunk_letters(database, progress.batch_id)
        | details(database, progress.batch_id)
    )


def events(backend: Backend, batch_id: int) -> Iterator[str]:
    """Server-sent events of one batch until it is finished or the process stops."""
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
    """One event; JSON holds no line break, so one data line is enough."""
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"


def stream(backend: Backend, batch_id: int) -> Response:
    """The events as an answer. The caller has acquired backend.streams; the answer's end releases it."""
    response = Response(events(backend, batch_id), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(backend.streams.release)
    return response


def chunk_words(progress: Progress) -> str:
    """The chunk map in words, for those who cannot see it."""
    parts = [f"{count:,} {CHUNKS[state].lower()}" for state, count in progress.chunks.items() if count]
    return ", ".join(parts) or "no chunks"
