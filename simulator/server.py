"""A GSM Fusion provider on a loopback socket, with a ledger of every charge: for demo, tests and benchmarks.

One thread serves all connections, and many calls can wait at once. Run it by itself, or inside a test as a context
manager.
"""

import argparse
import asyncio
import dataclasses
import json
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from simulator.demo import DEMO_KEY, DEMO_USERNAME
from simulator.knobs import (
    GATEWAY_TIMEOUT,
    NOBODY,
    Fault,
    HttpReply,
    Knobs,
    changed,
    knob_from_text,
    plain_reply,
    slow_reply,
    spoiled_reply,
)
from simulator.ledger import Charge, Ledger
from simulator.limits import told_wait
from simulator.provider import INVALID_USER, Provider, Receiver, discard
from simulator.wire import HttpConnection, HttpRequest, form_fields

logger = logging.getLogger(__name__)

#: The answer when the simulator itself fails.
FAILURE = HttpReply(b"Internal Server Error", 500, "text/plain")
API_PATH = "/gsmfusion_api/index.php"


@dataclass(slots=True)
class Call:
    """One call of the API as the provider saw it."""

    action: str
    number: int  #: among the calls of this action, from 1
    imeis: int  #: how many were sent, for placeorder
    started: float  #: seconds since 1970
    ended: float | None = None  #: when an answer was ready, the provider's or a proxy's; None while the call waits
    fault: Fault = ""
    status: int = 0  #: HTTP; 0 while the call waits, or if no answer was sent


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A call that is being answered, with the knobs as they were when it arrived."""

    call: Call
    connection: HttpConnection
    fields: Mapping[str, str]
    knobs: Knobs


class Simulator:
    """The provider, serving from construction until close(). Raises OSError if port or ledger is taken.

    Changes by set() and the HTTP controls take effect at once: GET and POST /control (JSON), POST /complete,
    GET /ledger and /calls (both with ?since=N), GET /whoami.
    """

    def __init__(
        self,
        knobs: Knobs | None = None,
        ledger: Path | None = None,
        port: int = 0,
        credentials: tuple[str, str] = (DEMO_KEY, DEMO_USERNAME),
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._socket = socket.create_server(("127.0.0.1", port), backlog=512)
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        try:
            self._ledger = Ledger(ledger)
        except (OSError, ValueError):
            self._socket.close()
            raise
        self._loop = asyncio.new_event_loop()
        self._provider = Provider(knobs or Knobs(), self._ledger, clock, seed, self._loop.call_later)
        self._credentials, self._clock = credentials, clock
        self._calls: list[Call] = []
        self._numbers: Counter[str] = Counter()
        self._connections: set[HttpConnection] = set()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="simulator", daemon=True)
        self._thread.start()
        started.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        return int(self.base_url.rsplit(":", 1)[1])

    def set(self, **knobs: Any) -> None:
        """Change knobs, all or none. Raises TypeError for a wrong name, ValueError for a wrong value."""
        self._provider.change(knobs)

    def knobs(self) -> Knobs:
        """Return the knobs; credit is what is left now."""
        return self._provider.current()

    def charges(self) -> list[Charge]:
        """Return every charge so far, oldest first."""
        return list(self._ledger.charges)

    def calls(self) -> list[Call]:
        """Return every call of the API so far, also those that still wait, in order of arrival."""
        return list(self._calls)

    def balance(self) -> float:
        """Return the US dollars left; never from a copy, as the answer to accountinfo may be."""
        return self._provider.balance()

    def order_elsewhere(self, imei: str, service_id: str) -> int:
        """Place and charge an order as another program on the account does, with call number 0; return its id."""
        return self._provider.order_elsewhere(imei, service_id)

    def complete(self) -> None:
        """Give every order placed until now its result."""
        self._provider.complete()

    def close(self) -> None:
        """Stop at once, as a crash would: calls that wait get no answer, and work that is not done is lost."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._ledger.close()

    def _serve(self, started: threading.Event) -> None:
        self._loop.run_until_complete(
            self._loop.create_server(
                lambda: HttpConnection(self.receive, self._connections), sock=self._socket, backlog=512
            )
        )
        started.set()
        self._loop.run_forever()
        self._socket.close()
        for connection in list(self._connections):
            connection.transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def receive(self, request: HttpRequest, connection: HttpConnection) -> None:
        """Answer one request, now or after the latency."""
        if urlsplit(request.target).path == API_PATH:
            self._receive_call(request, connection)
        else:
            connection.send(self._control(request))

    def _receive_call(self, request: HttpRequest, connection: HttpConnection) -> None:
        fields = form_fields(request.content_type, request.body)
        action, imeis = fields.get("action", ""), fields.get("imei", "")
        self._numbers[action] += 1
        call = Call(action, self._numbers[action], imeis.count(",") + 1 if imeis else 0, self._clock())
        self._calls.append(call)
        knobs = self._provider.knobs
        exchange = _Exchange(call, connection, fields, knobs)
        if (fields.get("apiKey"), fields.get("userId")) != self._credentials:
            return self._finish(exchange, plain_reply(INVALID_USER))
        if wait := self._provider.limited(action):
            seconds = math.ceil(told_wait(knobs.retry_after_told, wait)) if knobs.retry_after else None
            return self._finish(exchange, HttpReply(b"Too Many Requests", 429, "text/plain", retry_after=seconds))
        call.fault = self._provider.fault_for(action, call.number)
        if action == "placeorder":
            return self._schedule_order(exchange)
        return self._after(knobs.read_latency, partial(self._try, exchange, partial(self._read, exchange)))

    def _read(self, exchange: _Exchange) -> None:
        self._answer(exchange, self._provider.answer(exchange.call.action, exchange.fields))

    def _schedule_order(self, exchange: _Exchange) -> None:
        """Charge before or after the latency, or later than a fault, whether the client is still connected or not."""
        call, knobs = exchange.call, exchange.knobs
        delay = knobs.latency + knobs.jitter * self._provider.chance(call.number, "jitter")
        when = knobs.fault_when if call.fault else ""
        answer, refuse = partial(self._answer, exchange), partial(self._answer, exchange, NOBODY)
        if when == "later":
            self._begin(exchange, discard, knobs.create_after)
            refuse()
        elif when == "before":
            self._after(delay, refuse)
        elif knobs.charge_when == "arrival":
            self._begin(exchange, lambda xml: self._after(delay, partial(answer, xml)))
        else:
            self._after(delay, partial(self._begin, exchange, answer))
        if knobs.gateway_timeout and call.ended is None:
            self._loop.call_later(knobs.gateway_timeout, self._finish, exchange, GATEWAY_TIMEOUT)

    def _begin(self, exchange: _Exchange, receive: Receiver, after: float = 0.0) -> None:
        begin = partial(self._provider.begin, exchange.fields, exchange.call.number, receive, after)
        self._try(exchange, begin)

    def _try(self, exchange: _Exchange, work: Callable[[], None]) -> None:
        """Do the work of a call; answer 500 if it fails."""
        try:
            work()
        except Exception:  # the request ends here; the client must not wait for ever
            logger.exception("A %s call failed", exchange.call.action)
            self._finish(exchange, FAILURE)

    def _answer(self, exchange: _Exchange, xml: str) -> None:
        fault, knobs = exchange.call.fault, exchange.knobs
        reply = spoiled_reply(fault, xml, knobs) if fault else plain_reply(xml, knobs.quirks)
        is_listing = exchange.call.action == "getimeis" and exchange.fields.get("orderIds", "0") in ("", "0")
        self._finish(exchange, slow_reply(reply, knobs) if is_listing else reply)

    def _after(self, seconds: float, step: Callable[[], None]) -> None:
        """Do this after these seconds; at once, without a turn of the event loop, if they are 0."""
        if seconds:
            self._loop.call_later(seconds, step)
        else:
            step()

    def _finish(self, exchange: _Exchange, reply: HttpReply) -> None:
        """Send the answer of a call, unless a proxy has answered before."""
        call = exchange.call
        if call.ended is not None:
            return
        call.status = 0 if reply.manner in ("hang", "close", "reset") else reply.status
        call.ended = self._clock()  # last: a test that sees it reads a complete call
        exchange.connection.send(reply)

    def _control(self, request: HttpRequest) -> HttpReply:
        """Return the answer to a path that the real provider does not have."""
        target = urlsplit(request.target)
        since_text = dict(parse_qsl(target.query)).get("since", "0")
        if not since_text.isdecimal():
            return _json_reply({"error": "since must be a number"}, 400)
        since = int(since_text)
        match (request.method, target.path):
            case ("GET", "/ledger"):
                return _json_reply(self._ledger_summary(since))
            case ("GET", "/calls"):
                return _json_reply([dataclasses.asdict(call) for call in self._calls[since:]])
            case ("GET", "/whoami"):
                return _json_reply({"pid": os.getpid()})
            case ("GET", "/control"):
                return _json_reply(dataclasses.asdict(self.knobs()))
            case ("POST", "/control"):
                return self._control_change(request.body)
            case ("POST", "/complete"):
                self.complete()
                return _json_reply({"orders": len(self._ledger.charges)})
        return _json_reply({"error": "no such page"}, 404)

    def _control_change(self, body: bytes) -> HttpReply:
        try:
            self.set(**json.loads(body))
        except (TypeError, ValueError) as error:
            return _json_reply({"error": str(error)}, 400)
        return _json_reply(dataclasses.asdict(self.knobs()))

    def _ledger_summary(self, since: int) -> dict[str, Any]:
        charges = self._ledger.charges
        return {
            "charges": [charge._asdict() for charge in charges[since:]],
            "total": len(charges),
            "credits": round(sum(charge.credits for charge in charges), 2),
            "calls": self._numbers["placeorder"],
        }


