"""A server of PostgreSQL behind links that can be cut: it runs in a network namespace, and each client has a link.

Packets are lost in silence, in both directions or only those of the server: then a commit arrives, and nobody hears
that it did. It needs root, and a kernel that allows it.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gunicorn_server import free_port
from postgresql_cluster import new_data, start_server

#: A range of addresses for tests of networks (RFC 2544), and a link address that nobody has.
NETWORK, NOBODY = "198.18", "02:00:00:00:00:01"
#: The ends of a link.
OUTSIDE, INSIDE = 1, 2


def why_not() -> str:
    """Return why links cannot be made here; "": they can."""
    try:
        with CutNetwork(1).opened():
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the kernel allows no network namespaces here: {error}"


@dataclass(frozen=True)
class CutNetwork:
    """A namespace with a number of links to it."""

    links: int

    @property
    def name(self) -> str:
        return f"hammer{os.getpid()}"

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Make the namespace and its links, and remove them at the end."""
        _ip("netns", "add", self.name)
        try:
            for link in range(self.links):
                outer, inner = self._ends(link)
                _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self.name)
                for end, place, inside in ((outer, OUTSIDE, ()), (inner, INSIDE, ("-n", self.name))):
                    _ip(*inside, "address", "add", f"{address(link, place)}/30", "dev", end)
                    _ip(*inside, "link", "set", end, "up")
            yield
        finally:  # a link that went with its namespace would be there for a moment longer
            for link in range(self.links):
                subprocess.run(["ip", "link", "delete", self._ends(link)[0]], check=False, capture_output=True)
            _ip("netns", "delete", self.name)

    def cut(self, link: int, only_replies: bool = False) -> None:
        """Lose every packet of a link, or only those that the server sends."""
        outer, inner = self._ends(link)
        lost = ("lladdr", NOBODY, "nud", "permanent")
        _ip("-n", self.name, "neighbour", "replace", address(link, OUTSIDE), "dev", inner, *lost)
        if not only_replies:
            _ip("neighbour", "replace", address(link, INSIDE), "dev", outer, *lost)

    def mend(self, link: int) -> None:
        """Let packets pass again."""
        outer, inner = self._ends(link)
        _ip("-n", self.name, "neighbour", "flush", "dev", inner, "nud", "permanent")
        _ip("neighbour", "flush", "dev", outer, "nud", "permanent")

    def _ends(self, link: int) -> tuple[str, str]:
        return f"h{os.getpid()}-{link}", f"s{os.getpid()}-{link}"


@contextlib.contextmanager
def server_behind_links(links: int, options: tuple[str, ...]) -> Iterator[tuple[CutNetwork, list[str]]]:
    """Run a server; yield the network, and the address of the database by each link."""
    network, port = CutNetwork(links), free_port()
    with network.opened(), new_data() as data:
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {NETWORK}.0.0/16 trust\n")
        server = start_server(Path(data), port, (*options, "listen_addresses=*"), address(0, INSIDE), network.name)
        try:
            hosts = [address(link, INSIDE) for link in range(links)]
            yield network, [f"postgresql://hammer@{host}:{port}/postgres" for host in hosts]
        finally:
            server.kill()
            server.wait()


def address(link: int, end: int) -> str:
    """Return the address of an end of a link: another one in each process, so that two of them do not disturb."""
    return f"{NETWORK}.{os.getpid() % 256}.{4 * link + end}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
