"""Pausing running batches when the provider raises a price, so that a person decides.

A price is confirmed with a batch, and the provider charges the price of the moment. So the list of services is read
again while batches run. This module decides and writes; it makes no call. A price that fell changes nothing.
"""

import logging
from collections.abc import Sequence

from amounts import exceeds, money
from database import Transaction
from orders import ServiceInfo
from storage import account_store, batch_states, call_queries
from storage.batch_queries import planned_imeis

logger = logging.getLogger(__name__)

#: Seconds between two looks at the prices while batches run.
INTERVAL = 60.0


def due(last: float | None, now: float) -> bool:
    """Return whether to ask for the prices now; last is when they were asked for, in seconds of the same clock."""
    return last is None or not 0 <= now - last < INTERVAL


def apply_prices(connection: Transaction, listed: Sequence[ServiceInfo]) -> list[int]:
    """Pause every running batch that would go on at a higher price than was confirmed. Return their ids.

    A batch that has nothing left to send, or whose service is not listed, is not changed.
    """
    prices = {service.package_id: service.price for service in listed}
    paused = []
    for batch in batch_states.running_batches(connection):
        price = prices.get(batch.service_id, batch.unit_price)
        if not exceeds(price, batch.unit_price):
            continue
        sentence = risen(batch.unit_price, price, planned_imeis(connection, batch.batch_id))
        if batch_states.pause(connection, batch.batch_id, sentence):
            logger.warning("Batch %d paused: %s", batch.batch_id, sentence)
            paused.append(batch.batch_id)
    return paused


def note_prices(connection: Transaction, account: str, listed: Sequence[ServiceInfo]) -> None:
    """Store which services cost more through an account than the list of services says: it does not order these."""
    known = call_queries.listed_prices(connection)
    dearer = {one.package_id: one.price for one in listed if exceeds(one.price, known.get(one.package_id, one.price))}
    account_store.write_prices(connection, account, dearer)


def risen(before: float, now: float, rest: int) -> str:
    """Return why a batch pauses: its price rose (US dollars an IMEI), with rest IMEIs not sent."""
    return (
        f"The price rose from {money(before)} to {money(now)} an IMEI. Resume the batch to order the other {rest:,} "
        f"at the new price ({money(rest * now)}), or stop it."
    )
