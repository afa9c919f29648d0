"""One look at the provider's list of recent orders: which orders it shows, and which of them may be of a call in doubt.

A listed order is matched with an IMEI by its digits and its service, and with a call by the provider's two clocks: its
order ids and its dates. This module decides nothing about money and writes nothing.
"""

import hashlib
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from functools import cached_property
from itertools import accumulate
from typing import Self

from database import Transaction
from orders import FINAL_STATUSES, IMEIOrder, Item, OrderStatus
from provider import read_dates
from storage import call_queries
from submission.absence import ListView
from submission.listed_imeis import MaskedOrders, bodies, is_same, may_be_part

#: How many orders of ours nearest before a call are its clock, and must be in the list.
NEAREST = 200
#: What a list calls an order without a result.
OPEN_STATUSES = frozenset(OrderStatus) - FINAL_STATUSES
#: An order that is older than another by more than this is older whatever clock changes the dates went through.
CERTAINLY_OLDER = timedelta(days=1)


@dataclass(frozen=True)
class Look:
    """One answer to the question for recent orders.

    What follows from the answer alone is computed once, by prepare() before the transaction that applies the look: a
    long list takes seconds, in which a transaction would hold up all writers, and a server would end it.
    """

    listed: tuple[IMEIOrder, ...]
    asked_at: float  #: monotonic seconds
    last_order: int  #: the newest row id of our orders when it was asked
    answered: bool = True  #: False: the provider does not list, or could not be reached
    alone: bool = False  #: no other call was on the wire from before the question until the look is applied
    credits: float | None = None  #: US dollars on the account, asked after the list; None where not asked or unknown
    confirmed: Mapping[str, IMEIOrder] = field(default_factory=dict)  #: order id → the order that it answers by id
    seconds: float = 0.0  #: that the questions took
    failure: str = ""  #: why there is no answer
    last_rejection: int = 0  #: the newest row id of rejections right before the balance was asked
    has_cents: bool = True  #: the balance is written with its cents
    prices: Mapping[str, float] | None = None  #: service id → US dollars as the account lists it now; None: not known

    def prepare(self) -> Self:
        """Compute what does not depend on our records."""
        _ = self.newest_first, self.confirmed_dates, self.repeated, self.fingerprint
        return self

    @cached_property
    def _all_dates(self) -> list[datetime | None]:
        return read_dates([order.requested_at for order in (*self.listed, *self.confirmed.values())])

    @cached_property
    def dates(self) -> dict[str, datetime | None]:
        """When each listed order was requested, by its id; None where that cannot be read."""
        return {order.id: date for order, date in zip(self.listed, self._all_dates, strict=False)}

    @cached_property
    def confirmed_dates(self) -> dict[str, datetime | None]:
        """When each confirmed order was requested, by its answer or by the list."""
        dates = zip(self.confirmed, self._all_dates[len(self.listed) :], strict=True)
        return {order_id: date or self.dates.get(order_id) for order_id, date in dates}

    @cached_property
    def newest_first(self) -> list[IMEIOrder]:
        """The listed orders, the newest first."""
        return sorted(self.listed, key=self._recency, reverse=True)

    def _recency(self, order: IMEIOrder) -> tuple[datetime, int, str]:
        return self.dates[order.id] or datetime.min, len(order.id), order.id

    @cached_property
    def repeated(self) -> frozenset[str]:
        """The order ids that the list names more than once."""
        counts = Counter(order.id for order in self.listed if order.id)
        return frozenset(order_id for order_id, count in counts.items() if count > 1)

    @cached_property
    def fingerprint(self) -> str:
        """What differs where another order, or another state of one, is listed."""
        states = sorted((order.id, order.status, order.replied_at) for order in self.listed)
        return hashlib.sha256(repr(states).encode()).hexdigest()


class Age(IntEnum):
    """How a listed order compares with a call, as far as one of the provider's clocks shows."""

    OLDER = -1
    UNKNOWN = 0
    YOUNGER = 1


