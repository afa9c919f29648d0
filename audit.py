"""The audit: do our records and the provider's list name the same orders, each paid once? And the way back from it.

The provider is asked for its list, and by id for what the list leaves out; then our records are read, in one
snapshot, so that an order is either recorded or still on the wire. The provider's times have no zone: they are
compared with each other and by their date only. This module places nothing.
"""

import json
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol

import audit_store
from audit_store import OurOrder, Records
from database import IMEIDatabase, utc_now
from gsm_fusion_client import GSMFusionError, RefusalKind, RefusedError
from order_sync import LIST_LENGTHS, report_values, result_values, told_status
from orders import OrderStatus, ProviderOrder, Service
from result_store import store_results

logger = logging.getLogger(__name__)

#: The name in the settings table under which the last report is kept, as JSON.
LAST = "last_audit"
#: Examples of each class that a report carries.
EXAMPLES = 20
#: The hour, in UTC, of the nightly audit, and how many days back it looks.
NIGHTLY_HOUR, NIGHTLY_DAYS = 3, 7
#: Seconds between two looks whether an audit is due.
LOOK = 30.0
RESTORED = "restored from the provider's list; the date is the provider's, of an unknown time zone"


class AuditedProvider(Protocol):
    """What the audit and the rebuild need of gsm_fusion_client.GSMFusionClient."""

    def list_recent_orders(self) -> list[ProviderOrder]: ...

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[ProviderOrder]: ...

    def get_imei_services(self) -> list[Service]: ...


class Example(NamedTuple):
    """One order that a report speaks of."""

    order_id: str
    imei: str
    service: str  #: service id, or the provider's word for it
    date: str  #: as the side that knows the order has it


@dataclass(frozen=True, slots=True)
class Difference:
    """One class of disagreement."""

    count: int = 0
    examples: tuple[Example, ...] = ()  #: at most EXAMPLES


