"""The loop step by step, on a clock that stands still and a wire on which each call waits to be let through."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from handmade_calls import one
from provider_model import Disturbance
from simulated_provider import SERVICE, imeis
from stepped_loop import BALANCE, CALL, LIST, PRICES, Loop, batch, ready, started, unwritable

from database import IMEIDatabase
from storage import batch_states, lease
from submission.decisions import was_not_placed
from submission.ownership import MOVED, PAID_ELSEWHERE


@pytest.fixture
def loop(database: IMEIDatabase, tmp_path: Path) -> Iterator[Loop]:
    with started(database, tmp_path / "kept") as running:
        yield running


# The balance before calls


def test_calls_wait_for_the_balance_before_them(loop: Loop) -> None:
    batch_id = batch(loop, 4)
    loop.step(3)
    assert loop.waiting == [BALANCE]
    loop.let(BALANCE)
    assert loop.waiting == [CALL, CALL]
    loop.let_all(CALL)
    assert loop.outcomes(batch_id) == ["ordered"] * 4
    assert one(loop.database, "SELECT count(*) FROM balance_readings") == 1


def test_calls_do_not_wait_long_for_a_balance(loop: Loop) -> None:
    batch(loop, 4)
    loop.step(3)
    loop.clock.now += 5.0
    loop.step(2)
    assert loop.waiting == [BALANCE, CALL, CALL]
    loop.let(BALANCE)
    assert one(loop.database, "SELECT count(*) FROM balance_readings") == 0


def test_the_balance_is_read_again_when_all_calls_have_ended(loop: Loop) -> None:
    ready(loop)
    batch(loop, 4)
    loop.step(3)
    loop.let(CALL)
    assert BALANCE not in loop.waiting
    loop.let(CALL)
    loop.let_all()
    assert one(loop.database, "SELECT count(*) FROM balance_readings") == 2


# What every batch waits for


@pytest.mark.parametrize(
    ("disturbance", "words"),
    [({"words": "Credit has been finished!"}, "Credit has been finished!"), ({"fault": "auth"}, "Invalid User!")],
)
def test_the_end_of_credit_or_of_credentials_pauses_every_batch(
    loop: Loop, disturbance: dict[str, Any], words: str
) -> None:
    ready(loop)
    first, second = batch(loop, 12), batch(loop, 12, first=50)
    loop.step(3)
    assert loop.waiting.count(CALL) == 4
    loop.let(CALL, **disturbance)
    assert [state for state, _ in loop.states()] == ["paused", "paused"]
    assert all(words in notice for _, notice in loop.states())
    loop.let_all(CALL)
    assert len(loop.sent) == 4 and CALL not in loop.waiting
    for batch_id, count in ((first, 2), (second, 4)):
        assert loop.outcomes(batch_id).count("ordered") == count


def test_a_withdrawn_service_pauses_its_batch_only(loop: Loop) -> None:
    ready(loop)
    batch(loop, 4)
    batch(loop, 12, first=50)
    loop.step(3)
    loop.let(CALL, fault="withdrawn")
    assert sorted(state for state, _ in loop.states()) == ["paused", "running"]


def test_maintenance_pauses_every_batch_until_it_is_over(loop: Loop) -> None:
    ready(loop)
    first, second = batch(loop, 4), batch(loop, 4, first=50)
    loop.step(3)
    loop.let(CALL, fault="maintenance")
    assert [state for state, _ in loop.states()] == ["paused", "paused"]
    loop.let_all(CALL)
    loop.clock.now += 29.9
    loop.step(2)
    assert CALL not in loop.waiting
    loop.clock.now += 0.1
    loop.step(3)
    loop.let_all()
    assert loop.outcomes(first) + loop.outcomes(second) == ["ordered"] * 8


def test_batches_resume_after_maintenance_though_their_first_commit_fails(loop: Loop) -> None:
    """The disk is full when the intents of their next calls are written in the same transaction."""
    ready(loop)
    batch_id = batch(loop, 4)
    loop.step(3)
    loop.let(CALL, fault="maintenance")
    loop.let_all(CALL)
    loop.clock.now += 30.0
    end = unwritable(loop, "INSERT INTO attempts")
    loop.step(2)
    assert loop.states()[0][0] == "paused"
    end()
    loop.step(3)
    loop.let_all()
    assert loop.outcomes(batch_id) == ["ordered"] * 4


def test_three_calls_in_a_row_without_an_answer_hold_the_others_back(loop: Loop) -> None:
    ready(loop)
    batch(loop, 40)
    loop.step(3)
    for number in range(3):
        assert loop.system.throttle.hold_until <= loop.clock.now, number
        loop.let(CALL, fault="lost before")
    assert loop.system.throttle.hold_until > loop.clock.now
    assert loop.states()[0][0] == "running" and loop.states()[0][1] != ""


def test_the_batch_with_the_fewest_calls_on_the_wire_comes_first(loop: Loop) -> None:
    ready(loop)
    batch(loop, 20)
    batch(loop, 2, first=50)
    loop.step(3)
    loop.let_all(CALL)
    assert imeis(2, first=50) in loop.sent[:4]


# The lease


def lose_lease(loop: Loop) -> None:
    with loop.database.write() as connection:
        lease.take(connection, "another", "there")


def test_a_process_that_lost_the_lease_records_its_answers_and_sends_nothing(loop: Loop) -> None:
    ready(loop)
    batch_id = batch(loop, 20)
    loop.step(3)
    assert loop.waiting == [CALL] * 4
    lose_lease(loop)
    loop.let_all(CALL)
    assert len(loop.sent) == 4
    assert loop.outcomes(batch_id) == ["ordered"] * 8 + ["waiting"] * 12
    assert one(loop.database, "SELECT count(*) FROM orders WHERE attempt_id > 0") == 8
    assert loop.process.has_ended
    assert loop.system.was_overtaken


def test_a_process_that_lost_the_lease_ends_before_its_first_call(loop: Loop) -> None:
    ready(loop)
    lose_lease(loop)
    loop.step(2)
    assert loop.process.has_ended
    assert loop.sent == []


def test_a_process_that_lost_the_lease_repeats_nothing(loop: Loop) -> None:
    doubtful = cleared(loop)
    loop.step(2)
    assert loop.waiting == [LIST]
    lose_lease(loop)
    loop.let_all()
    assert loop.sent == [doubtful]
    assert one(loop.database, "SELECT DISTINCT outcome FROM items") == "in_doubt"


@pytest.mark.parametrize("fault", ["maintenance", "withdrawn", "auth"])
def test_an_answer_of_a_process_that_lost_the_lease_leaves_a_later_call_alone(loop: Loop, fault: str) -> None:
    """Its answer is on disk and not recorded when the other process recovers it and makes the call again."""
    ready(loop)
    batch_id = batch(loop, 2)
    loop.step(3)
    loop.model.next = Disturbance(fault=fault)
    loop.wire.let_through(loop.waiting.index(CALL))
    later = Loop(loop.database, loop.folder, loop.model)
    later.step(3)
    resume(loop, batch_id)
    later.let_all(BALANCE, LIST)
    assert later.waiting.count(CALL) == 1
    loop.step(3)
    assert loop.process.has_ended
    assert one(loop.database, "SELECT state, attempt FROM chunks") == ("sending", 2)
    resume(loop, batch_id)
    later.step(2)
    assert later.waiting.count(CALL) == 1
    later.let_all()
    later.close()
    assert loop.outcomes(batch_id) == ["ordered"] * 2
    assert len(loop.model.charges) == 2


def resume(loop: Loop, batch_id: int) -> None:
    with loop.database.write() as connection:
        batch_states.resume(connection, batch_id)


# The look before work of an earlier process


def older_work(loop: Loop, count: int = 4) -> int:
    """A batch that was made an hour ago: another process may have sent it."""
    batch_id = batch(loop, count)
    with loop.database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET created_at = datetime('now', '-1 hour')")
    return batch_id


def test_work_of_an_earlier_process_is_sent_after_a_look_at_the_list(loop: Loop) -> None:
    batch_id = older_work(loop)
    loop.step(3)
    loop.let_all(BALANCE)
    assert loop.waiting == [LIST]
    loop.step(3)
    assert loop.waiting == [LIST]
    loop.let(LIST)
    assert loop.waiting == [CALL, CALL]
    loop.let_all(CALL)
    assert loop.outcomes(batch_id) == ["ordered"] * 4


def test_what_another_copy_has_ordered_already_is_not_sent(loop: Loop) -> None:
    loop.model.place(imeis(1), SERVICE)
    older_work(loop)
    loop.step(3)
    loop.let_all()
    assert loop.sent == []
    assert loop.states()[0][0] == "paused"


@pytest.mark.parametrize(("placed", "state"), [(4, "paused"), (0, "running")])
def test_what_the_balance_shows_of_another_copy_pauses_the_batch(loop: Loop, placed: int, state: str) -> None:
    """Seen: a restored folder was sent again where the list hid what it had ordered before."""
    ready(loop)
    older_work(loop)
    loop.close()
    loop.model.place(imeis(placed), SERVICE)
    loop.model.list_is_down = True
    later = Loop(loop.database, loop.folder, loop.model)
    later.step(3)
    for _ in range(10):
        later.let_all(LIST, BALANCE)
        later.clock.now += 5.0
        later.step(2)
    later.close()
    assert later.states()[0][0] == state
    assert (PAID_ELSEWHERE.format("$0.32") == later.states()[0][1]) is (state == "paused")


def test_a_list_that_fails_three_times_is_given_up(loop: Loop) -> None:
    loop.model.list_is_down = True
    batch_id = older_work(loop)
    for _ in range(3):
        loop.clock.now += 100.0
        loop.step(2)
        loop.let_all(BALANCE, PRICES)
        assert loop.sent == [] and loop.waiting == [LIST]
        loop.let(LIST)
    loop.step(2)
    loop.let_all(CALL)
    assert loop.outcomes(batch_id) == ["ordered"] * 4


def test_a_database_that_was_moved_pauses_where_the_provider_does_not_list(loop: Loop) -> None:
    with loop.database.write() as connection:
        lease.take(connection, "another", "another place")
    loop.model.list_is_down = True
    batch(loop, 4)
    for _ in range(3):
        loop.clock.now += 100.0
        loop.step(2)
        loop.let_all(BALANCE, PRICES)
        loop.let(LIST)
    loop.step(3)
    assert loop.states() == [("paused", MOVED)]
    assert loop.sent == []


def test_a_database_that_was_moved_goes_on_after_a_look_at_the_list(loop: Loop) -> None:
    with loop.database.write() as connection:
        lease.take(connection, "another", "another place")
    batch_id = batch(loop, 4)
    loop.step(3)
    loop.let(BALANCE)
    loop.step(3)
    assert CALL not in loop.waiting and LIST in loop.waiting
    loop.let_all()
    assert loop.outcomes(batch_id) == ["ordered"] * 4


# Looks alone


def cleared(loop: Loop) -> list[str]:
    """A call in doubt that a person says placed nothing; returns its IMEIs."""
    ready(loop)
    batch_id = batch(loop, 2)
    loop.step(3)
    loop.let(CALL, fault="lost before")
    loop.let_all()
    loop.clock.now += 5.0
    with loop.database.read() as connection:
        query = "SELECT id FROM items WHERE batch_id = ?"
        ids = list(connection.exec_driver_sql(query, (batch_id,)).scalars())
    assert was_not_placed(loop.database, ids, 0.0) == 2
    return loop.sent[-1]


def test_what_a_person_cleared_is_sent_again_after_a_look_alone(loop: Loop) -> None:
    doubtful = cleared(loop)
    loop.step(2)
    assert loop.waiting == [LIST]
    later = batch(loop, 4, first=50)
    loop.step(3)
    assert loop.waiting == [LIST]  # nothing is sent beside it
    loop.let(LIST)
    assert loop.waiting.count(CALL) >= 1
    loop.let_all(CALL)
    assert loop.sent[:2] == [doubtful, doubtful]
    assert loop.outcomes(later) == ["ordered"] * 4


def test_a_look_alone_waits_for_the_calls_on_the_wire(loop: Loop) -> None:
    doubtful = cleared_behind_calls(loop)
    loop.step(3)
    assert loop.waiting == [CALL]
    loop.clock.now += 29.0
    loop.step(3)
    assert loop.waiting == [CALL]
    loop.let(CALL)
    assert loop.waiting == [LIST]
    loop.let(LIST)
    loop.let_all(CALL)
    assert loop.sent.count(doubtful) == 2


@pytest.mark.parametrize(("times", "patience"), [([], 30.0), ([5.0], 30.0), ([20.0], 40.0)])
def test_calls_on_the_wire_get_twice_their_usual_time_to_end(loop: Loop, times: list[float], patience: float) -> None:
    """And half a minute at least; then other work goes on."""
    cleared_behind_calls(loop)
    loop.system.throttle.times.clear()
    loop.system.throttle.times.extend(times)
    loop.step(3)
    batch(loop, 2, first=70)
    loop.clock.now += patience - 0.1
    loop.step(3)
    assert loop.waiting == [CALL]
    loop.clock.now += 0.1
    loop.step(3)
    assert loop.waiting.count(CALL) == 2


def test_other_work_goes_on_where_calls_do_not_end(loop: Loop) -> None:
    doubtful = cleared_behind_calls(loop)
    loop.step(3)
    batch(loop, 2, first=70)
    loop.step(3)
    assert loop.waiting == [CALL]
    loop.clock.now += 30.0
    loop.step(3)
    assert loop.waiting.count(CALL) == 2
    loop.let_all(CALL)
    assert loop.sent.count(doubtful) == 1  # not before a minute has passed
    loop.clock.now += 61.0
    loop.step(3)
    loop.let_all()
    assert loop.sent.count(doubtful) == 2


def cleared_behind_calls(loop: Loop) -> list[str]:
    """As cleared, with another call on the wire; returns the doubtful IMEIs."""
    ready(loop)
    batch_id = batch(loop, 2)
    loop.step(3)
    loop.let(CALL, fault="lost before")
    loop.let_all()
    batch(loop, 2, first=50)
    loop.step(3)
    assert loop.waiting == [CALL]
    with loop.database.read() as connection:
        query = "SELECT id FROM items WHERE batch_id = ?"
        ids = list(connection.exec_driver_sql(query, (batch_id,)).scalars())
    was_not_placed(loop.database, ids, 0.0)
    loop.clock.now += 5.0
    return imeis(2)


# From doubt to proof


def test_doubt_in_a_batch_settles_by_itself(loop: Loop) -> None:
    """Lost before it was charged: rest, the last IMEI as a proof, a look alone with the balance, sent again."""
    ready(loop)
    batch_id = batch(loop, 20)
    loop.step(3)
    loop.let(CALL, fault="lost before")
    for _ in range(40):
        loop.let_all()
        loop.clock.now += 10.0
        loop.step(2)
    assert loop.outcomes(batch_id) == ["ordered"] * 20
    assert len(loop.model.charges) == 20


def test_what_was_charged_without_an_answer_is_adopted(loop: Loop) -> None:
    ready(loop)
    batch_id = batch(loop, 6)
    loop.step(3)
    loop.let(CALL, fault="lost after")
    loop.let_all()
    assert loop.outcomes(batch_id).count("in_doubt") == 0
    for _ in range(30):
        loop.let_all()
        loop.clock.now += 10.0
        loop.step(2)
    assert loop.outcomes(batch_id) == ["ordered"] * 6
    assert len(loop.model.charges) == 6
