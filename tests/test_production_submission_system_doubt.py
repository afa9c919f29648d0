"""Doubt in the loop: how long a call rests, what is held back meanwhile, and which looks are taken when."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from handmade_calls import one
from provider_model import Clock, Model, Process
from simulated_provider import imeis
from stepped_loop import BALANCE, CALL, DEADLINE, LIST, QUIET, Loop, batch, ready, started, unwritable

from database import IMEIDatabase
from simulator.knobs import Knobs
from submission import checkpoints
from submission.decisions import was_not_placed
from submission.throttle import Throttle
from submission.watches import SLOWNESS


@pytest.fixture
def loop(database: IMEIDatabase, tmp_path: Path) -> Iterator[Loop]:
    with started(database, tmp_path / "kept") as running:
        yield running


def looks(loop: Loop) -> list[bool]:
    """Of each look that waits, whether it is taken alone."""
    return [args[1] for call, args in loop.wire.waiting if call.__name__ == LIST]


def pass_time(loop: Loop, seconds: float) -> None:
    """Let time pass; what is asked for meanwhile is answered, but for paid calls."""
    end = loop.clock.now + seconds
    while loop.clock.now < end:
        loop.clock.now = min(end, loop.clock.now + 5.0)
        loop.step(2)
        loop.let_all(LIST, BALANCE)


def lost(loop: Loop, count: int, size: int = 2) -> int:
    """A batch whose first call has no answer; the others of that moment have one."""
    ready(loop)
    batch_id = batch(loop, count, size=size)
    loop.step(3)
    loop.let(CALL, fault="lost before")
    return batch_id


def clear(loop: Loop) -> None:
    """A person says that nothing in doubt was placed."""
    with loop.database.read() as connection:
        ids = list(connection.exec_driver_sql("SELECT id FROM items WHERE outcome = 'in_doubt'").scalars())
    assert was_not_placed(loop.database, ids, 0.0) == len(ids) > 0


# Rest


def test_a_call_rests_from_when_it_was_sent(loop: Loop) -> None:
    """No balance is read while the provider may be working on it: fifty seconds passed before its connection broke."""
    loop.latency = 50.0
    lost(loop, 2)
    pass_time(loop, DEADLINE + QUIET - 50.0 - 1.0)
    assert one(loop.database, "SELECT count(*) FROM balance_readings") == 1
    loop.clock.now += 1.1
    loop.step(2)
    assert BALANCE in loop.waiting


def test_only_calls_that_were_answered_say_how_slow_the_provider_is(loop: Loop) -> None:
    """Ten IMEIs took 200 seconds; the next call broke after 900, which may be the network's fault."""
    loop.close()
    longer = Loop(loop.database, loop.folder, loop.model, chunk_size=10, workers=1)
    ready(longer)
    batch(longer, 20, size=10)
    longer.step(3)
    longer.latency = 200.0
    longer.let(CALL)
    longer.latency = 900.0
    longer.let(CALL, fault="lost before")
    longer.let_all(LIST)
    assert longer.database.get_setting(SLOWNESS) == "20.000"
    longer.close()


# What is held back


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


# Work of an earlier process


def test_new_work_does_not_wait_for_the_look_at_older_work(loop: Loop) -> None:
    """What was made just now no other process can have sent."""
    older = batch(loop, 2)
    with loop.database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET created_at = datetime('now', '-1 hour')")
    loop.step(2)
    newer = batch(loop, 4, first=50)
    loop.let_all(BALANCE)
    loop.step(2)
    loop.let_all(CALL)
    assert loop.outcomes(newer) == ["ordered"] * 4
    assert loop.outcomes(older) == ["waiting"] * 2
    loop.let(LIST)
    loop.let_all()
    assert loop.outcomes(older) == ["ordered"] * 2


