"""Connections on loopback: what each fault of a call means, its deadline, TLS, and connections that are kept."""

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import NoReturn

import pytest
from client_calls import IMEI, PLACED, REDIRECT, assert_free_of_the_key, at, client_of, order
from scripted_server import ScriptedServer, Step, hang, raw, reply, reset, trickle
from tls_certificate import make_certificate, server_context

from gsm_fusion_client import (
    NotSentError,
    OutcomeUnknownError,
)
from provider import http as provider_http


def test_a_compressed_answer_is_read() -> None:
    body = gzip.compress(PLACED.encode())
    with (
        ScriptedServer(reply(body, "200 OK", "Content-Encoding: gzip")) as server,
        client_of(server) as client,
    ):
        assert client.place_imei_order(IMEI, "7").orders


HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: {len(PLACED)}\r\n\r\n"
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNKNOWN_AFTER: dict[str, Step] = {
    "503 after the body": reply("<error>down</error>", "503 Service Unavailable"),
    "maintenance text under 503": reply("<error>Website is in maintenance</error>", "503 Service Unavailable"),
    "502 web page": reply("<html><body>Bad Gateway</body></html>", "502 Bad Gateway"),
    "403 web page": reply("<html>Attention</html>", "403 Forbidden"),
    "web page under 200": reply("<html><body>Bad Gateway</body></html>"),
    "307": reply("", *REDIRECT),
    "301": reply(PLACED, "301 Moved Permanently", "Location: https://127.0.0.1/"),
    "reset": reset,
    "closed without a word": raw(b""),
    "closed within the status": raw(b"HTTP/1."),
    "closed within the headers": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "closed within the body": raw((HEAD + PLACED[:50]).encode()),
    "closed within a chunk": raw((CHUNKED + "ff\r\n" + PLACED[:50]).encode()),
    "closed before the last chunk": raw((CHUNKED + f"{len(PLACED):x}\r\n{PLACED}\r\n").encode()),
    "cut without a length": raw(f"HTTP/1.1 200 OK\r\n\r\n{PLACED[:-3]}".encode()),
    "cut XML": reply(PLACED[:-3]),
    "not HTTP": raw(b"\x00\x01\x02\r\n\r\n"),
    "bad compression": reply(PLACED, "200 OK", "Content-Encoding: gzip"),
    "empty": reply(""),
}


@pytest.mark.parametrize("name", UNKNOWN_AFTER)
def test_a_fault_after_sending_leaves_the_outcome_unknown_and_is_never_sent_again(name: str) -> None:
    with ScriptedServer(UNKNOWN_AFTER[name], reply(PLACED)) as server:
        error = order(server)
    assert type(error) is OutcomeUnknownError
    assert len(server.requests) == 1
    assert_free_of_the_key(error)


