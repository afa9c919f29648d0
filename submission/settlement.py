"""Settling doubt: what became of an IMEI that was sent without a clear answer.

The provider's list of recent orders is read again and again. An order of the IMEI that we do not know is adopted,
unless the provider's ids or dates show that it is older than the call, and once the provider, asked for it by its id,
names the same IMEI: what only the list shows may stand in a result text. An IMEI that the list does not show is sent
again only when absence.py finds every condition fulfilled, in a look that is taken while nothing else is on the wire;
the repeated call is recorded in the transaction that judges the look, so that no other call lies between them, and it
carries no more than the resend limit (US dollars). Everything else waits for a person.

What is assumed of the provider, and what happens where it fails:
- It stops working on a call within the call's deadline (or before it answers), the quiet time, and twice the longest
  delay seen before. An order that it creates even later is charged twice; it shows as an unknown order in the audit.
- Its balance shows every charge at once. A charge that is hidden by a refund or payment of exactly the same amount,
  while the list hides the order too, is charged twice. Without a balance nothing is sent again by itself. Until the
  balance has shown that rejected orders are not paid back, each one counts as a refund that may hide a charge; a refund
  comes with the rejection. After a fall of the price, or where calls cost less than our prices say, a person decides.
- Its order ids grow, or its dates can be read. Where neither holds, an order that may be older is left to a person.
- No other program orders the same IMEIs from the same service on this account. Its orders would be adopted as ours.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum

import submission.absence as absence
from amounts import exceeds, plural
from database import IMEIDatabase, Transaction, read_list_limit, read_setting, write_setting
from gsm_fusion_client import RefusalKind, refusal_kind
from orders import (
    FINAL_STATUSES,
    FOUND_IN_LIST,
    NAMED_BY_PERSON,
    Chunk,
    ChunkState,
    IMEIOrder,
    Item,
    NotPossibleError,
    OrderStatus,
    Outcome,
    Verdict,
)
from provider import ORDER_ID, read_dates
from storage import (
    account_mark,
    balance_store,
    batch_states,
    batch_undo,
    call_queries,
    call_records,
    chunk_moves,
    doubt_moves,
    guards,
    refunds,
)
from storage.balance_store import Reading, Spending
from storage.call_queries import DoubtfulCall
from submission.absence import Around, ListView, Money

logger = logging.getLogger(__name__)

#: Seconds between two looks at the provider's list while something is in doubt.
LOOKS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
#: Quiet times before a look is taken alone again after one that proved nothing.
TURNS = (1 / 12, 1 / 4, 1.0, 5.0)
#: Seconds of other work after calls on the wire did not end in time.
DRAIN_PAUSE = 60.0
#: The next turn of a call that only a person can settle.
FOR_A_PERSON = float("inf")
#: Names in the settings table: a wish to look now; the learned delays, in seconds.
REQUESTED, LAG, SLOWNESS = "settle_requested", "learned_lag", "learned_seconds_per_imei"
#: After so many looks without any order of ours the provider counts as one that does not list.
USELESS_LOOKS = 3
#: Seconds beyond the rest of a call after which no IMEI is held back any more for the sake of a proof.
LONGEST_PROOF = 60.0
#: How many of the nearest orders before a call, and how many since, must stand in the list.
NEAREST, NEWEST = 200, 5000
#: Calls of fewer IMEIs say little about how long the provider works on one.
LEAST_TIMED = 10
#: An order that is older than this before another is older whatever clock changes the provider's dates went through.
CERTAINLY_OLDER = timedelta(days=1)
#: Digits of an IMEI in a list: without its check digit or first zero, whole, or with a software version.
READABLE = range(14, 17)
NOT_RESTED = "The provider may still be working on the call. Its list of orders is read again and again meanwhile."
NEXT_TURN = "It was not placed. It is sent again as soon as no other call is on the wire."
UNLISTED = "The provider does not list its orders now."
UNCLEAR = "The provider's list has an order that may be of this call, but does not say so clearly."
UNCONFIRMED = "The provider's list has an order of this call that it did not confirm when asked for it by its id."
OTHER_ACCOUNT = "It was sent with another account, whose list of orders is not to be had here."
DEARER = "Sending it again costs more than the program may decide by itself."
#: Digits of the longest order id.
LONGEST_ID = 19
TAKEN_BACK = "in doubt again: a person took back what was decided"


@dataclass(frozen=True, slots=True)
class Look:
    """One answer to the question for recent orders."""

    listed: tuple[IMEIOrder, ...]
    asked_at: float  #: monotonic seconds
    last_order: int  #: the newest row id of our orders when it was asked
    answered: bool = True  #: False: the provider does not list, or could not be reached
    alone: bool = False  #: nothing else was on the wire from before it was asked until it is applied
    credits: float | None = None  #: US dollars on the account, asked behind the list; None where not asked or unknown
    confirmed: Mapping[str, IMEIOrder] = field(default_factory=dict)  #: what it says of these ids


@dataclass(slots=True)
class Watch:
    """What this process knows of one attempt that may have placed orders."""

    size: int  #: IMEIs of the call
    since: float  #: monotonic seconds when it was first seen in doubt
    sent: float  #: monotonic seconds when it was sent; for a call of an earlier process, when it was noticed
    ended: float | None = None  #: when a readable answer ended it, though that does not name every IMEI
    found: float | None = None  #: when an order of it was last found
    looked: bool = False  #: a list was seen since, in which its orders were looked for
    first: str = ""  #: fingerprint of the list at the first look
    shorter: int | None = None  #: orders of the service on a list that left none of ours out
    witness_from: int | None = None  #: attempts with a larger id began after the rest
    witnessed: bool = False
    ready: bool = False  #: only a look alone, with the balance, is missing
    failed_turns: int = 0
    next_turn: float = 0.0
    lacked: str = ""  #: why the last look alone proved nothing


@dataclass(slots=True)
class Turn:
    """What one look may lead to."""

    look: Look
    may_repeat: bool  #: one call may be repeated on the strength of it
    shown: "Shown | None" = None  #: None: the provider did not list
    piece: int | None = None  #: the planned chunk that repeats it
    doubtful: float = 0.0  #: US dollars that all calls in doubt can have cost
    spendings: dict[int, Spending] = field(default_factory=dict)  #: since a reading, by its id

    def spent_since(self, connection: Transaction, reading: Reading) -> Spending:
        """What our records and the list say was paid since a reading; summed once in a look."""
        if reading.reading_id not in self.spendings:
            spent = balance_store.spent_since(connection, reading)
            if self.shown is not None:
                since = [o for o in self.shown.rejected if self.shown.owners[o][1] >= reading.before_attempt]
                spent = Spending(
                    spent.known,
                    spent.refundable + refunds.cost_of_unread(connection, self.shown.rejected),
                    spent.rejected + refunds.cost_of_unread(connection, since),
                )
            self.spendings[reading.reading_id] = spent
        return self.spendings[reading.reading_id]

    def repeat(self, connection: Transaction, chunk: Chunk, items: Sequence[Item], words: str) -> None:
        """Plan the one repeated call of this look."""
        logger.info("Chunk %d: %d IMEIs were not placed and are sent again", chunk.chunk_id, len(items))
        self.piece = doubt_moves.repeat(connection, chunk, [item.item_id for item in items], words)
        self.may_repeat = False


@dataclass(slots=True)
class Settler:
    """Keeps the calls in doubt, says when to look at the provider's list, and writes what it shows."""

    quiet: float  #: seconds after a call's deadline before absence may count
    timeout: float = 0.0  #: seconds that a call may take: its deadline, unless the provider was slower
    resend_limit: float = 5.0  #: US dollars that are sent again on the strength of one look
    calls: list[DoubtfulCall] = field(default_factory=list)
    watches: dict[int, Watch] = field(default_factory=dict)  #: by the id of the attempt that is in doubt
    sent: dict[int, float] = field(default_factory=dict)  #: attempt id → monotonic seconds
    ended: dict[int, float] = field(default_factory=dict)  #: attempt id → monotonic seconds of its readable answer
    lag: float = 0.0  #: the largest age (seconds) at which a doubtful order was ever found
    seconds_per_imei: float = 0.0  #: the slowest answered call
    learned: bool = False  #: what earlier processes learned was read
    rested: Reading | None = None  #: the balance in a look alone, from which refunds are looked for
    open_since: frozenset[str] | None = None  #: orders of ours without a result, in the first list asked for after it
    looks: int = 0
    idle_looks: int = 0  #: looks in a row at a list that showed no order of ours
    next_look: float = 0.0
    balance_failures: int = 0  #: in a row

    # What the loop tells

    def began(self, attempt_id: int, moment: float, ended: float | None = None) -> None:
        """A call that left something in doubt was sent at this moment; ended: when it got a readable answer, if any.

        Both in monotonic seconds. A provider that has answered does not work on the call any more.
        """
        self.sent[attempt_id] = moment
        if ended is not None:
            self.ended[attempt_id] = ended

    def answered(self, seconds: float, imeis: int) -> None:
        """A call of so many IMEIs was answered after so many seconds."""
        if imeis >= LEAST_TIMED:
            self.seconds_per_imei = max(self.seconds_per_imei, seconds / imeis)

    def note(self, connection: Transaction, now: float) -> bool:
        """Take in what is in doubt (now in monotonic seconds). Returns whether anything is."""
        if not self.learned:
            self._learn(connection)
        self.calls = call_queries.doubtful_calls(connection)
        sizes = {call.attempt_id: call.imeis for call in self.calls}
        if sizes.keys() - self.watches.keys():
            self.look_soon(now)
        for attempt_id, size in sizes.items():
            watch = Watch(size, now, self.sent.get(attempt_id, now), self.ended.get(attempt_id))
            self.watches.setdefault(attempt_id, watch)
        for attempt_id in self.watches.keys() - sizes.keys():
            del self.watches[attempt_id]
        self.sent = {attempt_id: moment for attempt_id, moment in self.sent.items() if attempt_id in sizes}
        self.ended = {attempt_id: moment for attempt_id, moment in self.ended.items() if attempt_id in sizes}
        if sizes:
            self._note_witnesses(call_queries.newest_attempt(connection), now)
        return bool(sizes)

    def _learn(self, connection: Transaction) -> None:
        self.lag = float(read_setting(connection, LAG) or 0.0)
        self.seconds_per_imei = max(self.seconds_per_imei, float(read_setting(connection, SLOWNESS) or 0.0))
        self.learned = True

    def _note_witnesses(self, newest: int, now: float) -> None:
        for watch in self.watches.values():
            if watch.witness_from is None and now >= self.rests_until(watch):
                watch.witness_from = newest
                self.look_soon(now)
            if watch.witness_from is not None and newest > watch.witness_from and not watch.witnessed:
                watch.witnessed = True
                self.look_soon(now)

    # When to look

    def rests_until(self, watch: Watch) -> float:
        """When absence may count for this call, in monotonic seconds."""
        if watch.ended is not None:
            return absence.rests_until(watch.ended, 0.0, self.quiet, self.lag, watch.found)
        deadline = absence.call_deadline(self.timeout, watch.size, self.seconds_per_imei)
        return absence.rests_until(watch.sent, deadline, self.quiet, self.lag, watch.found)

    def may_be_worked_on(self, now: float) -> bool:
        """Whether the provider may still be working on a call in doubt, so that the balance may change by itself."""
        return any(now < self.rests_until(watch) for watch in self.watches.values())

    def postpone_turns(self, now: float) -> None:
        """The calls on the wire did not end in time for a look alone: other work goes on for a while."""
        for watch in self.watches.values():
            watch.next_turn = max(watch.next_turn, now + DRAIN_PAUSE)

    def look_soon(self, now: float) -> None:
        """Start the series of looks again."""
        self.looks, self.next_look = 0, min(self.next_look, now + LOOKS[1]) if self.looks else now

    def is_due(self, now: float) -> bool:
        """Whether to ask the provider for its list now."""
        return bool(self.watches) and now >= self.next_look

    def looked(self, now: float) -> None:
        """Plan the next look: later each time, but as soon as a call has rested."""
        self.looks += 1
        self.next_look = now + LOOKS[min(self.looks, len(LOOKS) - 1)]
        rested = [self.rests_until(watch) for watch in self.watches.values()]
        self.next_look = min((moment for moment in (self.next_look, *rested) if moment > now), default=self.next_look)

    def wants_turn(self, now: float) -> bool:
        """Whether nothing more shall be sent until a look was taken alone: it may settle what is in doubt."""
        for call in self.calls:
            watch = self.watches[call.attempt_id]
            if call.waits and not call.paused and now >= watch.next_turn and (watch.ready or call.cleared):
                return True
        return False

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing can be proven: the list shows no order of ours, look after look, or there is no balance."""
        return self.idle_looks >= USELESS_LOOKS or self.balance_failures >= USELESS_LOOKS

    @property
    def waits_for_person(self) -> bool:
        """Whether all that is in doubt is left to a person."""
        return self.is_hopeless or all(watch.next_turn == FOR_A_PERSON for watch in self.watches.values())

    def doubts(self, batch_id: int) -> bool:
        """Whether a call of this batch is in doubt."""
        return any(call.batch_id == batch_id for call in self.calls)

    def wants_witness(self, connection: Transaction, now: float) -> bool:
        """Whether one of the last IMEIs may be sent now: as a proof, or because no proof is to be had.

        It waits until the doubtful calls have rested, and until the list has been looked at after an earlier proof.
        """
        if self.is_hopeless:
            return True
        newest = call_queries.newest_attempt(connection)
        return all(
            watch.witness_from is not None
            and (watch.witness_from == newest or now > self.rests_until(watch) + LONGEST_PROOF)
            for watch in self.watches.values()
        )

    # What a look shows

    def apply(self, connection: Transaction, look: Look, may_repeat: bool = False) -> int | None:
        """Adopt, settle or explain every call in doubt. Returns a planned chunk whose intent must be recorded now.

        Only a look taken alone can give one, and only if may_repeat.
        """
        doubtful = [_take_late(connection, c) for c in call_queries.open_chunks(connection, ChunkState.IN_DOUBT)]
        doubtful = self._without_other_account(connection, doubtful)
        turn = Turn(look, may_repeat and look.alone)
        if look.answered:
            turn.shown = self._read(connection, doubtful, look)
            doubtful = [self._adopt(connection, chunk, turn.shown) for chunk in doubtful]
            _pause_for_unknown(connection, turn.shown)
            self._note_balance(connection, turn.shown)
            turn.doubtful = _cost(connection, doubtful)
        else:
            self.idle_looks += 1
        self._keep_slowness(connection)
        for watch in self.watches.values():
            watch.ready = False
        for chunk in doubtful:
            known = self.watches.get(chunk.attempt_id)
            if chunk.items and known is not None:
                objection = self._settle(connection, chunk, known, turn)
                doubt_moves.explain(connection, chunk.chunk_id, objection)
        return turn.piece

    def _without_other_account(self, connection: Transaction, doubtful: Sequence[Chunk]) -> list[Chunk]:
        """Leave the calls to a person that were made before this account adopted the database."""
        adopted = account_mark.adopted_after(connection)
        others = [chunk for chunk in doubtful if chunk.attempt_id <= adopted and not chunk.cleared]
        for chunk in others:
            doubt_moves.explain(connection, chunk.chunk_id, OTHER_ACCOUNT)
            if chunk.attempt_id in self.watches:
                self.watches[chunk.attempt_id].next_turn = FOR_A_PERSON
        return [chunk for chunk in doubtful if chunk not in others] if others else list(doubtful)

    def _keep_slowness(self, connection: Transaction) -> None:
        slowness = f"{self.seconds_per_imei:.3f}"
        if slowness != read_setting(connection, SLOWNESS):
            write_setting(connection, SLOWNESS, slowness)

    def _note_balance(self, connection: Transaction, shown: "Shown") -> None:
        """Keep the balance of a look that was taken alone, when all calls in doubt had rested.

        Two of them in a row show whether the orders that were rejected between them were paid back.
        """
        look = shown.look
        if self.rested is not None and self.open_since is None:
            self.open_since = frozenset(shown.owners) - shown.final
        if not look.alone or look.credits is None or self.may_be_worked_on(look.asked_at):
            return
        reading, first = balance_store.record_reading(connection, look.credits), self.rested
        if first is not None and not refunds.is_doubtful_since(connection, first):
            was_open = self.open_since or frozenset()
            since = [o for o in shown.rejected if o in was_open or shown.owners[o][1] >= first.before_attempt]
            rejected = refunds.cost_of(connection, since)
            refunds.learn(connection, first, reading, rejected)
            if not rejected.count:
                return
        self.rested, self.open_since = reading, None

    def _read(self, connection: Transaction, doubtful: Sequence[Chunk], look: Look) -> "Shown":
        owners = call_queries.order_owners(connection, [order.order_id for order in look.listed])
        self.idle_looks = 0 if owners else self.idle_looks + 1
        contested = _contested([*doubtful, *call_queries.open_chunks(connection, ChunkState.SENDING)])
        return Shown(look, owners, call_queries.service_labels(connection), contested)

    def _adopt(self, connection: Transaction, chunk: Chunk, shown: "Shown") -> Chunk:
        """Record what the list shows of this call. Returns it with the items that it does not show."""
        clock = shown.clock(connection, chunk.first_attempt)
        verdicts, existing, rest = list[Verdict](), list[tuple[Item, IMEIOrder]](), list[Item]()
        said = call_queries.claimed_to_exist(connection, chunk.chunk_id)
        for item in chunk.items:
            order = shown.take(item, chunk.service_id, clock)
            older = shown.older(item, chunk.service_id, clock) if order is None and item.item_id in said else None
            if order is not None:
                verdicts.append(
                    Verdict(item.item_id, item.imei, Outcome.ORDERED, order.order_id, order.status, FOUND_IN_LIST)
                )
            elif older is not None:
                existing.append((item, older))
            else:
                rest.append(item)
        watch = self.watches.get(chunk.attempt_id)
        if verdicts:
            call_records.adopt(connection, chunk, verdicts)
            logger.info("Adopted %d orders of chunk %d from the provider's list", len(verdicts), chunk.chunk_id)
            self._note_found(connection, watch, shown.look.asked_at)
        for item, order in existing:
            doubt_moves.link_existing(connection, chunk, item, order)
        if watch is not None:
            watch.looked = True
        return replace(chunk, items=tuple(rest))

    def _note_found(self, connection: Transaction, watch: Watch | None, now: float) -> None:
        """An order of this call has come up: its rest starts again, and its age is the longest delay seen so far."""
        if watch is None:
            return
        watch.found = now
        if watch.looked and now - watch.sent > self.lag:
            self.lag = now - watch.sent
            write_setting(connection, LAG, f"{self.lag:.3f}")

    def _settle(self, connection: Transaction, chunk: Chunk, watch: Watch, turn: Turn) -> str:
        """Settle what a call has not placed, as far as it is proven. Returns why not all of it is."""
        if chunk.cleared:
            return self._repeat_cleared(connection, chunk, watch, turn)
        if turn.shown is None:
            return UNLISTED
        objection = self._objection(connection, chunk, turn.shown, watch)
        if objection or not turn.look.alone:
            return objection or watch.lacked or NEXT_TURN
        watch.lacked = absence.money_objection(_money(connection, chunk, turn))
        if watch.lacked:
            self._postpone(watch, turn.look.asked_at)
            return watch.lacked
        return self._settle_absent(connection, chunk, watch, turn)

    def _objection(self, connection: Transaction, chunk: Chunk, shown: "Shown", watch: Watch) -> str:
        """Why the list alone does not prove that nothing of this call was placed; notes where it does."""
        around = _around(connection, chunk, shown.look.last_order)
        view = shown.view(chunk.service_id)
        if not watch.first:  # an earlier process may have kept one
            seen = view.fingerprint if shown.look.asked_at >= watch.since else ""
            watch.first = doubt_moves.first_list(connection, chunk.attempt_id, seen)
        objection = absence.list_objection(view, around, watch.first or view.fingerprint, watch.shorter)
        if not view.unreadable and not absence.left_out(view, around):
            watch.shorter = view.length if watch.shorter is None else min(watch.shorter, view.length)
        clock = shown.clock(connection, chunk.first_attempt)
        if any(shown.possible(item, chunk.service_id, clock) for item in chunk.items):
            unconfirmed = any(shown.unconfirmed(item, chunk.service_id, clock) for item in chunk.items)
            objection = UNCONFIRMED if unconfirmed else UNCLEAR
        if shown.look.asked_at < self.rests_until(watch):
            objection = NOT_RESTED
        elif not watch.witnessed and _has_more_to_send(connection, chunk.batch_id):
            objection = objection or "The next order of this batch will show whether the provider's list is up to date."
        watch.ready = watch.ready or not objection
        return objection

    def _settle_absent(self, connection: Transaction, chunk: Chunk, watch: Watch, turn: Turn) -> str:
        """None of these items was placed: give them up, or send the first of them again. Returns why not all."""
        said = call_queries.claimed_to_exist(connection, chunk.chunk_id)
        existing = [item.item_id for item in chunk.items if item.item_id in said]
        absent = [item for item in chunk.items if item.item_id not in said]
        if existing:
            words = "ordered before: the provider says so, and this call placed nothing"
            doubt_moves.give_up(connection, chunk, existing, Outcome.DUPLICATE, words)
        if absent and batch_states.rest_was_cancelled(connection, chunk.batch_id):
            words = "cancelled: it was not placed by the provider's list"
            doubt_moves.give_up(connection, chunk, [item.item_id for item in absent], Outcome.CANCELLED, words)
            return ""
        if not absent or not turn.may_repeat or batch_states.is_paused(connection, chunk.batch_id):
            return NEXT_TURN
        price = batch_states.unit_price(connection, chunk.batch_id)
        length = absence.piece_length(len(absent), price, self.resend_limit, _longest(connection, chunk))
        if not length:
            self._postpone(watch, FOR_A_PERSON)
            watch.lacked = DEARER
            return DEARER
        words = "sent again: not placed by the provider's list and balance"
        turn.repeat(connection, chunk, absent[:length], words)
        return NEXT_TURN

    def _repeat_cleared(self, connection: Transaction, chunk: Chunk, watch: Watch, turn: Turn) -> str:
        """Send again what a person says was not placed, right after a look that does not show it."""
        if not turn.may_repeat or batch_states.is_paused(connection, chunk.batch_id):
            return NEXT_TURN
        if turn.shown is None and self.idle_looks < USELESS_LOOKS:
            self._postpone(watch, turn.look.asked_at)
            return UNLISTED
        absent = list(chunk.items)
        if turn.shown is not None:
            clock = turn.shown.clock(connection, chunk.first_attempt)
            absent = [item for item in absent if not turn.shown.possible(item, chunk.service_id, clock)]
        if not absent:
            self._postpone(watch, turn.look.asked_at)
            return UNCLEAR
        words = "sent again: not placed, as a person decided"
        turn.repeat(connection, chunk, absent[: _longest(connection, chunk)], words)
        return NEXT_TURN

    def _postpone(self, watch: Watch, now: float) -> None:
        """A look alone has proven nothing: other work goes on for a while."""
        watch.next_turn = now + self.quiet * TURNS[min(watch.failed_turns, len(TURNS) - 1)]
        watch.failed_turns += 1


# What the list says


def _around(connection: Transaction, chunk: Chunk, last_order: int) -> Around:
    known = call_queries.known_when_sent(connection, chunk.attempt_id)
    since = call_queries.orders_since(connection, known, last_order, NEWEST, chunk.service_id)
    return Around(
        before=frozenset(call_queries.orders_before(connection, known, NEAREST, chunk.service_id)),
        since=frozenset(since),
        after=frozenset(order_id for order_id, attempt in since.items() if attempt > chunk.attempt_id),
    )


def _money(connection: Transaction, chunk: Chunk, turn: Turn) -> Money | None:
    """What the account tells; None where the balance of one of the two moments is not known."""
    before, credits = balance_store.reading_before(connection, chunk.first_attempt), turn.look.credits
    if before is None or credits is None or not refunds.are_prices_known(connection):
        return None
    price = batch_states.unit_price(connection, chunk.batch_id)
    if exceeds(price, call_queries.listed_price(connection, chunk.service_id, price)):
        return None
    spent, fell = turn.spent_since(connection, before), before.credits - credits
    refundable = spent.refundable if refunds.are_given(connection, fell, spent, turn.doubtful) else 0.0
    return Money(price, round(fell, 4), round(spent.known, 4), round(refundable, 4))


def _cost(connection: Transaction, chunks: Iterable[Chunk]) -> float:
    """US dollars that the IMEIs in doubt of these chunks can have cost."""
    return sum(len(chunk.items) * batch_states.unit_price(connection, chunk.batch_id) for chunk in chunks)


def _take_late(connection: Transaction, chunk: Chunk) -> Chunk:
    """Settle the items of which a late answer left an order. Returns the chunk with its other items.

    The list does not show such an order as unknown: the item would count as absent and would be paid again.
    """
    verdicts = call_queries.recorded_late(connection, chunk)
    if not verdicts:
        return chunk
    call_records.adopt(connection, chunk, verdicts)
    logger.info("Chunk %d: a late answer named %d of its orders", chunk.chunk_id, len(verdicts))
    settled = {verdict.item_id for verdict in verdicts}
    return replace(chunk, items=tuple(item for item in chunk.items if item.item_id not in settled))


def _has_more_to_send(connection: Transaction, batch_id: int) -> bool:
    """Whether a running batch has planned calls: one of them can be the proof."""
    return any(batch.batch_id == batch_id for batch in batch_states.running_batches(connection))


def _longest(connection: Transaction, chunk: Chunk) -> int:
    """How many IMEIs one repeated call may carry: one where an IMEI that is not named had the call refused."""
    words = call_queries.attempt_message(connection, chunk.attempt_id)
    if refusal_kind(words) in (RefusalKind.DUPLICATE, RefusalKind.INVALID_IMEI):
        return 1
    return max(1, read_list_limit(connection, chunk.service_id))


def _contested(chunks: Iterable[Chunk]) -> frozenset[str]:
    """IMEIs that these calls were made for with more than one service."""
    asked = {(item.imei, chunk.service_id) for chunk in chunks for item in chunk.items}
    return frozenset(imei for imei, services in Counter(imei for imei, _ in asked).items() if services > 1)


def _pause_for_unknown(connection: Transaction, shown: "Shown") -> None:
    """Pause each batch that is about to order what the provider lists already and we do not know.

    Where the list says clearly that it is the same IMEI and service, and the provider confirms it, the order is linked
    and the IMEI left out.
    """
    found: dict[int, list[IMEIOrder]] = {}
    for item in call_queries.planned_among(connection, list(shown.unknown)) if shown.unknown else ():
        for order in shown.unknown[item.imei[:14]]:
            service = shown.labels.get(_label(order))
            other = service is None and shown.is_long_before(order, item.created_at)
            if other or not order.order_id or service not in (None, item.service_id):
                continue
            confirmed = shown.confirmed(order, item.imei, item.service_id)
            if service and _is_exact(order, item.imei) and confirmed is not None:
                same = replace(confirmed, imei=item.imei)
                chunk_moves.leave_out_existing(connection, item.batch_id, item.service_id, same)
            found.setdefault(item.batch_id, []).append(order)
            break
    for batch_id, orders in found.items():
        first = orders[0]
        words = (
            f"The provider lists {plural(len(orders), 'order')} of IMEIs that this batch has not sent, such as order"
            f" {first.order_id} of {first.imei}. Those of this service are left out. Another program or a copy of this"
            " database may have ordered the others too: make sure that it has not before you resume the batch."
        )
        batch_states.pause(connection, batch_id, words)
        logger.error("Batch %d: %s", batch_id, words)


def to_confirm(connection: Transaction, listed: Sequence[IMEIOrder]) -> set[str]:
    """The ids of listed orders that a look at this list may adopt or link."""
    owners = call_queries.order_owners(connection, [order.order_id for order in listed])
    unknown = [order for order in listed if order.order_id not in owners and ORDER_ID.fullmatch(order.order_id)]
    if not unknown:
        return set()
    bodies = sorted({body for order in unknown for body in _bodies(order.imei)})
    planned = call_queries.planned_among(connection, bodies)
    doubtful = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
    wanted = {item.imei[:14] for item in planned} | {item.imei[:14] for chunk in doubtful for item in chunk.items}
    return {order.order_id for order in unknown if wanted & _bodies(order.imei)}


def is_readable(look: Look) -> bool:
    """Whether every order of a list has an id and an IMEI that can be compared with ours."""
    return look.answered and not any(map(_is_odd, look.listed))


def unexplained_fall(connection: Transaction, before: Reading | None, credits: float | None) -> float:
    """US dollars that left the account since a reading, beyond all that our orders and calls in doubt can cost."""
    if before is None or credits is None:
        return 0.0
    known = balance_store.spent_since(connection, before).known
    doubtful = _cost(connection, call_queries.open_chunks(connection, ChunkState.IN_DOUBT))
    beyond = before.credits - credits - known - doubtful
    return beyond if exceeds(beyond, refunds.CENT) else 0.0


def _label(order: IMEIOrder) -> str:
    return order.service_id.strip().lower()


def _bodies(imei: str) -> set[str]:
    """The first 14 digits of the IMEIs that this listed text may stand for."""
    if not imei.isdecimal() or len(imei) not in READABLE:
        return set()
    bodies = {imei[:14]}
    if len(imei) == 14:
        bodies.add(f"0{imei[:13]}")
    if len(imei) == 16 and imei.startswith("0"):
        bodies.add(imei[1:15])
    return bodies


class Age(IntEnum):
    """How a listed order compares with a call, as far as one of the provider's clocks tells."""

    OLDER = -1
    UNKNOWN = 0
    YOUNGER = 1


