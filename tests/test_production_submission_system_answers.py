"""What one answer, or none, leaves behind: rows, words on the page, the throttle, and what is sent next."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from handmade_calls import OTHER, one
from simulated_provider import SERVICE, imeis
from stepped_loop import BALANCE, CALL, LIST, Loop, batch, ready, started, unwritable

from database import IMEIDatabase
from orders import Chunk
from storage import lease
from storage.list_limits import read_list_limit, write_list_limit
from submission import checkpoints
from submission.checkpoints import DISK_FULL
from submission.decisions import ask_again
from submission.throttle import Throttle

LATE = "the answer came when this IMEI had been settled otherwise"
FEWER = "The provider asks for fewer calls (HTTP 429)."
NO_ANSWER = "No answer came."


@pytest.fixture
def loop(database: IMEIDatabase, tmp_path: Path) -> Iterator[Loop]:
    with started(database, tmp_path / "kept") as running:
        yield running


def sending(loop: Loop, count: int, **more: Any) -> int:
    """A batch, as many of whose calls as may be are on the wire."""
    ready(loop)
    batch_id = batch(loop, count, **more)
    loop.step(3)
    return batch_id


def hold_ends(loop: Loop) -> None:
    """The time passes in which nothing is sent, and the balance is read."""
    loop.clock.now += 2.0
    loop.step(2)
    loop.let_all(BALANCE)


def notice(loop: Loop) -> str:
    """The words on the page of the only batch."""
    return loop.states()[0][1]


# Words


def test_the_words_of_a_failure_are_kept_with_its_call(loop: Loop) -> None:
    """Both the call in doubt and its attempt say what happened."""
    sending(loop, 2)
    loop.let(CALL, fault="lost before")
    assert one(loop.database, "SELECT message FROM attempts") == NO_ANSWER
    assert one(loop.database, "SELECT DISTINCT message FROM items") == NO_ANSWER


def test_the_words_of_a_call_that_placed_nothing_are_kept(loop: Loop) -> None:
    """The call is planned again, and its attempt says why."""
    batch_id = sending(loop, 2)
    loop.let(CALL, fault="maintenance")
    assert loop.outcomes(batch_id) == ["waiting"] * 2
    assert "maintenance" in one(loop.database, "SELECT message FROM attempts")
    assert "maintenance" in one(loop.database, "SELECT message FROM chunks")


def test_only_a_third_call_without_an_answer_is_shown(loop: Loop) -> None:
    """One or two may happen at any time; any answer begins the count again."""
    sending(loop, 40)
    for _ in range(2):
        loop.let(CALL, fault="lost before")
        assert notice(loop) == ""
    loop.let(CALL, fault="fewer")
    assert notice(loop) == ""
    for _ in range(2):
        loop.let(CALL, fault="lost before")
        assert notice(loop) == ""
    loop.let(CALL, fault="lost before")
    assert notice(loop) == NO_ANSWER


def one_at_a_time(loop: Loop, count: int) -> Loop:
    """Another life of the loop, with one worker, and a batch whose first call is on the wire."""
    loop.close()
    slow = Loop(loop.database, loop.folder, loop.model, workers=1)
    sending(slow, count)
    return slow


@pytest.mark.parametrize("fault", ["", "fewer"])
def test_the_words_of_a_hold_are_taken_back_with_the_next_answer(loop: Loop, fault: str) -> None:
    """Whether the answer is clean or names only a part of the list."""
    slow = one_at_a_time(loop, 8)
    slow.let(CALL, fault="429")
    assert notice(slow) == FEWER
    hold_ends(slow)
    assert notice(slow) == FEWER
    slow.let(CALL, fault=fault)
    assert slow.states() == [("running", "")]
    slow.close()


def test_the_words_of_a_hold_stay_where_no_answer_comes(loop: Loop) -> None:
    """Nothing shows that the provider is back."""
    slow = one_at_a_time(loop, 4)
    slow.let(CALL, fault="not connected")
    assert notice(slow) == "The provider cannot be reached."
    hold_ends(slow)
    slow.let(CALL, fault="lost before")
    assert slow.states() == [("running", "The provider cannot be reached.")]
    slow.close()


def test_the_words_of_a_hold_stay_where_calls_are_held_back(loop: Loop) -> None:
    """A call that was not sent shows nothing about the provider."""
    sending(loop, 4)
    loop.let(CALL, fault="429")
    loop.let(CALL)
    assert len(loop.sent) == 1
    assert notice(loop) == FEWER


def test_a_single_call_that_meets_maintenance_is_sent_again_after_it(loop: Loop) -> None:
    """No other answer is needed to go on."""
    batch_id = sending(loop, 2)
    loop.let(CALL, fault="maintenance")
    loop.clock.now += 30.0
    loop.step(2)
    loop.let_all()
    assert loop.outcomes(batch_id) == ["ordered"] * 2


# The throttle


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
    assert 1.02 <= loop.system.throttle.hold_until - loop.clock.now <= 1.3


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


# What is sent next


def test_reads_give_way_while_more_orders_wait(database: IMEIDatabase, tmp_path: Path) -> None:
    """The throttle knows whether more is planned than may be sent."""
    throttle = Throttle(4)
    with started(database, tmp_path / "kept", throttle=throttle) as loop:
        sending(loop, 10)
        assert throttle.orders_wait
        loop.let(CALL)
        assert not throttle.orders_wait


def lengths(loop: Loop) -> list[int]:
    """How many IMEIs each call had that was sent since this was last read."""
    found, loop.sent[:] = [len(numbers) for numbers in loop.sent], []
    return found


def long_calls(loop: Loop) -> Loop:
    """Another life of the loop, with calls of five IMEIs."""
    loop.close()
    return Loop(loop.database, loop.folder, loop.model, chunk_size=5)


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


def test_a_list_that_comes_back_cut_is_believed_as_far_as_it_was_named(loop: Loop) -> None:
    """The provider reads the first three of five IMEIs: later lists are no longer than that."""
    longer = long_calls(loop)
    longer.model.provider.knobs = replace(longer.model.knobs, comma_list="first", first_n=3)
    batch_id = sending(longer, 5, size=5)
    longer.let(CALL)
    assert longer.outcomes(batch_id) == ["ordered"] * 3 + ["in_doubt"] * 2
    with longer.database.read() as connection:
        assert read_list_limit(connection, SERVICE) == 3
    longer.close()


def test_an_answer_that_names_only_a_part_shortens_the_lists(loop: Loop) -> None:
    """One of two IMEIs is named: from then on each is sent by itself."""
    sending(loop, 2)
    loop.let(CALL, fault="fewer")
    with loop.database.read() as connection:
        assert read_list_limit(connection, SERVICE) == 1


@pytest.mark.parametrize(("fault", "limit"), [("lost before", 100), ("withdrawn", 100), ("maintenance", 100)])
def test_without_an_answer_nothing_is_learned_about_lists(loop: Loop, fault: str, limit: int) -> None:
    """The length that was proven stays."""
    sending(loop, 2)
    loop.let(CALL, fault=fault)
    with loop.database.read() as connection:
        assert read_list_limit(connection, SERVICE) == limit


def test_words_that_pause_a_batch_say_nothing_about_lists(loop: Loop) -> None:
    """The provider stopped in the middle of the list because the credit was used up."""
    sending(loop, 2)
    loop.let(CALL, words="Credit has been finished!", placed=1)
    with loop.database.read() as connection:
        assert read_list_limit(connection, SERVICE) == 100


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


# Where something fails on this side


def broken(*_: Any, **__: Any) -> Any:
    """A fault of the program itself."""
    raise ZeroDivisionError


def test_a_call_that_fails_inside_the_program_is_in_doubt(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows whether it had been sent."""
    batch_id = sending(loop, 2)
    monkeypatch.setattr(loop.system.client, "place_imei_order", broken)
    loop.let(CALL)
    assert loop.outcomes(batch_id) == ["in_doubt"] * 2
    words = "the call failed inside this program after it may have been sent"
    assert one(loop.database, "SELECT message FROM attempts") == words


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
        connection.exec_driver_sql("UPDATE batches SET notice = ?", (DISK_FULL,))
    loop.step()
    assert notice(loop) == ""


