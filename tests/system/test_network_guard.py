"""The guard that keeps in-process tests off the network."""

import socket
from collections.abc import Callable

import pytest
from network_guard import guard_network

from gsm_fusion_client import GSMFusionClient, NotSentError


def place() -> None:
    with GSMFusionClient("KEY", "user", 5) as client:
        client.place_imei_order("350000000000014", "269")


@pytest.mark.parametrize(
    ("reach", "host"),
    [
        (lambda: socket.create_connection(("192.0.2.1", 80), timeout=0.1), "192.0.2.1"),
        (lambda: socket.socket().connect(("192.0.2.1", 80)), "192.0.2.1"),
        (lambda: socket.socket().connect_ex(("192.0.2.1", 80)), "192.0.2.1"),
        (lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80)), "2001:db8::1"),
        (lambda: socket.socket(type=socket.SOCK_DGRAM).connect(("192.0.2.1", 53)), "192.0.2.1"),
        (lambda: socket.getaddrinfo("hammerfusion.com", 443), "hammerfusion.com"),
        (place, "hammerfusion.com"),
    ],
)
def test_an_attempt_to_leave_this_machine_fails_and_is_noted(reach: Callable[[], object], host: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        reached = guard_network(patch)
        with pytest.raises((OSError, NotSentError)):
            reach()
    assert reached == [host]


def test_this_machine_stays_within_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(("localhost", listener.getsockname()[1]), timeout=5).close()
