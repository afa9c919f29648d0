"""Pending orders become results: asked for in lists of ids, understood, and written one answer a transaction.

An id that the answer leaves out stays as it was and is asked for again in smaller lists. A final result is never
overwritten with less. This module decides when and what to ask; it places nothing.
"""

import json
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from database import IMEIDatabase, utc_now
from device_report import read_report
from gsm_fusion_client import GSMFusionError, RefusalKind, RefusedError
from orders import FINAL_STATUSES, OrderStatus, ProviderOrder, until_result
from result_store import PendingOrder, count_pending, pending_orders, reparse_results, store_results

logger = logging.getLogger(__name__)

#: Ids in one call, at first and after an answer that left some out.
LIST_LENGTHS = (100, 10, 1)
#: Seconds after which a fresh order of an instant service is asked for, and between two looks at what is due.
SOONEST = 15.0
#: Seconds after which even the oldest order, or one that the provider does not know, is asked for again.
RAREST = 6 * 3600.0
#: How long the text of an order that is said to be completed may take.
TEXT_PATIENCE = timedelta(days=1)
#: Seconds between two looks whether somebody pressed "sync now".
LOOK = 1.0
#: Names in the settings table: who asked last, whose wish was done last, and what the last round brought.
REQUESTED, DONE, LAST = "sync.requested", "sync.done", "sync.last"


class ResultProvider(Protocol):
    """What the sync needs of gsm_fusion_client.GSMFusionClient."""

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[ProviderOrder]: ...


@dataclass(frozen=True, slots=True)
class SyncReport:
    """One round: how many orders were asked for, came back changed, and are still pending."""

    asked: int
    updated: int
    pending: int
    error: str = ""
    calls: int = 0
    at: float = 0.0  #: Unix time of its end


