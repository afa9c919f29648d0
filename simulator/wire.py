"""As much of an HTTP/1.1 server as a provider on loopback needs, and the ways an answer can go wrong.

Written by hand because a general server costs several times as much a call as the work itself. This module
must not know what the requests mean.
"""

import asyncio
import http.client
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from simulator.knobs import HttpReply

MAX_HEAD, MAX_BODY = 64 * 1024, 16 * 1024 * 1024  #: bytes
PIECE_SECONDS = 0.05  #: between two pieces of an answer that a slow wire carries
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
CONTENT_TYPE = re.compile(rb"\r\ncontent-type:[ \t]*([^\r\n]*)", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)
BOUNDARY = re.compile(r'boundary="?([^";]+)')
PART_NAME = re.compile(rb'name="([^"]*)"')


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    target: str
    content_type: str
    body: bytes
    close: bool  #: whether the client wants the connection closed after the answer


class BadRequest(ValueError):
    """Bytes that are no HTTP request that this server reads."""


class HttpConnection(asyncio.Protocol):
    """One keep-alive connection: one request at a time, one write an answer."""

    transport: asyncio.Transport

    def __init__(self, receive: "Receiver", everyone: "set[HttpConnection]") -> None:
        self._receive, self._everyone = receive, everyone
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._busy = False
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a stream server hands over
        self.transport = transport
        self._everyone.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._everyone.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._take()

    def _take(self) -> None:
        """Begin with the next request, if all of it is here."""
        try:
            taken = read_request(self._buffer)
        except BadRequest as error:
            self._closing = True
            return self.send(HttpReply(str(error).encode(), 400, "text/plain"))
        if taken is None:
            if EXPECT.search(self._buffer):
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        request, length = taken
        del self._buffer[:length]
        self._busy, self._closing = True, request.close
        return self._receive(request, self)

    def send(self, reply: HttpReply) -> None:
        """Send the answer in its manner, then be ready for the next request; skip a client that left."""
        if self.transport.is_closing():
            return
        head = _head(reply, self._closing)
        match reply.manner:
            case "whole":
                self._write_all(head + reply.body)
            case "late":
                self._loop.call_later(reply.pause, self._write_all, head + reply.body)
            case "hang":
                self._loop.call_later(reply.pause, self.transport.close)
            case "trickle":
                self.transport.write(head)
                self._trickle(reply.body, reply.pause)
            case "trickle_head":
                self._trickle(head + reply.body, reply.pause)
            case "slow":
                self._send_slowly(head + reply.body, reply, 0)
            case "cut":
                self.transport.write(head + reply.body[: len(reply.body) // 2])
                self.transport.close()
            case "close":
                self.transport.close()
            case "reset":
                self._reset()

    def _write_all(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(data)
        self._busy = False
        if self._closing:
            self.transport.close()
        elif self._buffer:
            self._take()

    def _trickle(self, rest: bytes, pause: float) -> None:
        if len(rest) <= 1:
            self._write_all(rest)
        elif not self.transport.is_closing():
            self.transport.write(rest[:1])
            self._loop.call_later(pause, self._trickle, rest[1:], pause)

    def _send_slowly(self, data: bytes, reply: HttpReply, sent: int) -> None:
        """Send the next piece of an answer; pause in its middle."""
        end = sent + max(1, int(reply.rate * PIECE_SECONDS))
        if end >= len(data):
            self._write_all(data[sent:])
        elif not self.transport.is_closing():
            self.transport.write(data[sent:end])
            pause = reply.pause if sent <= len(data) // 2 < end else 0.0
            self._loop.call_later(PIECE_SECONDS + pause, self._send_slowly, data, reply, end)

    def _reset(self) -> None:
        """Close with RST instead of FIN, as a crashed or overloaded peer does."""
        linger = struct.pack("ii", 1, 0)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


Receiver = Callable[[HttpRequest, HttpConnection], None]


def read_request(buffer: bytearray) -> tuple[HttpRequest, int] | None:
    """Return the first request in the buffer and its length in bytes; None while part of it is missing."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD:
            raise BadRequest("the head is too long")
        return None
    head = bytes(buffer[: end + 2])
    words = head[: head.index(b"\r\n")].decode("latin-1").split(" ")
    found = LENGTH.search(head)
    length = int(found.group(1)) if found else 0
    if len(words) != 3 or length > MAX_BODY or b"\r\ntransfer-encoding:" in head.lower():
        raise BadRequest("this server reads requests with a Content-Length only")
    whole = end + 4 + length
    if len(buffer) < whole:
        return None
    kind = CONTENT_TYPE.search(head)
    content_type = kind.group(1).decode("latin-1") if kind else ""
    body = bytes(buffer[end + 4 : whole])
    return HttpRequest(words[0], words[1], content_type, body, CLOSE.search(head) is not None), whole


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a form, urlencoded or multipart."""
    boundary = BOUNDARY.search(content_type)
    if "multipart/form-data" not in content_type.lower() or boundary is None:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    fields = {}
    for part in body.split(b"--" + boundary.group(1).encode("latin-1")):
        head, _, value = part.partition(b"\r\n\r\n")
        name = PART_NAME.search(head)
        if name:
            fields[name.group(1).decode("utf-8", "replace")] = value.removesuffix(b"\r\n").decode("utf-8", "replace")
    return fields


def _head(reply: HttpReply, closing: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {reply.status} {http.client.responses.get(reply.status, 'Unknown')}",
        f"Content-Type: {reply.content_type}",
        f"Content-Length: {len(reply.body)}",
    ]
    if reply.retry_after is not None:
        lines.append(f"Retry-After: {reply.retry_after}")
    if closing:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
