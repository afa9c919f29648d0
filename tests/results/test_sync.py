"""Results: asked for in few calls, when they are due, and written once, whole, and never back to less."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest
from pending_orders import NOTHING, UNREADABLE, ByHand, Hours, Partial, Spoiled, client_of, pending, place
from simulated_provider import SERVICE, Knobs, Simulator, imeis, system
from sqlalchemy import insert, select
from stored_orders import all_orders
from waiting import wait_until

from database import DatabaseUnavailableError, IMEIDatabase, utc_now
from gsm_fusion_client import (
    GSMFusionClient,
    NotSentError,
    RefusalKind,
    RefusedError,
)
from orders import BatchStage, IMEIOrder, PlacementAnswer
from provider import parse_asked_orders
from results import sync as order_sync
from results.order_values import result_values
from results.sync import (
    FIRST_PAUSE,
    LEFT_OUT,
    LOOK,
    MOST_ALONE,
    MOST_FRESH,
    NO_HALVING,
    RAREST,
    OrderSync,
    SyncReport,
    SyncState,
    is_requested,
    last_sync,
    next_age,
    request_sync,
    state_of_sync,
)
from schema import orders, services, status_changes
from settings import MAIN_ACCOUNT
from storage import batch_queries, order_queries, result_store
from storage.result_store import withheld, withheld_orders


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(turnaround=3600)) as running:
        yield running


def asks(simulator: Simulator) -> int:
    return sum(call.action == "getimeis" for call in simulator.calls())


def test_pending_orders_take_one_call_a_hundred(simulator: Simulator, database: IMEIDatabase) -> None:
    """Four thousand pending orders are asked for in at most 1.1 times the 40 calls that they need."""
    numbers = imeis(4000)
    with client_of(simulator) as client:
        rows = [
            {"order_id": order.id, "imei": order.imei, "status": "Pending", "service_id": SERVICE}
            for at in range(0, len(numbers), 100)
            for order in client.place_imei_order(numbers[at : at + 100], SERVICE).orders
        ]
        with database.write() as connection:
            connection.execute(insert(orders), rows)
        report = OrderSync(database, client, 300, MAIN_ACCOUNT).sync()
    assert (report.asked, report.pending, report.error) == (4000, 4000, "")
    assert report.calls == asks(simulator) <= 44


def test_results_arrive_with_the_time_of_each_change(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 250)
    simulator.complete()
    with client_of(simulator) as client:
        before = asks(simulator)
        report = OrderSync(database, client, 300, MAIN_ACCOUNT).sync()
    assert asks(simulator) - before == report.calls == 3
    assert (report.asked, report.updated, report.pending) == (250, 250, 0)
    with database.read() as connection:
        moves = connection.execute(select(status_changes)).all()
    assert len(moves) == 250
    assert {move.old for move in moves} == {"Pending"}
    order = order_queries.find_order(database, all_orders(database)[0]["order_id"])
    assert order
    assert f"Pending → {order.status}" in [words for _, words in batch_queries.order_timeline(database, order)]


def test_an_open_page_learns_of_results(simulator: Simulator, database: IMEIDatabase) -> None:
    """Each answer makes the batch's revision grow, which streams watch."""
    place(simulator, database, 10)
    before = batch_queries.revision(database, 1)
    simulator.complete()
    with client_of(simulator) as client:
        OrderSync(database, client, 300, MAIN_ACCOUNT).sync()
    after = batch_queries.revision(database, 1)
    assert before is not None
    assert after is not None
    assert after > before


def test_a_second_round_changes_nothing_and_asks_nothing(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 10)
    simulator.complete()
    with client_of(simulator) as client:
        sync = OrderSync(database, client, 300, MAIN_ACCOUNT)
        sync.sync()
        before = all_orders(database)
        assert sync.sync().calls == 0
    assert all_orders(database) == before


def test_an_order_that_the_provider_does_not_know_stays_as_it_is(simulator: Simulator, database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "77", "imei": imeis(1)[0], "status": "Pending", "order_date": utc_now()})
    with client_of(simulator) as client:
        report = OrderSync(database, client, 300, MAIN_ACCOUNT).sync()
    assert (report.updated, report.pending, report.error) == (0, 1, "")


