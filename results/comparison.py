"""The comparison of an audit: our records and what the provider reports, without I/O.

Numbers and examples of what is on one side only, or paid twice, and whether counts, sums and the balance agree.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from amounts import money, plural
from orders import IMEIOrder
from provider import read_dates
from storage.audit_store import OurOrder, Records

#: Examples of each class that a report carries.
EXAMPLES = 20
#: US dollars: two sums that differ by more do not agree.
HALF_A_CENT = 0.005


class Example(NamedTuple):
    """One order that a report names."""

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
    """One audit. Money is in US dollars; the provider's is estimated, as its list names no prices."""

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
    undated: int = 0  #: listed orders unknown to us whose date cannot be read, counted as if in the window
    balance_since: str = ""  #: UTC, when the balance was first read in the window; "": money was not compared
    balance_note: str = ""  #: why money was not compared
    balance_fell: float = 0.0  #: by how much since then; negative where it rose
    known_spent: float = 0.0  #: what our orders since then cost
    refundable: float = 0.0  #: what the provider may have paid back of it, for rejected orders
    unexplained: float = 0.0  #: charged beyond what our orders explain; negative where less was charged
    unknown_to_us: Difference = field(default_factory=Difference)
    unknown_to_them: Difference = field(default_factory=Difference)
    #: Ours without an order id (from a file) for which the list names no order of the IMEI and service.
    unmatched: Difference = field(default_factory=Difference)
    charged_twice: Difference = field(default_factory=Difference)
    other_device: Difference = field(default_factory=Difference)  #: same id, but another IMEI or service
    #: More than one order of an IMEI and service, all known, but not all from batches of ours. Not judged.
    repeats: Difference = field(default_factory=Difference)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of orders of each class that the two sides disagree about."""
        found = (self.unknown_to_us, self.unknown_to_them, self.unmatched, self.charged_twice, self.other_device)
        return tuple(difference.count for difference in found)

    @property
    def differences(self) -> int:
        """Number of orders that the two sides disagree about."""
        return sum(self.counts)

    @property
    def sums_differ(self) -> bool:
        """Return whether the two sides count or add up differently; not judged where an error leaves theirs open."""
        return not self.error and (self.ours != self.theirs or abs(self.our_spend - self.their_spend) > HALF_A_CENT)

    @property
    def money_differs(self) -> bool:
        """Return whether the balance fell by more or less than our orders explain."""
        return abs(self.unexplained) > HALF_A_CENT

    @property
    def disagrees(self) -> bool:
        """Return whether something was found that is wrong, whatever could not be compared."""
        return bool(self.differences) or self.sums_differ or self.money_differs

    @property
    def finding(self) -> tuple[float, ...]:
        """Return what is wrong in numbers, without the window: a finding that repeats the last one sends no event."""
        sums = (self.ours - self.theirs, round(self.our_spend - self.their_spend, 2)) if self.sums_differ else ()
        money = (round(self.unexplained, 2),) if self.money_differs else ()
        return (*self.counts, *sums, *money)

    @property
    def summary(self) -> str:
        """Return what is wrong in one line."""
        count = f"{plural(self.differences, 'order differs', 'orders differ')} between our records and the provider's."
        return " ".join(([count] if self.differences else []) + audit_sentences(self))

    @property
    def complete(self) -> bool:
        """Return whether the provider answered and its list shows all that we know: beyond it a charge may hide."""
        return not self.error and not self.only_by_id

    @property
    def agrees(self) -> bool:
        """Return whether both sides were compared to the end and nothing differs, orders or money, or is in doubt.

        A balance that cannot be read does not prevent it.
        """
        return self.complete and not self.disagrees and not self.in_doubt


@dataclass(frozen=True, slots=True)
class Window:
    """Which orders an audit looks at.

    Numeric order ids are its second clock, as the provider counts them up: what is listed without a readable date,
    or with an older one, belongs to it when its id is larger than the first of ours in it.
    """

    since: datetime | None
    first_id: int | None  #: the smallest numeric id of ours that is dated in it

    @classmethod
    def of(cls, since: datetime | None, ours: Iterable[OurOrder]) -> "Window":
        dated = [o for o in ours if o.placed_at is not None and (since is None or o.placed_at >= since)]
        ids = [number for order in dated if (number := _number(order.order_id)) is not None]
        return cls(since, min(ids, default=None))

    def holds(self, order_id: str | None, moment: datetime | None) -> bool:
        """Return whether an order of which only id and date are known is in the window, or may be in it."""
        if self.since is None or (moment is not None and moment >= self.since):
            return True
        number = _number(order_id)
        if number is None or self.first_id is None:
            return moment is None
        return number > self.first_id

    def holds_ours(self, order: OurOrder) -> bool:
        """Return whether an order of ours is in it: by its date, else by its id; without either it is not."""
        if self.since is None:
            return True
        if order.placed_at is not None:
            return order.placed_at >= self.since
        return bool(order.order_id) and self.holds(order.order_id, None)


def _number(order_id: str | None) -> int | None:
    return int(order_id) if order_id and order_id.isascii() and order_id.isdecimal() else None


class _Sides:
    """Both sides by order id, with the service and the date of each order of the provider."""

    def __init__(self, records: Records, since: datetime | None, theirs: dict[str, IMEIOrder]) -> None:
        self.records, self.theirs = records, theirs
        self.ours = {order.order_id: order for order in records.orders if order.order_id}
        self.window = Window.of(since, records.orders)
        dates = read_dates([order.requested_at for order in theirs.values()])
        self.dates = dict(zip(theirs, dates, strict=True))  #: the date of each of theirs
        self.nameless = defaultdict[tuple[str, str], list[OurOrder]](list)  #: ours without an id, the dated last
        self.stand_ins: dict[str, OurOrder] = {}  #: their id → ours without one
        for order in sorted(records.orders, key=lambda o: (o.placed_at is not None, -o.row)):
            if not order.order_id:
                self.nameless[order.imei[:14], order.service_id or ""].append(order)

    def service(self, order: IMEIOrder) -> str:
        """Return the service id of an order, or the provider's word where we know none."""
        word = order.service_id.strip()
        return self.records.labels.get(word.lower(), word)

    def is_recognised(self, order: IMEIOrder) -> bool:
        return order.service_id.strip().lower() in self.records.labels

    def is_under_way(self, order: IMEIOrder) -> bool:
        """Return whether a call that has no answer yet may have placed it."""
        services = self.records.under_way.get(order.imei, frozenset())
        return bool(services) and (not self.is_recognised(order) or self.service(order) in services)

    def is_in_window(self, order: IMEIOrder) -> bool:
        ours = self.ours.get(order.id)
        if ours is not None:
            return self.window.holds_ours(ours)
        return self.window.holds(order.id, self.dates[order.id])

    def take_nameless(self, order: IMEIOrder) -> bool:
        """Match it with an order of ours without an id, each with one at most. Return whether there was one."""
        waiting = self.nameless.get((order.imei[:14], self.service(order)))
        if not waiting:
            return False
        self.stand_ins[order.id] = waiting.pop()
        return True

    def known(self, order: IMEIOrder) -> OurOrder | None:
        """Return the order of ours with its id, or matched with it."""
        return self.ours.get(order.id) or self.stand_ins.get(order.id)


