"""The gunicorn worker: a request gets a thread only when it is complete, and a slow client loses its connection.

gunicorn's own gthread worker gives a thread to a connection at its first byte, and lets it wait there for the rest
without a limit: 70 sockets that send half a header silence every page. Here the event loop of the worker collects
the header and a small body; larger bodies and answers have a budget of waiting time. `/health` has its own threads,
and so have event streams and large bodies.
This module knows nothing of Flask. It expects plain HTTP/1.1: TLS ends at the platform's proxy.
"""

import errno
import re
import select
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from mmap import mmap
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

#: Seconds for a whole header and small body, from the first byte or from the connection; and for the client to make
#: room for the next answer.
PATIENCE = 15.0
#: Bytes a second that a large body or an answer must move, on average, beyond PATIENCE.
SLOWEST = 16 * 1024
#: Bytes of a header; gunicorn's own limits, on lines and fields, hold below this.
MAX_HEAD = 32 * 1024
#: Bytes of a body that the event loop collects. A larger one is read by a thread, and only for a user who is logged in.
SMALL_BODY = 16 * 1024
#: Bytes that the kernel takes for us at once: every answer to a client that is not logged in is smaller.
SEND_BUFFER = 256 * 1024
#: Seconds that a closed connection still takes input, so that the client can read the answer (RFC 9112, section 9.6).
LINGER = 2.0
#: Seconds to skip the rest of a body that the app did not read, before the connection is closed instead.
SKIP = 0.05
RECEIVED_AT_ONCE = 64 * 1024
#: More stream threads than streams, so that one stream too many is refused at once.
HEALTH_THREADS, UPLOAD_THREADS, STREAM_THREADS = 2, 4, 68

_BODY_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
_CODED_BODY = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_HEALTH = re.compile(rb"(GET|HEAD) /health[ ?]")
#: An event stream, which holds its thread for minutes.
_STREAM = re.compile(rb"(GET|POST) [^ ?]*(/events|-stream)[ ?]")
_REFUSAL = "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_TIMEOUT = (_REFUSAL % "408 Request Timeout").encode()
_TOO_LARGE = (_REFUSAL % "431 Request Header Fields Too Large").encode()
_BUSY = (_REFUSAL % "503 Service Unavailable").encode()
#: SO_LINGER: close() drops what the client has not taken, and resets the connection.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Head:
    """What the event loop must know of a request; gunicorn parses it again, strictly."""

    size: int  #: bytes, the empty line included
    body: int | None  #: bytes that follow; None where only the reader of the body can tell
    is_health: bool
    is_stream: bool

    @property
    def is_upload(self) -> bool:
        """Whether a thread reads the body."""
        return self.body is None or self.body > SMALL_BODY

    def is_ready(self, received: int) -> bool:
        """Return whether a thread may start after this number of bytes has arrived."""
        return self.body is None or self.is_upload or received >= self.size + self.body


def read_head(received: bytes | bytearray) -> Head | None:
    """Return the head of the request that these bytes begin with, or None while its empty line is missing."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[: end + 2])
    length = _BODY_LENGTH.search(head)
    body = None if _CODED_BODY.search(head) else int(length[1]) if length else 0
    is_health = body == 0 and _HEALTH.match(head) is not None
    return Head(end + 4, body, is_health, is_stream=_STREAM.match(head) is not None)


class PatientSocket(socket.socket):
    """A client's socket that may make its thread wait PATIENCE seconds, and one more for each SLOWEST bytes moved.

    When the time is used up, the connection counts as reset, which gunicorn and the app expect at any time.
    """

    _waited = 0.0
    _moved = 0

    @classmethod
    def adopt(cls, accepted: socket.socket) -> "PatientSocket":
        """Take over an accepted socket."""
        return cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())

    def refresh(self) -> None:
        """Begin a new budget, for a new request."""
        self._waited, self._moved = 0.0, 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive within the budget; a shorter timeout that was set holds too."""
        data: bytes = self._within_budget(lambda: super(PatientSocket, self).recv(size, flags), len)
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of data within the budget."""
        view = memoryview(data)
        try:
            while view:
                sent = self._within_budget(partial(super().send, view, flags), int)
                view = view[sent:]
        except ConnectionResetError:
            self.reset_on_close()
            raise

    def reset_on_close(self) -> None:
        """Keep nothing in the kernel for a client that does not read."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _within_budget(self, move: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        usual, left = self.gettimeout(), PATIENCE + self._moved / SLOWEST - self._waited
        if usual == 0.0:
            return move()
        if left <= 0:
            raise ConnectionResetError(errno.ECONNRESET, "The client was too slow")
        began = time.monotonic()
        self.settimeout(left if usual is None else min(usual, left))
        try:
            moved = move()
        except TimeoutError as error:
            if usual is not None and usual < left:
                raise
            raise ConnectionResetError(errno.ECONNRESET, "The client was too slow") from error
        finally:
            self._waited += time.monotonic() - began
            self.settimeout(usual)
        self._moved += size(moved)
        return moved


