"""What pages and commands share: settings, database, the account, and answers of the database kept for seconds.

The factory makes one `Backend` for each app. This module knows no page and no command.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from weakref import WeakValueDictionary

from flask import current_app

from account import AccountBalance, ProviderRequests, ServiceCatalog
from database import IMEIDatabase
from orders import ServiceInfo
from people import Actor
from settings import Settings
from storage import order_queries
from storage.listening import BatchChanges
from submission import (
    NOT_AGAIN,
    Again,
    Means,
    Plan,
    budget_of_day,
    make_plan,
    order_objection,
)

#: Each stream holds a thread of the server (STREAM_THREADS in web_worker.py, a few more than these). One process may
#: get all streams: the kernel gives a connection to whichever process is awake first.
STREAMS_PER_PROCESS = 64


class Remembered:
    """A function's last answer, kept for some seconds."""

    def __init__(self, seconds: float, ask: Callable[[], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._answer: Any = None
        self._until = float("-inf")

    def __call__(self) -> Any:
        with self._lock:
            if self._clock() >= self._until:
                self._answer = self._ask()
                self._until = self._clock() + self._seconds
            return self._answer

    def forget(self) -> None:
        """Ask again the next time."""
        with self._lock:
            self._until = float("-inf")


@dataclass(eq=False)
class Backend:
    """What pages and commands work with; made once by the factory."""

    settings: Settings
    database: IMEIDatabase
    requests: ProviderRequests  #: how questions to the provider are left for the leader
    stopping: threading.Event  #: set when the process is asked to end; streams watch it
    streams: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(STREAMS_PER_PROCESS))
    #: Batch id → what its streams share.
    feeds: WeakValueDictionary[int, Any] = field(default_factory=WeakValueDictionary)
    catalog: ServiceCatalog = field(init=False)
    account: AccountBalance = field(init=False)
    changes: BatchChanges = field(init=False)
    order_count: Remembered = field(init=False)  #: int, or None while the database cannot be read
    daily: Remembered = field(init=False)
    results: Remembered = field(init=False)
    filter_values: Remembered = field(init=False)

    def __post_init__(self) -> None:
        database = self.database
        self.catalog, self.account = ServiceCatalog(self.requests), AccountBalance(self.requests)
        self.changes = BatchChanges(database, self.stopping)
        self.order_count = Remembered(10, lambda: order_queries.checked_count(database))
        self.daily = Remembered(30, lambda: order_queries.daily(database))
        self.results = Remembered(30, lambda: order_queries.result_counts(database))
        self.filter_values = Remembered(5, lambda: order_queries.filter_values(database))

    def forget(self) -> None:
        """Drop every answer that is kept for seconds."""
        for remembered in (self.order_count, self.daily, self.results, self.filter_values):
            remembered.forget()

    @property
    def uploads(self) -> Path:
        """The folder of uploads, with and without a batch."""
        return self.settings.data_dir / "uploads"

    def plan(
        self,
        service: ServiceInfo,
        imeis: Sequence[tuple[str, int | None]],
        actor: Actor,
        again: Again = NOT_AGAIN,
    ) -> Plan:
        """Return what a batch of these IMEIs (with their source rows) would send now, and who would order it."""
        means = Means(self.account.current(), self.daily_budget(), self.order_objection(), actor)
        return make_plan(self.database, service, imeis, means, again)

    def daily_budget(self) -> float | None:
        """Return the US dollars that this UTC day may cost; None: no limit."""
        return budget_of_day(self.database, self.settings)

    def order_objection(self) -> str:
        """Return why nothing may be ordered with this database; "" if it may."""
        return order_objection(self.database, self.settings)


def backend() -> Backend:
    """Return the backend of the app that answers this request."""
    return cast(Backend, current_app.extensions["backend"])
