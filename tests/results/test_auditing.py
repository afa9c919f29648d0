"""The audit and the rebuild, against a provider on a real socket whose ledger is the judge."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from simulated_provider import SERVICE, Knobs, Simulator, imeis, judge, system
from sqlalchemy import delete, update
from stored_orders import all_orders
from web_client import SERVICES, Browser, Provider, make_app

from account.requests import ProviderRequests
from backend import make_backend
from commands.audit import audit as audit_command
from commands.audit import conclusion, figures, rebuild_from_provider, report_lines
from database import IMEIDatabase, utc_now
from gsm_fusion_client import ClientOptions, GSMFusionClient, NotSentError
from orders import Account, BatchState, Chunk, ChunkState, IMEIOrder, Outcome
from results import auditing
from results.auditing import NightlyAudit, last_audit, next_nightly, run_audit
from results.comparison import AuditReport, compare
from results.importing import import_orders
from results.rebuild import RebuildReport, plan_rebuild, rebuild_records
from schema import attempts, batches, chunks, items, orders
from settings import Settings
from spreadsheets.order_rows import read_orders
from storage import audit_store, balance_store
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import progress
from submission import older_copy as batch_older_copy
from submission.checkpoints import Checkpoints

COUNT = 30


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs()) as running:
        yield running


@pytest.fixture
def silent_account(simulator: Simulator) -> None:
    """The simulator tells no balance, so that the readings of a test are all that there are."""
    simulator.set(accountinfo="off")


@contextmanager
def client_of(simulator: Simulator) -> Iterator[GSMFusionClient]:
    with GSMFusionClient(
        "DEMO-KEY", "demo", 5, options=ClientOptions(simulator.base_url, sleep=lambda _: None)
    ) as client:
        yield client


def place(simulator: Simulator, database: IMEIDatabase, count: int = COUNT) -> list[str]:
    """That many orders by a batch; returns their ids, oldest first."""
    with client_of(simulator) as client:
        database.store_services(client.get_imei_services(), time.time())
    with system(simulator, database, in_use=False) as running:
        running.submit_batch(imeis(count), SERVICE)
    return sorted(row["order_id"] for row in all_orders(database))


def audited(simulator: Simulator, database: IMEIDatabase, since: datetime | None = None) -> AuditReport:
    with client_of(simulator) as client:
        return run_audit(database, client, since)


def restored(simulator: Simulator, database: IMEIDatabase) -> RebuildReport:
    with client_of(simulator) as client:
        return rebuild_records(database, *plan_rebuild(database, client))


def counts(report: AuditReport) -> tuple[int, int, int, int]:
    found = (report.unknown_to_us, report.unknown_to_them, report.charged_twice, report.other_device)
    return (found[0].count, found[1].count, found[2].count, found[3].count)


def forget(database: IMEIDatabase, order_id: str) -> None:
    with database.write() as connection:
        connection.execute(delete(orders).where(orders.c.order_id == order_id))


# The audit


@pytest.mark.parametrize("package_as", ["title", "id"])
def test_a_clean_run_agrees_and_both_sides_spent_the_same(
    simulator: Simulator, database: IMEIDatabase, package_as: str
) -> None:
    simulator.set(package_as=package_as)
    place(simulator, database)
    report = audited(simulator, database)
    assert report.agrees
    assert (report.ours, report.theirs, report.listed, counts(report)) == (COUNT, COUNT, COUNT, (0, 0, 0, 0))
    assert report.our_spend == report.their_spend == round(sum(charge.credits for charge in simulator.charges()), 4)
    assert last_audit(database) == report


def test_nothing_on_either_side_agrees(simulator: Simulator, database: IMEIDatabase) -> None:
    assert audited(simulator, database).agrees


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


def test_a_provider_that_does_not_list_is_said_and_never_agrees(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database)
    simulator.set(listing="off")
    report = audited(simulator, database)
    assert "Invalid Order ID" in report.error
    assert not report.agrees
    assert counts(report) == (0, 0, 0, 0)
    assert "could not be asked" in conclusion(report)


@pytest.mark.parametrize(
    ("knobs", "listed"), [({"listing_limit": 10}, 10), ({"listing": "empty"}, 0), ({"listing": "lagging"}, 0)]
)
def test_what_a_short_list_leaves_out_is_asked_for_by_id_and_agreement_is_not_claimed(
    simulator: Simulator, database: IMEIDatabase, knobs: dict[str, Any], listed: int
) -> None:
    place(simulator, database)
    simulator.set(**knobs)
    report = audited(simulator, database)
    assert (report.listed, report.only_by_id, report.theirs) == (listed, COUNT - listed, COUNT)
    assert counts(report) == (0, 0, 0, 0)
    assert not report.agrees
    assert "may hide beyond" in conclusion(report)


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


def test_a_call_without_an_answer_yet_is_no_difference(simulator: Simulator, database: IMEIDatabase) -> None:
    lost = place(simulator, database, 1)[0]
    forget(database, lost)
    with database.write() as connection:
        connection.execute(update(items).values(outcome=Outcome.WAITING))
        connection.execute(update(chunks).values(state=ChunkState.SENDING))
    report = audited(simulator, database)
    assert (report.under_way, report.differences) == (1, 0)


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


# The balance


class Banker:
    """The simulator's orders, and an account that holds what the test says."""

    def __init__(self, client: GSMFusionClient, credits: float | None, listed: list[IMEIOrder] | None = None) -> None:
        self.client = client
        self.credits = credits
        self.listed = listed

    def list_recent_orders(self) -> list[IMEIOrder]:
        return self.client.list_recent_orders() if self.listed is None else self.listed

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[IMEIOrder]:
        return self.client.get_imei_orders(order_ids)

    def get_account(self) -> Account:
        if self.credits is None:
            raise NotSentError("The provider has no such action.")
        return Account(self.credits, f"$ {self.credits}")


