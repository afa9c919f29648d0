"""Results that somebody waits for: when they are asked for, and what one call brings. The provider is the simulator."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from simulated_provider import SERVICE, Knobs, Simulator, imeis, system

from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from orders import IMEIOrder, RequestKind
from results import answer_waiting, soon
from results.order_values import result_values
from results.soon import ask_soon
from settings import MAIN_ACCOUNT
from storage import request_store

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