@dataclass(frozen=True, slots=True)
class Clock:
    """The provider's two clocks, ids and dates, at the moment when a call began."""

    newest_id: int | None  #: the largest id of our orders from before the call; None where ids do not grow
    newest_date: datetime | None  #: the date of the latest of these
    about: datetime | None  #: where no order of ours is from before the call: a date close to that of the call
    is_proven: bool = True  #: a later order of ours has a larger id: they grow, and did not begin again meanwhile

    def age(self, order: IMEIOrder, date: datetime | None) -> Age:
        """Return whether an order is certainly older or younger than the call; UNKNOWN where the clocks disagree.

        Ids that were not seen to grow since the call make no order older: they may have begun again, or be random.
        """
        by_id, by_date = self._by_id(order.id), self._by_date(date)
        if by_id is Age.OLDER and by_date is Age.UNKNOWN and not self.is_proven:
            return Age.UNKNOWN
        if Age.OLDER in (by_id, by_date):
            return Age.UNKNOWN if Age.YOUNGER in (by_id, by_date) else Age.OLDER
        return max(by_id, by_date)

    def _by_id(self, order_id: str) -> Age:
        if self.newest_id is None or not order_id.isdecimal():
            return Age.UNKNOWN
        return Age.YOUNGER if int(order_id) > self.newest_id else Age.OLDER

    def _by_date(self, date: datetime | None) -> Age:
        if date is None:
            return Age.UNKNOWN
        if self.newest_date is None:
            return Age.YOUNGER if self.about is not None and self.about - date <= CERTAINLY_OLDER else Age.UNKNOWN
        if self.newest_date - date > CERTAINLY_OLDER:
            return Age.OLDER
        return Age.YOUNGER if date >= self.newest_date else Age.UNKNOWN


