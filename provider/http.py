"""One POST over pooled connections: sent at most once, ended by a deadline; an error says whether it was sent.

This module must not know XML, the provider's actions, or what an answer means.
"""

import http.client
import io
import math
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import Timeout
from urllib3.util.wait import wait_for_read

from settings import VERSION

MAX_BODY = 16 * 1024 * 1024  #: bytes after decompression; a list of 236 services is about 0.2 MB
READ_SIZE = 64 * 1024  #: bytes
HEADERS = MappingProxyType(
    {
        "User-Agent": f"HAMMER-API/{VERSION}",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/x-www-form-urlencoded",
    }
)
#: Seconds that a connection may be idle before it is replaced; less than the shortest usual keep-alive time
#: (Apache: 5), so that a call is rarely sent on a socket that the server is closing.
IDLE_LIMIT = 4.0
#: Seconds between two looks whether a long answer is still wanted.
LOOK = 0.5
#: A clock that goes on while the machine sleeps, where there is one: on Linux the usual one stands still.
WITH_SLEEP = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: When a request of this thread may begin at the latest, in seconds of uptime().
SEND_BY: ContextVar[float] = ContextVar("send_by", default=math.inf)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer may take that is read as long as more of it comes."""

    silence: float  #: seconds in which nothing may come: before the first byte, and between two pieces
    longest: float  #: seconds in all
    is_wanted: Callable[[], bool] = lambda: True  #: looked at every half second


#: That of the request that this thread makes; None: the whole answer must come within the timeout of a call.
PATIENCE: ContextVar[Patience | None] = ContextVar("patience", default=None)


def uptime() -> float:
    """Return the seconds since the machine was started, with those in which it slept."""
    return time.clock_gettime(WITH_SLEEP)


@contextmanager
def sending_by(moment: float) -> Iterator[None]:
    """Let requests begin up to this moment (seconds of uptime), and raise NotConnectedError for later ones."""
    before = SEND_BY.set(moment)
    try:
        yield
    finally:
        SEND_BY.reset(before)


class NotConnectedError(Exception):
    """No connection was made, so nothing was sent. Not an OSError, because urllib3 would wrap that."""


class BrokenCallError(Exception):
    """The call may have been sent, and no complete answer came; the message is safe to show."""


class TooLargeError(BrokenCallError):
    """The answer is larger than the limit of its call."""


class SilentError(BrokenCallError):
    """Nothing came for as long as a patient request waits; the server may still be at work on it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered."""

    status: int
    retry_after: str  #: the Retry-After header, or empty
    body: bytes  #: decompressed and complete; empty unless status is 200


class _BoundedReader(io.RawIOBase):
    """Reads a socket until one deadline; a read timeout alone restarts with every byte."""

    def __init__(self, raw: Any, sock: socket.socket, deadline: float) -> None:
        self._raw, self._sock, self._deadline = raw, sock, deadline

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._remaining())
        count: int | None = self._raw.readinto(buffer)
        return count

    def _remaining(self) -> float:
        """Return the seconds that the next read may take. Raises TimeoutError where there are none."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        return remaining

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PatientReader(_BoundedReader):
    """Reads a socket as long as more comes, it is wanted, and its deadline has not passed."""

    def __init__(self, raw: Any, sock: socket.socket, deadline: float, patience: Patience) -> None:
        super().__init__(raw, sock, deadline)
        self._patience = patience

    def readinto(self, buffer: Any) -> int | None:
        silent_at = time.monotonic() + self._patience.silence
        while not self._has_bytes():  # a read that has timed out could not be repeated
            if not self._patience.is_wanted():
                raise ConnectionAbortedError("the answer is not wanted any more")
            if time.monotonic() >= silent_at:
                raise TimeoutError("timed out")
        return super().readinto(buffer)

    def _has_bytes(self) -> bool:
        """Wait a moment until there is something to read."""
        decrypted = getattr(self._sock, "pending", None)  # TLS alone has it: bytes that no wait would show
        return bool(decrypted and decrypted()) or wait_for_read(self._sock, min(LOOK, self._remaining()))

    def _remaining(self) -> float:
        return min(self._patience.silence, super()._remaining())


