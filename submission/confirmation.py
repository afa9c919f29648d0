"""Orders of the provider's list, asked for by their ids before they count as ours.

A result text may hold a whole, well-formed record of an order, and then the list shows one order more. Asked for by id,
the provider names only orders that it has, with their texts. A text must not confirm the record that it holds itself:
an order of the list and the next one are never asked for together, and an answer that names an order that was not asked
for is not used.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence

from gsm_fusion_client import GSMFusionAPIError, RefusalKind, RefusedError, UnreadableAnswerError
from orders import IMEIOrder

logger = logging.getLogger(__name__)

#: Ids in one call.
LONGEST = 100
#: The most calls of one look; usually two, or one for a single order. The next look asks for the rest.
MOST_CALLS = 20
#: Calls in a row that may fail because of one of their orders; each of them is repeated in two halves.
MOST_FAILURES = 4

#: Refusals that say nothing about one order of a list.
SYSTEMIC = frozenset({RefusalKind.CREDENTIALS, RefusalKind.CREDIT})
HTTP_OK = 200

Ask = Callable[[Sequence[str]], Sequence[IMEIOrder]]


def confirm(ask: Ask, listed: Sequence[IMEIOrder], wanted: Collection[str]) -> dict[str, IMEIOrder]:
    """Return the wanted orders of the list that the provider confirms, by id, as it answers them.

    ask is one call, and raises GSMFusionAPIError, also where the answer names an order that was not asked for.
    """
    times = Counter(order.id for order in listed if order.id in wanted)
    once = [order_id for order_id, count in times.items() if count == 1]  # in the order of the list
    several = [[order_id] for order_id, count in times.items() if count > 1]
    waiting = deque([*_parts(once[::2]), *_parts(once[1::2]), *several])
    found, failures = dict[str, IMEIOrder](), 0
    for _ in range(MOST_CALLS):
        if not waiting or failures == MOST_FAILURES:
            break
        ids = waiting.popleft()
        try:
            found |= {order.id: order for order in ask(ids)}
            failures = 0
        except GSMFusionAPIError as error:
            logger.warning("The provider does not confirm %d orders of its list: %s", len(ids), error)
            if not may_be_one_order(error):
                break
            failures, half = failures + 1, len(ids) // 2
            waiting += [ids[:half], ids[half:]] if half else []
    return found


def _parts(order_ids: Sequence[str]) -> list[Sequence[str]]:
    return [order_ids[start : start + LONGEST] for start in range(0, len(order_ids), LONGEST)]


def may_be_one_order(error: GSMFusionAPIError) -> bool:
    """Return whether one order of a list may be the reason why the answer is unreadable, too large or a refusal."""
    if isinstance(error, RefusedError):
        return error.kind not in SYSTEMIC
    return isinstance(error, UnreadableAnswerError) or error.status == HTTP_OK
