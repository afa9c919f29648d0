"""Settling doubt: what became of an IMEI that was sent without a clear answer.

The provider's list of recent orders is read again and again. An order of the IMEI that we do not know is adopted,
unless the provider's ids or dates show that it is older than the call, and only after the provider, asked for it by
its id, names the same IMEI: what only the list shows may be part of a result text. An IMEI that the list does not show
is sent again only when absence.py finds every condition fulfilled, in a look that is taken while nothing else is on the
wire. The repeated call is recorded in the transaction that judges the look, so that no other call lies between them,
and it costs no more than the resend limit (US dollars). Everything else waits for a person.

README.md ("The promise about money") lists what is assumed of the provider, and what happens where it fails.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import submission.absence as absence
from amounts import exceeds, money
from database import Transaction, read_setting
from gsm_fusion_client import RefusalKind
from orders import FOUND_IN_LIST, BatchState, Chunk, ChunkState, IMEIOrder, Item, ItemOutcome, Outcome
from provider import refusal_kind
from storage import account_mark, batch_states, call_queries, call_records, doubt_moves
from storage.history_mark import OLDER_COPY
from storage.list_limits import read_list_limit
from submission.absence import Around
from submission.charges import Charges, RefundTrace, cost
from submission.listing import NEAREST, Listing, Look
from submission.unknown_orders import pause_for_unknown
from submission.watches import USELESS_LOOKS, Watch, Watches

logger = logging.getLogger(__name__)

#: How many orders of ours since a call must be in the list.
NEWEST = 5000
NOT_RESTED = "The provider may still be working on this call. Its list of orders is read again until then."
NEXT_TURN = "It is sent again as soon as no other call is on the wire and the provider's list still does not show it."
PAUSED = "It is sent again once the batch is resumed, if the provider's list still does not show it."
HELD = "It is sent again as soon as this account may send, if the provider's list still does not show it."
UNLISTED = "The provider does not list its orders now."
UNCLEAR = (
    f"The provider lists an order that may be of this call, but its data does not clearly say so. {absence.ON_SITE}"
)
MOVED = (
    "The provider lists an order of an IMEI of this call, made since it and unknown here, but of another service. "
    f"{absence.ON_SITE}"
)
UNCONFIRMED = (
    "The provider lists an order of this call, but did not confirm it when asked for it by its id. "
    f"{absence.IF_IT_STAYS}"
)
OTHER_ACCOUNT = f"This call was made with another account, whose orders cannot be listed here. {absence.ON_SITE}"
DEARER = f"One IMEI costs more than the program may send again by itself. {absence.ON_SITE}"
PRICE_UNKNOWN = f"What an IMEI of this service costs now is not known. {absence.IF_IT_STAYS}"
RISEN = "An IMEI costs more by now than was confirmed, so nothing is sent again at that price by itself."
NO_PROOF_YET = "The next order of this batch will show whether the provider's list is up to date."


@dataclass(slots=True)
class Turn:
    """What one look may lead to."""

    look: Look
    may_repeat: bool  #: one call may be repeated because of it
    listing: Listing | None = None  #: None: the provider did not list
    charges: Charges | None = None  #: None: the provider did not list
    piece: int | None = None  #: the planned chunk that repeats it

    @property
    def is_held(self) -> bool:
        """Whether it could have led to a repeated call, but nothing may be sent now."""
        return self.look.alone and not self.may_repeat and self.piece is None

    def repeat(self, connection: Transaction, chunk: Chunk, items: Sequence[Item], words: str) -> None:
        """Plan the one repeated call of this look."""
        logger.info("Chunk %d: %d IMEIs were not placed and are sent again", chunk.chunk_id, len(items))
        self.piece = doubt_moves.repeat(connection, chunk, [item.item_id for item in items], words)
        self.may_repeat = False


@dataclass(slots=True)
class Settler(Watches):
    """The calls in doubt, when to look at the provider's list, and what a look settles."""

    resend_limit: float = 5.0  #: US dollars that are sent again because of one look
    refunds: RefundTrace = field(default_factory=RefundTrace, kw_only=True)

    def apply(self, connection: Transaction, look: Look, may_repeat: bool = False) -> int | None:
        """Adopt, settle or explain every call in doubt. Return a planned chunk whose intent must be recorded now.

        Only a look taken alone can give one, and only if may_repeat.
        """
        doubtful = [_take_late(connection, c) for c in self._open_calls(connection, ChunkState.IN_DOUBT)]
        doubtful = self._without_other_account(connection, doubtful)
        turn = Turn(look, may_repeat and look.alone)
        if look.answered:
            doubtful = self._read_list(connection, doubtful, turn)
        else:
            self.idle_looks += 1
        self.keep_slowness(connection)
        for watch in self.watches.values():
            watch.ready = False
        for chunk in doubtful:
            known = self.watches.get(chunk.attempt_id)
            if chunk.items and known is not None:
                objection = self._settle(connection, chunk, known, turn)
                doubt_moves.explain(connection, chunk.chunk_id, objection)
        return turn.piece

    def _open_calls(self, connection: Transaction, state: ChunkState) -> list[Chunk]:
        return call_queries.open_chunks(connection, state, self.account)

    def _without_other_account(self, connection: Transaction, doubtful: Sequence[Chunk]) -> list[Chunk]:
        """Leave the calls to a person that were made before this account adopted the database."""
        adopted = account_mark.adopted_after(connection, self.account)
        others = [chunk for chunk in doubtful if chunk.attempt_id <= adopted and not chunk.cleared]
        for chunk in others:
            doubt_moves.explain(connection, chunk.chunk_id, OTHER_ACCOUNT)
            if chunk.attempt_id in self.watches:
                self.leave_to_person(self.watches[chunk.attempt_id])
        return [chunk for chunk in doubtful if chunk not in others] if others else list(doubtful)

    # What the list shows

    def _read_list(self, connection: Transaction, doubtful: Sequence[Chunk], turn: Turn) -> list[Chunk]:
        """Adopt what the list shows, and note the balance. Return the calls with the items that it does not show."""
        owners = call_queries.order_owners(connection, [order.id for order in turn.look.listed], self.account)
        self.idle_looks = 0 if owners else self.idle_looks + 1
        contested = _contested([*doubtful, *self._open_calls(connection, ChunkState.SENDING)])
        listing = Listing(turn.look, owners, call_queries.service_labels(connection), contested, self.account)
        left = [self._adopt(connection, chunk, listing) for chunk in doubtful]
        pause_for_unknown(connection, listing)
        self.refunds.note(connection, listing, turn.look.alone and not self.may_be_worked_on(turn.look.asked_at))
        turn.listing, turn.charges = listing, Charges(listing, cost(connection, left))
        return left

    def _adopt(self, connection: Transaction, chunk: Chunk, listing: Listing) -> Chunk:
        """Record what the list shows of this call. Return it with the items that it does not show."""
        clock = listing.clock(connection, chunk.first_attempt)
        item_outcomes, existing, rest = list[ItemOutcome](), list[tuple[Item, IMEIOrder]](), list[Item]()
        existed = call_queries.claimed_to_exist(connection, chunk.chunk_id)
        for item in chunk.items:
            order = listing.take(item, chunk.service_id, clock)
            if order is not None:
                item_outcomes.append(
                    ItemOutcome(item.item_id, item.imei, Outcome.ORDERED, order.id, order.status, FOUND_IN_LIST)
                )
            elif item.item_id in existed and (older := listing.take_older(item, chunk.service_id, clock)) is not None:
                existing.append((item, older))
            else:
                rest.append(item)
        watch = self.watches.get(chunk.attempt_id)
        if item_outcomes:
            call_records.adopt(connection, chunk, item_outcomes)
            logger.info("Adopted %d orders of chunk %d from the provider's list", len(item_outcomes), chunk.chunk_id)
            if watch is not None:
                self.note_found(connection, watch, listing.look.asked_at)
        for item, order in existing:
            doubt_moves.link_existing(connection, chunk, item, order)
        if watch is not None:
            watch.looked = True
        return replace(chunk, items=tuple(rest))

    def _postpone(self, watch: Watch, look: Look) -> None:
        """Let other work go on after a look that proved nothing about this call."""
        self.postpone(watch, look.asked_at + look.seconds, look.seconds)

    # What the list does not show

    def _settle(self, connection: Transaction, chunk: Chunk, watch: Watch, turn: Turn) -> str:
        """Settle what a call has not placed, as far as it is proven. Return why not all of it is."""
        if chunk.cleared:
            return self._repeat_cleared(connection, chunk, watch, turn)
        if turn.listing is None or turn.charges is None:
            return _unlisted(turn.look)
        objection = self._objection(connection, chunk, turn.listing, watch)
        if objection or not turn.look.alone:
            return objection or watch.objection or _hindrance(connection, chunk, turn)
        watch.objection = absence.money_objection(turn.charges.money(connection, chunk))
        if not watch.objection and turn.charges.price_now(chunk) is None:
            watch.objection = PRICE_UNKNOWN
        if not watch.objection:
            return self._settle_absent(connection, chunk, watch, turn)
        self._postpone(watch, turn.look)
        return watch.objection

    def _objection(self, connection: Transaction, chunk: Chunk, listing: Listing, watch: Watch) -> str:
        """Return why the list alone does not prove that nothing of this call was placed; note where it does."""
        around = _around(connection, chunk, listing.look.last_order)
        view = listing.view(chunk.service_id)
        if not watch.first:  # an earlier process may have kept one
            seen = view.fingerprint if listing.look.asked_at >= watch.since else ""
            watch.first = doubt_moves.first_list(connection, chunk.attempt_id, seen)
        objection = absence.list_objection(view, around, watch.first or view.fingerprint, watch.shorter)
        if not view.unreadable and not absence.left_out(view, around):
            watch.shorter = view.order_ids if watch.shorter is None else min(watch.shorter, view.order_ids, key=len)
        clock = listing.clock(connection, chunk.first_attempt)
        if any(listing.possible(item, chunk.service_id, clock) for item in chunk.items):
            unconfirmed = any(listing.is_unconfirmed(item, chunk.service_id, clock) for item in chunk.items)
            objection = UNCONFIRMED if unconfirmed else UNCLEAR
        elif any(listing.is_elsewhere(item, chunk.service_id, clock) for item in chunk.items):
            objection = MOVED
        elif any(listing.is_used_again(connection, item) for item in chunk.items):
            objection = UNCLEAR
        if listing.look.asked_at < self.rests_until(watch):
            objection = NOT_RESTED
        elif not watch.is_followed and _has_more_to_send(connection, chunk.batch_id):
            objection = objection or NO_PROOF_YET
        watch.ready = watch.ready or not objection
        return objection

    def _settle_absent(self, connection: Transaction, chunk: Chunk, watch: Watch, turn: Turn) -> str:
        """Give up what was not placed, or send the first of it again. Return why not all of it is settled."""
        existed = call_queries.claimed_to_exist(connection, chunk.chunk_id)
        existing = [item.item_id for item in chunk.items if item.item_id in existed]
        absent = [item for item in chunk.items if item.item_id not in existed]
        if existing:
            words = "ordered before: the provider says so, and this call placed nothing"
            doubt_moves.give_up(connection, chunk, existing, Outcome.DUPLICATE, words)
        if not absent:
            return ""
        if batch_states.is_stopped(connection, chunk.batch_id):
            words = "cancelled: it was not placed by the provider's list"
            doubt_moves.give_up(connection, chunk, [item.item_id for item in absent], Outcome.CANCELLED, words)
            return ""
        if hindrance := _hindrance(connection, chunk, turn):
            self._note_hold(watch, turn, hindrance)
            return hindrance
        if self._is_too_dear(connection, chunk, watch, turn, absent):
            return RISEN
        price = batch_states.unit_price(connection, chunk.batch_id)
        length = absence.piece_length(len(absent), price, self.resend_limit, _longest(connection, chunk))
        if not length:
            self.leave_to_person(watch)
            watch.objection = DEARER
            return DEARER
        words = "sent again: not placed by the provider's list and balance"
        turn.repeat(connection, chunk, absent[:length], words)
        return NEXT_TURN

    def _note_hold(self, watch: Watch, turn: Turn, hindrance: str) -> None:
        """Let other work go on where only this keeps a call from being sent again: that its account may not send.

        Or that nothing of this database may be ordered.
        """
        if hindrance not in (PAUSED, NEXT_TURN):
            self._postpone(watch, turn.look)
            watch.objection = hindrance

    def _is_too_dear(
        self, connection: Transaction, chunk: Chunk, watch: Watch, turn: Turn, absent: Sequence[Item]
    ) -> bool:
        """Give up what would cost more by now than was confirmed. Return whether nothing of a call is sent again.

        A batch that has more to send is about to be paused by its price: a person may resume it at the new one.
        """
        confirmed, now = batch_states.unit_price(connection, chunk.batch_id), _price_now(connection, chunk, turn)
        if not exceeds(now, confirmed):
            return False
        if _has_more_to_send(connection, chunk.batch_id):
            self._postpone(watch, turn.look)
        else:
            words = f"cancelled: it was not placed, and costs {money(now)} by now instead of {money(confirmed)}"
            doubt_moves.give_up(connection, chunk, [item.item_id for item in absent], Outcome.CANCELLED, words)
        return True

    def _repeat_cleared(self, connection: Transaction, chunk: Chunk, watch: Watch, turn: Turn) -> str:
        """Send again what a person cleared, right after a look that does not show it. Return why not all of it is."""
        if not self.may_be_cleared(watch, turn.look.asked_at):
            return NOT_RESTED
        if hindrance := _hindrance(connection, chunk, turn):
            self._note_hold(watch, turn, hindrance)
            return hindrance
        if turn.listing is None and self.idle_looks < USELESS_LOOKS:
            self._postpone(watch, turn.look)
            return _unlisted(turn.look)
        absent = list(chunk.items)
        if turn.listing is not None:
            absent = _unlisted_items(connection, chunk, turn.listing)
        if not absent:
            self._postpone(watch, turn.look)
            return UNCLEAR
        if batch_states.is_stopped(connection, chunk.batch_id):  # after the person had decided
            words = "cancelled: it was not placed, as a person decided"
            doubt_moves.give_up(connection, chunk, [item.item_id for item in absent], Outcome.CANCELLED, words)
            return UNCLEAR
        if self._is_too_dear(connection, chunk, watch, turn, absent):
            return RISEN
        words = "sent again: not placed, as a person decided"
        turn.repeat(connection, chunk, absent[: _longest(connection, chunk)], words)
        return NEXT_TURN