class OrderSync:
    """Asks for pending orders when they are due, and for all of them when somebody wishes so."""

    def __init__(
        self,
        database: IMEIDatabase,
        client: ResultProvider,
        interval: float,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """interval in seconds is AUTO_SYNC_INTERVAL; with 0 only wishes are granted."""
        self.database = database
        self.client = client
        self.interval = interval
        self._clock = clock
        self._asked: dict[str, datetime] = {}  #: when an order was last asked for
        self._unknown: set[str] = set()  #: orders that the provider left out even when asked for alone
        self._calls = 0

    def run(self, stop: threading.Event) -> None:
        """Sync until stop is set."""
        next_round = time.monotonic() + min(SOONEST, self.interval)
        while not stop.wait(LOOK):
            try:
                wish = self.database.get_setting(REQUESTED)
                if wish is not None and wish != self.database.get_setting(DONE):
                    self.sync(stop=stop)
                    self.database.set_setting(DONE, wish)
                elif self.interval and time.monotonic() >= next_round:
                    next_round = time.monotonic() + min(SOONEST, self.interval)
                    self.sync(only_due=True, stop=stop)
            except Exception:  # a thread ends here; the next round tries again
                logger.exception("A sync round failed")
                next_round = time.monotonic() + (self.interval or RAREST)

    def sync(self, only_due: bool = False, stop: threading.Event | None = None) -> SyncReport:
        """Ask once for every pending order, or for those that are due. A failure of the provider ends the round."""
        started, pending = time.monotonic(), pending_orders(self.database)
        known = {order.order_id for order in pending}
        self._asked = {order_id: at for order_id, at in self._asked.items() if order_id in known}
        self._unknown &= known
        wanted = [order.order_id for order in pending if not only_due or self._is_due(order)]
        if not wanted and only_due:
            return SyncReport(0, 0, len(pending))
        self._calls = 0
        updated, error = self._ask_all(wanted, stop or threading.Event())
        left = count_pending(self.database)
        report = SyncReport(len(wanted), updated, left, error, self._calls, time.time())
        self.database.set_setting(LAST, json.dumps(asdict(report)))
        seconds = time.monotonic() - started
        logger.info("Synced %d of %d pending orders in %d calls, %.1f s", updated, len(wanted), self._calls, seconds)
        return report

    def _is_due(self, order: PendingOrder) -> bool:
        now = self._clock()
        age = (now - order.placed_at).total_seconds() if order.placed_at else RAREST
        wait = RAREST if order.order_id in self._unknown else wait_between(age, order.delivery, self.interval)
        last = self._asked.get(order.order_id) or order.placed_at
        return last is None or (now - last).total_seconds() >= wait

    def _ask_all(self, order_ids: list[str], stop: threading.Event) -> tuple[int, str]:
        """Ask in the longest lists that are answered in full, for what is left out in smaller ones."""
        waiting, updated = order_ids, 0
        for length in LIST_LENGTHS:
            rest, left_out, failures = deque(waiting), list[str](), 0
            while rest and not stop.is_set():
                part = [rest.popleft() for _ in range(min(length, len(rest)))]
                try:
                    found = self._ask(part)
                except GSMFusionError as error:
                    logger.warning("Asking for results failed: %s", error)
                    return updated, str(error)
                updated += store_results(self.database, found, result_values)
                missing = self._note(part, found)
                left_out += missing if len(part) > 1 else []
                failures = failures + 1 if 2 * len(missing) > len(part) > 1 else 0
                if failures == 2:  # lists of this length are not answered: do not insist
                    left_out += rest
                    rest.clear()
            waiting = left_out
            if not waiting or stop.is_set():
                break
        return updated, ""

    def _ask(self, part: list[str]) -> list[ProviderOrder]:
        """One call. An id that the provider refuses leaves its whole list out."""
        self._calls += 1
        try:
            return self.client.get_imei_orders(part)
        except RefusedError as error:
            if error.kind is RefusalKind.ORDER_ID:
                return []
            raise

    def _note(self, part: list[str], found: Iterable[ProviderOrder]) -> list[str]:
        """Remember what was answered; returns the ids that were not."""
        named = {order.order_id for order in found}
        missing = [order_id for order_id in part if order_id not in named]
        now = self._clock()
        self._asked |= dict.fromkeys(part, now)
        self._unknown -= named
        if len(part) == 1:
            self._unknown |= set(missing)
        return missing


def wait_between(age: float, delivery: str, interval: float) -> float:
    """Seconds between two questions for an order of this age (seconds): half its age, within bounds.

    A service that says "Instant" or minutes is asked for soon, any other not before the interval; none is asked
    for more seldom than RAREST.
    """
    words = delivery.lower()
    quick = "instant" in words or "minute" in words
    least = min(SOONEST, interval) if quick else interval
    return min(max(age / 2, least), max(RAREST, least))


def request_sync(database: IMEIDatabase) -> None:
    """Wish that every pending order is asked for now; the runner grants it within seconds."""
    database.set_setting(REQUESTED, secrets.token_hex(8))


def last_sync(database: IMEIDatabase) -> SyncReport | None:
    """What the last round brought, by any process; None before the first."""
    stored = database.get_setting(LAST)
    return SyncReport(**json.loads(stored)) if stored else None


def is_requested(database: IMEIDatabase) -> bool:
    """Whether a wish to sync has not been granted yet."""
    wish = database.get_setting(REQUESTED)
    return wish is not None and wish != database.get_setting(DONE)


def reparse(database: IMEIDatabase) -> tuple[int, int]:
    """Apply the parser to every stored raw text. Returns (texts read, orders changed)."""
    return reparse_results(database, report_values)


def result_values(order: ProviderOrder, row: Any) -> dict[str, Any]:
    """The columns that change when the provider lists this order; empty where nothing does or less would remain."""
    was_final, has_text = row.status in FINAL_STATUSES, bool(row.result_code)
    if was_final and (order.status not in FINAL_STATUSES or (has_text and not order.code)):
        return {}
    status = order.status if was_final or has_text else told_status(order, row.order_date)
    if status == row.status and order.code in ("", row.result_code or ""):
        return {}
    values: dict[str, Any] = {"status": status}
    if order.code:
        values |= report_values(order.code, row.imei)
    if order.imei[:14] != row.imei[:14] and order.imei:
        values["other_imei"] = order.imei
    return values


def told_status(order: ProviderOrder, placed_at: datetime | None) -> str:
    """The status of a listed order of which we have no text: "Completed" without one is believed once it is old."""
    bare = order.status == OrderStatus.COMPLETED and not order.code
    young = placed_at is not None and utc_now() - placed_at < TEXT_PATIENCE
    return until_result(order.status) if bare and young else order.status


def report_values(code: str, ordered_imei: str) -> dict[str, Any]:
    """The result columns that a raw result text fills; other_imei names the IMEI that it is about if not the ordered.

    What the text does not say is None, so that it weighs nothing in the indexes.
    """
    report = read_report(code)
    about_another = report.is_about_another_device(ordered_imei)
    return {
        "result_code": code,
        "result_code_display": report.display,
        "imei2": report.imei2 or None,
        "model": report.model or None,
        "carrier": report.carrier or None,
        "simlock": report.simlock or None,
        "fmi": report.fmi or None,
        "blacklist": report.blacklist or None,
        "serial": report.serial or None,
        "warranty": report.warranty or None,
        "other_imei": (report.imei or "?") if about_another else None,
    }
