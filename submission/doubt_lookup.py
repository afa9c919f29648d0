"""IMEIs in doubt beside the provider's list of recent orders, and one order by its id, for a person.

Compares only; nothing is written. What is settled by itself is in settlement.py, what a person decides in decisions.py.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from database import IMEIDatabase
from gsm_fusion_client import RefusalKind, RefusedError
from orders import IMEIOrder, NotPossibleError
from storage import batch_doubt, call_queries
from submission.listed_imeis import MaskedOrders, bodies, may_be_part, may_name
from submission.listing import label, relabelled


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
    """Return what the list shows of what is in doubt in a batch of this service.

    An order that we know under another IMEI, or that another account has, is shown too: it may be the one in doubt.
    """
    with database.read() as connection:
        known = call_queries.order_owners(connection, [order.id for order in listed])
        items = batch_doubt.imeis_in_doubt(connection, batch_id)
    ours = _ours(listed, known)
    ids = {order.id for order in ours}
    labels = certain_labels(database, listed)
    unknown = [order for order in listed if order.id not in ids]
    sightings = tuple(
        Sighting(
            item_id=items[imei],
            imei=imei,
            order_id=order.id,
            status=order.status,
            service=order.service_id,
            requested_at=order.requested_at,
            other_service=labels.get(label(order), service_id) != service_id,
        )
        for order, imei in _named(unknown, items)
    )
    newest = max((order.requested_at for order in listed), default="")
    return ListFindings(len(listed), len(ours), newest, len(items), sightings)


def certain_labels(database: IMEIDatabase, listed: Sequence[IMEIOrder]) -> dict[str, str]:
    """Return call_queries.service_labels, without the words that this list gives to orders of ours of other services.

    Such a word means something else than we know, and no order is certainly of another service by it.
    """
    with database.read() as connection:
        known = call_queries.order_owners(connection, [order.id for order in listed])
        labels = call_queries.service_labels(connection)
        services = call_queries.services_of(connection, list(known))
    other_words = relabelled(_ours(listed, known), labels, services)
    return {word: service for word, service in labels.items() if word not in other_words}


def _ours(listed: Sequence[IMEIOrder], known: Mapping[str, tuple[str, int]]) -> list[IMEIOrder]:
    """Return the listed orders that we know, without those that the list names under another IMEI."""
    return [order for order in listed if order.id in known and _is_of(order, known[order.id][0])]


def _is_of(order: IMEIOrder, imei: str) -> bool:
    """Return whether a listed order does not contradict that it is one of this IMEI."""
    return not order.imei or may_name(order.imei, imei)


def _named(listed: Sequence[IMEIOrder], imeis: Mapping[str, int]) -> Iterator[tuple[IMEIOrder, str]]:
    """Yield each order that may be of one of these IMEIs, with that IMEI."""
    readable = dict[str, list[IMEIOrder]]()
    for order in listed:
        for body in bodies(order.imei):
            readable.setdefault(body, []).append(order)
    masked, unreadable = MaskedOrders(listed), [order for order in listed if not bodies(order.imei)]
    for imei in imeis:
        parts = (order for order in unreadable if may_be_part(order.imei, imei))
        for order in dict.fromkeys((*readable.get(imei[:14], ()), *masked.of(imei), *parts)):
            yield order, imei


def find_order(
    ask: Callable[[str], Sequence[IMEIOrder]],
    order_id: str,
    imei: str,
    service_id: str,
    labels: Mapping[str, str],
    certain: Callable[[], Mapping[str, str]],
) -> IMEIOrder:
    """Return the provider's order with this id, if it is one of this IMEI, and not certainly one of another service.

    ask is one question to the provider; labels are call_queries.service_labels; certain reads the provider's list for
    certain_labels(), and is called only where the service seems to be another one. Raises NotPossibleError, and what
    ask raises.
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
    if not (may_name(order.imei, imei) or may_be_part(order.imei, imei)):
        raise NotPossibleError(f"Order {order_id} is one of IMEI {order.imei or '(none)'}, and not of {imei}.")
    word = label(order)
    if labels.get(word, service_id) != service_id and certain().get(word, service_id) != service_id:
        raise NotPossibleError(f"Order {order_id} is one of another service: {order.service_id}.")
    return order
