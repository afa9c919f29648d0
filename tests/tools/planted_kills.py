"""The real program in a process of its own, with a fault planted from outside; the product has no hooks for it.

A plant wraps a function at a seam of the program (the transaction, the call, the answer's file) and ends the process
there as kill -9 would: at once, without a finally. `work` is what `flask submit` runs once its batch is written.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from simulated_provider import account_settings

from database import IMEIDatabase
from gsm_fusion_client import GSMFusionClient
from orders import Chunk
from provider import http as provider_http
from runner import run_or_follow
from settings import Settings
from submission.checkpoints import Checkpoints

#: Processes are forked from one that has imported the program already, which is a hundred times quicker.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    ["planted_kills", "web_worker", "simulator", "gunicorn.app.wsgiapp", "scaled_cluster", "warm_program"]
)

#: IMEIs a call in these processes: what they prove is about calls, and each look at a list costs by the order.
CHUNK = 20


@dataclass(frozen=True)
class Job:
    """One process: which batch it works on, with which provider, and where it dies."""

    data_dir: Path
    base_url: str
    batch_id: int
    plant: str = ""  #: a key of PLANTS; "" for none
    nth: int = 1  #: at the so-manieth call (or intent, answer, commit)
    workers: int = 1
    timeout: float = 5.0  #: seconds a call may take
    quiet: float = 0.2  #: seconds of rest after that
    chunk: int = CHUNK  #: IMEIs a call

    @property
    def settings(self) -> Settings:
        return account_settings(
            self.base_url,
            self.data_dir,
            workers=self.workers,
            chunk_size=self.chunk,
            settle_quiet=self.quiet,
            call_timeout=self.timeout,
        )


def start(job: Job) -> "multiprocessing.context.ForkServerProcess":
    """Let a process work on this job."""
    start_fork_server()
    process = context.Process(target=work, args=(job,), daemon=True)
    process.start()
    return process


def start_fork_server() -> None:
    """Start the process that the others are forked from. It must find our modules before anybody tells it where."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def work(job: Job) -> None:
    """See the batch through as the command line does; SIGTERM asks it to stop."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if job.plant:
        PLANTS[job.plant](_Countdown(job.nth))
    with IMEIDatabase(job.settings.database_path) as database:
        run_or_follow(job.settings, database, job.batch_id, lambda _: None, stop)


class _Countdown:
    """Ends the process at the nth time that it is reached."""

    def __init__(self, times: int) -> None:
        self._left = times
        self._lock = threading.Lock()

    def reached(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left == 0

    def die_if_reached(self) -> None:
        if self.reached():
            die()


def die() -> None:
    """End as kill -9 does: no finally, no flush, no goodbye."""
    os.kill(os.getpid(), signal.SIGKILL)


def _in_transactions(table: str, before: Callable[[], None], after: Callable[[], None]) -> None:
    """Call before and after the commit of each transaction that adds rows to this table."""
    write = IMEIDatabase.write

    @contextmanager
    def watched(self: IMEIDatabase, is_hurried: bool = False) -> Iterator[Any]:
        with write(self, is_hurried) as connection:
            rows = f"SELECT count(*) FROM {table}"
            had = connection.exec_driver_sql(rows).scalar_one()
            yield connection
            grew = connection.exec_driver_sql(rows).scalar_one() > had
            if grew:
                before()
        if grew:
            after()

    IMEIDatabase.write = watched  # type: ignore[method-assign]


def _nothing() -> None:
    pass


def before_intent(countdown: _Countdown) -> None:
    """The nth intent was never committed."""
    _in_transactions("attempts", countdown.die_if_reached, _nothing)


def after_intent(countdown: _Countdown) -> None:
    """The intent of the nth call is on disk, and nothing of the call was sent."""
    place = GSMFusionClient.place_imei_order

    def dying(self: GSMFusionClient, *args: Any, **kwargs: Any) -> Any:
        countdown.die_if_reached()
        return place(self, *args, **kwargs)

    GSMFusionClient.place_imei_order = dying  # type: ignore[method-assign]


def after_send(countdown: _Countdown) -> None:
    """The nth request has left, and no byte of its answer was read."""
    place, listen = GSMFusionClient.place_imei_order, provider_http._Connection.getresponse
    paid = threading.local()

    def marked(self: GSMFusionClient, *args: Any, **kwargs: Any) -> Any:
        paid.call = True
        try:
            return place(self, *args, **kwargs)
        finally:
            paid.call = False

    def dying(self: provider_http._Connection) -> Any:
        if getattr(paid, "call", False):
            countdown.die_if_reached()
        return listen(self)

    GSMFusionClient.place_imei_order = marked  # type: ignore[method-assign]
    provider_http._Connection.getresponse = dying  # type: ignore[method-assign]


def after_answer(countdown: _Countdown) -> None:
    """The nth answer was received, and nothing of it is on disk."""
    _around_keep(countdown.die_if_reached, _nothing)


def in_checkpoint(countdown: _Countdown) -> None:
    """Half of the nth answer's record is on disk."""
    keep, write = Checkpoints.keep, os.write
    torn = threading.local()

    def half(descriptor: int, data: Any) -> int:
        if getattr(torn, "now", False):
            write(descriptor, data[: len(data) // 2])
            die()
        return write(descriptor, data)

    def tearing(self: Checkpoints, chunk: Chunk, raw: bytes) -> None:
        torn.now = countdown.reached()
        keep(self, chunk, raw)

    Checkpoints.keep = tearing  # type: ignore[method-assign]
    os.write = half


def after_checkpoint(countdown: _Countdown) -> None:
    """The nth answer is on disk, and nothing else knows of it."""
    _around_keep(_nothing, countdown.die_if_reached)


def _around_keep(before: Callable[[], None], after: Callable[[], None]) -> None:
    keep = Checkpoints.keep

    def watched(self: Checkpoints, chunk: Chunk, raw: bytes) -> None:
        before()
        keep(self, chunk, raw)
        after()

    Checkpoints.keep = watched  # type: ignore[method-assign]


def before_commit(countdown: _Countdown) -> None:
    """The orders of the nth answer are written, and not committed."""
    _in_transactions("orders", countdown.die_if_reached, _nothing)


def after_commit(countdown: _Countdown) -> None:
    """The orders of the nth answer are committed, and with them the next call's intent, which nobody sends."""
    _in_transactions("orders", _nothing, countdown.die_if_reached)


PLANTS: dict[str, Callable[[_Countdown], None]] = {
    plant.__name__: plant
    for plant in (
        before_intent,
        after_intent,
        after_send,
        after_answer,
        in_checkpoint,
        after_checkpoint,
        before_commit,
        after_commit,
    )
}
