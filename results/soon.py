"""Fetch the results that somebody waits for at a page: within a tenth of a second, all that wait in one call.

Pages leave requests; the leader answers them in a thread of its own, because a round of the sync may take minutes. The
calls take their turns like those of the sync and do not count as calls of pages. The sync asks for what gets no result
here.
"""

import logging
import time
from collections.abc import Sequence
from datetime import UTC
from functools import partial

from database import Changes, IMEIDatabase
from gsm_fusion_client import GSMFusionAPIError
from orders import RequestKind, is_awaited
from results.order_values import result_values
from results.sync import ResultProvider
from storage import request_store
from storage.background import Duty, name_for
from storage.request_store import Request
from storage.result_store import store_results_or_each
from storage.rows import Order

logger = logging.getLogger(__name__)

#: Seconds between two looks for requests.
LOOK = 0.1
#: Requests that are answered by one call, at most.
MOST = 50
#: Seconds after which an order is left to the sync.
OLDEST = 60.0


def ask_for_result(database: IMEIDatabase, order: Order | None) -> None:
    """Ask soon for the result of an order that somebody looks at, if it is awaited."""
    if order and order.order_id and order.created_at and is_awaited(order.status):
        placed_at = order.created_at.replace(tzinfo=UTC).timestamp()
        ask_soon(database, order.order_id, placed_at, time.time(), order.account)


def ask_soon(database: IMEIDatabase, order_id: str, placed_at: float, now: float, account: str) -> None:
    """Leave a request for the result of a fresh order where it is due, and wait for nothing. Times are Unix time.

    It is due at once, then after a second, later after a third of the order's age.
    """
    age = now - placed_at
    if age > OLDEST:
        return
    newest = request_store.newest_finished(database, RequestKind.RESULT, order_id, account)
    if newest is None or now - newest.answered_at >= max(1.0, age / 3):
        request_store.leave(database, RequestKind.RESULT, order_id, now, account)


def answering_results(database: IMEIDatabase, client: ResultProvider, account: str) -> Duty:
    """Return the duty to answer requests to an account, first those that a leader before this one left behind."""
    request_store.reopen(database, [RequestKind.RESULT])
    turn, changes = partial(answer_waiting, database, client, account), Changes(database)
    return Duty(name_for("results", account), LOOK, lambda _: changes.look(turn), "Requests for results wait")


def answer_waiting(database: IMEIDatabase, client: ResultProvider, account: str) -> None:
    """Ask for the orders of all waiting requests to an account in one call, and one by one where that fails."""
    taken: list[Request] = []
    while len(taken) < MOST and (request := request_store.take(database, [RequestKind.RESULT], account)):
        taken.append(request)
    if taken and not _answer(database, client, taken, is_last=len(taken) == 1):
        for request in taken:
            _answer(database, client, [request], is_last=True)


def _answer(database: IMEIDatabase, client: ResultProvider, taken: Sequence[Request], is_last: bool) -> bool:
    """Ask once, store, and finish the requests; a failure that is not the last try leaves them as they are."""
    words = failure = ""
    try:
        store_results_or_each(database, client.get_imei_orders([request.argument for request in taken]), result_values)
    except GSMFusionAPIError as error:
        logger.warning("Results that somebody waits for did not come: %s", error)
        if not is_last:
            return False
        words, failure = str(error), type(error).__name__
    with database.write() as connection:
        for request in taken:
            request_store.finish(connection, request.request_id, time.time(), words, failure)
    return True