@dataclass(frozen=True, slots=True)
class Clock:
    """The provider's two clocks, ids and dates, at the moment when a call began."""

    newest_id: int | None  #: the largest id of our orders from before the call; None where ids do not grow
    newest_date: datetime | None  #: the date of the latest of these
    about: datetime | None  #: where no order of ours is from before the call: a date about that of the call

    def age(self, order: IMEIOrder, date: datetime | None) -> Age:
        """Whether an order is certainly older or younger than the call; UNKNOWN where the two clocks disagree."""
        by_id, by_date = self._by_id(order.order_id), self._by_date(date)
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


class Shown:
    """What one look at the provider's list shows, and which of its orders are unknown to us."""

    def __init__(
        self,
        look: Look,
        owners: Mapping[str, tuple[str, int]],
        labels: Mapping[str, str],
        contested: frozenset[str],
    ) -> None:
        """owners: order id → (IMEI, attempt) of ours; labels: service id or title in lower case → service id;
        contested: IMEIs that are in doubt or on the wire for more than one service."""
        self.look = look
        self.owners = owners
        self.labels = labels
        self.contested = contested
        dates = read_dates([order.requested_at for order in (*look.listed, *look.confirmed.values())])
        self.dates = {order.order_id: date for order, date in zip(look.listed, dates, strict=False)}
        confirmed_dates = zip(look.confirmed, dates[len(look.listed) :], strict=True)
        self.confirmed_dates = {order_id: date or self.dates.get(order_id) for order_id, date in confirmed_dates}
        self.unknown: dict[str, list[IMEIOrder]] = {}  #: by the first 14 digits, the newest first
        unknown = [order for order in look.listed if order.order_id not in owners]
        for order in sorted(unknown, key=self._recency, reverse=True):
            for body in _bodies(order.imei):
                self.unknown.setdefault(body, []).append(order)
        ours = [order for order in look.listed if order.order_id in owners]
        self.final = frozenset(order.order_id for order in ours if order.status in FINAL_STATUSES)
        self.rejected = frozenset(order.order_id for order in ours if order.status == OrderStatus.REJECTED)
        states = sorted((order.order_id, order.status, order.replied_at) for order in look.listed)
        self._fingerprint = hashlib.sha256(repr(states).encode()).hexdigest()
        self._views: dict[str, ListView] = {}
        self._clocks: dict[int, Clock] = {}

    def _recency(self, order: IMEIOrder) -> tuple[datetime, int, str]:
        return self.dates[order.order_id] or datetime.min, len(order.order_id), order.order_id

    def is_long_before(self, order: IMEIOrder, moment: datetime) -> bool:
        """Whether a listed order is older than this moment (UTC), whatever the time zone of the provider's dates is."""
        date = self.dates[order.order_id]
        return date is not None and moment - date > 2 * CERTAINLY_OLDER

    def view(self, service_id: str) -> ListView:
        """The list as this service sees it: what is certainly of another one is left out."""
        if service_id not in self._views:
            mine = [order for order in self.look.listed if self.labels.get(_label(order), service_id) == service_id]
            odd = sum(map(_is_odd, mine))
            self._views[service_id] = ListView(frozenset(self.owners), len(mine), odd, self._fingerprint)
        return self._views[service_id]

    def clock(self, connection: Transaction, attempt_id: int) -> Clock:
        """The provider's clocks when this attempt began."""
        if attempt_id not in self._clocks:
            known = call_queries.known_when_sent(connection, attempt_id)
            before = call_queries.orders_before(connection, known, NEAREST)
            ours = [self.dates[order_id] for order_id, (_, attempt) in self.owners.items() if attempt]
            sent_at = call_queries.sent_at(connection, attempt_id)
            self._clocks[attempt_id] = Clock(
                newest_id=self._newest_id(before, attempt_id),
                newest_date=max((date for o in before if (date := self.dates.get(o))), default=None),
                about=min((date for date in ours if date), default=sent_at),
            )
        return self._clocks[attempt_id]

    def _newest_id(self, before: Sequence[str], attempt_id: int) -> int | None:
        """The largest of these ids; None unless all are numbers, and smaller than those of later calls of ours."""
        if not before or not all(order_id.isdecimal() for order_id in before):
            return None
        newest = max(map(int, before))
        later = [o for o, (_, attempt) in self.owners.items() if attempt > attempt_id]
        return newest if all(o.isdecimal() and int(o) > newest for o in later) else None

    def take(self, item: Item, service_id: str, clock: Clock) -> IMEIOrder | None:
        """Take out the newest unknown order that this IMEI's call has placed.

        The wire does not say whether <package> is an id, a title or something else, so what is not recognised counts
        as ours: to send again what was placed would cost money, to adopt it costs nothing. Only where the IMEI is in
        doubt for two services a person must say whose it is.
        """
        for order in self._candidates(item, service_id):
            confirmed = self.confirmed(order, item.imei, service_id)
            if confirmed is None or not self._is_of(order, item, clock):
                continue
            if self._is_of(confirmed, item, clock, by_id=True):
                self._remove(order)
                return confirmed
        return None

    def older(self, item: Item, service_id: str, clock: Clock) -> IMEIOrder | None:
        """Take out an order of this IMEI and service that is certainly older than the call."""
        for order in self._candidates(item, service_id):
            confirmed = self.confirmed(order, item.imei, service_id)
            mine = self.labels.get(_label(order)) == service_id
            if confirmed is None or not mine or not _is_exact(order, item.imei):
                continue
            if self._age(order, clock) is self._age(confirmed, clock, by_id=True) is Age.OLDER:
                self._remove(order)
                return confirmed
        return None

    def confirmed(self, order: IMEIOrder, imei: str, service_id: str) -> IMEIOrder | None:
        """What the provider says of a listed order by its id, if it names this IMEI and no other service."""
        asked = self.look.confirmed.get(order.order_id)
        if asked is None or not _is_exact(asked, imei):
            return None
        return asked if self.labels.get(_label(asked), service_id) == service_id else None

    def unconfirmed(self, item: Item, service_id: str, clock: Clock) -> bool:
        """Whether the list names an order of this IMEI's call that only lacks the provider's word by its id."""
        found = [order for order in self._candidates(item, service_id) if self._is_of(order, item, clock)]
        return any(self.confirmed(order, item.imei, service_id) is None for order in found)

    def possible(self, item: Item, service_id: str, clock: Clock) -> bool:
        """Whether the list names something that may be an order of this IMEI's call, so that it is not absent."""
        return any(self._age(order, clock) is not Age.OLDER for order in self._candidates(item, service_id))

    def _is_of(self, order: IMEIOrder, item: Item, clock: Clock, by_id: bool = False) -> bool:
        """Whether the list, or the provider by id, says clearly that an order is of this IMEI and of its call."""
        unclear = item.imei in self.contested and _label(order) not in self.labels
        return _is_exact(order, item.imei) and not unclear and self._age(order, clock, by_id) is Age.YOUNGER

    def _age(self, order: IMEIOrder, clock: Clock, by_id: bool = False) -> Age:
        dates = self.confirmed_dates if by_id else self.dates
        return clock.age(order, dates[order.order_id]) if order.order_id else Age.UNKNOWN

    def _candidates(self, item: Item, service_id: str) -> list[IMEIOrder]:
        found = self.unknown.get(item.imei[:14], [])
        return [order for order in found if self.labels.get(_label(order), service_id) == service_id]

    def _remove(self, order: IMEIOrder) -> None:
        for body in _bodies(order.imei):
            self.unknown[body].remove(order)


