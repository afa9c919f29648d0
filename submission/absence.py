"""When an IMEI that got no clear answer may be sent again. Pure: no I/O, no clock, no database.

A call that may have been charged is repeated only when all of this holds at the same moment:
1. rest: nobody can still be working on it (its own deadline, then the quiet time, and twice the age at which a
   doubtful order of this account was ever found);
2. whole: the provider's list can be read, contradicts neither itself nor our records, and shows every order of its
   service that we know from before and from after the call;
3. fresh: the list has changed since it was first read after the call;
4. money: the account holds what it held before the call, less what the orders cost that we know, as exactly as its
   balance is written, and as far as no price has fallen since;
5. the list shows no order that may be the one in doubt (listing.py looks for it).
Where one of these is missing, a sentence says so, and a person may decide.
"""

from dataclasses import dataclass

from amounts import TOLERANCE, exceeds, plural

#: US dollars: the least difference that a balance shows which is written in cents.
CENT = 0.01
#: The least price (US dollars) that a balance written in cents can show.
LEAST_VISIBLE = 0.02
#: What a person can do where the program cannot decide.
ON_SITE = "Look the IMEIs up on the provider's site."
IF_IT_STAYS = "It is read again; look the IMEIs up on the provider's site if it stays so."


@dataclass(frozen=True, slots=True)
class Around:
    """The orders of one service that we know around a call in doubt, by the provider's order ids."""

    before: frozenset[str]  #: the newest ones whose calls had ended before it began
    since: frozenset[str]  #: those of all other calls
    after: frozenset[str]  #: of these, those whose calls began after it


@dataclass(frozen=True, slots=True)
class ListView:
    """One look at the provider's list, as it concerns one service."""

    order_ids: frozenset[str]  #: of the orders that may be of this service
    ours: frozenset[str]  #: of these, the orders that we know
    unreadable: int  #: records without an id, with an IMEI that cannot be read, or that contradict others or our own
    fingerprint: str  #: of ids and states: two looks with the same one saw the same list


@dataclass(frozen=True, slots=True)
class Money:
    """What the account's balance shows of a call in doubt, in US dollars."""

    price: float  #: the least that one IMEI of the call can have cost
    fell: float  #: by how much the balance is lower than before the call
    known: float  #: what the orders since then cost, as far as we know them
    refundable: float  #: what may have been paid back since then, or not charged, because a price fell
    step: float = CENT  #: the least difference that its balances show

    @property
    def unexplained(self) -> float:
        """The most that may have been charged for orders that we do not know."""
        return self.fell - self.known + self.refundable

    @property
    def off(self) -> float:
        """By how much two balances may show another fall: less than a step, and not at all where all is whole steps."""
        whole = all(_is_whole(amount, self.step) for amount in (self.price, self.known, self.refundable))
        return self.step / 2 if whole else self.step


def rests_until(sent: float, deadline: float, quiet: float, lag: float, found: float | None) -> float:
    """Return when absence may count, in seconds of the clock that sent and found are of.

    sent: when the call was sent; deadline: seconds that the provider may work on it; quiet: seconds after that; lag:
    the largest age in seconds at which a doubtful order was ever found; found: when an order of this call was found.
    """
    moments = [sent + deadline + quiet, sent + 2 * lag]
    if found is not None:
        moments.append(found + quiet)
    return max(moments)


def call_deadline(timeout: float, imeis: int, seconds_per_imei: float) -> float:
    """Return the seconds that the provider may work on a call: the timeout, or longer where it was slower."""
    return max(timeout, imeis * seconds_per_imei)


def left_out(view: ListView, around: Around) -> int:
    """Return how many of the orders that we know around a call the list does not show."""
    return len((around.before | around.since) - view.ours)


def has_grown(view: ListView, shorter: frozenset[str] | None) -> bool:
    """Return whether a list shows all orders of a shorter one and one more of ours: then that one was not cut.

    An order that we do not know does not make it longer: a result text may hold its record.
    """
    return shorter is not None and shorter <= view.order_ids and not view.ours <= shorter


def list_objection(view: ListView, around: Around, first: str, shorter: frozenset[str] | None) -> str:
    """Return why this list does not prove that an order is absent; "" when it would show it.

    first is the fingerprint at the first look after the doubt; shorter are the order ids of the service on an earlier
    list that left out no order of ours.
    """
    if view.unreadable:
        orders = plural(view.unreadable, "order")
        return (
            f"The provider's list has {orders} whose id or IMEI cannot be read or contradicts another record. {ON_SITE}"
        )
    if around.before and not around.before & view.ours:
        return (
            "The provider's list shows none of our orders of this service from before the call: it may not reach back "
            f"so far any more. {IF_IT_STAYS}"
        )
    missing = left_out(view, around)
    if missing:
        orders = plural(missing, "order")
        return f"The provider's list leaves out {orders} of this service that we know. {IF_IT_STAYS}"
    if not around.before and not has_grown(view, shorter):
        return (
            "No order of this service from before the call shows how far back the provider's list reaches. "
            + IF_IT_STAYS
        )
    if not around.after:
        return (
            "No order of this service was placed after the call, which would show that the list is up to date. "
            "The next one will."
        )
    if view.fingerprint == first:
        return "The provider's list has not changed since the call. It is read again until it has."
    return ""


def money_objection(money: Money | None) -> str:
    """Return why the balance does not confirm that nothing was charged; "" when it does.

    None: it cannot be compared.
    """
    if money is None:
        return f"The account's balance from before the call, or now, is not known. {ON_SITE}"
    if money.price < max(LEAST_VISIBLE, 2 * money.off):
        return f"An IMEI costs too little to be seen in the account's balance. {ON_SITE}"
    if exceeds(money.unexplained, money.off):
        return f"${money.unexplained:,.2f} more than the orders that we know cost may have left the account. {ON_SITE}"
    if exceeds(money.known - money.refundable - money.fell, money.off):
        return (
            f"The account holds more than it should: a payment came in, or its balance is not up to date. {IF_IT_STAYS}"
        )
    return ""


def piece_length(imeis: int, price: float, limit: float, longest: int) -> int:
    """Return how many of these IMEIs (price in US dollars) may be sent again now; 0 where a person must decide.

    limit is in US dollars; longest is the longest comma list that the service is proven for.
    """
    affordable = int((limit + TOLERANCE) / price) if price > 0 else imeis
    return min(imeis, affordable, max(1, longest))


def _is_whole(amount: float, step: float) -> bool:
    return abs(amount - step * round(amount / step)) <= TOLERANCE