def _json_reply(value: object, status: int = 200) -> HttpReply:
    return HttpReply(json.dumps(value).encode(), status, "application/json")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT, SIGTERM or, if asked to, the end of standard input."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    announce, tied = options.pop("announce"), options.pop("until_stdin_closes")
    given = {field.name: options.pop(field.name) for field in dataclasses.fields(Knobs)}
    try:
        knobs = {name: knob_from_text(name, text) for name, text in given.items() if text is not None}
        simulator = Simulator(changed(Knobs(), knobs), **options)
    except (OSError, TypeError, ValueError) as error:
        parser.exit(1, f"The provider did not start: {error}\n")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with simulator:
        if announce:
            _announce(announce, simulator.port)
        print(simulator.base_url, flush=True)
        if tied:
            threading.Thread(target=_await_end_of_input, args=(stop,), daemon=True).start()
        stop.wait()
    return 0


def _await_end_of_input(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A GSM Fusion provider on loopback; nothing is charged.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path, help="file that remembers the charges")
    parser.add_argument("--announce", type=Path, help="file that gets the port and the pid, as JSON")
    parser.add_argument("--until-stdin-closes", action="store_true")
    for field in dataclasses.fields(Knobs):
        parser.add_argument(f"--{field.name.replace('_', '-')}", help=f"a knob, as JSON ({field.default!r})")
    return parser


def _announce(path: Path, port: int) -> None:
    """Write the file in one step, so that no reader sees half of it."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps({"port": port, "pid": os.getpid()}))
    draft.replace(path)