def _unlisted_items(connection: Transaction, chunk: Chunk, listing: Listing) -> list[Item]:
    """Return the items of a call of which the list has no order that may be theirs, in whatever way it is written."""
    clock, service_id = listing.clock(connection, chunk.first_attempt), chunk.service_id
    other_words = listing.other_words(connection)
    return [
        item
        for item in chunk.items
        if not listing.possible(item, service_id, clock)
        and not listing.may_hide(item, service_id, clock, other_words)
        and not listing.is_used_again(connection, item)
    ]


def _take_late(connection: Transaction, chunk: Chunk) -> Chunk:
    """Settle the items of which a late answer left an order. Return the chunk with its other items.

    The list does not show such an order as unknown: the item would count as absent and would be paid again.
    """
    item_outcomes = call_queries.recorded_late(connection, chunk)
    if not item_outcomes:
        return chunk
    call_records.adopt(connection, chunk, item_outcomes)
    logger.info("Chunk %d: a late answer named %d of its orders", chunk.chunk_id, len(item_outcomes))
    settled = {item_outcome.item_id for item_outcome in item_outcomes}
    return replace(chunk, items=tuple(item for item in chunk.items if item.item_id not in settled))


def _hindrance(connection: Transaction, chunk: Chunk, turn: Turn) -> str:
    """Return why nothing of a call can be sent again because of this look, whatever it shows; "" where it can."""
    if batch_states.state_of(connection, chunk.batch_id) is BatchState.PAUSED:
        return PAUSED
    if older_copy := read_setting(connection, OLDER_COPY):
        return older_copy
    if turn.is_held:
        return HELD
    return "" if turn.may_repeat else NEXT_TURN


