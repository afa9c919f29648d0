"""A provider without a socket, a clock that stands still, and a wire on which each call waits to be let through.

With these the real submission system is driven step by step: nothing happens unless the test says so, and the same
steps give the same run.
"""

import queue
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn

from gsm_fusion_client import (
    Keep,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
)
from orders import Account, IMEIOrder, PlacementAnswer, ServiceInfo
from production_submission_system import ProductionSubmissionSystem
from provider import parse_account, parse_asked_orders, parse_placement, parse_recent_orders, parse_services
from simulator.knobs import Fault, Knobs, spoiled_reply
from simulator.ledger import Charge, Ledger
from simulator.provider import Provider

#: It is certain that nothing was placed.
TURNED_AWAY = ("not connected", "429", "maintenance", "auth", "withdrawn")
#: The answer is wrong or unreadable.
SPOILED = ("truncated", "two_roots", "html200", "empty", "fewer", "more", "foreign", "repeated", "repeated_ids",
           "last_id")  # fmt: skip
#: No answer: before the charge, after it, or the charge comes after the client has given up.
SILENT = ("lost before", "lost after", "late")
#: Error texts with which a provider stops in the middle of a list; the IMEIs before were placed.
STOPS = ("Credit has been finished!", "Invalid IMEI: {imei}", "IMEI already exists!", "A new sentence!")
#: Where a process may die inside one call.
DEATHS = ("before it is sent", "before it is kept", "after it is kept")


def _never(seconds: float, step: Callable[[], None]) -> NoReturn:
    """Fail: no knob of a model lets a call take time."""
    raise AssertionError(f"work was scheduled after {seconds} s: {step}")


class Killed(BaseException):
    """The process dies here: nothing after this line happens."""


@dataclass
class Clock:
    """A clock that the test moves, in seconds."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Wire(Executor):
    """Calls that were given to a worker; each waits until the test lets it through."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.waiting: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        self.waiting.append((fn, args))
        return Future()

    def let_through(self, index: int = 0) -> None:
        """Make the call: it returns, or raises Killed."""
        call, args = self.waiting.pop(index)
        for moment in args[1:]:
            self.clock.now = max(self.clock.now, moment)
        call(*args)


@dataclass
class Disturbance:
    """The fault of the next call."""

    fault: str = ""
    words: str = ""  #: the provider stops with these
    placed: int = 0  #: IMEIs of a list that were placed before it stopped
    delay: float = 1.0  #: seconds until a late call is charged
    death: str = ""


@dataclass
class Late:
    """A call that the provider still works on after its caller gave up."""

    due: float
    imeis: tuple[str, ...]
    service_id: str


@dataclass
class Model:
    """The provider: the simulator's ledger and answers, on the test's clock."""

    knobs: Knobs
    clock: Clock
    next: Disturbance = field(default_factory=Disturbance)
    late: list[Late] = field(default_factory=list)
    calls: int = 0
    list_is_down: bool = False

    def __post_init__(self) -> None:
        self.provider = Provider(self.knobs, Ledger(None), self.clock, 1, _never)

    @property
    def charges(self) -> list[Charge]:
        return self.provider.ledger.charges

    def place(self, imeis: Sequence[str], service_id: str) -> str:
        """Charge, and answer with XML."""
        self.calls += 1
        if not imeis:
            return "<result></result>"
        answers: list[str] = []
        self.provider.begin({"imei": ",".join(imeis), "networkId": service_id}, self.calls, answers.append)
        return answers[0]

    def pass_time(self, seconds: float) -> None:
        """Let time pass; what is due meanwhile is charged at its moment."""
        end = self.clock.now + seconds
        for late in sorted((late for late in self.late if late.due <= end), key=lambda late: late.due):
            self.clock.now = max(self.clock.now, late.due)
            self.late.remove(late)
            self.place(late.imeis, late.service_id)
        self.clock.now = end


