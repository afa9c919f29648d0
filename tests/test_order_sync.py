"""Results: asked for in few calls, when they are due, and written once, whole, and never back to less."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from provider_fixture import SERVICE, Knobs, Simulator, imeis, system
from sqlalchemy import insert, select

import batch_queries
import order_sync
from database import IMEIDatabase, utc_now
from gsm_fusion_client import GSMFusionClient
from order_sync import RAREST, OrderSync, request_sync, result_values, wait_between
from orders import PlacementAnswer, ProviderOrder
from result_store import store_results
from schema import orders, status_changes


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(turnaround=3600)) as running:
        yield running


@contextmanager
def client_of(simulator: Simulator) -> Iterator[GSMFusionClient]:
    with GSMFusionClient("DEMO-KEY", "demo", simulator.base_url, timeout=5, sleep=lambda _: None) as client:
        yield client


def place(simulator: Simulator, database: IMEIDatabase, count: int) -> list[str]:
    """That many pending orders; returns their ids, oldest first."""
    with system(simulator, database) as running:
        running.submit_batch(imeis(count), SERVICE)
    return sorted(row["order_id"] for row in database.iterate_orders())


def asks(simulator: Simulator) -> int:
    return sum(call.action == "getimeis" for call in simulator.calls())


class Partial:
    """The real client, of whose answers only some orders arrive."""

    def __init__(self, client: GSMFusionClient, lost: Sequence[str] = (), only_last: bool = False) -> None:
        self.client, self.lost, self.only_last = client, set(lost), only_last
        self.lists: list[int] = []

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[ProviderOrder]:
        self.lists.append(len(order_ids))
        found = self.client.get_imei_orders(order_ids)
        kept = [order for order in found if order.order_id not in self.lost]
        return kept[-1:] if self.only_last else kept


def test_pending_orders_take_one_call_a_hundred(simulator: Simulator, database: IMEIDatabase) -> None:
    """Twenty thousand pending orders are asked for in at most 1.1 times the 200 calls that they need."""
    numbers = imeis(20_000)
    with client_of(simulator) as client:
        rows = [
            {"order_id": order.order_id, "imei": order.imei, "status": "Pending", "service_id": SERVICE}
            for at in range(0, len(numbers), 100)
            for order in client.place_imei_order(numbers[at : at + 100], SERVICE).orders
        ]
        with database.write() as connection:
            connection.execute(insert(orders), rows)
        report = OrderSync(database, client, 300).sync()
    assert (report.asked, report.pending, report.error) == (20_000, 20_000, "")
    assert report.calls == asks(simulator) <= 220


def test_results_arrive_with_the_time_of_each_change(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 250)
    simulator.complete()
    with client_of(simulator) as client:
        before = asks(simulator)
        report = OrderSync(database, client, 300).sync()
    assert asks(simulator) - before == report.calls == 3
    assert (report.asked, report.updated, report.pending) == (250, 250, 0)
    with database.read() as connection:
        moves = connection.execute(select(status_changes)).all()
    assert len(moves) == 250
    assert {move.old for move in moves} == {"Pending"}
    order = database.get_recent_orders(1)[0]
    assert f"Pending → {order['status']}" in [words for _, words in batch_queries.order_timeline(database, order)]


def test_an_open_page_learns_of_results(simulator: Simulator, database: IMEIDatabase) -> None:
    """Each answer makes the batch's revision grow, which streams watch."""
    place(simulator, database, 10)
    before = batch_queries.revision(database, 1)
    simulator.complete()
    with client_of(simulator) as client:
        OrderSync(database, client, 300).sync()
    after = batch_queries.revision(database, 1)
    assert before is not None
    assert after is not None
    assert after > before


def test_an_answer_is_written_whole_or_not_at_all(simulator: Simulator, database: IMEIDatabase) -> None:
    """A failure at the last order of an answer takes back what was written of the others, history included."""
    placed = place(simulator, database, 5)
    simulator.complete()

    def change(order: ProviderOrder, row: Any) -> dict[str, Any]:
        if order.order_id == placed[-1]:
            raise ValueError("cannot be read")
        return result_values(order, row)

    with client_of(simulator) as client:
        found = client.get_imei_orders(placed)
    with pytest.raises(ValueError, match="cannot be read"):
        store_results(database, found, change)
    assert {row["status"] for row in database.iterate_orders()} == {"Pending"}
    with database.read() as connection:
        assert connection.execute(select(status_changes)).all() == []


