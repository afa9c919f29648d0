"""The rebuild: restore orders that the database lacks from kept answers and from the provider's list.

After the loss of a disk, or with an older copy of the database, the answers kept beside it name every order that was
read, however short the provider's list is. Each one becomes an order again, and its IMEI leaves the calls that are
planned. This module places nothing.
"""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from database import IMEIDatabase, utc_now
from gsm_fusion_client import GSMFusionAPIError, OutcomeUnknownError
from orders import IMEIOrder, OrderStatus, PlacedOrder, ServiceInfo
from provider import parse_placement, read_dates
from results.asking import KnowsOrders, ask_by_id
from results.order_values import believed_status, report_values, result_values
from storage import audit_store
from storage.audit_store import FROM_ANSWER, FROM_LIST, KeptOrder, PlannedOrder, Records
from storage.result_store import store_results_or_each
from submission import Checkpoints

logger = logging.getLogger(__name__)


class ListsOrders(KnowsOrders, Protocol):
    """What the rebuild needs of gsm_fusion_client.GSMFusionClient."""

    def list_recent_orders(self) -> list[IMEIOrder]: ...

    def get_imei_services(self) -> list[ServiceInfo]: ...


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did, or would do."""

    listed: int  #: orders on the provider's list
    oldest: str  #: the provider's time of the oldest one whose date can be read
    known: int  #: ours already
    unusable: int  #: without an IMEI
    unnamed_service: int  #: of a service that we cannot name: the same IMEI would be ordered again
    answers: int = 0  #: kept answers that were read
    damaged: tuple[int, ...] = ()  #: the batch of each answer that cannot be read, if the database lacks its call
    kept: tuple[KeptOrder, ...] = ()  #: orders that answers name, and that the database does not know
    missing: tuple[KeptOrder, ...] = ()  #: those of kept that stay unknown, or whose service does
    unexplained: int = 0  #: listed orders that stay unknown though their IMEI is still planned
    unnamed: int = 0  #: listed orders that are restored without their service: the same IMEI would be ordered again
    error: str = ""  #: why the provider could not be asked by id
    reaches_back: bool = True  #: the list shows an order that the database knew before, or neither has any
    updated: int = 0  #: known ones whose result has grown
    restored: audit_store.Restored = field(default_factory=audit_store.Restored)

    @property
    def complete(self) -> bool:
        """Return whether nothing that was paid, as far as answers and list show, can be sent again."""
        return not (self.missing or self.unexplained or self.damaged)


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What a rebuild would do for one account."""

    account: str
    report: RebuildReport
    reported: list[IMEIOrder]  #: what the provider reports, by list and by id
    rows: list[dict[str, Any]]  #: to restore


class _Kept(NamedTuple):
    """What the kept answers name, as far as the database does not know it."""

    answers: int
    damaged: tuple[int, ...]
    orders: tuple[KeptOrder, ...]


def plan_rebuild(database: IMEIDatabase, provider: ListsOrders, checkpoints: Checkpoints, account: str) -> RebuildPlan:
    """Return what a rebuild would do for the account that has this provider and these answers.

    The service list is stored first: without it the provider's titles could not become service ids. Raises
    GSMFusionAPIError, OSError.
    """
    database.store_services(provider.get_imei_services(), time.time())
    answer = provider.list_recent_orders()
    listed = list({order.id: order for order in answer if order.id}.values())
    kept = read_kept(database, checkpoints)
    asked, error = _ask_about(provider, kept.orders, listed)
    records = audit_store.read_records(database, None, [])
    known = {order.order_id for order in records.orders}
    new = [order for order in listed if order.id not in known]
    unnamed = {order.order_id for order in records.orders if order.service_id is None}
    rows = [
        row
        for row in _rows(database, records, new, [*listed, *asked], kept.orders)
        if row["order_id"] not in known or (row["order_id"] in unnamed and row["service_id"])
    ]
    named = {row["order_id"] for row in rows if row["service_id"]}
    dated = [pair for pair in zip(_dates(listed), listed, strict=True) if pair[0]]
    report = RebuildReport(
        listed=len(listed),
        oldest=min(dated, key=lambda pair: pair[0] or datetime.max)[1].requested_at if dated else "",
        known=len(listed) - len(new),
        unusable=sum(1 for order in new if not order.imei),
        unnamed_service=sum(1 for row in rows if row["service_id"] is None),
        answers=kept.answers,
        damaged=kept.damaged,
        kept=kept.orders,
        missing=tuple(order for order in kept.orders if order.order_id not in named),
        error=error,
        reaches_back=audit_store.reaches_back(database, account, [order.id for order in listed]),
    )
    return RebuildPlan(account, report, [*answer, *asked], [row | {"account": account} for row in rows])


def rebuild_records(database: IMEIDatabase, plan: RebuildPlan) -> RebuildReport:
    """Store the orders that plan_rebuild found; return the report with what is still missing.

    A result that is known is never overwritten with less.
    """
    restored = audit_store.restore(database, plan.rows)
    updated, _ = store_results_or_each(database, [order for order in plan.reported if order.id], result_values)
    audit_store.name_services(database, [order.order_id for order in plan.report.kept])
    missing = tuple(audit_store.unknown_among(database, plan.report.kept))
    logger.info("Restored %d orders; %d that kept answers name are missing", restored.new, len(missing))
    return replace(
        plan.report,
        restored=restored,
        updated=updated,
        missing=missing,
        unexplained=audit_store.count_unexplained(database, [(order.id, order.imei) for order in plan.reported]),
        unnamed=audit_store.count_unnamed(database, [order.id for order in plan.reported]),
    )


