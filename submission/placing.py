"""One paid call: the POST, and its answer or its failure. Whatever carries calls makes them here."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from gsm_fusion_client import GSMFusionAPIError, OutcomeUnknownError
from orders import Chunk, PlacementAnswer, order_key
from submission.answers import FAILED_INSIDE

logger = logging.getLogger(__name__)


class PlacingProvider(Protocol):
    """What this module needs of gsm_fusion_client.GSMFusionClient."""

    def place_imei_order(
        self, imei: str | Sequence[str], network_id: str, *, keep: Callable[[bytes], None] | None = None, **fields: str
    ) -> PlacementAnswer: ...


def place(
    client: PlacingProvider, chunk: Chunk, install_id: str | None, keep: Callable[[bytes], None]
) -> PlacementAnswer | GSMFusionAPIError:
    """Make the call, once, and return its answer or how it failed. keep gets the raw answer before it is read.

    install_id: the random name of the database, where single orders carry an optional field by which some panels
    recognise an order that they have already; None: they carry none.
    """
    fields = {}
    if install_id is not None and len(chunk.items) == 1:
        fields["orderId"] = order_key(install_id, *chunk.items[0], chunk.service_id)
    try:
        return client.place_imei_order([item.imei for item in chunk.items], chunk.service_id, keep=keep, **fields)
    except GSMFusionAPIError as error:
        return error
    except Exception:  # a thread ends here, and its chunk must not be forgotten
        logger.exception("Chunk %d: the call failed in an unforeseen way", chunk.chunk_id)
        return OutcomeUnknownError(FAILED_INSIDE)
