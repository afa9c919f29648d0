"""Fetch the results of pending orders: ask in lists of ids, and write one answer a transaction.

Fresh orders of quick services are asked for at the ages FRESH, in whole lists. A round asks for every order that is
due: an id that the answer leaves out stays as it was and is asked for again in smaller lists; a list that is unreadable
or refused is halved until the order that spoils it is alone. That one is shown and asked for rarely, so that it does
not block the others. A final result is never overwritten with less. This module decides when and what to ask; it
places nothing.
"""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Protocol

from amounts import plural
from database import IMEIDatabase, Transaction, read_setting, utc_now
from gsm_fusion_client import GSMFusionAPIError, RefusalKind, RefusedError
from orders import IMEIOrder
from results.asking import LIST_LENGTHS, ask_in_lists
from results.order_values import result_values
from storage import account_store
from storage.account_mark import setting_of
from storage.background import Duty, name_for
from storage.result_store import (
    PendingOrder,
    Withheld,
    count_pending,
    note_withheld,
    pending_orders,
    read_pending,
    store_results_or_each,
    withheld,
)
from submission import may_be_one_order

logger = logging.getLogger(__name__)

#: Ages (seconds) at which an order of a quick service is asked for; later at twice the age of the last time.
FRESH = (5.0, 10.0, 20.0, 40.0, 60.0)
#: Age (seconds) up to which orders are looked at for FRESH: a list may be asked for late.
FRESH_UNTIL = FRESH[-1] + 15.0
#: Fresh orders that are asked for in one look, the newest first: a long batch must not keep a single order waiting.
MOST_FRESH = 1000
#: Seconds between two rounds, and before fresh orders are asked for after a failure.
ROUND = 15.0
#: Seconds after which even the oldest order, or one that the provider does not know, is asked for again.
RAREST = 6 * 3600.0
#: A date further ahead than that is not one of our clocks.
OTHER_CLOCK = timedelta(minutes=5)
#: Seconds until an order that spoils its list is asked for again, at first; then twice as long each time, to RAREST.
FIRST_PAUSE = 900.0
#: Failing calls of a round without a readable answer, after which orders from all over the list are tried alone.
MOST_FAILURES = 7
#: How many of them; where they fail too, it is the provider that fails and not an order.
PROBES = 5
#: Seconds in which no list is halved after that.
NO_HALVING = 300.0
#: Orders that spoil lists and are asked for in one round, each alone.
MOST_ALONE = 100
LONGEST_ANSWER = 300  #: characters of an answer that are kept
LEFT_OUT = "The answer does not name it."
UNSTORED = "The result cannot be stored: {}"
#: Seconds between two looks at fresh orders, and at whether somebody pressed "sync now".
LOOK = 1.0
#: Names in the settings table: the last request, the last request that was done, and the report of the last round.
REQUESTED, DONE, LAST = "sync.requested", "sync.done", "sync.last"


class ResultProvider(Protocol):
    """What the sync needs of gsm_fusion_client.GSMFusionClient."""

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[IMEIOrder]: ...


@dataclass(frozen=True, slots=True)
class SyncReport:
    """One round: how many orders were asked for, came back changed, and are still pending."""

    asked: int
    updated: int
    pending: int
    error: str = ""
    calls: int = 0
    at: float = 0.0  #: Unix time of its end


class _Round:
    """What the answers of one round hold."""

    def __init__(self) -> None:
        self.calls = self.updated = 0
        self.wanted = list[str]()  #: all that is asked for in lists
        self.failures = 0  #: calls that failed, perhaps because of one order
        self.answered = False  #: an answer, or a refusal that names an order, shows that the provider works
        self.failed = False  #: no call shows that, whatever it asks for
        self.named: set[str] = set()
        self.blamed: dict[str, str] = {}  #: orders that spoil their lists -> what was answered, or why they do
        self.left_out: set[str] = set()  #: orders that an answer for them alone did not name
        self.unstored: set[str] = set()  #: orders whose results could not be stored
        self.error = ""  #: why no order of a list could be stored


