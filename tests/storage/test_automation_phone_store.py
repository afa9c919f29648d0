"""Phones of automations: results that came since its mark, and every IMEI that a result gives a phone."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from handmade_calls import planned
from sqlalchemy import insert, select, update

from database import IMEIDatabase
from orders import AutomationKind, RunKind
from people import DEMO_USER
from schema import batches, orders, status_changes
from storage import automation_phone_store, automation_store
from storage.automation_phone_store import Arrived
from storage.automation_store import Automation, NewRun, Terms
from storage.order_terms import OrderFilter

NOW = datetime(2026, 3, 1, 12)
OFF = OrderFilter(fmi="OFF", status="Completed")


def result(database: IMEIDatabase, imei: str, status: str = "Completed", **values: Any) -> int:
    """Store an order and its newest change of status; return the id of the change."""
    with database.write() as connection:
        new = insert(orders).values(**{"imei": imei, "status": status, "fmi": "OFF"} | values)
        row = connection.execute(new.returning(orders.c.id)).scalar_one()
        change = insert(status_changes).values(order_row=row, old="Pending", new=status, changed_at=NOW)
        return int(connection.execute(change.returning(status_changes.c.id)).scalar_one())


@pytest.fixture(name="automation")
def automation_fixture(database: IMEIDatabase) -> Automation:
    with database.write() as connection:
        terms = Terms("Second stage", "fmi=OFF", "269", 0.1, 1.0)
        automation_id = automation_store.create(connection, AutomationKind.FOLLOW_UP, terms, DEMO_USER)
        found = automation_store.find_automation(connection, automation_id)
    assert found
    return found


def arrived(database: IMEIDatabase, automation: Automation, most: int = 100) -> Arrived:
    with database.read() as connection:
        return automation_phone_store.arrived(connection, automation, most)


def test_results_behind_the_mark_that_fit_arrive_in_their_order(database: IMEIDatabase, automation: Automation) -> None:
    assert arrived(database, automation) == Arrived(0, [], None)
    before = result(database, "1")
    first = result(database, "2")
    result(database, "3", fmi="ON")
    result(database, "4", status="Rejected")
    last = result(database, "1")
    with database.write() as connection:
        row = select(status_changes.c.order_row).where(status_changes.c.id == last).scalar_subquery()
        back = {"order_row": row, "old": "Completed", "new": "In Process", "changed_at": NOW}
        newest = connection.execute(insert(status_changes).values(back).returning(status_changes.c.id)).scalar_one()
        later = update(status_changes).where(status_changes.c.id > first)
        connection.execute(later.values(changed_at=NOW + timedelta(seconds=1)))
    automation = replace(automation, after_change=before)
    assert arrived(database, automation) == Arrived(newest, [("2", first), ("1", last)], NOW)
    assert arrived(database, replace(automation, after_change=last)) == Arrived(newest, [], None)
    assert arrived(database, replace(automation, after_change=newest + 1)) == Arrived(newest + 1, [], None)


def test_results_that_an_automation_ordered_start_none(database: IMEIDatabase, automation: Automation) -> None:
    by_hand, by_rule = planned(database, 1)[0], planned(database, 1, first=1)[0]
    with database.write() as connection:
        of_rule = update(batches).where(batches.c.id == by_rule)
        connection.execute(of_rule.values(source=automation_store.SOURCE))
    kept = result(database, "1", batch_id=by_hand)
    last = result(database, "2", batch_id=by_rule)
    assert arrived(database, automation) == Arrived(last, [("1", kept)], NOW)


def test_a_turn_looks_at_some_changes_whether_they_fit_or_not(
    database: IMEIDatabase, automation: Automation, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_, last = [result(database, str(n), fmi="OFF" if n == 3 else "ON") for n in range(1, 5)]
    assert arrived(database, automation, most=2) == Arrived(first + 1, [], None)
    assert arrived(database, automation, most=3).phones == [("3", last - 1)]
    monkeypatch.setattr(automation_phone_store, "SCANNED", 2)
    assert arrived(database, automation, most=3).upto == first + 1


def test_a_recheck_takes_each_imei_of_its_filter_once(database: IMEIDatabase) -> None:
    for imei, fmi in (("1", "OFF"), ("2", "OFF"), ("1", "OFF"), ("3", "ON")):
        result(database, imei, fmi=fmi)
    with database.read() as connection:
        assert sorted(automation_phone_store.phones_of(connection, OFF, 10)) == ["1", "2"]
        assert len(automation_phone_store.phones_of(connection, OFF, 1)) == 1


def test_a_run_by_hand_takes_the_newest_results_the_oldest_of_them_first(database: IMEIDatabase) -> None:
    for imei, fmi in (("1", "OFF"), ("2", "OFF"), ("3", "ON"), ("4", "OFF")):
        result(database, imei, fmi=fmi)
    with database.read() as connection:
        found = [automation_phone_store.newest_results(connection, OFF, most) for most in (2, 10)]
    assert found == [["2", "4"], ["1", "2", "4"]]


def test_the_other_imei_of_a_phone_is_known_from_either_side(database: IMEIDatabase) -> None:
    result(database, "1", imei2="2")
    result(database, "3", imei2="3")  # a result that repeats the IMEI
    result(database, "4", imei2="5", other_imei="6")  # about another device
    result(database, "7")
    with database.read() as connection:
        assert automation_phone_store.other_imeis(connection, iter("1")) == {"1": "2", "2": "1"}
        assert automation_phone_store.other_imeis(connection, iter("2")) == {"1": "2", "2": "1"}
        assert automation_phone_store.other_imeis(connection, iter("34567")) == {}


def test_the_newest_result_says_which_imei_is_the_other_one(database: IMEIDatabase) -> None:
    result(database, "1", imei2="2")
    result(database, "1", imei2="8")
    with database.read() as connection:
        assert automation_phone_store.other_imeis(connection, ["1"])["1"] == "8"


def test_what_an_automation_has_ordered_is_its_own(database: IMEIDatabase, automation: Automation) -> None:
    with database.write() as connection:
        run_id = automation_store.add_run(connection, automation, NewRun(RunKind.BY_ITSELF, "anna", 2))
        automation_store.note_ordered(connection, automation.automation_id, run_id, ["1", "2"])
        theirs = automation_phone_store.ordered_by_it(connection, automation.automation_id, iter("123"))
        others = automation_phone_store.ordered_by_it(connection, automation.automation_id + 1, iter("123"))
    assert (set(theirs), set(others)) == ({"1", "2"}, set())
