"""What the audit reads of our records: calls under way, orders without a date, and what may explain a charge."""

from datetime import timedelta

import pytest
from audited_orders import audited, audited_with, forget, place, read_balance, restored
from pending_orders import client_of
from simulated_provider import SERVICE, Simulator, imeis
from sqlalchemy import update

from database import IMEIDatabase, utc_now
from orders import ChunkState, Outcome
from results import auditing
from schema import chunks, items

#: Orders that threads of this process place: those of a database on a server are placed by jobs.
ON_A_FILE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def silent_account(simulator: Simulator) -> None:
    """The simulator tells no balance, so that the readings of a test are all that there are."""
    simulator.set(accountinfo="off")


@ON_A_FILE
def test_a_call_without_an_answer_yet_is_no_difference(simulator: Simulator, database: IMEIDatabase) -> None:
    lost = place(simulator, database, 1)[0]
    forget(database, lost)
    with database.write() as connection:
        connection.execute(update(items).values(outcome=Outcome.WAITING))
        connection.execute(update(chunks).values(state=ChunkState.SENDING))
    report = audited(simulator, database)
    assert (report.under_way, report.differences) == (1, 0)


@pytest.mark.usefixtures("silent_account")
@ON_A_FILE
def test_a_refund_of_a_rejected_order_may_have_come(simulator: Simulator, database: IMEIDatabase) -> None:
    read_balance(database, 100.0)
    rejected = place(simulator, database)[0]
    database.update_order_status(rejected, "Rejected", {"result_code": "no"})
    for credits in (97.6, 97.68):
        report = audited_with(simulator, database, credits)
        assert (report.unexplained, report.refundable, report.agrees) == (0.0, 0.08, True)
    assert audited_with(simulator, database, 97.78).unexplained == -0.1


@pytest.mark.usefixtures("silent_account")
@ON_A_FILE
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
@ON_A_FILE
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


@ON_A_FILE
def test_an_order_of_ours_without_a_date_is_compared_by_its_id(simulator: Simulator, database: IMEIDatabase) -> None:
    placed = place(simulator, database, 3)
    database.insert_order({"order_id": str(int(placed[-1]) + 5), "imei": imeis(1, 900)[0], "service_id": SERVICE})
    database.insert_order({"order_id": "77", "imei": imeis(1, 901)[0], "service_id": SERVICE})
    database.insert_order({"imei": imeis(1, 902)[0], "service_id": SERVICE})
    report = audited(simulator, database, utc_now() - timedelta(days=1))
    assert (report.ours, report.unknown_to_them.count, report.unmatched.count) == (4, 1, 0)
