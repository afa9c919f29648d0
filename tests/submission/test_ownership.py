"""Whether this process may send, and which batches, after another process or another copy was at work."""

import pytest
from handmade_calls import one
from loop_scenes import cleared
from provider_model import Disturbance, ModelClient
from simulated_provider import SERVICE, imeis
from stepped_loop import BALANCE, CALL, LIST, PRICES, Loop, batch, ready

from database import IMEIDatabase
from orders import Chunk
from results.rebuild import plan_rebuild, rebuild_records
from settings import MAIN_ACCOUNT
from storage import account_store, batch_states, lease, move_marks
from submission.ownership import MOVED, PAID_ELSEWHERE, Ownership


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


def test_a_process_whose_database_was_moved_away_sends_nothing_more(loop: Loop) -> None:
    ready(loop)
    batch_id = batch(loop, 20)
    loop.step(3)
    with loop.database.write() as connection:
        move_marks.leave(connection, "The database was moved.")
    loop.let_all(CALL)
    assert len(loop.sent) == 4
    assert loop.outcomes(batch_id) == ["ordered"] * 8 + ["waiting"] * 12
    assert loop.process.has_ended


def test_ids_of_calls_that_are_given_again_lose_the_lease(database: IMEIDatabase) -> None:
    """Until it is taken again: then the calls are those of the database that is there."""
    ownership = Ownership(database, None, "main")
    first, second, third = (Chunk(1, 1, SERVICE, 1, number, ()) for number in (5, 6, 7))
    ownership.check_new([first])  # its commit fails, and its id is given again
    ownership.check_new([first, second])
    ownership.sent([second, first])
    ownership.check_new([third])
    for again in ([first], [third, second]):
        with pytest.raises(lease.LeaseLostError, match="An older database was put in the place of this one"):
            ownership.check_new(again)
    with database.write() as connection:
        ownership.take(connection)
    ownership.check_new([first])


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


def test_a_process_that_lost_the_lease_writes_no_balance(loop: Loop) -> None:
    """Another process may have sent calls since it was read: as evidence it would hide what they cost."""
    loop.step(2)
    assert loop.waiting == [BALANCE]
    lose_lease(loop)
    loop.let(BALANCE)
    assert one(loop.database, "SELECT count(*) FROM balance_readings") == 0
    assert loop.process.has_ended


def test_a_process_that_lost_the_lease_resumes_nothing_after_maintenance(loop: Loop) -> None:
    ready(loop)
    batch(loop, 2)
    loop.step(3)
    loop.let(CALL, fault="maintenance")
    loop.clock.now += 30.0
    lose_lease(loop)
    loop.step(2)
    assert loop.states()[0][0] == "paused"
    assert loop.process.has_ended


def test_a_process_that_lost_the_lease_lets_no_account_go_on(loop: Loop) -> None:
    account_store.register(loop.database, {MAIN_ACCOUNT: "", "b": ""})
    ready(loop)
    lose_lease(loop)
    with loop.database.write() as connection:
        account_store.stop(connection, MAIN_ACCOUNT, "refused", goes_on_at=1.0)
    loop.step(2)
    assert one(loop.database, "SELECT stop FROM provider_accounts WHERE name = 'main'") == "refused"


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


@pytest.mark.parametrize("fault", ["maintenance", "auth", "withdrawn"])
def test_a_batch_waits_for_a_look_at_the_list_after_a_call_was_refused(loop: Loop, fault: str) -> None:
    """The provider may have placed a part of it, or all of it before a proxy repeated the call."""
    ready(loop)
    batch_id = batch(loop, 20)
    loop.step(3)
    loop.let(CALL, fault=fault)
    loop.let_all(CALL)
    placed = len(loop.sent)
    resume(loop, batch_id)
    for _ in range(5):
        loop.step(2)
        loop.let_all(BALANCE, PRICES)
        assert len(loop.sent) == placed
    assert loop.waiting == [LIST]
    loop.let(LIST)
    for _ in range(20):
        loop.step(2)
        loop.let_all()
    assert loop.outcomes(batch_id) == ["ordered"] * 20


