"""Re-checks on disk: each result beside the one before it, compared while results come and announced once."""

import json
from typing import Any

import pytest
from handmade_calls import planned
from sqlalchemy import insert, select, update
from web_client import answer_chunks

from database import IMEIDatabase
from orders import AutomationKind, OrderStatus, RunKind
from people import DEMO_USER
from schema import automation_runs, batches, orders, outbox_events
from storage import automation_change_store, automation_store
from storage.automation_change_store import Changed, Compared, Pair
from storage.automation_store import NewRun, Run, Terms

ON, OFF = ("", "", "ON", "", "", ""), ("", "", "OFF", "", "", "")
MOVED = ("Find My", "OFF", "ON")
TERMS = Terms("Weekly", "fmi=OFF", "269", 0.1, 1.0, first_day="2026-01-01")


@pytest.fixture
def database(file_database: IMEIDatabase) -> IMEIDatabase:
    """A database of SQLite: the tests of pages and of whole turns run these statements on a server."""
    return file_database


def store(database: IMEIDatabase, imei: str, fmi: str = "OFF", **values: Any) -> int:
    """Store a completed order of the service; return its row id."""
    row = {"imei": imei, "fmi": fmi, "service_id": "269", "status": OrderStatus.COMPLETED} | values
    with database.write() as connection:
        return int(connection.execute(insert(orders).values(**row).returning(orders.c.id)).scalar_one())


def batch_of_service(database: IMEIDatabase, service_id: str = "269") -> int:
    """Create a batch of one IMEI that nothing is compared with."""
    return planned(database, 1, service_id=service_id)[0]


@pytest.fixture(name="run")
def run_fixture(database: IMEIDatabase) -> Run:
    """A run of a re-check with its batch."""
    batch_id = batch_of_service(database)
    with database.write() as connection:
        automation_id = automation_store.create(connection, AutomationKind.RECHECK, TERMS, DEMO_USER)
        automation = automation_store.find_automation(connection, automation_id)
        assert automation
        new = NewRun(RunKind.BY_ITSELF, "anna", 1, 1, 0.1)
        run_id = automation_store.add_run(connection, automation, new, batch_id)
        found = automation_store.find_run(connection, run_id)
    assert found
    return found


def write(database: IMEIDatabase, run: Run, found: Compared, revision: int = 1) -> Run:
    """Write a comparison; return the run as it is then."""
    with database.write() as connection:
        automation_change_store.write_comparison(connection, run.run_id, run.batch_id or 0, revision, found)
        after = automation_store.find_run(connection, run.run_id)
    assert after
    return after


def events(database: IMEIDatabase) -> list[dict[str, Any]]:
    query = select(outbox_events.c.data).where(outbox_events.c.kind == "recheck.compared")
    with database.read() as connection:
        return [json.loads(data) for data in connection.execute(query).scalars()]


def test_each_result_stands_beside_the_newest_one_before_it_of_the_service(database: IMEIDatabase) -> None:
    other, batch_id = batch_of_service(database, "270"), batch_of_service(database)
    store(database, "1", "?")
    store(database, "1", carrier="AT&T", batch_id=other)  # the newest one before
    store(database, "1", "?", status=OrderStatus.REJECTED)
    store(database, "1", "?", service_id="270")
    store(database, "2", "?")
    row = store(database, "1", "ON", batch_id=batch_id, verdict="fail")
    store(database, "2", "?", batch_id=batch_id, status=OrderStatus.REJECTED)
    store(database, "3", batch_id=batch_id)  # the first one of this phone
    store(database, "1", "?")  # a later one
    with database.write() as connection:
        connection.execute(update(batches).where(batches.c.id == batch_id).values(revision=7))
        found = automation_change_store.pairs_of(connection, batch_id)
    assert found == (7, [Pair(row, "1", ("AT&T", "", "OFF", "", "", ""), ("", "", "ON", "", "fail", ""))])