class Listing:
    """The orders that one look shows: those that we know, and the unknown ones by IMEI."""

    def __init__(
        self,
        look: Look,
        owners: Mapping[str, tuple[str, int]],
        labels: Mapping[str, str],
        contested: frozenset[str],
        account: str,
    ) -> None:
        """owners: order id → (IMEI, attempt id) of ours; labels: service id or title in lower case → service id;
        contested: IMEIs that are in doubt or on the wire for more than one service; account: whose list it is."""
        self.look = look
        self.owners = owners
        self.labels = labels
        self.contested = contested
        self.account = account
        self.dates, self.confirmed_dates = look.dates, look.confirmed_dates
        self.unknown: dict[str, list[IMEIOrder]] = {}  #: by the first 14 digits, the newest first
        for order in look.newest_first:
            for body in bodies(order.imei) if order.id not in owners else ():
                self.unknown.setdefault(body, []).append(order)
        self._masked = MaskedOrders(order for order in look.newest_first if order.id not in owners)
        misnamed = {order.id for order in look.listed if _is_misnamed(order, owners)}
        #: ids that the list names twice, or under another IMEI than we know: nothing of these is believed
        self.contradictory = look.repeated | misnamed
        ours = [order for order in look.listed if order.id in owners and order.id not in self.contradictory]
        self.final = frozenset(order.id for order in ours if order.status in FINAL_STATUSES)
        self.rejected = frozenset(order.id for order in ours if order.status == OrderStatus.REJECTED)
        self._views: dict[str, ListView] = {}
        self._clocks: dict[int, Clock] = {}
        self._other_words: frozenset[str] | None = None  #: None: not looked up yet

    def is_long_before(self, order: IMEIOrder, moment: datetime) -> bool:
        """Return whether a listed order is older than a moment (UTC), whatever the time zone of the list's dates is."""
        date = None if self.contradictory else self.dates[order.id]
        return date is not None and moment - date > 2 * CERTAINLY_OLDER

    def view(self, service_id: str) -> ListView:
        """Return the list without the orders that are certainly of another service."""
        if service_id not in self._views:
            mine = [order for order in self.look.listed if self._may_be_of(order, service_id)]
            listed = frozenset(order.id for order in mine if order.id)
            odd = sum(map(is_odd, mine)) + sum(order.id in self.contradictory for order in self.look.listed)
            self._views[service_id] = ListView(listed, listed & self.owners.keys(), odd, self.look.fingerprint)
        return self._views[service_id]

    def clock(self, connection: Transaction, attempt_id: int) -> Clock:
        """Return the provider's clocks when this attempt began."""
        if attempt_id not in self._clocks:
            self._clocks[attempt_id] = self._read_clock(connection, attempt_id)
        return self._clocks[attempt_id]

    def _read_clock(self, connection: Transaction, attempt_id: int) -> Clock:
        """Return the clocks, without the dates where records contradict each other: one of them may be forged."""
        known = call_queries.known_when_sent(connection, attempt_id)
        before = call_queries.orders_before(connection, known, NEAREST, account=self.account)
        newest_id = self._newest_id(before, attempt_id)
        is_proven = newest_id is None or self._least_id_after(attempt_id) < math.inf
        if self.contradictory:
            return Clock(newest_id, None, None, is_proven)
        return Clock(
            newest_id=newest_id,
            newest_date=max((date for o in before if (date := self.dates.get(o))), default=None),
            about=self._oldest_date or call_queries.sent_at(connection, attempt_id),
            is_proven=is_proven,
        )

    @cached_property
    def _oldest_date(self) -> datetime | None:
        """The oldest date that the list shows of the orders that our calls have placed."""
        dates = (self.dates[order_id] for order_id, (_, attempt) in self.owners.items() if attempt)
        return min((date for date in dates if date), default=None)

    def _newest_id(self, before: Sequence[str], attempt_id: int) -> int | None:
        """Return the largest of these ids; None unless all are numbers, and smaller than those of later calls."""
        if not before or not all(order_id.isdecimal() for order_id in before):
            return None
        newest = max(map(int, before))
        return newest if self._least_id_after(attempt_id) > newest else None

    def _least_id_after(self, attempt_id: int) -> float:
        """Return the least id of the listed orders of ours that later calls placed; infinity where there is none."""
        placed_by, least = self._least_ids
        return least[bisect_right(placed_by, attempt_id)]

    @cached_property
    def _least_ids(self) -> tuple[list[int], list[float]]:
        """The attempts of the orders of ours, and the least id of those placed by each and by later ones.

        An id that is no number counts as less than all others. Behind the last attempt comes one that is never reached.
        """
        ids = sorted((attempt, int(o) if o.isdecimal() else -1) for o, (_, attempt) in self.owners.items())
        least = list(accumulate((order_id for _, order_id in reversed(ids)), min, initial=math.inf))
        return [attempt for attempt, _ in ids], least[::-1]

    # Which order is of which IMEI

    def take(self, item: Item, service_id: str, clock: Clock) -> IMEIOrder | None:
        """Take out the newest unknown order that the call of this IMEI has placed, as the provider confirms it by id.

        The specification does not say whether <package> is an id, a title or something else, so an order of an unknown
        service counts as ours: sending again what was placed would cost money, adopting it costs nothing. Only where
        the IMEI is in doubt for two services a person must decide.
        """
        for order in self._candidates(item, service_id):
            confirmed = self.confirmed(order, item.imei, service_id)
            if confirmed is None or not self._is_of(order, item, clock):
                continue
            if self._is_of(confirmed, item, clock, by_id=True):
                self._remove(order)
                return confirmed
        return None

    def take_older(self, item: Item, service_id: str, clock: Clock) -> IMEIOrder | None:
        """Take out an unknown order of this IMEI and service that is certainly older than the call."""
        for order in self._candidates(item, service_id):
            confirmed = self.confirmed(order, item.imei, service_id)
            mine = self.labels.get(label(order)) == service_id
            if confirmed is None or not mine or not is_exact(order, item.imei):
                continue
            if self._age(order, clock) is self._age(confirmed, clock, by_id=True) is Age.OLDER:
                self._remove(order)
                return confirmed
        return None

    def confirmed(self, order: IMEIOrder, imei: str, service_id: str) -> IMEIOrder | None:
        """Return the order as the provider answers it by id, if it names this IMEI and no other service."""
        asked = self.look.confirmed.get(order.id)
        if asked is None or not is_exact(asked, imei):
            return None
        return asked if self._may_be_of(asked, service_id) else None

    def is_unconfirmed(self, item: Item, service_id: str, clock: Clock) -> bool:
        """Return whether an order of this IMEI's call is listed that the provider does not confirm by id."""
        found = [order for order in self._candidates(item, service_id) if self._is_of(order, item, clock)]
        return any(self.confirmed(order, item.imei, service_id) is None for order in found)

    def possible(self, item: Item, service_id: str, clock: Clock) -> bool:
        """Return whether an unknown order is listed that may be of this IMEI's call: then the IMEI is not absent."""
        masked = [order for order in self._masked.of(item.imei) if self._may_be_of(order, service_id)]
        found = [*self._candidates(item, service_id), *masked]
        return any(self._age(order, clock) is not Age.OLDER for order in found)

    def is_elsewhere(self, item: Item, service_id: str, clock: Clock) -> bool:
        """Return whether an unknown order of this IMEI since the call is listed of another service.

        The provider may have moved the order of the call to that service: none of ours is of the call and unknown.
        """
        found = (order for order in self.unknown.get(item.imei[:14], ()) if not self._may_be_of(order, service_id))
        return any(self._age(order, clock) is Age.YOUNGER for order in found)

    def other_words(self, connection: Transaction) -> frozenset[str]:
        """Return the words of services that this list uses otherwise than we know, as relabelled() says."""
        if self._other_words is None:
            services = call_queries.services_of(connection, list(self.owners), self.account)
            self._other_words = relabelled(self.look.listed, self.labels, services)
        return self._other_words

    def may_hide(self, item: Item, service_id: str, clock: Clock, other_words: frozenset[str]) -> bool:
        """Return whether an order is listed that may be of this IMEI's call, though what it shows says otherwise.

        Its id is one of ours, as where ids begin again or count for each service; its IMEI cannot be read, and its
        digits are a part of this one; or its service is one of other_words(). Each keeps a list from being a proof.
        """
        named = self._under_ids_of_ours.get(item.imei[:14], [])
        parts = [order for order in self._unreadable if may_be_part(order.imei, item.imei)]
        moved = [order for order in self.unknown.get(item.imei[:14], ()) if label(order) in other_words]
        mine = [order for order in (*named, *parts) if self._may_be_of(order, service_id)]
        return any(self._age(order, clock) is not Age.OLDER for order in (*mine, *moved))

    def is_used_again(self, connection: Transaction, item: Item) -> bool:
        """Return whether an order of this IMEI is listed as open that we know as final: its id may be of a new one."""
        listed = self._open_of_ours.get(item.imei[:14], [])
        return bool(listed) and bool(call_queries.final_among(connection, listed))

    @cached_property
    def _open_of_ours(self) -> dict[str, list[str]]:
        """The ids of ours that the list shows without a result, by the first 14 digits of our IMEI."""
        found = dict[str, list[str]]()
        for order in self.look.listed:
            if order.id in self.owners and order.status in OPEN_STATUSES:
                found.setdefault(self.owners[order.id][0][:14], []).append(order.id)
        return found

    @cached_property
    def _under_ids_of_ours(self) -> dict[str, list[IMEIOrder]]:
        """The orders under ids of ours that may be others, by the first 14 digits of the IMEI that the list names.

        The list names another IMEI than we know, or such an id with two services or dates.
        """
        different = {(order.id, label(order), order.requested_at) for order in self.look.listed}
        orders_of = Counter(order_id for order_id, *_ in different)
        found = dict[str, list[IMEIOrder]]()
        for order in self.look.listed:
            if order.id in self.owners and (orders_of[order.id] > 1 or _is_misnamed(order, self.owners)):
                for body in bodies(order.imei):
                    found.setdefault(body, []).append(order)
        return found

    @cached_property
    def _unreadable(self) -> list[IMEIOrder]:
        """The unknown orders whose IMEI is not one."""
        return [order for order in self.look.listed if order.id not in self.owners and not bodies(order.imei)]

    def _is_of(self, order: IMEIOrder, item: Item, clock: Clock, by_id: bool = False) -> bool:
        """Return whether an order, of the list or by_id, is clearly of this IMEI and of its call."""
        unclear = item.imei in self.contested and label(order) not in self.labels
        return is_exact(order, item.imei) and not unclear and self._age(order, clock, by_id) is Age.YOUNGER

    def _age(self, order: IMEIOrder, clock: Clock, by_id: bool = False) -> Age:
        dates = self.confirmed_dates if by_id else self.dates
        age = clock.age(order, dates[order.id]) if order.id else Age.UNKNOWN
        return Age.UNKNOWN if age is Age.OLDER and self.contradictory else age

    def _may_be_of(self, order: IMEIOrder, service_id: str) -> bool:
        """Return whether an order is of this service, or its service is not recognised."""
        return self.labels.get(label(order), service_id) == service_id

    def _candidates(self, item: Item, service_id: str) -> list[IMEIOrder]:
        return [order for order in self.unknown.get(item.imei[:14], []) if self._may_be_of(order, service_id)]

    def _remove(self, order: IMEIOrder) -> None:
        for body in bodies(order.imei):
            self.unknown[body] = [other for other in self.unknown[body] if other is not order]


