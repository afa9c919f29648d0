"""What one answer, or none, leaves behind: rows, words on the page, and pauses of batches."""

import errno
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from handmade_calls import one
from loop_scenes import (
    AFTER_IT_IS_KEPT,
    BEFORE_IT_IS_KEPT,
    BEFORE_IT_IS_SENT,
    dead,
    hold_ends,
    long_calls,
    next_life,
    notice,
    sending,
)
from simulated_provider import SERVICE, imeis
from stepped_loop import BALANCE, CALL, LIST, Loop, batch, ready, unwritable

from orders import Chunk
from storage.list_limits import read_list_limit
from submission.answers import STOPPED

LATE = "the answer came when this IMEI had been settled otherwise"
FEWER = "The provider asks for fewer calls (HTTP 429)."
NO_ANSWER = "No answer came."


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
    """The disk is full when they are resumed."""
    ready(loop)
    batch_id = batch(loop, 4)
    loop.step(3)
    loop.let(CALL, fault="maintenance")
    loop.let_all(CALL)
    loop.clock.now += 30.0
    end = unwritable(loop, "UPDATE batches")
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


def test_an_answer_that_was_kept_is_recorded_by_the_next_process(loop: Loop) -> None:
    """Nothing is sent and the list is not asked for."""
    batch_id = dead(loop, AFTER_IT_IS_KEPT)
    with closing(next_life(loop)) as after:
        after.step()
        assert after.outcomes(batch_id) == ["ordered"] * 2
        assert after.states() == [("finished", "")]
        after.step(2)
        assert after.waiting == [BALANCE]
    assert one(loop.database, "SELECT count(*) FROM orders WHERE attempt_id > 0") == 2


def test_a_refusal_that_was_kept_is_recorded_by_the_next_process(loop: Loop) -> None:
    """The provider's words pause the batch, whose call may be sent again."""
    ready(loop)
    batch_id = batch(loop, 2)
    loop.step(3)
    loop.die(AFTER_IT_IS_KEPT, fault="auth")
    with closing(next_life(loop)) as after:
        after.step()
        [(state, notice)] = after.states()
        assert state == "paused" and "Invalid User!" in notice
        assert after.outcomes(batch_id) == ["waiting"] * 2


@pytest.mark.parametrize("death", [BEFORE_IT_IS_SENT, BEFORE_IT_IS_KEPT])
def test_a_call_without_a_kept_answer_is_in_doubt_for_the_next_process(loop: Loop, death: str) -> None:
    """It says why, and a look at the list follows when the call can have ended."""
    batch_id = dead(loop, death)
    with closing(next_life(loop)) as after:
        after.step()
        assert after.outcomes(batch_id) == ["in_doubt"] * 2
        assert one(loop.database, "SELECT message FROM attempts") == STOPPED
        after.clock.now += 200.0
        after.step(2)
        assert LIST in after.waiting
