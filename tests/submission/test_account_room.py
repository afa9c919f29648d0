"""What an account may send: nothing while it is stopped, and no more than its balance and its daily budget hold."""

import math
import time

import pytest
from handmade_calls import answered, call, planned
from simulated_provider import imeis

from database import IMEIDatabase, Transaction
from settings import ProviderAccount
from storage import account_store, balance_store
from submission.account_room import Room, budget_of_accounts, spent_today
from submission.throttle import Throttle

MAIN, SECOND = "main", "b"
HOUR = 3600.0


@pytest.fixture(autouse=True)
def two(database: IMEIDatabase) -> None:
    account_store.register(database, {MAIN: "", SECOND: ""})


def noted(connection: Transaction, room: Room) -> Room:
    room.note(connection)
    room.write(connection)
    return room


def stored(connection: Transaction, name: str = MAIN) -> account_store.AccountState:
    return next(state for state in account_store.accounts(connection) if state.name == name)


def test_the_only_account_sends_until_the_provider_refuses(database: IMEIDatabase) -> None:
    room = Room("nobody else")
    with database.write() as connection:
        room.note(connection)
        assert (room.dollars(connection), room.is_shared, room.stop(connection, "refused")) == (math.inf, False, False)


def test_the_balance_less_what_was_ordered_since_and_is_on_the_wire_may_be_sent(database: IMEIDatabase) -> None:
    with database.write() as connection:
        balance_store.record_reading(connection, 5.0)
    room = Room(MAIN)
    answered(database, call(database, imeis(10)), 700)  # $1
    with database.write() as connection:
        room.note(connection)
        assert room.dollars(connection) == pytest.approx(4.0)
    call(database, imeis(5, 50))
    with database.write() as connection:
        assert room.dollars(connection) == pytest.approx(3.5)
        balance_store.record_reading(connection, 2.0)
        assert room.dollars(connection) == pytest.approx(1.5)


def test_a_budget_counts_the_orders_of_this_day_and_begins_again_with_the_next(database: IMEIDatabase) -> None:
    room = Room(MAIN, budget=1.05)
    answered(database, call(database, imeis(10)), 700)
    planned(database, 4, first=50)
    with database.write() as connection:
        assert spent_today(connection, MAIN) == pytest.approx(1.0)
        noted(connection, room)
        found = stored(connection)
        assert (found.shortage, found.until_midnight) == ("$0.05 of its daily budget is left", True)
        connection.exec_driver_sql("UPDATE orders SET order_date = '2020-01-01 00:00:00'")
        connection.exec_driver_sql("UPDATE batches SET state = 'paused' WHERE state = 'running'")
        room.forget()
        noted(connection, room)
        assert stored(connection).shortage == ""


def test_a_balance_that_does_not_suffice_is_read_again_before_anything_pauses(database: IMEIDatabase) -> None:
    now = [time.time() + HOUR]
    room = Room(MAIN, clock=lambda: now[0])
    planned(database, 4)
    with database.write() as connection:
        balance_store.record_reading(connection, 0.02)
        noted(connection, room)
        assert (room.dollars(connection), room.wants_balance) == (0.02, True)
        assert stored(connection).shortage == ""
        now[0] -= HOUR
        noted(connection, room)
        assert stored(connection).shortage == "$0.02 of its balance is left"
        account_store.let_go_on(connection, now[0] + 1.0)
        noted(connection, room)
        assert (room.wants_balance, stored(connection).shortage) == (True, "")
        room.write(connection, unread=True)
        assert stored(connection).shortage == "$0.02 of its balance is left"


def test_a_stop_ends_when_its_time_has_passed(database: IMEIDatabase) -> None:
    now = [1000.0]
    room = Room(SECOND, clock=lambda: now[0])
    with database.write() as connection:
        room.note(connection)
        assert room.stop(connection, "in maintenance", 30.0)
        assert (room.dollars(connection), room.may_send) == (0.0, False)
        now[0] += 29.0
        noted(connection, room)
        assert stored(connection, SECOND).stop
        now[0] += 2.0
        noted(connection, room)
        assert not stored(connection, SECOND).stop
        assert room.dollars(connection) == math.inf


def test_the_limit_of_an_admin_counts_from_the_next_turn_with_the_calls_of_this_minute(database: IMEIDatabase) -> None:
    room, throttle = Room(MAIN), Throttle(5)
    call(database, imeis(2))
    with database.write() as connection:
        account_store.change(connection, MAIN, 4, None)
        room.note(connection)
        room.set_limit(connection, throttle, None)
        assert throttle.permits(throttle.clock(), 0) == 1  # of four, two are kept for pages and one was made
        account_store.change(connection, MAIN, 0, None)
        room.note(connection)
        room.set_limit(connection, throttle, 4)
        assert throttle.limit is None


def test_the_day_may_cost_what_the_accounts_that_may_send_have_and_the_others_have_spent(
    database: IMEIDatabase,
) -> None:
    answered(database, call(database, imeis(10)), 700)
    named = [ProviderAccount(name=MAIN, daily_budget=3.0), ProviderAccount(name=SECOND, daily_budget=5.0)]
    with database.write() as connection:
        assert budget_of_accounts(connection, named) == 8.0
        account_store.switch(connection, MAIN, off=True)
        assert budget_of_accounts(connection, named) == pytest.approx(6.0)
        account_store.switch(connection, MAIN, off=False)
        account_store.change(connection, MAIN, None, 4.0)
        assert budget_of_accounts(connection, named) == 9.0
        assert budget_of_accounts(connection, [named[0], ProviderAccount(name=SECOND)]) is None
