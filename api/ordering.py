"""What requests that order say about money, and the plan that is made of it. No routes.

The plan and its objections are those of the pages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amounts import exceeds, money
from api.fields import Dollars, Flag, FormSchema, TextLine
from api.problems import Problem, ProblemKind
from backend import backend
from database import Transaction
from storage.batch_queries import planned_imeis
from storage.batch_states import unit_price
from submission import Again, Plan, price_objection, service_objection, unchecked
from web import current_actor

#: Seconds after which a client may ask again for a price that could not be checked.
ASK_AGAIN = 30


class Paid(FormSchema):
    """What every request that orders may say about money."""

    service_id = TextLine(required=True, least=1, metadata={"example": "269"})
    unit_price = Dollars(metadata={"description": "Refuse any other price of an IMEI."})
    max_cost = Dollars(metadata={"description": "Refuse to order for more than this."})
    recheck = Flag(load_default=False, metadata={"description": "Order, and pay, IMEIs with a known result again."})
    resend_rejected = Flag(load_default=False, metadata={"description": "Order IMEIs of rejected orders again."})


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What a request says about money and repeats."""

    service_id: str
    unit_price: float | None  #: US dollars; None: the price of now
    max_cost: float | None  #: US dollars; None: no limit
    again: Again

    @classmethod
    def from_form(cls, data: Mapping[str, Any]) -> "OrderTerms":
        """Return it of the fields of Paid."""
        again = Again(data["recheck"], data["resend_rejected"])
        return cls(data["service_id"].strip(), data.get("unit_price"), data.get("max_cost"), again)


def plan_order(order: OrderTerms, imeis: Sequence[tuple[str, int | None]]) -> Plan:
    """Return what would be ordered now. Raises Problem where anything speaks against it."""
    catalogue = backend().catalog.for_confirmation()
    if words := unchecked(catalogue):
        raise Problem(ProblemKind.PRICE_UNKNOWN, words, retry_after=ASK_AGAIN)
    service = catalogue.find(order.service_id)
    words = service_objection(service, order.service_id)
    if service is None or words:
        raise Problem(ProblemKind.UNKNOWN_SERVICE, words)
    if words := price_objection(service.title, order.unit_price, service.price):
        raise Problem(ProblemKind.PRICE_CHANGED, words)
    plan = backend().plan(service, imeis, current_actor(), order.again)
    if problem := _objection(plan):
        raise problem
    return plan


def cost_of(connection: Transaction, batch_id: int, order: OrderTerms) -> float:
    """Return what the IMEIs of a batch that are not sent yet cost, in US dollars.

    Call it in the transaction that creates the batch, or gives an unfinished one back: raises Problem, which undoes
    both, where it costs more than the request allows.
    """
    cost = planned_imeis(connection, batch_id) * unit_price(connection, batch_id)
    if order.max_cost is not None and exceeds(cost, order.max_cost):
        words = f"It costs {money(cost)}, and {money(order.max_cost)} is allowed."
        raise Problem(ProblemKind.COST_EXCEEDED, words)
    return cost


def _objection(plan: Plan) -> Problem | None:
    if words := backend().order_objection():
        return Problem(ProblemKind.ORDERS_BLOCKED, words)
    if plan.continues is None and not plan.count:
        return Problem(ProblemKind.NOTHING_TO_SEND, " ".join(plan.objections))
    if plan.objections:
        return Problem(ProblemKind.NOT_ENOUGH_MONEY, " ".join(plan.objections))
    return None
