"""The IMEIs of a batch with what is known of each: as rows of an export, and as results for "My sheet"."""

from collections.abc import Iterator, Mapping
from typing import Any

from database import IMEIDatabase
from grading import Verdict, verdict_label
from orders import FINAL_STATUSES, OrderStatus, Outcome, Progress
from spreadsheets import PHONE_TEXTS, PhoneResult
from storage.order_queries import earlier_orders, result_items
from storage.rows import Order, OrderedItem
from storage.tag_store import tags_of_batches, tags_of_orders_in


def result_rows(database: IMEIDatabase, progress: Progress) -> Iterator[dict[str, Any]]:
    """Yield an export row for each IMEI of a batch. Without an order, its status is the IMEI's outcome."""
    of_batch = tags_of_batches(database, [progress.batch_id]).get(progress.batch_id, [])
    own = tags_of_orders_in(database, progress.batch_id)
    for item in result_items(database, progress.batch_id):
        yield item._asdict() | {
            "service_name": item.service_name or progress.service_name,
            "status": item.status or Outcome(item.outcome).label,
            "result_code_display": item.result_code_display or item.message,
            "batch_id": progress.batch_id,
            "error": item.message,
            "verdict": verdict_label(item.verdict),
            "tags": ", ".join(dict.fromkeys([*own.get(item.order_id or "", ()), *of_batch])),
        }


def phone_results(database: IMEIDatabase, progress: Progress) -> dict[str, PhoneResult]:
    """Return IMEI → what is known, for every IMEI of a batch, in its order.

    An IMEI that was known already has the result of its earlier order with the same service.
    """
    earlier = earlier_orders(database, progress.batch_id, progress.service_id)
    found: dict[str, PhoneResult] = {}
    for item in result_items(database, progress.batch_id):
        if item.imei not in found or item.order_id:
            found[item.imei] = phone_result(item, earlier)
    return found


def phone_result(item: OrderedItem, earlier: Mapping[str, Order]) -> PhoneResult:
    """Return what is known about one IMEI of a batch."""
    if item.status:
        return _of_order(item, "")
    if item.outcome == Outcome.DUPLICATE and item.imei in earlier:
        return _of_order(earlier[item.imei], _known(earlier[item.imei], item.imei))
    outcome = Outcome(item.outcome)
    note = item.message or ("" if outcome is Outcome.WAITING else outcome.hint)
    return PhoneResult(None, status=outcome.label, note=note, is_pending=outcome is Outcome.WAITING)


def _of_order(order: OrderedItem | Order, note: str) -> PhoneResult:
    return PhoneResult(
        **{name: getattr(order, name) or "" for name in PHONE_TEXTS},
        verdict=Verdict(order.verdict) if order.verdict else None,
        checked_on=order.order_date or order.created_at,
        note=" ".join(filter(None, (note, _oddity(order)))),
        is_pending=order.status not in FINAL_STATUSES,
    )


def _known(order: Order, imei: str) -> str:
    """Return the sentence about an IMEI that was not paid again."""
    placed = order.order_date or order.created_at
    when = f" as IMEI 2 of {order.imei}" if order.imei != imei else ""
    when += f" on {placed:%Y-%m-%d}" if placed else ""
    if order.status == OrderStatus.COMPLETED:
        return f"Checked already{when}, not paid again."
    if order.status == OrderStatus.REJECTED:
        return f"Rejected before{when}, not sent again."
    return f"Ordered already{when}, not paid again."


def _oddity(order: OrderedItem | Order) -> str:
    """Return what is odd about a result."""
    if order.other_imei:
        return f"The result is about IMEI {order.other_imei}."
    if order.status == OrderStatus.REJECTED:
        reason = " ".join((order.result_code_display or "No reason given.").split())[:160]
        return f"The provider rejected the order: {reason}"
    return ""
