"""When may an IMEI that got no clear answer be sent again? Pure: no I/O, no clock, no database.

A call that may have been charged is repeated only when all of this holds at the same moment:
1. rest: nobody can still be working on it (its own deadline, then the quiet time, and twice the age at which a
   doubtful order of this account was ever found);
2. whole: the provider's list can be read and shows every order that we know around the call, of its service, from
   before and from after it;
3. fresh: the list has changed since the doubt was first looked at;
4. money: the account holds what it held before the call, less the orders that we know;
5. the list shows no order that may be the one in doubt (settlement.py looks for it).
Whatever is missing is a sentence for a person, who then decides.
"""

from dataclasses import dataclass

from amounts import TOLERANCE, plural

#: The least price (US dollars) that a balance written in cents can show.
LEAST_VISIBLE = 0.02


@dataclass(frozen=True, slots=True)
class Around:
    """The orders of one service that we know around a call in doubt, by the provider's order ids."""

    before: frozenset[str]  #: the newest ones whose calls had ended before it began
    since: frozenset[str]  #: those of all calls that had not
    after: frozenset[str]  #: of these, those whose calls began after it


@dataclass(frozen=True, slots=True)
class ListView:
    """One look at the provider's list, as one service sees it."""

    order_ids: frozenset[str]  #: of the orders that may be of this service
    ours: frozenset[str]  #: of these, the orders that we know
    unreadable: int  #: records without an id, with an IMEI that cannot be read, or that contradict others or our own
    fingerprint: str  #: of ids and states: two looks with the same one saw the same list


@dataclass(frozen=True, slots=True)
class Money:
    """What the account tells about a call in doubt, in US dollars."""

    price: float  #: of one IMEI of the call
    fell: float  #: by how much the balance is lower than before the call
    known: float  #: what the orders since then cost, as far as we know them
    refundable: float  #: what may have been paid back since then

    @property
    def unexplained(self) -> float:
        """The most that may have been charged for orders that we do not know."""
        return self.fell - self.known + self.refundable


def rests_until(sent: float, deadline: float, quiet: float, lag: float, found: float | None) -> float:
    """When absence may count, in seconds of the clock that sent and found are of.

    sent: when the call was sent; deadline: seconds that the provider may work on it; quiet: seconds after that; lag:
    the largest age in seconds at which a doubtful order was ever found; found: when an order of this call was found.
    """
    moments = [sent + deadline + quiet, sent + 2 * lag]
    if found is not None:
        moments.append(found + quiet)
    return max(moments)


def call_deadline(timeout: float, imeis: int, seconds_per_imei: float) -> float:
    """Seconds that the provider may work on a call of so many IMEIs: the timeout, or longer where it was slower."""
    return max(timeout, imeis * seconds_per_imei)


def left_out(view: ListView, around: Around) -> int:
    """How many of the orders that we know around a call the list does not show."""
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
        return f"The provider's list has {orders} whose id or IMEI cannot be read or contradicts another record."
    missing = left_out(view, around)
    if missing:
        return f"The provider's list leaves out {plural(missing, 'order')} of this service that we know."
    if not around.before and not has_grown(view, shorter):
        return "No order of this service from before the call shows how far back the provider's list reaches."
    if not around.after:
        return "No order of this service was placed after the call, which would show that the list is up to date."
    if view.fingerprint == first:
        return "The provider's list has not changed since the call."
    return ""


def money_objection(money: Money | None) -> str:
    """Why the balance does not confirm that nothing was charged; "" when it does. None: it cannot be compared."""
    if money is None:
        return "The account's balance from before the call, or now, is not known."
    if money.price < LEAST_VISIBLE:
        return "An IMEI costs too little to be seen in the account's balance."
    if money.unexplained > money.price / 2:
        return f"${money.unexplained:,.2f} more than the orders that we know cost may have left the account."
    if money.fell < money.known - money.refundable - money.price / 2:
        return "The account holds more than it should: a payment came in, or its balance is not up to date."
    return ""


def piece_length(imeis: int, price: float, limit: float, longest: int) -> int:
    """How many of these IMEIs (price in US dollars) may be sent again now; 0 where a person must decide.

    limit is in US dollars; longest is the longest comma list that the service is proven for.
    """
    affordable = int((limit + TOLERANCE) / price) if price > 0 else imeis
    return min(imeis, affordable, max(1, longest))