def compare(
    start: AuditReport, records: Records, listed: Sequence[IMEIOrder], by_id: Sequence[IMEIOrder]
) -> AuditReport:
    """Return start with every comparison of our records and what the provider listed or reported by id."""
    on_list = {order.id: order for order in listed}
    since = datetime.fromisoformat(start.since) if start.since else None
    sides = _Sides(records, since, {order.id: order for order in by_id} | on_list)
    strange = [order for order in on_list.values() if order.id not in sides.ours and sides.is_in_window(order)]
    under_way = {order.id for order in strange if sides.is_under_way(order)}
    unknown = [o for o in strange if o.id not in under_way and not sides.take_nameless(o)]
    matched = {order.row for order in sides.stand_ins.values()}
    ours = [order for order in records.orders if sides.window.holds_ours(order) or order.row in matched]
    reported = [order for order in dict.fromkeys([*listed, *by_id]) if sides.is_in_window(order)]
    theirs = [o for o in sides.theirs.values() if sides.is_in_window(o) and o.id not in under_way]
    missing = [order for order in ours if order.order_id and order.order_id not in sides.theirs]
    unmatched = [order for order in ours if not order.order_id and order.row not in matched]
    twice, repeats = _repeats(sides, theirs, {order.id for order in unknown})
    spend = [_price(sides, order) for order in theirs]
    times = sorted((date, order.requested_at) for order in listed if (date := sides.dates[order.id]))
    return replace(
        start,
        listed=len(on_list),
        oldest=times[0][1] if times else "",
        newest=times[-1][1] if times else "",
        ours=len(ours),
        theirs=len(theirs),
        only_by_id=sum(1 for order in ours if order.order_id in sides.theirs and order.order_id not in on_list),
        under_way=len(under_way),
        our_spend=round(sum(_our_price(sides, order) or 0.0 for order in ours), 4),
        their_spend=round(sum(price for price in spend if price is not None), 4),
        unpriced=spend.count(None),
        in_doubt=records.in_doubt,
        at_stake=round(records.at_stake, 4),
        undated=sum(1 for order in strange if since and sides.dates[order.id] is None),
        unknown_to_us=_difference(_example(sides, order) for order in unknown),
        # After an error it is open what the provider knows: then nothing is reported as missing there.
        unknown_to_them=_difference(_our_example(order) for order in ([] if start.error else missing)),
        unmatched=_difference(_our_example(order) for order in ([] if start.error else unmatched)),
        charged_twice=_difference(_example(sides, order) for order in twice),
        other_device=_difference(_example(sides, order) for order in reported if _is_another(sides, order)),
        repeats=_difference(_example(sides, order) for order in repeats),
    )