def read_balance(database: IMEIDatabase, credits: float) -> None:
    with database.write() as connection:
        balance_store.record_reading(connection, credits)


def audited_with(
    simulator: Simulator, database: IMEIDatabase, credits: float | None, since: datetime | None = None
) -> AuditReport:
    with client_of(simulator) as client:
        return run_audit(database, Banker(client, credits), since)


def test_a_balance_that_fell_by_what_our_orders_cost_agrees(simulator: Simulator, database: IMEIDatabase) -> None:
    simulator.set(credit=100.0)
    assert audited(simulator, database).balance_note == auditing.NO_READING  # and keeps one
    place(simulator, database)
    report = audited(simulator, database)
    assert (report.balance_fell, report.known_spent, report.unexplained) == (2.4, 2.4, 0.0)
    assert report.agrees
    assert f"The balance fell by $2.40 since {report.balance_since} UTC; our orders since then cost $2.40." in (
        report_lines(report)
    )


@pytest.mark.usefixtures("silent_account")
@pytest.mark.parametrize(
    ("credits", "unexplained", "sentence"),
    [
        (55.6, 42.0, "$42.00 more was charged than our orders explain: a higher price"),
        (97.59, 0.01, "$0.01 more was charged"),
        (98.1, -0.5, "$0.50 less was charged than our orders cost: a top-up or a refund."),
        (150.0, -52.4, "The balance rose by $50.00"),
    ],
)
def test_another_fall_than_our_orders_explain_does_not_agree(
    simulator: Simulator, database: IMEIDatabase, credits: float, unexplained: float, sentence: str
) -> None:
    """Seen: the price rose, $50.40 was charged and $8.40 reported, and the audit agreed."""
    read_balance(database, 100.0)
    place(simulator, database)
    report = audited_with(simulator, database, credits, utc_now() - timedelta(days=1))
    assert report.unexplained == unexplained
    assert (report.differences, report.sums_differ, report.agrees) == (0, False, False)
    assert sentence in "\n".join(report_lines(report))
    assert "The balance does not fit our orders." in conclusion(report)


@pytest.mark.usefixtures("silent_account")
def test_a_refund_of_a_rejected_order_may_have_come(simulator: Simulator, database: IMEIDatabase) -> None:
    read_balance(database, 100.0)
    rejected = place(simulator, database)[0]
    database.update_order_status(rejected, "Rejected", {"result_code": "no"})
    for credits in (97.6, 97.68):
        report = audited_with(simulator, database, credits)
        assert (report.unexplained, report.refundable, report.agrees) == (0.0, 0.08, True)
    assert audited_with(simulator, database, 97.78).unexplained == -0.1


