"""Orders that the provider lists and we do not know: which are asked for by id, and which batches must pause.

An order of an IMEI that a batch is about to send was placed by another program or by a copy of this database.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from amounts import plural
from database import Transaction
from orders import ChunkState, IMEIOrder
from provider import ORDER_ID
from storage import batch_states, call_queries, chunk_moves
from submission.listed_imeis import bodies
from submission.listing import Listing, is_exact, label

logger = logging.getLogger(__name__)


def to_confirm(connection: Transaction, listed: Sequence[IMEIOrder], account: str) -> set[str]:
    """Return the ids of orders that an account lists and that a look at this list may adopt or link."""
    owners = call_queries.order_owners(connection, [order.id for order in listed], account)
    unknown = [order for order in listed if order.id not in owners and ORDER_ID.fullmatch(order.id)]
    if not unknown:
        return set()
    planned = call_queries.planned_among(connection, sorted({body for order in unknown for body in bodies(order.imei)}))
    doubtful = call_queries.open_chunks(connection, ChunkState.IN_DOUBT, account)
    wanted = {item.imei[:14] for item in planned} | {item.imei[:14] for chunk in doubtful for item in chunk.items}
    return {order.id for order in unknown if wanted & bodies(order.imei)}


def pause_for_unknown(connection: Transaction, listing: Listing) -> None:
    """Pause each batch that is about to order an IMEI of which the provider lists an order that we do not know.

    Where the list clearly names the same IMEI and service, and the provider confirms the order by id, it is linked and
    the IMEI left out.
    """
    found: dict[int, list[IMEIOrder]] = {}
    planned = call_queries.planned_among(connection, list(listing.unknown)) if listing.unknown else []
    if not planned:
        return
    other_words = listing.other_words(connection)
    for item in planned:
        order = _link_first(connection, listing, item, other_words)
        if order is not None:
            found.setdefault(item.batch_id, []).append(order)
    for batch_id, orders in found.items():
        words = (
            f"The provider lists {plural(len(orders), 'order')} of IMEIs that this batch has not sent, such as order"
            f" {orders[0].id} of {orders[0].imei}. Those of this service are left out. Another program or a copy"
            " of this database may have ordered the others too: make sure that it has not before you resume the batch."
        )
        batch_states.pause(connection, batch_id, words)
        logger.error("Batch %d: %s", batch_id, words)


def _link_first(
    connection: Transaction, listing: Listing, item: call_queries.PlannedItem, other_words: frozenset[str]
) -> IMEIOrder | None:
    """Return the newest unknown order that may be of this planned IMEI; link it where that is clear and confirmed.

    other_words: those that the list gives to orders of ours of other services: which service they mean is not known.
    """
    for order in listing.unknown[item.imei[:14]]:
        service = None if label(order) in other_words else listing.labels.get(label(order))
        other = service is None and listing.is_long_before(order, item.created_at)
        if other or not order.id or service not in (None, item.service_id):
            continue
        confirmed = listing.confirmed(order, item.imei, item.service_id)
        if service and is_exact(order, item.imei) and confirmed is not None:
            same = replace(confirmed, imei=item.imei)
            chunk_moves.leave_out_existing(connection, item.batch_id, item.service_id, same, listing.account)
        return order
    return None
