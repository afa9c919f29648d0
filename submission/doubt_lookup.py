"""IMEIs in doubt beside the provider's list of recent orders, and one order by its id, for a person.

Compares only; nothing is written. What is settled by itself is in settlement.py, what a person decides in decisions.py.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from database import IMEIDatabase
from gsm_fusion_client import RefusalKind, RefusedError
from orders import IMEIOrder, NotPossibleError
from storage import batch_doubt, call_queries

#: Characters that hide a digit of a listed IMEI, and the least number of digits that must be left to compare.
HIDDEN, LEAST_SHOWN = frozenset("xX*#•"), 6


@dataclass(frozen=True, slots=True)
class Sighting:
    """An order that the provider lists for an IMEI in doubt, and that we do not know."""

    item_id: int
    imei: str
    order_id: str
    status: str
    service: str  #: the provider's own word for it
    requested_at: str  #: the provider's text, without a time zone
    other_service: bool  #: it is certainly an order of another service than the one in doubt


@dataclass(frozen=True, slots=True)
class ListFindings:
    """One look at the provider's list."""

    listed: int  #: orders on it
    ours: int  #: of these, how many we know
    newest: str  #: when the newest of them was requested, as the provider writes it
    asked: int  #: IMEIs in doubt that were looked for
    sightings: tuple[Sighting, ...]

    @property
    def absent(self) -> int:
        """IMEIs in doubt of which the list shows no unknown order of their service."""
        return self.asked - len({seen.item_id for seen in self.sightings if not seen.other_service})


def compare_list(database: IMEIDatabase, batch_id: int, service_id: str, listed: Sequence[IMEIOrder]) -> ListFindings:
    """Return what the list shows of what is in doubt in a batch of this service."""
    with database.read() as connection:
        known = call_queries.order_owners(connection, [order.id for order in listed])
        labels = call_queries.service_labels(connection)
        unknown = [order for order in listed if order.id not in known]
        items = batch_doubt.doubtful_among(connection, batch_id, [order.imei for order in unknown])
        asked = batch_doubt.count_doubtful(connection, batch_id)
    sightings = tuple(
        Sighting(
            item_id=items[order.imei],
            imei=order.imei,
            order_id=order.id,
            status=order.status,
            service=order.service_id,
            requested_at=order.requested_at,
            other_service=labels.get(order.service_id.strip().lower(), service_id) != service_id,
        )
        for order in unknown
        if order.imei in items
    )
    newest = max((order.requested_at for order in listed), default="")
    return ListFindings(len(listed), len(known), newest, asked, sightings)


def find_order(
    ask: Callable[[str], Sequence[IMEIOrder]],
    order_id: str,
    imei: str,
    service_id: str,
    labels: Mapping[str, str],
) -> IMEIOrder:
    """Return the provider's order with this id, if it is one of this IMEI and service.

    ask is one question to the provider; labels are call_queries.service_labels. Raises NotPossibleError, and what ask
    raises.
    """
    try:
        listed = ask(order_id)
    except RefusedError as error:
        if error.kind is not RefusalKind.ORDER_ID:
            raise
        listed = ()
    order = next((order for order in listed if order.id == order_id), None)
    if order is None:
        raise NotPossibleError(f"The provider does not know order {order_id}. Check the number.")
    if not may_name(order.imei, imei):
        raise NotPossibleError(f"Order {order_id} is one of IMEI {order.imei or '(none)'}, and not of {imei}.")
    if labels.get(order.service_id.strip().lower(), service_id) != service_id:
        raise NotPossibleError(f"Order {order_id} is one of another service: {order.service_id}.")
    return order


def may_name(listed: str, imei: str) -> bool:
    """Return whether a listed IMEI may be this one: whole, without first zero or check digit, or masked."""
    listed = re.sub(r"[\s.-]", "", listed)
    if listed.isdecimal():
        whole = listed.zfill(15) == imei.zfill(15)
        return whole or (len(listed) in (14, 16) and listed[:14] == imei[:14])
    shown = [(sign, digit) for sign, digit in zip(listed, imei, strict=False) if sign not in HIDDEN]
    same_length = len(listed) == len(imei) and len(shown) >= LEAST_SHOWN
    return same_length and all(sign == digit for sign, digit in shown)
