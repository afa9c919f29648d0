"""gzip for pages and static files; event streams and downloads as they are, and no secret that a size could tell."""

import gzip
import http.client
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gunicorn_server import Server
from simulated_provider import imeis
from waiting import wait_until
from web_client import Browser, order_batch

from database import IMEIDatabase
from web.auth import masked, unmasked

GZIP = {"Accept-Encoding": "gzip, deflate, br, zstd"}


@pytest.mark.parametrize("path", ["/", "/history", "/static/app.css", "/static/live.js"])
def test_pages_and_static_files_are_compressed_for_whoever_takes_it(
    browser: Browser, database: IMEIDatabase, path: str
) -> None:
    order_batch(database, imeis(100))
    plain, packed = browser.get(path), browser.get(path, headers=GZIP)
    assert (packed.headers["Content-Encoding"], plain.headers.get("Content-Encoding")) == ("gzip", None)
    assert "Accept-Encoding" in plain.headers["Vary"]
    assert len(packed.data) < 0.5 * len(plain.data)
    without_tokens = [re.sub(rb"[\w-]{100,}=*", b"", text) for text in (plain.data, gzip.decompress(packed.data))]
    assert without_tokens[0] == without_tokens[1]


def test_an_unchanged_static_file_is_not_sent_again(browser: Browser) -> None:
    for headers in ({}, GZIP):
        tag = browser.get("/static/app.css", headers=headers).headers["ETag"]
        assert browser.get("/static/app.css", headers={**headers, "If-None-Match": tag}).status_code == 304


def test_downloads_keep_their_length(browser: Browser, database: IMEIDatabase) -> None:
    order_batch(database, imeis(100))
    for path in ("/history.csv", "/history.xlsx"):
        assert "Content-Encoding" not in browser.get(path, headers=GZIP).headers


# Secrets


def test_a_token_reads_differently_in_every_answer_and_works_each_time(browser: Browser) -> None:
    tokens = [browser.token() for _ in range(3)]
    assert len(set(tokens)) == 3
    for token in tokens:
        assert browser.client.post("/database/check", data={"csrf_token": token}).status_code == 303


@pytest.mark.parametrize("text", ["", "x", "not base64 €", "AAAA", "====", "A" * 5])
def test_what_is_no_token_is_refused(browser: Browser, text: str) -> None:
    assert browser.client.post("/database/check", data={"csrf_token": text}).status_code == 400


def test_a_mask_hides_and_gives_back() -> None:
    assert unmasked(masked("a.b.c")) == "a.b.c"
    assert masked("a.b.c") != masked("a.b.c")


# Streams


@pytest.fixture
def server(data_dir: Path, port: int, paused_batch: int) -> Iterator[Server]:
    running = Server(data_dir, port)
    try:
        wait_until(running.answers, "the server answers")
        yield running
    finally:
        running.kill()


def test_an_event_stream_is_neither_compressed_nor_held_back(server: Server, paused_batch: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request("GET", f"/batches/{paused_batch}/events", headers={"Accept": "text/event-stream"} | GZIP)
        stream = connection.getresponse()
        assert stream.getheader("Content-Encoding") is None
        assert stream.readline() == b"retry: 2000\n"
        assert b"event: progress\n" in [stream.readline() for _ in range(4)]
    finally:
        connection.close()
