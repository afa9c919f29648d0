"""Pending orders become results: asked for in lists of ids, understood, and written one answer a transaction.

An id that the answer leaves out stays as it was and is asked for again in smaller lists. A final result is never
overwritten with less. This module decides when and what to ask; it places nothing.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from database import IMEIDatabase, utc_now
from device_report import read_report
from gsm_fusion_client import GSMFusionError
from orders import FINAL_STATUSES, ProviderOrder
from result_store import pending_order_ids, store_results

logger = logging.getLogger(__name__)

#: Ids in one call, at first and after an answer that left some out.
LIST_LENGTHS = (100, 10, 1)
#: Seconds between two rounds while fresh orders wait; the wait doubles up to the interval when nothing comes back.
SOONEST = 15.0


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


class OrderSync:
    """Asks for pending orders every interval seconds (0: never), sooner while results are coming in."""

    def __init__(self, database: IMEIDatabase, client: ResultProvider, interval: float) -> None:
        self.database = database
        self.client = client
        self.interval = interval

    def run(self, stop: threading.Event) -> None:
        """Sync until stop is set."""
        if not self.interval:
            return
        wait = min(SOONEST, self.interval)
        while not stop.wait(wait):
            try:
                report = self.sync()
            except Exception:  # a thread ends here; the next round tries again
                logger.exception("A sync round failed")
                wait = self.interval
                continue
            wait = min(self.interval, SOONEST if report.updated else wait * 2)

    def sync(self) -> SyncReport:
        """Ask once for every pending order. A failure of the provider ends the round and is reported."""
        started = time.monotonic()
        waiting, updated, error = pending_order_ids(self.database), 0, ""
        asked = len(waiting)
        for length in LIST_LENGTHS:
            if not waiting or error:
                break
            waiting, changed, error = self._ask(waiting, length)
            updated += changed
        report = SyncReport(asked, updated, len(pending_order_ids(self.database)), error)
        if asked:
            logger.info("Synced %d of %d pending orders in %.1f s", updated, asked, time.monotonic() - started)
        return report

    def _ask(self, order_ids: list[str], length: int) -> tuple[list[str], int, str]:
        """Ask in lists of `length`. Returns the ids that no answer named, how many changed, and the error."""
        left_out: list[str] = []
        changed = 0
        for start in range(0, len(order_ids), length):
            part = order_ids[start : start + length]
            try:
                found = self.client.get_imei_orders(part)
            except GSMFusionError as error:
                if error.raw and length == 1:
                    continue  # the provider does not know this id; it stays pending, as it was
                logger.warning("Asking for results failed: %s", error)
                return left_out, changed, str(error)
            changed += store_results(self.database, found, result_values)
            named = {order.order_id for order in found}
            left_out += [order_id for order_id in part if order_id not in named]
        return left_out, changed, ""


def result_values(order: ProviderOrder, row: Any) -> dict[str, Any]:
    """The columns that change when the provider lists this order; empty where nothing does or less would remain."""
    if row.status in FINAL_STATUSES and order.status not in FINAL_STATUSES:
        return {}
    if order.status == row.status and order.code in ("", row.result_code or ""):
        return {}
    values: dict[str, Any] = {"status": order.status, "updated_at": utc_now()}
    if order.code:
        values |= report_values(order.code, row.imei)
    return values


def report_values(code: str, ordered_imei: str) -> dict[str, Any]:
    """The result columns that a raw result text fills; a text about another IMEI is flagged in notes."""
    report = read_report(code)
    values: dict[str, Any] = {
        "result_code": code,
        "result_code_display": report.display,
        "imei2": report.imei2,
        "model": report.model,
        "carrier": report.carrier,
        "simlock": report.simlock,
        "fmi": report.fmi,
        "blacklist": report.blacklist,
        "serial": report.serial,
        "warranty": report.warranty,
    }
    if report.is_about_another_device(ordered_imei):
        values["notes"] = f"the result names IMEI {report.imei}, not the one ordered"
    return values
