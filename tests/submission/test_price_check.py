"""A price that rises while a batch runs pauses it; the rest is ordered at the new price when a person resumes it."""

from dataclasses import replace

import pytest
from simulated_provider import imeis
from stored_orders import all_orders
from web_client import CARRIER, answer_chunks

from database import IMEIDatabase
from orders import BatchState, Outcome, Progress
from storage import batch_queries, batch_states, call_queries, order_reports
from storage.batch_creation import Funds, NewBatch, OverBudgetError, create_batch, fingerprint, resume_batch
from submission.price_check import INTERVAL, apply_prices, due

DEAR = replace(CARRIER, price=0.48)
PLENTY = Funds()


def new_batch(database: IMEIDatabase, count: int, first: int = 0, **more: object) -> int:
    numbers = imeis(count, first)
    values: dict[str, object] = {"label": "stock", "source": "upload", "unit_price": 0.08}
    values |= {"service_name": CARRIER.title}
    values |= {"service_id": CARRIER.package_id, "fingerprint": fingerprint(CARRIER.package_id, numbers)}
    rows = [(imei, row) for row, imei in enumerate(numbers)]
    return create_batch(database, NewBatch(**{**values, "imeis": rows, **more}), chunk_size=10)  # type: ignore[arg-type]


def first_calls(database: IMEIDatabase, batch_id: int, calls: int) -> None:
    """Answer the first calls of a batch: every IMEI of them is ordered."""
    with database.write() as connection:
        kept = [chunk_id for chunk_id, _ in call_queries.planned_chunks(connection, batch_id, 1000)[calls:]]
        for chunk_id in kept:
            connection.exec_driver_sql("UPDATE chunks SET state = 'cancelled' WHERE id = ?", (chunk_id,))
    answer_chunks(database)
    with database.write() as connection:
        for chunk_id in kept:
            connection.exec_driver_sql("UPDATE chunks SET state = 'planned' WHERE id = ?", (chunk_id,))
        connection.exec_driver_sql("UPDATE batches SET state = 'running', finished_at = NULL WHERE id = ?", (batch_id,))


def check(database: IMEIDatabase, *listed: float) -> list[int]:
    with database.write() as connection:
        return apply_prices(connection, [replace(CARRIER, price=price) for price in listed])


def found(database: IMEIDatabase, batch_id: int) -> Progress:
    progress = batch_queries.progress(database, batch_id)
    assert progress is not None
    return progress


def resume(database: IMEIDatabase, batch_id: int, price: float, funds: Funds = PLENTY) -> bool:
    with database.write() as connection:
        return resume_batch(connection, batch_id, price, funds)


def test_prices_are_asked_for_once_a_minute() -> None:
    assert due(None, 5.0)
    assert not due(100.0, 100.0 + INTERVAL - 0.1)
    assert due(100.0, 100.0 + INTERVAL)
    assert due(100.0, 99.0)  # a clock that was put back


def test_a_price_that_rose_pauses_the_batch_and_says_what_the_rest_would_cost(database: IMEIDatabase) -> None:
    batch_id = new_batch(database, 3008)
    first_calls(database, batch_id, 1)
    assert check(database, 0.48) == [batch_id]
    batch = found(database, batch_id)
    assert (batch.state, batch.resumes_itself, batch.unit_price) == (BatchState.PAUSED, False, 0.08)
    assert batch.notice == (
        "The price rose from $0.08 to $0.48 an IMEI. Resume the batch to order the other 2,998 at the new price "
        "($1,439.04), or stop it."
    )
    assert check(database, 0.48) == []


@pytest.mark.parametrize("price", [0.08, 0.08004, 0.05, 0.0])
def test_a_price_that_fell_or_stayed_changes_nothing(database: IMEIDatabase, price: float) -> None:
    batch_id = new_batch(database, 20)
    assert check(database, price) == []
    assert (found(database, batch_id).state, found(database, batch_id).unit_price) == (BatchState.RUNNING, 0.08)


def test_only_running_batches_of_that_service_with_something_to_send_are_paused(database: IMEIDatabase) -> None:
    other = new_batch(database, 5, service_id="269")
    by_hand = new_batch(database, 5, first=100)
    sent = new_batch(database, 5, first=200)
    running = [new_batch(database, 5, first=300), new_batch(database, 5, first=400)]
    with database.write() as connection:
        batch_states.pause(connection, by_hand, "Paused by hand.")
        connection.exec_driver_sql("UPDATE chunks SET state = 'sending' WHERE batch_id = ?", (sent,))
        assert apply_prices(connection, []) == []
        assert apply_prices(connection, [DEAR]) == running
    assert found(database, other).state is BatchState.RUNNING
    assert found(database, by_hand).notice == "Paused by hand."
    assert found(database, sent).state is BatchState.RUNNING