def test_a_failing_provider_ends_the_round_and_keeps_what_came(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 250)
    simulator.complete()
    done = asks(simulator)
    simulator.set(fault="maintenance", fault_actions=("getimeis",), fault_calls=(done + 2,))
    with client_of(simulator) as client:
        report = OrderSync(database, client, 300, MAIN_ACCOUNT).sync()
        assert "maintenance" in report.error
        assert (report.updated, report.pending) == (100, 150)
        assert order_sync.last_sync(database) == report


def test_each_round_asks_only_for_what_is_due(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 10)
    now = utc_now()
    with client_of(simulator) as client:
        early = OrderSync(database, client, 300, MAIN_ACCOUNT, clock=lambda: now)
        assert early.sync(only_due=True).asked == 0
        late = OrderSync(database, client, 300, MAIN_ACCOUNT, clock=lambda: now + timedelta(seconds=400))
        assert late.sync(only_due=True).asked == 10
        assert late.sync(only_due=True).asked == 0


@pytest.mark.parametrize(
    ("delivery", "interval", "ages"),
    [
        ("Instant-5 Minutes", 300, [5, 10, 20, 40, 60, 120, 240]),
        ("2 MINUTES", 7 * 3600, [5, 10, 20, 40, 60, 120, 240]),
        ("1-24 Hours", 300, [300, 600, 1200, 2400]),
        ("", 7 * 3600, [7 * 3600, 14 * 3600, 21 * 3600]),
    ],
)
def test_fresh_orders_are_due_soon_and_old_ones_seldom(delivery: str, interval: float, ages: list[float]) -> None:
    asked, found = 0.0, list[float]()
    for _ in ages:
        asked = next_age(asked, delivery, interval)
        found.append(asked)
    assert found == ages


@pytest.mark.parametrize(
    ("asked", "delivery", "due"),
    [(5.9, "Instant", 10), (12, "Instant", 20), (75, "Instant", 150), (90 * 86_400, "Instant", 90 * 86_400 + RAREST)],
)
def test_an_order_that_was_asked_for_late_is_not_due_any_later(asked: float, delivery: str, due: float) -> None:
    assert next_age(asked, delivery, 300) == due


def test_an_order_of_an_instant_service_costs_few_calls_a_day() -> None:
    age, asked = 0.0, 0
    while age < 86_400:
        age = next_age(age, "Instant", 300)
        asked += 1
    assert asked <= 25


class Prompt(GSMFusionClient):
    """Hears of an order that is completed the moment it is placed."""

    def place_imei_order(self, *args: Any, **kwargs: Any) -> PlacementAnswer:
        answer = super().place_imei_order(*args, **kwargs)
        return replace(answer, orders=tuple(order._replace(status="Completed") for order in answer.orders))


def test_an_order_that_is_completed_when_it_is_placed_gets_its_text(database: IMEIDatabase) -> None:
    with Simulator(Knobs(turnaround=0)) as simulator:
        with system(simulator, database, in_use=False, client_class=Prompt) as running:
            assert running.submit_batch(imeis(150), SERVICE).successful == 150
        assert {row["status"] for row in all_orders(database)} == {"In Process"}
        with client_of(simulator) as client:
            OrderSync(database, client, 300, MAIN_ACCOUNT).sync()
    assert all(row["result_code"] for row in all_orders(database))


def test_an_order_that_is_completed_when_it_is_adopted_gets_its_text(database: IMEIDatabase) -> None:
    """It has waited for its settling, and the provider was quicker."""
    with Simulator(Knobs(turnaround=0, history=1)) as simulator:
        simulator.set(fault="reset", fault_when="after", fault_calls=(2,))
        with system(simulator, database, in_use=False, chunk_size=10) as running:
            running.submit_batch(imeis(30), SERVICE)
        placed = all_orders(database)
        assert Counter(row["status"] for row in placed) == {"Pending": 20, "In Process": 10}
        with client_of(simulator) as client:
            OrderSync(database, client, 300, MAIN_ACCOUNT).sync()
    orders_now = all_orders(database)
    assert len(orders_now) == len(simulator.charges()) == 30
    assert {row["status"] for row in orders_now} <= {"Completed", "Rejected"}
    assert all(row["result_code"] for row in orders_now)


