"""Ask for orders by id in lists: the longest that are answered in full, and smaller ones for what these leave out.

Which calls are made: what calls ask_in_lists decides which failures one order can cause.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from gsm_fusion_client import GSMFusionAPIError, RefusalKind, RefusedError, UnreadableAnswerError
from orders import IMEIOrder

#: Ids in one call, at first and after an answer that left some out.
LIST_LENGTHS = (100, 10, 1)
#: Lists of one length in a row that leave out most of their orders, after which shorter lists are tried.
MOST_POOR = 2

#: Makes one call and returns the ids that its answer leaves out. Raises GSMFusionAPIError.
AskOnce = Callable[[list[str]], list[str]]
#: Raises an error again unless one order of the list may have caused it.
Check = Callable[[GSMFusionAPIError], None]


class KnowsOrders(Protocol):
    """What ask_by_id needs of gsm_fusion_client.GSMFusionClient."""

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[IMEIOrder]: ...


def ask_in_lists(
    order_ids: Sequence[str], ask_once: AskOnce, check: Check, is_stopped: Callable[[], bool] = lambda: False
) -> None:
    """Ask for every order, until is_stopped(). Raises what check raises."""
    waiting = list(order_ids)
    for length in LIST_LENGTHS:
        rest, waiting, poor = deque(waiting), [], 0
        while rest and poor < MOST_POOR and not is_stopped():
            part = [rest.popleft() for _ in range(min(length, len(rest)))]
            missing = _ask(part, ask_once, check, is_stopped)
            waiting += missing if len(part) > 1 else []
            poor = poor + 1 if 2 * len(missing) > len(part) > 1 else 0
        waiting += rest


def _ask(part: list[str], ask_once: AskOnce, check: Check, is_stopped: Callable[[], bool]) -> list[str]:
    """Ask for a list, and for halves of it where one of its orders makes it fail. Returns the ids left out."""
    missing: list[str] = []
    pieces = [part]
    while pieces and not is_stopped():
        piece = pieces.pop()
        try:
            missing += ask_once(piece)
        except GSMFusionAPIError as error:
            check(error)
            half = len(piece) // 2
            pieces += [piece[half:], piece[:half]] if half else []
    return missing


def ask_by_id(provider: KnowsOrders, order_ids: Sequence[str]) -> list[IMEIOrder]:
    """Return the orders of these ids that the provider knows. Raises GSMFusionAPIError."""
    found: list[IMEIOrder] = []

    def ask_once(ids: list[str]) -> list[str]:
        try:
            answer = provider.get_imei_orders(ids)
        except RefusedError as error:
            if error.kind is RefusalKind.ORDER_ID:
                return ids
            raise
        found.extend(answer)
        named = {order.id for order in answer}
        return [order_id for order_id in ids if order_id not in named]

    ask_in_lists(order_ids, ask_once, _check)
    return found


def _check(error: GSMFusionAPIError) -> None:
    """Raise an error unless a result text of one order may have caused it."""
    if not isinstance(error, UnreadableAnswerError):
        raise error
