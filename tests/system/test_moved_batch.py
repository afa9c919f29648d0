"""A batch that stopped on the file goes on with workers on PostgreSQL."""

import threading
from collections.abc import Iterator

import pytest
from batch_checks import new_batch, outcomes
from simulated_provider import Knobs, Simulator, judge, system
from waiting import wait_until
from worker_processes import WorkerJob, workers

from database import IMEIDatabase, UnusableDatabaseError
from orders import Outcome
from results import move, plan_move
from settings import Settings
from submission import Checkpoints


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, duplicates="never")) as running:
        yield running


def test_a_batch_that_stopped_on_the_file_is_finished_on_the_server_and_nothing_is_paid_twice(
    simulator: Simulator, settings: Settings, server_database: IMEIDatabase
) -> None:
    """Some calls were made, and one of them is in doubt, when the data moves."""
    with IMEIDatabase(settings.database_path) as source:
        batch_id, stop = new_batch(source, 120, chunk_size=10), threading.Event()
        with system(simulator, source, chunk_size=10, workers=1, patience=0.1) as running:
            simulator.set(fault="reset", fault_when="after", fault_calls=(3,), listing="off")
            running.run_batch(batch_id, lambda found: stop.set() if found.outcomes[Outcome.IN_DOUBT] else None, stop)
        found = outcomes(source, batch_id)
        assert found["in_doubt"] == 10
        assert found["waiting"] > 10
        plan = plan_move(source, server_database, Checkpoints(settings.data_dir / "checkpoints"))
        move(source, server_database, plan, lambda _: None)
    simulator.set(fault="", listing="on")
    with workers(WorkerJob(str(server_database.address), simulator.base_url, settings.data_dir)):
        wait_until(lambda: outcomes(server_database, batch_id) == {"ordered": 120}, "every IMEI is ordered")
    assert judge(simulator, server_database) == (0, 0)
    with pytest.raises(UnusableDatabaseError, match="was moved"):
        IMEIDatabase(settings.database_path)
