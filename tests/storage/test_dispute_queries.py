"""Disputes are listed, summed and found as pages and reports ask for them."""

from datetime import date

import pytest
from sqlalchemy import update

from database import IMEIDatabase
from orders import DisputeKind, DisputeState
from schema import disputes
from storage import dispute_queries, dispute_store
from storage.dispute_queries import PaidBack
from storage.dispute_store import Refund, Step

DAY = date(2026, 11, 25)
OPEN, SENT, REFUNDED = DisputeState.OPEN, DisputeState.SENT, DisputeState.REFUNDED
REJECTED, OTHER = DisputeKind.REJECTED, DisputeKind.OTHER


@pytest.fixture
def opened(database: IMEIDatabase, rows: list[int]) -> list[int]:
    """The disputes of the first four orders, by these: the second and third are rejected, the first is mismatched."""
    dispute_store.open_orders(database, rows[:4], "anna", "Please pay back")
    return [found.id for row in rows[:4] if (found := dispute_queries.of_order(database, row))]


def ids(database: IMEIDatabase, state: DisputeState | None, kind: DisputeKind | None, before: int | None) -> list[int]:
    return [found.id for found in dispute_queries.page(database, state, kind, before, 9)]


def test_a_page_has_the_newest_of_a_state_and_a_kind_before_an_id(database: IMEIDatabase, opened: list[int]) -> None:
    first, second, third, fourth = opened
    dispute_store.take_step(database, [second], Step(SENT, "ben"))
    assert ids(database, None, None, None) == [fourth, third, second, first]
    assert ids(database, None, None, third) == [second, first]
    assert ids(database, None, REJECTED, None) == [third, second]
    assert ids(database, SENT, None, None) == [second]
    assert ids(database, OPEN, REJECTED, None) == [third]
    assert ids(database, SENT, REJECTED, second) == []
    assert [found.id for found in dispute_queries.page(database, None, None, None, 1)] == [fourth]
    assert [found.id for found in dispute_queries.walk(database, OPEN, None)] == [fourth, third, first]


def test_a_dispute_is_found_by_its_id_its_order_and_the_id_of_that(
    database: IMEIDatabase, rows: list[int], opened: list[int]
) -> None:
    found = dispute_queries.find(database, opened[1])
    assert found is not None
    assert (found.order_row, found.order_id, found.kind, found.text) == (rows[1], "771", REJECTED, "Please pay back")
    assert dispute_queries.of_order(database, rows[1]) == found
    assert dispute_queries.by_order_id(database, ["771", "779", "1"]) == {"771": found}
    assert dispute_queries.find(database, 10**6) is None
    assert dispute_queries.of_order(database, rows[9]) is None
    assert dispute_queries.by_order_id(database, []) == {}


def test_a_history_is_of_one_dispute_oldest_first(database: IMEIDatabase, opened: list[int]) -> None:
    dispute_store.add_note(database, opened[0], "ben", "first")
    dispute_store.add_note(database, opened[1], "ben", "of another one")
    dispute_store.add_note(database, opened[0], "cleo", "second")
    history = dispute_queries.events(database, opened[0])
    assert [(event.person, event.note) for event in history] == [
        ("anna", "Please pay back"), ("ben", "first"), ("cleo", "second")
    ]  # fmt: skip
    assert history[0].at <= history[1].at <= history[2].at
    assert dispute_queries.events(database, 10**6) == []


def test_sums_are_of_each_state_and_kind(database: IMEIDatabase, opened: list[int]) -> None:
    dispute_store.record_refunds(database, [Refund(opened[1], 0.2, DAY)], "ben")
    found = {
        (part.state, part.kind): (part.count, part.claimed, part.refunded) for part in dispute_queries.sums(database)
    }
    assert found == {
        (OPEN, DisputeKind.MISMATCHED): (1, 0.5, 0.0),
        (OPEN, REJECTED): (1, 0.5, 0.0),
        (OPEN, OTHER): (1, 0.5, 0.0),
        (REFUNDED, REJECTED): (1, 0.5, 0.2),
    }


def test_what_was_paid_back_is_summed_by_the_day_of_the_order(
    database: IMEIDatabase, rows: list[int], opened: list[int]
) -> None:
    """Both ends of the days are included; what was refused, or sent again, is not paid back."""
    refunds = [Refund(one, 0.1 * place, DAY) for place, one in enumerate(opened, 1)]
    assert dispute_store.record_refunds(database, refunds, "ben") == 4
    dispute_store.take_step(database, opened[:1], Step(DisputeState.CLOSED, "ben"))
    dispute_store.take_step(database, opened[3:], Step(SENT, "ben"))
    dispute_store.open_orders(database, rows[4:5], "anna")
    assert dispute_store.take_step_of_all(database, OPEN, None, Step(DisputeState.CLOSED, "ben")) == 1  # for nothing

    def days(since: int | None, until: int | None) -> list[str]:
        ends = [None if day is None else date(2026, 11, day) for day in (since, until)]
        return sorted(part.day for part in dispute_queries.paid_back(database, *ends))

    assert days(None, None) == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert days(2, 2) == ["2026-11-02"]
    assert days(2, None) == ["2026-11-02", "2026-11-03"]
    assert days(None, 2) == ["2026-11-01", "2026-11-02"]
    assert days(4, None) == []
    [back] = dispute_queries.paid_back(database, date(2026, 11, 2), date(2026, 11, 2))
    assert back == PaidBack("2026-11-02", "Check", 0, REJECTED, pytest.approx(0.2))  # type: ignore[arg-type]
    assert back.has_result
    with database.write() as connection:
        connection.execute(update(disputes).values(ordered_at=None, service_name="S"))
    assert {(part.day, part.service_name) for part in dispute_queries.paid_back(database)} == {("", "S")}
    assert dispute_queries.paid_back(database, date(2026, 11, 1)) == []
