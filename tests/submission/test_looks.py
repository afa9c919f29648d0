"""When the provider's list is asked for, alone or beside calls, and what waits meanwhile."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import pytest
from handmade_calls import one
from loop_scenes import broken, clear, lost, pass_time, sending, sent_before
from provider_model import Clock, Model, Process
from simulated_provider import imeis
from stepped_loop import BALANCE, CALL, DEADLINE, LIST, QUIET, Loop, batch, ready, started, unwritable

from database import IMEIDatabase
from engines import postgresql_server
from gsm_fusion_client import OutcomeUnknownError
from orders import Chunk
from provider import read_dates
from simulator.knobs import Knobs
from storage import account_store
from submission import checkpoints, listing
from submission.decisions import ask_again, was_not_placed
from submission.settlement import HELD, NOT_RESTED
from submission.throttle import Throttle


def test_the_first_look_is_taken_beside_other_work(loop: Loop) -> None:
    """It knows up to which order the list must be complete, and asks for no balance."""
    sending(loop, 2)
    loop.let(CALL, fault="lost before")
    [looked] = [args for call, args in loop.wire.waiting if call.__name__ == LIST]
    assert looked == (one(loop.database, "SELECT max(id) FROM orders"), False)


def test_a_request_to_look_again_is_noticed(loop: Loop) -> None:
    """A person asks for it on the page; the same request counts once."""
    sending(loop, 2)
    loop.let(CALL, fault="lost before")
    loop.let_all()
    loop.clock.now += 1000.0
    loop.step(2)
    loop.let_all()
    loop.step(3)
    assert LIST not in loop.waiting
    ask_again(loop.database)
    loop.step(3)
    loop.clock.now += 5.0
    loop.step(3)
    assert LIST in loop.waiting
    taken = 0
    for _ in range(20):
        taken += loop.waiting.count(LIST)
        loop.let_all()
        loop.clock.now += 5.0
        loop.step(2)
    assert taken < 10


def test_a_look_that_fails_inside_the_program_is_taken_again(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as a list that was not told."""
    batch_id = sending(loop, 2)
    loop.let(CALL, fault="lost after")
    with monkeypatch.context() as patched:
        patched.setattr(loop.system.client, "list_recent_orders", broken)
        loop.let(LIST)
    for _ in range(20):
        loop.clock.now += 10.0
        loop.step(2)
        loop.let_all()
    assert loop.outcomes(batch_id) == ["ordered"] * 2