def test_what_was_bought_by_hand_long_before_a_refused_call_pauses_nothing(loop: Loop) -> None:
    """The balance from right before that call counts, and not the one before this process began."""
    ready(loop)
    loop.close()
    later = Loop(loop.database, loop.folder, loop.model)
    ready(later)
    loop.model.place(imeis(3, 500), SERVICE)
    later.clock.now += 400.0
    batch_id = batch(later, 4)
    later.step(3)
    later.let(BALANCE)
    later.let(CALL, fault="maintenance")
    later.let_all(CALL)
    resume(later, batch_id)
    for _ in range(20):
        later.step(2)
        later.let_all()
    later.close()
    assert later.states()[0][1] == ""
    assert later.outcomes(batch_id) == ["ordered"] * 4


def test_what_a_refused_call_was_charged_for_pauses_the_batch_where_no_list_shows_it(loop: Loop) -> None:
    ready(loop)
    batch_id = batch(loop, 2)
    loop.step(3)
    loop.model.place(imeis(2), SERVICE)
    loop.let(CALL, fault="maintenance")
    resume(loop, batch_id)
    loop.model.list_is_down = True
    for _ in range(5):
        loop.clock.now += 100.0
        loop.step(2)
        loop.let_all()
    assert loop.states() == [("paused", PAID_ELSEWHERE.format("$0.16"))]


def test_each_refused_call_is_compared_with_the_balance_right_before_it(loop: Loop) -> None:
    """What was bought by hand during the first one pauses the batch once."""
    ready(loop)
    batch_id = batch(loop, 4)
    loop.step(3)
    loop.model.place(imeis(3, 500), SERVICE)
    for notice in (PAID_ELSEWHERE.format("$0.24"), ""):
        loop.let(CALL, fault="withdrawn")
        loop.let_all(CALL)
        resume(loop, batch_id)
        for _ in range(4):
            loop.clock.now += 30.0
            loop.step(2)
            loop.let_all(BALANCE, PRICES, LIST)
        assert loop.states()[0][1] == notice
        resume(loop, batch_id)
        loop.step(2)
    loop.let_all()
    assert loop.outcomes(batch_id) == ["ordered"] * 4


def test_what_another_copy_has_ordered_already_is_not_sent(loop: Loop) -> None:
    loop.model.place(imeis(1), SERVICE)
    older_work(loop)
    loop.step(3)
    loop.let_all()
    assert loop.sent == []
    assert loop.states()[0][0] == "paused"


def without_list(loop: Loop) -> Loop:
    """A later loop for which the provider does not list, after ten looks."""
    loop.model.list_is_down = True
    later = Loop(loop.database, loop.folder, loop.model)
    later.step(3)
    for _ in range(10):
        later.let_all(LIST, BALANCE)
        later.clock.now += 5.0
        later.step(2)
    return later


@pytest.mark.parametrize(("placed", "state"), [(4, "paused"), (0, "running")])
def test_what_the_balance_shows_of_another_copy_pauses_the_batch(loop: Loop, placed: int, state: str) -> None:
    """Seen: a restored folder was sent again where the list hid what it had ordered before."""
    ready(loop)
    older_work(loop)
    loop.close()
    loop.model.place(imeis(placed), SERVICE)
    later = without_list(loop)
    later.close()
    assert later.states()[0][0] == state
    assert (PAID_ELSEWHERE.format("$0.32") == later.states()[0][1]) is (state == "paused")


@pytest.mark.parametrize(("hidden", "state"), [(0, "running"), (2, "paused")])
def test_orders_that_a_rebuild_has_restored_explain_what_left_the_account(loop: Loop, hidden: int, state: str) -> None:
    """They have no call of ours. Others, which the list has hidden from the rebuild, pause the batch all the same."""
    ready(loop)
    batch_id = older_work(loop, 8)
    loop.close()
    loop.model.place(imeis(4), SERVICE)
    client = ModelClient(loop.model, lambda _: None)
    plan = plan_rebuild(loop.database, client, loop.checkpoints, MAIN_ACCOUNT)
    assert rebuild_records(loop.database, plan).restored == (4, 0, 4, 0)
    loop.model.place(imeis(hidden, 4), SERVICE)
    later = without_list(loop)
    assert (later.states()[0][0], CALL in later.waiting) == (state, state == "running")
    later.close()
    assert loop.outcomes(batch_id) == ["ordered"] * 4 + ["waiting"] * 4


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
