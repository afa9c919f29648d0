"""Which planned chunks are sent next, how lists are tried, and which last IMEIs are held back."""

from contextlib import closing

from handmade_calls import OTHER, one
from loop_scenes import BEFORE_IT_IS_KEPT, dead, long_calls, lost, next_life, pass_time, sending
from simulated_provider import imeis
from stepped_loop import BALANCE, CALL, DEADLINE, QUIET, Loop, batch, ready

from storage.list_limits import write_list_limit


def lengths(loop: Loop) -> list[int]:
    """How many IMEIs each call had that was sent since this was last read."""
    found, loop.sent[:] = [len(numbers) for numbers in loop.sent], []
    return found


def test_a_comma_list_is_proven_by_two_imeis_and_then_by_a_full_call(loop: Loop) -> None:
    """Each of these calls goes alone among the lists; when both came back whole the rest follows."""
    longer = long_calls(loop)
    longer.limit(0)
    sending(longer, 17, size=5)
    for expected in ([2], [5], [2, 3, 5]):
        longer.step(2)
        assert longer.waiting.count(CALL) == len(expected)
        for _ in expected:
            longer.wire.let_through(longer.waiting.index(CALL))
        assert sorted(lengths(longer)) == expected
    longer.step(2)
    assert one(longer.database, "SELECT count(*) FROM orders WHERE attempt_id > 0") == 17
    longer.close()


def test_other_calls_go_on_while_a_comma_list_is_tried(loop: Loop) -> None:
    """Those of one IMEI, and the lists of another service that is proven already."""
    longer = long_calls(loop)
    longer.limit(0)
    with longer.database.write() as connection:
        write_list_limit(connection, OTHER, 5)
    ready(longer)
    batch(longer, 10, size=5)
    batch(longer, 1, first=50)
    batch(longer, 10, first=60, size=5, service_id=OTHER)
    longer.step(3)
    assert longer.waiting.count(CALL) == 4
    for _ in range(4):
        longer.wire.let_through(longer.waiting.index(CALL))
    assert sorted(lengths(longer)) == [1, 2, 5, 5]
    longer.close()


def test_a_call_of_one_imei_does_not_delay_the_trial_of_a_list(loop: Loop) -> None:
    """Only another list of the same service may be what proves the comma list."""
    longer = long_calls(loop)
    longer.limit(0)
    sending(longer, 1)
    assert longer.waiting.count(CALL) == 1
    batch(longer, 10, first=50, size=5)
    longer.step(3)
    assert longer.waiting.count(CALL) == 2
    longer.close()


def test_calls_are_cut_to_the_length_that_is_proven(loop: Loop) -> None:
    """The parts of a call follow each other before the next call begins."""
    loop.close()
    longer = Loop(loop.database, loop.folder, loop.model, chunk_size=8, workers=3)
    longer.limit(3)
    sending(longer, 16, size=8)
    for _ in range(3):
        longer.wire.let_through(longer.waiting.index(CALL))
    assert longer.sent == [imeis(3), imeis(3, first=3), imeis(2, first=6)]
    longer.close()


def test_the_last_imei_of_a_batch_in_doubt_is_held_back(loop: Loop) -> None:
    """Calls are as long as ever until the last one, of which an IMEI waits until the doubtful call has rested."""
    batch_id = lost(loop, 20)
    loop.let_all(CALL)
    assert [len(numbers) for numbers in loop.sent] == [2] * 9 + [1]
    assert loop.outcomes(batch_id)[-1] == "waiting"
    pass_time(loop, DEADLINE + QUIET - 5.0)
    assert CALL not in loop.waiting
    pass_time(loop, 10.0)
    assert loop.waiting.count(CALL) == 1
    loop.let(CALL)
    assert loop.sent[10:] == [imeis(20)[-1:]]


def test_three_of_the_last_imeis_of_a_batch_in_doubt_are_held_back(loop: Loop) -> None:
    """Where the first of them proves nothing the others may."""
    loop.close()
    longer = Loop(loop.database, loop.folder, loop.model, chunk_size=5, canaries=3, workers=1)
    batch_id = lost(longer, 20, size=5)
    longer.let_all(CALL)
    longer.close()
    assert longer.outcomes(batch_id).count("waiting") == 3


def test_nothing_is_held_back_of_a_batch_without_doubt(loop: Loop) -> None:
    """The doubt is in another one."""
    lost(loop, 2)
    batch_id = batch(loop, 6, first=50)
    loop.step(2)
    loop.let_all(CALL)
    assert loop.outcomes(batch_id) == ["ordered"] * 6


def test_the_batch_with_the_fewest_calls_on_the_wire_comes_first(loop: Loop) -> None:
    ready(loop)
    batch(loop, 20)
    batch(loop, 2, first=50)
    loop.step(3)
    loop.let_all(CALL)
    assert imeis(2, first=50) in loop.sent[:4]


def test_the_last_imeis_are_held_back_from_the_first_turn_where_a_call_is_in_doubt(loop: Loop) -> None:
    """Doubt from before the start counts: the last IMEI of the batch waits as a proof."""
    batch_id = dead(loop, BEFORE_IT_IS_KEPT, count=10)
    with loop.database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET created_at = datetime('now'), started_at = NULL")
    with closing(next_life(loop)) as after:
        after.step(2)
        after.let_all(BALANCE, CALL)
        assert after.outcomes(batch_id).count("waiting") == 1
