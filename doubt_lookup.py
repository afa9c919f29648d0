"""What the provider's list of recent orders says about IMEIs in doubt, for a person to read.

Compares and tells; nothing is written. Settlement decides by itself, and a person by the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import batch_store
from database import IMEIDatabase
from orders import ProviderOrder


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
class Look:
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


def look(
    database: IMEIDatabase, doubtful: Sequence[dict[str, Any]], service_id: str, listed: Sequence[ProviderOrder]
) -> Look:
    """What the list shows of these items in doubt (item_id, imei) of one service."""
    with database.read() as connection:
        known = batch_store.order_owners(connection, [order.order_id for order in listed])
        labels = batch_store.service_labels(connection)
    unknown = [order for order in listed if order.order_id not in known]
    items = {row["imei"]: row["item_id"] for row in doubtful}
    sightings = tuple(
        Sighting(
            item_id=items[order.imei],
            imei=order.imei,
            order_id=order.order_id,
            status=order.status,
            service=order.service_id,
            requested_at=order.requested_at,
            other_service=labels.get(order.service_id.strip().lower(), service_id) != service_id,
        )
        for order in unknown
        if order.imei in items
    )
    newest = max((order.requested_at for order in listed), default="")
    return Look(len(listed), len(known), newest, len(items), sightings)
