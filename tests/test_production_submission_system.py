"""The promise, judged by the provider's ledger: nothing lost, nothing paid twice, one outcome for every IMEI."""

import dataclasses
import json
import threading
import time
from typing import ClassVar

import pytest
from batch_checks import locked_by_another_program, paid_calls
from simulated_provider import SERVICE, imeis, judge, put_in_use, system, threads_of
from stored_orders import all_orders
from waiting import wait_until

from database import DatabaseUnavailableError
from gsm_fusion_client import GSMFusionAPIError, GSMFusionClient, RateLimitedError
from orders import BatchState, Chunk, ChunkState, Item, Outcome, PlacedOrder, PlacementAnswer
from storage import batch_states, call_queries, chunk_moves, guards
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import progress
from storage.call_records import write_intents
from storage.list_limits import read_list_limit
from submission import answers
from submission.answers import Answer
from submission.checkpoints import Checkpoints
from submission.decisions import was_not_placed, was_placed
from submission.judging import judge_by_name, judge_error
from submission.report import metrics

pytestmark = pytest.mark.usefixtures("quick_looks")


def new_batch(numbers, **changes):
    values = {"label": "test", "source": "command", "service_id": SERVICE, "service_name": "T-Mobile"}
    listed = [(imei, row) for row, imei in enumerate(numbers, 1)]
    return NewBatch(**{**values, "unit_price": 0.08, "imeis": listed, **changes})


def found(database, batch_id):
    there = progress(database, batch_id)
    assert there is not None and sum(there.outcomes.values()) == there.total
    return there


def outcomes(database, batch_id):
    return {outcome: count for outcome, count in found(database, batch_id).outcomes.items() if count}


def test_every_imei_is_ordered_once_and_stored_with_price_and_order_id(simulator, database):
    with system(simulator, database, in_use=False) as running:
        result = running.submit_batch(imeis(450), SERVICE)
    assert (result.total, result.successful, result.failed, result.in_doubt) == (450, 450, 0, 0)
    assert len(simulator.charges()) == 450
    assert judge(simulator, database) == (0, 0)
    assert {row["credits"] for row in all_orders(database)} == {0.08}
    assert len(result.orders) == 450 and result.errors == ()
    assert metrics(found(database, result.batch_id)).successful_batches == 5


def test_progress_file_says_how_far_the_batch_is(simulator, database):
    with system(simulator, database) as running:
        batch_id = running.submit_batch(imeis(250), SERVICE).batch_id
        path = threads_of(running).checkpoints.folder / str(batch_id) / "progress.json"
    expected = {"batch_id": batch_id, "completed_batches": 3, "total_batches": 3, "successful_orders": 250}
    assert json.loads(path.read_text()) == expected


def test_progress_callback_ends_at_the_total(simulator, database):
    seen = []
    with system(simulator, database) as running:
        running.submit_batch(imeis(300), SERVICE, lambda seen_now: seen.append(seen_now.done))
    assert seen == sorted(seen) and seen[-1] == 300


def test_repeated_imeis_are_sent_once_and_come_out_as_duplicates(simulator, database):
    numbers = imeis(5)
    with system(simulator, database) as running:
        result = running.submit_batch(numbers + numbers[:2], SERVICE)
    assert (result.total, result.successful, result.duplicates) == (7, 5, 2)
    assert len(simulator.charges()) == 5


def test_an_ordered_imei_is_not_sent_again_by_another_batch(simulator, database):
    simulator.set(duplicates="never")
    with system(simulator, database) as running:
        running.submit_batch(imeis(10), SERVICE)
        again = running.submit_batch(imeis(12), SERVICE)
    assert (again.successful, again.duplicates) == (2, 10)
    assert judge(simulator, database) == (0, 0)


def test_a_recheck_orders_only_settled_orders_again(simulator, database):
    simulator.set(duplicates="never")
    numbers = imeis(4)
    with system(simulator, database) as running:
        running.submit_batch(numbers, SERVICE)
        settled = database.get_orders_by_imei(numbers[0])[0]
        database.update_order_status(settled["order_id"], "Completed")
        batch_id = create_batch(database, new_batch(numbers, recheck=True))
        running.run_batch(batch_id)
    assert outcomes(database, batch_id) == {Outcome.ORDERED: 1, Outcome.DUPLICATE: 3}