class _BoundedResponse(http.client.HTTPResponse):
    """A response whose headers and body must arrive within the timeout that the socket has after sending."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        seconds, patience = sock.gettimeout(), PATIENCE.get()
        if seconds is not None:
            raw, deadline = self.fp.detach(), time.monotonic() + seconds
            reader = _PatientReader(raw, sock, deadline, patience) if patience else _BoundedReader(raw, sock, deadline)
            self.fp = io.BufferedReader(reader)


class _Connection(HTTPConnection):
    """A connection that reports when nothing was sent, keeps the deadline, and is not reused after IDLE_LIMIT."""

    response_class = _BoundedResponse
    _used = 0.0  #: monotonic time of the last answer
    _has_begun = False  #: a byte of the request was sent

    def connect(self) -> None:
        started = time.monotonic()
        try:
            super().connect()
        except (OSError, HTTPError, ValueError) as error:
            raise NotConnectedError(_plain_reason(error)) from error
        if self.timeout is not None and time.monotonic() - started > self.timeout:
            raise NotConnectedError(f"connecting took longer than {self.timeout:g} s")

    def putrequest(self, *given: Any, **more: Any) -> None:
        self._has_begun = False
        super().putrequest(*given, **more)

    def send(self, data: Any) -> None:
        """Send what is due, unless its time has passed: this process may have been stopped just before."""
        if self.sock is None:
            self.connect()
        if not self._has_begun and uptime() > SEND_BY.get():
            self.close()
            raise NotConnectedError("this process was stopped before the call was sent")
        self._has_begun = True
        super().send(data)

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._used = time.monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._used < IDLE_LIMIT


class _TLSConnection(_Connection, HTTPSConnection):
    """A TLS connection; a failed handshake or certificate counts as a failed connect."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """Pools of the connections above."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


class PostSession:
    """POSTs of forms to one URL, from any number of threads.

    It uses the transport adapter of a requests.Session without the session: redirects, cookies, and the proxies and
    .netrc of the environment must not change a paid call.

    timeout is the total of one POST in seconds, from connecting to the last byte of the answer, connect_timeout
    the part of it for connecting. ca_file replaces the usual certificate authorities.
    """

    def __init__(
        self, url: str, timeout: float, connect_timeout: float, pool_size: int, ca_file: str | None = None
    ) -> None:
        self._request = requests.Request("POST", url, headers=HEADERS).prepare()
        self._timeout = timeout
        # With a total, urllib3 sets the socket's timeout after sending to what is left of it.
        self._limits = Timeout(total=timeout, connect=min(connect_timeout, timeout))
        self._verify = ca_file or True
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=pool_size, max_retries=0)

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def post(self, form: Mapping[str, str], max_body: int = MAX_BODY, patience: Patience | None = None) -> Reply:
        """Send one form, once; max_body in bytes. With patience, the answer is read as long as more of it comes.

        Raises NotConnectedError, BrokenCallError, TooLargeError, or SilentError for a request with patience.
        """
        request = self._request.copy()
        request.prepare_body(urlencode(form, safe=","), None)  # a list of 100 IMEIs is not worth 99 escapes
        before = PATIENCE.set(patience)
        try:
            with self._adapter.send(
                request,
                stream=True,
                timeout=self._limits_of(patience),  # type: ignore[arg-type]
                verify=self._verify,
            ) as response:
                content = _body(response, max_body) if response.status_code == http.client.OK else b""
                return Reply(response.status_code, response.headers.get("Retry-After", ""), content)
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError) as error:
            raise self._broken(error, patience) from error
        finally:
            PATIENCE.reset(before)

    def _limits_of(self, patience: Patience | None) -> Timeout:
        if patience is None:
            return self._limits
        return Timeout(total=patience.longest, connect=self._limits.connect_timeout)

    def _broken(self, error: Exception, patience: Patience | None) -> BrokenCallError:
        causes = (error, *error.args)
        if not any(isinstance(cause, (requests.Timeout, ReadTimeoutError, TimeoutError)) for cause in causes):
            return BrokenCallError("the connection broke before a complete answer came")
        if patience is None:
            return BrokenCallError(f"no complete answer came within {self._timeout:g} s")
        return SilentError(
            f"nothing came for {patience.silence:g} s, or no complete answer within {patience.longest:g} s"
        )


def _plain_reason(error: Exception) -> str:
    """Return the system's text for a failed connect, without the library's object names and error numbers."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return getattr(cause, "strerror", None) or str(error).rpartition(": ")[2]


def _body(response: requests.Response, max_body: int) -> bytes:
    body = bytearray()
    for piece in response.iter_content(READ_SIZE):
        body += piece
        if len(body) > max_body:
            raise TooLargeError(f"the answer is larger than {max_body} bytes")
    return bytes(body)