@dataclass(frozen=True, slots=True)
class AuditReport:
    """One audit. Money is in US dollars; the provider's is reckoned, as its list names no prices."""

    at: float  #: Unix time when it began
    since: str = ""  #: YYYY-MM-DD: ours by UTC date, the provider's by the date in its list; "" is everything
    error: str = ""  #: why the provider could not be asked, or not about everything
    listed: int = 0  #: orders on the provider's list, whatever their date
    oldest: str = ""  #: the provider's time of the oldest one, as far back as its list reaches
    newest: str = ""
    ours: int = 0  #: orders in our records
    theirs: int = 0  #: orders that the provider knows, from its list or by id
    only_by_id: int = 0  #: of ours: those that its list leaves out, though it knows them
    under_way: int = 0  #: listed orders of calls that still wait for their answer
    our_spend: float = 0.0
    their_spend: float = 0.0
    unpriced: int = 0  #: orders of theirs that no price of ours fits, which their_spend leaves out
    in_doubt: int = 0  #: IMEIs
    at_stake: float = 0.0  #: what these may have cost
    unknown_to_us: Difference = field(default_factory=Difference)
    unknown_to_them: Difference = field(default_factory=Difference)
    charged_twice: Difference = field(default_factory=Difference)
    other_device: Difference = field(default_factory=Difference)  #: same id, but another IMEI or service
    #: More than one order of an IMEI and service, all known, but not all from batches of ours. Not judged.
    repeats: Difference = field(default_factory=Difference)

    @property
    def differences(self) -> int:
        """How many orders the two sides disagree about."""
        found = (self.unknown_to_us, self.unknown_to_them, self.charged_twice, self.other_device)
        return sum(difference.count for difference in found)

    @property
    def complete(self) -> bool:
        """Whether the provider answered, and its list shows all that we know of: else a charge may hide beyond it."""
        return not self.error and not self.only_by_id

    @property
    def agrees(self) -> bool:
        """Whether both sides were compared to the end and name the same orders, and nothing is in doubt."""
        return self.complete and not self.differences and not self.in_doubt


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did, or would do."""

    listed: int  #: orders on the provider's list
    oldest: str  #: the provider's time of the oldest one
    known: int  #: ours already
    unusable: int  #: without an IMEI
    unnamed_service: int  #: of a service that we cannot name: the same IMEI would be ordered again
    updated: int = 0  #: known ones whose result has grown
    restored: audit_store.Restored = field(default_factory=audit_store.Restored)


# The audit


def run_audit(database: IMEIDatabase, provider: AuditedProvider, since: datetime | None = None) -> AuditReport:
    """Ask, compare, remember. since is midnight of a UTC date. Never raises GSMFusionError: the report says why."""
    start = AuditReport(time.time(), f"{since:%Y-%m-%d}" if since else "")
    error, listed, by_id = "", list[ProviderOrder](), list[ProviderOrder]()
    try:
        listed = [order for order in provider.list_recent_orders() if order.order_id]
        by_id = _ask_for_the_rest(provider, audit_store.read_records(database, since, _ids(listed)), listed)
    except GSMFusionError as failure:
        logger.warning("The provider could not be audited: %s", failure)
        error = str(failure)
    known = _ids(listed) + _ids(by_id)
    report = compare(replace(start, error=error), audit_store.read_records(database, since, known), listed, by_id)
    database.set_setting(LAST, json.dumps(asdict(report)))
    logger.info("Audited %d orders of ours and %d listed: %d differences", report.ours, len(listed), report.differences)
    return report


def last_audit(database: IMEIDatabase) -> AuditReport | None:
    """What the last audit found, by any process; None before the first, or where another version wrote it."""
    try:
        stored = json.loads(database.get_setting(LAST) or "null")
        return None if stored is None else _report(stored)
    except (ValueError, TypeError, KeyError):
        logger.warning("The last audit cannot be read")
        return None


def _report(stored: dict[str, Any]) -> AuditReport:
    for name, value in stored.items():
        if isinstance(value, dict):
            stored[name] = Difference(value["count"], tuple(Example(*example) for example in value["examples"]))
    return AuditReport(**stored)


def _ids(found: Iterable[ProviderOrder]) -> list[str]:
    return [order.order_id for order in found]


def _ask_for_the_rest(
    provider: AuditedProvider, records: Records, listed: Sequence[ProviderOrder]
) -> list[ProviderOrder]:
    """The orders of ours that the list leaves out, by lists of ids; what those leave out, by smaller ones."""
    seen, found = set(_ids(listed)), list[ProviderOrder]()
    missing = [order.order_id for order in records.orders if order.order_id and order.order_id not in seen]
    for length in LIST_LENGTHS:
        for first in range(0, len(missing), length):
            found += _ask(provider, missing[first : first + length])
        answered = set(_ids(found))
        missing = [order_id for order_id in missing if order_id not in answered]
    return found


def _ask(provider: AuditedProvider, order_ids: list[str]) -> list[ProviderOrder]:
    try:
        return provider.get_imei_orders(order_ids)
    except RefusedError as error:
        if error.kind is RefusalKind.ORDER_ID:
            return []
        raise


# The comparison, without I/O


@dataclass(slots=True)
class _Sides:
    """Both sides by order id, and how to tell what an order of the provider is for."""

    records: Records
    since: str
    theirs: dict[str, ProviderOrder]
    ours: dict[str, OurOrder] = field(init=False)
    nameless: Counter[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        found = self.records.orders
        self.ours = {order.order_id: order for order in found if order.order_id}
        self.nameless = Counter((o.imei[:14], o.service_id or "") for o in found if not o.order_id)

    def service(self, order: ProviderOrder) -> str:
        """Its service id, or the provider's word where we know none."""
        word = order.service_id.strip()
        return self.records.labels.get(word.lower(), word)

    def is_recognised(self, order: ProviderOrder) -> bool:
        return order.service_id.strip().lower() in self.records.labels

    def is_under_way(self, order: ProviderOrder) -> bool:
        """Whether a call that has no answer yet may have placed it."""
        services = self.records.under_way.get(order.imei, frozenset())
        return bool(services) and (not self.is_recognised(order) or self.service(order) in services)

    def is_in_window(self, order: ProviderOrder) -> bool:
        ours = self.ours.get(order.order_id)
        if ours is not None:
            return self.is_ours_in_window(ours)
        return not self.since or not order.requested_at or order.requested_at[:10] >= self.since

    def is_ours_in_window(self, order: OurOrder) -> bool:
        return not self.since or (order.placed_at is not None and f"{order.placed_at:%Y-%m-%d}" >= self.since)

    def takes_nameless(self, order: ProviderOrder) -> bool:
        """Whether an order of ours without an id stands for it; each stands for one."""
        key = (order.imei[:14], self.service(order))
        self.nameless[key] -= 1
        return self.nameless[key] >= 0