class Connection(TConn):  # type: ignore[misc]
    """A client's connection, with what has come of its next request. timeout is when the loop gives it up."""

    def __init__(self, cfg: Any, accepted: socket.socket, client: Any, server: Any) -> None:
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        super().__init__(cfg, PatientSocket.adopt(accepted), client, server)
        self.received = bytearray()
        self.head: Head | None = None
        self.is_closing = False
        self.queued_at = 0.0
        self.data_ready = True  # gunicorn's handle() need not wait for the first byte

    def begin(self) -> None:
        """Hand what has come to gunicorn's parser. In the thread of the request."""
        self.sock.refresh()
        self.init()
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()

    def next_request(self) -> None:
        """Take back what the parser has read ahead of the next request."""
        self.head = None
        self.received += self.parser.unreader.take_buffered()

    def has_room(self) -> bool:
        """Whether the kernel takes an answer at once: a client that reads nothing must not hold a thread."""
        poll = select.poll()
        poll.register(self.sock, select.POLLOUT)
        return bool(poll.poll(0))


class Worker(ThreadWorker):  # type: ignore[misc]
    """gthread with time limits on every connection.

    A connection is either with a thread or in self.waiting, where the loop reads it: idle, incomplete, without room
    for an answer, or closing.
    """

    def init_process(self) -> None:
        """Start the threads and the loop."""
        self.waiting: dict[Connection, None] = {}
        self.health_pool = ThreadPoolExecutor(HEALTH_THREADS, thread_name_prefix="health")
        self.upload_pool = ThreadPoolExecutor(UPLOAD_THREADS, thread_name_prefix="upload")
        self.stream_pool = ThreadPoolExecutor(STREAM_THREADS, thread_name_prefix="stream")
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the program. If it cannot start, end the server, too: its supervisor decides about another start."""
        try:
            super().load_wsgi()
        except SystemExit as error:
            self.log.critical(error.code)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from error

    def accept(self, listener: socket.socket) -> None:
        """Take a connection; when there are too many, close the one that has waited longest."""
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._close_oldest()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        self._wait(Connection(self.cfg, accepted, client, listener.getsockname()), PATIENCE)
        if self.nr_conns >= self.worker_connections:
            self._close_oldest()

    def handle(self, conn: Connection) -> bool:
        """Answer one request. In a thread of a pool; returns whether the connection stays open."""
        conn.begin()
        if time.monotonic() - conn.queued_at > PATIENCE:  # nobody waits for this answer any more
            conn.sock.sendall(_BUSY)
            return False
        return bool(super().handle(conn))

    def finish_request(self, conn: Connection, done: Future[bool]) -> None:
        """Wait for the next request of the connection, or close it. On the loop, when the thread is free."""
        if done.cancelled() or done.exception() or not done.result():
            self._linger(conn)
            return
        conn.next_request()
        self._wait(conn, self.cfg.keepalive if self.alive else LINGER)
        if conn.received:
            conn.timeout = time.monotonic() + PATIENCE
            self._look(conn)

    def murder_pending(self) -> None:
        """Give up connections whose time is over. The loop calls it at least once a second."""
        now = time.monotonic()
        for conn in [conn for conn in self.waiting if conn.timeout <= now]:
            if not conn.has_room():
                conn.sock.reset_on_close()
            self._refuse(conn, _TIMEOUT if conn.received else b"")

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in self.waiting:
            conn.timeout = min(conn.timeout, deadline)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Whether the connection can be used again: not with much of a body unread, or with one that cannot be read."""
        try:
            return keepalive and bool(conn.parser.finish_body(deadline=time.monotonic() + SKIP))
        except (ParseException, OSError):  # a refusal would be a second answer to one request
            return False

    def _wait(self, conn: Connection, seconds: float, event: int = selectors.EVENT_READ) -> None:
        """Let the loop watch the connection for so long."""
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + seconds
        self.waiting[conn] = None
        ready = self._receive if event == selectors.EVENT_READ else self._start
        self.poller.register(conn.sock, event, lambda _: ready(conn))

    def _forget(self, conn: Connection) -> None:
        self.waiting.pop(conn, None)
        try:
            self.poller.unregister(conn.sock)
        except (KeyError, ValueError):
            pass

    def _receive(self, conn: Connection) -> None:
        """Collect what has come; skip it on a connection that is closing."""
        try:
            data = conn.sock.recv(RECEIVED_AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(conn)
        elif not conn.is_closing:
            if not conn.received:
                conn.timeout = time.monotonic() + PATIENCE
            conn.received += data
            self._look(conn)

    def _look(self, conn: Connection) -> None:
        """Start the request if it is complete."""
        conn.head = conn.head or read_head(conn.received)
        if (conn.head.size if conn.head else len(conn.received)) > MAX_HEAD:
            self._refuse(conn, _TOO_LARGE)
        elif conn.head and conn.head.is_ready(len(conn.received)):
            self._start(conn)

    def _start(self, conn: Connection) -> None:
        """Give the request a thread, once the client has read enough of the earlier answers."""
        self._forget(conn)
        if not conn.has_room():
            self._wait(conn, PATIENCE, selectors.EVENT_WRITE)
            return
        conn.queued_at = time.monotonic()
        done = self._pool(conn.head).submit(self.handle, conn)
        done.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def _pool(self, head: Head | None) -> ThreadPoolExecutor:
        """The threads for a request: pages wait for no stream and no upload, and the probe waits for no page."""
        if head is not None and head.is_health:
            return self.health_pool
        if head is not None and head.is_stream:
            return self.stream_pool
        pool: ThreadPoolExecutor = self.upload_pool if head is not None and head.is_upload else self.tpool
        return pool

    def _close_oldest(self) -> None:
        if self.waiting:
            self._close(next(iter(self.waiting)))

    def _refuse(self, conn: Connection, answer: bytes) -> None:
        """Close a connection, with an answer where a request had begun. Never blocks."""
        if conn.is_closing:
            self._close(conn)
            return
        try:
            if answer:
                conn.sock.send(answer)
        except OSError:
            pass
        self._forget(conn)
        self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        """End our side, and let the client read the answer before the connection is gone."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.is_closing = True
        self._wait(conn, LINGER)

    def _close(self, conn: Connection) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()


class RequestCounts:
    """How many requests were answered, by class of status, in memory that all processes of a server share.

    It is made before the workers, and each of them adds to its own row, so that a killed one blocks nobody.
    """

    ROWS, CLASSES = 64, ("1xx", "2xx", "3xx", "4xx", "5xx")

    def __init__(self) -> None:
        self._cells = memoryview(mmap(-1, 8 * self.ROWS * len(self.CLASSES))).cast("Q")
        self._lock = threading.Lock()
        self._first = 0

    def use_row(self, number: int) -> None:
        """Add to this row from now on; a later process goes on with the counts of an earlier one."""
        self._first = number % self.ROWS * len(self.CLASSES)

    def add(self, status: int) -> None:
        """Count one request."""
        kind = status // 100 - 1
        if 0 <= kind < len(self.CLASSES):
            with self._lock:
                self._cells[self._first + kind] += 1

    def totals(self) -> dict[str, int]:
        """Return class of status → requests of all processes since the server started."""
        return {name: sum(self._cells[place :: len(self.CLASSES)]) for place, name in enumerate(self.CLASSES)}