def test_a_new_service_is_proven_with_two_imeis_before_a_hundred_follow(simulator, database):
    with system(simulator, database, proven=False) as running:
        assert running.submit_batch(imeis(250), SERVICE).successful == 250
    assert next(call.imeis for call in simulator.calls() if call.action == "placeorder") == 2
    with database.read() as connection:
        assert read_list_limit(connection, SERVICE) == 100


@pytest.mark.parametrize(("count", "sizes"), [(2, [1, 1]), (5, [1] * 5), (6, [2, 4])])
def test_a_first_batch_that_is_too_small_to_prove_a_list_goes_one_by_one(simulator, database, count, sizes):
    """An IMEI that a list left out could not be settled: no later order of the service would prove it absent."""
    with system(simulator, database, proven=False, in_use=False) as running:
        result = running.submit_batch(imeis(count), SERVICE)
    assert result.successful == count
    assert sorted(call.imeis for call in simulator.calls() if call.action == "placeorder") == sorted(sizes)


@pytest.mark.parametrize("reading", ["last", "charge_all_report_last"])
def test_a_provider_that_answers_for_the_last_imei_only_gets_one_imei_a_call(simulator, database, reading):
    simulator.set(comma_list=reading)
    with system(simulator, database, proven=False) as running:
        result = running.submit_batch(imeis(40), SERVICE)
    assert judge(simulator, database) == (0, 0)
    assert (result.successful, result.in_doubt) == (40, 0)


def test_a_provider_that_reads_only_the_beginning_of_a_list_gets_shorter_lists(simulator, database):
    simulator.set(comma_list="first", first_n=30)
    with system(simulator, database, proven=False, workers=1, settle_quiet=0.05) as running:
        result = running.submit_batch(imeis(200), SERVICE)
    assert judge(simulator, database) == (0, 0)
    assert result.successful + result.in_doubt == 200 and result.successful >= 130


FAULTS = ("503", "502", "html200", "reset", "close", "truncated", "cut_body", "two_roots")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_before_or_after_charging_costs_nothing_twice_and_loses_nothing(simulator, database, fault, when):
    simulator.set(fault=fault, fault_when=when, fault_calls=(2, 4))
    with system(simulator, database, workers=2) as running:
        result = running.submit_batch(imeis(600), SERVICE)
        if result.in_doubt:  # every IMEI was on its way already: the next order is the proof
            running.submit_batch(imeis(3, first=9000), SERVICE)
            result = running.run_batch(result.batch_id)
    assert judge(simulator, database) == (0, 0)
    assert (result.successful, result.in_doubt) == (600, 0)


def test_a_fault_that_only_looks_odd_is_read_all_the_same(simulator, database):
    simulator.set(quirks=("phpxml", "bare_amp"))
    with system(simulator, database) as running:
        assert running.submit_batch(imeis(120), SERVICE).successful == 120


def test_a_hanging_answer_is_in_doubt_and_settled_from_the_list(simulator, database):
    simulator.set(fault="hang", fault_when="after", fault_calls=(1,), hang_seconds=3)
    with system(simulator, database, timeout=0.5) as running:
        assert running.submit_batch(imeis(300), SERVICE).successful == 300
    assert judge(simulator, database) == (0, 0)


def test_without_a_list_exactly_the_doubtful_imeis_stay_in_doubt(simulator, database):
    simulator.set(fault="reset", fault_when="after", fault_calls=(2,), listing="off")
    with system(simulator, database, patience=0.5) as running:
        result = running.submit_batch(imeis(300), SERVICE)
    assert (result.successful, result.in_doubt) == (200, 100)
    assert len(simulator.charges()) == 300
    assert all(error["outcome"] == "in_doubt" for error in result.errors)


def test_a_person_settles_what_the_provider_cannot(simulator, database):
    simulator.set(fault="reset", fault_when="before", fault_calls=(1,), listing="off")
    numbers = imeis(2)
    with system(simulator, database, patience=1.0) as running:
        batch_id = running.submit_batch(numbers, SERVICE).batch_id
        with database.read() as connection:
            items = call_queries.open_chunks(connection, ChunkState.IN_DOUBT)[0].items
        was_placed(database, items[0].item_id, "990001")
        assert was_not_placed(database, [items[1].item_id], 0.0) == 1
        running.run_batch(batch_id)
    assert outcomes(database, batch_id) == {Outcome.ORDERED: 2}
    assert [charge.imei for charge in simulator.charges()] == [numbers[1]]


def test_a_provider_that_is_down_makes_the_batch_wait_and_then_go_on(simulator, database):
    simulator.set(rate_limit=3, rate_window=1.0)
    with system(simulator, database) as running:
        assert running.submit_batch(imeis(600), SERVICE).successful == 600
    assert judge(simulator, database) == (0, 0)