TRICKLES: dict[str, Step] = {
    "silence": hang(),
    "status line": trickle(HEAD.encode()),
    "headers": trickle(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: 1\r\n" * 99),
    "body": trickle((HEAD + PLACED).encode()),
    "body after quick headers": lambda sock: raw(HEAD.encode())(sock) or trickle(PLACED.encode())(sock),
    "chunks": trickle((CHUNKED + "1\r\n<\r\n" * 99).encode()),
}


@pytest.mark.parametrize("name", TRICKLES)
def test_a_call_ends_at_its_deadline_however_the_answer_trickles(name: str) -> None:
    with ScriptedServer(TRICKLES[name]) as server:
        started = time.monotonic()
        error = order(server, timeout=0.4)
        took = time.monotonic() - started
    assert type(error) is OutcomeUnknownError
    assert "within 0.4 s" in str(error)
    assert 0.3 < took < 3
    assert len(server.requests) == 1


def test_a_late_first_byte_does_not_buy_the_rest_a_new_timeout() -> None:
    def late(sock: socket.socket) -> bool:
        time.sleep(1.6)
        sock.sendall(HEAD.encode())
        return hang()(sock)

    with ScriptedServer(late) as server:
        started = time.monotonic()
        assert type(order(server, timeout=2.0)) is OutcomeUnknownError
        assert time.monotonic() - started < 3.2


def test_the_body_of_a_redirect_is_not_waited_for() -> None:
    def endless(sock: socket.socket) -> bool:
        sock.sendall(f"HTTP/1.1 {REDIRECT[0]}\r\n{REDIRECT[1]}\r\nContent-Length: 99\r\n\r\n".encode())
        return hang()(sock)

    with ScriptedServer(endless) as server:
        assert order(server, timeout=1.0).status == 307
    assert len(server.requests) == 1


def test_an_answer_that_is_too_large_is_not_read_to_its_end() -> None:
    bomb = gzip.compress(b"<result>" + b" " * (provider_http.MAX_BODY + 1) + b"</result>")
    with ScriptedServer(reply(bomb, "200 OK", "Content-Encoding: gzip")) as server:
        error = order(server)
    assert type(error) is OutcomeUnknownError
    assert "larger" in str(error)


def test_a_list_of_all_orders_that_there_ever_were_is_read() -> None:
    """Of an account that has ordered for years from a provider that leaves nothing out."""
    record = "<imeis><id>{0}</id><imei>{1}</imei><status>Completed</status><code>{2}</code></imeis>"
    count, text = 40_000, "Model: iPhone 13<br />Find My iPhone: OFF<br />" * 10
    listed = "".join(record.format(number, 350000000000000 + number, escape(text)) for number in range(1, count + 1))
    assert len(listed) > provider_http.MAX_BODY
    page = gzip.compress(f"<result>{listed}</result>".encode())
    with ScriptedServer(reply(page, "200 OK", "Content-Encoding: gzip")) as server, client_of(server, 30) as client:
        found = client.list_recent_orders()
    assert [order.id for order in found] == [str(number) for number in range(1, count + 1)]
    assert {order.code for order in found} == {text}


def test_a_refused_connection_is_certain_not_to_have_been_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = at(f"http://127.0.0.1:{port}")
    with pytest.raises(NotSentError) as caught:
        client.place_imei_order(IMEI, "7")
    assert type(caught.value) is NotSentError
    assert_free_of_the_key(caught.value)


def test_a_name_that_does_not_resolve_is_certain_not_to_have_been_sent() -> None:
    client = at("https://nowhere.invalid")
    with pytest.raises(NotSentError):
        client.place_imei_order(IMEI, "7")


def test_a_connection_that_nobody_accepts_in_time_is_certain_not_to_have_been_sent() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            client = at(f"http://127.0.0.1:{port}", connect_timeout=0.2)
            with pytest.raises(NotSentError):
                client.place_imei_order(IMEI, "7")


def no_tls(sock: socket.socket) -> bool:
    sock.recv(10)
    return raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")(sock)


@pytest.mark.parametrize("on_accept", [no_tls, reset, raw(b""), hang(2.0)])
def test_a_failed_handshake_is_certain_not_to_have_been_sent(on_accept: Step) -> None:
    with ScriptedServer(reply(PLACED), on_accept=on_accept) as server:
        url = server.url.replace("http:", "https:")
        client = at(url, 2, connect_timeout=0.3)
        with pytest.raises(NotSentError):
            client.place_imei_order(IMEI, "7")
    assert server.requests == []


@pytest.fixture
def certificate(tmp_path: Path, require: Callable[[str], NoReturn]) -> Path:
    return make_certificate(tmp_path, require)


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    return server_context(certificate)


def test_an_untrusted_certificate_is_certain_not_to_have_been_sent(tls: ssl.SSLContext) -> None:
    with ScriptedServer(reply(PLACED), tls=tls) as server:
        assert type(order(server)) is NotSentError
    assert server.requests == []


def test_a_tls_error_after_the_body_leaves_the_outcome_unknown(tls: ssl.SSLContext, certificate: Path) -> None:
    def garble(sock: socket.socket) -> bool:
        with socket.socket(fileno=sock.detach()) as plain:
            plain.sendall(b"this is no TLS record, but the order may be placed")
        return False

    with ScriptedServer(reply(PLACED), garble, tls=tls) as server:
        client = client_of(server, ca_file=str(certificate))
        assert client.place_imei_order(IMEI, "7").orders
        with pytest.raises(OutcomeUnknownError):
            client.place_imei_order(IMEI, "7")
        client.close()
    assert len(server.requests) == 2


@pytest.mark.parametrize("step", [trickle((HEAD + PLACED).encode()), hang()])
def test_the_deadline_holds_over_tls(step: Step, tls: ssl.SSLContext, certificate: Path) -> None:
    with ScriptedServer(step, tls=tls) as server, client_of(server, 0.5, ca_file=str(certificate)) as client:
        started = time.monotonic()
        with pytest.raises(OutcomeUnknownError):
            client.place_imei_order(IMEI, "7")
        assert time.monotonic() - started < 4


def test_connections_are_reused_and_replaced_when_the_server_closed_them() -> None:
    with ScriptedServer(reply(PLACED)) as server, client_of(server) as client:
        for _ in range(3):
            client.place_imei_order(IMEI, "7")
        assert server.connections == 1
        server.drop_connections()
        client.place_imei_order(IMEI, "7")
        assert server.connections == 2
    assert len(server.requests) == 4


def test_a_connection_that_rested_too_long_is_not_trusted_with_money(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_http, "IDLE_LIMIT", 0.05)
    with ScriptedServer(reply(PLACED)) as server, client_of(server) as client:
        client.place_imei_order(IMEI, "7")
        time.sleep(0.1)
        client.place_imei_order(IMEI, "7")
    assert [request.connection for request in server.requests] == [1, 2]


@pytest.mark.parametrize("is_connected", [False, True])
def test_a_call_whose_time_has_passed_is_not_sent(is_connected: bool) -> None:
    """The process was stopped between its last look and the call."""
    with ScriptedServer(reply(PLACED)) as server, client_of(server) as client:
        if is_connected:
            client.place_imei_order(IMEI, "7")
        with provider_http.sending_by(provider_http.uptime() - 0.001), pytest.raises(NotSentError, match="stopped"):
            client.place_imei_order(IMEI, "7")
        with provider_http.sending_by(provider_http.uptime() + 10):
            client.place_imei_order(IMEI, "7")
    assert len(server.requests) == 1 + is_connected


def test_a_call_is_not_sent_by_a_machine_that_slept_just_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual clock stands still meanwhile."""
    began = provider_http.uptime()
    with (
        ScriptedServer(reply(PLACED)) as server,
        client_of(server) as client,
        provider_http.sending_by(began + 10),
        pytest.raises(NotSentError, match="stopped"),
    ):
        monkeypatch.setattr(time, "clock_gettime", lambda clock: began + 60 * (clock == time.CLOCK_BOOTTIME))
        client.place_imei_order(IMEI, "7")
    assert server.requests == []


def test_thirty_threads_share_the_client_without_mixing_answers_or_leaking_threads() -> None:
    together = threading.Barrier(30)

    def slow(sock: socket.socket) -> bool:
        together.wait(timeout=10)
        return reply(PLACED)(sock)

    def work() -> None:
        for _ in range(3):
            answers.append(client.place_imei_order(IMEI, "7").orders[0].imei)

    answers: list[str] = []
    with ScriptedServer(slow) as server, client_of(server, timeout=20) as client:
        before = threading.active_count()
        threads = [threading.Thread(target=work) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        assert threading.active_count() - before <= server.connections
    assert answers == [IMEI] * 90
    assert len(server.requests) == 90
    assert server.connections == 30


def test_the_surroundings_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with ScriptedServer(reply(PLACED, "200 OK", "Set-Cookie: a=b")) as server, client_of(server) as client:
        for _ in range(2):
            client.place_imei_order(IMEI, "7")
    heads = " ".join(request.head for request in server.requests).lower()
    assert "cookie" not in heads
    assert "authorization" not in heads
