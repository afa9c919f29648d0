"""Balance readings: which one is from before a call, and what we know was spent since."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from handmade_calls import answered, call, listed, look, one, planned, read_balance, unanswered
from simulated_provider import imeis
from sqlalchemy import Update

import schema
from database import IMEIDatabase, utc_now
from orders import Chunk, ChunkState, ItemOutcome, Outcome, ServiceInfo
from storage import balance_store, call_queries, call_records, refunds
from storage.call_records import write_intents
from submission.settlement import Settler

DAY_BEFORE = utc_now() - timedelta(days=1)


def reading(database: IMEIDatabase, credits: float) -> balance_store.Reading:
    with database.write() as connection:
        return balance_store.record_reading(connection, credits)


def test_the_reading_of_a_call_is_the_newest_from_before_it_began(database: IMEIDatabase) -> None:
    reading(database, 100.0)
    before = reading(database, 99.0)
    chunk = call(database, imeis(2))
    after = reading(database, 98.8)
    began = datetime.fromisoformat(str(one(database, "SELECT sent_at FROM attempts")))
    with database.read() as connection:
        assert balance_store.reading_before(connection, chunk.attempt_id, "main") == before
        assert balance_store.reading_after(connection, chunk.attempt_id) == after
        assert balance_store.newest_reading(connection) == after
        assert balance_store.newest_reading_and_call(connection) == (after, began)


def test_a_reading_says_which_calls_and_orders_are_older(database: IMEIDatabase) -> None:
    """Nothing is older at first; then the calls that began before it and the orders stored by then; it is kept so."""
    first = reading(database, 100.0)
    assert (first.before_attempt, first.after_order) == (1, 0)
    answered(database, call(database, imeis(3)), 1)
    second = reading(database, 99.7)
    assert second.before_attempt == 2
    assert second.after_order == one(database, "SELECT max(id) FROM orders")
    with database.read() as connection:
        assert balance_store.newest_reading(connection) == second
        assert balance_store.reading_before(connection, 1, "main") == first


def test_the_first_reading_since_a_moment_may_be_of_that_moment(database: IMEIDatabase) -> None:
    first, second = reading(database, 100.0), reading(database, 99.0)
    with database.write() as connection:
        this = schema.balance_readings.c.id == first.reading_id
        connection.execute(Update(schema.balance_readings).where(this).values(read_at=DAY_BEFORE))
    with database.read() as connection:
        found = balance_store.first_reading(connection, second.read_at, "main")
        assert found is not None
        assert found.credits == 99.0
        assert balance_store.first_reading(connection, second.read_at + timedelta(seconds=1), "main") is None
        earlier = [balance_store.first_reading(connection, since, "main") for since in (DAY_BEFORE, None)]
        assert [found and found.credits for found in earlier] == [100.0, 100.0]


def test_without_a_reading_from_before_a_call_there_is_none(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    with database.read() as connection:
        assert balance_store.newest_reading(connection) is None
        began = datetime.fromisoformat(str(one(database, "SELECT sent_at FROM attempts")))
        assert balance_store.newest_reading_and_call(connection) == (None, began)
    reading(database, 98.8)
    with database.read() as connection:
        assert balance_store.reading_before(connection, chunk.attempt_id, "main") is None


def test_what_is_known_to_be_spent_is_the_sum_of_the_orders_placed_since(database: IMEIDatabase) -> None:
    answered(database, call(database, imeis(3, first=50)), 1)
    before = reading(database, 100.0)
    answered(database, call(database, imeis(4)), 100)
    unanswered(database, call(database, imeis(2, first=20)))
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO orders (imei, credits) VALUES ('353370080089458', 5.0)")  # imported
        connection.exec_driver_sql("UPDATE orders SET existed = true WHERE order_id = '103'")
    after = reading(database, 99.7)
    answered(database, call(database, imeis(1, first=70)), 500)
    with database.read() as connection:
        assert round(balance_store.spent_since(connection, before, after).known, 4) == 0.3
        assert round(balance_store.spent_since(connection, before).known, 4) == 0.4


def test_an_order_found_after_a_reading_is_counted_where_its_call_began(database: IMEIDatabase) -> None:
    """It may have been charged before the reading: counted after it, it would hide the charge of another call."""
    before = reading(database, 100.0)
    doubtful = call(database, imeis(2))
    unanswered(database, doubtful)
    between = reading(database, 99.8)
    with database.write() as connection:
        [chunk] = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)
        item_outcomes = [ItemOutcome(i.item_id, i.imei, Outcome.ORDERED, str(n)) for n, i in enumerate(chunk.items, 1)]
        call_records.adopt(connection, chunk, item_outcomes)
    with database.read() as connection:
        assert round(balance_store.spent_since(connection, before).known, 4) == 0.2
        assert round(balance_store.spent_since(connection, before, between).known, 4) == 0.2
        assert balance_store.spent_since(connection, between).known == 0.0


def test_an_order_that_was_rejected_since_may_have_been_paid_back(database: IMEIDatabase) -> None:
    answered(database, call(database, imeis(2)), 1)
    before = reading(database, 100.0)
    database.update_order_status("2", "Rejected")
    with database.read() as connection:
        assert round(balance_store.spent_since(connection, before).refundable, 4) == 0.1
        assert call_queries.newest_attempt(connection) == before.before_attempt - 1


def stored_as(order_id: str, when: datetime, **values: object) -> Update:
    """The change of an order at a time that the wall clock shows."""
    return schema.orders.update().values(updated_at=when, **values).where(schema.orders.c.order_id == order_id)


def refundable(database: IMEIDatabase, since: balance_store.Reading) -> float:
    with database.read() as connection:
        return round(balance_store.spent_since(connection, since).refundable, 4)


@pytest.mark.parametrize("hours", [-24, 0, 24])
def test_what_was_rejected_since_a_reading_is_found_whatever_the_clock_shows(
    database: IMEIDatabase, hours: int
) -> None:
    """One order was rejected before the reading, one after it and one never; a clock that is set back hides nothing."""
    answered(database, call(database, imeis(3)), 1)
    now = utc_now() + timedelta(hours=hours)
    with database.write() as connection:
        connection.execute(stored_as("1", now + timedelta(hours=1), status="Rejected"))
    before = reading(database, 100.0)
    with database.write() as connection:
        connection.execute(stored_as("2", now, status="Rejected", credits=0.4))
        connection.execute(stored_as("3", now, status="Completed"))
    assert refundable(database, before) == 0.4
    assert refundable(database, reading(database, 100.4)) == 0.0


def test_an_order_that_is_rejected_when_it_is_first_recorded_may_have_been_paid_back(database: IMEIDatabase) -> None:
    """It was found on a list, imported or restored."""
    before = reading(database, 100.0)
    long_ago = datetime(2020, 1, 1)
    row = {"imei": "353370080089458", "status": "Rejected", "credits": 0.3, "updated_at": long_ago}
    with database.write() as connection:
        connection.execute(schema.orders.insert().values(row))
    assert refundable(database, before) == 0.3


@pytest.mark.parametrize(("service", "paid"), [("1", 0.3), ("9", 2.5), (None, 2.5)])
def test_a_rejected_order_of_unknown_price_may_have_brought_back_what_its_service_costs(
    database: IMEIDatabase, service: str | None, paid: float
) -> None:
    """It was imported or restored; where its service is not known either, it may be the dearest."""
    row = {"imei": "353370080089458", "status": "Rejected", "service_id": service, "order_id": "7"}
    before = reading(database, 100.0)
    with database.write() as connection:
        connection.execute(schema.orders.insert().values(row))
    assert refundable(database, before) == 0.0  # no price is known at all
    database.store_services([ServiceInfo(name, name, price) for name, price in (("1", 0.3), ("2", 2.5))], 1.0)
    assert refundable(database, before) == paid
    database.update_order_status("7", "Pending")
    with database.read() as connection:
        assert refunds.cost_of_unread(connection, ["7"]) == paid


@pytest.mark.parametrize(("status", "cost"), [(None, 0.3), ("Pending", 0.3), ("Rejected", 0.0)])
def test_what_may_be_paid_back_counts_an_order_without_a_status(
    database: IMEIDatabase, status: str | None, cost: float
) -> None:
    """It was imported or restored: its rejection is not recorded, as that of a pending one."""
    row = {"imei": "353370080089458", "order_id": "7", "status": status, "credits": 0.3}
    with database.write() as connection:
        connection.execute(schema.orders.insert().values(row))
    with database.read() as connection:
        assert refunds.cost_of_unread(connection, ["7"]) == cost


def test_a_rejected_order_counts_again_only_if_it_changes_once_more(database: IMEIDatabase) -> None:
    """The provider may have paid it back only then; a grade that is written again is no change of its."""
    answered(database, call(database, imeis(1)), 1)
    database.update_order_status("1", "Rejected")
    before = reading(database, 100.0)
    with database.write() as connection:
        regraded = schema.orders.update().values(verdict="review", status="Rejected")
        connection.execute(regraded)
    assert refundable(database, before) == 0.0
    with database.write() as connection:
        connection.execute(stored_as("1", datetime(2020, 1, 1), notes="paid back"))
    assert refundable(database, before) == 0.1


def test_what_is_rejected_while_the_balance_is_read_may_have_been_paid_back_after_it(database: IMEIDatabase) -> None:
    answered(database, call(database, imeis(1)), 1)
    with database.read() as connection:
        asked = balance_store.newest_rejection(connection)
    database.update_order_status("1", "Rejected")
    with database.write() as connection:
        before = balance_store.record_reading(connection, 100.0, last_rejection=asked)
    assert refundable(database, before) == 0.1


def test_since_a_reading_of_an_earlier_version_the_time_tells_of_orders_that_are_not_logged(
    database: IMEIDatabase,
) -> None:
    """What is logged counts in any case; the triggers log what an earlier version beside this one records, too."""
    answered(database, call(database, imeis(4)), 1)
    before = reading(database, 100.0)
    second = timedelta(seconds=1)
    with database.write() as connection:
        connection.execute(schema.balance_readings.update().values(rejections=None))
        for order_id, moment, credits in (("1", before.read_at, 0.4), ("2", before.read_at - second, 0.2)):
            connection.execute(stored_as(order_id, moment, status="Rejected", credits=credits))
        connection.execute(schema.rejections.delete())
        connection.execute(stored_as("3", before.read_at - second, status="Rejected", credits=0.7))
        older = balance_store.newest_reading(connection)
    assert older == replace(before, last_rejection=None)
    assert refundable(database, older) == 1.1


def test_the_log_of_rejections_never_counts_back(database: IMEIDatabase) -> None:
    """Not even where the order of its last entry is gone."""
    answered(database, call(database, imeis(2)), 1)
    database.update_order_status("1", "Rejected")
    before = reading(database, 100.0)
    with database.write() as connection:
        connection.execute(schema.rejections.delete())
    database.update_order_status("2", "Rejected")
    assert refundable(database, before) == 0.1


def change(database: IMEIDatabase, chunk: Chunk) -> balance_store.BalanceChange | None:
    with database.read() as connection:
        return balance_store.balance_change(connection, chunk.batch_id)


def test_the_balance_of_a_batch_is_compared_with_the_cost_of_its_orders(database: IMEIDatabase) -> None:
    read_balance(database, 100.0)
    chunk = call(database, imeis(10))
    assert change(database, chunk) is None
    answered(database, chunk, 1)
    assert change(database, chunk) is None
    read_balance(database, 99.0)
    found = change(database, chunk)
    assert found == balance_store.BalanceChange(100.0, 99.0, 1.0, shared=False)
    assert (found.fell, found.unexplained) == (1.0, 0.0)


def test_a_batch_without_a_call_or_a_reading_before_it_has_no_change(database: IMEIDatabase) -> None:
    first = call(database, imeis(2))
    answered(database, first, 1)
    read_balance(database, 99.8)
    assert change(database, first) is None
    with database.read() as connection:
        assert balance_store.balance_change(connection, 999) is None


@pytest.mark.parametrize(
    ("after", "unexplained"),
    [(98.9, 0.1), (98.996, 0.0), (98.9949, 0.0051), (99.004, 0.0), (99.2, -0.2), (150.0, -51.0)],
)
def test_half_a_cent_and_less_is_no_difference(database: IMEIDatabase, after: float, unexplained: float) -> None:
    read_balance(database, 100.0)
    chunk = call(database, imeis(10))
    answered(database, chunk, 1)
    read_balance(database, after)
    found = change(database, chunk)
    assert found is not None
    assert found.unexplained == unexplained


def test_calls_of_other_batches_between_the_readings_are_included(database: IMEIDatabase) -> None:
    answered(database, call(database, imeis(1, first=90)), 1)
    read_balance(database, 100.0)
    first, second = call(database, imeis(10)), call(database, imeis(5, first=20))
    answered(database, first, 100)
    answered(database, second, 200)
    read_balance(database, 98.5)
    answered(database, call(database, imeis(3, first=30)), 300)
    read_balance(database, 98.2)
    assert change(database, first) == balance_store.BalanceChange(100.0, 98.5, 1.5, shared=True)
    assert change(database, second) == change(database, first)


def test_an_order_that_is_found_later_still_explains_its_charge(database: IMEIDatabase) -> None:
    older = answered(database, call(database, imeis(1, first=90)), 1)
    read_balance(database, 100.0)
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    read_balance(database, 99.8)
    found = change(database, chunk)
    assert found is not None
    assert found.unexplained == 0.2
    placed = [listed(str(700 + n), item.imei) for n, item in enumerate(chunk.items)]
    look(database, Settler(60.0), [*older, *placed], 10.0)
    assert change(database, chunk) == balance_store.BalanceChange(100.0, 99.8, 0.2, shared=False)


def test_a_batch_that_makes_calls_after_the_last_reading_only_is_not_included(database: IMEIDatabase) -> None:
    """Its orders were charged after the balance was read."""
    read_balance(database, 100.0)
    chunk = call(database, imeis(10))
    answered(database, chunk, 1)
    read_balance(database, 99.0)
    answered(database, call(database, imeis(5, first=20)), 100)
    assert change(database, chunk) == balance_store.BalanceChange(100.0, 99.0, 1.0, shared=False)


def test_of_another_batch_only_what_was_placed_between_the_readings_is_counted(database: IMEIDatabase) -> None:
    """It makes one call before the first reading, two between them and one after the last; one order cost nothing."""
    _, [before, between, doubtful, after] = planned(database, 8, first=40)
    send(database, before, 1)
    read_balance(database, 100.0)
    chunk = call(database, imeis(10))
    answered(database, chunk, 100)
    send(database, between, 200)
    unanswered(database, send(database, doubtful, None))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE orders SET existed = true WHERE order_id = '201'")
    read_balance(database, 98.9)
    send(database, after, 300)
    assert change(database, chunk) == balance_store.BalanceChange(100.0, 98.9, 1.1, shared=True)


def test_a_call_of_another_batch_that_placed_nothing_costs_nothing(database: IMEIDatabase) -> None:
    """It lies between the readings all the same."""
    read_balance(database, 100.0)
    chunk = call(database, imeis(10))
    answered(database, chunk, 1)
    unanswered(database, call(database, imeis(2, first=20)))
    read_balance(database, 99.0)
    assert change(database, chunk) == balance_store.BalanceChange(100.0, 99.0, 1.0, shared=True)


def send(database: IMEIDatabase, chunk_id: int, first_id: int | None) -> Chunk:
    """Make a planned call; the provider names its orders, with ids from first_id on, where one is given."""
    with database.write() as connection:
        [chunk] = write_intents(connection, [chunk_id])
    if first_id is not None:
        answered(database, chunk, first_id)
    return chunk


@pytest.mark.parametrize(
    ("held", "step"),
    [
        ([], 1.0),
        ([100.0, 80.0], 1.0),
        ([99.9, 100.0], 0.1),
        ([99.95], 0.01),
        ([99.955], 0.01),
        ([0.0], 1.0),
    ],
)
def test_the_step_of_balances_is_the_finest_that_they_show(
    database: IMEIDatabase, held: list[float], step: float
) -> None:
    with database.write() as connection:
        for credits in held:
            balance_store.record_reading(connection, credits)
        balance_store.record_reading(connection, 0.01, "b")  # of another account
    with database.read() as connection:
        assert balance_store.step_of(connection, 97.0) == step


def test_the_step_of_balances_of_nothing_is_large(database: IMEIDatabase) -> None:
    with database.read() as connection:
        assert balance_store.step_of(connection, 0.0) == 1000.0