@pytest.mark.usefixtures("silent_account")
def test_a_balance_that_cannot_be_read_leaves_the_orders_to_agree_and_is_said(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    read_balance(database, 100.0)
    place(simulator, database)
    report = audited_with(simulator, database, None)
    assert report.agrees
    assert "The balance was not compared. The provider has no such action." in report_lines(report)


@pytest.mark.usefixtures("silent_account")
def test_a_call_on_the_wire_leaves_the_newest_kept_reading_to_compare(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    read_balance(database, 100.0)
    place(simulator, database)
    with database.write() as connection:
        connection.execute(update(chunks).values(state=ChunkState.SENDING))
    assert audited_with(simulator, database, 12.0).balance_note == auditing.ON_THE_WIRE
    read_balance(database, 97.6)
    report = audited_with(simulator, database, 12.0)
    assert (report.balance_fell, report.unexplained) == (2.4, 0.0)


@pytest.mark.usefixtures("silent_account")
def test_an_order_that_was_lost_and_restored_explains_its_charge(simulator: Simulator, database: IMEIDatabase) -> None:
    with client_of(simulator) as client:
        client.place_imei_order(imeis(3, 700), SERVICE)  # from before the reading
    restored(simulator, database)
    place(simulator, database, 2)
    read_balance(database, 100.0)
    lost = sorted(place(simulator, database))[-1]
    forget(database, lost)
    assert restored(simulator, database).restored.new == 1
    assert audited_with(simulator, database, 97.76).unexplained == 0.0


# Dates


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
        report = run_audit(database, Banker(client, None, dated), utc_now() - timedelta(days=1))
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
            report = run_audit(database, banker, since)
            assert (report.unknown_to_us.count, report.undated) == (count, count)
        late = run_audit(database, Banker(client, None, [replace(strange, id=ids[0])]), utc_now())
        assert late.unknown_to_us.count == 1  # nothing of ours tells how old it is


def test_an_order_with_an_older_date_and_a_newer_id_is_in_the_window(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    placed = place(simulator, database, 2)
    strange = IMEIOrder(str(int(placed[-1]) + 1), imeis(1, 900)[0], "Pending", "", SERVICE, "2020-01-13 10:00:00")
    with client_of(simulator) as client:
        banker = Banker(client, None, [*client.list_recent_orders(), strange])
        assert run_audit(database, banker, utc_now() - timedelta(days=1)).unknown_to_us.count == 1


def test_an_order_of_ours_without_a_date_is_compared_by_its_id(simulator: Simulator, database: IMEIDatabase) -> None:
    placed = place(simulator, database, 3)
    database.insert_order({"order_id": str(int(placed[-1]) + 5), "imei": imeis(1, 900)[0], "service_id": SERVICE})
    database.insert_order({"order_id": "77", "imei": imeis(1, 901)[0], "service_id": SERVICE})
    database.insert_order({"imei": imeis(1, 902)[0], "service_id": SERVICE})
    report = audited(simulator, database, utc_now() - timedelta(days=1))
    assert (report.ours, report.unknown_to_them.count, report.unmatched.count) == (4, 1, 0)


# The rebuild


def test_an_empty_database_is_rebuilt_audits_clean_and_orders_nothing_again(
    simulator: Simulator, database: IMEIDatabase, tmp_path: Path
) -> None:
    """After the loss of a disk, every order is back, and the same IMEIs cost nothing."""
    placed = place(simulator, database)
    simulator.complete()
    with IMEIDatabase(tmp_path / "new.db") as fresh:
        report = restored(simulator, fresh)
        assert (report.listed, report.restored.new, report.known) == (COUNT, COUNT, 0)
        assert sorted(row["order_id"] for row in all_orders(fresh)) == placed
        assert audited(simulator, fresh).agrees
        assert judge(simulator, fresh) == (0, 0)
        first = fresh.get_order(placed[0])
        assert first
        assert first["status"] == "Completed"
        assert first["result_code"]
        assert first["order_date"]
        simulator.set(duplicates="never")
        with system(simulator, fresh, in_use=False) as running:
            result = running.submit_batch(imeis(COUNT), SERVICE)
        assert (result.successful, result.duplicates) == (0, COUNT)
        assert len(simulator.charges()) == COUNT


def test_a_rebuild_may_be_repeated_and_takes_nothing_back(simulator: Simulator, database: IMEIDatabase) -> None:
    placed = place(simulator, database)
    simulator.complete()
    forget(database, placed[1])
    database.update_order_status(placed[0], "Completed", {"result_code": "Model: kept", "model": "kept"})
    simulator.set(turnaround=10_000)
    first = restored(simulator, database)
    before = all_orders(database)
    second = restored(simulator, database)
    assert first.restored.new == 1
    assert (second.restored.new, second.known, second.updated) == (0, COUNT, 0)
    assert all_orders(database) == before


def test_what_an_old_copy_still_means_to_send_is_not_sent_again(simulator: Simulator, database: IMEIDatabase) -> None:
    """A copy from before the batch was sent: its planned IMEIs are ordered already, but for five."""
    with client_of(simulator) as client:
        database.store_services(client.get_imei_services(), time.time())
        client.place_imei_order(imeis(COUNT - 5), SERVICE)
    pairs: list[tuple[str, int | None]] = [(imei, None) for imei in imeis(COUNT)]
    batch_id = create_batch(database, NewBatch("old", "upload", SERVICE, "name", 0.1, pairs), 10)
    simulator.set(duplicates="never")
    assert restored(simulator, database).restored.taken_over == COUNT - 5
    with system(simulator, database, in_use=False) as running:
        running.run_batch(batch_id)
    found = progress(database, batch_id)
    assert found
    assert (found.state, found.outcomes[Outcome.ORDERED]) == (BatchState.FINISHED, COUNT)
    assert judge(simulator, database) == (0, 0)
    assert len(simulator.charges()) == COUNT


def test_what_is_in_doubt_is_left_to_the_runner_which_adopts_it(simulator: Simulator, database: IMEIDatabase) -> None:
    simulator.set(fault="close", fault_when="after", fault_limit=1, listing="off", duplicates="never")
    with system(simulator, database, in_use=False, patience=0.2) as running:
        running.submit_batch(imeis(5), SERVICE)
    simulator.set(listing="on")
    report = restored(simulator, database)
    assert (report.restored.new, report.restored.left) == (0, 5)
    with system(simulator, database, in_use=False) as running:
        running.run_batch(1)
    assert judge(simulator, database) == (0, 0)
    assert len(simulator.charges()) == 5
    assert audited(simulator, database).agrees


# When


@pytest.mark.parametrize(
    ("after", "night"),
    [
        (datetime(2026, 3, 1, 2, 59), datetime(2026, 3, 1, 3)),
        (datetime(2026, 3, 1, 3, 0), datetime(2026, 3, 2, 3)),
        (datetime(2026, 12, 31, 23, 0), datetime(2027, 1, 1, 3)),
    ],
)
def test_the_next_night_is_at_three(after: datetime, night: datetime) -> None:
    assert next_nightly(after) == night


def test_an_audit_is_due_every_night_and_after_a_batch_with_doubt(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 2)
    now = utc_now()
    with client_of(simulator) as client:
        assert not NightlyAudit(database, client, lambda: now - timedelta(seconds=60)).is_due()
        assert NightlyAudit(database, client, lambda: now - timedelta(seconds=60)).audit().agrees
        assert NightlyAudit(database, client, lambda: now + timedelta(days=1)).is_due()
        last = last_audit(database)
        assert last
        done = datetime.fromtimestamp(last.at, UTC).replace(tzinfo=None)
        assert not NightlyAudit(database, client, lambda: next_nightly(done) - timedelta(seconds=1)).is_due()
        late = NightlyAudit(database, client, lambda: done)
        assert not late.is_due()
        with database.write() as connection:
            connection.execute(update(attempts).values(result="in doubt"))
            connection.execute(update(batches).values(finished_at=utc_now() + timedelta(seconds=1)))
        assert late.is_due()


def test_the_thread_audits_when_it_is_due_and_survives_a_failure(
    simulator: Simulator, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(simulator, database, 2)
    monkeypatch.setattr(auditing, "LOOK", 0.01)
    monkeypatch.setattr(auditing, "DUE_LOOK", 0.01)
    stop, started, broken = Event(), utc_now(), Event()

    def clock() -> datetime:
        if utc_now() > started and not broken.is_set():
            broken.set()
            raise OSError("the disk is gone for a moment")
        return utc_now()

    with client_of(simulator) as client:
        nightly = NightlyAudit(database, client, lambda: started - timedelta(days=2))
        nightly._clock = clock
        thread = Thread(target=nightly.run, args=(stop,))
        thread.start()
        until = time.monotonic() + 10
        while last_audit(database) is None and time.monotonic() < until:
            time.sleep(0.02)
        stop.set()
        thread.join()
    found = last_audit(database)
    assert found
    assert found.agrees
    assert broken.is_set()


def test_the_status_page_shows_the_last_audit(simulator: Simulator, settings: Settings, database: IMEIDatabase) -> None:
    page = Browser(make_app(settings, database, Provider(SERVICES)))
    assert "it runs every night" in page.get("/status").text
    simulator.set(accountinfo="off")  # while orders are placed, so that the first audit has no balance before it
    place(simulator, database)
    simulator.set(accountinfo="on")
    audited(simulator, database)
    shown = page.get("/status").text
    assert "both sides agree" in shown
    assert f"The balance was not compared. {auditing.NO_READING}" in shown
    database.insert_order({"order_id": "77", "imei": imeis(1, 500)[0], "status": "Pending", "order_date": utc_now()})
    audited(simulator, database)
    assert "1 recorded only here" in " ".join(page.get("/status").text.split())
    database.set_setting(auditing.LAST, '{"at": 1, "word_of_another_version": 2}')
    assert "it runs every night" in page.get("/status").text


# The commands


@pytest.fixture
def app(settings: Settings, database: IMEIDatabase, simulator: Simulator) -> Flask:
    real = replace(settings, api_key="DEMO-KEY", username="demo", base_url=simulator.base_url)
    app = Flask("audit_test")
    app.extensions["backend"] = make_backend(real, database, ProviderRequests(database), Event())
    for command in (audit_command, rebuild_from_provider):
        app.cli.add_command(command)
    return app


def run(app: Flask, *words: str, typed: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=words, input=typed)


def test_the_command_exits_with_zero_only_when_both_sides_agree(
    app: Flask, simulator: Simulator, database: IMEIDatabase
) -> None:
    placed = place(simulator, database)
    clean = run(app, "audit", "--json")
    assert clean.exit_code == 0, clean.output
    said = json.loads(clean.stdout.splitlines()[-1])
    assert (said["agrees"], said["ours"], said["unknown_to_us"]) == (True, COUNT, {"count": 0, "examples": []})
    assert "Both sides agree." in clean.stderr
    forget(database, placed[0])
    lost = run(app, "audit")
    assert lost.exit_code == 1
    assert f"order {placed[0]}" in lost.stdout
    simulator.set(listing="off")
    silent = run(app, "audit", "--since", "2020-01-01")
    assert silent.exit_code == 1
    assert "could not be asked" in silent.stdout
    assert "time zone is unknown" in silent.stdout


def test_examples_are_bounded_and_the_rest_is_counted(simulator: Simulator, database: IMEIDatabase) -> None:
    with client_of(simulator) as client:
        client.place_imei_order(imeis(50), SERVICE)
    report = audited(simulator, database)
    assert (report.unknown_to_us.count, len(report.unknown_to_us.examples)) == (50, 20)
    assert "    and 30 more" in report_lines(report)
    assert figures(report).keys() == asdict(report).keys() | {"agrees", "complete"}


def test_the_rebuild_asks_first_and_says_what_it_did(app: Flask, simulator: Simulator, database: IMEIDatabase) -> None:
    with client_of(simulator) as client:
        client.place_imei_order(imeis(5), SERVICE)
    assert run(app, "rebuild-from-provider", typed="n\n").exit_code == 1
    assert database.count_orders() == 0
    done = run(app, "rebuild-from-provider", "--yes")
    assert (done.exit_code, database.count_orders()) == (0, 5)
    assert "5 orders restored" in done.stdout
    assert "0 orders restored" in run(app, "rebuild-from-provider", "--yes").stdout
    simulator.set(listing="off")
    assert "Nothing was restored" in run(app, "rebuild-from-provider", "--yes").stderr


def keep_answer(settings: Settings, chunk_id: int, named: dict[str, str], batch_id: int = 7) -> None:
    """An answer on disk that names these orders (order id → IMEI)."""
    records = "".join(
        f"<imeis><id>{order_id}</id><imei>{imei}</imei><status>Pending</status></imeis>"
        for order_id, imei in named.items()
    )
    kept = Checkpoints(settings.data_dir / "checkpoints")
    kept.keep(Chunk(chunk_id, batch_id, SERVICE, 1, 1, ()), f"<result>{records}</result>".encode())
    kept.close()


def test_the_rebuild_restores_what_a_kept_answer_names_beyond_the_list(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    with client_of(simulator) as client:
        placed = client.place_imei_order(imeis(30), SERVICE).orders
    simulator.set(listing_limit=10)
    keep_answer(settings, 1, {order.id: order.imei for order in placed})
    batch_older_copy.recognise_older_copy(database, Checkpoints(settings.data_dir / "checkpoints"))
    dry = run(app, "rebuild-from-provider", "--dry-run")
    assert dry.exit_code == 0
    assert "1 answer kept on disk, with 30 unknown orders." in dry.stderr
    assert (database.count_orders(), bool(batch_older_copy.older_copy_objection(database))) == (0, True)
    done = run(app, "rebuild-from-provider", "--yes")
    assert done.exit_code == 0, done.output
    assert {(row["order_id"], row["imei"], row["service_id"]) for row in all_orders(database)} == {
        (order.id, order.imei, SERVICE) for order in placed
    }
    assert all(row["order_date"] for row in all_orders(database))
    assert batch_older_copy.older_copy_objection(database) == ""


def test_the_guard_stays_while_an_order_of_a_kept_answer_is_missing(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    """The provider does not know these ids, so nobody can say of which service they are."""
    keep_answer(settings, 1, {"501": imeis(1)[0], "502": imeis(1, 1)[0]})
    batch_older_copy.recognise_older_copy(database, Checkpoints(settings.data_dir / "checkpoints"))
    for _ in range(2):
        done = run(app, "rebuild-from-provider", "--yes")
        assert done.exit_code == 1
        assert "2 orders of kept answers missing" in done.stderr
        assert f"order 501  {imeis(1)[0]}  of batch 7" in done.stderr
        assert batch_older_copy.older_copy_objection(database)
    lines = [f"50{n},{imeis(1, n - 1)[0]},T-Mobile USA - Status Check,Pending" for n in (1, 2)]
    file = "\r\n".join(["ORDER ID,IMEI NO.,SERVICE,STATUS", *lines])
    import_orders(database, list(read_orders(file.encode())), "by-hand.csv")
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 0
    assert batch_older_copy.older_copy_objection(database) == ""


def test_an_id_that_answers_give_to_two_imeis_restores_neither(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    keep_answer(settings, 1, {"501": imeis(1)[0]})
    keep_answer(settings, 2, {"501": imeis(1, 1)[0]})
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 1
    assert database.count_orders() == 0


def test_a_damaged_answer_of_a_lost_call_keeps_the_guard(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    keep_answer(settings, 1, {"501": imeis(1)[0]})
    path = settings.data_dir / "checkpoints" / "7" / "answers.log"
    path.write_bytes(path.read_bytes()[:-5])
    batch_older_copy.recognise_older_copy(database, Checkpoints(settings.data_dir / "checkpoints"))
    done = run(app, "rebuild-from-provider", "--yes")
    assert done.exit_code == 1
    assert "1 kept answer not readable, of batch 7." in done.stderr
    assert batch_older_copy.older_copy_objection(database)


def test_an_answer_of_which_the_database_knows_every_order_is_nothing_to_restore(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    place(simulator, database)
    simulator.set(listing_limit=5, turnaround=10_000)
    before = all_orders(database)
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 0
    assert all_orders(database) == before


def test_a_doubt_whose_order_an_answer_names_is_settled_by_it(
    app: Flask, settings: Settings, simulator: Simulator, database: IMEIDatabase
) -> None:
    """An older copy has the call in doubt; the answer that came later lies on disk, and the list is too short."""
    simulator.set(fault="close", fault_when="after", fault_limit=1, listing="off", duplicates="never")
    with system(simulator, database, in_use=False, patience=0.2) as running:
        running.submit_batch(imeis(5), SERVICE)
    simulator.set(listing="on", listing_limit=1)
    keep_answer(settings, 1, {str(c.order_id): c.imei for c in simulator.charges()}, batch_id=1)
    assert run(app, "rebuild-from-provider", "--yes").exit_code == 0
    found = progress(database, 1)
    assert found
    assert found.outcomes[Outcome.ORDERED] == 5
    assert judge(simulator, database) == (0, 0)