def test_what_is_ordered_after_resuming_costs_the_new_price_and_what_was_before_keeps_its_own(
    database: IMEIDatabase,
) -> None:
    """105 IMEIs at $0.08 would be $8.40; five calls went through before the price rose."""
    batch_id = new_batch(database, 105)
    first_calls(database, batch_id, 5)
    check(database, 0.48)
    assert round(found(database, batch_id).spent, 4) == 4.0
    assert resume(database, batch_id, 0.48)
    batch = found(database, batch_id)
    assert (batch.state, batch.unit_price, batch.notice) == (BatchState.RUNNING, 0.48, "")
    assert (round(batch.spent, 4), round(batch.cost, 4)) == (4.0, 4.0 + 55 * 0.48)
    assert check(database, 0.48) == []
    answer_chunks(database)
    batch = found(database, batch_id)
    assert batch.outcomes[Outcome.ORDERED] == 105
    assert round(batch.spent, 4) == round(batch.cost, 4) == 30.4
    with database.read() as connection:
        assert round(batch_queries.today(connection).spent, 4) == 30.4
    assert [round(row.spent, 4) for row in order_reports.spend(database, "batch")] == [30.4]
    assert sorted({order["credits"] for order in all_orders(database)}) == [0.08, 0.48]


@pytest.mark.parametrize("price", [0.08, 0.05, 0.0])
def test_a_batch_keeps_its_price_where_the_listed_one_is_not_higher(database: IMEIDatabase, price: float) -> None:
    batch_id = new_batch(database, 20)
    with database.write() as connection:
        batch_states.pause(connection, batch_id, "Paused by hand.")
    assert resume(database, batch_id, price, Funds(budget=0.0, held=0.0))
    assert found(database, batch_id).unit_price == 0.08
    assert not resume(database, batch_id, 0.48)
    assert found(database, batch_id).unit_price == 0.08


@pytest.mark.parametrize(
    ("funds", "words"),
    [
        (Funds(budget=13.99), "costs $9.60, but $9.59 of today's budget is left."),
        (Funds(budget=0.5), "costs $9.60, but $0.00 of today's budget is left."),
        (Funds(held=12.0), "costs $9.60, but $9.20 of the account's balance is left."),
        (Funds(budget=500.0, held=9.6), "costs $9.60, but $6.80 of the account's balance is left."),
    ],
)
def test_a_resume_that_the_funds_do_not_hold_is_refused_and_changes_nothing(
    database: IMEIDatabase, funds: Funds, words: str
) -> None:
    """$1.60 are spent, another batch may take $2.80, and the other 20 IMEIs would cost $9.60 instead of $1.60."""
    batch_id = new_batch(database, 40)
    first_calls(database, batch_id, 2)
    new_batch(database, 35, first=500)
    check(database, 0.48)
    before = found(database, batch_id)
    with pytest.raises(OverBudgetError) as refused:
        resume(database, batch_id, 0.48, funds)
    assert str(refused.value).startswith(f"At the new price of $0.48 an IMEI the rest of batch {batch_id} costs $9.60")
    assert str(refused.value).endswith(words)
    assert found(database, batch_id) == before
    assert resume(database, batch_id, 0.48, Funds(budget=14.0, held=12.4))


def test_the_same_list_confirmed_again_goes_on_at_the_confirmed_price(database: IMEIDatabase) -> None:
    batch_id = new_batch(database, 40)
    check(database, 0.48)
    with pytest.raises(OverBudgetError):
        new_batch(database, 40, unit_price=0.48, budget=19.0)
    with pytest.raises(OverBudgetError):
        new_batch(database, 40, unit_price=0.48, held=19.0)
    assert found(database, batch_id).state is BatchState.PAUSED
    assert new_batch(database, 40, unit_price=0.48, budget=19.2, held=19.2) == batch_id
    assert (found(database, batch_id).state, found(database, batch_id).unit_price) == (BatchState.RUNNING, 0.48)


def test_what_resumes_itself_after_maintenance_keeps_its_price_until_the_next_look(database: IMEIDatabase) -> None:
    batch_id = new_batch(database, 20)
    with database.write() as connection:
        batch_states.pause(connection, batch_id, "Maintenance.", resumes_itself=True)
        assert apply_prices(connection, [DEAR]) == []
        batch_states.resume_self_resuming(connection)
    assert found(database, batch_id).unit_price == 0.08
    assert check(database, 0.48) == [batch_id]
