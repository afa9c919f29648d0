"""Answers of the leader: the calls of a minute are shared, and what one leader leaves the next one answers."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from counted_provider import LISTED, Provider
from local_provider import LocalProvider
from waiting import wait_until
from web_client import SERVICES

from account.answerer import Questions, answering, request_ages
from account.catalogue import ServiceCatalog
from account.requests import ProviderRequests
from database import IMEIDatabase
from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
)
from orders import IMEIOrder, RequestKind, RequestState
from settings import MAIN_ACCOUNT
from storage import request_store
from submission import RequestLimitError, Throttle


def lookups(database: IMEIDatabase, provider: Provider) -> list[Callable[[str, str], list[IMEIOrder]]]:
    """The lookups of two processes that one leader answers."""
    return [LocalProvider(database, Questions(order=provider)).find_order for _ in range(2)]


def test_two_processes_share_the_calls_of_a_minute(database: IMEIDatabase) -> None:
    now = [1000.0]
    provider = Provider(Throttle(5, 60, clock=lambda: now[0]))
    one, other = lookups(database, provider)
    one("7", MAIN_ACCOUNT)
    now[0] += 30
    other("7", MAIN_ACCOUNT)
    for ask in (one, other):
        with pytest.raises(RequestLimitError, match="in 31 s"):
            ask("7", MAIN_ACCOUNT)
    now[0] += 31
    one("7", MAIN_ACCOUNT)
    with pytest.raises(RequestLimitError):
        other("7", MAIN_ACCOUNT)
    assert provider.asked == 3


def test_calls_for_pages_count_for_the_next_leader(database: IMEIDatabase) -> None:
    one, other = lookups(database, Provider(Throttle(5, 2)))
    one("7", MAIN_ACCOUNT)
    with pytest.raises(RequestLimitError):
        other("7", MAIN_ACCOUNT)
    ages = request_ages(database, MAIN_ACCOUNT)
    assert len(ages) == 1
    throttle = Throttle(5, 2)
    throttle.requested_before(ages)
    with pytest.raises(RequestLimitError):
        throttle.before_request()


def test_a_clock_that_was_set_back_locks_nobody_out(database: IMEIDatabase) -> None:
    ahead = LocalProvider(database, Questions(order=Provider()), lambda: time.time() + 8000)
    ahead.find_order("7", MAIN_ACCOUNT)
    assert request_ages(database, MAIN_ACCOUNT) == []


def test_without_a_limit_nothing_is_counted(database: IMEIDatabase) -> None:
    provider = Provider(Throttle(5))
    ask, _ = lookups(database, provider)
    for _ in range(9):
        ask("7", MAIN_ACCOUNT)
    assert provider.asked == 9


@pytest.mark.parametrize(
    "error",
    [
        NotSentError("No connection."),
        MaintenanceError("Down."),
        RateLimitedError("Fewer calls."),
        OutcomeUnknownError("HTTP 503."),
        RefusedError(RefusalKind.ORDER_ID, "Invalid Order ID"),
        GSMFusionAPIError("Something else."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_raised_again_as_it_was_in_the_leader(database: IMEIDatabase, error: GSMFusionAPIError) -> None:
    def fails(_: str) -> list[IMEIOrder]:
        raise error

    with pytest.raises(type(error)) as raised:
        LocalProvider(database, Questions(order=fails)).find_order("7", MAIN_ACCOUNT)
    assert (type(raised.value), str(raised.value)) == (type(error), str(error))
    assert getattr(raised.value, "kind", None) == getattr(error, "kind", None)


def test_an_error_of_the_program_is_an_answer_too(database: IMEIDatabase) -> None:
    def breaks(_: str) -> list[IMEIOrder]:
        raise RuntimeError("a bug")

    with pytest.raises(GSMFusionAPIError, match="the log says why"):
        LocalProvider(database, Questions(order=breaks)).find_order("7", MAIN_ACCOUNT)


def test_the_next_leader_answers_what_one_that_died_was_asking(database: IMEIDatabase) -> None:
    provider = Provider()
    request_id = request_store.leave(database, RequestKind.ORDER, "7", time.time())
    assert request_store.take(database, [RequestKind.ORDER]) is not None  # by the leader that dies
    with answering(database, {MAIN_ACCOUNT: Questions(order=provider)}):
        assert ProviderRequests(database).find_order("7", MAIN_ACCOUNT)[0].id == "7"
    request = request_store.get(database, request_id)
    assert request is not None
    assert (request.state, provider.asked) == (RequestState.ANSWERED, 1)


@pytest.mark.parametrize("fails", [False, True])
def test_a_leader_that_ended_leaves_what_it_asks_to_the_next_one(database: IMEIDatabase, fails: bool) -> None:
    """Seen: a page read an empty list, because two leaders stored the answer to one request."""
    free, came = threading.Event(), threading.Event()

    def slow() -> list[IMEIOrder]:
        free.wait(10)
        came.set()
        if fails:
            raise NotSentError("The client is closed.")
        return LISTED[:0]

    request_id = request_store.leave(database, RequestKind.RECENT_ORDERS, "", time.time())
    with answering(database, {MAIN_ACCOUNT: Questions(recent_orders=slow)}):
        wait_until(lambda: state_of(database, request_id) is RequestState.ASKING, "the list is asked for")
    free.set()
    came.wait(10)
    for thread in threading.enumerate():
        if thread.name == f"ask-{RequestKind.RECENT_ORDERS}":
            thread.join(10)
    assert state_of(database, request_id) is RequestState.ASKING
    with answering(database, {MAIN_ACCOUNT: Questions(recent_orders=Provider())}):
        assert [order.id for order in ProviderRequests(database).recent_orders(MAIN_ACCOUNT)] == ["7"]


def test_a_leader_ends_when_the_list_that_it_stores_is_complete(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing, store = threading.Event(), request_store.store_orders

    def slowly(*answer: Any) -> None:
        storing.set()
        time.sleep(0.3)
        store(*answer)

    monkeypatch.setattr(request_store, "store_orders", slowly)
    request_id = request_store.leave(database, RequestKind.RECENT_ORDERS, "", time.time())
    with answering(database, {MAIN_ACCOUNT: Questions(recent_orders=Provider())}):
        storing.wait(10)
    assert state_of(database, request_id) is RequestState.ANSWERED


def state_of(database: IMEIDatabase, request_id: int) -> RequestState:
    request = request_store.get(database, request_id)
    assert request is not None
    return request.state


def test_a_slow_list_delays_no_price(database: IMEIDatabase) -> None:
    free = threading.Event()

    def slow() -> list[IMEIOrder]:
        free.wait(10)
        return LISTED

    questions = Questions(recent_orders=slow, services=lambda: list(SERVICES))
    with answering(database, {MAIN_ACCOUNT: questions}):
        pages = ProviderRequests(database)
        assert pages.ask(RequestKind.RECENT_ORDERS, MAIN_ACCOUNT, patience=0.3).state is RequestState.ASKING
        assert not ServiceCatalog(pages).current().stale
        free.set()
        assert pages.ask(RequestKind.RECENT_ORDERS, MAIN_ACCOUNT).state is RequestState.ANSWERED
