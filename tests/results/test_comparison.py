"""Orders of both sides, compared one by one: lost, invented, charged twice, or older than the window."""

import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from audited_orders import COUNT, Banker, audited, counts, forget, place, restored
from pending_orders import client_of
from simulated_provider import SERVICE, Simulator, imeis, judge, system
from sqlalchemy import update

from commands.audit import report_lines
from database import IMEIDatabase, utc_now
from orders import IMEIOrder
from results.auditing import run_audit
from results.comparison import AuditReport, compare
from schema import orders
from settings import MAIN_ACCOUNT
from storage import audit_store
from storage.batch_creation import NewBatch, create_batch


def test_an_order_that_we_lost_is_charged_and_unknown_to_us(simulator: Simulator, database: IMEIDatabase) -> None:
    lost = place(simulator, database)[3]
    forget(database, lost)
    report = audited(simulator, database)
    assert not report.agrees
    assert counts(report) == (1, 0, 0, 0)
    [example] = report.unknown_to_us.examples
    assert (example.order_id, example.service) == (lost, SERVICE)
    assert report.their_spend > report.our_spend


def test_an_invented_order_of_ours_is_unknown_to_them(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database)
    database.insert_order({"order_id": "77", "imei": imeis(1, 500)[0], "service_id": SERVICE, "status": "Pending"})
    report = audited(simulator, database)
    assert counts(report) == (0, 1, 0, 0)
    assert report.unknown_to_them.examples[0].order_id == "77"
    assert not report.agrees


def test_a_second_charge_by_hand_is_charged_twice(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database)
    simulator.set(duplicates="never")
    with client_of(simulator) as client:
        client.place_imei_order(imeis(1)[0], SERVICE)
    assert judge(simulator, database) == (1, 1)
    report = audited(simulator, database)
    assert counts(report) == (1, 0, 1, 0)
    assert report.charged_twice.examples[0].imei == imeis(1)[0]


