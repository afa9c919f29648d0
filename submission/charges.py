"""What the account's balance shows of calls in doubt: charges that our orders do not explain, and refunds.

A balance that is compared here was read while the provider worked on no call of ours. This module reads balances and
learns of refunds; absence.py decides what a difference means.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from amounts import exceeds
from database import Transaction
from orders import Chunk, ChunkState
from storage import audit_store, balance_store, batch_states, call_queries, refunds
from storage.balance_store import Reading, Spending
from submission.absence import CENT, Money
from submission.listing import Listing


@dataclass(slots=True)
class Charges:
    """The balance of one look, beside what our records and the list show of what was paid."""

    listing: Listing
    doubtful: float  #: US dollars that all calls in doubt can have cost
    spendings: dict[int, Spending] = field(default_factory=dict)  #: since a reading, by its id
    overstated: dict[int, float] = field(default_factory=dict)  #: as _overstated(), by the id of the reading
    step: float = 0.0  #: US dollars: the least difference that balances without cents show; 0: not read yet

    def money(self, connection: Transaction, chunk: Chunk) -> Money | None:
        """Return what the balance shows of a call; None where the balance of one of the two moments is not known."""
        before = balance_store.reading_before(connection, chunk.first_attempt, chunk.account)
        credits = self.listing.look.credits
        if before is None or credits is None or not refunds.are_prices_known(connection, chunk.account):
            return None
        confirmed = batch_states.unit_price(connection, chunk.batch_id)
        price = min(confirmed, self._lowest(connection, chunk.service_id, before))
        spent, fell = self._spent_since(connection, before), before.credits - credits
        are_given = refunds.are_given(connection, fell, spent, self.doubtful, chunk.account)
        refundable = (spent.refundable if are_given else 0.0) + self._overstated(connection, before)
        return Money(
            price, round(fell, 4), round(spent.known, 4), round(refundable, 4), self._step(connection, credits)
        )

    def price_now(self, chunk: Chunk) -> float | None:
        """Return what an IMEI of a call costs now, in US dollars; None where that is not known."""
        return (self.listing.look.prices or {}).get(chunk.service_id)

    def _overstated(self, connection: Transaction, reading: Reading) -> float:
        """Return by how many US dollars our orders since a reading may have cost less than our records say.

        They have the price that was confirmed, and the provider charges the price of the moment.
        """
        if reading.reading_id not in self.overstated:
            sums = balance_store.prices_since(connection, reading)
            lowest = {service_id: self._lowest(connection, service_id, reading) for service_id, _, _ in sums}
            less = (count * max(0.0, price - lowest[service_id]) for service_id, price, count in sums)
            self.overstated[reading.reading_id] = sum(less)
        return self.overstated[reading.reading_id]

    def _lowest(self, connection: Transaction, service_id: str, reading: Reading) -> float:
        """Return the lowest price of a service that the provider has listed since a reading, in US dollars."""
        now = (self.listing.look.prices or {}).get(service_id, math.inf)
        return min(now, call_queries.lowest_price(connection, service_id, reading.read_at))

    def _step(self, connection: Transaction, credits: float) -> float:
        """Return the least difference of two balances of the account, in US dollars."""
        if self.listing.look.has_cents:
            return CENT
        if not self.step:
            self.step = balance_store.step_of(connection, credits, self.listing.account)
        return self.step

    def _spent_since(self, connection: Transaction, reading: Reading) -> Spending:
        """Return what our records and the list show was paid since a reading; it is summed once in a look."""
        if reading.reading_id not in self.spendings:
            rejected, owners = self.listing.rejected, self.listing.owners
            since = [order_id for order_id in rejected if owners[order_id][1] >= reading.before_attempt]
            spent = balance_store.spent_since(connection, reading)
            self.spendings[reading.reading_id] = Spending(
                spent.known,
                spent.refundable + refunds.cost_of_unread(connection, rejected),
                spent.rejected + refunds.cost_of_unread(connection, since),
            )
        return self.spendings[reading.reading_id]


@dataclass(slots=True)
class RefundTrace:
    """Two balances in a row that show whether the orders that were rejected between them were paid back."""

    first: Reading | None = None  #: the balance from which refunds are looked for
    open_since: frozenset[str] | None = None  #: orders of ours without a result, in the first list asked for after it

    def note(self, connection: Transaction, listing: Listing, at_rest: bool) -> None:
        """Learn from one look; at_rest: it was taken alone, when all calls in doubt had rested.

        A list that contradicts itself or our records is left out: a result text may say that an order was rejected.
        """
        look = listing.look
        if listing.contradictory:
            return
        if self.first is not None and self.open_since is None:
            self.open_since = frozenset(listing.owners) - listing.final
        if not at_rest or look.credits is None:
            return
        reading = balance_store.record_reading(connection, look.credits, listing.account, look.last_rejection)
        first = self.first
        if first is not None and not refunds.is_doubtful_since(connection, first):
            was_open = self.open_since or frozenset()
            since = [o for o in listing.rejected if o in was_open or listing.owners[o][1] >= first.before_attempt]
            rejected = refunds.cost_of(connection, since)
            refunds.learn(connection, first, reading, rejected)
            if not rejected.count:
                return
        self.first, self.open_since = reading, None


def cost(connection: Transaction, chunks: Iterable[Chunk]) -> float:
    """Return the US dollars that the IMEIs in doubt of these chunks can have cost."""
    return sum(len(chunk.items) * batch_states.unit_price(connection, chunk.batch_id) for chunk in chunks)


def unexplained_fall(connection: Transaction, before: Reading | None, credits: float | None, account: str) -> float:
    """Return the US dollars that left an account since a reading beyond all that our orders and doubts can cost.

    Orders that a rebuild restored are ours, where their ids show that they were charged since.
    """
    if before is None or credits is None:
        return 0.0
    known = balance_store.spent_since(connection, before).known
    known += audit_store.restored_since(connection, before, is_proof=True)
    doubtful = cost(connection, call_queries.open_chunks(connection, ChunkState.IN_DOUBT, account))
    beyond = before.credits - credits - known - doubtful
    return beyond if exceeds(beyond, refunds.CENT) else 0.0