def _is_exact(order: IMEIOrder, imei: str) -> bool:
    """Whether a listed order has an id and names this very IMEI; a list may lose the first zero."""
    return bool(order.order_id) and order.imei.zfill(15) == imei.zfill(15)


def _is_odd(order: IMEIOrder) -> bool:
    """Whether a listed order has no id, or an IMEI that cannot be compared with ours."""
    return not order.order_id or not _bodies(order.imei)


# What a person decides


def ask_again(database: IMEIDatabase) -> None:
    """Have the runner look at the provider's list now."""
    with database.write() as connection:
        newest = call_queries.newest_attempt(connection)
    previous = int(database.get_setting(REQUESTED) or 0)
    database.set_setting(REQUESTED, str(max(previous + 1, newest)))


def rest_before_decision(database: IMEIDatabase, timeout: float, quiet: float, imeis: int) -> float:
    """Seconds after a call of so many IMEIs in which nobody may decide that it placed nothing: as long as we wait."""
    with database.read() as connection:
        lag, slowness = (float(read_setting(connection, name) or 0.0) for name in (LAG, SLOWNESS))
    return absence.rests_until(0.0, absence.call_deadline(timeout, imeis, slowness), quiet, lag, None)


def was_not_placed(database: IMEIDatabase, item_ids: Sequence[int], rest: float) -> int:
    """A person says that these items in doubt were not placed: they are sent again. Returns how many.

    The runner looks at the provider's list once more right before. Raises NotPossibleError with a sentence for the page
    while less than rest seconds (deadline and quiet time) have passed since a call was sent: what the provider does
    not show yet it may still place.
    """
    wanted, sent = set(item_ids), 0
    with database.write() as connection:
        for chunk in call_queries.open_chunks(connection, ChunkState.IN_DOUBT):
            chosen = [item.item_id for item in chunk.items if item.item_id in wanted]
            if chosen and not chunk.cleared:
                left = rest - call_queries.seconds_since(connection, chunk.attempt_id)
                if left > 0:
                    raise NotPossibleError(
                        f"The provider may still be working on it. Look once more in {left:.0f} seconds."
                    )
                doubt_moves.clear(connection, chunk, chosen, "not placed, as a person decided; will be sent again")
                sent += len(chosen)
    return sent