def test_a_request_is_met_by_the_thread_even_where_the_interval_is_off(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    place(simulator, database, 5)
    simulator.complete()
    stop = threading.Event()
    with client_of(simulator) as client:
        thread = threading.Thread(target=OrderSync(database, client, 0, MAIN_ACCOUNT).duty().repeat, args=(stop,))
        thread.start()
        request_sync(database)
        wait_until(lambda: not order_sync.is_requested(database), "the request is done")
        stop.set()
        thread.join()
    assert not order_sync.is_requested(database)
    assert all_orders(database, status="Pending") == []


def test_a_refused_id_leaves_its_list_out_and_any_other_refusal_ends_the_round(database: IMEIDatabase) -> None:
    pending(database, 20)
    unknown = RefusedError(RefusalKind.ORDER_ID, "invalid order id")
    provider = ByHand(failures={1: unknown})
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert provider.lists == [20, 10, 10]
    assert (report.updated, report.error) == (20, "")

    with database.write() as connection:
        connection.execute(orders.update().values(status="Pending"))
    provider = ByHand(failures={1: RefusedError(RefusalKind.CREDENTIALS, "wrong key")})
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert provider.lists == [20]
    assert report.error == "The provider refused: wrong key"


def test_a_failure_ends_the_round_keeps_what_came_and_is_said(
    database: IMEIDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    pending(database, 250)
    provider = ByHand(failures={2: NotSentError("The provider cannot be reached.")})
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert (report.asked, report.updated, report.pending, report.calls) == (250, 100, 150, 2)
    assert report.error == "The provider cannot be reached."
    assert "Asking for results failed: The provider cannot be reached." in caplog.messages


@pytest.mark.parametrize("answered", [True, False])
def test_a_stop_ends_the_round_after_the_call_that_is_on_its_way(database: IMEIDatabase, answered: bool) -> None:
    pending(database, 250)
    stop = threading.Event()

    def last_answer(ids: Sequence[str]) -> Sequence[str]:
        stop.set()
        return ids if answered else []

    provider = ByHand(last_answer)
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync(stop=stop)
    assert provider.lists == [100]
    assert (report.updated, report.error) == (100 if answered else 0, "")


def test_an_order_that_existed_before_our_call_gets_its_result_and_costs_nothing(database: IMEIDatabase) -> None:
    (order_id,) = pending(database, 2)[:1]
    with database.write() as connection:
        connection.execute(orders.update().values(existed=True, credits=0.0))
        promised = batch_queries.spent_or_promised(connection)
    OrderSync(database, ByHand(), 300, MAIN_ACCOUNT).sync()
    row = database.get_order(order_id)
    assert row is not None
    assert (row["status"], row["model"], row["credits"], bool(row["existed"])) == ("Completed", "iPhone 12", 0.0, True)
    with database.read() as connection:
        assert batch_queries.spent_or_promised(connection) == promised == 0


def test_an_order_that_spoils_lists_is_asked_for_rarely_and_alone(database: IMEIDatabase) -> None:
    clock = Hours()
    ids = pending(database, 30, clock.now - timedelta(days=3))
    provider = Spoiled([ids[7]], status="Pending")
    OrderSync(database, provider, 300, MAIN_ACCOUNT, clock).sync()
    seconds: list[float] = []
    for second in range(0, 12 * 3600, 300):
        provider.asked.clear()
        OrderSync(database, provider, 300, MAIN_ACCOUNT, clock).sync(only_due=True)  # a new process knows it too
        seconds += [second] if [ids[7]] in provider.asked else []
        assert [ids[7]] in provider.asked or not any(ids[7] in part for part in provider.asked)
        clock.pass_by(300)
    assert seconds == [FIRST_PAUSE * n for n in (1, 3, 7, 15, 31)]
    assert withheld(database)[ids[7]].times == 6


def test_an_order_that_is_left_out_alone_is_withheld_and_does_not_spoil_lists(database: IMEIDatabase) -> None:
    ids = pending(database, 3)
    provider = ByHand(lambda asked: [i for i in asked if i != ids[1]])
    OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    with database.read() as connection:
        (row,) = withheld_orders(connection, 9)
    assert (row.result.order_id, row.result.answer, row.result.spoils_lists) == (ids[1], LEFT_OUT, False)


def test_what_the_provider_says_to_every_list_is_no_fault_of_an_order(database: IMEIDatabase) -> None:
    """Few calls are made and few orders blamed, not for long; for a while a failing list costs one call a round."""
    clock = Hours()
    ids = pending(database, 250, clock.now)
    provider = Spoiled(ids, RefusedError(RefusalKind.UNKNOWN, "Server busy"))
    sync = OrderSync(database, provider, 300, MAIN_ACCOUNT, clock)
    report = sync.sync()
    assert report.error == "The provider refused: Server busy"
    assert report.calls <= 12
    assert len(withheld(database)) <= 5
    assert sync.sync().calls == 1
    clock.pass_by(NO_HALVING)
    assert sync.sync().calls > 1
    assert {held.times for held in withheld(database).values()} == {1}
    provider.spoilers.clear()
    clock.pass_by(FIRST_PAUSE)
    assert sync.sync(only_due=True).pending == 0


def test_the_newest_orders_do_not_block_the_others(database: IMEIDatabase) -> None:
    ids = pending(database, 250)
    report = OrderSync(database, Spoiled(ids[:40]), 300, MAIN_ACCOUNT).sync()
    assert (report.updated, report.pending, report.error) == (210, 40, "")
    assert set(withheld(database)) == set(ids[:40])


def test_many_orders_without_a_result_and_no_others_are_asked_for_ever_more_rarely(database: IMEIDatabase) -> None:
    clock = Hours()
    ids = pending(database, 20, clock.now)
    sync = OrderSync(database, Spoiled([*ids], NOTHING), 300, MAIN_ACCOUNT, clock)
    calls = []
    for _ in range(96):
        calls.append(sync.sync(only_due=True).calls)
        clock.pass_by(FIRST_PAUSE)
    assert sum(calls[:4]) <= 100
    assert sum(calls[48:]) <= 20 * 3


@pytest.mark.parametrize("count", [1, 2, 5, 6, 30])
def test_where_only_orders_without_a_result_are_left_they_are_shown(database: IMEIDatabase, count: int) -> None:
    clock = Hours()
    ids = pending(database, count, clock.now)
    sync = OrderSync(database, Spoiled(ids), 300, MAIN_ACCOUNT, clock)
    for _ in range(8):
        sync.sync()
        clock.pass_by(NO_HALVING)
    assert set(withheld(database)) == set(ids)


def test_a_request_asks_for_the_orders_that_spoil_lists_last_and_not_without_end(database: IMEIDatabase) -> None:
    ids = pending(database, 150)
    provider = Spoiled(ids[: MOST_ALONE + 20])
    sync = OrderSync(database, provider, 300, MAIN_ACCOUNT)
    sync.sync()
    assert len(withheld(database)) == MOST_ALONE + 20
    provider.asked.clear()
    with database.write() as connection:
        connection.execute(orders.update().values(status="Pending"))
    report = sync.sync()
    assert provider.lists == [30] + [1] * MOST_ALONE
    assert (report.asked, report.updated) == (130, 30)


def odd_values(*odd: str) -> Callable[[IMEIOrder, Any], dict[str, Any]]:
    """result_values() with a bug: it fails for these orders."""

    def values(order: IMEIOrder, row: Any) -> dict[str, Any]:
        if order.id in odd:
            raise ValueError("an odd value")
        return result_values(order, row)

    return values


def test_a_result_that_cannot_be_stored_blocks_no_other(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its order is named in the log, asked for alone and ever more rarely, and has its result once it can be stored."""
    clock = Hours()
    ids = pending(database, 130, clock.now - timedelta(days=3))
    provider = ByHand()
    with monkeypatch.context() as patched:
        patched.setattr(order_sync, "result_values", odd_values(ids[7]))
        report = OrderSync(database, provider, 300, MAIN_ACCOUNT, clock).sync()
        assert (report.error, report.updated, report.pending, provider.lists) == ("", 129, 1, [100, 30])
        held = withheld(database)[ids[7]]
        assert (held.spoils_lists, "an odd value" in held.answer) == (True, True)
        assert f"The result of order {ids[7]} cannot be stored" in caplog.messages
        seconds: list[float] = []
        for second in range(0, 4 * 3600, 300):
            provider.asked.clear()
            OrderSync(database, provider, 300, MAIN_ACCOUNT, clock).sync(only_due=True)
            seconds += [second] if provider.asked else []
            clock.pass_by(300)
        assert seconds == [FIRST_PAUSE * n for n in (1, 3, 7, 15)]
    assert OrderSync(database, provider, 300, MAIN_ACCOUNT, clock).sync().updated == 1
    assert withheld(database) == {}


def test_where_no_result_of_a_list_can_be_stored_no_order_is_the_cause(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are asked for all the same, and the round names the reason."""
    ids = pending(database, 110)
    provider = ByHand()
    monkeypatch.setattr(order_sync, "result_values", odd_values(*ids[:100]))
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert (report.updated, report.pending, provider.lists) == (10, 100, [100, 10])
    assert "an odd value" in report.error
    assert withheld(database) == {}


def test_a_database_that_cannot_be_written_to_ends_the_round_and_blames_no_order(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise DatabaseUnavailableError("", None, OSError("full"))

    pending(database, 3)
    monkeypatch.setattr(result_store, "store_results", full)
    with pytest.raises(DatabaseUnavailableError):
        OrderSync(database, ByHand(), 300, MAIN_ACCOUNT).sync()
    assert withheld(database) == {}


class Wire(ByHand):
    """A provider that answers with the bytes of a list, in which some texts are not XML."""

    def __init__(self, texts: dict[str, str]) -> None:
        super().__init__()
        self.texts = texts

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[IMEIOrder]:
        self.asked.append(list(order_ids))
        record = "<imeis><id>{}</id><status>Completed</status><code>{}</code></imeis>"
        records = [record.format(order_id, self.texts.get(order_id, "Model: iPhone 12")) for order_id in order_ids]
        return parse_asked_orders(f"<result>{''.join(records)}</result>".encode(), order_ids)


def test_odd_texts_block_no_other_order(database: IMEIDatabase) -> None:
    """Those that can be read as plain text come in one call; those that may forge orders are found and shown."""
    *ids, zero = pending(database, 251)  # an id of zeros is none
    with database.write() as connection:
        connection.execute(orders.update().where(orders.c.order_id == zero).values(status="Rejected"))
    forged = f"x</code></imeis><imeis><id>{ids[9]}</id><status>Completed</status><code>FMI: OFF <b>"
    texts = {
        ids[3]: "FMI: <font color=#00ee00>ON</FONT>",
        ids[40]: "Blacklist: <span>Clean</SPAN>",
        ids[99]: "<b>x",
        ids[101]: "5 < 6",
        ids[120]: forged,
        ids[200]: "<b></imeis>",
    }
    provider = Wire(texts)
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert report.error == ""
    assert set(withheld(database)) == {ids[120], ids[200]}
    rows = {row["order_id"]: row for row in all_orders(database)}
    assert (rows[ids[3]]["fmi"], rows[ids[40]]["blacklist"], rows[ids[9]]["model"]) == ("ON", "Clean", "iPhone 12")
    assert rows[ids[9]]["fmi"] is None
    assert report.pending == 2
    assert report.calls < 40


def test_an_order_is_due_half_its_age_after_it_was_last_asked_for(database: IMEIDatabase) -> None:
    clock = Hours()
    pending(database, 1, clock.now - timedelta(seconds=1000))
    sync, asked = OrderSync(database, ByHand(status="Pending"), 300, MAIN_ACCOUNT, clock), []
    for second in range(0, 1600, 10):
        asked += [second] if sync.sync(only_due=True).asked else []
        clock.pass_by(10)
    assert asked == [0, 1000]


def test_an_order_is_due_when_its_wait_is_over_and_not_a_second_before(database: IMEIDatabase) -> None:
    clock = Hours()
    pending(database, 1, clock.now)
    sync = OrderSync(database, ByHand(), 300, MAIN_ACCOUNT, clock)
    clock.pass_by(299)
    assert sync.sync(only_due=True).asked == 0
    clock.pass_by(1)
    assert sync.sync(only_due=True).asked == 1


def test_an_order_of_an_instant_service_is_due_before_one_of_a_slow_service(database: IMEIDatabase) -> None:
    clock = Hours()
    pending(database, 1, clock.now)
    slow = {"order_id": "slow", "imei": imeis(2)[1], "status": "Pending", "service_id": "9", "order_date": clock.now}
    database.insert_order(slow)
    with database.write() as connection:
        service = {"service_id": SERVICE, "position": 1, "title": "Quick", "price": 1.0, "refreshed_at": 0.0}
        connection.execute(insert(services), {**service, "delivery": "Instant"})
    clock.pass_by(15)
    provider = ByHand()
    assert OrderSync(database, provider, 300, MAIN_ACCOUNT, clock).sync(only_due=True).pending == 1
    assert provider.asked == [["00000"]]


# Fresh orders of quick services


def quick_orders(database: IMEIDatabase, count: int, placed_at: datetime) -> list[str]:
    """Pending orders of an instant service; returns their ids, newest first."""
    service = {"service_id": SERVICE, "position": 1, "title": "Quick", "price": 1.0, "refreshed_at": 0.0}
    with database.write() as connection:
        connection.execute(insert(services), {**service, "delivery": "Instant-5 Minutes"})
    return pending(database, count, placed_at)


def test_fresh_orders_are_asked_for_at_five_ages_in_whole_lists(database: IMEIDatabase) -> None:
    clock, provider = Hours(), ByHand(status="Pending")
    ids = quick_orders(database, 250, clock.now)
    slow = {"order_id": "slow", "imei": imeis(251)[250], "status": "Pending", "order_date": clock.now}
    database.insert_order({**slow, "service_id": "9"})
    sync, asked = OrderSync(database, provider, 300, MAIN_ACCOUNT, clock), dict[int, list[int]]()
    for second in range(70):
        provider.asked.clear()
        report = sync.sync_fresh(threading.Event())
        if report.asked:
            asked[second] = provider.lists
            assert [order_id for part in provider.asked for order_id in part] == ids
            assert last_sync(database) == report
        clock.pass_by(1)
    assert asked == {age: [100, 100, 50] for age in (5, 10, 20, 40, 60)}


def test_the_newest_fresh_orders_are_asked_for_first_and_the_others_in_the_next_look(database: IMEIDatabase) -> None:
    clock, provider = Hours(), ByHand(status="Pending")
    ids = quick_orders(database, MOST_FRESH + 150, clock.now)
    sync = OrderSync(database, provider, 300, MAIN_ACCOUNT, clock)
    clock.pass_by(5)
    for first, last in ((0, MOST_FRESH), (MOST_FRESH, MOST_FRESH + 150), (0, 0)):
        provider.asked.clear()
        sync.sync_fresh(threading.Event())
        assert [order_id for part in provider.asked for order_id in part] == ids[first:last]


def test_a_fresh_order_that_is_left_out_is_asked_for_with_the_others_and_never_alone(database: IMEIDatabase) -> None:
    """A provider lists an order some seconds after it was placed."""
    clock, provider = Hours(), ByHand(lambda ids: [])
    quick_orders(database, 120, clock.now)
    sync = OrderSync(database, provider, 300, MAIN_ACCOUNT, clock)
    clock.pass_by(5)
    sync.sync_fresh(threading.Event())
    assert (provider.lists, withheld(database)) == ([100, 20], {})
    provider.answer = lambda ids: list(ids)
    clock.pass_by(5)
    assert sync.sync_fresh(threading.Event()).pending == 0


def test_a_list_of_fresh_orders_that_fails_is_left_to_a_round_at_once(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round finds the order that spoils the list; fresh lists go on without it."""
    clock, turns = Hours(), Turns(40)
    ids = quick_orders(database, 4, clock.now)
    provider = Spoiled(ids[:1], status="Pending")
    sync = OrderSync(database, provider, 300, MAIN_ACCOUNT, lambda: clock.now + timedelta(seconds=turns.seconds))
    monkeypatch.setattr(order_sync, "time", SimpleNamespace(monotonic=lambda: turns.seconds, time=time.time))
    sync.duty().repeat(turns)
    assert set(withheld(database)) == {ids[0]}
    assert provider.asked[:2] == [ids, ids]
    assert provider.asked[-1] == ids[1:]


def test_a_long_round_does_not_keep_fresh_orders_waiting(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each list of the round takes two seconds; the fresh order, placed at its beginning, is asked for after five."""
    clock = Hours()
    old = pending(database, 1000, clock.now - timedelta(days=1))
    moment = {"passed": 0.0}

    def slowly(ids: Sequence[str]) -> list[str]:
        moment["passed"] += 2
        clock.pass_by(2)
        return list(ids)

    provider = ByHand(slowly, status="Pending")
    sync = OrderSync(database, provider, 300, MAIN_ACCOUNT, clock)
    monkeypatch.setattr(order_sync, "time", SimpleNamespace(monotonic=lambda: moment["passed"], time=time.time))
    service = {"service_id": "5", "position": 1, "title": "Quick", "price": 1.0, "refreshed_at": 0.0}
    with database.write() as connection:
        connection.execute(insert(services), {**service, "delivery": "Instant"})
    fresh = {"order_id": "fresh", "imei": imeis(1001)[1000], "status": "Pending", "service_id": "5"}
    database.insert_order({**fresh, "order_date": clock.now})
    report = sync.sync(only_due=True)
    assert provider.lists == [*[100] * 3, 1, 100, 1, *[100] * 4, 1, 100, 100]
    assert [order_id for part in provider.asked if len(part) == 100 for order_id in part] == old
    assert (report.asked, report.calls) == (1000, 10)


@pytest.mark.parametrize("ahead", [None, timedelta(hours=5), timedelta(days=9999)])
def test_an_order_of_an_unknown_date_is_due_at_once_and_then_after_three_hours(
    database: IMEIDatabase, ahead: timedelta | None
) -> None:
    """Dates of a file, or of the provider's list, may be of a time zone that is ahead of UTC."""
    pending(database, 1)
    date = None if ahead is None else utc_now() + ahead
    with database.write() as connection:
        connection.execute(orders.update().values(order_date=date, created_at=None))
    clock = Hours()
    sync = OrderSync(database, ByHand(status="Pending"), 300, MAIN_ACCOUNT, clock)
    assert sync.sync(only_due=True).asked == 1
    clock.pass_by(RAREST / 2 - 1)
    assert sync.sync(only_due=True).asked == 0
    clock.pass_by(1)
    assert sync.sync(only_due=True).asked == 1


def test_a_round_in_which_nothing_is_due_says_nothing_about_the_last_one(database: IMEIDatabase) -> None:
    pending(database, 3)
    sync = OrderSync(database, ByHand(), 300, MAIN_ACCOUNT)
    assert sync.sync(only_due=True) == SyncReport(0, 0, 3)
    assert last_sync(database) is None
    report = sync.sync()
    assert last_sync(database) == report


def test_a_request_with_nothing_pending_is_reported(database: IMEIDatabase) -> None:
    before = time.time()
    sync = OrderSync(database, ByHand(), 300, MAIN_ACCOUNT)
    report = sync.sync()
    assert (report.asked, report.calls, report.pending) == (0, 0, 0)
    assert before <= report.at <= time.time()
    assert last_sync(database) == report


def test_the_state_of_the_sync_is_pending_orders_an_open_request_and_the_last_round(database: IMEIDatabase) -> None:
    pending(database, 3)
    assert state_of_sync(database) == SyncState(3, False, None)
    request_sync(database)
    assert state_of_sync(database) == SyncState(3, True, None)
    report = OrderSync(database, ByHand(), 300, MAIN_ACCOUNT).sync()
    assert state_of_sync(database) == SyncState(0, True, report)  # only the thread's turn ends a request


def test_a_stop_ends_the_round_before_the_next_order_that_is_asked_for_alone(database: IMEIDatabase) -> None:
    clock, stop = Hours(), threading.Event()
    ids = pending(database, 5, clock.now)
    OrderSync(database, Spoiled(ids[:3]), 300, MAIN_ACCOUNT, clock).sync()
    clock.pass_by(FIRST_PAUSE)

    def stopping(asked: Sequence[str]) -> Sequence[str]:
        stop.set()
        return asked

    provider = ByHand(stopping)
    OrderSync(database, provider, 300, MAIN_ACCOUNT, clock).sync(stop=stop)
    assert provider.lists == [1]


def test_an_error_that_no_order_causes_ends_the_round_while_orders_are_probed(database: IMEIDatabase) -> None:
    """An order is blamed for what was asked about it alone, and not for a provider that is away."""
    pending(database, 100)
    provider = ByHand(failures=dict.fromkeys(range(1, 8), UNREADABLE) | {8: NotSentError("The provider is away.")})
    report = OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    assert (report.error, report.calls, len(provider.lists)) == ("The provider is away.", 8, 8)
    assert provider.lists[7] == 1


def test_calls_are_counted_for_each_round(database: IMEIDatabase) -> None:
    pending(database, 150)
    sync = OrderSync(database, ByHand(status="Pending"), 300, MAIN_ACCOUNT)
    assert [sync.sync().calls, sync.sync().calls] == [2, 2]


class Turns(threading.Event):
    """A stop that is set after some looks, on a clock that only passes while it is waited for."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks, self.seconds = looks, 0.0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout == LOOK
        self.seconds += timeout
        self.looks -= 1
        return self.looks < 0


class Noted(OrderSync):
    """Notes its rounds as (second, only what is due) and does what it is told to do in one, instead of asking."""

    def __init__(self, database: IMEIDatabase, interval: float, turns: Turns, during: Callable[[], None]) -> None:
        super().__init__(database, ByHand(), interval, MAIN_ACCOUNT)
        self.turns, self.during = turns, during
        self.rounds: list[tuple[float, bool]] = []

    def sync(self, only_due: bool = False, stop: threading.Event | None = None) -> SyncReport:
        assert stop is self.turns
        self.rounds.append((self.turns.seconds, only_due))
        self.during()
        return SyncReport(0, 0, 0)


def rounds_of(
    database: IMEIDatabase,
    monkeypatch: pytest.MonkeyPatch,
    interval: float,
    looks: int,
    during: Callable[[], None] = lambda: None,
) -> list[tuple[float, bool]]:
    """The rounds of a thread in so many looks."""
    turns = Turns(looks)
    sync = Noted(database, interval, turns, during)
    monkeypatch.setattr(order_sync, "time", SimpleNamespace(monotonic=lambda: turns.seconds, time=time.time))
    sync.duty().repeat(turns)
    return sync.rounds


@pytest.mark.parametrize(
    ("interval", "seconds"), [(300, [15.0, 30.0, 45.0]), (20, [15.0, 30.0, 45.0]), (10, [10.0, 20.0, 30.0, 40.0, 50.0])]
)
def test_what_is_due_is_looked_for_every_fifteen_seconds_or_each_interval(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, interval: float, seconds: list[float]
) -> None:
    assert rounds_of(database, monkeypatch, interval, 50) == [(second, True) for second in seconds]


def test_without_an_interval_and_a_request_nothing_is_asked(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rounds_of(database, monkeypatch, 0, 50) == []


def test_a_request_is_met_once_and_for_everything(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_requested(database)
    request_sync(database)
    assert is_requested(database)
    assert rounds_of(database, monkeypatch, 0, 50) == [(1.0, False)]
    assert not is_requested(database)
    request_sync(database)
    assert is_requested(database)


def test_a_request_during_a_round_is_met_by_another_round(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_sync(database)
    others = iter([database])

    def request_once_more() -> None:
        for found in others:
            request_sync(found)

    assert rounds_of(database, monkeypatch, 0, 50, request_once_more) == [(1.0, False), (2.0, False)]


def test_a_round_that_failed_is_logged_and_tried_again_a_request_at_once_and_what_is_due_after_an_interval(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = iter([OSError("disk")] * 3)

    def fail() -> None:
        for failure in failures:
            raise failure

    assert rounds_of(database, monkeypatch, 20, 60, fail) == [(15.0, True), (35.0, True), (55.0, True)]
    failures = iter([OSError("disk")] * 2)
    request_sync(database)
    assert rounds_of(database, monkeypatch, 0, 60, fail) == [(1.0, False), (2.0, False), (3.0, False)]
    assert [record.message for record in caplog.records if record.exc_info] == ["A sync round failed"] * 5


def test_a_round_says_what_it_did_and_how_long_it_took(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pending(database, 3)
    seconds = chain([100.0], repeat(104.0))
    monkeypatch.setattr(order_sync, "time", SimpleNamespace(monotonic=lambda: next(seconds), time=time.time))
    with caplog.at_level(logging.INFO):
        OrderSync(database, ByHand(), 300, MAIN_ACCOUNT).sync()
    assert "Synced 3 of 3 pending orders in 1 call, 4.0 s" in caplog.messages


def test_a_withheld_result_counts_as_one_that_does_not_come_any_more(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    """A batch is complete without it, and an open page is informed."""
    placed = place(simulator, database, 10)
    simulator.complete()
    with client_of(simulator) as client:
        OrderSync(database, Partial(client, lost=placed[:1]), 300, MAIN_ACCOUNT).sync()
    before = batch_queries.progress(database, 1)
    assert before is not None
    assert (before.results, before.pending, before.stage) == (10, 0, BatchStage.COMPLETE)
    assert (before.verdicts.total, before.verdicts.pending) == (10, 1)
    with client_of(simulator) as client:
        OrderSync(database, client, 300, MAIN_ACCOUNT).sync()
    after = batch_queries.progress(database, 1)
    assert after is not None
    assert (after.results, after.pending, after.verdicts.pending) == (10, 0, 0)
    assert after.revision > before.revision
