"""Progress of a batch as server-sent events."""

import pytest
from flask import Flask
from simulated_provider import imeis
from sqlalchemy import update
from web_client import Browser, answer_chunks
from web_scenes import events_of

from backend import STREAMS_PER_PROCESS, Backend
from database import IMEIDatabase
from schema import orders
from storage import batch_states
from web.stream import ALLOWED_EVERY, INTERVAL, Pace, events


@pytest.fixture
def backend(app: Flask) -> Backend:
    found: Backend = app.extensions["backend"]
    return found


def complete(database: IMEIDatabase, batch_id: int, **values: object) -> None:
    """Give every order of a batch its result, as the sync does."""
    with database.write() as connection:
        connection.execute(update(orders).where(orders.c.batch_id == batch_id).values(status="Completed", **values))
        batch_states.touch(connection, batch_id)


def test_a_complete_batch_streams_its_snapshot_and_ends(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(120))
    answer_chunks(database)
    complete(database, batch_id)
    answer = browser.get(f"/batches/{batch_id}/events")
    assert answer.mimetype == "text/event-stream"
    (_, first, data), (_, last, _) = events_of(answer.text)
    assert (first, last) == ("progress", "end")
    assert data["done"] == data["total"] == 120
    assert data["map"] == "aa"
    assert sum(data["outcomes"].values()) == 120  # type: ignore[attr-defined]


def test_a_stream_shows_changes_with_growing_ids_and_a_reconnect_starts_with_the_snapshot(
    browser: Browser, backend: Backend, database: IMEIDatabase
) -> None:
    batch_id = browser.start(imeis(120))
    stream = events(backend, batch_id)
    assert next(stream).startswith("retry:")
    (before, _, waiting) = events_of(next(stream))[0]
    assert waiting["done"] == 0
    answer_chunks(database)
    (after, _, finished) = events_of(next(stream))[0]
    assert int(after) > int(before)
    assert finished["done"] == 120
    again = events(backend, batch_id)
    next(again)
    assert events_of(next(again))[0][2]["done"] == 120


def test_a_stream_goes_on_until_the_results_are_there(
    browser: Browser, backend: Backend, database: IMEIDatabase
) -> None:
    batch_id = browser.start(imeis(120))
    answer_chunks(database)
    stream = events(backend, batch_id)
    next(stream)
    (_, _, sent) = events_of(next(stream))[0]
    assert (sent["stage"], sent["title"]) == ("waiting", f"0 % results · Batch {batch_id}")
    assert (sent["results"], sent["expected"], sent["pending"]) == (0, 120, 120)
    complete(database, batch_id, verdict="pass")
    (_, _, over) = events_of(next(stream))[0]
    assert (over["stage"], over["title"]) == ("complete", f"Batch {batch_id}")
    assert over["verdicts"] == {"pass": 120, "review": 0, "fail": 0, "pending": 0}
    assert [name for text in stream for _, name, _ in events_of(text)] == ["end"]


@pytest.mark.parametrize("wait", ["results", "pause"])
def test_a_stream_is_given_back_where_nothing_happens_for_long(
    browser: Browser, backend: Backend, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, wait: str
) -> None:
    """Results may come hours later, and streams are few."""
    monkeypatch.setattr("web.stream.QUIET", 0.1)
    batch_id = browser.start(imeis(3))
    if wait == "results":
        answer_chunks(database)
    else:
        browser.post(f"/batches/{batch_id}/pause")
    names = [name for text in events(backend, batch_id) for _, name, _ in events_of(text)]
    assert names == ["progress", "quiet"]


def test_a_stream_ends_when_the_process_stops(browser: Browser, backend: Backend, database: IMEIDatabase) -> None:
    stream = events(backend, browser.start(imeis(2)))
    next(stream), next(stream)
    backend.stopping.set()
    assert list(stream) == []


def test_a_stream_ends_when_its_login_or_token_ends(
    browser: Browser, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ALLOWED_EVERY + INTERVAL < 5
    monkeypatch.setattr("web.stream.ALLOWED_EVERY", 0.0)
    allowed = iter((True, True, False))
    stream = events(backend, browser.start(imeis(2)), still_allowed=lambda: next(allowed))
    names = [name for text in stream for _, name, _ in events_of(text)]
    assert names == ["progress"]


def test_a_silent_stream_sends_a_comment(browser: Browser, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.stream.HEARTBEAT", 0.1)
    stream = events(backend, browser.start(imeis(2)))
    next(stream), next(stream)
    assert next(stream).startswith(":")


def test_streams_are_limited_and_given_back(browser: Browser, backend: Backend, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(2))
    answer_chunks(database)
    complete(database, batch_id)
    taken = 0
    while backend.streams.acquire(blocking=False):
        taken += 1
    assert browser.get(f"/batches/{batch_id}/events").status_code == 503
    assert browser.get(f"/batches/{batch_id}/progress.json").get_json()["percent"] == 100
    backend.streams.release()
    for _ in range(3):
        answer = browser.get(f"/batches/{batch_id}/events")
        assert answer.status_code == 200
        answer.close()
    assert taken == STREAMS_PER_PROCESS


def test_a_rate_is_measured_over_the_last_half_minute() -> None:
    pace = Pace()
    assert pace.rate(0, 0, None) is None
    assert pace.rate(1, 100, 5.0) == 5.0
    assert pace.rate(10, 1000, 5.0) == 100
    assert pace.rate(100, 1000, 5.0) == 5.0