def test_a_run_is_compared_until_its_batch_has_every_result(database: IMEIDatabase, run: Run) -> None:
    with database.read() as connection:
        assert automation_change_store.uncompared_runs(connection) == [run]
        revision, _ = automation_change_store.pairs_of(connection, run.batch_id or 0)
    after = write(database, run, Compared(1, {(5, "1"): [MOVED]}, {"Find My OFF → ON": 1}), revision)
    assert (after.compared, after.changed, after.changes) == (1, 1, {"Find My OFF → ON": 1})
    assert (after.is_compared, after.compared_revision, events(database)) == (False, revision, [])
    with database.read() as connection:
        assert automation_change_store.uncompared_runs(connection) == []  # nothing has changed since
    answer_chunks(database)
    with database.read() as connection:
        assert automation_change_store.uncompared_runs(connection) == [after]
    with database.write() as connection:
        connection.execute(update(orders).values(status=OrderStatus.COMPLETED))
    last = write(database, run, Compared(2, {}, {}), revision + 1)
    assert (last.compared, last.changed, last.is_compared) == (2, 0, True)
    with database.read() as connection:
        assert automation_change_store.uncompared_runs(connection) == []


def test_a_complete_comparison_is_announced_once_and_kept(database: IMEIDatabase, run: Run) -> None:
    answer_chunks(database)
    with database.write() as connection:
        connection.execute(update(orders).values(status=OrderStatus.COMPLETED))
    first = write(database, run, Compared(3, {(5, "1"): [MOVED]}, {"Find My OFF → ON": 1}))
    assert first.is_compared
    assert write(database, run, Compared(9, {}, {}), 2) == first
    [event] = events(database)
    assert (event["run_id"], event["batch_id"], event["compared"]) == (run.run_id, run.batch_id, 3)
    assert (event["changed"], event["changes"], event["name"]) == (1, {"Find My OFF → ON": 1}, "test")
    with database.read() as connection:
        assert [one.imei for one in automation_change_store.changed_phones(connection, run.run_id)] == ["1"]


def test_a_later_comparison_takes_the_place_of_an_earlier_one(database: IMEIDatabase, run: Run) -> None:
    batch_id = batch_of_service(database, "270")
    with database.write() as connection:
        automation = automation_store.find_automation(connection, run.automation_id)
        assert automation
        other_id = automation_store.add_run(connection, automation, NewRun(RunKind.BY_ITSELF, "anna", 1), batch_id)
        other = automation_store.find_run(connection, other_id)
    assert other
    write(database, other, Compared(1, {(7, "7"): [MOVED]}, {}))
    rows = [store(database, str(n), order_id=f"O{n}") for n in range(3)]
    write(database, run, Compared(3, {(row, str(n)): [MOVED] for n, row in enumerate(rows[:2])}, {}))
    write(database, run, Compared(3, {(rows[1], "1"): [MOVED], (rows[2], "2"): [MOVED, MOVED]}, {}))
    second, third = Changed(rows[1], "1", "O1", [MOVED]), Changed(rows[2], "2", "O2", [MOVED, MOVED])
    with database.read() as connection:
        changed = automation_change_store.changed_phones
        assert changed(connection, run.run_id) == [second, third]
        assert changed(connection, run.run_id, limit=1) == [second]
        assert changed(connection, run.run_id, after_row=rows[1]) == [third]
        assert changed(connection, other_id) == [Changed(7, "7", None, [MOVED])]
        assert changed(connection, other_id + 1) == []


def test_a_changed_phone_whose_order_is_gone_is_still_listed(database: IMEIDatabase, run: Run) -> None:
    write(database, run, Compared(1, {(99, "1"): [MOVED]}, {}))
    with database.read() as connection:
        assert automation_change_store.changed_phones(connection, run.run_id) == [Changed(99, "1", None, [MOVED])]
        assert connection.execute(select(automation_runs.c.changed)).scalar_one() == 1
