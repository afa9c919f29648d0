"""What the provider reports about an order, as values for its row: nothing final becomes less.

Pure, apart from reparse(). This module must not know when or how the provider is asked.
"""

from datetime import datetime, timedelta
from typing import Any

from database import IMEIDatabase, utc_now
from devices import INDEXED_FINDINGS, MAX_VALUE, read_report, short_value
from orders import FINAL_STATUSES, IMEIOrder, OrderStatus, until_result
from storage.result_store import reparse_results, shorten_findings

#: How long the result text of a completed order may take.
TEXT_PATIENCE = timedelta(days=1)


def result_values(order: IMEIOrder, row: Any) -> dict[str, Any]:
    """Return the columns that change when the provider lists this order; {} where none does or less would remain."""
    was_final, has_text = row.status in FINAL_STATUSES, bool(row.result_code)
    if was_final and (order.status not in FINAL_STATUSES or (has_text and not order.code)):
        return {}
    status = order.status if was_final or has_text else believed_status(order, row.order_date)
    if status == row.status and order.code in ("", row.result_code or ""):
        return {}
    values: dict[str, Any] = {"status": status}
    if order.code:
        values |= report_values(order.code, row.imei)
    if order.imei[:14] != row.imei[:14] and order.imei:
        values["other_imei"] = order.imei
    return values


def believed_status(order: IMEIOrder, placed_at: datetime | None) -> str:
    """Return the status of a listed order without a stored text; "Completed" without a text counts once it is old."""
    bare = order.status == OrderStatus.COMPLETED and not order.code
    young = placed_at is not None and abs(utc_now() - placed_at) < TEXT_PATIENCE
    return until_result(order.status) if bare and young else order.status


def report_values(code: str, ordered_imei: str) -> dict[str, Any]:
    """Return the columns that a raw result text fills; other_imei is the IMEI that it is about if not the ordered one.

    What the text lacks is None, so that it takes no room in the indexes.
    """
    report = read_report(code)
    about_another = report.is_about_another_device(ordered_imei)
    return {
        "result_code": code,
        "result_code_display": report.display,
        "imei2": report.second_of(ordered_imei),
        "model": report.model or None,
        "carrier": report.carrier or None,
        "simlock": report.simlock or None,
        "fmi": report.fmi or None,
        "blacklist": report.blacklist or None,
        "serial": report.serial or None,
        "warranty": report.warranty or None,
        "other_imei": (report.imei or "?") if about_another else None,
    }


def reparse(database: IMEIDatabase) -> tuple[int, int]:
    """Apply the parser to every stored raw text, and its limit to imported findings that have none.

    Returns (texts read, orders changed).
    """
    read, changed = reparse_results(database, report_values)
    return read, changed + shorten_findings(database, INDEXED_FINDINGS, MAX_VALUE, short_value)