class OrderSync:
    """Asks for pending orders when they are due, and for all of them on request."""

    def __init__(
        self,
        database: IMEIDatabase,
        client: ResultProvider,
        interval: float,
        account: str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """interval in seconds is AUTO_SYNC_INTERVAL; with 0 only requests are answered. account: whose orders."""
        self.account = account
        self.database = database
        self.client = client
        self.interval = interval
        self._clock = clock
        self._asked: dict[str, datetime] = {}  #: when an order was last asked for
        self._whole_until: datetime | None = None  #: no list is halved before
        self._next_round = 0.0  #: of time.monotonic()
        self._next_fresh = 0.0  #: of time.monotonic()
        self._round = _Round()

    def duty(self) -> Duty:
        """Return the duty to sync."""
        self._next_round = time.monotonic() + min(ROUND, self.interval)
        return Duty(name_for("sync", self.account), LOOK, self._turn, "A sync round failed")

    def _turn(self, stop: threading.Event) -> None:
        try:
            self._sync_if_due(stop)
        except Exception:
            self._next_round = self._next_fresh = time.monotonic() + (self.interval or RAREST)
            raise

    def _sync_if_due(self, stop: threading.Event) -> None:
        """Ask for everything where somebody requested it; else for what is due in a round, or for fresh orders."""
        request = self.database.get_setting(REQUESTED)
        done = setting_of(DONE, self.account)
        if request is not None and request != self.database.get_setting(done):
            self.sync(stop=stop)
            self.database.set_setting(done, request)
        elif self.interval and time.monotonic() >= self._next_round:
            self._next_round = time.monotonic() + min(ROUND, self.interval)
            self.sync(only_due=True, stop=stop)
        else:
            self._look_at_fresh(stop)

    def _look_at_fresh(self, stop: threading.Event) -> None:
        """Ask for fresh orders where it is time to; after a failure a round is due, and then fresh orders again."""
        if not self.interval or time.monotonic() < self._next_fresh:
            return
        failed = bool(self.sync_fresh(stop).error)
        self._next_fresh = time.monotonic() + (ROUND if failed else LOOK)
        self._next_round = 0.0 if failed else self._next_round

    def sync(self, only_due: bool = False, stop: threading.Event | None = None) -> SyncReport:
        """Ask once for every pending order, or for those that are due. A failure of the provider ends the round."""
        started, pending = time.monotonic(), pending_orders(self.database, account=self.account)
        known, held = {order.order_id for order in pending}, withheld(self.database, self.account)
        self._asked = {order_id: at for order_id, at in self._asked.items() if order_id in known}
        due = [order.order_id for order in pending if not only_due or self._is_due(order, held.get(order.order_id))]
        if not due and only_due:
            return SyncReport(0, 0, len(pending))
        spoilers = {order_id for order_id, result in held.items() if result.spoils_lists}
        alone = sorted(spoilers.intersection(due), key=lambda order_id: held[order_id].asked_at)[:MOST_ALONE]
        wanted = [order_id for order_id in due if order_id not in spoilers]
        self._round = _Round()
        self._round.wanted = wanted
        error = self._ask_all(wanted, alone, stop or threading.Event())
        self._note_withheld(held, known)
        return self._reported(started, len(wanted) + len(alone), error)

    def sync_fresh(self, stop: threading.Event) -> SyncReport:
        """Ask once, in whole lists, for the newest MOST_FRESH orders of quick services that are due.

        A list that fails ends this and is left to the next round; so is an order that an answer leaves out.
        """
        started, since = time.monotonic(), self._clock() - timedelta(seconds=FRESH_UNTIL)
        fresh = [order for order in pending_orders(self.database, since, self.account) if is_quick(order.delivery)]
        held = withheld(self.database, self.account) if fresh else {}
        due = [order.order_id for order in fresh if order.order_id not in held and self._is_due(order, None)][
            :MOST_FRESH
        ]
        if not due:
            return SyncReport(0, 0, len(fresh))
        interrupted, self._round, error = self._round, _Round(), ""
        try:
            for start in range(0, len(due), LIST_LENGTHS[0]):
                if not stop.is_set():
                    self._ask_once(due[start : start + LIST_LENGTHS[0]])
            error = self._round.error
        except GSMFusionAPIError as failure:
            logger.warning("Asking for fresh results failed: %s", failure)
            error = str(failure)
        report = self._reported(started, len(due), error)
        self._round = interrupted
        return report

    def _reported(self, started: float, asked: int, error: str) -> SyncReport:
        """Store and return the report of what was asked since `started` (monotonic seconds)."""
        updated, calls = self._round.updated, self._round.calls
        report = SyncReport(asked, updated, count_pending(self.database), error, calls, time.time())
        self.database.set_setting(setting_of(LAST, self.account), json.dumps(asdict(report)))
        seconds = time.monotonic() - started
        logger.info("Synced %d of %d pending orders in %s, %.1f s", updated, asked, plural(calls, "call"), seconds)
        return report

    def _is_due(self, order: PendingOrder, held: Withheld | None) -> bool:
        now = self._clock()
        if held:
            return (now - held.asked_at).total_seconds() >= pause_of(held)
        placed_at = order.placed_at
        if placed_at is None or placed_at > now + OTHER_CLOCK:  # unknown, or of another time zone
            placed_at = now - timedelta(seconds=RAREST)
        last = self._asked.get(order.order_id)
        asked = (last - placed_at).total_seconds() if last else 0.0
        return (now - placed_at).total_seconds() >= next_age(asked, order.delivery, self.interval)

    def _ask_all(self, order_ids: list[str], alone: list[str], stop: threading.Event) -> str:
        """Ask in lists, then for each order that spoils one alone. Returns why the provider ended the round."""

        def ask_between(piece: list[str]) -> list[str]:
            """Ask for fresh orders first, so that a long round does not delay them."""
            self._look_at_fresh(stop)
            return self._ask_once(piece)

        self._next_fresh = time.monotonic() + LOOK
        try:
            ask_in_lists(order_ids, ask_between, self._check, stop.is_set)
            self._ask_alone(alone, stop)
        except GSMFusionAPIError as error:
            logger.warning("Asking for results failed: %s", error)
            return str(error)
        return self._round.error

    def _ask_alone(self, order_ids: list[str], stop: threading.Event) -> None:
        """Ask one by one for orders that spoil lists. Raises GSMFusionAPIError for errors that none of them caused."""
        for order_id in order_ids:
            if stop.is_set():
                return
            try:
                self._ask_once([order_id])
            except GSMFusionAPIError as error:
                if not may_be_one_order(error):
                    raise

    def _ask_once(self, piece: list[str]) -> list[str]:
        """Make one call and store its answer; blame an order that is alone where it fails. Returns the ids left out."""
        self._round.calls += 1
        try:
            found = self.client.get_imei_orders(piece)
        except GSMFusionAPIError as error:
            if len(piece) == 1 and may_be_one_order(error):
                self._round.blamed[piece[0]] = error.raw or str(error)
            raise
        self._round.answered = True
        self._store(found)
        return self._note(piece, found)

    def _store(self, found: Sequence[IMEIOrder]) -> None:
        """Store an answer. Where no order of several can be stored, none of them is the cause."""
        updated, failed = store_results_or_each(self.database, found, result_values)
        self._round.updated += updated
        self._round.unstored |= set(failed)
        reasons = {order_id: UNSTORED.format(why) for order_id, why in failed.items()}
        if len(failed) < len(found) or len(found) == 1:
            self._round.blamed |= reasons
        else:
            self._round.error = next(iter(reasons.values()), "")

    def _check(self, error: GSMFusionAPIError) -> None:
        """Raise error unless one order of a list may have caused it.

        Where the provider fails for orders from all over the list as for the first ones, no order is the cause.
        """
        may_halve = self._whole_until is None or self._clock() >= self._whole_until
        if not may_be_one_order(error) or not may_halve:
            raise error
        self._round.failures += 1
        self._round.answered = self._round.answered or is_about_orders(error)
        if self._round.answered or self._round.failures < MOST_FAILURES:
            return
        step = max(1, (len(self._round.wanted) - 1) // (PROBES - 1))
        for order_id in self._round.wanted[::step][:PROBES]:
            try:
                self._ask_once([order_id])
            except GSMFusionAPIError as other:
                if not may_be_one_order(other):
                    raise
            else:
                return
        self._round.failed = True
        self._whole_until = self._clock() + timedelta(seconds=NO_HALVING)
        raise error

    def _note(self, part: list[str], found: Iterable[IMEIOrder]) -> list[str]:
        """Remember what was answered; returns the ids that were not."""
        named = {order.id for order in found}
        missing = [order_id for order_id in part if order_id not in named]
        self._asked |= dict.fromkeys(part, self._clock())
        self._round.named |= named - self._round.unstored
        if len(part) == 1:
            self._round.left_out |= set(missing)
        return missing

    def _note_withheld(self, held: dict[str, Withheld], known: set[str]) -> None:
        """Write down which orders have no result although they were asked for alone, and forget the others."""
        named, answers = self._round.named, dict.fromkeys(self._round.left_out, LEFT_OUT) | self._round.blamed
        found = [self._withheld(held.get(name), name, answers[name]) for name in answers if name not in named]
        given = [order_id for order_id in held if order_id in named or order_id not in known]
        if found or given:
            note_withheld(self.database, found, given)

    def _withheld(self, before: Withheld | None, order_id: str, answer: str) -> Withheld:
        """Return what is known of a withheld result now; a round in which the provider failed does not count."""
        now, times = self._clock(), before.times if before else 0
        return Withheld(
            order_id,
            since=before.since if before else now,
            asked_at=now,
            times=max(1, times + (not self._round.failed)),
            answer=answer[:LONGEST_ANSWER],
            spoils_lists=order_id in self._round.blamed,
        )


def is_about_orders(error: GSMFusionAPIError) -> bool:
    """Whether a refusal says that an order of the list is unknown, so that the provider itself works."""
    return isinstance(error, RefusedError) and error.kind is RefusalKind.ORDER_ID


def pause_of(held: Withheld) -> float:
    """Return the seconds until a withheld order is asked for again: RAREST where answers only leave it out."""
    return min(FIRST_PAUSE * 2.0 ** min(held.times - 1, 10), RAREST) if held.spoils_lists else RAREST


def is_quick(delivery: str) -> bool:
    """Return whether the delivery time of a service, such as "Instant-5 Minutes", is minutes or less."""
    words = delivery.lower()
    return "instant" in words or "minute" in words


def next_age(asked: float, delivery: str, interval: float) -> float:
    """Return the age (seconds) at which an order is due that was last asked for at the age `asked` (0 for never).

    It is due at twice that age, after the interval at the earliest and RAREST at the latest. An order of a quick
    service is due at each of FRESH first, whatever the interval.
    """
    if is_quick(delivery):
        soon = [age for age in FRESH if age > asked]
        return soon[0] if soon else asked + min(asked, RAREST)
    return asked + min(max(asked, interval), max(RAREST, interval))


def request_sync(database: IMEIDatabase) -> None:
    """Request that every pending order is asked for now; the leader starts within seconds."""
    database.set_setting(REQUESTED, secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class SyncState:
    """Where the sync is."""

    pending: int  #: orders that wait for a result
    is_requested: bool  #: a requested sync is not done yet for all accounts
    last: SyncReport | None  #: as last_sync() returns it


def state_of_sync(database: IMEIDatabase) -> SyncState:
    """Return where the sync is."""
    with database.read() as connection:
        return SyncState(read_pending(connection), _is_requested(connection), _last_sync(connection))


def last_sync(database: IMEIDatabase) -> SyncReport | None:
    """Return the sum of the last rounds of all accounts, by any process; None before the first."""
    with database.read() as connection:
        return _last_sync(connection)


def _last_sync(connection: Transaction) -> SyncReport | None:
    names = account_store.names_to_ask(connection)
    stored = [read_setting(connection, setting_of(LAST, account)) for account in names]
    found = sorted((SyncReport(**json.loads(text)) for text in stored if text), key=lambda report: report.at)
    if len(found) < 2:
        return found[0] if found else None
    return SyncReport(
        asked=sum(report.asked for report in found),
        updated=sum(report.updated for report in found),
        pending=found[-1].pending,
        error=" ".join(report.error for report in found if report.error),
        calls=sum(report.calls for report in found),
        at=found[-1].at,
    )


def is_requested(database: IMEIDatabase) -> bool:
    """Return whether a requested sync is not done yet for all accounts."""
    with database.read() as connection:
        return _is_requested(connection)


def _is_requested(connection: Transaction) -> bool:
    request = read_setting(connection, REQUESTED)
    names = account_store.names_to_ask(connection) if request is not None else []
    return any(request != read_setting(connection, setting_of(DONE, account)) for account in names)
