"""What requests that order say about money, and the plan that is made of it. No routes.

The plan and its objections are those of the pages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from amounts import exceeds, money, plural
from api.fields import Dollars, Flag, FormSchema, Several, TextLine
from api.problems import Problem, ProblemKind
from backend import backend
from database import Transaction, utc_now
from storage.batch_creation import NotOrderedError, RefusedActorError
from storage.batch_queries import planned_imeis
from storage.batch_states import unit_price
from submission import (
    KNOWN_AGE,
    WITHOUT_ID,
    Again,
    Plan,
    known_to_program,
    price_objection,
    service_objection,
    unchecked,
)
from web import current_actor

#: What the document says of orders that are paid again.
ONLY_KNOWN = "See `known_orders`."
KNOWN_WORDS = (
    "The `order_id` of each earlier order that the program knows. `recheck` and `resend_rejected` order no IMEI again"
    " whose newest order it does not name: a person or another program may have ordered it since. Without the field,"
    f" none whose order or result came in the last {KNOWN_AGE // timedelta(hours=1)} hours. An order of an imported"
    " file may have no id: to order its IMEI again, leave the field out."
)
#: Seconds after which a client may ask again for a price that could not be checked.
ASK_AGAIN = 30


class Paid(FormSchema):
    """What every request that orders may say about money."""

    service_id = TextLine(required=True, least=1, metadata={"example": "269"})
    unit_price = Dollars(metadata={"description": "Refuse any other price of an IMEI."})
    max_cost = Dollars(metadata={"description": "Refuse to order for more than this."})
    recheck = Flag(
        load_default=False, metadata={"description": f"Order, and pay, IMEIs with a result again. {ONLY_KNOWN}"}
    )
    resend_rejected = Flag(
        load_default=False, metadata={"description": f"Order IMEIs of rejected orders again. {ONLY_KNOWN}"}
    )
    known_orders = Several(TextLine(least=1), 0, 5_000_000, metadata={"description": KNOWN_WORDS})


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What a request says about money and repeats."""

    service_id: str
    unit_price: float | None  #: US dollars; None: the price of now
    max_cost: float | None  #: US dollars; None: no limit
    again: Again
    known: tuple[str, ...] | None = field(default=None, repr=False)  #: orders that it names; None: it names none

    @property
    def key(self) -> tuple[object, ...]:
        """Return what tells two requests apart. One that names no orders is told apart as by older versions."""
        return (self,) if self.known is None else (self, self.known)

    @classmethod
    def from_form(cls, data: Mapping[str, Any]) -> "OrderTerms":
        """Return it of the fields of Paid."""
        known = tuple(data["known_orders"]) if "known_orders" in data else None
        knows = known_to_program(None if known is None else frozenset(known), utc_now())
        again = Again(data["recheck"], data["resend_rejected"], knows)
        return cls(data["service_id"].strip(), data.get("unit_price"), data.get("max_cost"), again, known)


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


def problem_of(error: NotOrderedError) -> Problem:
    """Return the problem of an order that was refused where it would have been written."""
    is_money = not isinstance(error, RefusedActorError)
    return Problem(ProblemKind.NOT_ENOUGH_MONEY if is_money else ProblemKind.NOT_POSSIBLE, str(error))


def unseen_words(plan: Plan) -> list[str]:
    """Return a sentence about the IMEIs that are not ordered again because the program does not know their orders."""
    if not plan.unseen:
        return []
    count, first = len(plan.unseen), next((order for order in plan.unseen if order.order_id), plan.unseen[0])
    what = f"{plural(count, 'IMEI')} {'was' if count == 1 else 'were'} not ordered again."
    if not first.order_id:
        return [f"{what} The order of {first.imei} has no id: to pay again, {WITHOUT_ID}"]
    order = f"{first.order_id} of {first.imei}"
    return [f"{what} To pay again, name the orders that you know in `known_orders`, such as {order}."]


def _objection(plan: Plan) -> Problem | None:
    if words := backend().order_objection():
        return Problem(ProblemKind.ORDERS_BLOCKED, words)
    if plan.continues is None and not plan.count:
        return Problem(ProblemKind.NOTHING_TO_SEND, " ".join([*plan.objections, *unseen_words(plan)]))
    if plan.objections:
        return Problem(ProblemKind.NOT_ENOUGH_MONEY, " ".join(plan.objections))
    return None