def test_a_second_charge_that_we_recorded_in_the_same_batch_is_charged_twice(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    place(simulator, database)
    simulator.set(duplicates="never")
    with client_of(simulator) as client:
        [again] = client.place_imei_order(imeis(1)[0], SERVICE).orders
    row = {"order_id": again.id, "imei": again.imei, "service_id": SERVICE, "status": "Pending", "batch_id": 1}
    database.insert_order(row | {"order_date": utc_now()})
    assert counts(audited(simulator, database)) == (0, 0, 1, 0)


def test_a_wanted_check_again_is_not_charged_twice(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database)
    simulator.set(duplicates="never")
    with database.write() as connection:
        connection.execute(update(orders).values(status="Completed"))
    again = NewBatch("again", "upload", SERVICE, "name", 0.1, [(imeis(1)[0], None)], recheck=True)
    batch_id = create_batch(database, again)
    with system(simulator, database, in_use=False) as running:
        running.run_batch(batch_id)
    assert len(simulator.charges()) == COUNT + 1
    assert counts(audited(simulator, database)) == (0, 0, 0, 0)


def test_a_doubt_stands_in_the_way_and_names_what_is_at_stake(simulator: Simulator, database: IMEIDatabase) -> None:
    simulator.set(fault="close", fault_when="after", listing="off")
    with client_of(simulator) as client:
        database.store_services(client.get_imei_services(), time.time())
    with system(simulator, database, in_use=False, patience=0.2) as running:
        running.submit_batch(imeis(5), SERVICE)
    simulator.set(fault="", listing="on")
    report = audited(simulator, database)
    assert report.in_doubt == report.unknown_to_us.count == 5
    assert report.at_stake == report.their_spend > 0
    assert not report.agrees


def test_an_order_id_of_another_imei_is_a_difference(simulator: Simulator, database: IMEIDatabase) -> None:
    first = place(simulator, database)[0]
    with database.write() as connection:
        connection.execute(update(orders).where(orders.c.order_id == first).values(imei=imeis(1, 900)[0]))
    assert counts(audited(simulator, database)) == (0, 0, 0, 1)


def test_an_order_id_that_is_listed_for_two_imeis_is_a_difference(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database)
    with client_of(simulator) as client:
        listed = [order for order in client.list_recent_orders() if order.service_id != "Old check"]
        twin = replace(listed[0], imei=imeis(1, 900)[0])
        records = audit_store.read_records(database, None, [])
        assert counts(compare(AuditReport(0.0), records, [twin, *listed], [])) == (0, 0, 0, 1)


def test_since_leaves_older_orders_of_both_sides_alone(simulator: Simulator, database: IMEIDatabase) -> None:
    placed = place(simulator, database)
    with database.write() as connection:
        first = update(orders).where(orders.c.order_id == placed[0])
        connection.execute(first.values(order_date=datetime(2020, 1, 1)))
    database.insert_order({"order_id": "77", "imei": imeis(1, 500)[0], "order_date": datetime(2020, 1, 1)})
    report = audited(simulator, database, datetime(2021, 1, 1))
    assert report.agrees
    assert (report.ours, report.theirs, report.since) == (COUNT - 1, COUNT - 1, "2021-01-01")
    later = audited(simulator, database, utc_now() + timedelta(days=3))
    assert (later.ours, later.theirs, later.differences) == (0, 0, 0)


def test_an_order_from_a_file_without_ids_stands_for_one_on_the_list(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    first = place(simulator, database)[0]
    with database.write() as connection:
        connection.execute(update(orders).where(orders.c.order_id == first).values(order_id=None, batch_id=None))
    assert counts(audited(simulator, database)) == (0, 0, 0, 0)
    assert restored(simulator, database).restored.linked == 1
    assert database.get_order(first)
    assert database.count_orders() == COUNT


def test_orders_that_an_import_doubled_do_not_agree(simulator: Simulator, database: IMEIDatabase) -> None:
    """Seen: ours 40 for $3.20, theirs 20 for $1.60, and both sides agreed."""
    place(simulator, database, 20)
    for imei in imeis(20):
        row = {"imei": imei, "service_id": SERVICE, "credits": 0.08, "status": "Completed", "order_date": utc_now()}
        database.insert_order(row)
    report = audited(simulator, database)
    assert (report.ours, report.theirs, report.unmatched.count) == (40, 20, 20)
    assert report.sums_differ
    assert not report.agrees
    assert "We have 40 orders for $3.20; the provider has 20 for $1.60." in report_lines(report)
    assert not audited(simulator, database, utc_now() - timedelta(days=2)).agrees


@pytest.mark.parametrize(
    "sums", [{"ours": 40, "theirs": 20}, {"our_spend": 8.4, "their_spend": 50.4}, {"unexplained": 42.0}]
)
def test_what_does_not_add_up_does_not_agree(sums: dict[str, Any]) -> None:
    assert AuditReport(0.0).agrees
    assert AuditReport(0.0, our_spend=0.1 + 0.2, their_spend=0.3).agrees
    assert not AuditReport(0.0, **sums).agrees


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d %H:%M:%S", "%Y-%-m-%-d %-H:%M", "%m/%d/%Y %I:%M %p", "%d/%m/%Y %H:%M", "%d.%m.%Y", "day %j", ""],
)
def test_an_unknown_charge_is_seen_however_the_list_writes_its_dates(
    simulator: Simulator, database: IMEIDatabase, form: str
) -> None:
    """Seen: `audit --since` hid an unknown charge, because the list wrote no leading zeros."""
    placed = place(simulator, database)
    forget(database, placed[3])
    with client_of(simulator) as client:
        listed = client.list_recent_orders()
        older = replace(listed[0], id="900", imei=imeis(1, 900)[0], requested_at="2020-01-13 10:00:00")
        dated = [
            replace(order, requested_at=datetime.fromisoformat(order.requested_at).strftime(form))
            for order in [*listed, older]
        ]
        report = run_audit(database, Banker(client, None, dated), utc_now() - timedelta(days=1), MAIN_ACCOUNT)
    assert [example.order_id for example in report.unknown_to_us.examples] == [placed[3]]
    assert report.theirs == COUNT
    assert not report.agrees


def test_an_order_without_a_date_is_in_the_window_unless_its_id_is_older(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    placed = place(simulator, database, 2)
    strange = IMEIOrder("", imeis(1, 900)[0], "Pending", "", SERVICE, "soon")
    ids = [str(int(placed[0]) - 1), str(int(placed[-1]) + 1), "A-7"]
    since = utc_now() - timedelta(days=1)
    with client_of(simulator) as client:
        listed = client.list_recent_orders()
        for order_id, count in zip(ids, (0, 1, 1), strict=True):
            banker = Banker(client, None, [*listed, replace(strange, id=order_id)])
            report = run_audit(database, banker, since, MAIN_ACCOUNT)
            assert (report.unknown_to_us.count, report.undated) == (count, count)
        late = run_audit(database, Banker(client, None, [replace(strange, id=ids[0])]), utc_now(), MAIN_ACCOUNT)
        assert late.unknown_to_us.count == 1  # nothing of ours tells how old it is


def test_an_order_with_an_older_date_and_a_newer_id_is_in_the_window(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    placed = place(simulator, database, 2)
    strange = IMEIOrder(str(int(placed[-1]) + 1), imeis(1, 900)[0], "Pending", "", SERVICE, "2020-01-13 10:00:00")
    with client_of(simulator) as client:
        banker = Banker(client, None, [*client.list_recent_orders(), strange])
        assert run_audit(database, banker, utc_now() - timedelta(days=1), MAIN_ACCOUNT).unknown_to_us.count == 1
