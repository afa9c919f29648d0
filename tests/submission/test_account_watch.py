"""Balances are evidence only when no call was sent while they were read; prices pause a batch. On a manual clock."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest
from handmade_calls import one, planned
from simulated_provider import SERVICE, imeis

from database import IMEIDatabase, Transaction
from gsm_fusion_client import GSMFusionAPIError
from orders import Account, ServiceInfo
from settings import MAIN_ACCOUNT
from storage import balance_store
from storage.balance_store import Holding
from storage.lease import LeaseLostError
from submission.account_watch import AccountWatch

START = 1000.0


class Clock:
    """Seconds that pass when the test says so."""

    now = START

    def __call__(self) -> float:
        return self.now


class Threads(Executor):
    """Questions that wait until the test lets them through, one at a time."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        self.waiting.append((fn, args))
        return Future()

    def answer(self) -> None:
        """Let everything through that was asked for."""
        while self.waiting:
            question, args = self.waiting.pop(0)
            question(*args)


class Account150:
    """A provider that tells a balance and prices, or fails."""

    def __init__(self) -> None:
        self.credits: float | Exception | None = 150.0
        self.text = "$ 150.00 USD"
        self.price: float | Exception = 0.1
        self.asked: list[str] = []

    def get_account(self) -> Account:
        self.asked.append("balance")
        if isinstance(self.credits, Exception):
            raise self.credits
        return Account(self.credits, self.text)

    def get_imei_services(self) -> list[ServiceInfo]:
        self.asked.append("prices")
        if isinstance(self.price, Exception):
            raise self.price
        return [ServiceInfo(SERVICE, "T-Mobile", self.price)] if self.price else []


class Desk:
    """A watch, what it asks, and the moments of the loop."""

    def __init__(self, database: IMEIDatabase) -> None:
        self.database, self.clock, self.client, self.threads = database, Clock(), Account150(), Threads()
        self.watch = AccountWatch(database, self.client, self.clock, lambda: None, MAIN_ACCOUNT, lambda _: None)

    def turn(self, idle: bool = True, later: float = 0.0, answered: bool = True) -> list[float]:
        """One turn of the loop, after so many seconds. Returns the balances that are written by then."""
        self.clock.now += later
        self.watch.turn(self.threads, idle)
        with self.database.write() as connection:
            self.watch.write(connection)
        if answered:
            self.threads.answer()
        with self.database.read() as connection:
            return list(connection.exec_driver_sql("SELECT credits FROM balance_readings ORDER BY id").scalars())

    @property
    def asked(self) -> list[str]:
        """What was asked for since this was last read."""
        found, self.client.asked = self.client.asked, []
        return found


@pytest.fixture
def desk(database: IMEIDatabase) -> Desk:
    return Desk(database)


# The balance


def test_a_balance_is_read_at_the_start_and_written_at_the_next_turn(desk: Desk) -> None:
    assert not desk.watch.is_reading
    assert desk.turn() == []
    assert desk.watch.is_reading and desk.asked == ["balance"]
    assert desk.turn() == [150.0]
    assert not desk.watch.is_reading and desk.asked == []


def test_without_calls_the_balance_is_read_once(desk: Desk) -> None:
    for _ in range(5):
        desk.turn(later=1000.0)
    assert desk.asked == ["balance"]


def test_while_calls_are_on_the_wire_no_balance_is_asked_for(desk: Desk) -> None:
    for _ in range(3):
        assert desk.turn(idle=False) == []
    assert desk.asked == [] and not desk.watch.is_reading


def test_one_balance_is_asked_for_at_a_time(desk: Desk) -> None:
    for _ in range(3):
        desk.turn(answered=False)
    assert len(desk.threads.waiting) == 1


def test_after_calls_the_balance_is_read_again(desk: Desk) -> None:
    desk.turn()
    desk.turn()
    desk.watch.sent()
    desk.turn(idle=False)
    desk.client.credits = 140.0
    desk.turn()
    assert desk.turn() == [150.0, 140.0]


