"""Results that somebody waits for: when they are asked for, and what one call brings. The provider is the simulator."""

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from pending_orders import UNREADABLE, ByHand
from pending_orders import pending as by_hand
from simulated_provider import SERVICE, Knobs, Simulator, imeis, system

from database import IMEIDatabase, utc_now
from gsm_fusion_client import ClientOptions, GSMFusionClient
from orders import IMEIOrder, RequestKind
from results import answer_waiting, soon
from results.order_values import result_values
from results.soon import MOST, answering_results, ask_for_result, ask_soon
from settings import MAIN_ACCOUNT
from storage import request_store
from storage.rows import Order

NOW = 1_700_000_000.0


@pytest.fixture(name="provider")
def provider_fixture() -> Iterator[Simulator]:
    with Simulator(Knobs(turnaround=0)) as simulator:
        yield simulator


def pending(database: IMEIDatabase) -> list[str]:
    with database.read() as connection:
        return list(connection.exec_driver_sql("SELECT order_id FROM orders WHERE status = 'Pending'").scalars())


def is_asked(database: IMEIDatabase) -> bool:
    return request_store.waiting(database, RequestKind.RESULT) is not None


def test_all_that_wait_are_one_call_and_an_unknown_order_keeps_none_from_its_result(
    database: IMEIDatabase, provider: Simulator
) -> None:
    with system(provider, database, in_use=False) as submission:
        submission.submit_batch(imeis(3), SERVICE)
    waiting = pending(database)
    assert len(waiting) == 3
    reads = len([call for call in provider.calls() if call.action == "getimeis"])
    with GSMFusionClient("DEMO-KEY", "demo", 5, options=ClientOptions(provider.base_url)) as client:
        for order_id in waiting[:2]:
            ask_soon(database, order_id, time.time(), time.time(), MAIN_ACCOUNT)
        answer_waiting(database, client, MAIN_ACCOUNT)
        assert pending(database) == waiting[2:]
        assert len([call for call in provider.calls() if call.action == "getimeis"]) == reads + 1
        for order_id in (waiting[2], "7"):
            ask_soon(database, order_id, time.time(), time.time(), MAIN_ACCOUNT)
        answer_waiting(database, client, MAIN_ACCOUNT)
    assert pending(database) == []
    assert not is_asked(database)


def test_a_result_that_cannot_be_stored_keeps_nobody_waiting_for_another(
    database: IMEIDatabase, provider: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request is finished, too: it would be asked for again by each leader."""
    with system(provider, database, in_use=False) as submission:
        submission.submit_batch(imeis(3), SERVICE)
    odd, *others = pending(database)

    def values(order: IMEIOrder, row: Any) -> dict[str, Any]:
        if order.id == odd:
            raise ValueError("an odd value")
        return result_values(order, row)

    monkeypatch.setattr(soon, "result_values", values)
    for order_id in (odd, *others):
        ask_soon(database, order_id, time.time(), time.time(), MAIN_ACCOUNT)
    with GSMFusionClient("DEMO-KEY", "demo", 5, options=ClientOptions(provider.base_url)) as client:
        answer_waiting(database, client, MAIN_ACCOUNT)
    assert pending(database) == [odd]
    assert request_store.newest_finished(database, RequestKind.RESULT, odd) is not None


def test_a_result_is_asked_for_at_once_then_more_and_more_seldom_and_left_to_the_sync(database: IMEIDatabase) -> None:
    asked = []
    for tenth in range(900):
        now = NOW + tenth / 10
        ask_soon(database, "15", NOW, now, MAIN_ACCOUNT)
        if request := request_store.take(database, [RequestKind.RESULT]):
            asked.append(tenth / 10)
            with database.write() as connection:
                request_store.finish(connection, request.request_id, now)
    assert asked[:4] == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.11)
    assert 8 < len(asked) < 13
    assert asked[-1] <= 60


class Failing(ByHand):
    """Fails for lists, and for the orders that spoil them."""

    def __init__(self, failure: Exception, spoilt: set[str]) -> None:
        super().__init__()
        self.failure, self.spoilt = failure, spoilt

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[IMEIOrder]:
        found = super().get_imei_orders(order_ids)
        if self.spoilt.intersection(order_ids):
            raise self.failure
        return found


def test_a_list_that_fails_is_asked_one_by_one_and_every_request_is_finished_once(database: IMEIDatabase) -> None:
    """The one that fails alone says why; the others have their results."""
    numbers = by_hand(database, 3)
    for order_id in numbers:
        ask_soon(database, order_id, NOW, NOW, MAIN_ACCOUNT)
    provider = Failing(UNREADABLE, {numbers[1]})
    answer_waiting(database, provider, MAIN_ACCOUNT)
    assert provider.lists == [3, 1, 1, 1]
    assert pending(database) == [numbers[1]]
    finished = [request_store.newest_finished(database, RequestKind.RESULT, order_id) for order_id in numbers]
    assert [request and (request.error, request.failure) for request in finished] == [
        ("", ""),
        (str(UNREADABLE), "UnreadableAnswerError"),
        ("", ""),
    ]
    answer_waiting(database, provider, MAIN_ACCOUNT)
    assert len(provider.asked) == 4


def test_a_single_request_that_fails_is_asked_once(database: IMEIDatabase) -> None:
    [order_id] = by_hand(database, 1)
    ask_soon(database, order_id, NOW, NOW, MAIN_ACCOUNT)
    provider = Failing(UNREADABLE, {order_id})
    answer_waiting(database, provider, MAIN_ACCOUNT)
    assert provider.lists == [1]
    assert not is_asked(database)


def test_at_most_fifty_requests_of_an_account_are_one_call(database: IMEIDatabase) -> None:
    numbers = by_hand(database, MOST + 1)
    for order_id in numbers:
        ask_soon(database, order_id, NOW, NOW, MAIN_ACCOUNT)
    ask_soon(database, "other", NOW, NOW, "second")
    provider = ByHand()
    for _ in range(3):
        answer_waiting(database, provider, MAIN_ACCOUNT)
    assert provider.lists == [MOST, 1]
    assert request_store.waiting(database, RequestKind.RESULT, "second") is not None
    answer_waiting(database, provider, "second")
    assert provider.asked[-1] == ["other"]


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, True),
        ({"status": "In Process"}, True),
        ({"status": "Completed"}, False),
        ({"order_id": None}, False),
        ({"created_at": utc_now() - timedelta(seconds=61)}, False),
    ],
)
def test_a_page_asks_for_the_result_of_a_young_order_that_is_awaited(
    database: IMEIDatabase, changes: dict[str, Any], asked: bool
) -> None:
    ask_for_result(database, None)
    blank: dict[str, Any] = dict.fromkeys(Order._fields)
    given = {"id": 1, "imei": "", "existed": False, "status": "Pending", "order_id": "15", "created_at": utc_now()}
    ask_for_result(database, Order(**blank | given | {"account": "second"} | changes))
    assert not is_asked(database)
    assert (request_store.waiting(database, RequestKind.RESULT, "second") is not None) is asked


def test_a_new_leader_answers_what_one_before_it_took(database: IMEIDatabase) -> None:
    [order_id] = by_hand(database, 1)
    ask_soon(database, order_id, NOW, NOW, MAIN_ACCOUNT)
    assert request_store.take(database, [RequestKind.RESULT], MAIN_ACCOUNT)
    provider = ByHand()
    answer_waiting(database, provider, MAIN_ACCOUNT)
    assert provider.asked == []
    duty = answering_results(database, provider, MAIN_ACCOUNT)
    duty.turn(Event())
    assert provider.asked == [[order_id]]
