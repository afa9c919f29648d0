"""What every view may call, made once by the factory and found on the app; and answers remembered for seconds."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from flask import abort, current_app
from werkzeug.routing import IntegerConverter, Map

import account_mark
import batch_older_copy
import batch_queries
import order_queries
from database import IMEIDatabase
from orders import Progress, ProviderOrder
from service_catalog import AccountBalance, ServiceCatalog
from settings import Settings

#: Each stream holds a thread of the server; some threads must stay free for pages and the health probe.
STREAMS_PER_PROCESS = 12

VOLATILE = (
    "No paid orders are placed, because this disk is lost at the next deploy: attach a volume, "
    "or set DATA_DIR to a folder on one."
)
#: No row has a number as high as this, and a table cannot be asked for one much higher.
BEYOND_ROWS = 2**62


class RowNumbers(IntegerConverter):
    """The `<int:…>` of our addresses: what no row can have leads nowhere, as any address that names nothing."""

    def __init__(self, url_map: Map) -> None:
        super().__init__(url_map, max=BEYOND_ROWS - 1)


def row_number(text: str) -> int:
    """A whole number that a table can hold. Raises ValueError."""
    number = int(text)
    if not 0 <= number < BEYOND_ROWS:
        raise ValueError(text)
    return number


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
        """Ask anew the next time."""
        with self._lock:
            self._until = float("-inf")


@dataclass(frozen=True)
class Backend:
    """What the views work with."""

    settings: Settings
    database: IMEIDatabase
    catalog: ServiceCatalog
    account: AccountBalance
    recent_orders: Callable[[], list[ProviderOrder]]  #: asks the provider; raises GSMFusionError
    find_order: Callable[[str], list[ProviderOrder]]  #: asks the provider for one order id; raises GSMFusionError
    stopping: threading.Event  #: set when the process is told to end; streams watch it
    streams: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(STREAMS_PER_PROCESS))
    order_count: Remembered = field(init=False)  #: int, or None while the database cannot be read
    daily: Remembered = field(init=False)
    results: Remembered = field(init=False)
    filter_values: Remembered = field(init=False)

    def __post_init__(self) -> None:
        database = self.database
        object.__setattr__(self, "order_count", Remembered(10, lambda: order_queries.checked_count(database)))
        object.__setattr__(self, "daily", Remembered(30, lambda: order_queries.daily(database)))
        object.__setattr__(self, "results", Remembered(30, lambda: order_queries.result_counts(database)))
        object.__setattr__(self, "filter_values", Remembered(5, lambda: order_queries.filter_values(database)))

    def forget(self) -> None:
        """Ask everything anew that is remembered for seconds."""
        for remembered in (self.order_count, self.daily, self.results, self.filter_values):
            remembered.forget()

    @property
    def uploads(self) -> Path:
        """Where unconfirmed uploads lie."""
        return self.settings.data_dir / "uploads"

    @property
    def may_spend(self) -> bool:
        """Whether orders would survive the next deploy; without that, none is paid for."""
        return self.settings.demo or not self.settings.volatile_disk

    def order_objection(self) -> str:
        """Why nothing may be ordered with this database, whatever it is; "" if it may."""
        return (
            ("" if self.may_spend else VOLATILE)
            or batch_older_copy.objection(self.database)
            or account_mark.objection(self.database, self.settings)
        )


def backend() -> Backend:
    """The backend of the app that answers this request."""
    return cast(Backend, current_app.extensions["backend"])


def batch_or_404(batch_id: int) -> Progress:
    """The batch, or a 404 page that names it."""
    found = batch_queries.progress(backend().database, batch_id)
    if found is None:
        abort(404, f"There is no batch {batch_id}.")
    return found
