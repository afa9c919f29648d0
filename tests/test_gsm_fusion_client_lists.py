"""The list of recent orders of a slow provider: it is read to its end, and it never holds up the end of a program."""

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from client_calls import KEY, USER, client_of
from scripted_server import ScriptedServer, hang, reply
from tls_certificate import make_certificate, server_context

import gsm_fusion_client
from gsm_fusion_client import (
    ClientOptions,
    GSMFusionAPIError,
    GSMFusionClient,
    NotSentError,
    OutcomeUnknownError,
    SlowProviderError,
)
from provider import Patience, PostSession, Reply, SilentError

COUNT = 400
RECORD = "<imeis><id>{}</id><imei>{}</imei><status>Completed</status><code>Find My iPhone: OFF</code></imeis>"
LIST = "".join(RECORD.format(number, 350000000000000 + number) for number in range(1, COUNT + 1))
PAGE = f"<result>{LIST}</result>".encode()
HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: {len(PAGE)}\r\n\r\n".encode()
TIMEOUT = 1.0
#: Pieces of a list, and seconds before each: in all longer than the timeout of a call, but none of them so long.
PIECES, PAUSE = 12, 0.15


def slowly(sock: socket.socket) -> bool:
    """A list that takes longer than a paid call may take."""
    answer = HEAD + PAGE
    length = len(answer) // PIECES + 1
    for start in range(0, len(answer), length):
        time.sleep(PAUSE)
        sock.sendall(answer[start : start + length])
    return True


def ids(orders: Sequence[Any]) -> list[str]:
    return [order.id for order in orders]


ALL = [str(number) for number in range(1, COUNT + 1)]


def test_a_list_is_read_as_long_as_more_of_it_comes() -> None:
    with ScriptedServer(slowly) as server, client_of(server, TIMEOUT) as client:
        started = time.monotonic()
        assert ids(client.list_recent_orders()) == ALL
        assert time.monotonic() - started > TIMEOUT
    assert len(server.requests) == 1


def test_a_list_is_read_slowly_over_tls_too(tmp_path: Path, require: Callable[[str], NoReturn]) -> None:
    """Bytes that are decrypted and not read yet are not waited for."""
    certificate = make_certificate(tmp_path, require)
    with (
        ScriptedServer(slowly, tls=server_context(certificate)) as server,
        client_of(server, TIMEOUT, ca_file=str(certificate)) as client,
    ):
        assert ids(client.list_recent_orders()) == ALL


def test_orders_that_are_asked_for_by_id_have_the_timeout_of_a_call() -> None:
    too_slow = pytest.raises(OutcomeUnknownError, match="within 1 s")
    with (
        ScriptedServer(slowly) as server,
        GSMFusionClient(KEY, USER, TIMEOUT, 0, ClientOptions(server.url)) as client,
        too_slow,
    ):
        client.get_imei_orders("1")


def test_a_list_of_which_nothing_comes_is_not_asked_for_again_at_once() -> None:
    """The provider may still be at work on it: asked again, it would work twice."""
    silent = pytest.raises(SlowProviderError, match=r"nothing came for 0\.2 s")
    with ScriptedServer(hang()) as server, client_of(server, 0.2) as client, silent:
        client.list_recent_orders()
    assert len(server.requests) == 1


def test_a_list_that_stops_in_the_middle_ends_the_reading() -> None:
    def stops(sock: socket.socket) -> bool:
        sock.sendall(HEAD + PAGE[:1000])
        return hang()(sock)

    with ScriptedServer(stops) as server, client_of(server, 0.3) as client, pytest.raises(SlowProviderError):
        client.list_recent_orders()


def test_a_list_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gsm_fusion_client, "LONGEST_LIST", 0.5)
    endless = pytest.raises(SlowProviderError, match=r"within 0\.5 s")
    with ScriptedServer(slowly) as server, client_of(server, TIMEOUT) as client, endless:
        client.list_recent_orders()


class Turns:
    """Turns that close while a list is read."""

    is_closed = False

    def before_read(self) -> None:
        if self.is_closed:
            raise NotSentError("This program is ending.")

    def read_limited(self, seconds: float) -> None: ...


def test_a_program_that_ends_does_not_wait_for_the_rest_of_a_list() -> None:
    turns = Turns()

    def closes(sock: socket.socket) -> bool:
        sock.sendall(HEAD + PAGE[:1000])
        turns.is_closed = True
        return hang(60.0)(sock)

    with ScriptedServer(closes) as server, client_of(server, 60.0, turns=turns, sleep=lambda _: None) as client:
        started = time.monotonic()
        with pytest.raises(NotSentError):
            client.list_recent_orders()
        assert time.monotonic() - started < 30.0


class Silences:
    """Stands in for the wire: answers after the given seconds of silence, where the request waits that long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.needed = 0.0, 0.0
        self.allowed: list[float] = []
        monkeypatch.setattr(PostSession, "post", self.post)
        monkeypatch.setattr(gsm_fusion_client, "time", SimpleNamespace(monotonic=lambda: self.now))

    def post(self, _form: object, _max_body: int, patience: Patience) -> Reply:
        self.allowed.append(patience.silence)
        self.now += min(self.needed, patience.silence)
        if patience.silence < self.needed:
            raise SilentError("nothing came")
        return Reply(200, "", PAGE)

    def read(self, client: GSMFusionClient, needed: float) -> None:
        self.needed = needed
        try:
            client.list_recent_orders()
        except GSMFusionAPIError:
            pass


def test_each_list_in_vain_lets_the_next_one_be_silent_for_twice_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that needs 400 s to begin is waited for in the third try, and from then on in the first."""
    wire = Silences(monkeypatch)
    with GSMFusionClient("key", "user", 120.0) as client:
        for _ in range(4):
            wire.read(client, needed=400.0)
        assert wire.allowed == [120.0, 240.0, 480.0, 480.0]
        for _ in range(3):
            wire.read(client, needed=5000.0)
        assert wire.allowed[4:] == [480.0, 600.0, 600.0]
        for _ in range(2):
            wire.read(client, needed=1.0)
        assert wire.allowed[7:] == [600.0, 120.0]


def test_a_long_timeout_of_calls_is_the_least_that_a_list_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Silences(monkeypatch)
    with GSMFusionClient("key", "user", 900.0) as client:
        for needed in (5000.0, 1.0, 1.0):
            wire.read(client, needed)
    assert wire.allowed == [900.0, 900.0, 900.0]


def test_a_quick_list_needs_no_patience() -> None:
    with ScriptedServer(reply(PAGE)) as server, client_of(server, TIMEOUT) as client:
        assert ids(client.list_recent_orders()) == ALL