def test_a_second_round_changes_nothing_and_asks_nothing(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 10)
    simulator.complete()
    with client_of(simulator) as client:
        sync = OrderSync(database, client, 300)
        sync.sync()
        before = database.get_recent_orders()
        assert sync.sync().calls == 0
    assert database.get_recent_orders() == before


def test_a_left_out_id_is_asked_for_again_in_smaller_lists(simulator: Simulator, database: IMEIDatabase) -> None:
    placed = place(simulator, database, 120)
    simulator.complete()
    with client_of(simulator) as client:
        provider = Partial(client, lost=placed[5:7])
        report = OrderSync(database, provider, 300).sync()
    assert provider.lists == [100, 20, 2, 1, 1]
    assert report.pending == 2
    assert {row["order_id"] for row in database.iterate_orders(status="Pending")} == set(placed[5:7])


def test_a_provider_that_answers_only_the_last_of_a_list_is_asked_one_by_one(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    place(simulator, database, 230)
    simulator.complete()
    with client_of(simulator) as client:
        provider = Partial(client, only_last=True)
        report = OrderSync(database, provider, 300).sync()
    assert provider.lists[:4] == [100, 100, 10, 10]
    assert set(provider.lists[4:]) == {1}
    assert report.calls <= 230 + 4
    assert report.pending == 0


def test_an_order_that_the_provider_does_not_know_stays_as_it_is(simulator: Simulator, database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "77", "imei": imeis(1)[0], "status": "Pending", "order_date": utc_now()})
    with client_of(simulator) as client:
        report = OrderSync(database, client, 300).sync()
    assert (report.updated, report.pending, report.error) == (0, 1, "")


def test_a_failing_provider_ends_the_round_and_keeps_what_came(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 250)
    simulator.complete()
    done = asks(simulator)
    simulator.set(fault="maintenance", fault_actions=("getimeis",), fault_calls=(done + 2,))
    with client_of(simulator) as client:
        report = OrderSync(database, client, 300).sync()
        assert "maintenance" in report.error
        assert (report.updated, report.pending) == (100, 150)
        assert order_sync.last_sync(database) == report


def test_each_round_asks_only_for_what_is_due(simulator: Simulator, database: IMEIDatabase) -> None:
    place(simulator, database, 10)
    now = utc_now()
    with client_of(simulator) as client:
        early = OrderSync(database, client, 300, clock=lambda: now)
        assert early.sync(only_due=True).asked == 0
        late = OrderSync(database, client, 300, clock=lambda: now + timedelta(seconds=400))
        assert late.sync(only_due=True).asked == 10
        assert late.sync(only_due=True).asked == 0


@pytest.mark.parametrize(
    ("age", "delivery", "wait"),
    [
        (0, "Instant-5 Minutes", 15),
        (60, "Instant", 30),
        (600, "1-5 minutes", 300),
        (0, "1-24 Hours", 300),
        (3600, "1-24 Hours", 1800),
        (90 * 86_400, "Instant", RAREST),
    ],
)
def test_fresh_orders_are_asked_for_soon_and_old_ones_seldom(age: float, delivery: str, wait: float) -> None:
    assert wait_between(age, delivery, 300) == wait


def test_an_order_of_an_instant_service_costs_few_calls_a_day() -> None:
    """Asked after half its age each time, a day of waiting costs some twenty questions."""
    age, asked = 0.0, 0
    while age < 86_400:
        age += wait_between(age, "Instant", 300)
        asked += 1
    assert asked <= 25


@pytest.mark.parametrize(
    ("stored", "listed"),
    [
        (("Completed", "Model: A"), ("Pending", "")),
        (("Completed", "Model: A"), ("In Process", "Model: A")),
        (("Completed", "Model: A"), ("Rejected", "")),
        (("Rejected", "Not found"), ("Completed", "")),
        (("Pending", ""), ("Pending", "")),
    ],
)
def test_a_final_result_is_never_overwritten_with_less(stored: tuple[str, str], listed: tuple[str, str]) -> None:
    row = SimpleNamespace(status=stored[0], result_code=stored[1], imei=imeis(1)[0], order_date=utc_now())
    assert result_values(ProviderOrder("1", row.imei, listed[0], listed[1]), row) == {}


def test_completed_without_a_text_is_asked_for_again_until_the_order_is_old() -> None:
    bare = ProviderOrder("1", imeis(1)[0], "Completed")
    placed_at = utc_now() - timedelta(hours=23)
    row = SimpleNamespace(status="Pending", result_code=None, imei=bare.imei, order_date=placed_at)
    assert result_values(bare, row) == {"status": "In Process"}
    row.status = "In Process"
    assert result_values(bare, row) == {}
    row.order_date -= timedelta(hours=2)
    assert result_values(bare, row) == {"status": "Completed"}
    assert result_values(ProviderOrder("1", bare.imei, "Rejected"), row) == {"status": "Rejected"}


