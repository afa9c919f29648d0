"""Results of pending orders: each answer is written whole, and orders without a result are remembered as withheld."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from order_tables import plan
from pending_orders import ByHand, Hours, Spoiled, client_of, pending, place
from simulated_provider import Knobs, Simulator, imeis
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from stored_orders import all_orders

from database import IMEIDatabase
from orders import IMEIOrder
from results.order_values import result_values
from results.sync import RAREST, OrderSync
from schema import orders, status_changes
from settings import MAIN_ACCOUNT
from storage import result_store
from storage.result_store import store_results, store_results_or_each, withheld, withheld_orders

#: Orders that threads of this process place: those of a database on a server are placed by jobs.
ON_A_FILE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(turnaround=3600)) as running:
        yield running


def test_a_result_of_long_sentences_is_stored_as_any_other(database: IMEIDatabase) -> None:
    """An index of PostgreSQL takes 2,700 bytes: one such text kept the results of all orders of its list away."""
    chance = random.Random(7)
    words = "".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(4000))
    labels = "Model", "Carrier", "SIM Lock", "Find My iPhone", "Blacklist Status", "Serial Number"
    text = "<br>".join(f"{label}: {words}" for label in labels)
    rows = [{"order_id": str(n), "imei": imeis(3)[n], "status": "Pending"} for n in range(3)]
    with database.write() as connection:
        connection.execute(orders.insert(), rows)
    found = [
        IMEIOrder("0", imeis(3)[0], "Completed", "Model: iPhone 15"),
        IMEIOrder("1", imeis(3)[1], "Completed", text),
        IMEIOrder("2", imeis(3)[2], "Rejected", text),
    ]
    assert store_results(database, found, result_values) == 3
    stored = sorted(all_orders(database), key=lambda row: row["id"])
    assert [row["status"] for row in stored] == ["Completed", "Completed", "Rejected"]
    assert all(row["carrier"] and words.startswith(row["carrier"]) for row in stored[1:])


def test_orders_are_stored_one_by_one_where_one_holds_what_no_column_takes(database: IMEIDatabase) -> None:
    rows = [{"order_id": str(n), "imei": imeis(3)[n], "status": "Pending"} for n in range(3)]
    with database.write() as connection:
        connection.execute(orders.insert(), rows)
    found = [IMEIOrder(str(n), imeis(3)[n], "Completed", "Model: iPhone 15") for n in range(3)]

    def change(order: IMEIOrder, row: Any) -> dict[str, Any]:
        values = result_values(order, row)
        return values | {"imei": None} if order.id == "1" else values

    with pytest.raises(DBAPIError):
        store_results(database, found, change)
    stored, failed = store_results_or_each(database, found, change)
    assert (stored, list(failed)) == (2, ["1"])
    assert failed["1"] and "SQL:" not in failed["1"]
    statuses = {row["order_id"]: row["status"] for row in all_orders(database)}
    assert statuses == {"0": "Completed", "1": "Pending", "2": "Completed"}


@ON_A_FILE
def test_an_answer_is_written_whole_or_not_at_all(simulator: Simulator, database: IMEIDatabase) -> None:
    """A failure at the last order of an answer takes back what was written of the others, history included."""
    placed = place(simulator, database, 5)
    simulator.complete()

    def change(order: IMEIOrder, row: Any) -> dict[str, Any]:
        if order.id == placed[-1]:
            raise ValueError("cannot be read")
        return result_values(order, row)

    with client_of(simulator) as client:
        found = client.get_imei_orders(placed)
    with pytest.raises(ValueError, match="cannot be read"):
        store_results(database, found, change)
    assert {row["status"] for row in all_orders(database)} == {"Pending"}
    with database.read() as connection:
        assert connection.execute(select(status_changes)).all() == []


def test_results_are_read_without_the_lock_and_again_where_the_order_changed(
    database: IMEIDatabase, rival: IMEIDatabase
) -> None:
    """While the answer is read, another process settles one of its orders: that one is decided by its new state."""
    first, second = sorted(pending(database, 2))
    seen: list[tuple[str, str]] = []

    def change(order: IMEIOrder, row: Any) -> dict[str, Any]:
        if not seen:
            with rival.write(is_hurried=True) as connection:
                connection.execute(orders.update().where(orders.c.order_id == first).values(status="Rejected"))
        seen.append((order.id, row.status))
        return {} if row.status == "Rejected" else {"status": order.status}

    listed = [IMEIOrder(order_id, "", "Completed") for order_id in (first, second)]
    assert store_results(database, listed, change) == 1
    assert sorted(seen) == [(first, "Pending"), (first, "Rejected"), (second, "Pending")]
    assert {row["order_id"]: row["status"] for row in all_orders(database)} == {first: "Rejected", second: "Completed"}


def test_an_order_that_is_answered_again_is_withheld_no_more(database: IMEIDatabase) -> None:
    ids = pending(database, 5)
    provider = Spoiled([ids[2]])
    OrderSync(database, provider, 300, MAIN_ACCOUNT).sync()
    with database.read() as connection:
        assert [row.result.order_id for row in withheld_orders(connection, 9)] == [ids[2]]
    provider.spoilers.clear()
    assert OrderSync(database, provider, 300, MAIN_ACCOUNT).sync().pending == 0
    assert withheld(database) == {}


def test_an_order_that_is_settled_otherwise_is_withheld_no_more(database: IMEIDatabase) -> None:
    ids = pending(database, 3)
    sync = OrderSync(database, Spoiled([ids[2]]), 300, MAIN_ACCOUNT)
    sync.sync()
    with database.write() as connection:
        connection.execute(orders.update().values(status="Rejected"))
    with database.read() as connection:
        assert withheld_orders(connection, 9) == []
    sync.sync()
    assert withheld(database) == {}


def test_an_order_that_the_provider_does_not_know_is_seldom_due_until_it_is_listed(database: IMEIDatabase) -> None:
    clock = Hours()
    known, unknown = pending(database, 2, clock.now)
    provider = ByHand(lambda ids: [], status="Pending")
    sync = OrderSync(database, provider, 300, MAIN_ACCOUNT, clock)
    sync.sync()
    assert provider.lists == [2, 2, 1, 1]
    clock.pass_by(300)
    assert sync.sync(only_due=True).asked == 0

    provider.answer = lambda ids: [order_id for order_id in ids if order_id == known]
    sync.sync()
    provider.asked.clear()
    clock.pass_by(300)
    assert sync.sync(only_due=True).asked == 1
    assert provider.asked == [[known]]
    provider.asked.clear()
    clock.pass_by(RAREST)
    assert sync.sync(only_due=True).asked == 2
    assert provider.asked[0] == [known, unknown]


def test_what_was_settled_meanwhile_is_not_remembered(database: IMEIDatabase) -> None:
    pending(database, 3)
    sync = OrderSync(database, ByHand(lambda ids: []), 300, MAIN_ACCOUNT)
    sync.sync()
    assert (len(sync._asked), len(withheld(database))) == (3, 3)
    with database.write() as connection:
        connection.execute(orders.update().where(orders.c.order_id != "00001").values(status="Rejected"))
    sync.sync()
    assert (set(sync._asked), set(withheld(database))) == ({"00001"}, {"00001"})


def test_what_waits_for_a_result_is_found_without_reading_what_has_one(file_database: IMEIDatabase) -> None:
    """By the plan of SQLite."""
    assert "idx_orders_pending" in plan(file_database, select(orders.c.order_id).where(*result_store.waits()))


def test_an_order_without_an_id_waits_for_nothing(database: IMEIDatabase) -> None:
    assert result_store.count_pending(database) == 0
    nameless = [
        {"imei": imei, "order_id": order_id, "status": "Pending"} for imei, order_id in (("1", None), ("2", ""))
    ]
    with database.write() as connection:
        connection.execute(orders.insert(), [*nameless, {"imei": "3", "order_id": "7", "status": "Pending"}])
    assert result_store.count_pending(database) == 1  # nobody can ask the provider for an order without an id
