"""What pages and commands ask of the leader: joined, bounded in time and number, and answered from the database."""

import threading
import time

import pytest
from counted_provider import Provider, slowly
from local_provider import LocalProvider
from simulated_provider import imeis
from web_client import SERVICES

from account import requests
from account.answerer import Questions
from account.catalogue import ServiceCatalog
from account.requests import LIST_KEPT, NO_LEADER, ProviderRequests
from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import (
    GSMFusionAPIError,
    NotSentError,
)
from orders import IMEIOrder, RequestKind, RequestState
from settings import MAIN_ACCOUNT
from storage import request_store
from storage.request_store import Request
from submission import RequestLimitError, Throttle


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


def test_a_list_that_one_process_has_read_serves_the_others_for_a_while(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider()
    questions = Questions(recent_orders=provider)
    one, other = (LocalProvider(database, questions, lambda: now[0]).recent_orders for _ in range(2))
    assert [order.id for order in one(MAIN_ACCOUNT)] == ["7"]
    now[0] += LIST_KEPT - 1
    assert other(MAIN_ACCOUNT)[0].requested_at == "2026-11-25 10:00:00"
    assert provider.asked == 1
    now[0] += 1
    other(MAIN_ACCOUNT)
    assert provider.asked == 2


def test_a_list_replaces_the_one_before(database: IMEIDatabase) -> None:
    now, listed = [1000.0], [IMEIOrder(str(n), imei, "Pending") for n, imei in enumerate(imeis(3))]
    orders = LocalProvider(database, Questions(recent_orders=lambda: listed), lambda: now[0]).recent_orders
    assert orders(MAIN_ACCOUNT) == listed
    now[0] += LIST_KEPT
    del listed[1:]
    assert orders(MAIN_ACCOUNT) == listed
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM listed_orders").scalar() == 1


def test_a_failure_is_remembered_as_long_as_a_list(database: IMEIDatabase) -> None:
    now, provider = [1000.0], Provider()
    provider.error = "The provider is in maintenance."
    orders = LocalProvider(database, Questions(recent_orders=provider), lambda: now[0]).recent_orders
    for _ in range(2):
        with pytest.raises(GSMFusionAPIError, match="maintenance"):
            orders(MAIN_ACCOUNT)
    assert provider.asked == 1


def test_what_was_not_asked_is_no_failure_of_the_provider(database: IMEIDatabase) -> None:
    """A list that had to wait for its turn is read as soon as it has one."""
    now = [1000.0]
    throttle = Throttle(5, 2, clock=lambda: now[0])
    orders = LocalProvider(database, Questions(recent_orders=Provider(throttle)), lambda: now[0]).recent_orders
    throttle.before_request()
    with pytest.raises(RequestLimitError):
        orders(MAIN_ACCOUNT)
    now[0] += 61
    assert orders(MAIN_ACCOUNT) == [IMEIOrder("7", "353370080000001", "Pending", "", "1739", "2026-11-25 10:00:00")]


def test_identical_requests_are_one_call(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, free = list[str](), threading.Event()
    local = LocalProvider(database, Questions(services=slowly(asked, free)))
    first = local.ask(RequestKind.SERVICES, MAIN_ACCOUNT, patience=0.05)
    second = local.ask(RequestKind.SERVICES, MAIN_ACCOUNT, patience=0.05)
    assert (first.request_id, first.state) == (second.request_id, RequestState.ASKING)
    look = local._look

    def joined(request_id: int) -> Request:
        free.set()  # the provider answers when the third has joined: after the answer it would be a new request
        return look(request_id)

    monkeypatch.setattr(local, "_look", joined)
    third = local.ask(RequestKind.SERVICES, MAIN_ACCOUNT)
    assert (third.request_id, third.state) == (first.request_id, RequestState.ANSWERED)
    assert asked == ["services"]


def test_without_a_leader_a_page_says_so_and_shows_what_is_stored(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.store_services(SERVICES, time.time() - 400)
    catalogue = ServiceCatalog(ProviderRequests(database)).current()
    assert (catalogue.stale, catalogue.error, list(catalogue.services)) == (True, NO_LEADER, SERVICES)
    monkeypatch.setattr(requests, "LIST_PATIENCE", 0.05)
    with pytest.raises(NotSentError, match="No process of this program calls the provider"):
        ProviderRequests(database).recent_orders(MAIN_ACCOUNT)


def test_on_a_full_disk_a_page_shows_what_is_stored(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise DatabaseUnavailableError("", None, OSError("the disk is full"))

    database.store_services(SERVICES, time.time() - 400)
    monkeypatch.setattr(request_store, "leave", full)
    assert list(ServiceCatalog(ProviderRequests(database)).current().services) == SERVICES


def test_a_request_that_no_leader_took_for_long_is_not_waited_for_again(database: IMEIDatabase) -> None:
    request_store.leave(database, RequestKind.SERVICES, "", time.time() - 60)
    began = time.monotonic()
    assert ProviderRequests(database).ask(RequestKind.SERVICES, MAIN_ACCOUNT, patience=60).state is RequestState.WAITING
    assert time.monotonic() - began < 10


def test_a_page_waits_no_longer_when_the_process_is_told_to_end(database: IMEIDatabase) -> None:
    stopping = threading.Event()
    stopping.set()
    began = time.monotonic()
    assert (
        ProviderRequests(database, stopping=stopping).ask(RequestKind.ACCOUNT, MAIN_ACCOUNT, patience=60).state.is_open
    )
    assert time.monotonic() - began < 10