class Prompt(GSMFusionClient):
    """Hears of an order that is completed the moment it is placed."""

    def place_imei_order(self, *args: Any, **kwargs: Any) -> PlacementAnswer:
        answer = super().place_imei_order(*args, **kwargs)
        return replace(answer, orders=tuple(order._replace(status="Completed") for order in answer.orders))


@pytest.mark.parametrize("status", ["Completed", "Rejected"])
def test_a_final_order_without_a_raw_text_stays_final(status: str) -> None:
    """From a file, say, that has its columns but not the provider's text."""
    row = SimpleNamespace(status=status, result_code=None, imei=imeis(1)[0], order_date=utc_now())
    assert result_values(ProviderOrder("1", row.imei, status), row) == {}
    assert result_values(ProviderOrder("1", row.imei, "Completed"), row).get("status", "Completed") == "Completed"


def test_an_order_that_is_completed_when_it_is_placed_gets_its_text(database: IMEIDatabase) -> None:
    with Simulator(Knobs(turnaround=0)) as simulator:
        with system(simulator, database, client_class=Prompt) as running:
            assert running.submit_batch(imeis(150), SERVICE).successful == 150
        assert {row["status"] for row in database.iterate_orders()} == {"In Process"}
        with client_of(simulator) as client:
            OrderSync(database, client, 300).sync()
    assert all(row["result_code"] for row in database.iterate_orders())


def test_an_order_that_is_completed_when_it_is_adopted_gets_its_text(database: IMEIDatabase) -> None:
    """It has waited for its settling, and the provider was quicker."""
    with Simulator(Knobs(turnaround=0, history=1)) as simulator:
        simulator.set(fault="reset", fault_when="after", fault_calls=(2,))
        with system(simulator, database, chunk_size=10) as running:
            running.submit_batch(imeis(30), SERVICE)
        placed = list(database.iterate_orders())
        assert Counter(row["status"] for row in placed) == {"Pending": 20, "In Process": 10}
        with client_of(simulator) as client:
            OrderSync(database, client, 300).sync()
    orders_now = list(database.iterate_orders())
    assert len(orders_now) == len(simulator.charges()) == 30
    assert {row["status"] for row in orders_now} <= {"Completed", "Rejected"}
    assert all(row["result_code"] for row in orders_now)


def test_a_result_about_another_imei_is_flagged(database: IMEIDatabase) -> None:
    ordered, other = imeis(2)
    row = SimpleNamespace(status="Pending", result_code=None, imei=ordered, order_date=utc_now())
    answer = ProviderOrder("1", ordered, "Completed", f"IMEI: {other}<br>Model: iPhone 12")
    assert result_values(answer, row)["other_imei"] == other
    assert result_values(ProviderOrder("1", ordered, "Completed", f"IMEI: {ordered}"), row)["other_imei"] is None


def test_a_wish_is_granted_by_the_thread_even_where_the_interval_is_off(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    place(simulator, database, 5)
    simulator.complete()
    stop = threading.Event()
    with client_of(simulator) as client:
        thread = threading.Thread(target=OrderSync(database, client, 0).run, args=(stop,))
        thread.start()
        request_sync(database)
        until = time.monotonic() + 10
        while order_sync.is_requested(database) and time.monotonic() < until:
            time.sleep(0.05)
        stop.set()
        thread.join()
    assert not order_sync.is_requested(database)
    assert database.search_orders(status="Pending") == []


def test_reparse_applies_the_parser_to_stored_texts(database: IMEIDatabase) -> None:
    text = "Model: iPhone 12<br>Carrier: T-Mobile USA<br>SIM Lock: Locked"
    for n, imei in enumerate(imeis(3)):
        database.insert_order({"order_id": str(n), "imei": imei, "status": "Completed", "result_code": text})
    database.insert_order({"order_id": "9", "imei": imeis(1)[0], "status": "Completed", "carrier": "kept"})
    assert order_sync.reparse(database) == (3, 3)
    assert order_sync.reparse(database) == (3, 0)
    assert {row["model"] for row in database.iterate_orders() if row["result_code"]} == {"iPhone 12"}
    kept = database.get_order("9")
    assert kept
    assert kept["carrier"] == "kept"
