"""What confirming would send, what that costs, and what speaks against it."""

import time
from dataclasses import replace

import pytest
from batch_checks import outcomes
from handmade_calls import OTHER, answered, call, unanswered
from simulated_provider import SERVICE, imeis
from web_client import CARRIER, MAIL

from database import IMEIDatabase
from orders import Balance, BatchNames, Catalogue, ServiceInfo
from storage.batch_creation import create_batch
from submission.plan import (
    NO_IMEI,
    NOT_AGAIN,
    NOTHING_LEFT,
    Again,
    Means,
    Plan,
    find_service,
    make_plan,
    money_objections,
    price_objection,
    service_objection,
    unchecked,
)

CHECK = replace(CARRIER, package_id=SERVICE)
RICH = Means(Balance(100.0, "$ 100.00", at=0.0, trusted=True))


def plan(database: IMEIDatabase, count: int, again: Again = NOT_AGAIN, means: Means = RICH) -> Plan:
    return make_plan(database, CHECK, [(imei, None) for imei in imeis(count)], means, again)


def test_each_imei_of_an_earlier_order_is_left_out_for_its_own_reason(database: IMEIDatabase) -> None:
    """Six IMEIs: a result, a rejection, no result yet, in doubt, a result of another service, and a new one."""
    first = call(database, imeis(3))
    answered(database, first, 1)
    database.update_order_status("1", "Completed")
    database.update_order_status("2", "Rejected")
    unanswered(database, doubtful := call(database, imeis(1, first=3)))
    answered(database, call(database, imeis(1, first=4), OTHER), 9)
    database.update_order_status("9", "Completed")
    found = plan(database, 6)
    left_out = [[order.order_id for order in orders] for orders in (found.checked, found.rejected, found.pending)]
    assert left_out == [["1"], ["2"], ["3"]]
    assert found.in_flight == {imeis(1, first=3)[0]: doubtful.batch_id}
    assert [order.order_id for order in found.elsewhere] == ["9"]
    assert (found.count, round(found.cost, 2), found.objections) == (2, 0.16, ())
    assert round(found.balance_after or 0.0, 2) == 99.84
    assert plan(database, 6, Again(checked=True, rejected=True)).count == 4


def test_what_is_checked_again_is_what_was_known_when_it_was_planned(database: IMEIDatabase) -> None:
    """One IMEI has an order that the caller does not know, one gets an order after the plan was made."""
    answered(database, call(database, imeis(2)), 1)
    for order_id, status in (("1", "Completed"), ("2", "Rejected")):
        database.update_order_status(order_id, status)
    both = plan(database, 3, Again(checked=True, rejected=True))
    assert (both.count, [order.order_id for order in both.repeated], both.unseen) == (3, ["1", "2"], ())
    found = plan(database, 3, Again(checked=True, rejected=True, knows=lambda order: order.order_id != "1"))
    assert [order.order_id for order in (*found.repeated, *found.unseen)] == ["2", "1"]
    assert (found.count, len({found.mark, both.mark, both.fingerprint})) == (2, 3)
    answered(database, call(database, imeis(2, first=1), recheck=True), 10)
    for order_id in ("10", "11"):
        database.update_order_status(order_id, "Completed")
    assert outcomes(database, create_batch(database, both.batch(BatchNames("late"), "upload", None))) == {
        "waiting": 1,
        "duplicate": 2,
    }


def test_nothing_to_send_is_an_objection(database: IMEIDatabase) -> None:
    answered(database, call(database, imeis(2)), 1)
    assert plan(database, 2).objections == (NOTHING_LEFT,)
    assert plan(database, 0).objections == (NO_IMEI,)


def test_a_database_that_may_not_order_says_so_first(database: IMEIDatabase) -> None:
    found = plan(database, 2, means=replace(RICH, objection="Not with this database."))
    assert found.objections == ("Not with this database.",)


@pytest.mark.parametrize(
    ("cost", "held", "trusted", "promised", "left", "words"),
    [
        (10.0, 10.0, True, 0.0, None, []),
        (10.0, 10.0, True, 0.01, None, ["but the account holds $10.00, of which $0.01 is promised"]),
        (10.0, 9.99, False, 0.0, None, []),
        (10.0, None, True, 5.0, 10.0, []),
        (10.0, 9.0, True, 0.0, -1.0, ["but the account holds $9.00.", "but $0.00 of today's budget is left."]),
    ],
)
def test_money_that_does_not_suffice_is_named(
    cost: float, held: float | None, trusted: bool, promised: float, left: float | None, words: list[str]
) -> None:
    found = money_objections(cost, Balance(held, "", 0.0, trusted), promised, left)
    assert len(found) == len(words)
    assert all(part in sentence for part, sentence in zip(words, found, strict=True))


def test_a_moved_price_and_an_old_list_are_named() -> None:
    assert price_objection("Check", None, 0.1) == price_objection("Check", 0.1, 0.1) == ""
    assert "rose from $0.08 to $0.10" in price_objection("Check", 0.08, 0.1)
    assert "fell from $0.10 to $0.08" in price_objection("Check", 0.1, 0.08)
    assert unchecked(Catalogue((), 0.0, stale=False, error="")) == ""
    assert unchecked(Catalogue((), 0.0, stale=True, error="It is down.")).endswith("in a minute. It is down.")


@pytest.mark.parametrize(("age", "price"), [(5.0, CARRIER.price), (-5.0, CARRIER.price), (15.0, 0.5), (-15.0, 0.5)])
def test_a_price_is_asked_for_again_when_it_is_old_or_from_a_wrong_clock(
    database: IMEIDatabase, age: float, price: float
) -> None:
    database.store_services([CARRIER], time.time() - age)
    found = find_service(database, lambda: [replace(CARRIER, price=0.5)], CARRIER.package_id, 10.0)
    assert found.price == price


def test_a_service_that_cannot_be_ordered_is_named_and_an_unknown_one_asked_for_once(database: IMEIDatabase) -> None:
    assert service_objection(None, "") == "Choose a service first."
    assert "does not list a service 7:" in service_objection(None, "7")
    assert "needs more than an IMEI (Email)" in service_objection(MAIL, MAIL.package_id)
    assert service_objection(CARRIER, CARRIER.package_id) == ""
    asked = list[str]()

    def ask() -> list[ServiceInfo]:
        asked.append("services")
        return [CARRIER, MAIL]

    assert find_service(database, ask, CARRIER.package_id) == CARRIER
    with pytest.raises(ValueError, match="needs more than an IMEI: Email"):
        find_service(database, ask, MAIL.package_id)
    assert asked == ["services"]
    with pytest.raises(ValueError, match="has no service 7"):
        find_service(database, ask, "7")
