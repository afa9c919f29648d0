"""Disputes: opened of what can be disputed, moved from state to state with a history, and refunded."""

from datetime import date

import pytest
from sqlalchemy import delete, select, update

from database import IMEIDatabase
from orders import DisputeKind, DisputeState
from schema import disputes, items, orders
from storage import disputable, dispute_queries, dispute_store
from storage.disputable import Disputable
from storage.dispute_store import Refund, Step

REJECTED = Disputable(DisputeKind.REJECTED)
DAY = date(2026, 11, 25)


def counted(database: IMEIDatabase) -> dict[str, int]:
    return {kind.value: count for kind, count in disputable.counts(database).items()}


def test_what_is_disputed_is_not_offered_again(database: IMEIDatabase, batch: int, rows: list[int]) -> None:
    assert counted(database) == {"in_doubt": 1, "mismatched": 3, "rejected": 8}
    assert dispute_store.open_all(database, REJECTED, "anna", "Please pay back") == 8
    assert counted(database) == {"in_doubt": 1, "mismatched": 1, "rejected": 0}
    assert dispute_store.open_all(database, REJECTED, "anna") == 0
    assert dispute_store.open_orders(database, rows, "ben") == 4
    in_doubt = disputable.page(database, Disputable(DisputeKind.IN_DOUBT, batch), None, 9)
    assert dispute_store.open_items(database, [in_doubt[0].id, 10**9], "ben") == 1
    assert counted(database) == {"in_doubt": 0, "mismatched": 0, "rejected": 0}
    assert list(disputable.walk(database)) == []
    found = {(one.kind, one.price): one for one in dispute_queries.walk(database, None, None)}
    assert found.keys() == {
        ("rejected", 0.5), ("rejected", 0.0), ("mismatched", 0.5), ("other", 0.5), ("in_doubt", 0.1)
    }  # fmt: skip
    assert found["mismatched", 0.5].reason == "The result is about IMEI 350000000000014"
    assert found["in_doubt", 0.1].item_id == in_doubt[0].id
    history = dispute_queries.events(database, found["rejected", 0.5].id)
    assert [(event.person, event.state, event.note) for event in history] == [("anna", "open", "Please pay back")]


def test_a_dispute_moves_only_from_the_states_that_allow_it(
    database: IMEIDatabase, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dispute_store.open_orders(database, rows[1:3], "anna")
    one, two = (found.id for found in dispute_queries.page(database, DisputeState.OPEN, None, None, 9))
    assert dispute_store.take_step(database, [one, two], Step(DisputeState.SENT, "ben", "sent by mail")) == 2
    assert dispute_store.take_step(database, [one], Step(DisputeState.SENT, "ben")) == 0
    assert dispute_store.take_step(database, [one], Step(DisputeState.REFUNDED, "ben")) == 0
    assert dispute_store.take_step_of_all(
        database, DisputeState.SENT, DisputeKind.REJECTED, Step(DisputeState.REFUSED, "ben")
    ) == 2  # fmt: skip
    assert dispute_store.take_step_of_all(
        database, DisputeState.REFUSED, DisputeKind.OTHER, Step(DisputeState.CLOSED, "ben")
    ) == 0  # fmt: skip
    monkeypatch.setattr(dispute_store, "MOST_AT_ONCE", 1)
    dispute_store.open_orders(database, rows[4:5], "anna")
    dispute_store.open_orders(database, rows[5:6], "anna")
    sent = [
        dispute_store.take_step_of_all(database, DisputeState.OPEN, None, Step(DisputeState.SENT, "ben"))
        for _ in range(3)
    ]
    assert sent == [1, 1, 0]
    assert dispute_store.add_note(database, one, "cleo", "They never tell why")
    assert not dispute_store.add_note(database, 10**9, "cleo", "?")
    history = dispute_queries.events(database, one)
    assert [(event.person, event.state, event.note) for event in history] == [
        ("anna", "open", ""),
        ("ben", "sent", "sent by mail"),
        ("ben", "refused", ""),
        ("cleo", "refused", "They never tell why"),
    ]
    found = dispute_queries.find(database, one)
    assert found
    assert (found.note, found.state) == ("They never tell why", "refused")


def test_a_refund_is_no_more_than_the_price_and_can_be_taken_back(database: IMEIDatabase, rows: list[int]) -> None:
    assert dispute_queries.paid_back(database) == []
    dispute_store.open_orders(database, rows[1:4], "anna")
    three, two, one = (found.id for found in dispute_queries.page(database, None, None, None, 9))
    given = [Refund(one, 0.5, DAY), Refund(two, 0.51, DAY), Refund(three, 0.0, DAY), Refund(10**9, 0.1, DAY)]
    assert dispute_store.record_refunds(database, given, "ben", "credit note 7") == 1
    assert dispute_store.record_refunds(database, given[1:2], "ben", may_exceed=True) == 1
    assert dispute_store.record_refunds(database, [Refund(two, 0.2, DAY)], "ben") == 1
    assert dispute_store.take_step(database, [two], Step(DisputeState.CLOSED, "ben")) == 1
    assert dispute_store.record_refunds(database, [Refund(two, 0.1, DAY)], "ben") == 0
    by_state = {(part.state, part.kind): part for part in dispute_queries.sums(database)}
    assert by_state[DisputeState.REFUNDED, DisputeKind.REJECTED].refunded == 0.5
    assert by_state[DisputeState.CLOSED, DisputeKind.REJECTED].refunded == 0.2
    assert by_state[DisputeState.OPEN, DisputeKind.OTHER].claimed == 0.5
    back = {part.day: (part.service_name, part.batch_id, part.dollars) for part in dispute_queries.paid_back(database)}
    assert back == {"2026-11-02": ("Check", 0, 0.5), "2026-11-03": ("Check", 0, 0.2)}
    assert len(dispute_queries.paid_back(database, date(2026, 11, 3), date(2026, 11, 3))) == 1
    assert dispute_store.take_step(database, [one], Step(DisputeState.SENT, "ben", "the wrong order")) == 1
    found = dispute_queries.find(database, one)
    assert found
    assert (found.refund, found.refunded_on) == (0.0, None)


def test_a_dispute_outlives_its_order(database: IMEIDatabase, rows: list[int]) -> None:
    """An import that is undone removes orders; what was claimed stays."""
    dispute_store.open_orders(database, rows[1:2], "anna")
    with database.write() as connection:
        connection.execute(delete(orders).where(orders.c.id == rows[1]))
        connection.execute(update(items).values(message="other"))
        assert connection.execute(select(disputes.c.order_id)).scalars().all() == ["771"]
    assert dispute_queries.by_order_id(database, ["771", "772"]).keys() == {"771"}
    assert dispute_queries.of_order(database, rows[1]) is not None
