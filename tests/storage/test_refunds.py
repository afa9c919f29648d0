"""Whether rejected orders are paid back: learned from two balances, or plain from one that allows no other reading."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from handmade_calls import QUIET, answered, call, look, one, read_balance, unanswered
from simulated_provider import SERVICE, imeis

import database as database_module
from database import IMEIDatabase, utc_now, write_setting
from orders import IMEIOrder, ServiceInfo
from storage import balance_store, refunds
from storage.balance_store import Reading, Spending
from storage.list_limits import write_list_limit
from storage.refunds import ENOUGH, KEPT, Rejections, are_given, cost_of, cost_of_unread, learn, learn_between
from submission.settlement import Settler

MORE = "more than the orders that we know cost may have left the account."


def reading(database: IMEIDatabase, credits: float) -> Reading:
    with database.write() as connection:
        return balance_store.record_reading(connection, credits)


def kept(database: IMEIDatabase) -> int:
    return int(database.get_setting(KEPT) or 0)


def reject(database: IMEIDatabase, *order_ids: int) -> None:
    for order_id in order_ids:
        database.update_order_status(str(order_id), "Rejected")


def as_rejected(shown: Sequence[IMEIOrder], *order_ids: int) -> list[IMEIOrder]:
    """The list when the provider has rejected these orders."""
    wanted = {str(order_id) for order_id in order_ids}
    return [o if o.id not in wanted else listed_as(o, "Rejected") for o in shown]


def listed_as(order: IMEIOrder, status: str) -> IMEIOrder:
    return IMEIOrder(order.id, order.imei, status, "", order.service_id, order.requested_at)


# Two readings


@pytest.mark.parametrize(
    ("fell", "expected"),
    [(1.0, 7), (1.01, 7), (0.99, 7), (0.985, 0), (0.7, 0), (1.015, 4), (5.0, 4)],
)
def test_a_balance_that_fell_by_the_whole_cost_shows_that_rejected_orders_were_kept(
    database: IMEIDatabase, fell: float, expected: int
) -> None:
    """Less is a refund or a payment, and what was learned is forgotten; more says nothing."""
    first = reading(database, 100.0)
    answered(database, call(database, imeis(10)), 1)
    second = reading(database, 100.0 - fell)
    with database.write() as connection:
        write_setting(connection, KEPT, "4")
        learn(connection, first, second, Rejections(3, 0.3))
    assert kept(database) == expected


@pytest.mark.parametrize("rejected", [Rejections(0, 0.0), Rejections(1, 0.02)])
def test_rejected_orders_that_a_balance_in_cents_may_not_show_teach_nothing(
    database: IMEIDatabase, rejected: Rejections
) -> None:
    first, second = reading(database, 100.0), reading(database, 100.0)
    with database.write() as connection:
        learn(connection, first, second, rejected)
        write_setting(connection, KEPT, "4")
        learn(connection, first, second, rejected)
    assert kept(database) == 4


def test_orders_that_were_placed_and_rejected_between_two_readings_teach(database: IMEIDatabase) -> None:
    """One from before may have been paid back before, and one from after is none of theirs."""
    answered(database, call(database, imeis(1, first=90)), 900)
    first = reading(database, 100.0)
    answered(database, call(database, imeis(10)), 100)
    second = reading(database, 99.0)
    answered(database, call(database, imeis(1, first=80)), 800)
    reject(database, 900, 101, 102, 800)
    with database.write() as connection:
        learn_between(connection, first, second)
    assert kept(database) == 2


def test_readings_around_a_call_in_doubt_teach_nothing(database: IMEIDatabase) -> None:
    first = reading(database, 100.0)
    answered(database, call(database, imeis(10)), 100)
    reject(database, 101, 102)
    unanswered(database, call(database, imeis(1, first=50)))
    with database.write() as connection:
        learn_between(connection, first, balance_store.record_reading(connection, 99.0))
        learn_between(connection, None, balance_store.record_reading(connection, 99.0))
    assert kept(database) == 0


def test_a_call_in_doubt_from_before_two_readings_does_not_matter(database: IMEIDatabase) -> None:
    unanswered(database, call(database, imeis(1, first=50)))
    first = reading(database, 100.0)
    answered(database, call(database, imeis(10)), 100)
    reject(database, 101, 102)
    with database.write() as connection:
        learn_between(connection, first, balance_store.record_reading(connection, 99.0))
    assert kept(database) == 2


# What follows


@pytest.mark.parametrize(
    ("known", "fell", "rejected", "doubtful", "given"),
    [
        (ENOUGH, 1.0, 0.5, 9.0, False),
        (ENOUGH - 1, 1.0, 0.5, 9.0, True),
        (0, 1.0, 0.5, 0.4, False),
        (0, 1.01, 0.5, 0.4, False),
        (0, 0.99, 0.5, 0.4, False),
        (0, 1.02, 0.5, 0.4, True),
        (0, 0.98, 0.5, 0.4, True),
        (0, 1.0, 0.5, 0.48, True),
        (0, 1.0, 0.5, 0.5, True),
    ],
)
def test_refunds_are_reckoned_with_until_the_balance_rules_them_out(
    database: IMEIDatabase, known: int, fell: float, rejected: float, doubtful: float, given: bool
) -> None:
    """A balance that fell by exactly the cost rules them out if the calls in doubt cannot have cost as much."""
    database.set_setting(KEPT, str(known))
    with database.read() as connection:
        assert are_given(connection, fell, Spending(1.0, 0.7, rejected), doubtful, "main") is given


def test_what_rejected_orders_cost_is_summed_by_their_ids(database: IMEIDatabase) -> None:
    answered(database, call(database, imeis(5)), 100)
    reject(database, 101)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE orders SET existed = true WHERE order_id = '104'")
        connection.exec_driver_sql("INSERT INTO orders (order_id, imei) VALUES ('555', '353370080089458')")
        found = cost_of(connection, ["101", "102", "104", "555", "999"])
        assert (found.count, round(found.cost, 4)) == (3, 0.2)
        assert round(cost_of_unread(connection, ["101", "102", "103", "104", "999"]), 4) == 0.2
        assert refunds.cost_of(connection, []) == Rejections(0, 0.0)


# Looks that are taken alone


def doubt(database: IMEIDatabase, count: int) -> tuple[Settler, list[IMEIOrder]]:
    """A call in doubt among ten orders before and one after it, rested, and one look behind it."""
    read_balance(database)
    with database.write() as connection:
        write_list_limit(connection, SERVICE, 100)
    shown = answered(database, call(database, imeis(10)), 1000)
    doubtful = call(database, imeis(count, first=20))
    unanswered(database, doubtful)
    settler = Settler(QUIET)
    look(database, settler, shown, 1000.0, alone=False)
    return settler, [*shown, *answered(database, call(database, imeis(1, first=90)), 5000)]


def test_a_rejected_order_may_hide_a_charge_until_more_are_seen_to_be_kept(database: IMEIDatabase) -> None:
    """The first look alone cannot tell; three rejections later, with the whole cost gone, the next one can."""
    settler, shown = doubt(database, 5)
    first = as_rejected(shown, 1000)
    assert look(database, settler, first, 1100.0) == []
    assert MORE in str(one(database, "SELECT message FROM chunks WHERE state = 'in_doubt'"))
    look(database, settler, first, 1105.0, alone=False)  # open in a list that was asked for after the balance
    second = as_rejected(shown, 1000, 1001, 1002)
    assert look(database, settler, second, 1110.0) == []
    assert kept(database) == 2
    look(database, settler, second, 1150.0, alone=False)
    assert len(look(database, settler, as_rejected(shown, 1000, 1001, 1002, 1003), 1200.0)) == 5
    assert kept(database) == 3


@pytest.mark.parametrize("hours", [-24, 0, 24])
def test_a_refund_may_hide_a_charge_whatever_the_clock_shows(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """The list leaves an order out, and its charge is as high as the refund of another: a person must decide.

    The clock is stepped between the balance before the call and the rejection.
    """
    settler, shown = doubt(database, 1)
    shifted = utc_now() + timedelta(hours=hours)
    monkeypatch.setattr(database_module, "utc_now", lambda: shifted)
    reject(database, 1000)
    assert look(database, settler, as_rejected(shown, 1000), 1100.0) == []
    assert MORE in str(one(database, "SELECT message FROM chunks WHERE state = 'in_doubt'"))


def test_what_is_rejected_between_a_list_and_its_balance_teaches_nothing(database: IMEIDatabase) -> None:
    """Seen: four orders were rejected and paid back in that moment, and the account counted as one that keeps them."""
    settler, shown = doubt(database, 9)
    assert look(database, settler, shown, 1100.0, unexplained=-0.4) == []
    assert look(database, settler, as_rejected(shown, 1000, 1001, 1002, 1003), 1200.0, unexplained=-0.4) != []
    assert kept(database) == 0


def test_a_look_after_another_call_broke_teaches_nothing(database: IMEIDatabase) -> None:
    """Seen: three refunds hid the three charges of that call, and the account counted as one that keeps them."""
    settler, shown = doubt(database, 9)
    look(database, settler, shown, 1100.0, unexplained=-9.0)
    look(database, settler, shown, 1105.0, alone=False)
    unanswered(database, call(database, imeis(3, first=60)))
    look(database, settler, as_rejected(shown, 1000, 1001, 1002), 1300.0, unexplained=-9.0)
    assert kept(database) == 0


@pytest.mark.parametrize(("fell", "known"), [(1.0, True), (0.99, True), (0.9, False), (0.79, False), (1.5, True)])
def test_calls_that_cost_less_than_our_prices_say_make_the_balance_no_proof(
    database: IMEIDatabase, fell: float, known: bool
) -> None:
    """Seen: a price that had fallen hid the charges of a call without an answer."""
    first = reading(database, 100.0)
    answered(database, call(database, imeis(10)), 100)
    with database.write() as connection:
        learn_between(connection, first, balance_store.record_reading(connection, 100.0 - fell))
        assert refunds.are_prices_known(connection, "main") is known
        second = balance_store.record_reading(connection, 90.0)
        learn_between(connection, second, balance_store.record_reading(connection, 89.0))
        assert refunds.are_prices_known(connection, "main") is known  # nothing was ordered between them


def test_a_price_that_fell_since_makes_the_balance_no_proof(database: IMEIDatabase) -> None:
    settler, shown = doubt(database, 2)
    database.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.09)], 1.0)
    assert look(database, settler, shown, 1100.0) == []
    assert "may have left the account" in str(one(database, "SELECT message FROM chunks WHERE state = 'in_doubt'"))
    database.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1)], 2.0)
    assert len(look(database, settler, shown, 1200.0)) == 2


def test_rejected_orders_that_cost_more_than_what_is_in_doubt_rule_refunds_out_at_once(database: IMEIDatabase) -> None:
    settler, shown = doubt(database, 2)
    assert len(look(database, settler, as_rejected(shown, *range(1000, 1005)), 1100.0)) == 2


def test_an_order_that_is_rejected_in_the_list_only_counts_as_a_refund(database: IMEIDatabase) -> None:
    """The account was charged one price more than we know, and paid one rejected order back."""
    settler, shown = doubt(database, 2)
    assert look(database, settler, as_rejected(shown, 1000), 1100.0) == []
    assert len(look(database, settler, as_rejected(shown, 1000), 1200.0, unexplained=-0.1)) == 2


def test_orders_that_are_paid_back_let_doubt_settle_too(database: IMEIDatabase) -> None:
    settler, shown = doubt(database, 2)
    assert len(look(database, settler, as_rejected(shown, 1000, 1001), 1100.0, unexplained=-0.2)) == 2
    assert kept(database) == 0


def test_a_balance_while_a_call_may_be_worked_on_is_not_kept(database: IMEIDatabase) -> None:
    settler, shown = doubt(database, 2)
    look(database, settler, shown, 1001.0)
    assert one(database, "SELECT count(*) FROM balance_readings") == 1
    look(database, settler, shown, 1002.0, alone=False)
    assert one(database, "SELECT count(*) FROM balance_readings") == 1
