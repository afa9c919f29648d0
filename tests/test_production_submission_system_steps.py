"""The loop step by step, on a clock that stands still and a wire on which each call waits to be let through."""

from pathlib import Path

import pytest
from handmade_calls import one
from loop_scenes import broken, clear, cleared, hold_ends, lost, notice, pass_time, sending
from plain_sql import run
from provider_model import Clock, Model
from simulated_provider import SERVICE
from stepped_loop import BALANCE, CALL, DEADLINE, LIST, QUIET, Loop, batch, ready, started

from database import IMEIDatabase
from simulator.knobs import Knobs
from storage import account_store, lease
from storage.list_limits import write_list_limit
from submission import checkpoints
from submission.checkpoints import DISK_FULL
from submission.throttle import Throttle
from submission.watches import SLOWNESS


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


def test_a_single_call_that_meets_maintenance_is_sent_again_after_it(loop: Loop) -> None:
    """No other answer is needed to go on."""
    batch_id = sending(loop, 2)
    loop.let(CALL, fault="maintenance")
    loop.clock.now += 30.0
    loop.step(2)
    loop.let_all()
    assert loop.outcomes(batch_id) == ["ordered"] * 2


def test_an_order_id_that_is_known_already_costs_no_other_answer_of_its_turn(loop: Loop) -> None:
    """Together the answers cannot be written; each by itself is, and the one IMEI is in doubt."""
    batch_id = sending(loop, 8)
    for _ in range(4):
        loop.wire.let_through(loop.waiting.index(CALL))
    known = loop.model.charges[2]
    loop.database.insert_order({"order_id": str(known.order_id), "imei": "359999000000018", "status": "Pending"})
    loop.step()
    numbers = [imei for call in loop.sent for imei in call]
    expected = ["in_doubt" if imei == known.imei else "ordered" for imei in numbers]
    assert dict(zip(numbers, loop.outcomes(batch_id), strict=True)) == dict(zip(numbers, expected, strict=True))
    assert one(loop.database, "SELECT count(*) FROM orders WHERE batch_id = ?", batch_id) == 7


def test_a_429_gives_back_what_has_not_begun(loop: Loop) -> None:
    """One call met the limit; the other three are planned again and sent when the hold is over."""
    batch_id = sending(loop, 8)
    loop.model.next.fault = "429"
    for _ in range(4):
        loop.wire.let_through(loop.waiting.index(CALL))
    loop.step(2)
    assert len(loop.sent) == 1
    assert loop.outcomes(batch_id) == ["waiting"] * 8
    assert one(loop.database, "SELECT DISTINCT state FROM chunks") == "planned"
    hold_ends(loop)
    for _ in range(20):  # the throttle lets them go one after another
        loop.let_all(CALL)
        loop.clock.now += 3.0
        loop.step(2)
    assert loop.outcomes(batch_id) == ["ordered"] * 8


def test_a_429_holds_as_long_as_the_provider_asks(loop: Loop) -> None:
    """It said one second; a little more is waited, and it is known when to go on."""
    sending(loop, 2)
    loop.let(CALL, fault="429")
    assert 1.02 <= loop.system.throttle.hold_until - loop.clock.now <= 1.1
    assert loop.system.throttle._read_wait(loop.clock.now) == loop.system.throttle.hold_until - loop.clock.now
    assert not loop.system.throttle.probing


def test_three_calls_without_an_answer_are_probed_with_one(loop: Loop) -> None:
    """Nobody knows when the provider is back; a single call finds out."""
    sending(loop, 20)
    for _ in range(3):
        loop.let(CALL, fault="lost before")
    assert loop.system.throttle.probing and loop.system.throttle.failures == 1
    loop.let_all(CALL)
    hold_ends(loop)
    assert loop.waiting.count(CALL) <= 1


def test_a_provider_that_cannot_be_reached_is_waited_for(loop: Loop) -> None:
    """Once is enough, other than for a missing answer: the calls that have not begun are held back."""
    sending(loop, 8)
    loop.let(CALL, fault="not connected")
    loop.let_all(CALL)
    assert len(loop.sent) == 1
    assert loop.system.throttle.probing and loop.system.throttle.failures == 1
    assert 1.0 <= loop.system.throttle.hold_until - loop.clock.now <= 1.3  # the clock has moved a little since


@pytest.mark.parametrize(("count", "times"), [(2, [0.3]), (1, [])])
def test_calls_of_half_the_length_say_how_quick_the_provider_is(loop: Loop, count: int, times: list[float]) -> None:
    """Shorter ones are quick and say little."""
    loop.close()
    longer = Loop(loop.database, loop.folder, loop.model, chunk_size=4)
    sending(longer, count)
    longer.latency = 0.3
    longer.let(CALL)
    assert [round(seconds, 3) for seconds in longer.system.throttle.times] == times
    longer.close()


@pytest.mark.parametrize(("latency", "on_the_wire"), [(0.15, 8), (0.25, 4)])
def test_after_quick_calls_the_next_ones_are_planned_ahead(loop: Loop, latency: float, on_the_wire: int) -> None:
    """Four workers make calls that are shorter than a commit: four more wait for them."""
    sending(loop, 60)
    loop.latency = latency
    assert loop.waiting.count(CALL) == 4
    loop.wire.let_through(loop.waiting.index(CALL))
    loop.step()
    assert loop.waiting.count(CALL) == on_the_wire


