"""Settling doubt: what became of an IMEI that was sent without a readable answer.

The provider's list of recent orders is asked. An order of the IMEI that we do not know is adopted, the newest one
first, unless the list's own dates say that it is days older than the call. Absence is believed only when the list is
known to hold what it would hold:
- it reaches back far enough: it shows an order of ours whose call had ended before the doubtful call began, or any
  that is days older than ours. In a new database, which has none: all that we ever placed, if a later list is longer;
- it is fresh enough: it shows an order of ours whose call began after the quiet time, in which the provider may still
  work on the doubtful call, and every order that we know of between the two. Where no such call will be made (the
  doubtful one was the last of the day), it must show every order that we know of since the doubtful call, and our
  newest in any case, and twice the time that it lags behind must have passed beyond the quiet time. How much it lags
  is told by the first look that shows the newest of our orders;
- and it names nothing that may be the order, such as one of an unknown service while two services are in doubt.
Only then is the IMEI sent again. Where the provider cannot say, a person decides.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import batch_store
from database import IMEIDatabase, Transaction
from gsm_fusion_client import RefusalKind, refusal_kind
from orders import Chunk, ChunkState, Item, Outcome, ProviderOrder, Verdict

logger = logging.getLogger(__name__)

#: Seconds between two looks at the provider's list while something is in doubt.
LOOKS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
REQUESTED = "settle_requested"
#: After so many looks without any order of ours the provider counts as one that does not list.
USELESS_LOOKS = 3
#: Seconds beyond the quiet time after which no IMEI is held back any more for the sake of a proof.
LONGEST_PROOF = 60.0
#: How many times the quiet time a list may lag behind where nothing has told how much it does.
LONGEST_LAG = 10
#: How many of the newest orders must stand in a list that shows "every" order since a call.
NEWEST = 5000
#: An order that is older than this before another is older whatever clock changes the provider's dates went through.
CERTAINLY_OLDER = timedelta(days=1)


@dataclass(slots=True)
class Watch:
    """What this process knows of one doubtful call."""

    batch_id: int
    since: float  #: monotonic seconds when it was first seen in doubt
    witness_from: int | None = None  #: calls with a larger attempt id began after the quiet time
    witnessed: bool = False  #: such a call has been made, and the list was asked anew because of it
    whole: int | None = None  #: length of a list that showed all that we ever placed, unless it is always cut there


@dataclass(slots=True)
class Settler:
    """Keeps the doubtful calls, says when to look at the provider's list, and writes what it shows."""

    quiet: float  #: seconds after which the provider cannot still be working on a call that we gave up
    watches: dict[int, Watch] = field(default_factory=dict)
    looks: int = 0
    idle_looks: int = 0  #: looks in a row at a list that showed no order of ours
    next_look: float = 0.0
    newest_call: float | None = None  #: when the newest call that placed orders began, in this process
    lag: float | None = None  #: seconds that the list lags behind at most, as far as it was seen since the last doubt

    def note(self, connection: Transaction, now: float) -> bool:
        """Take in what is in doubt (now in monotonic seconds). Returns whether anything is."""
        doubtful = batch_store.chunks_in_doubt(connection)
        newest = batch_store.newest_attempt(connection) if doubtful else 0
        if doubtful.keys() - self.watches.keys():
            self.lag = None
            self.look_soon(now)
        for chunk_id, batch_id in doubtful.items():
            watch = self.watches.setdefault(chunk_id, Watch(batch_id, now))
            if watch.witness_from is None and now - watch.since >= self.quiet:
                watch.witness_from = newest
            if watch.witness_from is not None and newest > watch.witness_from and not watch.witnessed:
                watch.witnessed = True
                self.look_soon(now)
        for chunk_id in self.watches.keys() - doubtful.keys():
            del self.watches[chunk_id]
        return bool(doubtful)

    def look_soon(self, now: float) -> None:
        """Begin the series of looks anew."""
        self.looks, self.next_look = 0, min(self.next_look, now + LOOKS[1]) if self.looks else now

    def is_due(self, now: float) -> bool:
        """Whether to ask the provider for its list now."""
        return bool(self.watches) and now >= self.next_look

    def looked(self, now: float) -> None:
        """Plan the next look: later each time, but as soon as a call may count as not placed."""
        self.looks += 1
        self.next_look = now + LOOKS[min(self.looks, len(LOOKS) - 1)]
        rested = [watch.since + self.quiet + self._rest() for watch in self.watches.values()]
        self.next_look = min((moment for moment in (self.next_look, *rested) if moment > now), default=self.next_look)

    def placed(self, began: float) -> None:
        """A call that began then (monotonic seconds) has placed orders that we know."""
        self.newest_call = began if self.newest_call is None else max(began, self.newest_call)

    @property
    def is_hopeless(self) -> bool:
        """Whether the provider's list shows no order of ours, look after look."""
        return self.idle_looks >= USELESS_LOOKS

    def doubts(self, batch_id: int) -> bool:
        """Whether a call of this batch is in doubt."""
        return any(watch.batch_id == batch_id for watch in self.watches.values())

    def wants_witness(self, connection: Transaction, now: float) -> bool:
        """Whether one of the last IMEIs may be sent now: as a proof, or because no proof is to be had.

        It waits while a doubtful call has its quiet time, and until the list has been asked about an earlier proof.
        """
        if self.is_hopeless:
            return True  # the provider does not list: nothing will ever be proven
        newest = batch_store.newest_attempt(connection)
        longest = self.quiet + min(LONGEST_PROOF, LONGEST_LAG * self.quiet)
        return all(
            watch.witness_from is not None and (watch.witness_from == newest or now - watch.since > longest)
            for watch in self.watches.values()
        )

    def apply(self, connection: Transaction, listed: Sequence[ProviderOrder], asked_at: float) -> int:
        """Adopt, send again or leave in doubt, chunk by chunk. Returns how many IMEIs were settled.

        listed is the provider's whole answer to a question that was asked at asked_at (monotonic seconds).
        """
        doubtful = batch_store.open_chunks(connection, ChunkState.IN_DOUBT)
        owners = batch_store.order_owners(connection, [order.order_id for order in listed])
        self.idle_looks = 0 if owners else self.idle_looks + 1
        unknown = [order for order in listed if order.order_id not in owners]
        shown = Shown(
            order_ids=frozenset(owners),
            placed=tuple((owners[o.order_id][1], _moment(o.requested_at)) for o in listed if o.order_id in owners),
            nameless=any(not order.imei for order in unknown),
            newest=batch_store.newest_placed(connection, NEWEST),
            oldest=min((date for order in listed if (date := _moment(order.requested_at))), default=None),
            length=len(listed),
            asked_at=asked_at,
        )
        contested = _contested(doubtful + batch_store.open_chunks(connection, ChunkState.SENDING))
        wanted = Wanted(_by_body(unknown), batch_store.service_labels(connection), contested)
        return sum(self._settle(connection, chunk, shown, wanted) for chunk in doubtful)

    def _settle(self, connection: Transaction, chunk: Chunk, shown: "Shown", wanted: "Wanted") -> int:
        bound = batch_store.attempts_ended_before(connection, chunk.attempt_id)
        before = shown.latest_before(bound)
        verdicts = [wanted.adopt(item, chunk.service_id, before) for item in chunk.items]
        found = [verdict for verdict in verdicts if verdict is not None]
        absent = [item for item, verdict in zip(chunk.items, verdicts, strict=True) if verdict is None]
        missing = [item for item in absent if not wanted.possible(item, chunk.service_id, before)]
        would_hold_it = self._would_hold(connection, chunk, bound, shown)  # judged by what was known before adopting
        if found:
            batch_store.adopt(connection, chunk, found)
            logger.info("Adopted %d orders of chunk %d from the provider's list", len(found), chunk.chunk_id)
        if missing and would_hold_it:
            batch_store.send_again(
                connection,
                chunk,
                [item.item_id for item in missing],
                "not placed by the provider's list; sent again",
                one_by_one=_one_spoils_all(connection, chunk),
            )
            if batch_store.rest_was_cancelled(connection, chunk.batch_id):
                batch_store.cancel_rest(connection, chunk.batch_id)
            logger.info("Chunk %d: %d IMEIs were not placed and are planned anew", chunk.chunk_id, len(missing))
            return len(found) + len(missing)
        return len(found)

    def _would_hold(self, connection: Transaction, chunk: Chunk, bound: int, shown: "Shown") -> bool:
        """Whether a list that shows these orders of ours would show whatever this call has placed.

        bound: every attempt with a smaller id had ended when this call began.
        """
        watch = self.watches.get(chunk.chunk_id)
        if watch is None or not shown.order_ids or shown.nameless:
            return False
        if watch.whole is not None and shown.length > watch.whole:
            return True
        rested = self._has_rested(watch, bound, shown)
        if not (rested or _is_witnessed(watch, bound, shown)):
            return False
        if any(0 < attempt < bound for attempt, _ in shown.placed) or shown.shows_older:
            return True
        if watch.whole is None and batch_store.all_orders_are_among(connection, len(shown.order_ids)):
            watch.whole = shown.length
        return False

    def _has_rested(self, watch: Watch, bound: int, shown: "Shown") -> bool:
        """Whether the list shows all that we know since this call, and enough time has passed for it to lag behind."""
        newest = max(shown.newest.values(), default=0)
        if any(attempt >= min(bound, newest) for attempt in shown.left_out()):
            return False
        if self.newest_call is not None:
            seen = shown.asked_at - self.newest_call
            self.lag = seen if self.lag is None else min(seen, self.lag)
        return shown.asked_at - watch.since >= self.quiet + self._rest()

    def _rest(self) -> float:
        """Seconds beyond the quiet time after which a list that lags behind would show what was placed."""
        longest = LONGEST_LAG * self.quiet
        return longest if self.lag is None else min(longest, max(self.quiet, 2 * self.lag))