@pytest.mark.parametrize(("number", "is_kept"), [(errno.ENOSPC, False), (errno.EIO, True)])
def test_an_answer_that_cannot_be_kept_is_recorded_all_the_same(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, number: int, is_kept: bool
) -> None:
    """On a full disk the ballast makes room for the commit."""

    def failing(_chunk: Chunk, _raw: bytes) -> None:
        raise OSError(number, "it does not work")

    batch_id = sending(loop, 2)
    monkeypatch.setattr(loop.checkpoints, "keep", failing)
    loop.wire.let_through(loop.waiting.index(CALL))
    assert (loop.folder / "ballast").exists() is is_kept
    loop.step(3)
    assert loop.outcomes(batch_id) == ["ordered"] * 2


def test_answers_wait_in_memory_while_the_database_cannot_be_written(loop: Loop) -> None:
    """They are written, with those that came meanwhile, when it can; the ballast makes room."""
    batch_id = sending(loop, 4)
    end = unwritable(loop)
    loop.wire.let_through(loop.waiting.index(CALL))
    loop.step()
    assert not (loop.folder / "ballast").exists()
    loop.let(CALL)
    assert loop.outcomes(batch_id) == ["waiting"] * 4
    assert BALANCE not in loop.waiting
    end()
    loop.step(2)
    assert loop.outcomes(batch_id) == ["ordered"] * 4
    assert BALANCE in loop.waiting  # no call is on the wire any more


