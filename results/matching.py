"""Match rows of a file with orders that we have: by order id, by the date of an earlier file, else by time, one to one.

The provider's export has no order ids, and the time zone of its dates is unknown. Pure functions: nothing is read or
written here, and this module must not know what a row would change.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple

from spreadsheets import ImportRow, plain, says_the_same
from storage.rows import Order

#: How far the date of a row may be from the date of its order, in either direction: 24 hours between two clocks of
#: unknown time zones, and 12 hours of slack.
WINDOW = timedelta(hours=36)
#: By how much the dates of one order may differ in two of the provider's files: by whole time zones, so by a multiple
#: of a quarter of an hour, less than a day. Any other difference means two orders.
ZONES = tuple(timedelta(minutes=15 * n) for n in range(-95, 96))
#: Takes the place of a missing date: far from every other.
UNDATED = datetime.min
#: What an export without order ids states about a result; it decides between rows of the same second.
COMPARED = ("status", "result_code_display", "imei2", "carrier", "simlock", "model", "fmi")


@dataclass(frozen=True, slots=True)
class Match:
    """Which stored order a row is about."""

    order: Order | None = None
    by_time: bool = False  #: found by IMEI, service and time; else by its order id, or by the date of an earlier file
    obstacle: str = ""  #: why there is no order, though the row may be about one that we have


class Stamp(NamedTuple):
    """A row or an order in time."""

    key: int  #: position of the row in the file, or row id of the order
    at: datetime  #: whole seconds


#: Position of a row → row id of its order.
Pairs = dict[int, int]
#: (position of a row, row id of an order) → in how many columns they agree.
Likeness = Callable[[int, int], int]


def match_rows(rows: Sequence[ImportRow], stored: Iterable[Order], labels: Mapping[str, str]) -> list[Match]:
    """Return the match of each row. labels: service id or title in lower case → service id.

    stored must hold every order whose id a row names, and every order of the IMEIs of rows without an order id.
    """
    orders = {order.id: order for order in stored}
    by_id = {order.order_id: order for order in orders.values() if order.order_id}
    found = [Match(by_id.get(row.values.get("order_id", ""))) for row in rows]
    named = {match.order.id for match in found if match.order is not None}
    rows_of: dict[str, dict[int, ImportRow]] = defaultdict(dict)
    for place, row in enumerate(rows):
        if not row.failure and "order_id" not in row.values:
            rows_of[row.values["imei"]][place] = row
    orders_of: dict[str, list[Order]] = defaultdict(list)
    for order in orders.values():
        if order.id not in named:  # an order that a row names by its id is not the order of another row
            orders_of[order.imei].append(order)
    for imei in rows_of.keys() & orders_of.keys():
        for place, match in _Device(rows_of[imei], orders_of[imei], labels).matches():
            found[place] = match
    return found


class _Device:
    """The rows without an order id of one IMEI, and its orders that no row names by their ids."""

    def __init__(self, rows: Mapping[int, ImportRow], orders: Sequence[Order], labels: Mapping[str, str]) -> None:
        self.rows = rows
        self.orders = {order.id: order for order in orders}
        self.labels = labels
        self.titles = {place: _title(row.values.get("service_name")) for place, row in rows.items()}
        self.repeats = _repeats(rows)

    def matches(self) -> Iterator[tuple[int, Match]]:
        """Yield the position and the match of each row, except repeats of one that was imported before."""
        known = self._imported_before()
        settled = set(known.values())
        pool = [order for order in self.orders.values() if order.id not in settled]
        timed = self._by_time(known, pool)
        timed |= self._repeated(timed, pool)
        for place in self.rows:
            if place in known:
                yield place, Match(self.orders[known[place]])
                continue
            if place in timed:
                yield place, Match(self.orders[timed[place]], by_time=True)
                continue
            if self.repeats.get(place) not in known:
                yield place, Match(obstacle=self._obstacle(place, timed, pool))

    def _imported_before(self) -> Pairs:
        """Pair each order that came from a file without ids with the row of its date: importing twice adds nothing."""
        dated: dict[datetime, list[int]] = defaultdict(list)
        for place, row in self.rows.items():
            if place not in self.repeats:
                dated[_moment(row.values.get("order_date"))].append(place)
        found: Pairs = {}
        for row_id, order in self.orders.items():
            if order.order_id:
                continue
            same = [
                place for place in dated[_moment(order.order_date)] if place not in found and self._may_be(place, order)
            ]
            best = max(same, key=lambda place: self._likeness(place, row_id), default=None)
            if best is not None:
                found[best] = row_id
        return found

    def _by_time(self, known: Pairs, pool: Sequence[Order]) -> Pairs:
        """Pair the other rows, service by service: with orders of a provider's id first, then with those of files."""
        places_of: dict[str, list[int]] = defaultdict(list)
        for place in self.rows:
            if place not in known and place not in self.repeats:
                places_of[self.titles[place]].append(place)
        found: Pairs = {}
        for title, places in places_of.items():
            taken = set(found.values())
            ours = [order for order in pool if order.id not in taken and self._is_of(title, order)]
            placed = [Stamp(order.id, _moment(order.order_date)) for order in ours if order.order_id]
            found |= pair_by_time([self._stamp(place) for place in places], placed, self._likeness)
            rest = [self._stamp(place) for place in places if place not in found]
            from_files = [Stamp(order.id, _moment(order.order_date)) for order in ours if not order.order_id]
            found |= pair_by_zone(rest, from_files, self._likeness)
        return found

    def _repeated(self, timed: Pairs, pool: Sequence[Order]) -> Pairs:
        """Pair equal rows with equal orders: those that were placed twice within one second."""
        found: Pairs = {}
        for place, first in self.repeats.items():
            if first not in timed:
                continue
            taken, moment = {*timed.values(), *found.values()}, _moment(self.orders[timed[first]].order_date)
            for order in pool:
                is_twin = _moment(order.order_date) == moment and self._is_of(self.titles[place], order)
                if is_twin and order.id not in taken:
                    found[place] = order.id
                    break
        return found

    def _obstacle(self, place: int, timed: Pairs, pool: Sequence[Order]) -> str:
        """Return why a row without a match must not become an order; "" if it may."""
        first = self.repeats.get(place, place)
        if first in timed:
            return f"It repeats row {self.rows[first].number}, which is matched with an order of ours."
        ours = [order for order in pool if self._is_of(self.titles[place], order)]
        at = self._stamp(place).at
        if ours and (at == UNDATED or any(_moment(order.order_date) == UNDATED for order in ours)):
            return "We have an order of this IMEI and service, and one of the two has no date: they may be the same."
        near = {order.id for order in ours if order.order_id and abs(_moment(order.order_date) - at) <= WINDOW}
        takers = sorted(self.rows[row].number for row, order in timed.items() if order in near)
        if not takers:
            return ""
        rows = f"row {takers[0]}" if len(takers) == 1 else f"rows {', '.join(map(str, takers))}"
        hours = WINDOW // timedelta(hours=1)
        return f"Our orders of this IMEI and service within {hours} hours of it are matched with {rows}."

    def _stamp(self, place: int) -> Stamp:
        return Stamp(place, _moment(self.rows[place].values.get("order_date")))

    def _likeness(self, place: int, row_id: int) -> int:
        values, order = self.rows[place].values, self.orders[row_id]
        return sum(says_the_same(getattr(order, name), values.get(name, "")) for name in COMPARED)

    def _is_of(self, title: str, order: Order) -> bool:
        """Return whether an order is of the service with this title in rows: by its id where the title is known."""
        name = _title(order.service_name)
        if title not in self.labels:
            return name == title
        return (order.service_id or self.labels.get(name)) == self.labels[title]

    def _may_be(self, place: int, order: Order) -> bool:
        """Return whether a row may have been imported as this order: its title may have become known since then."""
        return _title(order.service_name) == self.titles[place] or self._is_of(self.titles[place], order)