def _price_now(connection: Transaction, chunk: Chunk, turn: Turn) -> float:
    """Return what an IMEI of a call would cost now, in US dollars, as far as that is known."""
    shown = turn.charges.price_now(chunk) if turn.charges is not None else None
    if shown is not None:
        return shown
    return call_queries.listed_price(connection, chunk.service_id, batch_states.unit_price(connection, chunk.batch_id))


def _unlisted(look: Look) -> str:
    """Return why a look without an answer settles nothing."""
    return " ".join(filter(None, (UNLISTED, look.failure, absence.IF_IT_STAYS)))


def _contested(chunks: Iterable[Chunk]) -> frozenset[str]:
    """Return the IMEIs that these calls were made for with more than one service."""
    asked = {(item.imei, chunk.service_id) for chunk in chunks for item in chunk.items}
    return frozenset(imei for imei, services in Counter(imei for imei, _ in asked).items() if services > 1)


def _around(connection: Transaction, chunk: Chunk, last_order: int) -> Around:
    known = call_queries.known_when_sent(connection, chunk.attempt_id)
    since = call_queries.orders_since(connection, known, last_order, NEWEST, chunk.service_id, chunk.account)
    before = call_queries.orders_before(connection, known, NEAREST, chunk.service_id, chunk.account)
    return Around(
        before=frozenset(before),
        since=frozenset(since),
        after=frozenset(order_id for order_id, attempt in since.items() if attempt > chunk.attempt_id),
    )


def _has_more_to_send(connection: Transaction, batch_id: int) -> bool:
    """Return whether a running batch has planned calls: one of them can be the proof."""
    return any(batch.batch_id == batch_id for batch in batch_states.running_batches(connection))


def _longest(connection: Transaction, chunk: Chunk) -> int:
    """Return how many IMEIs one repeated call may carry: one where an unnamed IMEI had the call refused."""
    words = call_queries.attempt_message(connection, chunk.attempt_id)
    if refusal_kind(words) in (RefusalKind.DUPLICATE, RefusalKind.INVALID_IMEI):
        return 1
    return max(1, read_list_limit(connection, chunk.service_id, chunk.account))
