"""Pending orders, a provider of results for them, and what is recorded of both."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from simulated_provider import SERVICE, Simulator, imeis, system
from sqlalchemy import insert
from stored_orders import all_orders

from database import IMEIDatabase, utc_now
from gsm_fusion_client import (
    ClientOptions,
    GSMFusionClient,
    RefusalKind,
    RefusedError,
    UnreadableAnswerError,
)
from orders import IMEIOrder
from schema import orders


@contextmanager
def client_of(simulator: Simulator) -> Iterator[GSMFusionClient]:
    with GSMFusionClient(
        "DEMO-KEY", "demo", 5, options=ClientOptions(simulator.base_url, sleep=lambda _: None)
    ) as client:
        yield client


def place(simulator: Simulator, database: IMEIDatabase, count: int) -> list[str]:
    """That many pending orders; returns their ids, oldest first."""
    with system(simulator, database, in_use=False) as running:
        running.submit_batch(imeis(count), SERVICE)
    return sorted(row["order_id"] for row in all_orders(database))


Answer = Callable[[Sequence[str]], Sequence[str]]


class ByHand:
    """A provider made by hand that lists answer(asked ids); failures[n] is raised at call n instead."""

    def __init__(
        self,
        answer: Answer = lambda ids: ids,
        failures: dict[int, Exception] | None = None,
        status: str = "Completed",
    ) -> None:
        self.answer = answer
        self.failures = failures or {}
        self.status, self.text = status, "Model: iPhone 12" if status == "Completed" else ""
        self.asked: list[list[str]] = []

    @property
    def lists(self) -> list[int]:
        return [len(ids) for ids in self.asked]

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[IMEIOrder]:
        self.asked.append(list(order_ids))
        if failure := self.failures.get(len(self.asked)):
            raise failure
        return [IMEIOrder(order_id, "", self.status, self.text) for order_id in self.answer(order_ids)]


def pending(database: IMEIDatabase, count: int, placed_at: datetime | None = None) -> list[str]:
    """That many orders without a result; returns their ids, as they are asked for: newest first."""
    ids = [f"{number:05d}" for number in range(count)]
    common = {"status": "Pending", "service_id": SERVICE, "order_date": placed_at or utc_now()}
    rows = [{"order_id": order_id, "imei": imei, **common} for order_id, imei in zip(ids, imeis(count), strict=True)]
    with database.write() as connection:
        connection.execute(insert(orders), rows)
    return ids[::-1]


UNREADABLE = UnreadableAnswerError("The provider's answer cannot be read: it is not XML, or it is cut off.")
NOTHING = RefusedError(RefusalKind.ORDER_ID, "No IMEI Found")


class Spoiled(ByHand):
    """A provider that fails for every list with one of some orders in it."""

    def __init__(self, spoilers: Sequence[str], error: Exception = UNREADABLE, status: str = "Completed") -> None:
        super().__init__(status=status)
        self.spoilers, self.error = set(spoilers), error

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[IMEIOrder]:
        found = super().get_imei_orders(order_ids)
        if self.spoilers.intersection(order_ids):
            raise self.error
        return found


class Hours:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Partial:
    """The real client, of whose answers only some orders arrive."""

    def __init__(self, client: GSMFusionClient, lost: Sequence[str] = (), only_last: bool = False) -> None:
        self.client, self.lost, self.only_last = client, set(lost), only_last
        self.lists: list[int] = []

    def get_imei_orders(self, order_ids: str | Sequence[str]) -> list[IMEIOrder]:
        self.lists.append(len(order_ids))
        found = self.client.get_imei_orders(order_ids)
        kept = [order for order in found if order.id not in self.lost]
        return kept[-1:] if self.only_last else kept