def read_order_id(text: str) -> str:
    """An order id as a person types or pastes it. Raises NotPossibleError for anything but digits."""
    order_id = text.strip().lstrip("#").strip()
    if not order_id:
        raise NotPossibleError("Give the provider's order id, as its order page shows it.")
    if not (order_id.isascii() and order_id.isdecimal() and len(order_id) <= LONGEST_ID):
        raise NotPossibleError(f"“{order_id[:40]}” is not an order id: it is digits only, such as 15012345.")
    return order_id


def was_placed(
    database: IMEIDatabase,
    item_id: int,
    order_id: str,
    batch_id: int | None = None,
    status: str = OrderStatus.PENDING,
) -> None:
    """A person found the order of an item in doubt, of this batch where one is named. Raises NotPossibleError."""
    order_id = read_order_id(order_id)
    with database.write() as connection:
        for chunk in call_queries.open_chunks(connection, ChunkState.IN_DOUBT):
            item = next((item for item in chunk.items if item.item_id == item_id), None)
            if item is None or batch_id not in (None, chunk.batch_id):
                continue
            owner = call_queries.order_owners(connection, [order_id]).get(order_id)
            if owner is not None:
                raise NotPossibleError(f"Order {order_id} is known already: it belongs to {owner[0]}.")
            verdict = Verdict(item_id, item.imei, Outcome.ORDERED, order_id, status, NAMED_BY_PERSON)
            call_records.adopt(connection, chunk, [verdict])
            return
    raise NotPossibleError("This IMEI is no longer in doubt.")


def take_back_order(database: IMEIDatabase, batch_id: int, order_id: str) -> None:
    """Undo was_placed: the order is removed and its IMEI in doubt again. Raises NotPossibleError.

    Nothing is sent on the strength of it: the provider's list is read again, as for any other IMEI in doubt.
    """
    try:
        with database.write() as connection:
            batch_undo.withdraw(connection, batch_id, order_id, TAKEN_BACK)
    except guards.WrongStateError as error:
        raise NotPossibleError(f"Not undone. {error}") from error
    ask_again(database)


def take_back_clearing(database: IMEIDatabase, batch_id: int) -> int:
    """Undo was_not_placed for what was not sent again yet. Returns how many IMEIs are in doubt again."""
    with database.write() as connection:
        return batch_undo.unclear(connection, batch_id, TAKEN_BACK)