def test_within_a_limit_nothing_is_planned_ahead(database: IMEIDatabase, tmp_path: Path) -> None:
    """Each call counts, and reads wait for their turn too; what was held back does not count."""
    throttle = Throttle(4, 12)  # two of these are kept for other calls
    with started(database, tmp_path / "kept", throttle=throttle) as loop:
        throttle.clock = loop.clock
        sending(loop, 60)
        loop.let(CALL)
        assert loop.waiting.count(CALL) == 4
        assert throttle._left(loop.clock.now) == 10 - 5
        loop.let(CALL, fault="429")
        loop.let_all(CALL)
        loop.clock.now += 2.0
        assert throttle._left(loop.clock.now) == 10 - 2


def test_reads_give_way_while_more_orders_wait(database: IMEIDatabase, tmp_path: Path) -> None:
    """The throttle knows whether more is planned than may be sent."""
    throttle = Throttle(4)
    with started(database, tmp_path / "kept", throttle=throttle) as loop:
        sending(loop, 10)
        assert throttle.orders_wait
        loop.let(CALL)
        assert not throttle.orders_wait


def test_a_call_that_fails_inside_the_program_is_in_doubt(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows whether it had been sent."""
    batch_id = sending(loop, 2)
    monkeypatch.setattr(loop.system.client, "place_imei_order", broken)
    loop.let(CALL)
    assert loop.outcomes(batch_id) == ["in_doubt"] * 2
    words = "the call failed inside this program after it may have been sent"
    assert one(loop.database, "SELECT message FROM attempts") == words


def test_nothing_is_sent_while_the_disk_is_full(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says so, until there is room again."""
    ready(loop)
    batch_id = batch(loop, 4)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "LEAST_FREE", 1 << 62)
        loop.step(3)
        assert loop.states() == [("running", DISK_FULL)]
        assert CALL not in loop.waiting
    loop.step(3)
    assert notice(loop) == ""
    loop.let_all(CALL)
    assert loop.outcomes(batch_id) == ["ordered"] * 4


def test_the_words_of_an_earlier_process_about_a_full_disk_are_taken_back(loop: Loop) -> None:
    """There is room at the first turn of this one."""
    batch(loop, 4)
    with loop.database.write() as connection:
        run(connection, "UPDATE batches SET notice = ?", DISK_FULL)
    loop.step()
    assert notice(loop) == ""


def test_a_lease_that_is_lost_while_answers_are_written_is_noticed_there(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is recorded without the next calls; who took the lease is logged once."""
    loop.close()
    patient = Loop(loop.database, loop.folder, loop.model, poll=0.2)  # it looks at the lease itself that often
    batch_id = sending(patient, 20)
    with loop.database.write() as connection:
        lease.take(connection, "another", "there")
    patient.let(CALL)
    assert patient.system.was_overtaken
    patient.let_all(CALL)
    assert patient.outcomes(batch_id) == ["ordered"] * 8 + ["waiting"] * 12
    words = [record.getMessage() for record in caplog.records if "sends nothing more" in record.getMessage()]
    assert words == ["This process sends nothing more: another has taken the lease."]
    patient.close()


def test_a_look_of_a_process_that_was_overtaken_settles_nothing(loop: Loop) -> None:
    """The other process may have sent calls since the list was read."""
    loop.close()
    patient = Loop(loop.database, loop.folder, loop.model, poll=0.5)  # it does not look at the lease itself
    batch_id = sending(patient, 2)
    patient.let(CALL, fault="lost after")
    assert LIST in patient.waiting
    with loop.database.write() as connection:
        lease.take(connection, "another", "there")
    patient.let(LIST)
    assert patient.system.was_overtaken
    assert patient.outcomes(batch_id) == ["in_doubt"] * 2
    patient.close()


def test_a_process_that_is_asked_to_stop_waits_for_its_calls(loop: Loop) -> None:
    """It sends nothing more, and records what comes."""
    batch_id = sending(loop, 20)
    loop.process.stop.set()
    for _ in range(4):
        loop.wire.let_through(loop.waiting.index(CALL))
    loop.step()
    assert loop.process.has_ended
    assert loop.waiting == []
    assert loop.outcomes(batch_id) == ["ordered"] * 8 + ["waiting"] * 12


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


def test_an_account_that_is_dearer_than_confirmed_sends_nothing_with_its_first_prices(
    database: IMEIDatabase, tmp_path: Path
) -> None:
    """Its prices are read before its first calls: the calls of that turn went out as if it had none."""
    account_store.register(database, {"main": "", "b": ""})
    model = Model(Knobs(history=1, duplicates="never", price_factor=1.25), Clock())
    with started(database, tmp_path / "kept", model=model, account="b") as loop:
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE orders SET account = 'b'")
            connection.exec_driver_sql("UPDATE services SET price = price / 1.25")
            write_list_limit(connection, SERVICE, 100, "b")
        batch_id = batch(loop, 4)
        for _ in range(3):
            loop.step(2)
            loop.let_all()
        assert (model.charges, loop.outcomes(batch_id)) == ([], ["waiting"] * 4)