def pair_by_time(rows: Iterable[Stamp], orders: Iterable[Stamp], likeness: Likeness) -> Pairs:
    """Pair rows and orders of one IMEI and service that are within WINDOW of each other, one to one.

    Where there are as many rows as orders around, the order in time decides: two clocks differ, but both run forward.
    Else the nearest are paired first.
    """
    found: Pairs = {}
    for near_rows, near_orders in _neighbourhoods(sorted(rows, key=_in_time), sorted(orders, key=_in_time)):
        found |= _one_after_another(near_rows, near_orders, likeness) or nearest_first(
            [(row, order) for row in near_rows for order in near_orders if abs(row.at - order.at) <= WINDOW], likeness
        )
    return found


def pair_by_zone(rows: Iterable[Stamp], orders: Iterable[Stamp], likeness: Likeness) -> Pairs:
    """Pair rows and orders whose dates, both from files of the provider, differ by whole time zones."""
    orders_at: dict[timedelta, list[Stamp]] = defaultdict(list)
    for order in orders:
        orders_at[order.at - UNDATED].append(order)
    pairs = [(row, order) for row in rows for zone in ZONES for order in orders_at.get(row.at - UNDATED + zone, ())]
    return nearest_first(pairs, likeness)


def _neighbourhoods(rows: Sequence[Stamp], orders: Sequence[Stamp]) -> Iterator[tuple[list[Stamp], Sequence[Stamp]]]:
    """Split rows and orders, both in time, into the smallest parts that lie more than WINDOW apart."""
    near: list[Stamp] = []
    start = low = high = 0  # orders[start:high] belong to near; orders[low:high] are within WINDOW of this row
    for row in rows:
        while low < len(orders) and row.at - orders[low].at > WINDOW:
            low += 1
        if low >= high:
            if near:
                yield near, orders[start:high]
            near, start, high = [], low, low
        while high < len(orders) and orders[high].at - row.at <= WINDOW:
            high += 1
        if low < high:
            near.append(row)
    if near:
        yield near, orders[start:high]


