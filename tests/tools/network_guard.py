"""Keeps the process that runs the tests off the network; child processes are not covered."""

import errno
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest


def guard_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse look-ups of and connections to other machines; return the list in which each attempt is noted.

    The attempt itself fails with an OSError, which a thread or the code under test may swallow: check the list.
    """
    reached: list[str] = []

    def check(host: Any) -> None:
        if not is_this_machine(host):
            reached.append(str(host))
            raise OSError(errno.ENETUNREACH, f"a test reached for {host}")

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def connect(sock: socket.socket, address: Any) -> Any:
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                check(address[0])
            return real(sock, address)

        return connect

    look_up = socket.getaddrinfo

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if str(host).endswith(".invalid"):  # RFC 2606: no such name exists
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        check(host)
        return look_up(host, *args, **kwargs)

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    return reached


def is_this_machine(host: Any) -> bool:
    """Whether a host is loopback; None, "" and unspecified addresses are this machine's own."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ip_address(name).is_loopback or ip_address(name).is_unspecified
    except ValueError:
        return False