def moved(loop: Loop, batch_id: int) -> None:
    """Another process settles the first call of a batch."""
    with loop.database.write() as connection:
        first = "(SELECT min(id) FROM chunks WHERE batch_id = ?)"
        connection.exec_driver_sql(f"UPDATE items SET outcome = 'cancelled' WHERE chunk_id = {first}", (batch_id,))
        connection.exec_driver_sql(f"UPDATE chunks SET state = 'answered' WHERE id = {first}", (batch_id,))


def test_an_answer_to_a_call_that_another_process_settled_leaves_its_orders(loop: Loop) -> None:
    """The note of these orders says so; the answer that came with it is recorded as usual."""
    batch_id = sending(loop, 4)
    moved(loop, batch_id)
    for _ in range(2):
        loop.wire.let_through(loop.waiting.index(CALL))
    loop.step(3)
    assert loop.outcomes(batch_id) == ["cancelled"] * 2 + ["ordered"] * 2
    late = "SELECT count(*), min(notes) FROM orders WHERE notes IS NOT NULL AND imei IN (?, ?)"
    assert one(loop.database, late, *imeis(2)) == (2, LATE)
    assert one(loop.database, "SELECT count(*) FROM orders WHERE attempt_id > 0") == 4
    assert one(loop.database, "SELECT message FROM attempts ORDER BY id LIMIT 1") == LATE
    assert loop.waiting == [BALANCE]  # no call is on the wire any more


def test_an_answer_in_doubt_to_a_call_that_another_process_settled_changes_nothing(loop: Loop) -> None:
    """There is no order to be stored."""
    batch_id = sending(loop, 2)
    moved(loop, batch_id)
    loop.let(CALL, fault="lost before")
    assert loop.outcomes(batch_id) == ["cancelled"] * 2
    assert one(loop.database, "SELECT message FROM attempts") == LATE


def test_a_call_that_another_process_put_in_doubt_is_settled_by_its_answer(loop: Loop) -> None:
    """That process found it on the wire and had no answer."""
    batch_id = sending(loop, 2)
    with loop.database.write() as connection:
        connection.exec_driver_sql("UPDATE items SET outcome = 'in_doubt'")
        connection.exec_driver_sql("UPDATE chunks SET state = 'in_doubt'")
    loop.let(CALL)
    assert loop.outcomes(batch_id) == ["ordered"] * 2
    assert one(loop.database, "SELECT state FROM chunks") == "answered"


def test_a_moved_call_and_a_database_that_cannot_be_written_lose_no_answer(loop: Loop) -> None:
    """They wait until it can be written; then each is written by itself, and only the second has an order."""
    batch_id = sending(loop, 6)
    moved(loop, batch_id)
    end = unwritable(loop)
    for fault in ("lost before", "fewer", "lost before"):
        loop.model.next.fault = fault
        loop.wire.let_through(loop.waiting.index(CALL))
    loop.step(2)
    assert loop.outcomes(batch_id) == ["cancelled"] * 2 + ["waiting"] * 4
    end()
    loop.step(3)
    assert loop.outcomes(batch_id) == ["cancelled"] * 2 + ["ordered"] + ["in_doubt"] * 3
    assert one(loop.database, "SELECT message FROM attempts ORDER BY id LIMIT 1") == LATE


def test_a_clean_answer_is_written_once(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is logged as if another process had been there."""
    batch_id = sending(loop, 8)
    loop.let_all(CALL)
    assert loop.outcomes(batch_id) == ["ordered"] * 8
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


def test_an_order_id_that_is_known_already_is_looked_at_more_closely(loop: Loop) -> None:
    """It belongs to another IMEI: only that item is in doubt, and the other answer of the turn is as usual."""
    ready(loop)
    loop.model.place(imeis(1, first=90), SERVICE)
    known = str(loop.model.charges[-1].order_id + 1)
    loop.database.insert_order({"order_id": known, "imei": imeis(1, first=91)[0], "service_id": SERVICE})
    batch_id = batch(loop, 4)
    loop.step(3)
    for _ in range(2):
        loop.wire.let_through(loop.waiting.index(CALL))
    loop.step(3)
    assert loop.outcomes(batch_id) == ["in_doubt", "ordered", "ordered", "ordered"]


# The end


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
