"""The progress file of a batch: what it counts, and how often it is written."""

import json

from stepped_loop import CALL, Loop, batch, ready


def progress_file(loop: Loop, batch_id: int) -> dict[str, int]:
    found: dict[str, int] = json.loads((loop.folder / str(batch_id) / "progress.json").read_text())
    return found


def test_the_progress_file_counts_calls_and_orders(loop: Loop) -> None:
    """A call in doubt is done as well; only orders count as successful."""
    ready(loop)
    batch_id = batch(loop, 5)
    loop.step(3)
    loop.let(CALL)
    expected = {"batch_id": batch_id, "completed_batches": 1, "total_batches": 3, "successful_orders": 2}
    assert progress_file(loop, batch_id) == expected
    loop.clock.now += 1.0
    loop.let(CALL, fault="lost before")
    assert progress_file(loop, batch_id) == expected | {"completed_batches": 2}


def test_the_progress_file_is_written_twice_a_second_and_when_all_calls_have_ended(loop: Loop) -> None:
    """Half a second passes between two writes, but for the last one."""
    ready(loop)
    batch_id = batch(loop, 8)
    loop.step(3)
    loop.let(CALL)
    loop.clock.now += 0.4
    loop.let(CALL)
    assert progress_file(loop, batch_id)["completed_batches"] == 1
    loop.clock.now += 0.1
    loop.step()
    assert progress_file(loop, batch_id)["completed_batches"] == 2
    loop.let(CALL)
    assert progress_file(loop, batch_id)["completed_batches"] == 2
    loop.let(CALL)
    assert progress_file(loop, batch_id)["completed_batches"] == 4


def test_a_progress_file_that_cannot_be_written_stops_nothing(loop: Loop) -> None:
    """A folder is in the way of one batch; the file of the other is written all the same."""
    ready(loop)
    first, second = batch(loop, 2), batch(loop, 2, first=50)
    (loop.folder / str(first) / "progress.tmp").mkdir(parents=True)
    loop.step(3)
    loop.let_all(CALL)
    assert loop.outcomes(first) + loop.outcomes(second) == ["ordered"] * 4
    assert progress_file(loop, second)["successful_orders"] == 2