def test_a_list_that_answers_after_two_failures_lets_older_work_go_on(loop: Loop) -> None:
    """Nothing is paused and nothing is sent before."""
    older = batch(loop, 2)
    with loop.database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET created_at = datetime('now', '-1 hour')")
    loop.model.list_is_down = True
    for _ in range(2):
        loop.clock.now += 100.0
        loop.step(2)
        loop.let_all(BALANCE)
        loop.let(LIST)
        assert CALL not in loop.waiting
    loop.model.list_is_down = False
    loop.clock.now += 100.0
    loop.step(2)
    loop.let_all()
    assert loop.outcomes(older) == ["ordered"] * 2


# Looks alone


def test_a_look_alone_waits_for_a_call_within_the_limit(database: IMEIDatabase, tmp_path: Path) -> None:
    """The call that it may lead to could not be sent now: it would be of no use."""
    throttle = Throttle(4, 4)  # two of these are kept for other calls
    with started(database, tmp_path / "kept", throttle=throttle) as loop:
        throttle.clock = loop.clock
        lost(loop, 2)
        loop.let_all()
        throttle.start(loop.clock.now, 1)
        clear(loop)
        loop.step(3)
        assert True not in looks(loop)
        loop.let_all()
        loop.clock.now += 61.1
        loop.step(3)
        assert looks(loop) == [True]


def test_a_look_alone_waits_for_the_end_of_a_hold(loop: Loop) -> None:
    """Nothing may be sent before."""
    lost(loop, 2)
    loop.let_all()
    loop.system.throttle.hold_until = loop.clock.now + 10.0
    clear(loop)
    loop.step(3)
    assert True not in looks(loop)
    loop.let_all()
    loop.clock.now += 10.0
    loop.step(3)
    assert looks(loop) == [True]


def test_a_look_alone_waits_for_the_calls_that_begin_in_the_same_turn(loop: Loop) -> None:
    lost(loop, 2)
    loop.let_all()
    clear(loop)
    batch(loop, 4, first=50)
    loop.step(2)
    assert loop.waiting.count(CALL) == 2
    assert looks(loop) == []
    loop.let_all(CALL)
    assert looks(loop) == [True]


def test_an_order_placed_after_the_balance_of_a_look_does_not_hide_a_charge(
    database: IMEIDatabase, tmp_path: Path
) -> None:
    """The list hides the order in doubt, so that only the balance shows that it was charged."""
    model = Model(Knobs(history=1, duplicates="never", late_orders=(0,), late_seconds=1e6), Clock())
    with started(database, tmp_path / "kept", model=model) as loop:
        ready(loop)
        batch(loop, 2, size=1)
        loop.step(3)
        loop.let(CALL, fault="lost after")
        loop.let(LIST)
        loop.let(CALL)
        while not any(watch.ready for watch in loop.system._settler.watches.values()):
            loop.clock.now += 5.0
            loop.process.step()
            loop.process.step()
            if loop.waiting:
                loop.wire.let_through()
        batch(loop, 1, first=50)  # when the loop is about to look alone
        while CALL not in loop.waiting:
            loop.step()
        answer_while_a_balance_is_on_its_way(loop)
        loop.step(2)
        loop.let_all()
        assert len(model.charges) == 3


