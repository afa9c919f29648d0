"""The worker: slow clients hold no thread of a page, lose their connection in time, and never silence /health."""

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from gunicorn_server import ForkedGunicorn, Server, free_port
from short_timeouts import PATIENCE, short_timeouts
from waiting import wait_until

import web_worker
from database import IMEIDatabase
from settings import Settings
from storage.batch_creation import NewBatch, create_batch
from storage.batch_states import pause
from web_worker import MAX_HEAD, SMALL_BODY, PatientSocket, RequestCounts, read_head

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
POST = b"POST /login HTTP/1.1\r\nHost: localhost\r\n" + FORM
#: What each kind of slow client sends before it falls silent; the last kind reads nothing.
UNFINISHED = {
    "no byte": b"",
    "half a header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-",
    "half a small body": POST + b"Content-Length: 1000\r\n\r\nusername=a",
    "half a large body": POST + b"Content-Length: 20000000\r\n\r\nusername=a",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nuse",
    "reads nothing": b"GET /static/app.css HTTP/1.1\r\nHost: localhost\r\n\r\n" * 45,
}
GET = b"GET /login HTTP/1.1\r\nHost: localhost\r\n"
#: A request that a proxy could take for a body, and this server for a second request.
HIDDEN = b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n"
LENGTH, CHUNKS = b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n"
MALFORMED = {
    "no method": b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no version": b"GET /login\r\nHost: localhost\r\n\r\n",
    "version 0.9": b"GET /login HTTP/0.9\r\nHost: localhost\r\n\r\n",
    "version 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version 9.9": b"GET /login HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "control characters": b"GET /lo\x00gin\x01\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "blanks in the path": b"GET /a b c HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "path without a slash": b"GET login HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "address of another host": b"GET http://evil.example/login HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "asterisk": b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "long line": b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /login HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: evil.example\r\n\r\n",
    "header without a colon": GET + b"X\r\n\r\n",
    "blank before the colon": GET + b"Content-Length : 5\r\n\r\nhello",
    "folded header": GET + b"X: a\r\n b\r\n\r\n",
    "NUL in a header": GET + b"X: a\x00b\r\n\r\n",
    "line break in a header": GET + b"X: a\rSet-Cookie: evil=1\r\n\r\n",
    "underscores in a header": GET + b"X_Forwarded_For: 1.2.3.4\r\n\r\n",
    "many headers": GET + b"".join(b"X-%d: 1\r\n" % number for number in range(300)) + b"\r\n",
    "lines that end with LF": b"GET /login HTTP/1.1\nHost: localhost\n\n",
    "negative length": POST + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "length with a sign": POST + b"Content-Length: +5\r\n\r\nhello" + HIDDEN,
    "length in words": POST + b"Content-Length: five\r\n\r\nhello" + HIDDEN,
    "length of 30 digits": POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nhello",
    "two lengths": POST + LENGTH + b"Content-Length: 55\r\n\r\n" + HIDDEN,
    "list of lengths": POST + b"Content-Length: 0, 55\r\n\r\n" + HIDDEN,
    "length and chunks": POST + LENGTH + CHUNKS + b"\r\n0\r\n\r\n" + HIDDEN,
    "chunks twice": POST + CHUNKS + CHUNKS + b"\r\n0\r\n\r\n" + HIDDEN,
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + HIDDEN,
    "coding behind a blank": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunk of a wrong size": POST + CHUNKS + b"\r\nzz\r\nab\r\n0\r\n\r\n" + HIDDEN,
    "chunk of a negative size": POST + CHUNKS + b"\r\n-1\r\nab\r\n0\r\n\r\n" + HIDDEN,
    "chunk with a long extension": POST + CHUNKS + b"\r\n1;" + b"x" * 20_000 + b"\r\na\r\n0\r\n\r\n",
    "chunk of a huge size": POST + CHUNKS + b"\r\n" + b"f" * 40 + b"\r\nab",
}


# The header


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", (27, 0, False)),
        (b"GET /health HTTP/1.1\r\n\r\n", (24, 0, True)),
        (b"HEAD /health?x HTTP/1.1\r\n\r\n", (27, 0, True)),
        (b"GET /healthy HTTP/1.1\r\n\r\n", (25, 0, False)),
        (b"GET /health HTTP/1.1\r\nContent-Length: 9\r\n\r\n", (43, 9, False)),
        (b"POST / HTTP/1.1\r\nCONTENT-LENGTH:5\r\n\r\nab", (37, 5, False)),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", (66, None, False)),
        (b"POST / HTTP/1.1\r\nX: content-length: 5\r\n\r\n", (41, 0, False)),
    ],
)
def test_a_head_tells_its_size_its_body_and_whether_it_is_the_probe(
    received: bytes, expected: tuple[int, int | None, bool] | None
) -> None:
    head = read_head(received)
    assert (head and (head.size, head.body, head.is_health)) == expected


