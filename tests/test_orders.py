"""The nouns: what is derived from them alone."""

from dataclasses import replace
from typing import Any

import pytest

from orders import Account, BatchStage, BatchState, ChunkState, Outcome, Progress, order_key

RUNNING, PAUSED, FINISHED = BatchState
ORDERED, WAITING, IN_DOUBT, CANCELLED = Outcome.ORDERED, Outcome.WAITING, Outcome.IN_DOUBT, Outcome.CANCELLED
BATCH = Progress(
    batch_id=1,
    label="stock",
    state=RUNNING,
    service_id="1",
    service_name="Check",
    unit_price=0.1,
    total=10,
    outcomes=dict.fromkeys(Outcome, 0),
    chunks=dict.fromkeys(ChunkState, 0),
    revision=1,
    spent=0.0,
)

IMEI = "350000000000006"


def batch(state: BatchState, outcomes: dict[Outcome, int], **values: Any) -> Progress:
    return replace(BATCH, state=state, outcomes=BATCH.outcomes | outcomes, **values)


def test_an_order_key_is_the_same_for_an_item_each_time_and_no_other_item_has_it() -> None:
    keys = {order_key("5f" * 16, item_id, IMEI, "269") for item_id in range(1, 2001)}
    assert len(keys) == 2000
    assert order_key("5f" * 16, 1, IMEI, "269") in keys
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


def test_an_item_id_that_was_given_twice_has_another_order_key() -> None:
    """As after a restore: the provider would answer with the order of the other item."""
    keys = {order_key("5f" * 16, 1, imei, service_id) for imei in (IMEI, IMEI[::-1]) for service_id in ("269", "270")}
    assert len(keys) == 4


def test_two_databases_have_no_order_key_in_common() -> None:
    one, other = (
        {order_key(install, item_id, IMEI, "269") for item_id in range(1, 500)} for install in ("aa" * 16, "ab" * 16)
    )
    assert one.isdisjoint(other)


@pytest.mark.parametrize(
    ("found", "stage"),
    [
        (batch(RUNNING, {WAITING: 10}), BatchStage.SENDING),
        (batch(RUNNING, {WAITING: 5, ORDERED: 5}, pending=5), BatchStage.SENDING),
        (batch(RUNNING, {WAITING: 5, IN_DOUBT: 5}), BatchStage.SENDING),
        (batch(RUNNING, {WAITING: 5, CANCELLED: 5}), BatchStage.SENDING),
        (batch(PAUSED, {WAITING: 10}, notice="Paused by hand."), BatchStage.NEEDS_YOU),
        (batch(PAUSED, {WAITING: 10}, notice="Maintenance", resumes_itself=True), BatchStage.SENDING),
        (batch(FINISHED, {ORDERED: 10}, pending=1, results=9), BatchStage.WAITING),
        (batch(FINISHED, {ORDERED: 10}, results=10), BatchStage.COMPLETE),
        (batch(FINISHED, {Outcome.DUPLICATE: 4, Outcome.REFUSED: 6}), BatchStage.COMPLETE),
        (batch(FINISHED, {ORDERED: 9, IN_DOUBT: 1}, results=9), BatchStage.NEEDS_YOU),
        (batch(FINISHED, {IN_DOUBT: 1, CANCELLED: 9}), BatchStage.NEEDS_YOU),
        (batch(FINISHED, {ORDERED: 5, CANCELLED: 5}, results=5), BatchStage.STOPPED),
        (batch(FINISHED, {ORDERED: 5, CANCELLED: 5}, pending=5), BatchStage.STOPPED),
    ],
)
def test_the_stage_of_a_batch_says_what_a_person_waits_for(found: Progress, stage: BatchStage) -> None:
    assert found.stage is stage
    assert bool(found.reason) == (stage is BatchStage.NEEDS_YOU)
    assert found.is_settled == (stage in (BatchStage.COMPLETE, BatchStage.STOPPED) and not found.pending)


@pytest.mark.parametrize(
    ("found", "expected", "percent"),
    [
        (batch(RUNNING, {WAITING: 6, ORDERED: 4}, pending=3, results=1), 10, 10),
        (batch(FINISHED, {ORDERED: 7, Outcome.DUPLICATE: 3}, pending=1, results=6), 7, 85),
        (batch(FINISHED, {ORDERED: 999, IN_DOUBT: 1}, results=999), 1000, 99),
        (batch(FINISHED, {Outcome.REFUSED: 10}), 0, 100),
    ],
)
def test_results_are_expected_of_orders_and_of_what_may_become_one(
    found: Progress, expected: int, percent: int
) -> None:
    assert (found.expected, found.result_percent) == (expected, percent)


@pytest.mark.parametrize(
    ("text", "has_cents"),
    [
        ("$ 150.00 USD", True),
        ("149,90", True),
        ("1,234.50", True),
        ("1.234,50 $", True),
        ("-0.05", True),
        ("$ 150", False),
        ("149.9", False),
        ("150.125", False),
        ("1,234,567", False),
        ("", False),
    ],
)
def test_a_balance_with_cents_differs_to_the_cent(text: str, has_cents: bool) -> None:
    assert Account(None, text).has_cents is has_cents
