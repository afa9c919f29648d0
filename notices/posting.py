"""One POST to a checked address, within one deadline: no redirect, no proxy, no cookie, a short answer.

This module must not know what is sent, or why.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from notices.addresses import HTTP, HTTPS, Endpoint

#: Seconds for connecting, TLS, sending and the answer together; bytes of an answer that are read; characters of it
#: that are kept.
DEADLINE, MOST_READ, MOST_KEPT = 10.0, 64 * 1024, 500
TOO_LATE = "No answer came within {:g} seconds."


class NotDeliveredError(Exception):
    """No answer came. The message is a sentence for the page."""


@dataclass(frozen=True, slots=True)
class ReceiverAnswer:
    """What a receiver answered."""

    status: int
    words: str  #: the beginning of the body, untrusted


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Return the TLS settings of all deliveries; ca_file replaces the usual certificate authorities."""
    return ssl.create_default_context(cafile=ca_file or DEFAULT_CA_BUNDLE_PATH)


def post(
    endpoint: Endpoint, body: bytes, headers: Mapping[str, str], tls: ssl.SSLContext, seconds: float = DEADLINE
) -> ReceiverAnswer:
    """Send once and return the answer. Raises NotDeliveredError."""
    connection = _PinnedConnection(endpoint, tls, seconds)
    deadline = threading.Timer(seconds, connection.end)
    deadline.daemon = True
    deadline.start()
    try:
        connection.request("POST", endpoint.path, body, dict(headers))
        response = connection.getresponse()
        return ReceiverAnswer(response.status, _beginning(response))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotDeliveredError(connection.reason(error)) from error
    finally:
        deadline.cancel()
        connection.close()


def _beginning(response: http.client.HTTPResponse) -> str:
    """Return the first characters of an answer. What is cut or late is left out: the status is known."""
    body = b""
    with suppress(OSError, http.client.HTTPException, ValueError):
        body = response.read(MOST_READ)
    return body.decode("utf-8", "replace")[:MOST_KEPT]


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to the checked addresses of an endpoint. Host header, SNI and certificate name its host."""

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext, seconds: float) -> None:
        self.default_port = HTTPS if endpoint.is_tls else HTTP  # so that the Host header leaves it out
        super().__init__(endpoint.host, endpoint.port, timeout=seconds)
        self._endpoint, self._tls, self._seconds = endpoint, tls, seconds
        self._held: socket.socket | None = None
        self._is_late = False

    def connect(self) -> None:
        """Connect to the first address that answers; the deadline of the whole POST goes on."""
        raw = self._connected()
        self._hold(raw)
        if self._endpoint.is_tls:
            wrapped = self._tls.wrap_socket(raw, server_hostname=self.host, do_handshake_on_connect=False)
            self._hold(wrapped)
            wrapped.do_handshake()

    def _hold(self, sock: socket.socket) -> None:
        """Let end() reach this socket from now on. Raises TimeoutError where end() came before."""
        self.sock = self._held = sock
        if self._is_late:
            raise TimeoutError

    def _connected(self) -> socket.socket:
        failure: OSError = OSError("there is no address")
        for address in self._endpoint.addresses:
            if self._is_late:
                break
            try:
                return socket.create_connection((address, self.port), self._seconds)
            except OSError as error:
                failure = error
        raise failure

    def end(self) -> None:
        """Let every wait on this connection end, because its time is up."""
        self._is_late = True
        if self._held is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._held, socket.SHUT_RDWR)  # TLS stays as it is: another thread reads

    def reason(self, error: Exception) -> str:
        """Return why no answer came, as a sentence."""
        if self._is_late or isinstance(error, TimeoutError):
            return TOO_LATE.format(self._seconds)
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"The certificate is not valid: {error.verify_message}."
        if isinstance(error, ssl.SSLError):
            return "No TLS connection was possible."
        if isinstance(error, OSError) and self._held is None:
            return f"No connection was possible: {error.strerror or 'the address does not answer'}."
        return "The connection broke before an answer came."
