"""One POST to a checked address: Host, SNI and certificate name the host, and one deadline covers everything."""

import socket
import ssl
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest
from scripted_server import ScriptedServer, Step, hang, raw, reply, reset, trickle
from tls_certificate import make_certificate, server_context

from notices.addresses import Endpoint
from notices.posting import MOST_KEPT, NotDeliveredError, ReceiverAnswer, post, tls_context

PLAIN = ssl.create_default_context()
HEADERS = {"Content-Type": "application/json", "webhook-id": "evt_1"}


def endpoint(server: ScriptedServer, *addresses: str, is_tls: bool = False, host: str = "hooks.example") -> Endpoint:
    return Endpoint(is_tls, host, server.port, "/in?a=b", addresses or ("127.0.0.1",))


def send(server: ScriptedServer, *addresses: str, seconds: float = 5.0) -> ReceiverAnswer:
    return post(endpoint(server, *addresses), b'{"a":1}', HEADERS, PLAIN, seconds)


def test_a_request_goes_to_the_checked_address_under_the_name_of_its_host() -> None:
    with ScriptedServer(reply("thanks", "202 Accepted")) as server:
        assert send(server) == ReceiverAnswer(202, "thanks")
        head, port = server.requests[0].head, server.port
    assert head.startswith("POST /in?a=b HTTP/1.1\r\n")
    assert f"\r\nHost: hooks.example:{port}\r\n" in head
    assert "\r\nwebhook-id: evt_1" in head
    assert server.requests[0].body == '{"a":1}'


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    with ScriptedServer(reply("thanks")) as server:
        assert send(server, "127.0.0.9", "::1", "127.0.0.1").status == 200


def test_a_redirect_is_an_answer_and_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with ScriptedServer(reply("", "302 Found", "Location: http://169.254.169.254/")) as server:
        assert send(server).status == 302
        assert len(server.requests) == 1


def test_a_long_answer_is_cut() -> None:
    with ScriptedServer(reply("ü" * 500_000)) as server:
        assert send(server) == ReceiverAnswer(200, "ü" * MOST_KEPT)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (hang(3.0), "No answer came within 0.3 seconds."),
        (trickle(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200), "No answer came within 0.3 seconds."),
        (reset, "The connection broke before an answer came."),
        (raw(b""), "The connection broke before an answer came."),
        (raw(b"hello\r\n\r\n"), "The connection broke before an answer came."),
    ],
)
def test_no_answer_is_one_sentence_within_the_deadline(step: Step, words: str) -> None:
    started = time.monotonic()
    with ScriptedServer(step) as server, pytest.raises(NotDeliveredError) as caught:
        send(server, seconds=0.3)
    assert str(caught.value) == words
    assert time.monotonic() - started < 4.5


def test_a_deadline_that_passes_while_it_connects_ends_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.create_connection

    def slowly(*arguments: Any, **more: Any) -> socket.socket:
        time.sleep(0.2)
        return connect(*arguments, **more)

    monkeypatch.setattr(socket, "create_connection", slowly)
    with ScriptedServer(reply("late")) as server, pytest.raises(NotDeliveredError, match=r"within 0\.05 seconds"):
        send(server, seconds=0.05)
    assert server.requests == []


def test_an_answer_that_never_ends_counts_by_its_status() -> None:
    started = time.monotonic()
    with ScriptedServer(trickle(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000, 0.005)) as server:
        assert send(server, seconds=0.4).status == 200
    assert time.monotonic() - started < 4.5


def test_a_port_where_nobody_listens_is_named() -> None:
    with ScriptedServer(reply("")) as server:
        closed = endpoint(server)
    with pytest.raises(NotDeliveredError, match="No connection was possible: Connection refused"):
        post(closed, b"", {}, PLAIN)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def require(reason: str) -> NoReturn:
        pytest.skip(reason)

    return make_certificate(tmp_path_factory.mktemp("tls"), require, "DNS:hooks.example")


def test_tls_names_the_host_and_checks_its_certificate(certificate: Path) -> None:
    names: list[str | None] = []
    tls = server_context(certificate)
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    trusting = tls_context(str(certificate.with_name("cert.pem")))
    with ScriptedServer(reply("thanks"), tls=tls) as server:
        assert post(endpoint(server, is_tls=True), b"", {}, trusting).status == 200
        with pytest.raises(NotDeliveredError, match="The certificate is not valid"):
            post(endpoint(server, is_tls=True, host="other.example"), b"", {}, trusting)
        with pytest.raises(NotDeliveredError, match="The certificate is not valid"):
            post(endpoint(server, is_tls=True), b"", {}, tls_context())
    assert names == ["hooks.example", "other.example", "hooks.example"]
    assert len(server.requests) == 1


def test_a_handshake_that_hangs_ends_with_the_deadline() -> None:
    started = time.monotonic()
    slow = trickle(b"\x16\x03\x03\x40\x00" + b"x" * 300, 0.02)
    with ScriptedServer(reply(""), on_accept=slow) as server, pytest.raises(NotDeliveredError, match="within"):
        post(endpoint(server, is_tls=True), b"", {}, PLAIN, 0.3)
    assert time.monotonic() - started < 4.5