def compare(
    start: AuditReport, records: Records, listed: Sequence[ProviderOrder], by_id: Sequence[ProviderOrder]
) -> AuditReport:
    """start filled in: what the provider listed, and said when asked by id, against our records."""
    on_list = {order.order_id: order for order in listed}
    sides = _Sides(records, start.since, {order.order_id: order for order in by_id} | on_list)
    ours = [order for order in records.orders if sides.is_ours_in_window(order)]
    strange = [order for order in on_list.values() if order.order_id not in sides.ours and sides.is_in_window(order)]
    under_way = {order.order_id for order in strange if sides.is_under_way(order)}
    unknown = [o for o in strange if o.order_id not in under_way and not sides.takes_nameless(o)]
    told = [order for order in dict.fromkeys([*listed, *by_id]) if sides.is_in_window(order)]
    theirs = [o for o in sides.theirs.values() if sides.is_in_window(o) and o.order_id not in under_way]
    missing = [order for order in ours if order.order_id and order.order_id not in sides.theirs]
    twice, repeats = _repeats(sides, theirs, {order.order_id for order in unknown})
    spend = [_price(sides, order) for order in theirs]
    times = sorted(order.requested_at for order in listed if order.requested_at)
    return replace(
        start,
        listed=len(on_list),
        oldest=times[0] if times else "",
        newest=times[-1] if times else "",
        ours=len(ours),
        theirs=len(theirs),
        only_by_id=sum(1 for order in ours if order.order_id in sides.theirs and order.order_id not in on_list),
        under_way=len(under_way),
        our_spend=round(sum(order.credits or 0.0 for order in ours), 4),
        their_spend=round(sum(price for price in spend if price is not None), 4),
        unpriced=spend.count(None),
        in_doubt=records.in_doubt,
        at_stake=round(records.at_stake, 4),
        unknown_to_us=_difference(_example(sides, order) for order in unknown),
        # An error leaves open what the provider knows: then nothing is said to be missing there.
        unknown_to_them=_difference(_our_example(order) for order in ([] if start.error else missing)),
        charged_twice=_difference(_example(sides, order) for order in twice),
        other_device=_difference(_example(sides, order) for order in told if _is_another(sides, order)),
        repeats=_difference(_example(sides, order) for order in repeats),
    )


def _repeats(
    sides: _Sides, theirs: Sequence[ProviderOrder], unknown: set[str]
) -> tuple[list[ProviderOrder], list[ProviderOrder]]:
    """The surplus orders of each IMEI and service: charged twice, and those of which no batch of ours tells."""
    in_window = {(order.imei, sides.service(order)) for order in theirs}
    groups: defaultdict[tuple[str, str], list[ProviderOrder]] = defaultdict(list)
    for order in sides.theirs.values():
        key = (order.imei, sides.service(order))
        if order.imei and key in in_window and not (order.order_id not in sides.ours and sides.is_under_way(order)):
            groups[key].append(order)
    twice, untold = list[ProviderOrder](), list[ProviderOrder]()
    for group in groups.values():
        surplus = _surplus(sides, group, unknown) if len(group) > 1 else []
        twice += surplus
        if len(group) > 1 and not surplus and any(_batch(sides, order) is None for order in group):
            untold += group[1:]
    return twice, untold


def _surplus(sides: _Sides, group: Sequence[ProviderOrder], unknown: set[str]) -> list[ProviderOrder]:
    """The orders of one IMEI and service that nobody asked for: unknown to us, or a second one of the same batch."""
    strangers = [order for order in group if order.order_id in unknown]
    batches: set[int] = set()
    surplus: list[ProviderOrder] = []
    for order in group:
        batch = _batch(sides, order)
        if batch is not None and batch in batches:
            surplus.append(order)
        batches |= {batch} if batch is not None else set()
    return surplus + (strangers[1:] if len(strangers) == len(group) else strangers)


def _batch(sides: _Sides, order: ProviderOrder) -> int | None:
    ours = sides.ours.get(order.order_id)
    return ours.batch_id if ours else None


def _is_another(sides: _Sides, order: ProviderOrder) -> bool:
    """Whether the provider has this id of ours for another IMEI, or certainly for another service."""
    ours = sides.ours.get(order.order_id)
    if ours is None:
        return False
    if order.imei and order.imei[:14] != ours.imei[:14]:
        return True
    return bool(ours.service_id) and sides.is_recognised(order) and sides.service(order) != ours.service_id


def _price(sides: _Sides, order: ProviderOrder) -> float | None:
    """What it cost by our records, else by the service's price of today, in US dollars."""
    ours = sides.ours.get(order.order_id)
    if ours is not None and ours.credits is not None:
        return ours.credits
    return sides.records.prices.get(sides.service(order))


