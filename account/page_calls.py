"""What pages may ask the provider, counted by all web processes together, so that opening pages never takes the
calls of a limit that orders and results live on.

The counts and the list of orders lie in the settings table. This module knows no HTTP and no Flask; it is given
functions that ask.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from math import ceil
from typing import TypeVar

from database import IMEIDatabase
from gsm_fusion_client import GSMFusionAPIError, NotSentError
from orders import IMEIOrder
from submission import KEPT, MINUTE, SLACK

Answer = TypeVar("Answer")

#: Seconds for which the provider's list of orders, read for a person, or its failure, is not asked for again.
LIST_KEPT = 30.0
#: Names in the settings table.
CALLS, LISTED = "page_calls", "page_list"


class AskedOftenError(NotSentError):
    """Pages have made all calls of this minute: nothing was sent, and it says nothing about the provider."""


class PageCalls:
    """The calls of a minute that are left to pages; with no limit there is nothing to count."""

    def __init__(self, database: IMEIDatabase, limit: int | None, clock: Callable[[], float] = time.time) -> None:
        """limit is calls a minute to the provider in all."""
        self._database = database
        self._most = None if limit is None else max(1, min(KEPT, limit // 2))
        self._clock = clock

    def counted(self, fetch: Callable[[], Answer]) -> Callable[[], Answer]:
        """The same question, which raises AskedOftenError instead when it is not its turn."""

        def ask() -> Answer:
            if self._most is not None:
                self._database.change_setting(CALLS, self._take)
            return fetch()

        return ask

    def _take(self, stored: str | None) -> str:
        now = self._clock()
        made = [at for at in json.loads(stored or "[]") if is_young(at, now, MINUTE + SLACK)]
        if self._most is not None and len(made) >= self._most:
            wait = ceil(made[-self._most] + MINUTE + SLACK - now)
            raise AskedOftenError(f"Pages have made their calls of this minute; the next is free in {wait} s.")
        return json.dumps([*made, now])


class RecentOrders:
    """The provider's list of orders as pages show it: read at most every LIST_KEPT seconds, by any process."""

    def __init__(
        self,
        database: IMEIDatabase,
        fetch: Callable[[], list[IMEIOrder]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self) -> list[IMEIOrder]:
        """The list without result texts. Raises GSMFusionAPIError as the last question did."""
        with self._lock:
            known = json.loads(self._database.get_setting(LISTED) or "{}")
            if not is_young(float(known.get("at", 0)), self._clock(), LIST_KEPT):
                known = self._ask()
        if known["error"]:
            raise GSMFusionAPIError(known["error"])
        return [IMEIOrder(**order) for order in known["orders"]]

    def _ask(self) -> dict[str, object]:
        orders, error = list[IMEIOrder](), ""
        try:
            orders = self._fetch()
        except AskedOftenError:
            raise
        except GSMFusionAPIError as failure:
            error = str(failure) or "The provider could not be asked."
        known = {"at": self._clock(), "error": error, "orders": [asdict(replace(order, code="")) for order in orders]}
        self._database.set_setting(LISTED, json.dumps(known))
        return known


def is_young(at: float, now: float, seconds: float) -> bool:
    """Whether at (Unix time) was less than so many seconds ago. What lies ahead was written by a wrong clock."""
    return 0 <= now - at < seconds