@pytest.mark.parametrize("bursts", [1, 2])
def test_a_balance_during_which_calls_were_sent_is_no_evidence_and_is_asked_for_again(desk: Desk, bursts: int) -> None:
    """The calls may have ended again when it comes."""
    for burst in range(bursts):
        desk.client.credits = 150.0 - burst
        assert desk.turn(later=10.0) == []
        assert desk.asked == ["balance"]
        desk.watch.sent()
    assert desk.turn(idle=False) == []
    assert not desk.watch.is_reading and desk.asked == []
    desk.client.credits = 140.0
    assert desk.turn() == []
    assert desk.asked == ["balance"]
    assert desk.turn() == [140.0]


def test_a_balance_that_comes_while_calls_are_on_the_wire_is_no_evidence(desk: Desk) -> None:
    desk.turn()
    assert desk.turn(idle=False) == []
    assert not desk.watch.is_reading


def test_calls_wait_for_the_balance_before_them_but_not_long(desk: Desk) -> None:
    assert not desk.watch.holds()
    desk.turn(answered=False)
    assert desk.watch.holds()
    desk.clock.now += 4.9
    assert desk.watch.holds()
    desk.clock.now += 0.1
    assert not desk.watch.holds() and desk.watch.is_reading
    desk.clock.now -= 1.0
    desk.threads.answer()
    desk.turn()
    assert not desk.watch.holds()


def test_a_balance_is_read_again_after_five_minutes_if_calls_are_planned(desk: Desk) -> None:
    planned(desk.database, 2)
    desk.turn()
    desk.turn()
    assert desk.asked == ["balance"]
    desk.turn(later=299.9)
    assert "balance" not in desk.asked
    desk.turn(later=0.1)
    assert "balance" in desk.asked
    assert desk.turn() == [150.0, 150.0]


@pytest.mark.parametrize("failure", [None, GSMFusionAPIError("no answer"), RuntimeError("a bug")])
def test_a_balance_that_is_not_told_is_counted_and_asked_for_after_longer_and_longer_pauses(
    desk: Desk, failure: Exception | None
) -> None:
    planned(desk.database, 2)
    desk.client.credits = failure
    desk.turn()
    for failures, pause in enumerate([10, 20, 40, 80, 160, 300, 300], 1):
        assert desk.turn() == []
        assert desk.watch.failures == failures and not desk.watch.is_reading
        assert "balance" in desk.asked
        desk.watch.sent()  # calls in between do not shorten it
        desk.turn(later=pause - 0.1)
        assert "balance" not in desk.asked and not desk.watch.is_reading
        desk.turn(later=0.1)
    desk.client.credits = 140.0
    desk.turn()
    desk.turn(later=300.0)
    assert desk.turn() == [140.0]
    assert desk.watch.failures == 0


def test_asking_for_a_balance_alone_tells_it_or_nothing(desk: Desk) -> None:
    assert desk.watch.balance() == Holding(150.0, 0)
    desk.client.text = "$ 150"
    assert desk.watch.balance() == Holding(150.0, 0, has_cents=False)
    for failure in (None, GSMFusionAPIError("no answer"), RuntimeError("a bug")):
        desk.client.credits = failure
        assert desk.watch.balance() is None


def test_asking_for_prices_alone_tells_them_or_nothing_and_the_loop_stores_them(desk: Desk) -> None:
    desk.client.price = 0.2
    assert desk.watch.prices() == {SERVICE: 0.2}
    desk.turn()
    service = desk.database.get_service(SERVICE)
    assert service is not None and service.price == 0.2
    for failure in (0.0, GSMFusionAPIError("no answer"), RuntimeError("a bug")):
        desk.client.price = failure
        assert desk.watch.prices() is None
        desk.turn()
    assert desk.database.get_service(SERVICE) == service