def test_nothing_is_sent_beside_a_look_alone_where_the_run_was_about_to_end(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that waited to become the leader gives up in the same turn."""
    lost(loop, 2)
    loop.let_all()
    clear(loop)
    loop.step(2)
    assert looks(loop) == [True]
    batch(loop, 4, first=50)
    ending, is_ending = [True, False], loop.system._is_ending
    monkeypatch.setattr(loop.system, "_is_ending", lambda *of: (is_ending(*of), ending.pop(0) if ending else False)[1])
    loop.step(4)
    assert not ending
    assert CALL not in loop.waiting and looks(loop) == [True]


def test_a_look_of_an_earlier_run_settles_nothing(loop: Loop) -> None:
    """Between the two runs another process may have sent calls."""
    lost(loop, 2)
    loop.let_all()
    clear(loop)
    loop.step(2)
    loop.process.stop.set()
    loop.step(2)
    assert loop.process.has_ended
    loop.wire.let_through(loop.waiting.index(LIST))
    loop.process = Process(loop.system)
    loop.process.step()
    loop.process.step()
    assert CALL not in loop.waiting
    loop.let_all()
    assert len(loop.model.charges) == 2


def answer_while_a_balance_is_on_its_way(loop: Loop) -> None:
    """Let a paid call through after a look that waits has read the balance, and before the loop has the look."""
    lookout, found = loop.system._lookout, None
    if LIST in loop.waiting:
        _, (last_order, alone) = loop.wire.waiting.pop(loop.waiting.index(LIST))
        found = lookout._reader.read(last_order, alone, must_look=False)
    loop.wire.let_through(loop.waiting.index(CALL))
    loop.process.step()
    if found is not None:
        lookout._looks.put(found)
    loop.process.step()


def test_a_repeated_call_that_gets_no_answer_needs_another_decision(loop: Loop) -> None:
    """What a person said of the first call says nothing about the second: that one was charged."""
    batch_id = lost(loop, 2)
    loop.let_all()
    loop.model.list_is_down = True
    clear(loop)
    pass_time(loop, 100.0)
    loop.let(CALL, fault="lost after")
    pass_time(loop, 1000.0)
    assert len(loop.sent) == 2 and loop.outcomes(batch_id) == ["in_doubt"] * 2
    with loop.database.read() as connection:
        left = connection.exec_driver_sql("SELECT cleared FROM chunks WHERE state = 'in_doubt'").scalars().all()
    assert left == [0]


def test_nothing_is_sent_again_while_the_disk_is_full(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer could not be kept; when there is room again it is sent."""
    lost(loop, 2)
    loop.let_all()
    clear(loop)
    loop.step(2)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "LEAST_FREE", 1 << 62)
        loop.let(LIST)
        assert len(loop.sent) == 1
    pass_time(loop, 5.0)
    loop.let_all()
    assert len(loop.sent) == 2


def test_no_look_alone_is_taken_while_the_disk_is_full(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could lead to nothing, and the provider would be asked for its list without a pause."""
    lost(loop, 2)
    loop.let_all()
    clear(loop)
    monkeypatch.setattr(checkpoints, "LEAST_FREE", 1 << 62)
    loop.step(2)
    for _ in range(3):
        if LIST in loop.waiting:
            loop.let(LIST)
    assert LIST not in loop.waiting


def test_a_look_that_cannot_be_written_is_taken_again(loop: Loop) -> None:
    """The order that it shows is adopted then."""
    ready(loop)
    batch_id = batch(loop, 2)
    loop.step(3)
    loop.let(CALL, fault="lost after")
    end = unwritable(loop)
    loop.let(LIST)
    assert loop.outcomes(batch_id) == ["in_doubt"] * 2
    end()
    pass_time(loop, 10.0)
    assert loop.outcomes(batch_id) == ["ordered"] * 2


def test_an_answer_to_a_repeated_call_is_followed_by_a_look(loop: Loop) -> None:
    """Its orders are the proof for the next piece: what is left in doubt need not wait for a later look."""
    batch_id = lost(loop, 20)
    loop.let_all(CALL)
    loop.limit(1)
    repeated = imeis(1)
    while repeated not in loop.sent:
        pass_time(loop, 5.0)
        loop.let_all(CALL)
        assert loop.clock.now < 1_000_000.0 + 2000.0
    loop.clock.now += 1.0
    loop.step(2)
    assert LIST in loop.waiting
    pass_time(loop, 30.0)
    loop.let_all()
    assert loop.outcomes(batch_id) == ["ordered"] * 20


@pytest.mark.parametrize(("is_down", "asked"), [(False, 1), (True, 0)])
def test_a_look_alone_asks_for_the_balance_behind_the_list(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, is_down: bool, asked: int
) -> None:
    """But not where the list was not told: then it proves nothing."""
    lost(loop, 2)
    loop.let_all()
    clear(loop)
    loop.step(2)
    assert looks(loop) == [True]
    questions: list[int] = []
    monkeypatch.setattr(loop.system.client, "get_account", lambda: questions.append(1))
    loop.model.list_is_down = is_down
    loop.wire.let_through(loop.waiting.index(LIST))
    assert len(questions) == asked