def _one_after_another(rows: Sequence[Stamp], orders: Sequence[Stamp], likeness: Likeness) -> Pairs:
    """Pair the first with the first, and so on; nothing where the counts differ or a pair is too far apart."""
    if len(rows) != len(orders):
        return {}
    left, found = list(rows), Pairs()
    for order in orders:
        same_second = len(list(takewhile(lambda row: row.at == left[0].at, left)))
        row = left.pop(max(range(same_second), key=lambda place: likeness(left[place].key, order.key)))
        if abs(row.at - order.at) > WINDOW:
            return {}
        found[row.key] = order.key
    return found


def nearest_first(pairs: Iterable[tuple[Stamp, Stamp]], likeness: Likeness) -> Pairs:
    """Choose among possible pairs, the nearest first; between equals the one that agrees more, then the earlier row."""

    def rank(pair: tuple[Stamp, Stamp]) -> tuple[Any, ...]:
        row, order = pair
        return abs(row.at - order.at), -likeness(row.key, order.key), row.at, row.key, order.key

    found: Pairs = {}
    taken: set[int] = set()
    for row, order in sorted(pairs, key=rank):
        if row.key not in found and order.key not in taken:
            found[row.key] = order.key
            taken.add(order.key)
    return found


def _repeats(rows: Mapping[int, ImportRow]) -> Pairs:
    """Position of each row that repeats an earlier one → position of the first of these."""
    first: dict[frozenset[tuple[str, Any]], int] = {}
    found: Pairs = {}
    for place, row in rows.items():
        before = first.setdefault(frozenset(row.values.items()), place)
        if before != place:
            found[place] = before
    return found


def _title(service_name: object) -> str:
    return plain(service_name).lower()


def _moment(date: datetime | None) -> datetime:
    return UNDATED if date is None else date.replace(microsecond=0)


def _in_time(stamp: Stamp) -> tuple[datetime, int]:
    return stamp.at, stamp.key
