"""The account of the simulated provider's client: what is left after charges and refunds.

This module must not know XML, knobs or how an order is placed.
"""

from collections.abc import Sequence

from simulator.ledger import Charge
from simulator.lists import OrderView

#: The balance that the account starts from while no credit is set, in US dollars.
OPENING_BALANCE = 100_000.0


class CreditAccount:
    """The balance. The writer of the ledger keeps it up to date. Not safe to call from several threads."""

    def __init__(self, charges: Sequence[Charge], credit: float | None) -> None:
        self._charges = charges  #: the ledger's list, which grows
        self.credit = credit  #: US dollars left; None if it is without limit
        self._spent = round(sum(charge.credits for charge in charges), 2)
        self._refunded = 0.0  #: US dollars
        self._unsettled: list[Charge] = []  #: those of the first _watched charges whose orders had no result yet
        self._watched = 0

    def balance(self) -> float:
        """Return the US dollars left: the opening balance or credit, less charges, plus refunds."""
        if self.credit is not None:
            return self.credit
        return max(round(OPENING_BALANCE - self._spent + self._refunded, 2), 0.0)

    def pay(self, charges: Sequence[Charge]) -> None:
        """Take these charges off the balance."""
        cost = sum(charge.credits for charge in charges)
        self._spent = round(self._spent + cost, 2)
        self.credit = None if self.credit is None else round(self.credit - cost, 2)

    def refund(self, orders: OrderView) -> None:
        """Give back the price of the orders whose rejection came since the last time."""
        self._unsettled += self._charges[self._watched :]
        self._watched = len(self._charges)
        settled = [charge for charge in self._unsettled if orders.is_settled(charge)]
        self._unsettled = [charge for charge in self._unsettled if not orders.is_settled(charge)]
        amount = sum(charge.credits for charge in settled if orders.is_rejected(charge))
        self._refunded = round(self._refunded + amount, 2)
        self.credit = None if self.credit is None else round(self.credit + amount, 2)

    def watch(self, orders: OrderView) -> None:
        """Refund from now on the orders that have no result yet, and later ones, but none that has its result."""
        self._unsettled = [charge for charge in self._charges if not orders.is_settled(charge)]
        self._watched = len(self._charges)
