"""A batch is paused when its first results are bad: once, and with the numbers."""

import pytest
from graded_orders import listed, ordered_batch, result_text

from database import IMEIDatabase
from grading import StopLoss
from orders import BatchState
from storage import batch_queries, batch_states, stop_loss


@pytest.fixture
def batch(database: IMEIDatabase) -> int:
    return ordered_batch(database)


def state_of(database: IMEIDatabase, batch: int) -> tuple[BatchState, str]:
    found = batch_queries.progress(database, batch)
    assert found
    return found.state, found.notice


def run_again(database: IMEIDatabase, batch: int) -> None:
    """Its calls were answered, so the batch is finished; as if there were more of it."""
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET state = 'running', finished_at = NULL")


def test_a_batch_whose_first_results_are_bad_is_paused_once(database: IMEIDatabase, batch: int) -> None:
    run_again(database, batch)
    listed(database, result_text("ON"), last=9)
    assert state_of(database, batch)[0] is BatchState.RUNNING  # off by default
    stop_loss.save(database, StopLoss(50, 20))
    listed(database, "Not found", "Rejected", first=9, last=10)
    assert state_of(database, batch)[0] is BatchState.RUNNING  # 10 of 20 are not more than half
    listed(database, result_text("ON"), first=10, last=11)
    state, notice = state_of(database, batch)
    assert state is BatchState.PAUSED
    assert notice.startswith("Stop-loss: 11 of the first 11 results fail or are rejected; the limit is 50 % of 20.")
    with database.write() as connection:
        assert batch_states.resume(connection, batch)
    listed(database, result_text("ON"), first=11, last=40)
    assert state_of(database, batch) == (BatchState.RUNNING, "")


def test_a_batch_whose_first_results_are_good_is_not_judged_by_later_ones(database: IMEIDatabase, batch: int) -> None:
    run_again(database, batch)
    stop_loss.save(database, StopLoss(50, 20))
    listed(database, result_text().replace("Locked", "Unlocked"), last=20)
    listed(database, result_text("ON"), first=20, last=60)
    assert state_of(database, batch)[0] is BatchState.RUNNING