def _repeats(sides: _Sides, theirs: Sequence[IMEIOrder], unknown: set[str]) -> tuple[list[IMEIOrder], list[IMEIOrder]]:
    """Return the surplus orders of each IMEI and service: those charged twice, and those that no batch explains."""
    in_window = {(order.imei, sides.service(order)) for order in theirs}
    groups: defaultdict[tuple[str, str], list[IMEIOrder]] = defaultdict(list)
    for order in sides.theirs.values():
        key = (order.imei, sides.service(order))
        if order.imei and key in in_window and not (order.id not in sides.ours and sides.is_under_way(order)):
            groups[key].append(order)
    twice, repeated = list[IMEIOrder](), list[IMEIOrder]()
    for group in groups.values():
        surplus = _surplus(sides, group, unknown) if len(group) > 1 else []
        twice += surplus
        if len(group) > 1 and not surplus and any(_batch(sides, order) is None for order in group):
            repeated += group[1:]
    return twice, repeated


def _surplus(sides: _Sides, group: Sequence[IMEIOrder], unknown: set[str]) -> list[IMEIOrder]:
    """Return the orders of one IMEI and service that nobody asked for: unknown, or a second one of the same batch."""
    unknown_here = [order for order in group if order.id in unknown]
    batches: set[int] = set()
    surplus: list[IMEIOrder] = []
    for order in group:
        batch = _batch(sides, order)
        if batch is not None and batch in batches:
            surplus.append(order)
        batches |= {batch} if batch is not None else set()
    return surplus + (unknown_here[1:] if len(unknown_here) == len(group) else unknown_here)


def _batch(sides: _Sides, order: IMEIOrder) -> int | None:
    ours = sides.ours.get(order.id)
    return ours.batch_id if ours else None


def _is_another(sides: _Sides, order: IMEIOrder) -> bool:
    """Return whether the provider has this id of ours for another IMEI, or certainly for another service."""
    ours = sides.ours.get(order.id)
    if ours is None:
        return False
    if order.imei and order.imei[:14] != ours.imei[:14]:
        return True
    return bool(ours.service_id) and sides.is_recognised(order) and sides.service(order) != ours.service_id


def _price(sides: _Sides, order: IMEIOrder) -> float | None:
    """Return what an order cost by our records, else the service's price of today, in US dollars."""
    ours = sides.known(order)
    return sides.records.prices.get(sides.service(order)) if ours is None else _our_price(sides, ours)


def _our_price(sides: _Sides, order: OurOrder) -> float | None:
    if order.credits is not None:
        return order.credits
    return sides.records.prices.get(order.service_id or "")


def _example(sides: _Sides, order: IMEIOrder) -> Example:
    return Example(order.id, order.imei, sides.service(order), order.requested_at)


def _our_example(order: OurOrder) -> Example:
    date = f"{order.placed_at:%Y-%m-%d %H:%M:%S} UTC" if order.placed_at else ""
    return Example(order.order_id or "", order.imei, order.service_id or "", date)


def _difference(found: Iterable[Example]) -> Difference:
    examples = list(found)
    return Difference(len(examples), tuple(examples[:EXAMPLES]))


def unexplained(fell: float, known: float, refundable: float) -> float:
    """Return the US dollars charged beyond what is known; negative where less was charged than refunds explain."""
    if fell > known:
        return round(fell - known, 4)
    return round(min(0.0, fell - (known - refundable)), 4)


def audit_sentences(report: AuditReport) -> list[str]:
    """Return a sentence each about the counts, the sums and the balance of an audit."""
    found = []
    if report.sums_differ:
        ours = f"{plural(report.ours, 'order')} for {money(report.our_spend)}"
        found.append(f"We have {ours}; the provider has {report.theirs:,} for {money(report.their_spend)}.")
    if not report.balance_since:
        return [*found, f"The balance was not compared. {report.balance_note}".rstrip()]
    fell = f"The balance {_fell(report.balance_fell)} since {report.balance_since} UTC"
    back = f", {money(report.refundable)} of it perhaps paid back" if report.refundable else ""
    found.append(f"{fell}; our orders since then cost {money(report.known_spent)}{back}.")
    if report.unexplained > 0 and report.money_differs:
        cause = "a higher price, orders placed elsewhere, or a call in doubt that was charged"
        found.append(f"{money(report.unexplained)} more was charged than our orders explain: {cause}.")
    elif report.money_differs:
        found.append(f"{money(-report.unexplained)} less was charged than our orders cost: a top-up or a refund.")
    return found


def _fell(dollars: float) -> str:
    return f"rose by {money(-dollars)}" if dollars < 0 else f"fell by {money(dollars)}"
