"""Queries about batches: what a batch has spent is the sum of what its orders cost."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from handmade_calls import call, planned, record_outcomes, unanswered
from order_tables import NUMBER
from plain_sql import run
from simulated_provider import SERVICE, imeis
from sqlalchemy import insert

from database import IMEIDatabase, utc_now
from orders import FOUND_IN_LIST, BatchState, ItemOutcome, Outcome
from people import Actor, Role
from schema import batches, orders, totals_mark
from schema import order_totals as totals
from storage import batch_queries, batch_states, kept_sums, order_queries, order_reports
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import Queue


def test_a_batch_has_spent_what_its_orders_cost_whatever_its_price_is_now(database: IMEIDatabase, batch: int) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET unit_price = 0.6, revision = revision + 1")
        connection.execute(insert(orders), [{"imei": NUMBER, "batch_id": batch, "credits": 0.6} for _ in range(3)])
        connection.execute(insert(orders).values(imei=NUMBER, credits=70.0))  # of no batch
    for upto in (0, 3, 5, 6):  # counted where they lie, some below the mark, all below it
        with database.write() as connection:
            connection.execute(totals.delete())
            connection.execute(kept_sums._roll(), {"after": 0, "upto": upto})
            connection.execute(totals_mark.update().values(upto=upto))
        found = batch_queries.progress(database, batch)
        assert found is not None
        assert (round(found.spent, 6), round(found.cost, 6), round(found.at_stake, 6)) == (2.0, 2.6, 0.6), upto
        assert [round(row.spent, 6) for row in order_reports.spend(database, "batch")] == [70.0, 2.0]


def batch_of(database: IMEIDatabase, label: str, *numbers: str, price: float = 0.5, **more: Any) -> int:
    wanted = [(imei, None) for imei in numbers]
    return create_batch(database, NewBatch(label, more.pop("source", "upload"), SERVICE, "T", price, wanted, **more), 2)


def place(database: IMEIDatabase, batch_id: int | None, day: date, dollars: float, **more: Any) -> None:
    values = {"imei": NUMBER, "batch_id": batch_id, "credits": dollars, "status": "Pending"} | more
    with database.write() as connection:
        connection.execute(insert(orders).values(order_date=datetime.combine(day, datetime.min.time()), **values))


def test_what_is_planned_is_counted_by_the_state_of_the_batch(database: IMEIDatabase) -> None:
    """Not what is sent already, and nothing of a finished batch."""
    with database.read() as connection:
        assert batch_queries.queues(connection) == {BatchState.RUNNING: Queue(), BatchState.PAUSED: Queue()}
    running, _ = planned(database, 5)
    paused, _ = planned(database, 3, first=10)
    call(database, imeis(2, 20))
    finished, _ = planned(database, 2, first=30)
    with database.write() as connection:
        batch_states.pause(connection, paused, "by a person")
        run(connection, "UPDATE batches SET state = 'finished' WHERE id = ?", finished)
        assert batch_queries.queues(connection) == {BatchState.RUNNING: Queue(5, 3), BatchState.PAUSED: Queue(3, 2)}
        counts = [batch_queries.planned_imeis(connection, one) for one in (running, paused, finished, 99)]
    assert counts == [5, 3, 2, 0]


@pytest.fixture
def spent(database: IMEIDatabase) -> Iterator[tuple[int, int]]:
    """Two batches, of Anna and of another one: orders of today and before, IMEIs that wait, and one in doubt."""
    today, actor = utc_now().date(), Actor("anna", Role.OPERATOR)
    doubtful = call(database, imeis(1, 50))
    unanswered(database, doubtful)
    hers = batch_of(database, "hers", *imeis(3), actor=actor)
    with database.write() as connection:
        run(connection, "UPDATE batches SET ordered_by = 'anna', unit_price = 0.25 WHERE id = ?", doubtful.batch_id)
    other = batch_of(database, "other", *imeis(2, 10), price=2.0)
    for dollars, batch_id, days, verdict in (
        (8.0, hers, 0, "pass"), (16.0, hers, 1, "fail"), (32.0, other, 0, None), (64.0, None, 0, "fail"),
        (128.0, hers, -1, None),
    ):  # fmt: skip
        place(database, batch_id, today - timedelta(days=days), dollars, verdict=verdict)
    yield hers, other


def test_spent_and_promised_are_of_this_day_of_what_waits_and_of_doubt(
    database: IMEIDatabase, spent: tuple[int, int]
) -> None:
    """Orders that are dated ahead count; the parts of batches sum to the whole of whose they are."""
    hers, other = spent
    by_anna = batches.c.ordered_by == "anna"
    with database.read() as connection:
        assert batch_queries.promised(connection) == 3 * 0.5 + 2 * 2.0 + 0.25
        assert batch_queries.promised(connection, by_anna) == 3 * 0.5 + 0.25
        assert batch_queries.spent_or_promised(connection) == 8 + 32 + 64 + 128 + 5.75
        assert batch_queries.spent_or_promised(connection, by_anna) == 8 + 128 + 1.75
        assert batch_queries.spent_or_promised_by_batch(connection, by_anna) == {1: 0.25, hers: 8 + 128 + 1.5}
        assert batch_queries.spent_or_promised_by_batch(connection, batches.c.id == other) == {other: 32 + 4.0}
    assert batch_queries.committed(database) == 5.75
    with database.write() as connection:
        batch_states.pause(connection, hers, "by a person")
        assert batch_queries.promised(connection, by_anna) == 1.75  # it may go on
        run(connection, "UPDATE batches SET state = 'finished' WHERE id = ?", hers)
        assert batch_queries.promised(connection, by_anna) == 0.25


def test_today_is_summed_with_what_is_open_whatever_its_day(database: IMEIDatabase, spent: tuple[int, int]) -> None:
    place(database, None, date(2026, 1, 2), 1.0)
    place(database, None, date(2026, 1, 1), 1.0, status="Completed")
    with database.read() as connection:
        found = batch_queries.today(connection)
    assert (found.orders, found.spent, found.in_doubt, found.at_stake) == (4, 232.0, 1, 0.25)
    assert found.verdicts.by_word() == {"pass": 1, "review": 0, "fail": 1, "pending": 2}
    assert found.oldest_pending == datetime(2026, 1, 2)


def test_batches_are_found_by_what_is_asked(database: IMEIDatabase) -> None:
    assert batch_queries.newest_batch(database) == 0
    first = batch_of(database, "a.csv", *imeis(2), customer="ACME", actor=Actor("anna", Role.OPERATOR))
    second = batch_of(database, "a.csv", *imeis(2, 10))
    scan = batch_of(database, "b.csv", *imeis(1, 20), source="scan")
    assert (batch_queries.newest_batch(database), batch_queries.batch_named(database, "a.csv")) == (scan, second)
    assert batch_queries.batch_named(database, "c.csv") is None
    assert [batch_queries.customer_of(database, one) for one in (first, second, 99, None)] == ["ACME", "", "", ""]
    assert [batch_queries.who_ordered(database, one) for one in (first, 99, None)] == ["anna", "", ""]
    assert batch_queries.batch_state(database, 99) == (None, -1)
    assert batch_queries.revision(database, 99) is None
    state, revision = batch_queries.batch_state(database, first)
    with database.write() as connection:
        batch_states.pause(connection, first, "by a person")
    assert (state, batch_queries.batch_state(database, first)) == (
        BatchState.RUNNING,
        (BatchState.PAUSED, revision + 1),
    )
    assert batch_queries.revision(database, first) == revision + 1


def test_a_run_is_shown_what_is_unfinished_new_or_asked_for(database: IMEIDatabase) -> None:
    done, running, later = (batch_of(database, "x", imei) for imei in imeis(3))
    with database.write() as connection:
        run(connection, "UPDATE batches SET state = 'finished' WHERE id <> ?", running)
        run(connection, "UPDATE batches SET started_at = ? WHERE id = ?", "2026-11-25 10:00:00", running)

    def found(newest: int, *also: int) -> list[tuple[int, BatchState, bool]]:
        states = batch_queries.states_of_batches(database, newest, also)
        return [(one.batch_id, one.state, one.is_started) for one in states]

    assert found(later) == [(running, BatchState.RUNNING, True)]
    assert found(running) == [(running, BatchState.RUNNING, True), (later, BatchState.FINISHED, False)]
    assert [one[0] for one in found(later, done)] == [done, running]
    with database.read() as connection:
        started = batch_queries.newest_started(connection)
        assert started is not None and started.batch_id == running
        assert [one.batch_id for one in batch_queries.unfinished_batches(connection)] == [running]


def test_the_newest_batches_are_listed_without_scans_and_those_under_way_whatever_they_are(
    database: IMEIDatabase,
) -> None:
    ids = [batch_of(database, "x", imei, source="scan" if n == 2 else "upload") for n, imei in enumerate(imeis(4))]
    with database.write() as connection:
        run(connection, "UPDATE batches SET state = 'finished' WHERE id IN (?, ?)", ids[0], ids[3])
        run(connection, "UPDATE items SET outcome = 'refused' WHERE batch_id IN (?, ?)", ids[0], ids[3])
    with database.read() as connection:
        under_way, recent = batch_queries.under_way_and_recent(connection, 2)
    assert [one.batch_id for one in under_way] == [ids[1], ids[2]]
    assert [one.batch_id for one in recent] == [ids[3], ids[1]]


def test_what_went_wrong_is_grouped_by_words_without_the_ids_of_orders(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(5))
    becomes = [
        (Outcome.REFUSED, "no credit"), (Outcome.DUPLICATE, "ordered already: order 1"),
        (Outcome.DUPLICATE, "ordered already: order 2"), (Outcome.IN_DOUBT, "no credit"), (Outcome.ORDERED, ""),
    ]  # fmt: skip
    outcomes = [
        ItemOutcome(item.item_id, item.imei, outcome, "77" if outcome is Outcome.ORDERED else None, message=words)
        for item, (outcome, words) in zip(chunk.items, becomes, strict=True)
    ]
    with database.write() as connection:
        record_outcomes(connection, chunk, outcomes)
    batch_of(database, "another", *imeis(2, 20))
    found = batch_queries.batch_errors(database, chunk.batch_id)
    assert found[0] == (Outcome.DUPLICATE, "ordered already", 2)
    assert set(found[1:]) == {(Outcome.REFUSED, "no credit", 1), (Outcome.IN_DOUBT, "no credit", 1)}
    failures = batch_queries.batch_failures(database, chunk.batch_id)
    assert failures == [
        {"imei": item.imei, "outcome": outcome, "error": words}
        for item, (outcome, words) in zip(chunk.items, becomes[:4], strict=False)
    ]
    assert batch_queries.chunk_states(database, chunk.batch_id, 9) == ["in_doubt"]
    [placed] = batch_queries.placed_orders(database, chunk.batch_id)
    assert placed == {"order_id": "77", "imei": chunk.items[4].imei, "status": "Pending", "credits": 0.1}
    assert batch_queries.placed_orders(database, 99) == []


def test_chunks_are_shown_in_the_order_in_which_they_are_sent(database: IMEIDatabase) -> None:
    batch_id, ids = planned(database, 6)
    with database.write() as connection:
        run(connection, "UPDATE chunks SET state = 'answered' WHERE id = ?", ids[0])
        run(connection, "UPDATE chunks SET state = 'sending' WHERE id = ?", ids[1])
    assert batch_queries.chunk_states(database, batch_id, 9) == ["answered", "sending", "planned"]
    assert batch_queries.chunk_states(database, batch_id, 2) == ["answered", "sending"]
    counts = batch_queries.batch_counts(database, batch_id)
    assert counts == ({"waiting": 6}, {"answered": 1, "sending": 1, "planned": 1})


def test_a_timeline_tells_how_an_order_was_sent_found_and_changed(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    found = [ItemOutcome(item.item_id, item.imei, Outcome.ORDERED, f"7{n}") for n, item in enumerate(chunk.items)]
    with database.write() as connection:
        record_outcomes(connection, chunk, found)
        run(connection, "UPDATE items SET message = ? WHERE id = ?", FOUND_IN_LIST, chunk.items[0].item_id)
        for day, old, new in ((2, "Pending", "In Process"), (3, "In Process", "Completed")):
            run(
                connection,
                "INSERT INTO status_changes (order_row, old, new, changed_at) VALUES (1, ?, ?, ?)",
                old, new, f"2999-01-0{day} 00:00:00",
            )  # fmt: skip
    lines = []
    for order_id in ("70", "71"):
        order = order_queries.find_order(database, order_id)
        assert order is not None
        timeline = batch_queries.order_timeline(database, order)
        assert [at for at, _ in timeline] == sorted(at for at, _ in timeline)
        lines.append([words for _, words in timeline])
    assert lines[0][-3:] == [
        "recorded by the program: found in the provider's list after the call was in doubt",
        "Pending → In Process",
        "In Process → Completed",
    ]
    assert sorted(lines[1]) == ["placed with the provider", "sent in a call of 2 (attempt 1)"]
