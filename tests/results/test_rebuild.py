"""Records restored from the provider's list: they audit clean, and nothing is ordered again."""

import time
from pathlib import Path

from audited_orders import COUNT, audited, forget, place, restored
from pending_orders import client_of
from simulated_provider import SERVICE, Simulator, imeis, judge, system
from stored_orders import all_orders

from database import IMEIDatabase
from orders import BatchState, Outcome
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import progress


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