def test_a_look_that_cannot_be_prepared_is_taken_again(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as where a long list finds no memory: while a look is awaited, no other one is taken."""
    batch_id = sending(loop, 2)
    loop.let(CALL, fault="lost after")
    with monkeypatch.context() as patched:
        patched.setattr(listing.Look, "prepare", broken)
        loop.let(LIST)
    pass_time(loop, 200.0)
    assert loop.outcomes(batch_id) == ["ordered"] * 2


def looks(loop: Loop) -> list[bool]:
    """Of each look that waits, whether it is taken alone."""
    return [args[1] for call, args in loop.wire.waiting if call.__name__ == LIST]


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


def test_orders_that_wait_for_a_look_do_not_wait_for_the_next_one_at_a_doubt(loop: Loop) -> None:
    """The database was moved, so each new batch waits for a look; the looks at an old doubt are a minute apart."""
    loop.model.list_is_down = True
    doubtful = lost(loop, 2)
    pass_time(loop, 300.0)
    loop.system._settler.looks, loop.system._settler.next_look = 7, loop.clock.now + 60.0
    loop.model.list_is_down = False
    ownership = loop.system._ownership
    assert ownership._lease is not None
    ownership._lease = replace(ownership._lease, moved=True)
    asked, later = loop.clock.now, batch(loop, 2, first=50)
    while CALL not in loop.waiting:
        pass_time(loop, 1.0)
        assert loop.clock.now - asked < 10.0
    loop.let_all(CALL)
    assert loop.outcomes(later) == ["ordered"] * 2
    assert loop.outcomes(doubtful) == ["in_doubt"] * 2


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


def test_other_work_goes_on_between_looks_alone_at_a_slow_list(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the list took: else nothing would be sent any more while doubt cannot be settled."""
    lost(loop, 2)
    loop.let_all()
    clear(loop)
    loop.step(2)
    assert looks(loop) == [True]
    monkeypatch.setattr(loop.system.client, "list_recent_orders", lambda: slow_failure(loop, 400.0))
    loop.let(LIST)
    batch(loop, 4, first=50)
    loop.step(3)
    loop.let_all(BALANCE)
    assert loop.waiting.count(CALL) == 2
    loop.let_all(CALL)
    loop.clock.now += 300.0
    loop.step(3)
    assert LIST not in loop.waiting
    loop.clock.now += 101.0
    loop.step(3)
    loop.let_all(BALANCE)
    assert LIST in loop.waiting


def slow_failure(loop: Loop, seconds: float) -> NoReturn:
    """A list that ends in nothing after these seconds."""
    loop.clock.now += seconds
    raise OutcomeUnknownError("The outcome is unknown: the connection broke before a complete answer came.")


def test_a_server_ends_no_transaction_because_a_list_is_long(
    server_url: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows from the list alone is computed before the transaction, which may not be idle for long."""
    options = f"{postgresql_server.CONNECTION['options']} -c idle_in_transaction_session_timeout=0.5s"
    monkeypatch.setitem(postgresql_server.CONNECTION, "options", options)
    with IMEIDatabase(server_url, data_dir) as database, started(database, tmp_path / "kept") as loop:
        batch_id = sending(loop, 2)
        loop.let(CALL, fault="lost after")
        monkeypatch.setattr(listing, "read_dates", slow_dates)
        loop.let(LIST)
        assert loop.outcomes(batch_id) == ["ordered"] * 2


def slow_dates(texts: Sequence[str]) -> list[datetime | None]:
    """The dates of a very long list."""
    time.sleep(1.5)
    return read_dates(texts)


def test_the_page_says_why_the_list_could_not_be_read(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    sending(loop, 2)
    loop.let(CALL, fault="lost before")
    monkeypatch.setattr(loop.system.client, "list_recent_orders", lambda: slow_failure(loop, 1.0))
    loop.let(LIST)
    assert "the connection broke" in one(loop.database, "SELECT message FROM chunks WHERE state = 'in_doubt'")


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


def test_the_list_is_not_read_without_a_pause_while_its_account_may_not_send(loop: Loop) -> None:
    """An admin has stopped one of two accounts; what it may send again waits until it goes on."""
    account_store.register(loop.database, {"main": "", "second": ""})
    lost(loop, 2)
    loop.let_all()
    with loop.database.write() as connection:
        account_store.stop(connection, "main", "stopped by an admin", None)
    loop.step(3)
    clear(loop)
    loop.step(2)
    for _ in range(3):
        if LIST in loop.waiting:
            loop.let(LIST)
    assert LIST not in loop.waiting
    assert one(loop.database, "SELECT message FROM chunks WHERE cleared") == HELD
    with loop.database.write() as connection:
        account_store.try_again(connection, "main")
    pass_time(loop, 10.0)
    loop.let_all(CALL)
    assert loop.sent[-1] == imeis(2)


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


def test_a_repeated_call_that_was_not_sent_is_repeated_after_another_look_only(loop: Loop) -> None:
    batch_id = lost(loop, 8)
    while [imei for chunk in calls(loop) for _, imei in chunk.items] != imeis(2):
        loop.let_all(CALL)
        pass_time(loop, 5.0)
        assert loop.clock.now < 1_000_000.0 + 2000.0
    loop.let(CALL, fault="not connected")
    assert loop.outcomes(batch_id)[:2] == ["in_doubt"] * 2
    pass_time(loop, 60.0)
    loop.let_all()
    assert loop.outcomes(batch_id) == ["ordered"] * 8


def calls(loop: Loop) -> list[Chunk]:
    """The paid calls that wait."""
    return [args[0] for call, args in loop.wire.waiting if call.__name__ == CALL]


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


def test_what_a_person_clears_too_soon_waits_while_the_provider_may_work_on_it(loop: Loop) -> None:
    """The wall clock, by which the person had to wait, was stepped. Other calls go on meanwhile."""
    batch_id = lost(loop, 2)
    loop.let_all()
    with loop.database.read() as connection:
        ids = list(connection.exec_driver_sql("SELECT id FROM items").scalars())
    assert was_not_placed(loop.database, ids, 0.0) == 2
    other = batch(loop, 2, first=50)
    pass_time(loop, QUIET + DEADLINE - 20.0)
    loop.let_all()
    assert loop.outcomes(other) == ["ordered"] * 2
    assert loop.outcomes(batch_id) == ["in_doubt"] * 2
    assert one(loop.database, "SELECT message FROM chunks WHERE cleared") == NOT_RESTED
    pass_time(loop, 40.0)
    loop.let_all()
    assert loop.outcomes(batch_id) == ["ordered"] * 2
    assert loop.sent.count(imeis(2)) == 2


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
    sent_before(loop)
    return imeis(2)
