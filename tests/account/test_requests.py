"""What pages and commands ask of the leader: joined, bounded in time and number, and answered from the database."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from batch_checks import wait_until
from simulated_provider import imeis
from web_client import SERVICES

from account import requests
from account.answerer import LocalProvider, Questions, answering, request_ages
from account.catalogue import ServiceCatalog
from account.requests import LIST_KEPT, NO_LEADER, ProviderRequests
from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
)
from orders import IMEIOrder, RequestKind, RequestState, ServiceInfo
from storage import request_store
from submission import RequestLimitError, Throttle

LISTED = [IMEIOrder("7", "353370080000001", "Pending", "long text", "1739", "2026-11-25 10:00:00")]


class Provider:
    """Lists its orders, or fails, and counts how often it was asked."""

    def __init__(self, throttle: Throttle | None = None) -> None:
        self.asked = 0
        self.error = ""
        self._throttle = throttle

    def __call__(self, *_: str) -> list[IMEIOrder]:
        if self._throttle:
            self._throttle.before_request()
        self.asked += 1
        if self.error:
            raise GSMFusionAPIError(self.error)
        return LISTED


def lookups(database: IMEIDatabase, provider: Provider) -> list[Callable[[str], list[IMEIOrder]]]:
    """The lookups of two processes that one leader answers."""
    return [LocalProvider(database, Questions(order=provider)).find_order for _ in range(2)]


# The calls of a minute


def test_two_processes_share_the_calls_of_a_minute(database: IMEIDatabase) -> None:
    now = [1000.0]
    provider = Provider(Throttle(5, 60, clock=lambda: now[0]))
    one, other = lookups(database, provider)
    one("7")
    now[0] += 30
    other("7")
    for ask in (one, other):
        with pytest.raises(RequestLimitError, match="in 31 s"):
            ask("7")
    now[0] += 31
    one("7")
    with pytest.raises(RequestLimitError):
        other("7")
    assert provider.asked == 3


def test_calls_for_pages_count_for_the_next_leader(database: IMEIDatabase) -> None:
    one, other = lookups(database, Provider(Throttle(5, 2)))
    one("7")
    with pytest.raises(RequestLimitError):
        other("7")
    ages = request_ages(database)
    assert len(ages) == 1
    throttle = Throttle(5, 2)
    throttle.requested_before(ages)
    with pytest.raises(RequestLimitError):
        throttle.before_request()


def test_a_clock_that_was_set_back_locks_nobody_out(database: IMEIDatabase) -> None:
    ahead = LocalProvider(database, Questions(order=Provider()), lambda: time.time() + 8000)
    ahead.find_order("7")
    assert request_ages(database) == []


def test_without_a_limit_nothing_is_counted(database: IMEIDatabase) -> None:
    provider = Provider(Throttle(5))
    ask, _ = lookups(database, provider)
    for _ in range(9):
        ask("7")
    assert provider.asked == 9


def test_after_a_429_pages_wait_too_and_a_provider_that_was_not_reachable_may_be_asked() -> None:
    now = [1000.0]
    throttle = Throttle(5, clock=lambda: now[0])
    throttle.unreachable(now[0], 0.0)
    throttle.before_request()
    throttle.read_limited(20.0)
    with pytest.raises(RequestLimitError, match="in 20 s"):
        throttle.before_request()
    now[0] += 20
    throttle.before_request()


# The list of orders


def test_a_list_that_one_process_has_read_serves_the_others_for_a_while(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider()
    questions = Questions(recent_orders=provider)
    one, other = (LocalProvider(database, questions, lambda: now[0]).recent_orders for _ in range(2))
    assert [order.id for order in one()] == ["7"]
    now[0] += LIST_KEPT - 1
    assert other()[0].requested_at == "2026-11-25 10:00:00"
    assert provider.asked == 1
    now[0] += 1
    other()
    assert provider.asked == 2


def test_a_list_replaces_the_one_before(database: IMEIDatabase) -> None:
    now, listed = [1000.0], [IMEIOrder(str(n), imei, "Pending") for n, imei in enumerate(imeis(3))]
    orders = LocalProvider(database, Questions(recent_orders=lambda: listed), lambda: now[0]).recent_orders
    assert orders() == listed
    now[0] += LIST_KEPT
    del listed[1:]
    assert orders() == listed
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM listed_orders").scalar() == 1


def test_a_failure_is_remembered_as_long_as_a_list(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider()
    provider.error = "The provider is in maintenance."
    orders = LocalProvider(database, Questions(recent_orders=provider), lambda: now[0]).recent_orders
    for _ in range(2):
        with pytest.raises(GSMFusionAPIError, match="maintenance"):
            orders()
    assert provider.asked == 1


def test_what_was_not_asked_is_no_failure_of_the_provider(database: IMEIDatabase) -> None:
    """A list that had to wait for its turn is read as soon as it has one."""
    now = [1000.0]
    throttle = Throttle(5, 2, clock=lambda: now[0])
    orders = LocalProvider(database, Questions(recent_orders=Provider(throttle)), lambda: now[0]).recent_orders
    throttle.before_request()
    with pytest.raises(RequestLimitError):
        orders()
    now[0] += 61
    assert orders() == [IMEIOrder("7", "353370080000001", "Pending", "", "1739", "2026-11-25 10:00:00")]


# Requests and their answers


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
        LocalProvider(database, Questions(order=fails)).find_order("7")
    assert (type(raised.value), str(raised.value)) == (type(error), str(error))
    assert getattr(raised.value, "kind", None) == getattr(error, "kind", None)


def test_an_error_of_the_program_is_an_answer_too(database: IMEIDatabase) -> None:
    def breaks(_: str) -> list[IMEIOrder]:
        raise RuntimeError("a bug")

    with pytest.raises(GSMFusionAPIError, match="the log says why"):
        LocalProvider(database, Questions(order=breaks)).find_order("7")


def slowly(asked: list[str], free: threading.Event) -> Callable[[], list[ServiceInfo]]:
    """A service list that comes when it is set free."""

    def services() -> list[ServiceInfo]:
        asked.append("services")
        free.wait(10)
        return list(SERVICES)

    return services


def test_identical_requests_are_one_call(database: IMEIDatabase) -> None:
    asked, free = list[str](), threading.Event()
    local = LocalProvider(database, Questions(services=slowly(asked, free)))
    first = local.ask(RequestKind.SERVICES, patience=0.05)
    second = local.ask(RequestKind.SERVICES, patience=0.05)
    assert (first.request_id, first.state) == (second.request_id, RequestState.ASKING)
    free.set()
    assert local.ask(RequestKind.SERVICES).state is RequestState.ANSWERED
    assert asked == ["services"]


def test_without_a_leader_a_page_says_so_and_shows_what_is_stored(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.store_services(SERVICES, time.time() - 400)
    catalogue = ServiceCatalog(ProviderRequests(database)).current()
    assert (catalogue.stale, catalogue.error, list(catalogue.services)) == (True, NO_LEADER, SERVICES)
    monkeypatch.setattr(requests, "LIST_PATIENCE", 0.05)
    with pytest.raises(NotSentError, match="No process of this program calls the provider"):
        ProviderRequests(database).recent_orders()


def test_on_a_full_disk_a_page_shows_what_is_stored(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise DatabaseUnavailableError("", None, OSError("the disk is full"))

    database.store_services(SERVICES, time.time() - 400)
    monkeypatch.setattr(request_store, "leave", full)
    assert list(ServiceCatalog(ProviderRequests(database)).current().services) == SERVICES


def test_a_request_that_no_leader_took_for_long_is_not_waited_for_again(database: IMEIDatabase) -> None:
    request_store.leave(database, RequestKind.SERVICES, "", time.time() - 60)
    began = time.monotonic()
    assert ProviderRequests(database).ask(RequestKind.SERVICES, patience=60).state is RequestState.WAITING
    assert time.monotonic() - began < 10


def test_a_page_waits_no_longer_when_the_process_is_told_to_end(database: IMEIDatabase) -> None:
    stopping = threading.Event()
    stopping.set()
    began = time.monotonic()
    assert ProviderRequests(database, stopping=stopping).ask(RequestKind.ACCOUNT, patience=60).state.is_open
    assert time.monotonic() - began < 10


def test_the_next_leader_answers_what_one_that_died_was_asking(database: IMEIDatabase) -> None:
    provider = Provider()
    request_id = request_store.leave(database, RequestKind.ORDER, "7", time.time())
    assert request_store.take(database, [RequestKind.ORDER]) is not None  # by the leader that dies
    with answering(database, Questions(order=provider)):
        assert ProviderRequests(database).find_order("7")[0].id == "7"
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
    with answering(database, Questions(recent_orders=slow)):
        wait_until(lambda: state_of(database, request_id) is RequestState.ASKING, "the list is asked for")
    free.set()
    came.wait(10)
    for thread in threading.enumerate():
        if thread.name == f"ask-{RequestKind.RECENT_ORDERS}":
            thread.join(10)
    assert state_of(database, request_id) is RequestState.ASKING
    with answering(database, Questions(recent_orders=Provider())):
        assert [order.id for order in ProviderRequests(database).recent_orders()] == ["7"]


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
    with answering(database, Questions(recent_orders=Provider())):
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
    with answering(database, questions):
        pages = ProviderRequests(database)
        assert pages.ask(RequestKind.RECENT_ORDERS, patience=0.3).state is RequestState.ASKING
        assert not ServiceCatalog(pages).current().stale
        free.set()
        assert pages.ask(RequestKind.RECENT_ORDERS).state is RequestState.ANSWERED