class ModelClient:
    """The client of the loop: it parses bytes as the real client does. before_send gets the IMEIs of each paid call."""

    def __init__(self, model: Model, before_send: Callable[[Sequence[str]], None]) -> None:
        self.model = model
        self.before_send = before_send

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Keep | None = None, **fields: str
    ) -> PlacementAnswer:
        imeis = [imei] if isinstance(imei, str) else list(imei)
        self.before_send(imeis)
        wrong, self.model.next = self.model.next, Disturbance()
        if wrong.death == DEATHS[0]:
            raise Killed
        raw = self._answer(wrong, imeis, network_id)
        if wrong.death == DEATHS[1]:
            raise Killed
        if keep is not None:
            keep(raw)
        if wrong.death == DEATHS[2]:
            raise Killed
        return parse_placement(raw)

    def _answer(self, wrong: Disturbance, imeis: list[str], service_id: str) -> bytes:
        model, fault = self.model, wrong.fault
        if fault == "not connected":
            raise NotSentError("The provider cannot be reached.")
        if fault == "429":
            raise RateLimitedError("The provider asks for fewer calls (HTTP 429).", retry_after=1.0)
        if fault == "late":
            model.late.append(Late(model.clock() + wrong.delay, tuple(imeis), service_id))
        if fault in ("late", "lost before"):
            raise OutcomeUnknownError("No answer came.")
        if fault in TURNED_AWAY:
            return _spoiled(fault, "")
        if wrong.words:
            placed = min(wrong.placed, len(imeis) - 1)
            model.place(imeis[:placed], service_id)
            return f"<error>{wrong.words.format(imei=imeis[placed])}</error>".encode()
        xml = model.place(imeis, service_id)
        if fault == "lost after":
            raise OutcomeUnknownError("No answer came.")
        return _spoiled(fault, xml) if fault else xml.encode()

    def list_recent_orders(self) -> list[IMEIOrder]:
        if self.model.list_is_down:
            raise OutcomeUnknownError("No answer came.")
        return parse_recent_orders(self.model.provider.answer("getimeis", {}).encode())

    def get_imei_orders(self, order_ids: str | Sequence[str], nothing_else: bool = False) -> list[IMEIOrder]:
        if self.model.list_is_down:
            raise OutcomeUnknownError("No answer came.")
        asked = [order_ids] if isinstance(order_ids, str) else list(order_ids)
        raw = self.model.provider.answer("getimeis", {"orderIds": ",".join(asked)}).encode()
        return parse_asked_orders(raw, asked, nothing_else)

    def get_account(self) -> Account:
        return parse_account(self.model.provider.answer("accountinfo", {}).encode())

    def get_imei_services(self) -> list[ServiceInfo]:
        return list(_services(self.model.provider.answer("imeiservices", {})))


@cache
def _services(xml: str) -> tuple[ServiceInfo, ...]:
    """Read a list of services: the model has the same in almost every test, and it is long."""
    return tuple(parse_services(xml.encode()))


def _spoiled(fault: str, xml: str) -> bytes:
    if fault == "last_id":
        return re.sub(r"<id>\d+(?=.*<id>(\d+))", r"<id>\1", xml).encode()
    known: Fault = fault  # type: ignore[assignment]
    return spoiled_reply(known, xml, Knobs()).body


class Process:
    """One life of the program: the real loop in a thread of its own, which moves only while the test waits for it."""

    def __init__(self, system: ProductionSubmissionSystem) -> None:
        self.system = system
        self.killed = False
        self.has_ended = False
        self.stop = threading.Event()  #: set: the program is asked to end
        self._forward, self._back = queue.SimpleQueue[None](), queue.SimpleQueue[None]()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Let the loop run until it next asks whether it is over."""
        if not self.has_ended:
            self._forward.put(None)
            self._back.get()
        if self._error is not None:
            raise self._error

    def kill(self) -> None:
        """Kill it at once."""
        self.killed = True
        self._forward.put(None)
        self._thread.join()

    def _live(self) -> None:
        self._forward.get()
        try:
            if not self.killed:
                self.system.run(self.stop, self._is_over)
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001  # a thread ends here; the test raises it
            self._error = error
        finally:
            self.has_ended = True
            self._back.put(None)

    def _is_over(self) -> bool:
        self._back.put(None)
        self._forward.get()
        if self.killed:
            raise Killed
        return False
