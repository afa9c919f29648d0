"""A real HTTP server on loopback that answers each request as its script says, faults included."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl

#: What to do with a connection after a whole request has been read; False closes it.
Step = Callable[[socket.socket], bool]


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request."""

    connection: int  #: counted from 1
    head: str
    form: dict[str, str]
    body: str = ""


def reply(body: str | bytes, status: str = "200 OK", *headers: str) -> Step:
    """A complete answer over a connection that stays open."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/xml", f"Content-Length: {len(data)}", *headers]
    answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + data

    def step(sock: socket.socket) -> bool:
        sock.sendall(answer)
        return True

    return step


def raw(data: bytes) -> Step:
    """These bytes, then a closed connection."""

    def step(sock: socket.socket) -> bool:
        sock.sendall(data)
        return False

    return step


def reset(sock: socket.socket) -> bool:
    """A TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def trickle(data: bytes, pause: float = 0.05) -> Step:
    """A byte at a time, so that no single read waits long; seconds between them."""

    def step(sock: socket.socket) -> bool:
        for byte in data:
            sock.sendall(bytes([byte]))
            time.sleep(pause)
        return False

    return step


def hang(seconds: float = 5.0) -> Step:
    """Nothing, until the client hangs up or the seconds are over."""

    def step(sock: socket.socket) -> bool:
        sock.settimeout(seconds)
        try:
            sock.recv(1)
        except TimeoutError:
            pass
        return False

    return step


class ScriptedServer:
    """Answers the n-th request with the n-th step, and further ones with the last; a context manager."""

    def __init__(self, *steps: Step, tls: ssl.SSLContext | None = None, on_accept: Step | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._steps, self._tls, self._on_accept = steps, tls, on_accept
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        self._thread.join(timeout=5)

    def drop_connections(self) -> None:
        """Close every connection from the server's side."""
        with self._lock:
            for sock in self._open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            if self._on_accept and not self._on_accept(sock):
                return
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with self._lock:
                self._open.add(sock)
            while self._answer_one(sock, number):
                pass
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def _answer_one(self, sock: socket.socket, number: int) -> bool:
        request = self._read(sock, number)
        if request is None:
            return False
        with self._lock:
            self.requests.append(request)
            step = self._steps[min(len(self.requests), len(self._steps)) - 1]
        return step(sock)

    def _read(self, sock: socket.socket, number: int) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while len(body) < int(lengths[0]):
            body += sock.recv(65536)
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        return Request(number, head.decode("latin-1"), form, body.decode())