class AsksOnceForPatience(GSMFusionClient):
    """Says 429 to its first call, and notes when each call began."""

    began: ClassVar[list[float]] = []

    def place_imei_order(self, *args, **kwargs):
        self.began.append(time.monotonic())
        if len(self.began) == 1:
            raise RateLimitedError("fewer calls", retry_after=0.5, status=429)
        return super().place_imei_order(*args, **kwargs)


def test_no_call_is_planned_together_with_a_429(simulator, database):
    """It would only be refused too: what the answer means for the throttle comes first."""
    with system(simulator, database, workers=1, client_class=AsksOnceForPatience) as running:
        assert running.submit_batch(imeis(200), SERVICE).successful == 200
    first, second, third = AsksOnceForPatience.began
    assert second - first >= 0.5 and third >= second


def test_an_answer_that_cannot_be_judged_is_in_doubt_and_not_forgotten(simulator, database, monkeypatch):
    def stumbling(chunk, content):
        if not isinstance(content, GSMFusionAPIError):
            raise ZeroDivisionError
        return judge_error(chunk, content)

    monkeypatch.setattr(answers, "judge", stumbling)
    simulator.set(listing="off")
    with system(simulator, database, patience=0.1) as running:
        assert running.submit_batch(imeis(10), SERVICE).in_doubt == 10


def test_maintenance_pauses_with_the_providers_words_and_goes_on_by_itself(simulator, database):
    simulator.set(fault="maintenance", fault_when="before", fault_calls=(1,))
    words = []
    with system(simulator, database) as running:
        result = running.submit_batch(
            imeis(50), SERVICE, lambda now: words.append(now.notice) if now.state is BatchState.PAUSED else None
        )
    assert result.successful == 50
    assert any("maintenance" in word for word in words)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [({"fault": "auth", "fault_when": "before"}, "Invalid User!"), ({"fault": "withdrawn"}, "Network Id")],
)
def test_credentials_and_service_pause_the_batch_with_the_providers_words(simulator, database, knobs, words):
    simulator.set(**knobs)
    with system(simulator, database) as running:
        result = running.submit_batch(imeis(300), SERVICE)
        assert (result.state, result.waiting, result.successful) == ("paused", 300, 0)
        assert words in result.notice
        simulator.set(fault="")
        with database.write() as connection:
            batch_states.resume(connection, result.batch_id)
        assert running.run_batch(result.batch_id).successful == 300


def test_credit_that_ends_in_the_middle_of_a_call_pauses_and_doubts_only_that_call(simulator, database):
    simulator.set(credit=0.08 * 150)
    with system(simulator, database, workers=1) as running:
        result = running.submit_batch(imeis(400), SERVICE)
    assert result.state == "paused" and "Credit" in result.notice
    assert judge(simulator, database)[0] == 0
    assert result.successful + result.in_doubt + result.waiting == 400


def test_the_same_list_continues_the_batch_that_was_interrupted(simulator, database):
    simulator.set(fault="auth", fault_calls=(3,))
    with system(simulator, database, workers=1) as running:
        first = running.submit_batch(imeis(400), SERVICE)
        assert first.state == "paused"
        second = running.submit_batch(imeis(400), SERVICE)
    assert second.batch_id == first.batch_id
    assert second.successful == 400
    assert judge(simulator, database) == (0, 0)


def test_cancelling_the_rest_takes_back_what_was_not_sent(simulator, database):
    batch_id = create_batch(database, new_batch(imeis(250)))
    with database.write() as connection:
        planned = [chunk_id for chunk_id, _ in call_queries.planned_chunks(connection, batch_id, 1)]
        write_intents(connection, planned)
        assert chunk_moves.cancel_rest(connection, batch_id) == 150
    assert outcomes(database, batch_id) == {Outcome.WAITING: 100, Outcome.CANCELLED: 150}


