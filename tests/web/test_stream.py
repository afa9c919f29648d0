"""Progress of a batch as server-sent events."""

import pytest
from flask import Flask
from simulated_provider import imeis
from web_client import Browser, answer_chunks
from web_scenes import events_of

from backend import Backend
from database import IMEIDatabase
from web.stream import Pace, events


@pytest.fixture
def backend(app: Flask) -> Backend:
    found: Backend = app.extensions["backend"]
    return found


def test_a_finished_batch_streams_its_snapshot_and_ends(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(120))
    answer_chunks(database)
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


def test_a_stream_ends_when_the_process_stops(browser: Browser, backend: Backend, database: IMEIDatabase) -> None:
    stream = events(backend, browser.start(imeis(2)))
    next(stream), next(stream)
    backend.stopping.set()
    assert list(stream) == []


def test_a_silent_stream_sends_a_comment(browser: Browser, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.stream.HEARTBEAT", 0.1)
    stream = events(backend, browser.start(imeis(2)))
    next(stream), next(stream)
    assert next(stream).startswith(":")


def test_streams_are_limited_and_given_back(browser: Browser, backend: Backend, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(2))
    answer_chunks(database)
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
    assert taken == 12


def test_a_rate_is_measured_over_the_last_half_minute() -> None:
    pace = Pace()
    assert pace.rate(0, 0, None) is None
    assert pace.rate(1, 100, 5.0) == 5.0
    assert pace.rate(10, 1000, 5.0) == 100
    assert pace.rate(100, 1000, 5.0) == 5.0