def _is_misnamed(order: IMEIOrder, owners: Mapping[str, tuple[str, int]]) -> bool:
    """Return whether a list names an order of ours under another IMEI than we know.

    A result text may hold a whole record with the id of an order of ours: then the list does not show that it is one.
    """
    if order.id not in owners or owners[order.id][0][:14] == order.imei[:14]:
        return False
    shown = bodies(order.imei)
    return bool(shown) and owners[order.id][0][:14] not in shown


def relabelled(listed: Iterable[IMEIOrder], labels: Mapping[str, str], services: Mapping[str, str]) -> frozenset[str]:
    """Return the words of services that a list gives to orders of ours of other services.

    Such a word means something else than we know. labels: call_queries.service_labels; services: order id → service
    id, of orders of ours.
    """
    words = {(label(order), services[order.id]) for order in listed if order.id in services}
    return frozenset(word for word, service_id in words if labels.get(word, service_id) != service_id)


def label(order: IMEIOrder) -> str:
    """Return the provider's word for the service of an order, as the keys of labels are written."""
    return order.service_id.strip().lower()


def is_exact(order: IMEIOrder, imei: str) -> bool:
    """Return whether a listed order has an id and names this very IMEI."""
    return bool(order.id) and is_same(order.imei, imei)


def is_odd(order: IMEIOrder) -> bool:
    """Return whether a listed order has no id, or an IMEI that cannot be compared with ours."""
    return not order.id or not bodies(order.imei)


def is_readable(look: Look) -> bool:
    """Return whether every order of a list has an id and an IMEI that can be compared with ours."""
    return look.answered and not any(map(is_odd, look.listed))