class TestContinuesFromEachChunkState:
    """A process died; the next one takes over."""

    def start(self, database):
        batch_id = create_batch(database, new_batch(imeis(100)))
        with database.write() as connection:
            planned = [chunk_id for chunk_id, _ in call_queries.planned_chunks(connection, batch_id, 1)]
            return batch_id, write_intents(connection, planned)[0]

    def place(self, running, chunk):
        kept: list[bytes] = []
        answer = running.client.place_imei_order([i.imei for i in chunk.items], SERVICE, keep=kept.append)
        return kept[0], answer

    def test_planned(self, simulator, database):
        batch_id = create_batch(database, new_batch(imeis(100)))
        with system(simulator, database) as running:
            assert running.run_batch(batch_id).successful == 100

    def test_sending_and_never_sent(self, simulator, database):
        """It waits for an order after it, which shows that the list is up to date; then all of it is sent again."""
        put_in_use(simulator, database)  # the balance is from before the call
        batch_id, _ = self.start(database)
        with system(simulator, database, patience=0.3) as running:
            result = running.run_batch(batch_id)
            assert result.in_doubt == 100
            assert simulator.charges() == []
            running.submit_batch(imeis(3, first=5000), SERVICE)
            running.options = dataclasses.replace(running.options, patience=4.0)
            assert running.run_batch(batch_id).successful == 100
        assert judge(simulator, database) == (0, 0)
        assert len(simulator.charges()) == 103

    def test_sending_and_never_sent_without_an_earlier_balance(self, simulator, database):
        """Without a balance from before the call nothing shows that it cost nothing: a person decides."""
        batch_id, _ = self.start(database)
        with system(simulator, database, patience=0.3) as running:
            assert running.run_batch(batch_id).in_doubt == 100
            running.submit_batch(imeis(3, first=5000), SERVICE)
            running.options = dataclasses.replace(running.options, patience=1.5)
            assert running.run_batch(batch_id).in_doubt == 100
        assert len(simulator.charges()) == 3

    def test_sending_and_placed_without_a_checkpoint(self, simulator, database):
        batch_id, chunk = self.start(database)
        with system(simulator, database) as running:
            self.place(running, chunk)
            assert running.run_batch(batch_id).successful == 100
        assert judge(simulator, database) == (0, 0) and len(simulator.charges()) == 100

    def test_sending_with_a_checkpoint_is_recorded_without_asking(self, simulator, database):
        batch_id, chunk = self.start(database)
        with system(simulator, database) as running:
            raw, _ = self.place(running, chunk)
            threads_of(running).checkpoints.keep(chunk, raw)
            simulator.set(listing="off")
            assert running.run_batch(batch_id).successful == 100
        assert len(simulator.charges()) == 100

    def test_sending_with_a_damaged_checkpoint_is_in_doubt_first(self, simulator, database):
        batch_id, chunk = self.start(database)
        with system(simulator, database) as running:
            raw, _ = self.place(running, chunk)
            threads_of(running).checkpoints.keep(chunk, raw)
            path = next(Checkpoints(threads_of(running).checkpoints.folder).folder.glob("*/answers.log"))
            path.write_bytes(path.read_bytes()[:-40])
            assert running.run_batch(batch_id).successful == 100
        assert judge(simulator, database) == (0, 0)

    def test_answered(self, simulator, database):
        with system(simulator, database) as running:
            batch_id = running.submit_batch(imeis(100), SERVICE).batch_id
            assert running.run_batch(batch_id).successful == 100
        assert len(simulator.charges()) == 100


def test_a_small_batch_behind_a_large_one_is_placed_within_two_call_times(simulator, database):
    simulator.set(latency=0.3)
    large = create_batch(database, new_batch(imeis(5000)))
    with system(simulator, database, workers=3) as running:
        stop = threading.Event()
        thread = threading.Thread(target=running.run, args=(stop,))
        thread.start()
        wait_until(lambda: paid_calls(simulator) > 3, "the large one is under way")
        before = paid_calls(simulator)
        small = create_batch(database, new_batch(imeis(5, first=9000)))
        wait_until(lambda: found(database, small).state is BatchState.FINISHED, "the small one is placed")
        stop.set()
        thread.join(10)
    calls = [call.imeis for call in simulator.calls() if call.action == "placeorder"]
    assert calls.index(5) - before <= 3  # each worker begins one more call at most
    assert found(database, large).state is BatchState.RUNNING


def test_a_locked_database_delays_the_record_and_loses_nothing(simulator, database):
    simulator.set(latency=0.2)
    batch_id = create_batch(database, new_batch(imeis(100)))
    with system(simulator, database) as running:
        thread = threading.Thread(target=running.run_batch, args=(batch_id,))
        thread.start()
        time.sleep(0.1)
        with locked_by_another_program(database):
            time.sleep(0.6)
        thread.join(20)
    assert outcomes(database, batch_id) == {Outcome.ORDERED: 100}


