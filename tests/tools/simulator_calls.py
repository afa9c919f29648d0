"""Calls to the simulated provider as a client makes them, and a clock that a test moves."""

import heapq
import subprocess
from collections.abc import Callable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import requests

from simulator.server import Simulator

API = "/gsmfusion_api/index.php"
PATH = API.encode()
SERVICE = "1739"
A, B, C, D = "353209110000007", "353209110000015", "353209110000023", "353209110000031"


class Clock:
    """A clock that stands still until it is moved, and the work that was scheduled on it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []  #: a heap: moment, order of scheduling, work
        self._scheduled = 0

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        """Schedule work, to be done by work_until()."""
        self._scheduled += 1
        heapq.heappush(self._due, (self.now + seconds, self._scheduled, step))

    def work_until(self, until: float) -> None:
        """Do the scheduled work that is due by this moment, each part at its own time."""
        now = self.now
        while self._due and self._due[0][0] <= until:
            self.now, _, step = heapq.heappop(self._due)
            step()
        self.now = now


def post(simulator: Simulator, action: str, /, timeout: float = 10.0, **fields: str) -> requests.Response:
    """The HTTP answer to one call with the right credentials, over a connection of its own."""
    form = {"apiKey": "DEMO-KEY", "userId": "demo", "action": action, **fields}
    return requests.post(simulator.base_url + API, data=form, timeout=timeout)


def ask(simulator: Simulator, action: str, **fields: str) -> Element:
    """The root element of the answer."""
    return ElementTree.fromstring(post(simulator, action, 10.0, **fields).content)


def place(simulator: Simulator, *imeis: str, service: str = SERVICE) -> Element:
    return ask(simulator, "placeorder", imei=",".join(imeis), networkId=service)


def named(root: Element) -> list[str | None]:
    return [order.findtext("imei") for order in root.iter("imeis")]


def charged(simulator: Simulator) -> list[str]:
    return [charge.imei for charge in simulator.charges()]


def error(root: Element) -> str | None:
    return root.text if root.tag == "error" else None


def statuses(simulator: Simulator, **fields: str) -> list[str | None]:
    return [order.findtext("status") for order in ask(simulator, "getimeis", **fields).iter("imeis")]


def raw_request(body: bytes = b"", headers: bytes = b"", path: bytes = PATH) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s" % (path, len(body), headers, body)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def listed(simulator: Simulator, what: str = "imei") -> list[str | None]:
    """One field of each order on the list of recent orders."""
    return [order.findtext(what) for order in ask(simulator, "getimeis").iter("imeis")]
