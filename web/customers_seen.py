"""Phones of an upload or an order that were ordered for other customers, as pages warn of them. No routes."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend import backend
from spreadsheets import Intake
from storage.batch_uploads import Upload
from storage.customers import customer_key
from storage.customers_seen import SeenPhone, seen_for_others
from storage.rows import Order

#: Customers of the warning, and IMEIs shown of each.
CUSTOMERS, SAMPLES = 8, 4


@dataclass(frozen=True, slots=True)
class SeenFor:
    """What another customer had of these phones."""

    newest: SeenPhone
    imeis: Sequence[str]

    @property
    def samples(self) -> Sequence[str]:
        """Return the first of its IMEIs."""
        return self.imeis[:SAMPLES]


@dataclass(frozen=True, slots=True)
class SeenElsewhere:
    """Phones of a list that other customers had."""

    imeis: int  #: different ones
    customers: Sequence[SeenFor]  #: most phones first, at most CUSTOMERS
    more: int  #: further customers


def seen_elsewhere(upload: Upload, intake: Intake) -> SeenElsewhere | None:
    """Return the phones of an upload that other customers had; None where there are none."""
    return grouped_by_customer(seen_phones(upload, intake))


def also_seen(order: Order, customer: str) -> SeenElsewhere | None:
    """Return for which other customers the phone of an order was ordered, by its IMEI or its IMEI 2."""
    imeis = dict.fromkeys(filter(None, (order.imei, order.imei2)))
    return grouped_by_customer(seen_for_others(backend().database, imeis, customer))


def grouped_by_customer(seen: Sequence[SeenPhone]) -> SeenElsewhere | None:
    """Return sightings, the newest first, by customer; None where there are none."""
    groups: dict[str, tuple[SeenPhone, dict[str, None]]] = {}
    for one in seen:
        groups.setdefault(customer_key(one.customer), (one, {}))[1].setdefault(one.imei)
    found = sorted((SeenFor(newest, list(imeis)) for newest, imeis in groups.values()), key=lambda one: -len(one.imeis))
    count = len({one.imei for one in seen})
    return SeenElsewhere(count, found[:CUSTOMERS], max(len(found) - CUSTOMERS, 0)) if found else None


def seen_phones(upload: Upload, intake: Intake) -> list[SeenPhone]:
    """Return each phone of an upload that another customer had, with its batch; the newest batch first."""
    imeis = [*intake.ready.imeis(), *(intake.luhn_failed.imeis() if upload.choice.get("include_luhn") else ())]
    return seen_for_others(backend().database, imeis, upload.customer)