def _is_witnessed(watch: Watch, bound: int, shown: "Shown") -> bool:
    """Whether the list shows a call that began after the quiet time, and all that we know since the doubtful one."""
    start = watch.witness_from
    if start is None or not any(attempt > start for attempt, _ in shown.placed):
        return False
    return not any(bound <= attempt <= start for attempt in shown.left_out())


def _one_spoils_all(connection: Transaction, chunk: Chunk) -> bool:
    """Whether the whole call was refused because of one IMEI that is not told: together they would be refused again."""
    words = batch_store.attempt_message(connection, chunk.attempt_id)
    return refusal_kind(words) in (RefusalKind.DUPLICATE, RefusalKind.INVALID_IMEI)


def _by_body(listed: Iterable[ProviderOrder]) -> dict[str, list[ProviderOrder]]:
    """First 14 digits → the orders of that device, the newest first."""
    found: dict[str, list[ProviderOrder]] = {}
    for order in sorted(listed, key=lambda o: (o.requested_at, len(o.order_id), o.order_id), reverse=True):
        found.setdefault(order.imei[:14], []).append(order)
    return found


def _contested(chunks: Iterable[Chunk]) -> frozenset[str]:
    """IMEIs that these calls were made for with more than one service."""
    asked = {(item.imei, chunk.service_id) for chunk in chunks for item in chunk.items}
    return frozenset(imei for imei, services in Counter(imei for imei, _ in asked).items() if services > 1)


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Shown:
    """What one look at the provider's list showed of the orders that we know."""

    order_ids: frozenset[str]
    #: (attempt, or 0 where none of ours placed it; the provider's date, where it can be read)
    placed: tuple[tuple[int, datetime | None], ...]
    nameless: bool  #: whether it also shows an unknown order without saying of which IMEI
    newest: Mapping[str, int]  #: our newest orders, listed or not → the attempts that placed them
    oldest: datetime | None  #: the provider's date of the oldest order on it, whosever it is
    length: int  #: orders on it
    asked_at: float  #: monotonic seconds

    @property
    def shows_older(self) -> bool:
        """Whether an order on it is days older than every order of ours on it."""
        ours = [date for attempt, date in self.placed if attempt and date is not None]
        return bool(ours) and self.oldest is not None and self.oldest < min(ours) - CERTAINLY_OLDER

    def left_out(self) -> set[int]:
        """The attempts of our newest orders that the list does not show."""
        return {attempt for order_id, attempt in self.newest.items() if order_id not in self.order_ids}

    def latest_before(self, bound: int) -> datetime | None:
        """The provider's date of the latest order that an attempt below bound has placed, where it can be read."""
        dates = (date for attempt, date in self.placed if date is not None and 0 < attempt < bound)
        return max(dates, default=None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Orders that the provider lists and we do not know."""

    unknown: dict[str, list[ProviderOrder]]  #: by the first 14 digits of the IMEI, the newest first
    labels: Mapping[str, str]  #: service id or title in lower case → service id
    contested: frozenset[str]  #: IMEIs that are in doubt or on the wire for more than one service

    def adopt(self, item: Item, service_id: str, before: datetime | None) -> Verdict | None:
        """The verdict for an order of this IMEI, unless it is certainly another's. Takes it out.

        The wire does not say whether <package> is an id, a title or something else, so what is not recognised
        counts as ours: to send again what was placed would cost money, to adopt it costs nothing. Only where the
        IMEI is in doubt for two services a person must say whose it is. before is a date (the provider's) at which
        the call had not begun.
        """
        for order in self._candidates(item, service_id, before):
            unclear = item.imei in self.contested and order.service_id.strip().lower() not in self.labels
            if order.order_id and order.imei == item.imei and not unclear:
                self.unknown[item.imei[:14]].remove(order)
                words = "found in the provider's list"
                return Verdict(item.item_id, item.imei, Outcome.ORDERED, order.order_id, order.status, words)
        return None

    def possible(self, item: Item, service_id: str, before: datetime | None) -> bool:
        """Whether the list names something that may be an order of this IMEI, so that it cannot count as absent."""
        return bool(self._candidates(item, service_id, before))

    def _candidates(self, item: Item, service_id: str, before: datetime | None) -> list[ProviderOrder]:
        return [
            order
            for order in self.unknown.get(item.imei[:14], [])
            if self.labels.get(order.service_id.strip().lower(), service_id) == service_id
            and not _is_older(order, before)
        ]


def _is_older(order: ProviderOrder, before: datetime | None) -> bool:
    requested = _moment(order.requested_at)
    return before is not None and requested is not None and before - requested > CERTAINLY_OLDER


# What a person decides


def ask_again(database: IMEIDatabase) -> None:
    """Have the runner look at the provider's list now."""
    with database.write() as connection:
        newest = batch_store.newest_attempt(connection)
    previous = int(database.get_setting(REQUESTED) or 0)
    database.set_setting(REQUESTED, str(max(previous + 1, newest)))


def was_not_placed(database: IMEIDatabase, item_ids: Sequence[int], quiet: float) -> int:
    """A person says that these items in doubt were not placed: they are sent again. Returns how many.

    Raises ValueError with a sentence for the page within the quiet time (seconds) after a call: what the provider
    does not show yet it may still place.
    """
    wanted, sent = set(item_ids), 0
    with database.write() as connection:
        for chunk in batch_store.open_chunks(connection, ChunkState.IN_DOUBT):
            chosen = [item.item_id for item in chunk.items if item.item_id in wanted]
            if chosen:
                left = quiet - batch_store.seconds_since(connection, chunk.attempt_id)
                if left > 0:
                    raise ValueError(f"The provider may still be working on it. Look once more in {left:.0f} seconds.")
                words = "sent again: not placed, said a person"
                batch_store.send_again(connection, chunk, chosen, words, _one_spoils_all(connection, chunk))
                sent += len(chosen)
    return sent


def was_placed(database: IMEIDatabase, item_id: int, order_id: str) -> None:
    """A person found the order of an item in doubt. Raises ValueError with a sentence for the page."""
    order_id = order_id.strip()
    if not order_id:
        raise ValueError("Give the provider's order id, as its order page shows it.")
    with database.write() as connection:
        for chunk in batch_store.open_chunks(connection, ChunkState.IN_DOUBT):
            item = next((item for item in chunk.items if item.item_id == item_id), None)
            if item is None:
                continue
            owner = batch_store.order_owners(connection, [order_id]).get(order_id)
            if owner is not None:
                raise ValueError(f"Order {order_id} is known already: it belongs to {owner[0]}.")
            verdict = Verdict(item_id, item.imei, Outcome.ORDERED, order_id, message="order id given by a person")
            batch_store.adopt(connection, chunk, [verdict])
            return
    raise ValueError("This IMEI is no longer in doubt.")