@pytest.mark.parametrize(
    ("line", "is_stream"),
    [
        (b"GET /batches/1/events HTTP/1.1", True),
        (b"GET /api/v1/batches/1/events?x=1 HTTP/1.1", True),
        (b"POST /submit-stream HTTP/1.1", True),
        (b"GET /batches/1?back=/events HTTP/1.1", False),
        (b"GET /eventsource HTTP/1.1", False),
    ],
)
def test_a_head_tells_an_event_stream(line: bytes, is_stream: bool) -> None:
    head = read_head(line + b"\r\nContent-Length: 0\r\n\r\n")
    assert head is not None
    assert head.is_stream == is_stream


def test_a_thread_starts_when_a_small_body_is_complete_and_reads_a_large_one_itself() -> None:
    small, large = (
        read_head(b"P / H\r\nContent-Length: 3\r\n\r\n"),
        read_head(b"P / H\r\nContent-Length: 16385\r\n\r\n"),
    )
    assert small is not None
    assert large is not None
    assert [small.is_ready(small.size + more) for more in (0, 2, 3)] == [False, False, True]
    assert (SMALL_BODY, large.is_upload, large.is_ready(large.size)) == (16384, True, True)


# The socket


@pytest.fixture
def pair() -> Iterator[tuple[PatientSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    patient = PatientSocket.adopt(ours)
    with patient, theirs:
        yield patient, theirs


def test_waiting_is_limited_in_all_and_not_for_each_byte(
    pair: tuple[PatientSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_worker, "PATIENCE", 0.2)
    patient, theirs = pair
    theirs.sendall(b"ab")
    assert patient.recv(1) == b"a"
    assert patient.recv(1) == b"b"
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        patient.recv(1)
    with pytest.raises(ConnectionResetError):
        patient.recv(1)
    assert 0.15 < time.monotonic() - began < 3
    theirs.sendall(b"c")
    patient.refresh()
    assert patient.recv(1) == b"c"


def test_what_moves_earns_time_and_a_client_that_reads_nothing_is_given_up(
    pair: tuple[PatientSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_worker, "PATIENCE", 0.2)
    monkeypatch.setattr(web_worker, "SLOWEST", 10_000_000)
    patient, _theirs = pair
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        patient.sendall(b"x" * 50_000_000)
    assert time.monotonic() - began < 6


def test_a_shorter_timeout_of_gunicorn_holds(pair: tuple[PatientSocket, socket.socket]) -> None:
    patient, _theirs = pair
    patient.settimeout(0.05)
    with pytest.raises(TimeoutError):
        patient.recv(1)
    patient.setblocking(False)
    with pytest.raises(BlockingIOError):
        patient.recv(1)


# The server


def demo_file(settings: Settings) -> Path:
    """The database of the demo that serves these settings' folder."""
    return settings.data_dir / "demo" / "imei_orders.db"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of the server that the tests of this module share."""
    return Settings(data_dir=tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def batch_id(served: Settings) -> int:
    """A paused batch, so that its stream stays open."""
    with IMEIDatabase(demo_file(served)) as database:
        made = create_batch(database, NewBatch("waiting", "upload", "1739", "s", 0.08, [("353370080089458", 1)]))
        with database.write() as connection:
            assert pause(connection, made, "Paused by hand.")
    return made


@pytest.fixture(scope="module")
def server(served: Settings, batch_id: int) -> Iterator[Server]:
    """gunicorn with short time limits, started once for the tests of this module."""
    running = Server(served.data_dir, free_port(), partial(ForkedGunicorn, before=short_timeouts))
    try:
        wait_until(running.answers, "the server answers")
        yield running
    finally:
        running.kill()


def connect(server: Server, sent: bytes) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    client.connect(("127.0.0.1", server.port))
    client.setblocking(False)
    try:
        client.sendall(sent)
    except BlockingIOError:
        pass  # the kernel takes no more, because the server reads no more
    return client


def is_closed(client: socket.socket) -> bool:
    try:
        while client.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def slowest(ask: Callable[[], object], seconds: float) -> float:
    """Ask again and again for so long; return the longest time that one answer took, in seconds."""
    until, longest = time.monotonic() + seconds, 0.0
    while (began := time.monotonic()) < until:
        ask()
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.1)
    return longest


@pytest.mark.parametrize("kind", UNFINISHED)
def test_300_slow_clients_silence_nothing_and_are_closed_at_their_limit(server: Server, kind: str) -> None:
    clients = [connect(server, UNFINISHED[kind]) for _ in range(300)]
    try:
        statuses = set[int]()
        longest = slowest(lambda: statuses.add(server.get("/health")[0]), PATIENCE + web_worker.LINGER + 2)
        assert (statuses, longest < 3 * PATIENCE) == ({200}, True)  # pages would wait for many times that long
        assert server.get("/")[0] == 200
        wait_until(lambda: all(map(is_closed, clients)), "every slow client is closed")
    finally:
        for client in clients:
            client.close()
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("kind", ["half a large body", "half a chunk"])
def test_large_bodies_of_strangers_are_refused_at_once(data_dir: Path, port: int, kind: str) -> None:
    """The limits of this server are the real ones: nobody waits for what will not be read."""
    account = {"GSM_FUSION_API_KEY": "k", "GSM_FUSION_USERNAME": "u", "GSM_FUSION_BASE_URL": "http://127.0.0.1:9"}
    running = Server(data_dir, port, ADMIN_PASSWORD="hunter2hunter2", **account)
    try:
        wait_until(running.answers, "the server answers")
        began = time.monotonic()
        clients = [connect(running, UNFINISHED[kind]) for _ in range(70)]
        wait_until(lambda: all(map(is_closed, clients)), "every client is closed")
        assert time.monotonic() - began < web_worker.PATIENCE / 2
    finally:
        running.kill()


def test_a_trickle_of_bytes_earns_no_more_time(server: Server) -> None:
    with connect(server, b"GET / HTTP/1.1\r\n") as client:
        began = time.monotonic()
        while not is_closed(client):
            assert time.monotonic() - began < PATIENCE + web_worker.LINGER + 3
            try:
                client.send(b"X")
            except OSError:
                break
            time.sleep(0.1)


def test_more_connections_than_a_worker_takes_close_the_oldest(server: Server) -> None:
    clients = [connect(server, UNFINISHED["half a header"]) for _ in range(1200)]
    try:
        assert server.get("/health")[0] == 200
    finally:
        for client in clients:
            client.close()


def test_a_stream_goes_on_beyond_every_limit(server: Server, served: Settings, batch_id: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", f"/batches/{batch_id}/events", headers={"Accept": "text/event-stream"})
    stream = connection.getresponse()
    clients = [connect(server, UNFINISHED["half a header"]) for _ in range(70)]
    try:
        first = [stream.readline() for _ in range(6)]
        assert b"event: progress\n" in first
        time.sleep(2 * PATIENCE)
        with IMEIDatabase(demo_file(served)) as database, database.write() as writing:
            writing.exec_driver_sql("UPDATE batches SET revision = revision + 1")
        assert [line for line in (stream.readline() for _ in range(4)) if line == b"event: progress\n"]
    finally:
        connection.close()
        for client in clients:
            client.close()


def test_one_connection_serves_request_after_request(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        for path in ("/health", "/", "/static/app.css", "/health"):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
    finally:
        connection.close()


def test_requests_that_come_together_are_answered_in_turn(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        one = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
        client.sendall((one + b"\r\n") * 3 + one + b"Connection: close\r\n\r\n")
        answer = b""
        while received := client.recv(65536):
            answer += received
    assert answer.count(b"HTTP/1.1 200 OK") == 4


def test_a_header_that_is_too_large_is_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD)
        assert client.recv(65536).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_request_is_refused_and_hides_no_second_one(server: Server, kind: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(MALFORMED[kind])
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while received := client.recv(65536):
            answer += received
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert b"HTTP/1.1 2" not in answer
    assert b"Content-Type: image/svg+xml" not in answer  # of the hidden request
    assert b"Traceback" not in answer
    assert b"evil" not in answer
    assert "Traceback" not in server.log.read_text()


def test_processes_add_to_one_count_of_requests_in_rows_of_their_own() -> None:
    counts = RequestCounts()
    for number in (1, 2):
        child = os.fork()
        if not child:
            counts.use_row(number)
            for status in (200, 204, 404, 700):
                counts.add(status)
            os._exit(0)
        os.waitpid(child, 0)
    counts.add(503)
    assert counts.totals() == {"1xx": 0, "2xx": 4, "3xx": 0, "4xx": 2, "5xx": 1}
