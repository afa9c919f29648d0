"""Phones of an upload or an order that were ordered for other customers, as pages warn of them. No routes."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from backend import backend
from spreadsheets import Intake
from storage.batch_uploads import Upload
from storage.customer_store import customer_key
from storage.customers_seen import SeenBatch, seen_for_others
from storage.rows import Order

#: Customers of the warning, and IMEIs shown of each.
CUSTOMERS, SAMPLES = 8, 4


@dataclass(frozen=True, slots=True)
class SeenFor:
    """What another customer had of these phones."""

    newest: SeenBatch
    imeis: Set[str]

    @property
    def samples(self) -> Sequence[str]:
        """Return some of its IMEIs."""
        return self.newest.imeis[:SAMPLES]


@dataclass(frozen=True, slots=True)
class SeenElsewhere:
    """Phones of a list that other customers had."""

    imeis: int  #: different ones
    customers: Sequence[SeenFor]  #: most phones first, at most CUSTOMERS
    more: int  #: further customers


def seen_elsewhere(upload: Upload, intake: Intake) -> SeenElsewhere | None:
    """Return the phones of an upload that other customers had; None where there are none."""
    return grouped_by_customer(seen_batches(upload, intake))


def also_seen(order: Order, customer: str) -> SeenElsewhere | None:
    """Return for which other customers the phone of an order was ordered, by its IMEI or its IMEI 2."""
    imeis = dict.fromkeys(filter(None, (order.imei, order.imei2)))
    return grouped_by_customer(seen_for_others(backend().database, imeis, customer))


def grouped_by_customer(seen: Sequence[SeenBatch]) -> SeenElsewhere | None:
    """Return batches, the newest first, by customer; None where there are none."""
    groups: dict[str, tuple[SeenBatch, set[str]]] = {}
    for one in seen:
        groups.setdefault(customer_key(one.customer), (one, set()))[1].update(one.imeis)
    found = sorted((SeenFor(*group) for group in groups.values()), key=lambda one: -len(one.imeis))
    count = len(set[str]().union(*(one.imeis for one in found)))
    return SeenElsewhere(count, found[:CUSTOMERS], max(len(found) - CUSTOMERS, 0)) if found else None


def seen_batches(upload: Upload, intake: Intake) -> list[SeenBatch]:
    """Return the batches of other customers that hold phones of an upload, newest first."""
    imeis = [*intake.ready.imeis(), *(intake.luhn_failed.imeis() if upload.choice.get("include_luhn") else ())]
    return seen_for_others(backend().database, imeis, upload.customer)