def _example(sides: _Sides, order: ProviderOrder) -> Example:
    return Example(order.order_id, order.imei, sides.service(order), order.requested_at)


def _our_example(order: OurOrder) -> Example:
    date = f"{order.placed_at:%Y-%m-%d %H:%M:%S} UTC" if order.placed_at else ""
    return Example(order.order_id or "", order.imei, order.service_id or "", date)


def _difference(found: Iterable[Example]) -> Difference:
    examples = list(found)
    return Difference(len(examples), tuple(examples[:EXAMPLES]))


# The rebuild


def plan_rebuild(
    database: IMEIDatabase, provider: AuditedProvider
) -> tuple[RebuildReport, list[ProviderOrder], list[dict[str, Any]]]:
    """What a rebuild would do, the provider's list, and the orders to restore. Raises GSMFusionError.

    The service list is stored first: without it the provider's titles could not become service ids.
    """
    database.store_services(provider.get_imei_services(), time.time())
    listed = list({order.order_id: order for order in provider.list_recent_orders() if order.order_id}.values())
    records = audit_store.read_records(database, None, [])
    known = {order.order_id for order in records.orders}
    new = [order for order in reversed(listed) if order.order_id not in known]
    names = {service.service_id: service.title for service in database.get_services()[0]}
    rows = [_restored_row(order, records, names) for order in new if order.imei]
    report = RebuildReport(
        listed=len(listed),
        oldest=min((order.requested_at for order in listed if order.requested_at), default=""),
        known=len(listed) - len(new),
        unusable=len(new) - len(rows),
        unnamed_service=sum(1 for row in rows if row["service_id"] is None),
    )
    return report, listed, rows


def rebuild(
    database: IMEIDatabase, planned: RebuildReport, listed: Sequence[ProviderOrder], rows: Sequence[Mapping[str, Any]]
) -> RebuildReport:
    """Store the orders that plan_rebuild found. A result that is known is never overwritten with less."""
    restored = audit_store.restore(database, rows)
    updated = store_results(database, listed, result_values)
    logger.info("Restored %d orders from the provider's list of %d", restored.new, len(listed))
    return replace(planned, restored=restored, updated=updated)


def _restored_row(order: ProviderOrder, records: Records, names: Mapping[str, str]) -> dict[str, Any]:
    service_id, placed_at = records.labels.get(order.service_id.strip().lower()), _moment(order.requested_at)
    row = {
        "order_id": order.order_id,
        "imei": order.imei,
        "service_id": service_id,
        "service_name": names.get(service_id or "") or order.service_id,
        "credits": records.prices.get(service_id or ""),
        "status": told_status(order, placed_at) or OrderStatus.PENDING,
        "order_date": placed_at,
        "notes": RESTORED,
        "raw_response": json.dumps(asdict(order)),
        "updated_at": utc_now(),
    }
    return row | (report_values(order.code, order.imei) if order.code else {})


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


# When


def next_nightly(after: datetime) -> datetime:
    """The first NIGHTLY_HOUR o'clock (UTC) later than after."""
    tonight = after.replace(hour=NIGHTLY_HOUR, minute=0, second=0, microsecond=0)
    return tonight if tonight > after else tonight + timedelta(days=1)


class NightlyAudit:
    """Audits the last days every night, and as soon as a batch with doubt has finished."""

    def __init__(
        self, database: IMEIDatabase, provider: AuditedProvider, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.database = database
        self.provider = provider
        self._clock = clock
        self._started = clock()

    def run(self, stop: threading.Event) -> None:
        """Audit whenever it is due, until stop is set."""
        while not stop.wait(LOOK):
            try:
                if self.is_due():
                    self.audit()
            except Exception:  # the thread must live on; the next look tries again
                logger.exception("The audit failed")

    def is_due(self) -> bool:
        """Whether a night has come, or a batch with doubt has finished, since the last audit."""
        last = last_audit(self.database)
        since = datetime.fromtimestamp(last.at, UTC).replace(tzinfo=None) if last else self._started
        if self._clock() >= next_nightly(since):
            return True
        return audit_store.finished_with_doubt(self.database, since)

    def audit(self) -> AuditReport:
        """Audit the last NIGHTLY_DAYS days."""
        midnight = self._clock().replace(hour=0, minute=0, second=0, microsecond=0)
        return run_audit(self.database, self.provider, midnight - timedelta(days=NIGHTLY_DAYS))