def test_no_answer_is_forgotten_where_a_moved_chunk_meets_a_locked_database(simulator, database, monkeypatch):
    """Together they cannot be written, as one chunk is no longer ours; one by one the database is locked at first."""
    batch_id = create_batch(database, new_batch(imeis(300)))
    with system(simulator, database) as running:
        write_all, together_tries = running._recorder.write, list[int]()
        single_tries = list[int]()

        def hindered(connection, answers, carefully=False):
            if carefully and answers:
                single_tries.extend(answer.chunk.chunk_id for answer in answers)
                if len(single_tries) <= 3:
                    raise DatabaseUnavailableError("COMMIT", {}, Exception("database is locked"))
            else:
                together_tries.append(len(answers))
                if len(answers) == 3 and together_tries.count(3) == 1:
                    raise guards.WrongStateError("another program moved a chunk")
            return write_all(connection, answers, carefully)

        monkeypatch.setattr(running._recorder, "write", hindered)
        monkeypatch.setattr(running, "_collect", lambda collect=running._collect: together(collect, running))
        stop = threading.Event()
        alarm = threading.Timer(20.0, stop.set)  # without its answers a batch never ends
        alarm.start()
        running.run_batch(batch_id, stop=stop)
        alarm.cancel()
    assert len(set(single_tries)) == 3
    assert outcomes(database, batch_id) == {Outcome.ORDERED: 300}
    assert judge(simulator, database) == (0, 0)


def together(collect, running):
    """All answers of the calls on the wire, as if they had come at once."""
    found: list[Answer] = []
    while len(found) < len(running._in_flight) and not running._unwritten:
        found += collect()
    return found


def test_a_small_order_does_not_wait_for_the_doubt_of_another_batch(simulator, database):
    simulator.set(fault="reset", fault_when="before", fault_calls=(1,))
    with system(simulator, database, settle_quiet=30.0, patience=0.1) as running:
        assert running.submit_batch(imeis(100), SERVICE).in_doubt == 100
        started = time.monotonic()
        assert running.submit_batch(imeis(1, first=9000), SERVICE).successful == 1
    assert time.monotonic() - started < 2


def test_a_finished_batch_in_doubt_is_continued_by_the_same_list(simulator, database):
    simulator.set(fault="reset", fault_when="after", fault_calls=(1,), listing="off")
    with system(simulator, database, patience=0.2) as running:
        first = running.submit_batch(imeis(100), SERVICE)
        assert (first.state, first.in_doubt) == ("finished", 100)
        simulator.set(listing="on")
        running.options = dataclasses.replace(running.options, patience=15.0)
        second = running.submit_batch(imeis(100), SERVICE)
    assert second.batch_id == first.batch_id
    assert second.successful == 100 and judge(simulator, database) == (0, 0)


@pytest.mark.parametrize("style", ["whole_call", "whole_call_clean"])
def test_a_list_refused_because_of_one_imei_that_is_not_told_is_sent_again_one_by_one(simulator, database, style):
    """Together they would be refused for ever: the doubt is settled, sent again, refused, and in doubt."""
    numbers = imeis(6)
    with system(simulator, database) as running:
        running.submit_batch(numbers[2:3], SERVICE)
        simulator.set(duplicate_style=style)
        simulator.complete()
        database.update_order_status(all_orders(database)[0]["order_id"], "Completed")
        batch_id = create_batch(database, new_batch(numbers, recheck=True))
        running.run_batch(batch_id)
        running.submit_batch(imeis(3, first=9000), SERVICE)
        running.run_batch(batch_id)
    assert outcomes(database, batch_id) == {Outcome.ORDERED: 5, Outcome.DUPLICATE: 1}
    assert judge(simulator, database) == (0, 0)


def test_an_order_id_that_an_answer_gives_to_two_imeis_is_believed_of_neither(simulator, database):
    """Which of them it belongs to only the list can say; the first may be the wrong one."""
    chunk = Chunk(1, 1, SERVICE, 1, 1, (Item(1, "350000000000006"), Item(2, "350000000000014")))
    both = PlacementAnswer(orders=(PlacedOrder("7", chunk.items[0].imei), PlacedOrder("7", chunk.items[1].imei)))
    assert {one.outcome for one in judge_by_name(chunk, both).item_outcomes} == {Outcome.IN_DOUBT}
    simulator.set(fault="repeated_ids", fault_when="after", fault_calls=(1,))
    with system(simulator, database) as running:
        assert running.submit_batch(imeis(300), SERVICE).successful == 300
    assert judge(simulator, database) == (0, 0)
