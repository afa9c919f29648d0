"""Learning from the balance whether this account pays back what a rejected order cost.

Between two readings of the balance our orders cost what we know, less what was paid back. If orders were rejected
between them and the balance fell by the whole cost, rejected orders are not paid back on this account. Until that was
seen often enough, every rejected order counts as a possible refund, which may hide the charge of an unknown order.
This module decides nothing about a call; submission/absence.py does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from amounts import exceeds
from database import Transaction, read_setting, write_setting
from orders import OrderStatus
from schema import each_of, orders
from storage import call_queries
from storage.account_mark import setting_of
from storage.balance_store import REFUND, Reading, Spending, spent_since

#: The name in the settings table: how many orders in a row were rejected and not paid back.
KEPT = "rejected_orders_not_paid_back"
#: The name in the settings table: "1" while calls cost less than our prices say, and no refund explains it.
CHEAPER = "calls_cost_less_than_known"
#: This many prove it. One or two may be rejected between a list and the balance that is read right after it.
ENOUGH = 3
#: US dollars: the difference of two balances that are written in cents is off by less.
CENT = 0.01


@dataclass(frozen=True, slots=True)
class Rejections:
    """Orders of ours that were rejected."""

    count: int
    cost: float  #: US dollars


def are_given(connection: Connection, fell: float, spent: Spending, doubtful: float, account: str) -> bool:
    """Return whether refunds may hide a charge, after a reading since which the balance fell by these US dollars.

    doubtful: what all calls in doubt can have cost, in US dollars. If the rejected orders alone cost more, and the
    balance fell by the whole known cost, an unknown charge cannot have made up for refunds.
    """
    if int(read_setting(connection, setting_of(KEPT, account)) or 0) >= ENOUGH:
        return False
    return exceeds(abs(fell - spent.known), CENT) or not exceeds(spent.rejected, doubtful + 2 * CENT)


def learn(connection: Transaction, first: Reading, second: Reading, rejected: Rejections) -> None:
    """Learn from two readings between which these orders were rejected; calls in doubt had rested before the first.

    A balance that fell by less than our orders cost shows a refund or a payment: what was learned is forgotten.
    """
    beyond = first.credits - second.credits - spent_since(connection, first, second).known
    _learn(connection, beyond, rejected, first.account)


def _learn(connection: Transaction, beyond: float, rejected: Rejections, account: str) -> None:
    """Learn from the balance of an account that fell by `beyond` US dollars more than our orders cost."""
    if not exceeds(rejected.cost, 2 * CENT):
        return
    name = setting_of(KEPT, account)
    known = int(read_setting(connection, name) or 0)
    if exceeds(beyond, CENT):
        return
    kept = 0 if exceeds(-beyond, CENT) else known + rejected.count
    if kept != known:
        write_setting(connection, name, str(kept))


def are_prices_known(connection: Connection, account: str) -> bool:
    """Return whether a balance fell by what our orders cost when that could last be compared, refunds aside.

    Where the account pays less than the price that is listed, the difference may hide the charge of an unknown order.
    """
    return read_setting(connection, setting_of(CHEAPER, account)) != "1"


def learn_between(connection: Transaction, first: Reading | None, second: Reading) -> None:
    """Learn from two readings in a row, by the orders that were placed and rejected between them."""
    if first is not None and not is_doubtful_since(connection, first):
        spent = spent_since(connection, first, second)
        less = spent.known - (first.credits - second.credits)
        found = "1" if exceeds(less, spent.refundable + CENT) else "0"
        name = setting_of(CHEAPER, first.account)
        if spent.known and found != (read_setting(connection, name) or "0"):
            write_setting(connection, name, found)
        placed = orders.c.id.between(first.after_order + 1, second.after_order)
        rejected = orders.c.status == OrderStatus.REJECTED
        ours = (orders.c.attempt_id >= first.before_attempt) & (orders.c.account == first.account)
        _learn(connection, -less, _sum(connection, placed & rejected & ours), first.account)


def cost_of(connection: Connection, order_ids: Iterable[str]) -> Rejections:
    """Return how many orders of ours have these ids, and what they cost."""
    return _sum(connection, _among(order_ids))


def cost_of_unread(connection: Connection, order_ids: Iterable[str]) -> float:
    """Return the US dollars that may be paid back for those of these orders whose rejection is not recorded yet."""
    is_unread = func.coalesce(orders.c.status, "") != OrderStatus.REJECTED
    return _sum(connection, _among(order_ids) & is_unread, REFUND).cost


def _among(order_ids: Iterable[str]) -> ColumnElement[bool]:
    return orders.c.order_id.in_(each_of(order_ids))


def _sum(
    connection: Connection, which: ColumnElement[bool], amount: ColumnElement[Any] = orders.c.credits
) -> Rejections:
    query = select(func.count(), func.coalesce(func.sum(amount), 0.0)).where(which, ~orders.c.existed)
    count, cost = connection.execute(query).one()
    return Rejections(int(count), float(cost))


def is_doubtful_since(connection: Connection, reading: Reading) -> bool:
    """Return whether a call of its account that began after this reading is in doubt: it may have cost something."""
    calls = call_queries.doubtful_calls(connection, reading.account)
    return any(call.waits and call.attempt_id >= reading.before_attempt for call in calls)