# What the kept answers name


def read_kept(database: IMEIDatabase, checkpoints: Checkpoints) -> _Kept:
    """Read every kept answer, and return the orders in them that the database does not know. Raises OSError."""
    answers, damaged, unknown = 0, list[int](), list[KeptOrder]()
    for batch_id in sorted(checkpoints.batches()):
        named, unreadable = dict[KeptOrder, None](), list[int]()
        for answer in checkpoints.answers(batch_id):
            placed = _placed(answer.raw)
            answers += placed is not None
            unreadable += [answer.chunk_id] if placed is None else []
            named |= dict.fromkeys(KeptOrder(batch_id, order.id, order.imei) for order in placed or ())
        unknown += audit_store.unknown_among(database, list(named))
        damaged += [batch_id] * audit_store.count_unknown_calls(database, batch_id, unreadable)
    return _Kept(answers, tuple(damaged), tuple(unknown))


def _placed(raw: bytes | None) -> tuple[PlacedOrder, ...] | None:
    """Return the orders that a kept answer names; None where it cannot be read."""
    if raw is None:
        return None
    try:
        return parse_placement(raw).orders
    except OutcomeUnknownError:
        return None
    except GSMFusionAPIError:  # it is a refusal, and names no order
        return ()


def _ask_about(
    provider: KnowsOrders, kept: Sequence[KeptOrder], listed: Sequence[IMEIOrder]
) -> tuple[list[IMEIOrder], str]:
    """Ask for kept orders that the list leaves out. Return them, and why the provider could not be asked."""
    seen = {order.id for order in listed}
    wanted = list(dict.fromkeys(order.order_id for order in kept if order.order_id not in seen))
    try:
        return ask_by_id(provider, wanted), ""
    except GSMFusionAPIError as failure:
        logger.warning("The provider could not be asked about kept orders: %s", failure)
        return [], str(failure)


# The rows to write


def _rows(
    database: IMEIDatabase,
    records: Records,
    new: Sequence[IMEIOrder],
    reported: Sequence[IMEIOrder],
    kept: Sequence[KeptOrder],
) -> list[dict[str, Any]]:
    """Return the columns of every new order on the list and every kept one, the oldest id first.

    reported is all that the provider reports, by list and by id.
    """
    names = {service.package_id: service.title for service in database.get_services()[0]}
    by_id = {order.id: order for order in reported}
    planned = audit_store.planned_by(database, kept)
    batches = audit_store.existing_batches(database, {order.batch_id for order in kept})
    groups: defaultdict[str, list[KeptOrder]] = defaultdict(list)
    for order in kept:
        groups[order.order_id].append(order)
    moments = dict(zip(by_id, _dates(by_id.values()), strict=True))
    rows = [_row(order, moments[order.id], records, names) for order in new if order.imei and order.id not in groups]
    for order_id, group in groups.items():
        found = _confirmed(group, by_id.get(order_id), planned, batches)
        if found is not None:
            row = _row(found[0], moments.get(order_id), records, names, found[1])
            rows.append(row | {"notes": FROM_ANSWER})
    return sorted(rows, key=lambda row: (len(row["order_id"]), row["order_id"]))


def _confirmed(
    group: Sequence[KeptOrder],
    reported: IMEIOrder | None,
    planned: Mapping[KeptOrder, PlannedOrder],
    batches: frozenset[int],
) -> tuple[IMEIOrder, PlannedOrder | None] | None:
    """Return an order that answers name and the batch that asked for it; None where nothing confirms it.

    What the provider reports about an id comes first. Without it an id that answers give to several IMEIs is not
    believed, nor is one of an IMEI that its batch does not hold: answers have named orders of other customers before.
    """
    if reported is not None and reported.imei:
        asked = (order for order in group if order in planned and order.imei[:14] == reported.imei[:14])
        return reported, next((planned[order] for order in asked), None)
    kept = group[0]
    if len({order.imei for order in group}) > 1 or (kept not in planned and kept.batch_id in batches):
        return None
    order = IMEIOrder(kept.order_id, kept.imei, reported.status if reported else OrderStatus.PENDING)
    return (replace(reported, imei=kept.imei) if reported else order), planned.get(kept)


def _row(
    order: IMEIOrder,
    placed_at: datetime | None,
    records: Records,
    names: Mapping[str, str],
    batch: PlannedOrder | None = None,
) -> dict[str, Any]:
    """Return the columns of one order. Its service is what the provider reports, if we know it, else its batch's.

    An older copy of the database can use the id of a batch again: only what the provider reports is certain.
    """
    named = records.labels.get(order.service_id.strip().lower())
    batch = batch if batch and named in (None, batch.service_id) else None
    service_id = named or (batch.service_id if batch else None)
    row = {
        "order_id": order.id,
        "imei": order.imei,
        "service_id": service_id,
        "service_name": batch.service_name if batch else names.get(service_id or "") or order.service_id,
        "credits": batch.unit_price if batch else records.prices.get(service_id or ""),
        "status": believed_status(order, placed_at) or OrderStatus.PENDING,
        "order_date": placed_at or (batch.created_at if batch else None),
        "notes": FROM_LIST,
        "raw_response": json.dumps(asdict(order)),
        "updated_at": utc_now(),
    }
    return row | (report_values(order.code, order.imei) if order.code else {})


def _dates(listed: Iterable[IMEIOrder]) -> list[datetime | None]:
    return read_dates([order.requested_at for order in listed])