def test_what_is_rejected_while_a_balance_is_read_counts_as_later(desk: Desk) -> None:
    """The provider may have answered before it paid the order back."""
    desk.database.insert_order({"order_id": "1", "imei": imeis(1)[0], "status": "Pending", "credits": 0.4})
    desk.turn()
    desk.database.update_order_status("1", "Rejected")
    assert desk.turn() == [150.0]
    with desk.database.read() as connection:
        reading = balance_store.newest_reading(connection)
        assert reading is not None
        assert balance_store.spent_since(connection, reading).refundable == 0.4


def test_a_balance_is_written_once(desk: Desk) -> None:
    desk.turn()
    assert desk.turn() == [150.0]
    with desk.database.write() as connection:
        desk.watch.write(connection)
    assert desk.turn() == [150.0]


def test_a_balance_that_came_while_calls_were_on_the_wire_is_asked_for_again(desk: Desk) -> None:
    desk.turn()
    desk.turn(idle=False)
    desk.turn()
    assert desk.asked == ["balance", "balance"]
    assert desk.turn() == [150.0]


def test_a_balance_of_an_earlier_run_is_no_evidence(desk: Desk) -> None:
    """Another process may have led since."""
    desk.turn()
    desk.watch.start()
    assert desk.turn() == []
    assert desk.turn() == [150.0]


# Prices


def batch(desk: Desk) -> tuple[str, str]:
    found = one(desk.database, "SELECT state, notice FROM batches")
    return str(found[0]), str(found[1])


def test_prices_are_asked_for_each_minute_while_a_batch_runs(desk: Desk) -> None:
    planned(desk.database, 2)
    times = []
    for second in range(0, 200, 10):
        desk.turn(idle=False, later=10.0)
        times += [second] * ("prices" in desk.asked)
    assert times == [60, 120, 180]


def test_prices_of_a_process_that_was_overtaken_pause_nothing(desk: Desk) -> None:
    planned(desk.database, 2)
    desk.watch = AccountWatch(desk.database, desk.client, desk.clock, lambda: None, MAIN_ACCOUNT, overtaken)
    desk.client.price = 0.2
    for _ in range(3):
        desk.turn(idle=False, later=60.0)
    assert "prices" in desk.asked
    assert batch(desk)[0] == "running"


def overtaken(_: Transaction) -> None:
    raise LeaseLostError("Another process has taken the lease.")


def test_without_a_running_batch_no_price_is_asked_for(desk: Desk) -> None:
    for _ in range(5):
        desk.turn(later=100.0)
    assert "prices" not in desk.asked


def test_prices_are_asked_for_once_at_a_time(desk: Desk) -> None:
    planned(desk.database, 2)
    desk.turn(idle=False)
    for _ in range(3):
        desk.turn(idle=False, later=100.0, answered=False)
    assert len(desk.threads.waiting) == 1
    desk.threads.answer()
    desk.turn(idle=False)  # it is due already
    assert desk.asked == ["prices", "prices"]


def test_a_price_that_rose_pauses_the_batch_and_is_stored(desk: Desk) -> None:
    planned(desk.database, 2)
    desk.client.price = 0.2
    desk.turn()
    desk.turn(later=60.0)
    assert batch(desk)[0] == "running"
    desk.turn()
    assert batch(desk)[0] == "paused"
    assert "rose from $0.10 to $0.20" in batch(desk)[1]
    service = desk.database.get_service(SERVICE)
    assert service is not None and service.price == 0.2


@pytest.mark.parametrize("price", [0.0, GSMFusionAPIError("no answer"), RuntimeError("a bug")])
def test_prices_that_are_not_told_change_nothing_and_are_asked_for_again(desk: Desk, price: float | Exception) -> None:
    planned(desk.database, 2)
    desk.database.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1)], 1.0)
    desk.client.price = price
    desk.turn(idle=False)
    desk.turn(idle=False, later=60.0)
    desk.turn(idle=False)
    assert batch(desk)[0] == "running"
    assert desk.database.get_service(SERVICE) is not None
    desk.client.price = 0.2
    desk.turn(idle=False, later=60.0)
    desk.turn(idle=False)
    assert batch(desk)[0] == "paused"
